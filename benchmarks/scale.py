"""
How the cost of a store grows: listing, one action of many, saving one more session, bytes per action.

    python benchmarks/scale.py [--quick]

Stores are built through the store layer with a disk that does not sync, so
that building them takes seconds; what is measured reads the real files, from
objects made for each sample, with the system's cache warm.  Bytes and reads are
counted where the store meets the disk.  The design's budgets stand beside the
figures.  Exits with 1 if something is not read back as it was written, or if a
count (never a time) grows as it must not.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import apsw
import attrs
import cbor2
from actions import Agent, make_actions
from stores import CONTENDERS, Replaykit, folder_bytes

import replaykit
from replaykit.format.entries import Opening, Part, Sealing
from replaykit.protocols import Store
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.sqlite_store import SqliteStore

Entry = dict[str, Any]

PART_ACTIONS = 4_096
SESSION_ACTIONS = 3
WINDOW = 64
CYCLE = 512
"""Catalogs of a file repeat their sizes after so many commits."""


@attrs.frozen(kw_only=True)
class Sizes:
    """How much is built and measured."""

    sessions: int
    files: int
    listings: int
    actions: int
    accesses: int
    saved: tuple[int, ...]
    kept: int


FULL = Sizes(
    sessions=10_000,
    files=500,
    listings=8,
    actions=1_000_000,
    accesses=10_000,
    saved=(10, 100, 1_000, 10_000),
    kept=10_000,
)
QUICK = Sizes(
    sessions=500,
    files=25,
    listings=5,
    actions=20_000,
    accesses=200,
    saved=(10, 100, 500),
    kept=1_000,
)


# -- the disk -----------------------------------------------------------------------


class CountedFiles(SystemFiles):
    """The disk without syncs; what goes through is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.bytes_read = 0
        self.bytes_written = 0
        self.append = self._append  # an attribute there, so that it costs a call less

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        data = super().pread(handle, size, offset)
        self.reads += 1
        self.bytes_read += len(data)
        return data

    def _append(self, handle: int, data: bytes) -> int:
        written = SystemFiles.append(handle, data)
        self.bytes_written += written
        return written

    def sync(self, handle: int) -> None:
        return

    def sync_directory(self, path: str) -> None:
        return


# -- building --------------------------------------------------------------------------


def recorded_entries(folder: Path, count: int) -> list[Entry]:
    """Return *count* actions as a recorder stores them."""
    path, agent = folder / "pool.rpk", Agent()
    with replaykit.Recorder(path, durability="os", on_loss="raise") as recorder:
        calls: Any = recorder.wrap(agent, {"put": "put", "find": "find", "ask": "ask", "tool": "tool"})
        with recorder.session("pool") as session:
            for action in make_actions(count):
                agent.output = action.output
                getattr(calls, action.kind)(**action.arguments)
        assert session.id is not None
    with contextlib.closing(FileStore(path, read_only=True)) as store:
        return [dict(entry) for entry in store.read(session.id).actions()]


def numbered(pool: Sequence[Entry], first: int, count: int) -> list[Entry]:
    """Return *count* actions of the pool with the sequences from *first* on."""
    return [{**pool[number % len(pool)], "i": number} for number in range(first, first + count)]


def session_part(number: int, entries: Sequence[Entry]) -> Part:
    """Return a whole short session."""
    now = time.time_ns()
    return Part(
        number=0,
        opening=Opening(session_id=uuid4(), name=f"request {number}", created_ns=now),
        actions=[{**entry, "i": place} for place, entry in enumerate(entries)],
        sealing=Sealing(state="sealed", ended_ns=now, ended_by="block"),
    )


def short_sessions(pool: Sequence[Entry], count: int, *, first: int = 0) -> Iterator[Part]:
    """Yield sessions of three actions."""
    for number in range(first, first + count):
        at = number * SESSION_ACTIONS % (len(pool) - SESSION_ACTIONS)
        yield session_part(number, pool[at : at + SESSION_ACTIONS])


def publish_long(store: Store, pool: Sequence[Entry], count: int) -> UUID:
    """Publish one session of *count* actions, in parts as a recorder makes them; return its id."""
    session_id, now = uuid4(), time.time_ns()
    opening = Opening(session_id=session_id, name="long", created_ns=now)
    for number, first in enumerate(range(0, count, PART_ACTIONS)):
        size = min(PART_ACTIONS, count - first)
        is_last = first + size == count
        sealing = Sealing(state="sealed", ended_ns=now, ended_by="block") if is_last else None
        store.publish(Part(number=number, opening=opening, actions=numbered(pool, first, size), sealing=sealing))
    return session_id


@contextlib.contextmanager
def unsynced_database(path: Path) -> Iterator[SqliteStore]:
    """Open the store of a memory's file so that its commits do not wait for the disk."""
    opened: list[apsw.Connection] = []
    apsw.connection_hooks.append(opened.append)
    try:
        with contextlib.closing(SqliteStore(path)) as store:
            opened[-1].execute("PRAGMA synchronous=OFF")
            yield store
    finally:
        apsw.connection_hooks.remove(opened.append)


# -- measuring ----------------------------------------------------------------------------


def milliseconds(sample: Callable[[], object], count: int) -> list[float]:
    """Return how long each of *count* runs of *sample* takes, ascending."""
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        sample()
        found.append((time.perf_counter() - begun) * 1e3)
    return sorted(found)


def at_share(ascending: Sequence[float], share: float) -> float:
    """Return the figure below which *share* of them are."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


def listed(path: Path) -> int:
    """Open *path* and list it; return how many sessions there are."""
    with replaykit.load(path) as recording:
        return len(recording.list_sessions())


# -- (a) listing -----------------------------------------------------------------------------


def build_listed(folder: Path, pool: Sequence[Entry], sizes: Sizes) -> dict[str, Path]:
    """Return a file, a directory and a memory's file that hold as many sessions."""
    paths = {"one file": folder / "runs.rpk", "directory": folder / "runs", "memory": folder / "notes.mv"}
    with contextlib.closing(FileStore(paths["one file"], files=CountedFiles())) as store:
        for part in short_sessions(pool, sizes.sessions):
            store.publish(part)
    paths["directory"].mkdir()
    each = sizes.sessions // sizes.files
    for number in range(sizes.files):
        path = paths["directory"] / f"{uuid4().hex}.rpk"
        with contextlib.closing(FileStore(path, files=CountedFiles())) as store:
            for part in short_sessions(pool, each, first=number * each):
                store.publish(part)
    with unsynced_database(paths["memory"]) as database:
        for part in short_sessions(pool, sizes.sessions):
            database.publish(part)
    return paths


def bytes_read_by_listing(path: Path) -> int:
    """Return what a listing reads from the disk."""
    if path.suffix == ".mv":
        opened: list[apsw.Connection] = []
        apsw.connection_hooks.append(opened.append)
        try:
            with replaykit.load(path) as recording:
                recording.list_sessions()
                pages = opened[-1].status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
                return int(pages * opened[-1].pragma("page_size"))
        finally:
            apsw.connection_hooks.remove(opened.append)
    files = CountedFiles()
    kind = DirectoryStore if path.is_dir() else FileStore
    with replaykit.Recording(str(path), kind(path, read_only=True, files=files)) as recording:
        recording.list_sessions()
    return files.bytes_read


def measure_listing(folder: Path, pool: Sequence[Entry], sizes: Sizes) -> list[str]:
    """Print how long listings take; return what is wrong."""
    problems = []
    paths = build_listed(folder, pool, sizes)
    names = {
        "one file": "one file",
        "directory": f"a directory of {sizes.files} files",
        "memory": "a memory's own file",
    }
    print(f"{f'listing {sizes.sessions:,} sessions':34}{'median ms':>11}{'p99 ms':>9}{'budget':>8}{'MB read':>9}")
    samples: dict[str, list[float]] = {kind: [] for kind in paths}
    for _ in range(sizes.listings):
        for kind, path in paths.items():
            samples[kind] += milliseconds(partial(listed, path), 1)
    for kind, path in paths.items():
        ascending = sorted(samples[kind])
        read = bytes_read_by_listing(path) / 1e6
        print(f"{names[kind]:34}{at_share(ascending, 0.5):11.1f}{at_share(ascending, 0.99):9.1f}{100:8}{read:9.2f}")
        if listed(path) != sizes.sessions:
            problems.append(f"{names[kind]}: {listed(path)} of {sizes.sessions} sessions are listed")
    return problems


# -- (b) one action of many -------------------------------------------------------------------


def measure_access(folder: Path, pool: Sequence[Entry], sizes: Sizes) -> list[str]:
    """Print how long one action of a long session takes; return what is wrong."""
    path = folder / "long.rpk"
    with contextlib.closing(FileStore(path, files=CountedFiles())) as store:
        publish_long(store, pool, sizes.actions)
    files, random = CountedFiles(), Random(1)
    begun = time.perf_counter()
    with replaykit.Recording(str(path), FileStore(path, read_only=True, files=files)) as recording:
        actions = recording.get_session("last").actions
        opened_ms = (time.perf_counter() - begun) * 1e3
        opened_reads, files.reads = files.reads, 0
        places = iter([random.randrange(len(actions)) for _ in range(sizes.accesses)])
        found = milliseconds(lambda: actions[next(places)], sizes.accesses)
        reads = files.reads / sizes.accesses
        checked = random.sample(range(sizes.actions), 20)
        is_right = all(
            (actions[number].sequence, actions[number].arguments) == (number, pool[number % len(pool)]["in"])
            for number in checked
        )
    print(f"\n{f'action N of {sizes.actions:,}':34}{'p50 ms':>11}{'p99 ms':>9}{'budget':>8}{'reads':>9}")
    print(f"{'random N':34}{at_share(found, 0.5):11.2f}{at_share(found, 0.99):9.2f}{10:8}{reads:9.2f}")
    print(f"{'open, get_session':34}{opened_ms:11.1f}{'':17}{opened_reads:9}")
    problems = [] if is_right else ["an action of the long session is not the one that was asked for"]
    return problems if reads <= 2 else [*problems, f"{reads:.1f} reads for one action: 1 is enough"]


# -- (c) saving session N -----------------------------------------------------------------------


def bytes_per_commit(path: Path, pool: Sequence[Entry], count: int) -> list[int]:
    """Return what each of *count* sessions wrote to the file when it was published."""
    files = CountedFiles()
    written = []
    with contextlib.closing(FileStore(path, files=files)) as store:
        for part in short_sessions(pool, count):
            before = files.bytes_written
            store.publish(part)
            written.append(files.bytes_written - before)
    return written


def rewritten_bytes(path: Path, sessions: Sequence[bytes], *, commits: int = 3) -> float:
    """Write all *sessions* again for each commit, as memvid does; return the bytes that a commit wrote."""
    written = 0
    for _ in range(commits):
        with open(path, "wb") as file:
            written += sum(file.write(session) for session in sessions)
    return written / commits


def measure_saving(folder: Path, pool: Sequence[Entry], sizes: Sizes) -> list[str]:
    """Print what saving one more session writes; return what is wrong."""
    most = sizes.saved[-1]
    written = bytes_per_commit(folder / "saved.rpk", pool, most + CYCLE)
    encoded = [cbor2.dumps(list(part.actions)) for part in short_sessions(pool, most)]
    print(
        f"\n{'bytes written to save session N':34}{f'mean of {WINDOW}':>11}{f'of {CYCLE}':>9}{'budget':>10}"
        f"{'all rewritten':>15}"
    )
    means = {}
    for number in sizes.saved:
        window = written[number : number + WINDOW]
        means[number] = sum(written[number : number + CYCLE]) / CYCLE
        rewritten = rewritten_bytes(folder / "rewritten", encoded[:number])
        recent = sum(window) / WINDOW
        print(f"{f'N = {number:,}':34}{recent:11,.0f}{means[number]:9,.0f}{'constant':>10}{rewritten:15,.0f}")
    first, last = means[sizes.saved[0]], means[most]
    return [] if last < 2 * first else [f"session {most:,} writes {last:,.0f} bytes, the first ones {first:,.0f}"]


# -- (d) bytes per action ---------------------------------------------------------------------------


def measure_bytes(folder: Path, sizes: Sizes) -> list[str]:
    """Print what an action takes on the disk, beside the other stores."""
    actions = list(make_actions(sizes.kept))
    print(f"\n{f'bytes per action, {sizes.kept:,} of them':34}{'recorded':>11}{'compacted':>11}{'budget':>8}")
    for contender in CONTENDERS:
        if contender.name in ("replaykit, always", "replaykit, group", "SQLite WAL, FULL", "OpenTelemetry, simple"):
            # The same bytes as another one's, only slower.
            continue
        place = folder / contender.name.replace(" ", "-")
        place.mkdir()
        writer = contender.open(place)
        for action in actions:
            writer.write(action)
        writer.close()
        kept = folder_bytes(place) / len(actions)
        more = ""
        if isinstance(contender, Replaykit):
            more = compacted(place / contender.store, len(actions))
        print(f"{contender.name.removesuffix(', os'):34}{kept:11,.0f}{more}")
    return []


def compacted(path: Path, actions: int) -> str:
    """Return the bytes per action after `compact`, as a cell and its budget."""
    with contextlib.closing(FileStore(path)) as store:
        store.compact()
    return f"{path.stat().st_size / actions:11,.0f}{350:8}"


def main() -> int:
    """Print all tables; 1 if something was lost or grows as it must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small stores, for a check that it runs")
    sizes = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = recorded_entries(folder, PART_ACTIONS)
        # Whoever lists a store has no such pool: the collector shall not walk through it.
        gc.collect()
        gc.freeze()
        problems = [
            *measure_listing(folder, pool, sizes),
            *measure_access(folder, pool, sizes),
            *measure_saving(folder, pool, sizes),
            *measure_bytes(folder, sizes),
        ]
    print("\n" + ("\n".join(problems) or "everything was read back, and nothing grows that must not"))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
