"""What reading, writing and opening may cost, counted where a store meets the disk (G12 to G16)."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import attrs
import pytest
from effort import Figure

import replaykit
from replaykit.format import records
from replaykit.format.block import Block
from replaykit.format.entries import Opening
from replaykit.format.segment import ACTS, CATALOG
from replaykit.format.strict import encode_body
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.file_store import FileStore
from replaykit.storage.gathering import MAX_PART_ACTIONS
from replaykit.storage.live_log import encode_opening
from replaykit.storage.recovery import recover
from replaykit.testing.contracts import make_action, make_part
from replaykit.testing.files import MemoryFiles, WrappedFiles

Effort = Callable[[int], int]

STORE = "runs.rpk"
KIB = 1 << 10
MIB = 1 << 20


class CountedFiles(WrappedFiles):
    """A disk that notes where and how much is read."""

    def __init__(self, inner: MemoryFiles) -> None:
        super().__init__(inner)
        self.reads: list[tuple[int, int]] = []

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        data = self.inner.pread(handle, size, offset)
        self.reads.append((offset, len(data)))
        return data

    @property
    def read_bytes(self) -> int:
        return sum(size for _, size in self.reads)


def blocks_of(disk: MemoryFiles, kind: int) -> list[Block]:
    segment = FileStore(STORE, files=disk, read_only=True).segment
    found = segment.scan(segment.head.end, segment.size())
    return [block for block in found if isinstance(block, Block) and block.kind == kind]


def test_g12_a_listing_reads_no_action_and_64_kib_beside_catalogs(effort: Effort, figure: Figure) -> None:
    disk, chance = MemoryFiles(), Random(1)
    sessions = max(500, effort(10_000))
    store = FileStore(STORE, files=disk)
    for number in range(sessions):
        part = make_part(UUID(int=number), [0])
        store.publish(attrs.evolve(part, actions=[{**make_action(0), "raw": chance.randbytes(700)}]))
    store.close()
    files = CountedFiles(disk)
    begun = time.perf_counter()
    listed = Catalogue(FileStore(STORE, files=files, read_only=True)).list_sessions()
    took_ms = (time.perf_counter() - begun) * 1e3
    assert [summary.session_id.int for summary in listed] == list(range(sessions))
    catalogs = {block.offset: block.size for block in blocks_of(disk, CATALOG)}
    asked = {offset for offset, _ in files.reads}
    beside = files.read_bytes - sum(catalogs[offset] for offset in catalogs.keys() & asked)
    assert beside <= 64 * KIB < len(disk.contents(STORE))
    # The first 4 KiB are read whole for the head.
    actions = [block for block in blocks_of(disk, ACTS) if block.offset >= 4 * KIB]
    assert len(actions) > sessions - 20
    assert not [block for block in actions for at, size in files.reads if at < block.end and block.offset < at + size]
    figure(
        "G12",
        f"{sessions} sessions: {len(files.reads)} reads, {files.read_bytes} bytes of {len(disk.contents(STORE))}, "
        f"{beside} of them beside catalogs, no block of actions; {took_ms:.0f} ms",
    )


LARGE = "a large value " * 2_000


def long_session(store: FileStore, session_id: UUID, count: int) -> None:
    """Publish a session in parts, as a recorder does; one action in a hundred has a large value of its own."""
    for number, first in enumerate(range(0, count, MAX_PART_ACTIONS)):
        sequences = range(first, min(first + MAX_PART_ACTIONS, count))
        part = make_part(session_id, number=number, state="sealed" if sequences[-1] == count - 1 else None)
        store.publish(attrs.evolve(part, actions=[action_of(sequence) for sequence in sequences]))


def action_of(sequence: int) -> dict[str, Any]:
    return make_action(sequence, text=f"{sequence} " + (LARGE if sequence % 100 == 7 else "small"))


def test_g13_one_action_of_many_costs_two_reads(effort: Effort, figure: Figure) -> None:
    """Three where it has a large value; in sessions of any length, compacted or not, with nothing read before."""
    for count in sorted({1_000, max(20_000, effort(1_000_000))}):
        disk = MemoryFiles()
        store = FileStore(STORE, files=disk)
        long_session(store, UUID(int=1), count)
        demand_few_reads(disk, count, effort, figure, "as recorded")
        store.compact()
        demand_few_reads(disk, count, effort, figure, "compacted")
        store.close()


def demand_few_reads(disk: MemoryFiles, count: int, effort: Effort, figure: Figure, how: str) -> None:
    chance, most = Random(count), {False: 0, True: 0}
    files = CountedFiles(disk)
    reader = FileStore(STORE, files=files, read_only=True)
    places = [0, 7, count - 1, *(chance.randrange(count) for _ in range(effort(10_000)))]
    took_ms = []
    for sequence in places:
        session = reader.read(UUID(int=1))
        assert session.sequences[-1] == count - 1
        files.reads.clear()
        begun = time.perf_counter()
        assert session.action(sequence) == action_of(sequence)
        took_ms.append((time.perf_counter() - begun) * 1e3)
        is_large = sequence % 100 == 7
        most[is_large] = max(most[is_large], len(files.reads))
    assert 0 < most[False] <= 2
    assert 1 < most[True] <= 3
    slow = sorted(took_ms)[len(took_ms) * 99 // 100]
    figure(
        "G13",
        f"{len(places)} of {count} actions, {how}: at most {most[False]} reads, "
        f"{most[True]} with a large value; p99 {slow:.1f} ms",
    )


def torn_store(sessions: int, tail_bytes: int) -> MemoryFiles:
    """Return a store whose last part, never synced, is there up to so many bytes."""
    disk, chance = MemoryFiles(), Random(2)
    store = FileStore(STORE, files=disk)
    for number in range(sessions):
        part = make_part(UUID(int=number), [0])
        store.publish(attrs.evolve(part, actions=[{**make_action(0), "raw": chance.randbytes(500_000)}]))
    whole = store.size()
    actions = [{**make_action(number), "raw": chance.randbytes(100_000)} for number in range(60)]
    store.publish(attrs.evolve(make_part(UUID(int=99)), actions=actions))
    after = disk.after_kill()
    after.place(STORE, disk.contents(STORE)[: whole + tail_bytes])
    return after


def opened_torn(disk: MemoryFiles, sessions: int) -> tuple[int, float]:
    """Open the store; return how many bytes that read, and how many milliseconds it took."""
    files = CountedFiles(disk)
    begun = time.perf_counter()
    reopened = FileStore(STORE, files=files)
    assert len(reopened.cards()) == sessions
    took_ms = (time.perf_counter() - begun) * 1e3
    read_bytes = files.read_bytes
    assert reopened.verify()
    return read_bytes, took_ms


@pytest.mark.parametrize("tail_bytes", [4 * KIB, 256 * KIB, 4 * MIB])
def test_g14_opening_after_a_crash_reads_the_torn_end_a_few_times(tail_bytes: int, figure: Figure) -> None:
    """However much there is before it."""
    little, _ = opened_torn(torn_store(3, tail_bytes), 3)
    much, took_ms = opened_torn(torn_store(20, tail_bytes), 20)
    assert much <= 9 * tail_bytes + 4 * MIB
    assert abs(much - little) <= 64 * KIB
    figure(
        "G14",
        f"a torn end of {tail_bytes // KIB} KiB: {much // KIB} KiB read, {took_ms:.0f} ms, whatever stands before it",
    )


def test_g14_recovering_a_live_log_reads_it_a_few_times(figure: Figure) -> None:
    disk, chance = MemoryFiles(), Random(3)
    store = FileStore(STORE, files=disk)
    log = store.create_log(UUID(int=1))
    opening = Opening(session_id=UUID(int=1), name=None, created_ns=1)
    log.append(records.sealed(records.map_body(records.OPEN, encode_opening(opening))))
    while log.size < 4 * MIB:
        entry = {"i": log.size, "k": "find", "t": 1, "d": 1, "out": chance.randbytes(1000)}
        log.append(records.sealed(records.map_body(records.ENTRY, entry)))
    files = CountedFiles(disk.after_kill())
    begun = time.perf_counter()
    reopened = FileStore(STORE, files=files)
    assert recover(reopened) == 1
    took_ms = (time.perf_counter() - begun) * 1e3
    assert files.read_bytes <= 3 * log.size
    figure("G14", f"a live log of 4 MiB: {files.read_bytes / log.size:.1f} times its bytes read, {took_ms:.0f} ms")


# -- G15 --------------------------------------------------------------------------------------

RECORDS = """
    import json, os, resource, sys
    import replaykit
    from replaykit.storage.file_store import FileStore
    from replaykit.storage.files import SystemFiles

    class CountedFiles(SystemFiles):
        written = 0

        def __init__(self):
            super().__init__()
            self.append = self._append

        def _append(self, handle, data):
            CountedFiles.written += len(data)
            return os.write(handle, data)

    def peak_bytes():
        if sys.platform == "darwin":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Not of getrusage: there a child begins with the peak of its parent.
        with open("/proc/self/status") as status:
            (line,) = [line for line in status if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    @replaykit.records("find")
    def look(query):
        return [{"id": query, "text": "Paris is the capital of France. " * 8, "score": 0.5}]

    count = int(sys.argv[1])
    with replaykit.Recorder("runs.rpk", durability="os", on_loss="raise") as recorder:
        recorder._engine.lease.opened = FileStore("runs.rpk", files=CountedFiles())
        with recorder.session("long") as session:
            for number in range(count):
                look(f"what number {number} asks for")
        recorder.flush()
        assert len(session.result.actions) == count
    print(json.dumps({"written": CountedFiles.written, "peak": peak_bytes()}))
"""


def recorded(folder: Path, count: int) -> dict[str, int]:
    """Record a session of *count* actions in a process of its own; return bytes written and its peak of memory."""
    folder.mkdir()
    source = textwrap.dedent(RECORDS)
    done = subprocess.run(
        [sys.executable, "-c", source, str(count)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_g15_an_action_of_a_long_session_costs_what_one_of_a_short_one_does(
    effort: Effort, figure: Figure, tmp_path: Path
) -> None:
    count = effort(1_000_000)
    short, long = recorded(tmp_path / "short", 1_000), recorded(tmp_path / "long", count)
    each = short["written"] / 1_000, long["written"] / count
    grown = long["peak"] - short["peak"]
    assert each[1] <= 1.1 * each[0]
    assert grown <= 64 * MIB
    figure(
        "G15",
        f"{each[0]:.0f} bytes written per action at 1000, {each[1]:.0f} at {count}; "
        f"{grown / MIB:.0f} MiB more memory at most",
    )


# -- G16 --------------------------------------------------------------------------------------


def test_g16_a_checkpoint_costs_its_changes_not_the_memory(effort: Effort, figure: Figure, tmp_path: Path) -> None:
    frames = max(10_000, effort(1_000_000))
    with replaykit.open(tmp_path / "notes.mv", on_loss="raise") as memory:
        for first in range(0, frames, 10_000):
            memory.put_many([f"note {number}" for number in range(first, first + 10_000)])
        took_ms = []
        with memory.session("changes") as session:
            for number in range(100):
                memory.put(f"another note {number}")
            for _ in range(5):
                begun = time.perf_counter()
                session.checkpoint()
                took_ms.append((time.perf_counter() - begun) * 1e3)
        assert session.result.checkpoints[0].snapshot.frame_count == frames + 100
        entries = memory._engine.lease.store.read(session.id).checkpoints
        largest = max(len(encode_body(dict(entry))) for entry in entries)
    assert len(entries) == 5
    assert largest <= KIB
    figure("G16", f"{frames} frames, 100 changes: {largest} bytes stored, {min(took_ms):.2f} ms")
