"""memvid's files are read field for field, through their own manifest, and left as they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest.mock import ANY

import pytest
from importers.samples import ALL, READABLE, SIDE_FILE, expected, sample, session_fields, toc_of, unpack

import replaykit
from replaykit import errors
from replaykit.importers.memvid.container import Container, opened
from replaykit.importers.memvid.store import MemvidStore
from replaykit.importers.memvid.toc import manifest_forward
from replaykit.model import OVERSIZE_HASH
from replaykit.testing.contracts import make_part


@pytest.mark.parametrize("name", READABLE)
def test_every_field_is_as_memvid_shows_it(name: str, tmp_path: Path) -> None:
    """Nothing is left out, repaired or put in order."""
    (path,) = unpack(tmp_path, name)
    with replaykit.load(path) as recording:
        summaries = recording.list_sessions()
        sessions = [recording.get_session(summary) for summary in summaries]

    wanted = expected(name)
    ids = [session["session_id"] for session in wanted]
    assert [str(item.session_id) for item in summaries] == (ids if len(set(ids)) == len(ids) else [*ids[:4], ANY])
    assert [session_fields(session) for session in sessions] == [
        {key: session[key] for key in session_fields(sessions[0])} for session in wanted
    ]
    assert [item.action_count for item in summaries] == [len(session["actions"]) for session in wanted]
    assert [item.checkpoint_count for item in summaries] == [len(session["checkpoints"]) for session in wanted]


def test_of_two_sessions_with_one_id_both_can_be_read(tmp_path: Path) -> None:
    """memvid shows the first; the second gets an id that is the same each time."""
    (path,) = unpack(tmp_path, "11")
    summaries = replaykit.load(path).list_sessions()
    second, fifth = summaries[1], summaries[4]

    assert str(second.session_id) == expected(path.name)[1]["session_id"] == expected(path.name)[4]["session_id"]
    assert fifth.session_id not in {item.session_id for item in summaries[:4]}
    assert replaykit.load(path).get_session(fifth.session_id).name == "same id as the second"
    assert replaykit.load(path).list_sessions() == summaries


def test_state_hashes_follow_from_their_snapshots(tmp_path: Path) -> None:
    """They are computed again for every checkpoint that memvid itself made; the invented one is told."""
    verdicts = {path.name[:2]: replaykit.load(path).verify() for path in unpack(tmp_path) if path.name in READABLE}

    assert sorted(name for name, verdict in verdicts.items() if not verdict) == ["11", "16"]
    assert ["state hash of checkpoint 7" in problem for problem in verdicts["11"].problems] == [True]
    assert sum(len(session["checkpoints"]) for name in READABLE for session in expected(name)) == 23


def test_a_changed_query_is_noticed(tmp_path: Path) -> None:
    """memvid notices nothing; but it hashed the query when it was asked."""
    (path,) = unpack(tmp_path, "16")
    session = replaykit.load(path).get_session()

    assert [action.sequence for action in session.actions if "damaged" in action.flags] == [6]
    assert ["action 6" in problem for problem in replaykit.load(path).verify().problems] == [True]


def test_the_sentinel_of_oversize_data_is_kept(tmp_path: Path) -> None:
    (path,) = unpack(tmp_path, "11")
    session = replaykit.load(path).get_session("all variants")

    assert [action.sequence for action in session.actions if action.input_hash == OVERSIZE_HASH] == [15]
    assert session.actions[15].affected_frames == () and session.actions[15].action_type.frame_id == 2**64 - 1  # type: ignore[union-attr]


def test_what_was_never_ended_is_interrupted(tmp_path: Path) -> None:
    """An unfinished session of a segment and the active one of the command line."""
    first, second = unpack(tmp_path, "11", "18")

    assert [item.name for item in replaykit.load(first).list_sessions(state="interrupted")] == [None]
    (active,) = replaykit.load(second).list_sessions()
    assert (active.state, active.name, active.ended_secs) == ("interrupted", "activé", None)


# -- finding the manifest -----------------------------------------------------------------


def test_deleted_sessions_are_not_read(tmp_path: Path) -> None:
    """Seven segments are in the one file and the manifest names one; the other names none of its own."""
    some, none = unpack(tmp_path, "08", "10")

    assert some.read_bytes().count(b"MV2RPLY!") == 7
    assert [item.name for item in replaykit.load(some).list_sessions()] == ["s0", "s2", "s4"]
    assert none.read_bytes().count(b"MV2RPLY!") == 1
    assert replaykit.load(none).list_sessions() == []


def test_both_ways_to_the_manifest_agree(tmp_path: Path) -> None:
    """From the end, and forward through either layout of the table of contents."""
    for path in unpack(tmp_path, *(name for name in ALL if name != SIDE_FILE and not name.startswith("15"))):
        with opened(str(path)) as file:
            found = Container(file)

        assert manifest_forward(toc_of(path.name), path.name, found.toc_offset) == found.manifest


def test_an_overwritten_segment_is_damage(tmp_path: Path) -> None:
    """Its manifest is there; salvaging gives what there is, which is nothing."""
    (path,) = unpack(tmp_path, "14")

    with pytest.raises(
        errors.DamagedError, match=r"byte 76364: the sessions were overwritten.*replaykit import"
    ) as told:
        replaykit.load(path)
    assert (told.value.path, told.value.offset) == (str(path), 76364)
    with replaykit.load(path, recovery="salvage") as recording:
        assert recording.list_sessions() == []
        assert not recording.verify()


def test_a_file_without_a_table_of_contents_is_damage(tmp_path: Path) -> None:
    """Whole sessions lie where it was, but nothing says that they count."""
    (path,) = unpack(tmp_path, "15")

    for recovery in ("prefix", "strict", "salvage"):
        with pytest.raises(errors.DamagedError, match="no whole table of contents"):
            replaykit.load(path, recovery=recovery)  # type: ignore[arg-type]  # literals all


def test_damage_in_one_session_leaves_the_others(tmp_path: Path) -> None:
    """Each has its length; strict and default reading refuse."""
    (path,) = unpack(tmp_path, "03")
    data = bytearray(path.read_bytes())
    at = data.rindex("сессия 11".encode())
    data[at] = 0xFF
    path.write_bytes(data)

    with pytest.raises(errors.DamagedError, match="not UTF-8"):
        replaykit.load(path)
    found = replaykit.load(path, recovery="salvage")
    assert len(found.list_sessions()) == 23
    assert ["not UTF-8" in problem for problem in found.verify().problems] == [True]


def test_a_stale_header_is_told(tmp_path: Path) -> None:
    """The last whole table of contents counts then."""
    (path,) = unpack(tmp_path, "01")
    data = bytearray(path.read_bytes())
    data[8] ^= 1
    path.write_bytes(data)

    recording = replaykit.load(path)
    assert [item.name for item in recording.list_sessions()] == ["basic session"]
    assert ["the last whole one is at byte 87600" in problem for problem in recording.verify().problems] == [True]


# -- the file stays as it is --------------------------------------------------------------


def test_reading_changes_nothing(tmp_path: Path) -> None:
    """No byte, no time, no file beside it; a file and a folder that nobody may write will do."""
    (path,) = unpack(tmp_path, "01")
    os.utime(path, ns=(1, 2))
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with replaykit.load(path) as recording:
            recording.verify()
            list(recording.get_session().actions)
    finally:
        tmp_path.chmod(0o700)

    assert path.read_bytes() == sample("01")
    assert path.stat().st_mtime_ns == 2
    assert list(tmp_path.iterdir()) == [path]


def test_memvid_can_replace_the_file_meanwhile(tmp_path: Path) -> None:
    """Nothing is held open: what was loaded stays what it was."""
    (path,) = unpack(tmp_path, "01")
    recording = replaykit.load(path)
    path.write_bytes(sample("08"))

    assert recording.get_session().name == "basic session"


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    (path,) = unpack(tmp_path, "01")
    link, pipe = tmp_path / "link.mv2", tmp_path / "pipe.mv2"
    link.symlink_to(path)
    os.mkfifo(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)

    for each in (link, pipe):
        with pytest.raises(errors.StorageError):
            replaykit.load(each)


def test_writing_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Recording into memvid's file, and opening it as a memory."""
    (path,) = unpack(tmp_path, "01")

    with pytest.raises(errors.NotAStoreError, match="replaykit import"):
        replaykit.Recorder(path).start_session()
    with pytest.raises(errors.NotAStoreError, match=r"replaykit\.wrap"):
        replaykit.open(path)
    assert path.read_bytes() == sample("01")


def test_nothing_is_written_into_memvids_file(tmp_path: Path) -> None:
    (path,) = unpack(tmp_path, "01")
    before = path.read_bytes()
    store = MemvidStore(path)
    session_id = store.cards()[0].session_id

    for refused in (
        lambda: store.create_log(session_id),
        lambda: store.publish(make_part(session_id, [0])),
        lambda: store.delete(session_id),
        lambda: store.erase(session_id),
        store.compact,
    ):
        with pytest.raises(errors.ReadOnlyError, match="replaykit import"):
            refused()

    assert path.read_bytes() == before
