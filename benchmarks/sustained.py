"""
Does recording without a pause starve the agent, or grow: rates, CPU, latencies, memory, drain included.

Run: ``python benchmarks/sustained.py [--quick] [--actions N]``.  Each figure
comes from a fresh process, those without recording beside those with it, in
turn.  *Back to back* is a loop without any pause, until everything is in its
final form.  *Paced* is a call each millisecond: what a call takes then, and
how late the agent wakes up.  *Memory* is what the process grows by while it
records that many actions back to back, the session read at its end included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import replaykit

SPACING_S = 0.001
MOST_GROWTH_MIB = 64
"""The design's figure for the recorder's memory."""

_TEXT = "The capital of a country is a city on a river that has many bridges. " * 2


@replaykit.records("find")
def find(query: str, k: int = 5) -> list[dict[str, object]]:
    """Give back 0.9 KB."""
    return [{"frame_id": n, "score": 1 / (n + 1), "title": query, "text": _TEXT} for n in range(k)]


def session(folder: Path, name: str, *, recorded: bool) -> AbstractContextManager[Any]:
    """Return a session on a store of its own; one that is not recorded costs next to nothing."""
    # A name may end with a slash: then the store is a folder.
    recorder = replaykit.Recorder(f"{folder}/{name}")
    return recorder.session(name, enabled=recorded)


# -- what a child measures --------------------------------------------------------


def back_to_back(folder: Path, count: int, *, recorded: bool, store: str = "loop.rpk") -> dict[str, float]:
    """Return rates, CPU and latencies of *count* calls without a pause."""
    took = array("d")
    with session(folder, store, recorded=recorded) as opened:
        cpu, begun = time.process_time(), time.perf_counter()
        for number in range(count):
            before = time.perf_counter()
            find(f"question {number}")
            took.append(time.perf_counter() - before)
    called = time.perf_counter()
    lost = demand_all(opened, count) if recorded else 0
    drained = time.perf_counter()
    return {
        "calls/s": count / (called - begun),
        "drained/s": count / (drained - begun),
        "cpu us": (time.process_time() - cpu) / count * 1e6,
        **spread(took, "call us"),
        "lost": lost,
    }


def paced(folder: Path, count: int, *, recorded: bool) -> dict[str, float]:
    """Return latencies of *count* calls, one a millisecond, and how late each of them was begun."""
    took, late = array("d"), array("d")
    with session(folder, "paced.rpk", recorded=recorded) as opened:
        cpu, due = time.process_time(), time.perf_counter()
        for number in range(count):
            due += SPACING_S
            time.sleep(max(0.0, due - time.perf_counter()))
            before = time.perf_counter()
            find(f"question {number}")
            took.append(time.perf_counter() - before)
            late.append(before - due)
            # A stall must not be followed by a burst: each wait counts alone.
            due = max(due, before)
    lost = demand_all(opened, count) if recorded else 0
    return {
        "cpu us": (time.process_time() - cpu) / count * 1e6,
        **spread(took, "call us"),
        **spread(late, "late us"),
        "lost": lost,
    }


def memory(folder: Path, count: int, *, recorded: bool) -> dict[str, float]:
    """Return by how many MiB the process grows while it records *count* calls back to back."""
    with session(folder, "warm.rpk", recorded=recorded) as opened:
        find("what is loaded on first use")
    if recorded:
        demand_all(opened, 1)
    before = peak_mib()
    with session(folder, "long.rpk", recorded=recorded) as opened:
        for number in range(count):
            find(f"question {number}")
    lost = demand_all(opened, count) if recorded else 0
    return {"growth MiB": peak_mib() - before, "actions": count, "lost": lost}


def demand_all(opened: Any, count: int) -> int:
    """Wait until the session is stored, see that it has *count* actions, return how many were lost."""
    stored = opened.result
    assert len(stored.actions) + stored.lost == count, (len(stored.actions), count)
    assert stored.actions[count // 2].arguments["k"] == 5
    return int(stored.lost)


def peak_mib() -> float:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def spread(seconds: Sequence[float], unit: str) -> dict[str, float]:
    """Return p50, p99 and the most of *seconds*, in microseconds."""
    ascending = sorted(seconds)
    at = {"p50": len(ascending) // 2, "p99": int(len(ascending) * 0.99), "max": len(ascending) - 1}
    return {f"{name} {unit}": ascending[place] * 1e6 for name, place in at.items()}


MEASURED: dict[str, Callable[..., dict[str, float]]] = {
    "back to back": back_to_back,
    "back to back, a folder": partial(back_to_back, store="loop/"),
    "back to back, a memory's file": partial(back_to_back, store="loop.mv"),
    "paced": paced,
    "memory": memory,
}

# -- the table ------------------------------------------------------------------


def in_child(what: str, count: int, *, recorded: bool) -> dict[str, float]:
    """Return what a fresh process measures."""
    command = [sys.executable, __file__, "--child", what, "--actions", str(count)]
    done = subprocess.run([*command, "--recorded"] if recorded else command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def show(what: str, count: int, rounds: int) -> list[dict[str, float]]:
    """Print the best of *rounds* for each figure; return those of each recorded round."""
    found: dict[str, list[dict[str, float]]] = {"not recorded": [], "recorded": []}
    for _ in range(rounds):
        for name, figures in found.items():
            figures.append(in_child(what, count, recorded=name == "recorded"))
    columns = list(found["recorded"][0])
    print(f"\n{what + f', {count:,} calls':44}" + "".join(f"{column:>13}" for column in columns))
    for name, figures in found.items():
        best = {key: (max if key.endswith("/s") else min)(each[key] for each in figures) for key in columns}
        print(f"{name:44}" + "".join(f"{best[key]:13,.1f}" for key in columns))
    return found["recorded"]


def child(what: str, count: int, *, recorded: bool) -> int:
    """Measure, and print the figures for the parent."""
    warnings.simplefilter("ignore", replaykit.errors.ReplaykitWarning)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(MEASURED[what](Path(folder), count, recorded=recorded)))
    return 0


def main() -> int:
    """Print all tables; 1 if an action was lost or memory grew past the design's figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few calls, for a check that it runs")
    parser.add_argument("--actions", type=int, default=1_000_000, help="how many are recorded while memory is watched")
    parser.add_argument("--child", choices=list(MEASURED), help=argparse.SUPPRESS)
    parser.add_argument("--recorded", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.actions, recorded=options.recorded)
    rounds = 1 if options.quick else 3
    loops = [show(what, 3_000 if options.quick else 30_000, rounds) for what in MEASURED if what.startswith("back")]
    waiting = show("paced", 500 if options.quick else 5_000, rounds)
    grown = show("memory", 20_000 if options.quick else options.actions, 1)
    lost = sum(each["lost"] for each in (*chain.from_iterable(loops), *waiting, *grown))
    growth = min(each["growth MiB"] for each in grown)
    print(f"\n{lost:.0f} actions lost; {growth:.0f} MiB grown, {MOST_GROWTH_MIB} allowed")
    return 1 if lost or growth > MOST_GROWTH_MIB else 0


if __name__ == "__main__":
    raise SystemExit(main())
