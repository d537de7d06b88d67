"""
What recording a call costs with replaykit and with the tracers and recorders that people use, and what each has kept.

All are measured in one process, interleaved in slices of a few milliseconds;
each writes or sends what it has before the next one's slice, so nobody pays for
another's background.  Microseconds per call beyond the bare call, minimum and
median of the slices.  Then each in a process of its own: whether its calls
survive ``kill -9``, the bytes it stores or sends, the CPU time it takes in all.

    python benchmarks/peers.py [--quick] [--json FILE] [--chart FILE]

The peers are an extra, ``pip install -e '.[bench]'``; what is not installed is
named.  Exits with 1 if recording with replaykit adds more than OpenTelemetry's
batches do, or if a call that it recorded is gone.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
from call_cost import ask, find
from chart import cost_chart
from machine import machine
from recorders import PEERS, fetch_from, notes
from running import Call, Peer, Running
from sink import Sink
from trials import Kept, measure_kept

SLICE_S = 0.003
LEAST_SLICES = 5
SHARE = 2.0
"""A recorder whose slices are slow waits once it has had so many times its share of the time."""

QUICK = ("bare", "replaykit, not recording", "replaykit", "OpenTelemetry, batch", "OpenTelemetry, simple")

TITLES = {
    "find": "find, 0.9 KB result",
    "ask": "ask, 20 KB result",
    "GET": "HTTP GET, 0.9 KB",
    "memvid find": "find in memvid-sdk",
}


# -- measuring ----------------------------------------------------------------------


class Variant:
    """One workload with one recorder."""

    def __init__(self, peer: Peer, running: Running, workload: str, argument: str) -> None:
        self.peer, self.workload = peer, workload
        self.samples: list[float] = []
        self.spent_s = 0.0
        self._running, self._argument = running, argument
        self._call: Call = running.calls[workload]
        self._count = 1

    def calibrate(self) -> None:
        for _ in range(2):
            self.sample()
        self._count = max(3, int(SLICE_S * 1e6 / min(self.samples)))
        self.samples.clear()
        self.spent_s = 0.0

    def sample(self) -> None:
        """Measure one slice; set-up, the first call and the flush are outside of it."""
        begun = time.perf_counter()
        call, argument, count = self._call, self._argument, range(self._count)
        self._running.enter()
        call(argument)
        started = time.perf_counter()
        for _ in count:
            call(argument)
        taken = time.perf_counter() - started
        self._running.drain()
        self.samples.append(taken / self._count * 1e6)
        self.spent_s += time.perf_counter() - begun


def start(peers: Sequence[Peer], folder: Path, stack: ExitStack) -> list[Variant]:
    """Set all recorders up, each with a folder and a sink of its own, and return their workloads."""
    arguments = {"find": "the capital", "ask": "which capital?", "GET": "answer", "memvid find": notes()[0].split()[0]}
    compared = {name for peer in peers if not peer.is_bare for name in peer.workloads}
    found = []
    for number, peer in enumerate(peers):
        place = folder / str(number)
        sink = stack.enter_context(Sink(place / "sink"))
        functions: Mapping[str, Call] = {"find": find, "ask": ask, "GET": fetch_from(sink.url)}
        wanted = {name: functions[name] for name in peer.workloads if name in functions and name in compared}
        running = peer.start(place, sink.url, wanted)
        stack.callback(running.close)
        found += [Variant(peer, running, name, arguments[name]) for name in running.calls]
    return found


def measure(found: Sequence[Variant], seconds: float) -> None:
    for variant in found:
        variant.calibrate()
    gc.collect()
    # The heaps of a dozen libraries are no agent's: the collector shall not walk through them.
    gc.freeze()
    begun = time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        share = max(SHARE * elapsed / len(found), 1.0)
        for variant in found:
            if variant.spent_s < share:
                variant.sample()
    for variant in found:
        while len(variant.samples) < LEAST_SLICES:
            variant.sample()


# -- the rows -----------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Row:
    """What one recorder adds to one workload, in microseconds."""

    workload: str
    name: str
    version: str
    least: float
    median: float
    added: float
    added_median: float
    ratio: float
    """Least over the bare call's least."""

    slices: int
    is_bare: bool

    @property
    def is_ours(self) -> bool:
        """Return whether this is replaykit, recording."""
        return self.name.partition(", of ")[0] == "replaykit"


def rows_of(found: Sequence[Variant]) -> Iterator[Row]:
    bare = {variant.workload: variant.samples for variant in found if variant.peer.is_bare}
    for workload in dict.fromkeys(variant.workload for variant in found):
        base = bare[workload]
        for variant in found:
            if variant.workload == workload:
                yield _row(variant, min(base), statistics.median(base))


def _row(variant: Variant, bare: float, bare_median: float) -> Row:
    least, median = min(variant.samples), statistics.median(variant.samples)
    return Row(
        workload=variant.workload,
        name=variant.peer.name,
        version=variant.peer.version or "",
        least=least,
        median=median,
        added=least - bare,
        added_median=median - bare_median,
        ratio=least / bare,
        slices=len(variant.samples),
        is_bare=variant.peer.is_bare,
    )


# -- the tables ---------------------------------------------------------------------


def show_cost(rows: Sequence[Row]) -> None:
    for workload in dict.fromkeys(row.workload for row in rows):
        ours = next((row for row in rows if row.workload == workload and row.is_ours), None)
        titles = "".join(f"{title:>11}" for title in ("min us", "+min", "+median", "of bare", "of ours", "slices"))
        print(f"{TITLES[workload]:30}{titles}")
        for row in rows:
            if row.workload == workload:
                print(f"{row.name:30}{''.join(f'{cell:>11}' for cell in _cells(row, ours))}")
        print()


def _cells(row: Row, ours: Row | None) -> tuple[str, ...]:
    added = ("", "") if row.is_bare else (f"{row.added:+,.1f}", f"{row.added_median:+,.1f}")
    is_beside = not (ours is None or row.is_bare or row is ours) and row.added > 0
    beside = f"{row.added / ours.added:,.1f}x" if ours is not None and is_beside else ""
    return f"{row.least:,.1f}", *added, f"{row.ratio:,.1f}x", beside, str(row.slices)


def show_kept(kept: Mapping[str, Kept]) -> None:
    print(f"{'in a process of its own':30}{'after kill -9':>15}{'bytes a call':>14}{'CPU us a call':>15}")
    for name, found in kept.items():
        survived = f"{found.kept} of {found.killed_calls}"
        print(f"{name:30}{survived:>15}{found.bytes_per_call:14,.0f}{found.cpu_us:15,.0f}")
        if found.closed < found.calls:
            print(f"    {found.closed} of {found.calls} calls were whole once it was closed")


def missing(chosen: Sequence[Peer]) -> list[str]:
    """Return the recorders that are not measured, each with the reason."""
    return [
        f"{peer.name}: {'not installed' if peer.version is None else 'left out by --quick'}"
        for peer in PEERS.values()
        if peer not in chosen
    ]


def problems_of(rows: Sequence[Row], kept: Mapping[str, Kept]) -> Iterator[str]:
    for workload in ("find", "ask"):
        added = {row.name: row.added for row in rows if row.workload == workload}
        ours, theirs = added["replaykit"], added.get("OpenTelemetry, batch", math.inf)
        if ours > theirs:
            yield f"{workload}: replaykit adds {ours:.1f} us, OpenTelemetry's batches {theirs:.1f}"
    for name, found in kept.items():
        if name.startswith("replaykit") and (found.kept < found.killed_calls or found.closed < found.calls):
            yield f"{name}: kept {found.kept} of {found.killed_calls}, closed {found.closed} of {found.calls}"


# -- all ----------------------------------------------------------------------------


def compare(chosen: Sequence[Peer], seconds: float, folder: Path) -> tuple[list[Row], dict[str, Kept]]:
    """Measure the chosen recorders, in one process and then each in its own."""
    with ExitStack() as stack:
        found = start(chosen, folder / "together", stack)
        measure(found, seconds)
        rows = list(rows_of(found))
    places = {peer: folder / f"alone-{number}" for number, peer in enumerate(chosen) if peer.count_kept}
    return rows, {peer.name: measure_kept(peer, place) for peer, place in places.items()}


def figures(rows: Sequence[Row], kept: Mapping[str, Kept], absent: Sequence[str]) -> dict[str, Any]:
    """Return all that was measured, for a file of JSON."""
    return {
        "machine": machine(),
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "unit": "microseconds per call",
        "rows": [attrs.asdict(row) for row in rows],
        "kept": {name: attrs.asdict(found) for name, found in kept.items()},
        "not_measured": list(absent),
    }


def main() -> int:
    """Print the tables; 1 if replaykit is dearer than OpenTelemetry's batches or loses a call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="replaykit and OpenTelemetry for a few seconds")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--chart", type=Path, help="draw the chart into this SVG file")
    options = parser.parse_args()
    # A function that is not being recorded says so once.
    warnings.simplefilter("ignore")
    chosen = [peer for peer in PEERS.values() if peer.version and (not options.quick or peer.name in QUICK)]
    with tempfile.TemporaryDirectory() as folder:
        rows, kept = compare(chosen, 4.0 if options.quick else 60.0, Path(folder))
    absent = missing(chosen)
    show_cost(rows)
    show_kept(kept)
    print("\n" + "".join(f"not measured: {each}\n" for each in absent), end="")
    found = figures(rows, kept, absent)
    # Drawn whether it is wanted or not: the quick run checks this too.
    chart = cost_chart(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.chart:
        options.chart.write_text(chart)
    problems = list(problems_of(rows, kept))
    print("\n".join(problems) or "replaykit adds less than OpenTelemetry's batches, and lost nothing")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
