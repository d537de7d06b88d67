"""A session knows which memory it is of: only that one, a copy, or a fork that has its generations gives its past."""

from __future__ import annotations

import shutil

import attrs
import pytest

import replaykit
from replaykit.errors import CheckpointNotFoundError, UsageError

PAST = ["now", "then"]


@pytest.fixture
def mv(tmp_path):
    with replaykit.open(tmp_path / "notes.mv") as memory:
        memory.put("a red fox")
        yield memory


def recorded(mv):
    with mv.session("run") as session:
        mv.put("a brown dog")
        mv.find("fox dog")
    return session.result


def as_long(path, mv):
    """Return another memory with as many generations, which held the same."""
    other = replaykit.open(path)
    for frame in mv:
        other.put(frame.content)
    return other


@pytest.mark.parametrize("base", PAST)
def test_another_memory_is_refused_however_alike(mv, tmp_path, base):
    session = recorded(mv)
    with as_long(tmp_path / "other.mv", mv) as other:
        with pytest.raises(UsageError, match=r"another memory, and .*other\.mv .*base='live' with ids='content'"):
            replaykit.replay(session, other, base=base)
        assert replaykit.replay(session, other, base="live", ids="content", skip_puts=True)

    assert session.memory_id == mv.lineage.memory_id


@pytest.mark.parametrize("base", PAST)
def test_a_copy_of_the_file_is_the_same_memory(mv, tmp_path, base):
    recorded(mv)
    mv.close()
    shutil.copyfile(tmp_path / "notes.mv", tmp_path / "copy.mv")
    with replaykit.open(tmp_path / "copy.mv") as copy, replaykit.load(tmp_path / "notes.mv") as recording:
        assert replaykit.replay(recording.get_session("run"), copy, base=base)


@pytest.mark.parametrize("base", PAST)
def test_a_fork_of_a_fork_has_the_past_too(mv, tmp_path, base):
    session = recorded(mv)
    with mv.fork(tmp_path / "b.mv") as branch, branch.fork(tmp_path / "c.mv") as twig, twig.fork(":memory:") as leaf:
        for memory in (branch, twig, leaf):
            assert replaykit.replay(session, memory, base=base), memory
        with leaf.at(generation=leaf.generation) as view:
            assert replaykit.replay(session, view)

        own = recorded(leaf)
        assert replaykit.replay(own, leaf, base=base)
        with pytest.raises(UsageError, match="another memory"):
            replaykit.replay(own, mv, base=base)


def test_a_fork_from_before_its_end_lacks_part_of_it(mv, tmp_path):
    session = recorded(mv)
    with mv.fork(tmp_path / "b.mv", generation=1) as early, early.fork(tmp_path / "c.mv") as twig:
        for memory in (early, twig):
            memory.put("something else")
            with pytest.raises(
                UsageError, match="generation 2 of another memory, and .* forked from that at generation 1"
            ):
                replaykit.replay(session, memory)
            assert replaykit.replay(session, memory, base="then")


def test_a_restored_memory_is_still_itself(mv):
    recorded(mv)
    mv.restore(generation=1)

    assert mv.replay("run", base="then")
    assert mv.replay("run").verdict == "failed"


def test_a_session_from_the_very_beginning_runs_again_anywhere():
    with replaykit.open(":memory:") as mv, replaykit.open(":memory:") as other:
        session = recorded(mv)

        assert replaykit.replay(session, other, base="then")
        with pytest.raises(UsageError, match="another memory"):
            replaykit.replay(session, other)


def test_an_older_copy_is_told(mv, tmp_path):
    mv.close()
    shutil.copyfile(tmp_path / "notes.mv", tmp_path / "copy.mv")
    with replaykit.open(tmp_path / "notes.mv") as memory, replaykit.open(tmp_path / "copy.mv") as copy:
        with pytest.raises(CheckpointNotFoundError, match="an older copy"):
            replaykit.replay(recorded(memory), copy)


def test_sessions_that_do_not_say_are_replayed_as_before(mv, tmp_path):
    session = attrs.evolve(recorded(mv), memory_id=None)
    with as_long(tmp_path / "other.mv", mv) as other:
        assert replaykit.replay(session, other)
        assert replaykit.replay(session, mv)


def test_the_memory_is_known_while_recording_after_a_crash_and_elsewhere(tmp_path):
    with replaykit.open(tmp_path / "notes.mv", store=tmp_path / "runs.rpk") as mv:
        with mv.session("run"):
            mv.put("a red fox")
            assert mv.get_session("run").memory_id == mv.lineage.memory_id
        expected = mv.lineage.memory_id
    with replaykit.load(tmp_path / "runs.rpk") as recording:
        assert recording.get_session("run").memory_id == expected
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder, recorder.session("other"):
        pass
    with replaykit.load(tmp_path / "runs.rpk") as recording:
        assert recording.get_session("other").memory_id is None
