"""Whatever a file claims, reading it ends soon, takes memory like the file's size and raises our errors only."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from effort import sampled
from hypothesis import given
from hypothesis import strategies as st
from importers.samples import SIDE_FILE, manifest_of, sample, segment_of, stamped, with_segment

import replaykit
from replaykit import errors
from replaykit.importers.memvid.cursor import Cursor
from replaykit.importers.memvid.decoding import read_session
from replaykit.importers.memvid.segment import Found, read_segment
from replaykit.importing import import_sessions
from replaykit.model import ReplayManifest

_LONG = (2**62).to_bytes(8, "little")
_MIB = 1 << 20


def looked_at(path: Path, data: bytes) -> int:
    """Write *data* and read all of it that can be read; return how many actions there were."""
    path.write_bytes(data)
    try:
        with replaykit.load(path, recovery="salvage") as recording:
            recording.verify()
            sessions = [recording.get_session(summary) for summary in recording.list_sessions()]
            return sum(1 for session in sessions for action in session.actions if repr(action))
    except errors.StorageError as error:
        assert str(path) in str(error)
        return 0


def read_through(segment: bytes, manifest: ReplayManifest) -> Found:
    """Read all that can be read of a segment."""
    found = read_segment(segment, "a", manifest)
    for session in found.sessions:
        repr((list(session.actions), session.checkpoints(session.session_id)))
    return found


@pytest.mark.parametrize("name", ["01", "17", SIDE_FILE])
def test_a_file_cut_anywhere(name: str, tmp_path: Path, effort: Callable[[int], int]) -> None:
    """At every 4 KiB and at each of its last bytes: memvid's footer comes last, so nothing of it counts."""
    data = sample(name)
    ends = {*range(1, min(len(data), effort(3000))), 8, 4095, 4096}
    for place in {*range(0, len(data), 4096), *ends, *(len(data) - end for end in ends)}:
        if 0 <= place < len(data):
            assert looked_at(tmp_path / name, data[:place]) == 0


@pytest.mark.parametrize("start", ["01", "08", "11", "17"])
def test_a_number_of_two_to_the_62_anywhere_in_a_segment(start: str) -> None:
    """memvid's process is ended by it; here it is damage, and no memory is asked for."""
    segment, manifest = segment_of(start), manifest_of(start)
    tracemalloc.start()
    try:
        for at in sampled(range(8, len(segment) - 8), 4000, always=(24, 32)):
            read_through(segment[:at] + _LONG + segment[at + 8 :], manifest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 4 * _MIB


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (12, 2**32 - 1, "sessions in"),
        (16, 2**62, "sessions in"),
        (8, 99, "version 99"),
        (24, 2**62, "are said to follow"),
        (24, 2**64 - 1, "are said to follow"),
        (24, 100, "are said to follow|there is no room"),
        (32, 17, "a session id has"),
    ],
)
def test_a_lying_length_is_named(at: int, value: int, reason: str, tmp_path: Path) -> None:
    """Strictly: also a length that memvid would pass over."""
    segment, path = segment_of("01"), tmp_path / "a.mv2"
    size = 4 if at in (8, 12) else 8
    changed = segment[:at] + value.to_bytes(size, "little") + segment[at + size :]
    path.write_bytes(with_segment("01", changed))

    with pytest.raises(errors.DamagedError, match=reason):
        replaykit.load(path)


def test_bytes_that_no_field_has_are_damage() -> None:
    """A length that is too long, and one too short."""
    segment = segment_of("01")
    session = segment[32:]

    assert read_session(Cursor(session, "a")).action_count == 7
    with pytest.raises(errors.DamagedError, match="1 bytes follow the session"):
        read_session(Cursor(session + b"\0", "a"))
    with pytest.raises(errors.DamagedError, match="are said to follow"):
        read_session(Cursor(session[:-1], "a"))


def test_a_flipped_bit_in_a_segment(effort: Callable[[int], int]) -> None:
    """Nothing of memvid's guards it, so some are not noticed; none does harm."""
    chance = random.Random(7)
    for start in ("01", "11", "17"):
        segment, manifest = segment_of(start), manifest_of(start)
        for place in chance.choices(range(len(segment)), k=effort(8000)):
            changed = bytearray(segment)
            changed[place] ^= 1 << chance.randrange(8)
            read_through(bytes(changed), manifest)


def test_a_flipped_bit_around_the_segment(tmp_path: Path, effort: Callable[[int], int]) -> None:
    """In the header, the table of contents or the footer: what is read is what was recorded, or nothing."""
    chance, data = random.Random(7), sample("01")
    for place in chance.choices([*range(80), *range(87600, len(data))], k=effort(4000)):
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        assert looked_at(tmp_path / "a.mv2", bytes(changed)) in (0, 7)


def test_a_flipped_bit_in_a_side_file(tmp_path: Path, effort: Callable[[int], int]) -> None:
    chance, data = random.Random(7), sample("18")
    for place in chance.choices(range(len(data)), k=effort(4000)):
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        looked_at(tmp_path / "a.session", bytes(changed))


@given(st.data())
def test_any_bytes_for_a_session(data: Any) -> None:
    """With a right beginning, so that they get somewhere."""
    whole = segment_of("11")[32:1600]
    at = data.draw(st.integers(0, len(whole)))
    given_bytes = whole[:at] + data.draw(st.binary(max_size=200)) + data.draw(st.sampled_from([b"", whole[at:]]))

    try:
        session = read_session(Cursor(given_bytes, "a"))
    except errors.DamagedError as error:
        assert 0 <= error.offset <= len(given_bytes)
    else:
        assert list(session.actions) == [session.action(position) for position in range(session.action_count)]


@given(st.data())
def test_any_bytes_for_a_table_of_contents(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """With right checksums, as a forger would make them."""
    at, size = 87600, 12101
    original = sample("01")
    toc = original[at : at + size]
    place = data.draw(st.integers(0, size))
    changed = toc[:place] + data.draw(st.binary(max_size=64)) + toc[place + data.draw(st.integers(0, 64)) :]

    looked_at(tmp_path_factory.mktemp("toc") / "a.mv2", stamped(original, at, changed + bytes(32)))


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 64), (2**62, 64), (85952, 2**62), (85952, 2**64 - 1), (4096, 5), (99_000, 900)]
)
def test_a_manifest_that_leads_nowhere(offset: int, size: int, tmp_path: Path) -> None:
    """Into the header, behind the end, over the table of contents."""
    original, path = sample("01"), tmp_path / "a.mv2"
    toc = bytearray(original[87600 : 87600 + 12101])
    tag = len(toc) - 113
    assert toc[tag] == 1
    toc[tag + 1 : tag + 17] = offset.to_bytes(8, "little") + size.to_bytes(8, "little")
    path.write_bytes(stamped(original, 87600, bytes(toc)))

    with pytest.raises(errors.DamagedError, match="the manifest names"):
        replaykit.load(path)


def test_many_false_footers_cost_little(tmp_path: Path, effort: Callable[[int], int]) -> None:
    """Each claims nearly all of the file; hashing all of that for each would take hours."""
    claim = b"MV2FOOT!" + (3 << 20).to_bytes(8, "little") + bytes(40)
    data = sample("01")[:4096] + bytes(3 << 20) + claim * effort(200_000)

    assert looked_at(tmp_path / "a.mv2", data) == 0


def test_many_false_segments_cost_little(tmp_path: Path, effort: Callable[[int], int]) -> None:
    """Each leads into the next, so that looking at all of each would take time with the square of the size."""
    false = b"MV2RPLY!" + (1).to_bytes(4, "little") + (2**32 - 1).to_bytes(4, "little") + (70).to_bytes(8, "little")
    path = tmp_path / "a.mv2"
    path.write_bytes(sample("09") + false * effort(200_000) + sample("09")[-20_000:])

    report = import_sessions([path], tmp_path / "runs.rpk")
    assert report.count("imported") == report.count("lost") == 0


def test_a_version_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """Nothing is guessed of it."""
    path = tmp_path / "a.mv2"
    data = bytearray(sample("01"))
    data[5] = 3
    path.write_bytes(data)

    with pytest.raises(errors.UnsupportedVersionError, match="3.1"):
        replaykit.load(path)
