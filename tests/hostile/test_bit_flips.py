"""One flipped bit anywhere is noticed, costs at most one block of one session, and never gives wrong data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from effort import Figure, effort, sampled
from hostile.memory_disk import MemoryBytes
from hostile.reading import committed, notices, salvaged, salvaged_file, salvaged_of
from hostile.samples import SHAPES, Truth, made, padded_to, truth_of

import replaykit
from replaykit.errors import DamagedError, ReplaykitError, StorageError
from replaykit.storage.damaged_segments import surveyed
from replaykit.storage.database import open_database
from replaykit.storage.part_rows import part_problems
from replaykit.storage.recovering import recover_into
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.testing.contracts import make_part

Contents = dict[bytes, dict[int, dict[str, Any]]]


def flips_of(data: bytes, nightly: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number of a bit, and *data* with it flipped."""
    changed = bytearray(data)
    for bit in sampled(range(len(data) * 8), nightly):
        changed[bit >> 3] ^= 1 << (bit & 7)
        yield bit, bytes(changed)
        changed[bit >> 3] ^= 1 << (bit & 7)


def demand_at_most_one_block_lost(found: Contents, truth: Truth, bit: int) -> None:
    """Everything is there by value, but for actions of one block of one session."""
    whole = truth.whole
    lost = {(session, sequence) for session, actions in whole.items() for sequence in actions}
    for session, actions in found.items():
        for sequence, action in actions.items():
            if "damaged" not in action.get("fl", ()):
                assert whole[session][sequence] == action, f"wrong after a flip of bit {bit}"
                lost.discard((session, sequence))
    blocks = [{(block.session, sequence) for sequence in block.actions} for block in truth.acts]
    assert not lost or any(lost <= block for block in blocks), f"bit {bit} cost {len(lost)} actions"


def demand_truth_or_a_typed_error(flipped: bytes, truth: Truth, bit: int) -> None:
    """What a reader gets that asks for nothing special is never wrong."""
    try:
        found = committed(flipped)
    except StorageError:
        return
    assert found.items() <= truth.whole.items(), f"wrong after a flip of bit {bit}"


@pytest.mark.parametrize("shape", SHAPES)
def test_g6_every_flip_in_a_small_file(shape: str, tmp_path: Path, figure: Figure) -> None:
    """All three promises for each: noticed, one block at most, never wrong."""
    data = made(shape, tmp_path)
    truth = truth_of(data)
    flips = 0
    for bit, flipped in flips_of(data, 6_000):
        assert notices(flipped), f"a flip of bit {bit} went unnoticed"
        demand_truth_or_a_typed_error(flipped, truth, bit)
        demand_at_most_one_block_lost(salvaged(flipped), truth, bit)
        flips += 1
    figure("G6", f"{shape}: {flips} flips, 0 unnoticed, 0 wrong")


def test_g6_every_flip_of_64_kib_is_noticed(tmp_path: Path, figure: Figure) -> None:
    """Each bit once by night."""
    data = padded_to(72 << 10, tmp_path)
    assert 64 << 10 <= len(data) < 72 << 10
    flips = 0
    for bit, flipped in flips_of(data, len(data) * 8):
        assert notices(flipped), f"a flip of bit {bit} went unnoticed"
        flips += 1
    figure("G6", f"{flips} flips in {len(data)} bytes, 0 unnoticed")


def test_g6_a_flip_in_64_kib_costs_one_block(tmp_path: Path, figure: Figure) -> None:
    """Sampled, since each is read whole, both ways."""
    data = padded_to(72 << 10, tmp_path)
    truth = truth_of(data)
    flips = 0
    for bit, flipped in flips_of(data, 5_000):
        demand_truth_or_a_typed_error(flipped, truth, bit)
        demand_at_most_one_block_lost(salvaged(flipped), truth, bit)
        flips += 1
    figure("G6", f"{flips} flips in {len(data)} bytes, at most one block lost, 0 wrong")


def test_g6_flips_in_a_megabyte_are_noticed_and_cost_one_block(tmp_path: Path, figure: Figure) -> None:
    """Larger blocks, values that stand outside."""
    data = padded_to(1 << 20, tmp_path, sessions=32)
    truth = truth_of(data)
    flips = 0
    for bit, flipped in flips_of(data, 300):
        assert notices(flipped)
        demand_at_most_one_block_lost(salvaged(flipped), truth, bit)
        flips += 1
    figure("G6", f"{flips} flips in {len(data)} bytes")


@pytest.mark.parametrize("shape", SHAPES)
def test_g6_the_public_door_says_the_same(shape: str, tmp_path: Path) -> None:
    """On real files: load, verify, salvage, recover; the damaged file stays byte for byte."""
    data = made(shape, tmp_path)
    truth = truth_of(data)
    path = tmp_path / "flipped.rpk"
    for bit, flipped in flips_of(data, 400):
        path.write_bytes(flipped)
        try:
            with replaykit.load(path) as recording:
                assert not recording.verify()
                for summary in recording.list_sessions():
                    list(recording.get_session(summary).actions)
        except StorageError:
            pass
        with pytest.raises(StorageError):
            replaykit.load(path, recovery="strict")
        demand_at_most_one_block_lost(salvaged_file(path), truth, bit)
        recover_into(path, tmp_path / "new.rpk")
        demand_at_most_one_block_lost(committed((tmp_path / "new.rpk").read_bytes()), truth, bit)
        (tmp_path / "new.rpk").unlink()
        assert path.read_bytes() == flipped


# -- a memory's own file ----------------------------------------------------------------


@pytest.fixture
def memory_file(tmp_path: Path) -> Path:
    """A database with several sessions, some in several parts."""
    path = tmp_path / "notes.mv"
    store = SqliteStore(path)
    for number in range(1, 5):
        store.publish(make_part(UUID(int=number), range(6), state=None))
        store.publish(make_part(UUID(int=number), range(6, 9), number=1))
    store.close()
    return path


def contents_of_memory(path: Path) -> Contents:
    store = SqliteStore(path, read_only=True)
    try:
        return {
            card.session_id.bytes: {action["i"]: dict(action) for action in store.read(card.session_id).actions()}
            for card in store.cards()
        }
    finally:
        store.close()


def test_g6_every_flip_in_a_part_of_a_memory_is_noticed(memory_file: Path, figure: Figure) -> None:
    """And salvage has all of the part but one block."""
    connection = open_database(str(memory_file), create=False)
    body = connection.execute("SELECT body FROM replaykit_part LIMIT 1").get
    connection.close()
    truth = truth_of(body)
    flips = 0
    for bit, flipped in flips_of(body, len(body) * 8):
        assert part_problems(flipped, "part"), f"a flip of bit {bit} went unnoticed"
        demand_at_most_one_block_lost(salvaged_of(surveyed(MemoryBytes(flipped))), truth, bit)
        flips += 1
    figure("G6", f"{flips} flips in a part of {len(body)} bytes, 0 unnoticed")


def test_g6_a_flip_anywhere_in_a_memory_never_gives_wrong_data(
    memory_file: Path, tmp_path: Path, figure: Figure
) -> None:
    """Pages of SQLite included: the truth, less of it, or a typed error."""
    data = memory_file.read_bytes()
    truth = contents_of_memory(memory_file)
    flipped_file = tmp_path / "flipped.mv"
    flips = 0
    for bit, flipped in flips_of(data, 6_000):
        flipped_file.write_bytes(flipped)
        for read in (contents_of_memory, salvaged_file):
            try:
                found = read(flipped_file)
            except ReplaykitError:
                continue
            for session, actions in found.items():
                assert actions.items() <= truth[session].items(), f"wrong after a flip of bit {bit}"
        assert flipped_file.read_bytes() == flipped
        for extra in tmp_path.glob("flipped.mv-*"):
            shutil.rmtree(extra) if extra.is_dir() else extra.unlink()
        flips += 1
    figure("G6", f"{flips} flips in a memory of {len(data)} bytes, 0 wrong")


def test_a_flip_in_a_sample_is_what_it_says() -> None:
    """The cases are what they claim to be: one bit, each once."""
    seen = [flipped for _, flipped in flips_of(bytes(40), 320)]
    assert len(set(seen)) == len(seen) == min(320, effort(320))
    assert all(sum(byte.bit_count() for byte in flipped) == 1 for flipped in seen)
    assert issubclass(DamagedError, StorageError)
