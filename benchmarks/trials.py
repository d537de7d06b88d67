"""
What a recorder has kept when it is killed directly after its calls; what it stores, sends and computes otherwise.

Each trial is a process of its own with one recorder (``recorders.py``).  The
results are those of ``actions.py``, another one for each call.  CPU time is the
whole process's, its threads and the last flush included, beyond that of the
same calls without a recorder.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from actions import make_actions
from recorders import PEERS, fetch_from, notes
from running import Calls, Peer
from sink import Sink

__all__ = ["Kept", "measure_kept"]

KILLED_CALLS = 60


@attrs.frozen(kw_only=True)
class Kept:
    """What a recorder does with its calls."""

    kept: int
    """How many of *killed_calls* were whole after ``kill -9``."""

    killed_calls: int
    closed: int
    """How many of *calls* were whole after it was closed."""

    calls: int
    bytes_per_call: float
    cpu_us: float


def measure_kept(peer: Peer, folder: Path) -> Kept:
    """Run both trials of a recorder in a folder of its own."""
    assert peer.count_kept is not None
    ended = folder / "ended"
    with Sink(ended / "sink") as sink, _child(peer, ended, sink.url, "end") as child:
        figures = json.loads(_line(child, ended))
    killed = folder / "killed"
    with Sink(killed / "sink") as sink, _child(peer, killed, sink.url, "kill") as child:
        assert json.loads(_line(child, killed)) == "done"
        child.kill()
    return Kept(
        kept=peer.count_kept(killed),
        killed_calls=KILLED_CALLS,
        closed=peer.count_kept(ended),
        calls=peer.trial_calls,
        **figures,
    )


@contextlib.contextmanager
def _child(peer: Peer, folder: Path, url: str, how: str) -> Iterator[subprocess.Popen[str]]:
    """Run a trial in a process of its own; what its libraries say goes into a file beside the folder."""
    command = [sys.executable, __file__, peer.name, str(folder), url, how]
    with open(_said(folder), "w") as said:
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True) as child:
            yield child


def _said(folder: Path) -> Path:
    return folder.with_suffix(".stderr")


def _line(child: subprocess.Popen[str], folder: Path) -> str:
    """Return the last word of a child, after whatever its libraries print."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("trial: "):
            return line.removeprefix("trial: ")
    raise ChildProcessError(f"{child.args!r} ended without a result:\n{_said(folder).read_text()[-2000:]}")


# -- in the child ----------------------------------------------------------------------


@cache
def _outputs() -> list[list[dict[str, Any]]]:
    return [action.output for action in make_actions(4_500) if action.kind == "find"]


def find(query: str) -> list[dict[str, Any]]:
    """Return about 0.9 KB, other ones for each query, that end as the query does."""
    number = query.rpartition("-")[2]
    hits = [dict(hit) for hit in _outputs()[int(number) % len(_outputs())]]
    hits[-1]["text"] += f" end-{number}"
    return hits


def _functions(peer: Peer, url: str) -> Calls:
    return {"GET": fetch_from(url)} if "GET" in peer.workloads[:1] else {"find": find}


def _stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _queries(peer: Peer, count: int) -> Iterator[str]:
    """Yield a text for each call, each with its number where the recorded function is ours to choose."""
    if "memvid find" not in peer.workloads:
        yield from (f"call-{number:06}" for number in range(count))
        return
    for number in range(count):
        words = notes()[number % len(notes())].split()
        yield " ".join(words[number % 50 : number % 50 + 2])


def _say(what: object) -> None:
    print("\ntrial: " + json.dumps(what), flush=True)


def _cpu_of_bare(peer: Peer, folder: Path, url: str) -> float:
    """Return the CPU seconds that the calls of a trial take without a recorder."""
    workload = peer.workloads[0]
    bare = next(each for each in PEERS.values() if each.is_bare and workload in each.workloads)
    place = folder / "bare"
    place.mkdir()
    running = bare.start(place, url, _functions(peer, url))
    call = running.calls[workload]
    call("warm-0")
    begun = time.process_time()
    for query in _queries(peer, peer.trial_calls):
        call(query)
    taken = time.process_time() - begun
    running.close()
    return taken


def _trial(peer: Peer, folder: Path, url: str, how: str) -> None:
    find("warm-0")
    running = peer.start(folder, url, _functions(peer, url))
    call = running.calls[peer.workloads[0]]
    running.enter()
    call("warm-0")
    running.drain()
    before = _stored_bytes(folder)
    begun = time.process_time()
    running.enter()
    for query in _queries(peer, KILLED_CALLS if how == "kill" else peer.trial_calls):
        call(query)
    if how == "kill":
        _say("done")
        sys.stdin.read()
    running.drain()
    running.close()
    taken = time.process_time() - begun
    stored = _stored_bytes(folder) - before
    taken -= _cpu_of_bare(peer, folder, url)
    _say({"bytes_per_call": stored / peer.trial_calls, "cpu_us": taken / peer.trial_calls * 1e6})


if __name__ == "__main__":
    _, _name, _folder, _url, _how = sys.argv
    _trial(PEERS[_name], Path(_folder), _url, _how)
    sys.stdout.flush()
    # Exporters that retry and threads that linger would only cost time.
    os._exit(0)
