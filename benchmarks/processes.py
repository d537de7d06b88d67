"""
How recording scales with processes that write to one directory store at once.

    python benchmarks/processes.py [--quick]

Each process records a session of its own into the directory, which gives it a
file of its own; they begin together, and the clock stops when the last of
them has everything in its final form.  Beside it stands one SQLite database
in WAL mode that as many processes insert into, one transaction per action, as
a log of calls would.  Both lose nothing to `kill -9`.  Numbers of processes
take turns, and the best of a few rounds counts: what matters is the ratio to one
process, which cannot exceed the number of cores.  Exits with 1 if an action
is missing, or if several processes record less than one alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actions import Agent, make_actions

import replaykit

COUNTS = (1, 2, 4)
LEAST_SHARE = 0.8
"""Of what one process records several must record at least so much together."""

POOL = 1_000


# -- one process ---------------------------------------------------------------------


def record(folder: Path, count: int, wait: Callable[[], None]) -> None:
    """Record a session into a directory store."""
    agent, pool = Agent(), [(action.kind, action.arguments, action.output) for action in make_actions(POOL)]
    with replaykit.Recorder(f"{folder}/runs/", durability="os", on_loss="raise") as recorder:
        calls: Any = recorder.wrap(agent, {"put": "put", "find": "find", "ask": "ask", "tool": "tool"})
        with recorder.session("warm"):
            calls.find("first", k=1)
        wait()
        with recorder.session("measured"):
            for number in range(count):
                kind, arguments, agent.output = pool[number % POOL]
                getattr(calls, kind)(**arguments)


def insert(folder: Path, count: int, wait: Callable[[], None]) -> None:
    """Insert a row per action, each in a transaction of its own."""
    pool = [action.as_json() for action in make_actions(POOL)]
    with contextlib.closing(sqlite3.connect(folder / "calls.db", timeout=60, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE IF NOT EXISTS action(process INTEGER, number INTEGER, body TEXT)")
        wait()
        for number in range(count):
            row = os.getpid(), number, pool[number % POOL]
            database.execute("INSERT INTO action VALUES (?, ?, ?)", row)


WRITERS = {"replaykit, a directory": record, "SQLite WAL, one database": insert}


def be_writer(name: str, folder: Path, count: int) -> None:
    """Say that all is ready, wait for the word, write; say when it was begun and done."""
    begun = []

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        begun.append(time.monotonic())

    WRITERS[name](folder, count, wait)
    print(json.dumps([begun[0], time.monotonic()]), flush=True)


# -- several ----------------------------------------------------------------------------


def actions_per_second(name: str, folder: Path, processes: int, count: int) -> float:
    """Return how many actions so many processes write in a second together."""
    folder.mkdir()
    command = [sys.executable, __file__, "--writer", name, "--folder", str(folder), "--count", str(count)]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    spans = [json.loads(writer.communicate()[0].splitlines()[-1]) for writer in writers]
    return processes * count / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def missing(name: str, folder: Path, processes: int, count: int) -> int:
    """Return how many actions are not there."""
    if name.startswith("SQLite"):
        with contextlib.closing(sqlite3.connect(folder / "calls.db")) as database:
            (found,) = database.execute("SELECT count(*) FROM action").fetchone()
            return processes * count - int(found)
    with replaykit.load(f"{folder}/runs/") as recording:
        kept = sum(each.action_count for each in recording.list_sessions(name="measured", state="sealed"))
        return processes * count - kept


def main() -> int:
    """Print the table; 1 if an action is missing or nothing scales."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few actions, for a check that it runs")
    parser.add_argument("--writer", choices=WRITERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.writer:
        be_writer(arguments.writer, arguments.folder, arguments.count)
        return 0
    count, rounds = (2_000, 2) if arguments.quick else (20_000, 4)
    best = {(name, processes): 0.0 for name in WRITERS for processes in COUNTS}
    lost = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(rounds):
            for (name, processes), before in best.items():
                folder = Path(scratch, f"{number}-{processes}-{name[:6]}")
                best[name, processes] = max(before, actions_per_second(name, folder, processes, count))
                lost += missing(name, folder, processes, count)
    print(
        f"{f'{os.cpu_count()} cores, {count:,} actions each':28}" + "".join(f"{f'{n} processes':>20}" for n in COUNTS)
    )
    for name in WRITERS:
        rates = [best[name, processes] for processes in COUNTS]
        print(f"{name:28}" + "".join(f"{rate:12,.0f}/s {rate / rates[0]:4.2f}x" for rate in rates))
    print(f"\n{lost} actions missing")
    alone = best["replaykit, a directory", 1]
    scales = all(best["replaykit, a directory", processes] >= LEAST_SHARE * alone for processes in COUNTS)
    return 0 if scales and not lost else 1


if __name__ == "__main__":
    raise SystemExit(main())
