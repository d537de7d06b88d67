"""One file: what survives, what is refused, and what is left alone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest
from effort import sampled

import replaykit.errors
from replaykit.errors import (
    ClosedError,
    DamagedError,
    LockedError,
    NotAStoreError,
    ReadOnlyError,
    ReplaykitError,
    StorageError,
    StoreNotFoundError,
    UsageError,
)
from replaykit.format.block import Block
from replaykit.format.entries import Gap, Part
from replaykit.format.segment import ACTS, CATALOG, GAP
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.opening import open_store
from replaykit.storage.segment_file import Tear
from replaykit.testing.contracts import make_action, make_part


class FaultyFiles(SystemFiles):
    """The real disk; named operations call back before they run."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[[], None]] = {}
        self.reads: list[tuple[int, int]] = []
        self.syncs = 0

    def append(self, handle: int, data: bytes) -> int:
        self._call("append")
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        self.syncs += 1
        self._call("sync")
        super().sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._call("truncate")
        super().truncate(handle, size)

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        self.reads.append((offset, size))
        return super().pread(handle, size, offset)

    def _call(self, operation: str) -> None:
        self.before.get(operation, lambda: None)()


def fail(error: BaseException) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


def contents(path: Path) -> dict[UUID, list[dict[str, Any]]]:
    """Everything that a reader finds in the file."""
    store = FileStore(path, read_only=True)
    try:
        return {card.session_id: list(map(dict, store.read(card.session_id).actions())) for card in store.cards()}
    finally:
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.rpk"


def small_file(path: Path, sessions: int = 2) -> list[UUID]:
    """Write a file of few bytes with some sessions, and close it."""
    ids = [uuid4() for _ in range(sessions)]
    store = FileStore(path)
    for session_id in ids:
        store.publish(make_part(session_id, range(2), state=None))
        store.publish(make_part(session_id, [2], number=1))
    store.close()
    return ids


# -- damage ---------------------------------------------------------------------


def test_every_truncation_leaves_a_prefix_or_a_typed_error(path: Path, tmp_path: Path) -> None:
    """Whole parts before the cut are read; nothing is invented; no foreign exception comes."""
    small_file(path)
    data = path.read_bytes()
    whole = contents(path)
    cut = tmp_path / "cut.rpk"
    most = 0
    for size in sampled(range(len(data)), 60_000, [len(data) - 1]):
        cut.write_bytes(data[:size])
        try:
            found = contents(cut)
        except ReplaykitError:
            assert not most, f"cut at {size} lost everything"
            continue
        for session_id, actions in found.items():
            assert whole[session_id][: len(actions)] == actions
        kept = sum(map(len, found.values()))
        assert kept >= most
        most = kept
    assert most == sum(map(len, whole.values()))


def test_a_store_cut_anywhere_goes_on(path: Path, tmp_path: Path) -> None:
    """The next writer keeps the torn end as a gap, reads what was whole, and publishes after it."""
    small_file(path, sessions=1)
    data = path.read_bytes()
    cut = tmp_path / "cut.rpk"
    first = len(FileStoreHead.of(path))
    for size in sampled(range(first, len(data)), 10_000, [len(data) - 1]):
        cut.write_bytes(data[:size])
        before = contents(cut)
        store = FileStore(cut)
        new = uuid4()
        store.publish(make_part(new, [0]))
        assert [*before, new] == [card.session_id for card in store.cards()]
        assert store.verify(), store.verify().problems
        store.close()
        assert before.items() <= contents(cut).items()


class FileStoreHead:
    """The bytes that a new file begins with."""

    @staticmethod
    def of(path: Path) -> bytes:
        store = FileStore(path, read_only=True)
        data = path.read_bytes()[: store.segment.head.end]
        store.close()
        return data


def test_every_bit_flip_is_detected(path: Path, tmp_path: Path) -> None:
    """After any single flip a reader gets the right data or a typed error, and a check says no."""
    small_file(path, sessions=1)
    data = bytearray(path.read_bytes())
    whole = contents(path)
    flipped = tmp_path / "flipped.rpk"
    for position in sampled(range(len(data)), 60_000):
        bit = 1 << position % 8
        data[position] ^= bit
        flipped.write_bytes(data)
        data[position] ^= bit
        try:
            assert whole == contents(flipped), f"wrong data after a flip at {position}"
            store = FileStore(flipped, read_only=True)
        except StorageError:
            continue
        assert not store.verify(), f"a flip at {position} went unnoticed"
        store.close()


def test_every_bit_flip_in_an_unclosed_file_never_gives_wrong_data(path: Path, tmp_path: Path) -> None:
    """Without a clean close damage of the newest part may look torn: then that part is missing, whole."""
    first, last = uuid4(), uuid4()
    store = FileStore(path)
    store.publish(make_part(first, range(2)))
    store.publish(make_part(last, range(2)))
    data = bytearray(path.read_bytes())
    whole = contents(path)
    store.close()
    flipped = tmp_path / "flipped.rpk"
    for position in sampled(range(len(data)), 60_000):
        bit = 128 >> position % 8
        data[position] ^= bit
        flipped.write_bytes(data)
        data[position] ^= bit
        try:
            found = contents(flipped)
        except StorageError:
            continue
        assert found in (whole, {first: whole[first]})


def test_zeros_at_the_end_are_padding(path: Path) -> None:
    """A file that grew by zeros is whole, and goes on behind them."""
    (session_id,) = small_file(path, sessions=1)
    with path.open("ab") as file:
        file.write(bytes(200_000))

    store = FileStore(path)
    new = uuid4()
    store.publish(make_part(new, [0]))

    assert [session_id, new] == [card.session_id for card in store.cards()]
    assert store.verify()
    store.close()


def test_a_torn_end_is_kept_as_a_gap(path: Path) -> None:
    """Nothing is thrown away: the bytes of an interrupted write stay in the file."""
    small_file(path, sessions=1)
    torn = b"\x88\x48 half a block"
    with path.open("ab") as file:
        file.write(torn)

    store = FileStore(path)

    blocks = list(store.segment.scan(store.segment.head.end, store.size()))
    gaps = [block for block in blocks if isinstance(block, Block) and block.kind == GAP]
    assert any(torn in gap.body() for gap in gaps)
    assert not any(isinstance(block, Tear) for block in blocks)
    store.close()


def test_a_hole_in_the_last_commit_is_torn_and_not_damage(path: Path) -> None:
    """A device keeps no order: a commit that was never synced may arrive without its middle."""
    first, last = uuid4(), uuid4()
    store = FileStore(path)
    store.publish(make_part(first, range(2)))
    before = path.read_bytes()
    store.publish(make_part(last, range(400)))
    data = bytearray(path.read_bytes())
    store.close()
    data[len(before) + 150 : len(before) + 250] = bytes(100)
    path.write_bytes(data)

    store = FileStore(path)
    assert [first] == [card.session_id for card in store.cards()]
    store.publish(make_part(last, range(400)))
    assert [first, last] == [card.session_id for card in store.cards()]
    assert store.verify(), store.verify().problems
    store.close()


def test_damage_below_the_watermark_is_refused_for_writing(path: Path) -> None:
    """What was synced once is not torn: a writer refuses and the file stays byte for byte."""
    store = FileStore(path)
    for _ in range(2):
        store.publish(make_part(uuid4(), range(3)))
    store.idle()
    newest = store.segment.newest_catalog(store.size())
    assert newest is not None
    data = bytearray(path.read_bytes())
    store.close()
    data[newest.offset + 100] ^= 1
    path.write_bytes(data)

    with pytest.raises(DamagedError):
        FileStore(path)

    assert data == path.read_bytes()


def test_a_recorded_copy_of_the_file_adds_nothing(path: Path) -> None:
    """Blocks inside payloads are never taken for blocks, even after damage around them."""
    (inner,) = small_file(path, sessions=1)
    copy = path.read_bytes()
    outer = uuid4()
    store = FileStore(path)
    part = make_part(outer, [0])
    store.publish(attrs.evolve(part, actions=[{**make_action(0), "raw": os.urandom(99) + copy}]))
    store.close()
    data = path.read_bytes()
    for size in range(len(copy), len(data), 13):
        path.write_bytes(data[:size])
        assert set(contents(path)) <= {inner, outer}
        assert len(contents(path)[inner]) == 3


# -- what is no store ------------------------------------------------------------


def test_an_empty_file_becomes_a_store_when_written_to(path: Path) -> None:
    """It has nothing to lose: its creator was killed, or made it for us."""
    path.write_bytes(b"")
    FileStore(path).close()

    assert FileStore(path, read_only=True).cards() == []


@pytest.mark.parametrize(
    "content", [b"x", b"hello", bytes(500), bytes.fromhex("d9d9f8da52504b3143424f52"), b"SQLite format 3\x00"]
)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_store_is_left_as_it_is(path: Path, content: bytes, read_only: bool) -> None:
    """Foreign and cut files are refused with a typed error, byte for byte as before."""
    path.write_bytes(content)

    with pytest.raises(NotAStoreError):
        FileStore(path, read_only=read_only)

    assert content == path.read_bytes()


def test_a_file_cut_inside_its_head_is_refused(path: Path) -> None:
    """Also where the magic is there."""
    small_file(path)
    content = path.read_bytes()[:40]
    path.write_bytes(content)

    with pytest.raises(NotAStoreError):
        FileStore(path)

    assert content == path.read_bytes()


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """With a typed error, for reading and writing."""
    for read_only in (True, False):
        with pytest.raises(NotAStoreError):
            FileStore(tmp_path, read_only=read_only)


def test_a_fifo_is_refused_at_once(path: Path) -> None:
    """Opening does not wait for another end."""
    os.mkfifo(path)
    with pytest.raises(StorageError):
        FileStore(path)


def test_symlinks_and_hard_links_are_refused(path: Path, tmp_path: Path) -> None:
    """A planted link never makes us write somewhere else."""
    target = tmp_path / "precious"
    small_file(target)
    content = target.read_bytes()
    path.symlink_to(target)
    for read_only in (True, False):
        with pytest.raises(StorageError, match="symlink"):
            FileStore(path, read_only=read_only)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError):
        FileStore(path)
    path.unlink()
    os.link(target, path)
    with pytest.raises(StorageError, match="hard links"):
        FileStore(path)
    assert content == target.read_bytes()


def test_reading_a_missing_file_creates_nothing(path: Path) -> None:
    """And says that there is none."""
    with pytest.raises(StoreNotFoundError):
        FileStore(path, read_only=True)
    assert not path.exists()


def test_files_are_private_under_any_umask(path: Path) -> None:
    """0600 for the store and its live logs, even with umask 0."""
    before = os.umask(0)
    try:
        store = FileStore(path)
        log = store.create_log(uuid4())
    finally:
        os.umask(before)
    assert [os.stat(name).st_mode & 0o777 for name in (path, log.path)] == [0o600, 0o600]
    store.close()


# -- writers and readers ---------------------------------------------------------


def test_a_second_writer_is_refused_at_once(path: Path) -> None:
    """In the same process and in another; the file is not touched."""
    store = FileStore(path)
    content = path.read_bytes()
    with pytest.raises(LockedError):
        FileStore(path)
    code = (
        "import sys; from replaykit.errors import LockedError\n"
        "from replaykit.storage.file_store import FileStore\n"
        "try: FileStore(sys.argv[1])\n"
        "except LockedError: sys.exit(7)"
    )
    root = Path(replaykit.errors.__file__).parents[1]
    child = subprocess.run([sys.executable, "-c", code, str(path)], check=False, cwd=root)
    assert child.returncode == 7
    assert content == path.read_bytes()
    store.close()
    FileStore(path).close()


def test_threads_that_race_to_create_get_one_writer(tmp_path: Path) -> None:
    """One wins, the others see a lock, and the file is good."""
    for attempt in range(5):
        path = tmp_path / f"{attempt}.rpk"
        barrier = threading.Barrier(4)
        won: list[FileStore] = []
        refused: list[Exception] = []

        def race(path: Path, barrier: threading.Barrier, won: list[FileStore], refused: list[Exception]) -> None:
            barrier.wait()
            try:
                won.append(FileStore(path))
            except LockedError as error:
                refused.append(error)

        threads = [threading.Thread(target=race, args=(path, barrier, won, refused)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(refused)) == (1, 3)
        won[0].close()
        FileStore(path).close()


def test_a_forked_child_cannot_write(path: Path) -> None:
    """The child holds a copy of the lock, and still only reads."""
    store = FileStore(path)
    session_id = uuid4()
    store.publish(make_part(session_id, [0]))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.publish(make_part(uuid4(), [0]))
        except LockedError:
            code = 0 if [session_id] == [card.session_id for card in store.cards()] else 2
        store.close()
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(LockedError):
        FileStore(path)
    store.publish(make_part(uuid4(), [0]))
    assert store.verify()
    store.close()


def test_a_reader_follows_a_writer(path: Path) -> None:
    """It needs no lock and sees each part once it is published."""
    writer = FileStore(path)
    reader = FileStore(path, read_only=True)
    ids = []
    for _ in range(20):
        ids.append(uuid4())
        writer.publish(make_part(ids[-1], range(3)))
        assert ids == [card.session_id for card in reader.cards()]
        assert len(reader.read(ids[-1]).sequences) == 3
    writer.delete(ids[0])
    assert ids[1:] == [card.session_id for card in reader.cards()]
    with pytest.raises(ReadOnlyError):
        reader.publish(make_part(uuid4(), [0]))
    reader.close()
    writer.close()


def test_a_session_outlives_its_store(path: Path) -> None:
    """What was read stays readable after the store is closed, and the store itself does not."""
    store = FileStore(path)
    session_id = uuid4()
    store.publish(make_part(session_id, range(3)))
    session = store.read(session_id)
    store.close()

    assert [action["i"] for action in session.actions()] == [0, 1, 2]
    for ask in (store.cards, lambda: store.read(session_id), lambda: store.publish(make_part(uuid4()))):
        with pytest.raises(ClosedError):
            ask()


def test_listing_reads_no_action(path: Path) -> None:
    """It reads the end of the file and catalogs, whatever the sessions hold."""
    store = FileStore(path)
    for _ in range(20):
        part = make_part(uuid4())
        actions = [{**make_action(sequence), "raw": os.urandom(300)} for sequence in range(100)]
        store.publish(attrs.evolve(part, actions=actions))
    acts = [
        range(block.offset, block.end)
        for block in store.segment.scan(store.segment.head.end, store.size())
        if isinstance(block, Block) and block.kind == ACTS
    ]
    store.close()
    files = FaultyFiles()
    reader = FileStore(path, read_only=True, files=files)
    files.reads.clear()

    assert len(reader.cards()) == 20

    inside = [(offset, size) for offset, size in files.reads if any(offset in block for block in acts)]
    # Only the one look at the last 64 KiB may begin inside a block of actions.
    assert len(inside) <= 1
    assert sum(size for _, size in files.reads) < 200_000 < path.stat().st_size
    reader.close()


def test_listing_costs_little_however_many_sessions(path: Path) -> None:
    """A thousand sessions are behind few catalogs, and a new reader finds all."""
    store = FileStore(path, files=NoSync())
    ids = [uuid4() for _ in range(1100)]
    for session_id in ids:
        store.publish(make_part(session_id, [0]))
    store.close()
    files = FaultyFiles()
    reader = FileStore(path, read_only=True, files=files)

    assert ids == [card.session_id for card in reader.cards()]

    assert len(files.reads) < 80
    again = FileStore(path)
    more = uuid4()
    again.publish(make_part(more, [0]))
    assert [*ids, more] == [card.session_id for card in reader.cards()]
    again.close()
    reader.close()


class NoSync(SystemFiles):
    """The real disk without waiting for the device: for tests that write much."""

    def sync(self, handle: int) -> None:
        """Return at once."""


def test_actions_are_found_with_one_read(path: Path) -> None:
    """The index leads to the block; what was read stays for its neighbours."""
    session_id = uuid4()
    store = FileStore(path)
    store.publish(make_part(session_id, range(5000)))
    store.close()
    files = FaultyFiles()
    reader = FileStore(path, read_only=True, files=files)
    session = reader.read(session_id)
    files.reads.clear()

    assert len(session.sequences) == 5000
    assert not files.reads
    assert session.action(4321)["i"] == 4321
    assert session.action(4322)["i"] == 4322
    assert len(files.reads) == 1
    reader.close()


# -- failures of the disk --------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_append_leaves_the_file_as_it_was(path: Path, error: BaseException) -> None:
    """And the next publish works."""
    files = FaultyFiles()
    store = FileStore(path, files=files)
    store.publish(make_part(uuid4(), [0]))
    content = path.read_bytes()
    files.before["append"] = fail(error)

    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
        store.publish(make_part(uuid4(), [0]))

    assert content == path.read_bytes()
    files.before.clear()
    store.publish(make_part(uuid4(), [0]))
    assert len(store.cards()) == 2
    assert store.verify()
    store.close()


def test_a_short_write_is_continued(path: Path) -> None:
    """A part that the system takes in pieces is whole."""

    class Short(SystemFiles):
        def append(self, handle: int, data: bytes) -> int:
            return os.write(handle, data[:100] if len(data) < 1000 else data[:1000])

    FileStore(path).close()
    store = FileStore(path, files=Short())
    session_id = uuid4()
    store.publish(make_part(session_id, range(300)))

    assert len(list(store.read(session_id).actions())) == 300
    assert store.verify()
    store.close()


def test_a_failed_sync_is_never_repeated(path: Path) -> None:
    """The system reports such a loss once; every later publish refuses without asking again."""
    files = FaultyFiles()
    store = FileStore(path, files=files)
    files.before["sync"] = fail(OSError(errno.EIO, "lost"))
    with pytest.raises(StorageError):
        store.publish(make_part(uuid4(), [0]))
    syncs = files.syncs
    files.before.clear()

    for _ in range(2):
        with pytest.raises(StorageError, match="no more writes"):
            store.publish(make_part(uuid4(), [0]))

    assert syncs == files.syncs
    store.close()
    FileStore(path).close()


def test_a_part_whose_sync_failed_is_refused_when_it_comes_again(path: Path) -> None:
    """By a StorageError: it is not encoded against a commit that may be on no device."""
    files = FaultyFiles()
    store = FileStore(path, files=files)
    part = make_part(uuid4(), range(3))
    files.before["sync"] = fail(OSError(errno.EIO, "lost"))
    for _ in range(3):
        with pytest.raises(StorageError):
            store.publish(part)
    files.before.clear()
    with pytest.raises(StorageError, match="no more writes"):
        store.delete(part.opening.session_id)
    store.close()
    with closing(FileStore(path)) as again:
        again.publish(make_part(uuid4(), [0]))
        assert again.verify()


def test_a_failed_roll_back_poisons(path: Path) -> None:
    """Nothing is appended to an end that is not known."""
    files = FaultyFiles()
    store = FileStore(path, files=files)

    def half_a_write() -> None:
        with path.open("ab") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "full")

    files.before = {"append": half_a_write, "truncate": fail(OSError(errno.EIO, "no"))}
    with pytest.raises((StorageError, OSError)):
        store.publish(make_part(uuid4(), [0]))
    files.before.clear()
    with pytest.raises(StorageError):
        store.publish(make_part(uuid4(), [0]))
    store.close()
    recovered = FileStore(path)
    recovered.publish(make_part(uuid4(), [0]))
    assert recovered.verify()
    recovered.close()


def test_values_that_no_recording_can_hold_are_refused_before_the_file_is_touched(path: Path) -> None:
    """Foreign objects, huge integers and deep nesting are usage errors."""
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    store = FileStore(path)
    content = path.read_bytes()
    for value in (object(), 2**70, deep, {1: 2}, {"x": {b"k": 1}}):
        part = make_part(uuid4(), [0])
        with pytest.raises(UsageError):
            store.publish(Part(number=0, opening=part.opening, actions=[{**make_action(0), "x": value}]))
    assert content == path.read_bytes()
    store.close()


def test_gaps_of_the_live_log_are_kept(path: Path) -> None:
    """Bytes that were no record are in the recording, in pieces."""
    session_id = uuid4()
    store = FileStore(path)
    data = os.urandom(1_500_000)
    store.publish(make_part(session_id, [0], gaps=[Gap(offset=10, reason="torn", data=data)]))

    gaps = store.read(session_id).gaps

    assert data == b"".join(gap.data for gap in gaps)
    assert [(gap.offset, gap.reason) for gap in gaps] == [(10, "torn"), (10 + (1 << 20), "torn")]
    store.close()


# -- opening ----------------------------------------------------------------------


def test_a_process_opens_a_store_once(path: Path) -> None:
    """The same store for everyone who asks, closed by the last."""
    first = open_store(path)
    second = open_store(os.path.join(path.parent, ".", path.name))
    assert first is second
    first.close()
    second.publish(make_part(uuid4(), [0]))
    second.close()
    with pytest.raises(ClosedError):
        second.cards()
    third = open_store(path)
    assert third is not first
    third.close()


def test_who_opens_a_store_that_is_being_closed_waits_for_that(path: Path) -> None:
    """Its lock is not free yet: that is no reason to be refused."""
    first: Any = open_store(path)
    opened: list[Any] = []
    closes = threading.Thread(target=first.close)
    opens = threading.Thread(target=lambda: opened.append(open_store(path)))
    with first._store._guard.lock:
        closes.start()
        while not first.closed:
            time.sleep(0.001)
        opens.start()
        opens.join(0.05)
        assert opened == []
        # Another store is not waited for.
        open_store(path.with_name("other.rpk")).close()
    closes.join()
    opens.join()
    [second] = opened
    assert second is not first
    second.publish(make_part(uuid4(), [0]))
    second.close()


def test_threads_that_open_and_close_one_store_never_refuse_each_other(path: Path) -> None:
    """However they meet."""
    barrier, refused = threading.Barrier(4), []

    def open_and_close() -> None:
        barrier.wait()
        for _ in range(40):
            try:
                open_store(path).close()
            except LockedError as error:
                refused.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []


def test_a_store_that_is_wanted_within_its_own_closing_is_refused_and_not_waited_for(path: Path) -> None:
    """As by a signal handler: the thread would wait for itself."""
    store: Any = open_store(path)
    inner, refused = store._store.close, []

    def close() -> None:
        with pytest.raises(LockedError) as caught:
            open_store(path)
        refused.append(caught.value)
        inner()

    store._store.close = close
    store.close()
    assert len(refused) == 1
    open_store(path).close()


def test_opening_for_reading_creates_nothing(tmp_path: Path) -> None:
    """For no kind of location."""
    for name in ("a.rpk", "a/", "a.mv"):
        with pytest.raises(StoreNotFoundError):
            open_store(os.path.join(tmp_path, name), read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_the_location_decides_the_kind(tmp_path: Path) -> None:
    """By what is there, else by how the name ends."""
    kinds = {"a.rpk": True, "runs/": False, "notes.mv": True}
    for name, is_file in kinds.items():
        store = open_store(os.path.join(tmp_path, name))
        session_id = uuid4()
        store.publish(make_part(session_id, [0]))
        store.close()
        assert is_file == (tmp_path / name).is_file()
        reader = open_store(os.path.join(tmp_path, name.rstrip("/")), read_only=True)
        assert [session_id] == [card.session_id for card in reader.cards()]
        reader.close()


def test_a_closed_file_is_listed_from_one_catalog(path: Path) -> None:
    """Closing sums up what was committed, so that a directory of many files is listed with a read of each."""
    store = FileStore(path)
    for number in range(20):
        store.publish(make_part(uuid4(), [0], name=f"{number}"))
    store.close()

    files = FaultyFiles()
    reader = FileStore(path, read_only=True, files=files)
    catalogs = [item for item in reader.segment.scan(12, reader.size()) if getattr(item, "kind", None) == CATALOG]
    files.reads.clear()
    names = [card.name for card in reader.cards()]

    assert names == [f"{number}" for number in range(20)]
    assert not {catalog.offset for catalog in catalogs[:-1]} & {offset for offset, _ in files.reads}
    assert reader.verify()
    reader.close()


def test_a_session_per_opening_costs_the_same_however_many_there_are(path: Path) -> None:
    """What a closing sums up is bounded by what was committed since the opening."""
    grown = []
    for _ in range(60):
        before = path.stat().st_size if path.exists() else 0
        store = FileStore(path)
        store.publish(make_part(uuid4(), [0]))
        store.close()
        grown.append(path.stat().st_size - before)

    assert max(grown[20:]) <= 2 * max(grown[:20])


# -- what others do to an open file ------------------------------------------------


@pytest.mark.parametrize("size", [0, 7, -1, 1])
def test_a_file_that_somebody_cut_or_made_longer_takes_no_more_writes(path: Path, size: int) -> None:
    """A block says where it stands: behind another end nobody would ever find it."""
    store = FileStore(path)
    kept = uuid4()
    store.publish(make_part(kept, [0]))
    os.truncate(path, size if size in (0, 7) else store.size() + size)
    content = path.read_bytes()

    for _ in range(2):
        with pytest.raises(StorageError, match="somebody else made the file"):
            store.publish(make_part(uuid4(), [0]))
    assert store.is_poisoned
    store.close()
    assert content == path.read_bytes()


def test_a_file_that_was_cut_lists_what_is_there(path: Path) -> None:
    """For its writer and for a reader that had seen more."""
    store = FileStore(path)
    first = uuid4()
    store.publish(make_part(first, [0]))
    size = store.size()
    store.publish(make_part(uuid4(), [0]))
    reader = FileStore(path, read_only=True)
    assert len(store.cards()) == len(reader.cards()) == 2
    os.truncate(path, size)

    assert [card.session_id for card in store.cards()] == [first] == [card.session_id for card in reader.cards()]
    store.close()
    reader.close()


def test_a_file_that_is_cut_within_a_write_is_not_filled_up_with_zeros(path: Path) -> None:
    """Rolling back makes a file shorter, never longer."""
    files = FaultyFiles()
    store = FileStore(path, files=files)
    store.publish(make_part(uuid4(), [0]))

    def cut_and_fail() -> None:
        os.truncate(path, 0)
        raise OSError(errno.ENOSPC, "full")

    files.before["append"] = cut_and_fail
    with pytest.raises(StorageError):
        store.publish(make_part(uuid4(), [0]))

    assert (path.stat().st_size, store.is_poisoned) == (0, True)
    store.close()
