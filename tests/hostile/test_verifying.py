"""What a check says of many entries at once is what reading each of them says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import pytest
from effort import effort, sampled
from hostile.forging import SESSION, Forgery, card
from hostile.samples import made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.errors import DamagedError, StorageError, UsageError
from replaykit.format.block import Block
from replaykit.format.entry_blocks import encode_entry_block
from replaykit.format.segment import ACTS, CKPT, OPEN, SEAL
from replaykit.storage.file_store import FileStore

KINDS = ("find", "tool", "put", "ask", "delete")
WRONG = {
    "a time that is none": {"t": "x"},
    "a time beyond 63 bits": {"t": 2**63},
    "a duration that is none": {"d": None},
    "another sequence": {"i": 3},
    "a sequence that is a float": {"i": 20.0},
    "a kind that is none": {"k": 5},
    "a name that is none": {"nm": b"x"},
    "frames that are none": {"f": [1, None]},
    "flags that are no list": {"fl": "unfinished"},
    "flags that are none": {"fl": [1]},
    "fields that are none": {"x": []},
    "frames put that are no list": {"k": "put_many", "x": {"frame_ids": None}},
    "frames put that are none": {"k": "put_many", "x": {"frame_ids": [1, None]}},
    "a hash that is a text": {"ih": "x"},
    "a parent that is none": {"p": True},
    "a value that is not there": {"outb": [bytes(32), 20_000]},
}


def entries() -> list[dict[str, Any]]:
    """Return actions of all sorts."""
    return [
        {
            **{"i": number, "k": KINDS[number % 5], "nm": "call", "src": "", "t": 1 << 60, "d": 70},
            **({"f": [number, "x"]} if number % 5 == 2 else {}),
            **{"in": {"query": f"question {number}"}, "out": [{"frame_id": number, "score": 0.5}]},
        }
        for number in range(40)
    ]


def forged(raws: list[bytes], checkpoint: dict[str, Any] | None = None, **says: int) -> bytes:
    """Return a store of one session whose checksums and index agree with the entries *raws*."""
    forgery = Forgery()
    opening = forgery.add(OPEN, {"s": SESSION.bytes, "t": 1})
    acts = forgery.add(ACTS, encode_entry_block(SESSION.bytes, "a", raws))
    kept = [] if checkpoint is None else [cbor2.dumps(checkpoint)]
    places = [number for each in kept for number in forgery.add(CKPT, encode_entry_block(SESSION.bytes, "c", [each]))]
    columns = {"o": [acts.offset], "z": [acts.size], "f": [0], "n": [len(raws)], "h": []}
    index = {"s": SESSION.bytes, "open": list(opening), "idx": columns, "ck": places, "gp": []}
    seal = forgery.add(SEAL, {**index, "end": {"st": "sealed", "t1": 2}})
    forgery.catalog([{"pt": 1, "at": list(seal), "card": card(**{"n": len(raws), "c": len(kept), **says})}])
    return forgery.bytes()


def verdicts(path: Path, store: bytes) -> tuple[bool, bool]:
    """Return whether a check finds nothing wrong, and whether each action and checkpoint can be read."""
    path.write_bytes(store)
    with replaykit.load(path) as recording:
        verification = recording.verify()
        try:
            session = recording.get_session("last")
            read = len([*session.actions, *session.checkpoints])
        except DamagedError:
            return bool(verification), False
        return bool(verification), read > 0


def test_sound_entries_are_found_sound(tmp_path: Path) -> None:
    """Else nothing below says anything."""
    store = forged([cbor2.dumps(entry) for entry in entries()], {"c": 1, "i": 5, "t": 1})

    assert verdicts(tmp_path / "a.rpk", store) == (True, True)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_one_wrong_entry_among_many_is_found(wrong: dict[str, Any], tmp_path: Path) -> None:
    """Whose bytes are as they were written: reading it fails, so the check must."""
    written = entries()
    written[20].update(wrong)

    assert verdicts(tmp_path / "a.rpk", forged([cbor2.dumps(entry) for entry in written])) == (False, False)


@pytest.mark.parametrize("missing", ["i", "k"])
def test_an_entry_without_what_every_action_has_is_found(missing: str, tmp_path: Path) -> None:
    """Wherever it stands among others."""
    written = entries()
    del written[39][missing]

    assert verdicts(tmp_path / "a.rpk", forged([cbor2.dumps(entry) for entry in written])) == (False, False)


def test_a_key_that_is_missing_means_none(tmp_path: Path) -> None:
    """As the format says of all that not every action has."""
    store = forged([cbor2.dumps({"i": 0, "k": "find"})])

    assert verdicts(tmp_path / "a.rpk", store) == (True, True)


def test_a_checkpoint_with_a_wrong_field_is_found(tmp_path: Path) -> None:
    """As an action with one is."""
    store = forged([cbor2.dumps(entry) for entry in entries()], {"c": 1, "i": 5, "t": "x"})

    assert verdicts(tmp_path / "a.rpk", store) == (False, False)


@settings(max_examples=effort(2_000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(0, 39),
    at=st.integers(0, 200),
    other=st.binary(min_size=1, max_size=4),
    moved=st.sampled_from([0, 0, 0, 0, -1, 1, 3]),
)
def test_any_change_of_an_entry_is_judged_alike(tmp_path: Path, number: int, at: int, other: bytes, moved: int) -> None:
    """Other bytes in one, and an end that is moved into its neighbour: the check says what reading says."""
    raws = [cbor2.dumps(entry) for entry in entries()]
    at %= len(raws[number])
    raws[number] = raws[number][:at] + other + raws[number][at + len(other) :]
    follower = (number + 1) % 40
    both = raws[number] + raws[follower]
    cut = len(raws[number]) + moved
    raws[number], raws[follower] = both[:cut], both[cut:]

    is_sound, is_readable = verdicts(tmp_path / "a.rpk", forged(raws))

    assert is_sound == is_readable


# -- the bytes alone ----------------------------------------------------------------


def bytes_verdict(path: Path, store: bytes) -> bool:
    """Return whether a check of the bytes alone finds nothing wrong."""
    path.write_bytes(store)
    try:
        with replaykit.load(path) as recording:
            return bool(recording.verify(depth="bytes"))
    except StorageError:
        return False


@pytest.mark.parametrize("shape", ["sessions", "blobs", "checkpoints"])
def test_a_check_of_the_bytes_finds_every_flipped_bit(shape: str, tmp_path: Path) -> None:
    """Wherever it is: in what it does not decode too."""
    path, store = tmp_path / "a.rpk", made(shape, tmp_path)
    assert bytes_verdict(path, store)

    for bit in sampled(range(8 * len(store)), 1_500):
        flipped = bytearray(store)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not bytes_verdict(path, bytes(flipped)), bit


def test_a_check_of_the_bytes_finds_blocks_that_are_missing_or_changed_places(tmp_path: Path) -> None:
    """Each whole by itself: a copy that skipped some, or laid one over another."""
    path, store = tmp_path / "a.rpk", made("sessions", tmp_path)
    path.write_bytes(store)
    blocks = [item for item in FileStore(path, read_only=True).segment.scan(12, len(store)) if isinstance(item, Block)]
    first, *_, other = [block for block in blocks if block.kind == ACTS]

    assert not bytes_verdict(path, store[: first.offset] + store[first.end :])
    assert not bytes_verdict(path, store[: first.offset] + bytes(first.size) + store[first.end :])
    assert not bytes_verdict(path, store[: first.offset] + other.raw + store[first.offset + other.size :])


def test_a_check_of_the_bytes_finds_counts_that_disagree(tmp_path: Path) -> None:
    """An index that describes other actions or checkpoints than the card says."""
    raws = [cbor2.dumps(entry) for entry in entries()]

    assert bytes_verdict(tmp_path / "a.rpk", forged(raws))
    assert not bytes_verdict(tmp_path / "a.rpk", forged(raws, n=39))
    assert not bytes_verdict(tmp_path / "a.rpk", forged(raws, c=1))


def test_a_check_of_the_bytes_takes_what_was_written_for_true(tmp_path: Path) -> None:
    """It does not find what a faulty writer has written: that is what the full one is for."""
    written = entries()
    written[20]["t"] = "x"
    store = forged([*(cbor2.dumps(entry) for entry in written[:-1]), b"nonsense"])

    assert bytes_verdict(tmp_path / "a.rpk", store)
    assert verdicts(tmp_path / "a.rpk", store) == (False, False)


def test_a_depth_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before anything is read, with those that there are."""
    path = tmp_path / "a.rpk"
    path.write_bytes(made("sessions", tmp_path))

    with replaykit.load(path) as recording, pytest.raises(UsageError, match="full, bytes"):
        recording.verify(depth="deep")  # type: ignore[arg-type]  # what is refused
