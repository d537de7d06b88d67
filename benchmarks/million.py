"""
What a session of a million actions costs to read: opening it, one action, all of them, a check, a play, a comparison.

    python benchmarks/million.py [--quick] [--folder KEPT]

Two runs of one program are built through the store layer, in parts as a
recorder makes them, on a disk that does not sync; the second run has other
times, one other result in 100,000 and a stretch of a thousand calls more.  With
`--folder` they are kept there and used again.  Each figure comes from a process
of its own, which has done the same to a small session before, with the system's
cache warm: its CPU time, and by how much its peak of memory grew.  Beside
ours stand the same actions as rows of a SQLite table and as JSON lines, where
they have something like it.  A shorter session is recorded for real, to see
that the recorder's memory does not grow with it.  Exits with 1 if something is
not read back, if an action takes more than two reads, or if memory grows past
a wide bound; never for a time.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import attrs
from actions import Agent, make_actions
from scale import PART_ACTIONS, CountedFiles, Entry, recorded_entries

import replaykit
from replaykit.format.block import Block
from replaykit.format.entries import Opening, Part, Sealing
from replaykit.storage.file_store import FileStore

MIB = 1 << 20
OTHER_RESULT_EVERY = 100_000
MORE_CALLS = 1_000
WARM_ACTIONS = 200
GROWTH_BYTES_PER_ACTION = 150
GROWTH_MIB = 64
"""What reading may grow by: so much, and a little for each action."""


@attrs.frozen(kw_only=True)
class Sizes:
    """How much is built and measured."""

    actions: int
    accesses: int
    recorded: int
    played: int


FULL = Sizes(actions=1_000_000, accesses=10_000, recorded=200_000, played=10_000)
QUICK = Sizes(actions=20_000, accesses=500, recorded=10_000, played=500)


# -- building -------------------------------------------------------------------------


def run_of(pool: Sequence[Entry], count: int, *, is_second: bool) -> Iterator[Entry]:
    """Yield the actions of a run, without sequences; no two calls ask the same."""
    for number in range(count):
        entry = pool[number % len(pool)]
        asked = dict(entry["in"])
        name = next(iter(asked))
        asked[name] = f"{number} {asked[name]}"
        entry = {**entry, "in": asked, "t": entry["t"] + 1000 * number, "d": 1000 + (is_second and number % 7)}
        if is_second and number == count // 2:
            for more in range(MORE_CALLS):
                yield {**entry, "in": {**asked, name: f"once more {more}"}}
        if is_second and number % OTHER_RESULT_EVERY == 7:
            entry = {**entry, "out": "another result"}
        yield entry


def publish(path: Path, entries: Iterable[Entry]) -> None:
    """Publish a session in parts as a recorder makes them."""
    numbered = ({**entry, "i": number} for number, entry in enumerate(entries))
    opening = Opening(session_id=uuid4(), name="long", created_ns=time.time_ns())
    sealing = Sealing(state="sealed", ended_ns=time.time_ns(), ended_by="block")
    with contextlib.closing(FileStore(path, files=CountedFiles())) as store:
        part = list(itertools.islice(numbered, PART_ACTIONS))
        for number in itertools.count():
            following = list(itertools.islice(numbered, PART_ACTIONS))
            end = None if following else sealing
            store.publish(Part(number=number, opening=opening, actions=part, sealing=end))
            if end is not None:
                return
            part = following


def as_json(entry: Entry) -> str:
    """Return what a store without a form of its own keeps."""
    return json.dumps(entry, default=lambda value: value.hex())


def write_table(path: Path, entries: Iterable[Entry]) -> None:
    """Write a row per action."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE action(number INTEGER PRIMARY KEY, body TEXT)")
        database.executemany("INSERT INTO action VALUES (?, ?)", enumerate(map(as_json, entries)))


def write_lines(path: Path, entries: Iterable[Entry]) -> None:
    """Write a line per action."""
    with path.open("w") as file:
        file.writelines(f"{as_json(entry)}\n" for entry in entries)


def build(folder: Path, pool: Sequence[Entry], count: int) -> None:
    """Make all that is read in *folder*, unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = {"first.rpk": False, "second.rpk": True}
    for name, is_second in runs.items():
        made(folder / name, lambda path, is_second=is_second: publish(path, run_of(pool, count, is_second=is_second)))
    made(folder / "first.db", lambda path: write_table(path, run_of(pool, count, is_second=False)))
    made(folder / "first.jsonl", lambda path: write_lines(path, run_of(pool, count, is_second=False)))


def made(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file under another name first, so that what was interrupted is not taken for it."""
    if not path.exists():
        partial = path.with_name(f"unfinished-{path.name}")
        partial.unlink(missing_ok=True)
        make(partial)
        partial.rename(path)


# -- what is measured; each returns what is to be checked -----------------------------------


@contextlib.contextmanager
def opened(path: Path) -> Iterator[replaykit.ReplaySession]:
    """Open the session of a store."""
    with replaykit.load(path) as recording:
        yield recording.get_session("last")


def open_session(folder: Path, _: Sizes) -> dict[str, Any]:
    with opened(folder / "first.rpk") as session:
        return {"actions": len(session.actions)}


def open_compacted(folder: Path, _: Sizes) -> dict[str, Any]:
    with opened(folder / "compacted.rpk") as session:
        return {"actions": len(session.actions)}


def at_random(path: Path, sizes: Sizes) -> dict[str, Any]:
    """Read actions at random; return their percentiles, how many reads each took, and whether they are the right."""
    files, chance = CountedFiles(), Random(1)
    with replaykit.Recording(str(path), FileStore(path, read_only=True, files=files)) as recording:
        actions = recording.get_session("last").actions
        places = [chance.randrange(len(actions)) for _ in range(sizes.accesses)]
        files.reads = 0
        return {**each_took(lambda at: actions[at].arguments, places), "reads": files.reads / len(places)}


def each_took(read: Callable[[int], dict[str, Any]], places: Sequence[int]) -> dict[str, Any]:
    """Read each of *places*; return percentiles of CPU milliseconds, and whether what was read says the place."""
    took, is_right = [], True
    for place in places:
        begun = time.thread_time()
        arguments = read(place)
        took.append((time.thread_time() - begun) * 1e3)
        is_right = is_right and next(iter(arguments.values())).startswith(f"{place} ")
    took.sort()
    return {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100], "right": is_right}


def random_actions(folder: Path, sizes: Sizes) -> dict[str, Any]:
    return at_random(folder / "first.rpk", sizes)


def random_compacted(folder: Path, sizes: Sizes) -> dict[str, Any]:
    return at_random(folder / "compacted.rpk", sizes)


def random_rows(folder: Path, sizes: Sizes) -> dict[str, Any]:
    chance = Random(1)
    with contextlib.closing(sqlite3.connect(folder / "first.db")) as database:

        def read(place: int) -> dict[str, Any]:
            (body,) = database.execute("SELECT body FROM action WHERE number = ?", (place,)).fetchone()
            return dict(json.loads(body)["in"])

        (count,) = database.execute("SELECT count(*) FROM action").fetchone()
        return each_took(read, [chance.randrange(count) for _ in range(sizes.accesses)])


def read_all(folder: Path, _: Sizes) -> dict[str, Any]:
    with opened(folder / "first.rpk") as session:
        return {"actions": sum(1 for _ in session.actions)}


def read_asked(folder: Path, _: Sizes) -> dict[str, Any]:
    with opened(folder / "first.rpk") as session:
        return {"actions": sum(1 for _ in session.actions.asked())}  # type: ignore[attr-defined]  # a stored session's


def read_rows(folder: Path, _: Sizes) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(folder / "first.db")) as database:
        rows = database.execute("SELECT body FROM action ORDER BY number")
        return {"actions": sum(1 for (body,) in rows if json.loads(body))}


def read_lines(folder: Path, _: Sizes) -> dict[str, Any]:
    with (folder / "first.jsonl").open() as file:
        return {"actions": sum(1 for line in file if json.loads(line))}


def verify(folder: Path, _: Sizes) -> dict[str, Any]:
    with replaykit.load(folder / "first.rpk") as recording:
        found = recording.verify()
    return {"actions": found.actions if found else -1}


def verify_bytes(folder: Path, _: Sizes) -> dict[str, Any]:
    """Check what a disk or a copy may have done."""
    with replaykit.load(folder / "first.rpk") as recording:
        found = recording.verify(depth="bytes")
    return {"actions": found.actions if found else -1}


def check_table(folder: Path, _: Sizes) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(folder / "first.db")) as database:
        return {"right": database.execute("PRAGMA integrity_check").fetchone() == ("ok",)}


def play_ready(folder: Path, _: Sizes) -> dict[str, Any]:
    player = replaykit.play(folder / "first.rpk")
    return {"actions": len(player.unused)}


def play_calls(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """Play calls of the end of the session; return how long each took."""
    with opened(folder / "first.rpk") as session:
        total = len(session.actions)
        asked = [session.actions[at] for at in range(total - min(sizes.played, total), total)]
    operations = {"put": "put", "find": "find", "ask": "ask", "tool": "tool"}
    memory: Any = replaykit.wrap(Agent(), store=folder / "unused.rpk", operations=operations)
    with replaykit.play(folder / "first.rpk") as player:
        begun = time.thread_time()
        for action in asked:
            getattr(memory, action.kind)(**action.arguments)
        took = time.thread_time() - begun
    return {"right": player.play_count == len(asked), "us each": took / len(asked) * 1e6}


def compare_same(folder: Path, _: Sizes) -> dict[str, Any]:
    with opened(folder / "first.rpk") as first, opened(folder / "first.rpk") as second:
        found = replaykit.compare(first, second)
    return {"right": found.is_identical, "actions": found.matching_actions}


def compare_runs(folder: Path, sizes: Sizes) -> dict[str, Any]:
    with opened(folder / "first.rpk") as first, opened(folder / "second.rpk") as second:
        found = replaykit.compare(first, second)
    changed = math.ceil((sizes.actions - 7) / OTHER_RESULT_EVERY)
    expected = changed, sizes.actions - changed, 0, MORE_CALLS
    only = len(found.actions_only_in_a), len(found.actions_only_in_b)
    return {"right": (len(found.differing_actions), found.matching_actions, *only) == expected}


def compact(folder: Path, _: Sizes) -> dict[str, Any]:
    shutil.copy(folder / "first.rpk", folder / "compacted.rpk")
    with contextlib.closing(FileStore(folder / "compacted.rpk", files=CountedFiles())) as store:
        found = store.compact()
    return {"bytes": found.bytes_after}


def record(folder: Path, sizes: Sizes) -> dict[str, Any]:
    """Record a session for real; return how many actions were kept, and the calls per second, drain included."""
    path, agent = folder / "recorded.rpk", Agent()
    path.unlink(missing_ok=True)
    pool = [(action.kind, action.arguments, action.output) for action in make_actions(PART_ACTIONS)]
    begun = time.perf_counter()
    with replaykit.Recorder(path, durability="os", on_loss="raise") as recorder:
        calls: Any = recorder.wrap(agent, {"put": "put", "find": "find", "ask": "ask", "tool": "tool"})
        with recorder.session("long"):
            for number in range(sizes.recorded):
                kind, arguments, agent.output = pool[number % len(pool)]
                getattr(calls, kind)(**arguments)
        kept = recorder.list_sessions()[-1].action_count
    return {"recorded": kept, "calls/s": sizes.recorded / (time.perf_counter() - begun)}


TASKS: dict[str, Callable[[Path, Sizes], dict[str, Any]]] = {
    "open, len(actions)": open_session,
    "action N, at random": random_actions,
    "all actions": read_all,
    "all, what they asked": read_asked,
    "verify": verify,
    "verify: the bytes": verify_bytes,
    "play: ready": play_ready,
    "play: calls": play_calls,
    "compare with itself": compare_same,
    "compare with another run": compare_runs,
    "compact": compact,
    "compacted: open": open_compacted,
    "compacted: action N": random_compacted,
    "record (not a million)": record,
    "SQLite: row N": random_rows,
    "SQLite: all rows": read_rows,
    "SQLite: integrity_check": check_table,
    "JSON lines: all": read_lines,
}


# -- one process -----------------------------------------------------------------------------


def memory_bytes(what: str) -> int:
    """Return how much memory this process has (VmRSS), or had at most (VmHWM)."""
    # Not of getrusage: there a child begins with the peak of its parent.
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith(what)]
    return int(line.split()[1]) * 1024


def measured(name: str, folder: Path, warm: Path, sizes: Sizes) -> dict[str, Any]:
    """Do it to the small session, then to the long one; return its figures."""
    small = Sizes(actions=WARM_ACTIONS, accesses=10, recorded=10, played=10)
    TASKS[name](warm, small)
    before, used = memory_bytes("VmHWM"), time.process_time()
    found = TASKS[name](folder, sizes)
    return {
        **found,
        "cpu": time.process_time() - used,
        "growth": memory_bytes("VmHWM") - before,
    }


def in_a_process(name: str, folder: Path, warm: Path, *, quick: bool) -> dict[str, Any]:
    """Return the figures of a process of its own."""
    command = [sys.executable, __file__, "--task", name, "--folder", folder, "--warm", warm, *["--quick"][: int(quick)]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


# -- the tables ------------------------------------------------------------------------------


def content_bytes(path: Path) -> int:
    """Return how many bytes the bodies of a store have, expanded: what a check goes through."""
    segment = FileStore(path, read_only=True).segment
    blocks = segment.scan(segment.head.end, segment.size())
    return sum(len(block.body()) for block in blocks if isinstance(block, Block))


def rate_of(name: str, found: dict[str, Any], folder: Path, sizes: Sizes) -> str:
    """Return what a figure comes to, in words."""
    if name.startswith("verify"):
        stored, content = (folder / "first.rpk").stat().st_size, content_bytes(folder / "first.rpk")
        rates = f"{stored / 1e6 / found['cpu']:.0f} MB/s of the file"
        return rates if "bytes" in name else f"{rates}, {content / 1e6 / found['cpu']:.0f} of what it holds"
    if name == "compact":
        return f"{found['bytes'] / sizes.actions:.0f} bytes per action, budget 350"
    if "calls/s" in found:
        return f"{found['calls/s']:,.0f} actions/s, drain included"
    if "us each" in found:
        return f"{found['us each']:.1f} us each"
    if "p50" in found:
        return f"p50 {found['p50']:.2f} ms, p99 {found['p99']:.2f} ms{', budget p99 10' if 'reads' in found else ''}"
    if "open" in name:
        return f"{found['cpu'] * 1e3:.1f} ms, budget 5"
    return f"{found['cpu'] / sizes.actions * 1e6:.1f} us per action"


def problems_of(name: str, found: dict[str, Any], sizes: Sizes) -> list[str]:
    """Return what is wrong with a figure."""
    problems = []
    if found.get("actions", sizes.actions) != sizes.actions or found.get("recorded", sizes.recorded) != sizes.recorded:
        problems.append(f"{name}: not all actions are there: {found}")
    if not found.get("right", True):
        problems.append(f"{name}: what was read is not what was written: {found}")
    if found.get("reads", 0) > 2:
        problems.append(f"{name}: {found['reads']:.1f} reads for one action")
    if found["growth"] > GROWTH_MIB * MIB + GROWTH_BYTES_PER_ACTION * sizes.actions:
        problems.append(f"{name}: memory grew by {found['growth'] / MIB:.0f} MiB")
    return problems


def print_tables(folder: Path, warm: Path, sizes: Sizes, *, quick: bool) -> list[str]:
    """Print a line per figure; return what is wrong."""
    problems = []
    print(f"{f'{sizes.actions:,} actions':28}{'CPU s':>9}{'MiB more':>10}")
    for name in TASKS:
        found = in_a_process(name, folder, warm, quick=quick)
        problems += problems_of(name, found, sizes)
        rate = rate_of(name, found, folder, sizes)
        print(f"{name:28}{found['cpu']:9.3f}{found['growth'] / MIB:10.1f}  {rate}", flush=True)
    print()
    for name in ("first.rpk", "first.db", "first.jsonl"):
        size = (folder / name).stat().st_size
        print(f"{name:28}{size / sizes.actions:9.0f} bytes per action")
    return problems


def main() -> int:
    """Print the table; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short session, for a check that it runs")
    parser.add_argument("--folder", type=Path, help="where the sessions are kept, and used again")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    if arguments.task:
        print(json.dumps(measured(arguments.task, arguments.folder, arguments.warm, sizes)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder, warm = arguments.folder or Path(name, "long"), Path(name, "short")
        pool = recorded_entries(Path(name), PART_ACTIONS)
        build(folder, pool, sizes.actions)
        build(warm, pool, WARM_ACTIONS)
        problems = print_tables(folder, warm, sizes, quick=arguments.quick)
    print("\n" + ("\n".join(problems) or "everything was read back, and memory stayed in bounds"))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
