"""
What a listing costs in a fresh process, beside what would be written instead of a store.

    python benchmarks/listing.py [--quick]

Each sample is a process of its own that imports, and only then opens a store
and lists it once: nothing is warm but the system's cache, and no other heap
stands in the collector's way.  CPU time stands beside wall time, since other
work on the machine disturbs it less.  Beside the three stores: a SQLite table
of sessions, of which a row is all that a listing needs; and JSON lines, one per
action, as a log of calls has them, which have to be gone through.  Kinds take
turns.  Exits with 1 if a session is missing.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
from scale import FULL, PART_ACTIONS, QUICK, SESSION_ACTIONS, Sizes, build_listed, listed, recorded_entries

import replaykit

BUDGET_MS = 100


# -- what would be written instead -------------------------------------------------


def build_table(path: Path, summaries: list[replaykit.SessionSummary]) -> None:
    """Write a row per session."""
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE session(id BLOB PRIMARY KEY, name TEXT, created INTEGER, ended INTEGER, actions INTEGER,"
            " checkpoints INTEGER, duration INTEGER, state TEXT, lost INTEGER, gaps INTEGER)"
        )
        rows = [(summary.session_id.bytes, *attrs.astuple(summary)[1:]) for summary in summaries]
        database.executemany("INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    database.close()


def listed_table(path: Path) -> int:
    """Read the table as summaries; return how many."""
    database = sqlite3.connect(path)
    rows = database.execute("SELECT * FROM session ORDER BY ended").fetchall()
    database.close()
    names = [field.name for field in attrs.fields(replaykit.SessionSummary)]
    values = [(UUID(bytes=row[0]), *row[1:]) for row in rows]
    return len([replaykit.SessionSummary(**dict(zip(names, each, strict=True))) for each in values])


def build_lines(path: Path, summaries: list[replaykit.SessionSummary], pool: list[dict[str, Any]]) -> None:
    """Write a line per action."""
    with path.open("w") as file:
        for number, summary in enumerate(summaries):
            for at in range(SESSION_ACTIONS):
                entry = pool[(number * SESSION_ACTIONS + at) % len(pool)]
                body = {"session": str(summary.session_id), "name": summary.name, "i": at, "call": entry}
                file.write(json.dumps(body, default=repr) + "\n")


def listed_lines(path: Path) -> int:
    """Go through all lines; return how many sessions there are."""
    actions: dict[str, int] = {}
    with path.open() as file:
        for line in file:
            session = json.loads(line)["session"]
            actions[session] = actions.get(session, 0) + 1
    return len(actions)


# -- one sample ---------------------------------------------------------------------


LISTS: dict[str, Callable[[Path], int]] = {".db": listed_table, ".jsonl": listed_lines}


def sample(path: Path) -> None:
    """List *path* once; print sessions, wall and CPU milliseconds."""
    lists = LISTS.get(path.suffix, listed)
    # Public names are loaded on first use.
    assert replaykit.load and replaykit.SessionSummary
    begun, used = time.perf_counter(), time.process_time()
    count = lists(path)
    print(count, (time.perf_counter() - begun) * 1e3, (time.process_time() - used) * 1e3)


def sampled(path: Path) -> tuple[int, float, float]:
    """Return what a fresh process finds and takes."""
    done = subprocess.run([sys.executable, __file__, "--sample", path], capture_output=True, text=True, check=True)
    count, wall, used = done.stdout.split()
    return int(count), float(wall), float(used)


def build(folder: Path, sizes: Sizes) -> dict[str, Path]:
    """Return all that is listed, by what it is."""
    pool = recorded_entries(folder, PART_ACTIONS)
    stores = build_listed(folder, pool, sizes)
    with replaykit.load(stores["one file"]) as recording:
        summaries = recording.list_sessions()
    table, lines = folder / "sessions.db", folder / "calls.jsonl"
    build_table(table, summaries)
    build_lines(lines, summaries, pool)
    return {
        "one file": stores["one file"],
        f"a directory of {sizes.files} files": stores["directory"],
        "a memory's own file": stores["memory"],
        "SQLite, a row per session": table,
        "JSON lines, a line per action": lines,
    }


def main() -> int:
    """Print the table; 1 if a session is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small stores, for a check that it runs")
    parser.add_argument("--sample", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sample:
        sample(arguments.sample)
        return 0
    sizes = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory() as name:
        paths = build(Path(name), sizes)
        found = {kind: [sampled(path)] for kind, path in paths.items()}
        for _ in range(sizes.listings - 1):
            for kind, path in paths.items():
                found[kind].append(sampled(path))
    title = f"{sizes.sessions:,} sessions, a fresh process"
    print(f"{title:34}{'min ms':>9}{'median ms':>11}{'CPU min':>9}{'budget':>8}")
    for kind, samples in found.items():
        walls, budget = [wall for _, wall, _ in samples], BUDGET_MS if paths[kind].suffix not in LISTS else ""
        used = min(each for _, _, each in samples)
        print(f"{kind:34}{min(walls):9.1f}{statistics.median(walls):11.1f}{used:9.1f}{budget:8}")
    missing = [kind for kind, samples in found.items() if {count for count, _, _ in samples} != {sizes.sessions}]
    print("\n" + (f"sessions are missing: {missing}" if missing else "every session is listed"))
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
