"""
How long a program waits after a crash: until its store is open and takes the first action, and until it has listed all.

    python benchmarks/opening.py [--quick]

A process is killed with more than 4 MiB of actions in what it has not yet put
in order: replaykit's live log, or SQLite's WAL, with the same actions in each.
A third store is a file that was cut in the middle of a part of 4 MiB.  Each sample
opens a copy, with the system's cache warm; the variants take turns.  Exits with
1 if an action is lost, or if opening waits for the recovery.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import apsw
import attrs
from actions import make_actions
from scale import CountedFiles, numbered, recorded_entries
from stores import Contender, Replaykit, Sqlite

import replaykit
from replaykit.format.entries import Opening, Part, Sealing
from replaykit.storage.file_store import FileStore

ACTIONS = 3_400
LEFT_BYTES = 4 << 20
BUDGET_MS = 100
MOST_OF_THE_WHOLE = 0.5
"""Opening may take this share of opening and listing; it takes a few hundredths."""

VICTIMS: dict[str, Contender] = {
    "replaykit": Replaykit("os"),
    "sqlite": Sqlite("NORMAL"),
    "sqlite-hot": Sqlite("NORMAL", hot=True),
}


@attrs.frozen(kw_only=True)
class Variant:
    """A crashed store, and how it is opened."""

    title: str
    folder: Path
    sample: Callable[[Path], tuple[float, float, int]]
    """Opens the store in a folder; returns the seconds until the first action was kept and until all was listed, and
    how many actions are there."""

    least: int
    """How many actions must be there."""


# -- the crashes --------------------------------------------------------------------


def be_killed(contender: Contender, folder: Path) -> None:
    """Record all actions, say so, and wait for the end."""
    writer = contender.open(folder)
    for action in make_actions(ACTIONS):
        writer.write(action)
    print("kept", flush=True)
    sys.stdin.read()


def crashed(folder: Path, name: str) -> Path:
    """Kill a process that has recorded all actions into *folder*."""
    folder.mkdir()
    command = [sys.executable, __file__, "--victim", name, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"kept\n"
        child.kill()
    return folder


def torn(folder: Path) -> Path:
    """Cut a store file in the middle of a part of which 4 MiB are there."""
    folder.mkdir()
    path = folder / "runs.rpk"
    pool = recorded_entries(folder, ACTIONS)
    (folder / "pool.rpk").rename(path)
    whole, now = path.stat().st_size, time.time_ns()
    part = Part(
        number=0,
        opening=Opening(session_id=uuid4(), name="torn", created_ns=now),
        actions=numbered(pool, 0, 4 * ACTIONS),
        sealing=Sealing(state="sealed", ended_ns=now),
    )
    with contextlib.closing(FileStore(path, files=CountedFiles())) as store:
        store.publish(part)
    assert path.stat().st_size > whole + LEFT_BYTES
    with open(path, "r+b") as file:
        file.truncate(whole + LEFT_BYTES)
    return folder


# -- the openings -------------------------------------------------------------------


def open_replaykit(folder: Path) -> tuple[float, float, int]:
    begun = time.perf_counter()
    recorder = replaykit.Recorder(folder / "runs.rpk")
    block = recorder.session("after the crash")
    with block as session:
        session.record("tool", name="first", output="kept")
        opened = time.perf_counter() - begun
        summaries = recorder.list_sessions()
        listed = time.perf_counter() - begun
    recorder.close()
    return opened, listed, sum(summary.action_count for summary in summaries) - 1


def open_sqlite(folder: Path) -> tuple[float, float, int]:
    begun = time.perf_counter()
    with contextlib.closing(apsw.Connection(str(folder / "runs.db"))) as connection:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("INSERT INTO actions VALUES(?, ?)", (ACTIONS, "{}"))
        opened = time.perf_counter() - begun
        count = connection.execute("SELECT count(*) FROM actions").get
        listed = time.perf_counter() - begun
    assert isinstance(count, int)
    return opened, listed, count - 1


def variants(folder: Path) -> list[Variant]:
    logged = crashed(folder / "logged", "replaykit")
    usual = crashed(folder / "usual", "sqlite")
    hot = crashed(folder / "hot", "sqlite-hot")
    (log,) = logged.glob("*.live")
    assert log.stat().st_size >= LEFT_BYTES
    mib = {path: size_of(path) / 2**20 for path in (log, usual / "runs.db-wal", hot / "runs.db-wal")}
    return [
        Variant(
            title=f"replaykit, live log of {mib[log]:.1f} MiB",
            folder=logged, sample=open_replaykit, least=ACTIONS,
        ),
        Variant(
            title=f"replaykit, torn end of {LEFT_BYTES / 2**20:.1f} MiB",
            folder=torn(folder / "torn"), sample=open_replaykit, least=ACTIONS,
        ),
        Variant(
            title=f"SQLite, WAL of {mib[usual / 'runs.db-wal']:.1f} MiB (checkpoints as usual)",
            folder=usual, sample=open_sqlite, least=ACTIONS,
        ),
        Variant(
            title=f"SQLite, WAL of {mib[hot / 'runs.db-wal']:.1f} MiB (all of it)",
            folder=hot, sample=open_sqlite, least=ACTIONS,
        ),
    ]  # fmt: skip


def size_of(path: Path) -> int:
    return path.stat().st_size


# -- measuring ----------------------------------------------------------------------


def copied(source: Path, target: Path) -> None:
    """Copy a folder onto the device, so that no sample syncs what the copy wrote."""
    shutil.copytree(source, target)
    for path in target.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def measure(found: Sequence[Variant], rounds: int, folder: Path) -> list[str]:
    """Print how long the variants take; return what is wrong."""
    opened: dict[str, list[float]] = {each.title: [] for each in found}
    listed: dict[str, list[float]] = {each.title: [] for each in found}
    problems = []
    for number in range(-1, rounds):
        for each in found:
            copy = folder / "copy"
            copied(each.folder, copy)
            until_open, until_listed, count = each.sample(copy)
            shutil.rmtree(copy)
            if count < each.least:
                problems.append(f"{each.title}: {each.least - count} actions lost")
            # The first round loads what every process loads once.
            if number >= 0:
                opened[each.title].append(until_open * 1e3)
                listed[each.title].append(until_listed * 1e3)
    show(opened, listed, rounds)
    return problems + waiting(found, opened, listed)


def show(opened: dict[str, list[float]], listed: dict[str, list[float]], rounds: int) -> None:
    print(f"{'':52}{'first action kept':>22}{'and all listed':>22}")
    print(f"{f'ms after a crash, {rounds} openings of each':52}" + f"{'minimum':>12}{'median':>10}" * 2)
    for title in opened:
        columns = [figure(each[title]) for each in (opened, listed)]
        print(f"{title:52}{columns[0]}{columns[1]}")
    print(f"{'the budget of an opening (G14)':52}{BUDGET_MS:12.1f}")


def figure(found: Sequence[float]) -> str:
    return f"{min(found):12.1f}{statistics.median(found):10.1f}"


def waiting(found: Sequence[Variant], opened: dict[str, list[float]], listed: dict[str, list[float]]) -> list[str]:
    """Return the problem that opening a live log takes as long as recovering it."""
    title = found[0].title
    share = min(opened[title]) / min(listed[title])
    return [] if share <= MOST_OF_THE_WHOLE else [f"{title}: opening takes {share:.0%} of opening and listing"]


def main() -> int:
    """Print the table; 1 if something was lost, or opening waits for the recovery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few openings, for a check that it runs")
    parser.add_argument("--victim", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.victim is not None:
        be_killed(VICTIMS[options.victim[0]], Path(options.victim[1]))
        return 0
    with tempfile.TemporaryDirectory() as name:
        found = variants(Path(name))
        gc.collect()
        gc.freeze()
        problems = measure(found, 3 if options.quick else 15, Path(name))
    print("\n" + ("\n".join(problems) or "every action was there, and opening does not wait for the recovery"))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
