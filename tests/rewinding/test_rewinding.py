"""Checkpoints of wrapped stores: what they keep, and going back to them."""

from __future__ import annotations

import contextlib
import datetime
import os
import pickle
import stat
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import apsw
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewinding.stores import OPERATIONS, Notes

import replaykit
from replaykit import Checkpoint, Recorder, StoredFrame
from replaykit.errors import CheckpointNotFoundError, PlaybackError, ReadOnlyError, RestoreError, UsageError
from replaykit.memory.fields import checked
from replaykit.model import ZERO_HASH
from replaykit.rewinding.encoding import frame_of
from replaykit.rewinding.shadow import Shadow


@pytest.fixture
def notes() -> Notes:
    return Notes(a="one", b="two")


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder("runs.rpk") as recorder:
        yield recorder


def checkpoints_of(recorder: Recorder) -> list[Checkpoint]:
    return list(recorder.get_session("last").checkpoints)


def held(notes: Notes, recorder: Recorder) -> Checkpoint:
    """Wrap *notes* and make one checkpoint of it."""
    recorder.wrap(notes, OPERATIONS, frames=True)
    with recorder.session() as session:
        session.checkpoint()
    return checkpoints_of(recorder)[-1]


# -- keeping --------------------------------------------------------------------------


def test_a_checkpoint_says_what_the_store_held(notes: Notes, recorder: Recorder) -> None:
    """Its own ids, in its order, with a generation and a hash."""
    notes.add(7, "three")

    checkpoint = held(notes, recorder)

    assert list(checkpoint.snapshot.frame_ids) == ["a", "b", 7]
    assert (checkpoint.snapshot.frame_count, checkpoint.snapshot.generation) == (3, 1)
    assert checkpoint.state_hash != ZERO_HASH


def test_it_is_read_from_the_recording_alone(notes: Notes, recorder: Recorder) -> None:
    """Ids and hash need neither the store nor what is kept beside the recording."""
    checkpoint = held(notes, recorder)
    recorder.close()

    with replaykit.load("runs.rpk") as recording:
        assert list(recording.get_session().checkpoints) == [checkpoint]


def test_only_what_differs_is_kept(notes: Notes, recorder: Recorder) -> None:
    """A checkpoint without a difference makes no generation; a changed frame is one new version."""
    wrapped = recorder.wrap(notes, OPERATIONS, frames=True)
    with recorder.session() as session:
        session.checkpoint()
        session.checkpoint()
        wrapped.add("b", "TWO")
        session.checkpoint()

    generations = [each.snapshot.generation for each in checkpoints_of(recorder)]
    assert generations == [1, 1, 2]
    with replaykit.open("runs.rpk.frames-Notes.mv", create=False) as kept:
        assert [(frame.content, frame.generation) for frame in kept] == [("one", 1), ("TWO", 2)]


def test_equal_contents_have_equal_hashes(notes: Notes, recorder: Recorder) -> None:
    """However they were reached, in whatever order they are listed, in a recorder of its own too."""
    first = held(notes, recorder)
    notes.remove("a")
    notes.add("b", "x")
    second = held(notes, recorder)
    notes.add("b", "two")
    notes.add("a", "one")
    third = held(notes, recorder)
    with Recorder("other/") as other:
        fourth = held(Notes(a="one", b="two"), other)

    assert first.state_hash == third.state_hash == fourth.state_hash != second.state_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "other"},
        {"id": 1},
        {"text": "other"},
        {"text": b"one"},
        {"text": ""},
        {"text": None},
        {"title": "t"},
        {"uri": "u"},
        {"metadata": {"k": 1}},
        {"metadata": {"k": 1.0}},
        {"metadata": {"k": True}},
        {"metadata": {"k": (1,)}},
        {"vector": (1.0,)},
        {"vector": (1.0 + 1e-12,)},
        {"vector": ()},
    ],
    ids=repr,
)
def test_states_that_differ_in_any_field_have_different_hashes(changed: dict[str, Any]) -> None:
    shadow = Shadow(":memory:")
    plain = StoredFrame(id="1", text="one")

    hashes = {shadow.keep([frame]).state_hash for frame in (plain, attrs.evolve(plain, **changed))}

    assert len(hashes) == 2


def test_all_kinds_of_values_come_back(notes: Notes, recorder: Recorder) -> None:
    """Bytes, surrogates, items without a text, typed metadata, vectors of both widths."""
    notes.add("bytes", b"\x00\xff", title="T", uri="u:1")
    notes.add("none", None, vector=[0.1, 1e300, float("inf")])
    notes.add("narrow", "x", vector=[0.5, -2.0])
    notes.add("surrogate \ud800", "lone \udfff", metadata={"k": "\ud800"})
    notes.add(-(2**70), "large id", metadata={"when": datetime.datetime(2026, 1, 2), "t": (1, {2}), "id": uuid.uuid4()})
    notes.add("nested", "x", metadata={"list": [1, None, {"a": [True]}], "nan": float("inf")})
    before = dict(notes.items)
    checkpoint = held(notes, recorder)
    notes.items.clear()

    done = recorder.restore(checkpoint)

    assert notes.items == before
    assert done.is_exact


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"k": 1}, {"k": 1.0}),
        ({"k": {"deep": [1]}}, {"k": {"deep": [2]}}),
        (MappingProxyType({"k": 1}), MappingProxyType({"k": 2})),
        ({"k": MappingProxyType({"k": 1})}, {"k": MappingProxyType({"k": 2})}),
        ({"k": {1, 2}}, {"k": {1, 3}}),
        ({"k": datetime.date(2026, 1, 1)}, {"k": datetime.date(2026, 1, 2)}),
    ],
    ids=repr,
)
def test_a_change_of_metadata_alone_is_noticed(before: Any, after: Any) -> None:
    """By who has seen the frame before and by who reads it from the file."""
    shadow = Shadow("kept.mv")
    first = shadow.keep([StoredFrame(id="a", metadata=before)])

    second = shadow.keep([StoredFrame(id="a", metadata=after)])

    assert second.state_hash != first.state_hash
    assert Shadow("kept.mv").keep([StoredFrame(id="a", metadata=after)]) == second
    assert shadow.keep([StoredFrame(id="a", metadata=before)]).state_hash == first.state_hash


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abcd"), st.tuples(st.text(max_size=5), st.dictionaries(st.text(max_size=2), st.integers()))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_state_can_be_gone_back_to(states: list[dict[str, Any]]) -> None:
    """Each of any row of states, in any order, and with the hash that it had."""
    shadow = Shadow(":memory:")
    kept = []
    for state in states:
        frames = [StoredFrame(id=key, text=text, metadata=metadata) for key, (text, metadata) in state.items()]
        kept.append((frames, shadow.keep(frames)))

    for frames, state in reversed(kept):
        found = list(shadow.frames_at(state.generation))
        assert sorted(found, key=lambda frame: frame.id) == sorted(frames, key=lambda frame: frame.id)
        assert Shadow(":memory:").keep(found).state_hash == state.state_hash


def test_the_states_are_private_and_beside_the_recordings(notes: Notes) -> None:
    """Mode 0600, named after the store; in the folder of a directory store; nowhere for one in RAM."""
    for location in ("runs.rpk", "runs/", "notes.mv", ":memory:"):
        with Recorder(location) as recorder:
            held(notes, recorder)

    found = sorted(str(path) for path in Path().rglob("*frames-*"))
    assert found == ["notes.mv.frames-Notes.mv", "runs.rpk.frames-Notes.mv", "runs/frames-Notes.mv"]
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in found} == {0o600}


def test_nothing_is_kept_unasked(notes: Notes, recorder: Recorder) -> None:
    """Without frames= a checkpoint reads nothing and leaves no file."""
    notes.is_broken = True
    recorder.wrap(notes, OPERATIONS)
    with recorder.session() as session:
        session.checkpoint()

    (checkpoint,) = checkpoints_of(recorder)
    assert checkpoint.state_hash == ZERO_HASH
    assert list(Path().glob("*frames*")) == []


def test_a_directory_with_states_is_verified_and_compacted(notes: Notes) -> None:
    """What is kept of a store is no recording and does not count as one."""
    with Recorder("runs/") as recorder:
        held(notes, recorder)
        assert recorder.store.verify()
        recorder.store.compact()

        recorder.restore(checkpoints_of(recorder)[0])


def test_secrets_in_ids_do_not_reach_the_recording(notes: Notes, recorder: Recorder) -> None:
    """The states have them, as the store has; the recording has not, and they are put back all the same."""
    secret = "sk-" + "a1B2c3D4" * 6
    notes.add(secret, "keyed")

    checkpoint = held(notes, recorder)
    recorder.flush()

    assert secret not in checkpoint.snapshot.frame_ids
    assert secret.encode() not in Path("runs.rpk").read_bytes()
    notes.items.clear()
    recorder.restore(checkpoint)
    assert secret in notes.items


def test_policies_make_checkpoints_with_content(notes: Notes, recorder: Recorder) -> None:
    """The state after the action that was due."""
    wrapped = recorder.wrap(notes, OPERATIONS, frames=True)
    with recorder.session(auto_checkpoint=2):
        for key in "cdef":
            wrapped.add(key, key)

    assert [list(each.snapshot.frame_ids) for each in checkpoints_of(recorder)] == [list("abcd"), list("abcdef")]


def test_threads_make_checkpoints_side_by_side(notes: Notes, recorder: Recorder) -> None:
    """Each is a state that can be gone back to."""
    wrapped = recorder.wrap(notes, OPERATIONS, frames=True)
    barrier = threading.Barrier(4)
    with recorder.session() as session:

        def work(name: str) -> None:
            barrier.wait()
            for number in range(5):
                wrapped.add(f"{name}{number}", name)
                session.checkpoint()

        threads = [threading.Thread(target=session.carry(work), args=(name,)) for name in "wxyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(checkpoints_of(recorder)) == 20
    for checkpoint in checkpoints_of(recorder):
        assert recorder.restore(checkpoint).is_exact


def test_two_processes_may_keep_states_of_stores_of_one_name() -> None:
    """Both find their own; what one wrote in between is noticed by the other."""
    one, other = Shadow("shared.mv"), Shadow("shared.mv")
    first = one.keep([StoredFrame(id="a", text="one")])
    second = other.keep([StoredFrame(id="a", text="other"), StoredFrame(id="b", text="b")])
    third = one.keep([StoredFrame(id="a", text="one")])

    assert [first.generation, second.generation, third.generation] == [1, 2, 3]
    assert first.state_hash == third.state_hash
    assert [frame.text for frame in one.frames_at(2)] == ["other", "b"]


def test_what_a_store_calls_while_it_is_read_is_not_recorded(recorder: Recorder) -> None:
    """Nor does it make further checkpoints: it is nobody's call."""

    @replaykit.records("find")
    def fetch() -> list[str]:
        return ["one"]

    class Fetching(Notes):
        def frames(self) -> Any:
            return [StoredFrame(id=text, text=text) for text in fetch()]

        def restore(self, frames: Any) -> None:
            fetch()

    wrapped = recorder.wrap(Fetching(), OPERATIONS, frames=True)
    with recorder.session(auto_checkpoint=replaykit.before("find")) as session:
        session.checkpoint()
        recorder.restore(recorder.get_session(session.id).checkpoints[0])  # type: ignore[arg-type]
        wrapped.search("x")

    assert session.result is not None
    assert [action.name for action in session.result.actions] == ["checkpoint", "restore", "checkpoint", "search"]
    assert recorder.stats()["bare_checkpoints"] == 0


def test_a_store_that_counts_as_false_is_held_all_the_same(recorder: Recorder) -> None:
    """An empty one, say."""

    class Sized(Notes):
        def __len__(self) -> int:
            return len(self.items)

    sized = Sized()
    recorder.wrap(sized, OPERATIONS, frames=sized)
    with recorder.session() as session:
        session.checkpoint()

    assert checkpoints_of(recorder)[0].state_hash != ZERO_HASH


# -- going back -----------------------------------------------------------------------


def test_a_store_is_put_back_into_itself(notes: Notes, recorder: Recorder) -> None:
    """Changed, removed and added frames; what was there before the restore can be put back too."""
    checkpoint = held(notes, recorder)
    notes.add("a", "changed")
    notes.remove("b")
    notes.add("c", "new")

    done = recorder.restore(checkpoint)
    assert notes.texts() == {"a": "one", "b": "two"}
    assert (done.frame_count, dict(done.new_ids), done.is_exact) == (2, {}, True)

    assert done.before is not None
    assert recorder.restore(done.before).is_exact
    assert notes.texts() == {"a": "changed", "c": "new"}


def test_the_next_process_goes_back_too(notes: Notes) -> None:
    """The store is new then; the recording and what lies beside it are what was left."""
    with Recorder("runs.rpk") as recorder:
        held(notes, recorder)
    fresh = Notes()
    wrapped = replaykit.wrap(fresh, store="runs.rpk", operations=OPERATIONS, frames=True)
    recorder = replaykit.recorder_of(wrapped)

    recorder.restore(recorder.get_session("last").checkpoints[0])

    assert fresh.texts() == {"a": "one", "b": "two"}
    recorder.close()


def test_a_fresh_store_of_its_kind_is_filled(notes: Notes, recorder: Recorder) -> None:
    """Wrapped or not; the first one is not touched."""
    checkpoint = held(notes, recorder)
    notes.items.clear()
    fresh, second, third = Notes(), Notes(), Notes()
    with Recorder("second.rpk") as other:
        assert recorder.restore(checkpoint, into=fresh).is_exact
        assert recorder.restore(checkpoint, into=other.wrap(second, OPERATIONS)).is_exact
        # What it was wrapped with fills it: here, another one.
        assert recorder.restore(checkpoint, into=other.wrap(second, OPERATIONS, frames=third)).is_exact

    assert fresh.texts() == second.texts() == third.texts() == {"a": "one", "b": "two"}
    assert notes.texts() == {}


def test_an_embedded_memory_is_filled(notes: Notes, recorder: Recorder) -> None:
    """Titles, uris and metadata as they are, values that JSON lacks as text; the ids are told."""
    notes.add("c", b"\x00", title="T", uri="u", metadata={"k": (1, datetime.date(2026, 1, 2))})
    checkpoint = held(notes, recorder)

    with replaykit.open(":memory:") as memory:
        done = recorder.restore(checkpoint, into=memory)

        assert {key: memory.get(number).content for key, number in done.new_ids.items()} == {
            "a": "one",
            "b": "two",
            "c": b"\x00",
        }
        last = memory.get(done.new_ids["c"])
        assert (last.title, last.uri) == ("T", "u")
        assert last.metadata == {"k": [1, "2026-01-02"], "stored_id": "c"}
        with pytest.raises(UsageError, match=":memory: holds frames"):
            recorder.restore(checkpoint, into=memory)


def test_the_store_is_shown_as_it_was(notes: Notes, recorder: Recorder) -> None:
    """As a memory that can be searched and takes no writes; what comes later does not show."""
    checkpoint = held(notes, recorder)
    notes.items.clear()

    with recorder.at(checkpoint) as memory:
        (hit,) = memory.find("two")
        assert (hit.text, hit.metadata["stored_id"], len(memory)) == ("two", "b", 2)
        for write in (lambda: memory.put("x"), lambda: memory.delete(1), lambda: memory.update(1, "x")):
            with pytest.raises(ReadOnlyError, match="a store as it was at a checkpoint"):
                write()
    assert notes.texts() == {}


def test_a_branch_of_the_past_can_be_written(notes: Notes, recorder: Recorder) -> None:
    """A memory of its own, with what the store held then."""
    checkpoint = held(notes, recorder)

    with recorder.at(checkpoint) as then, then.fork("branch.mv") as branch:
        branch.put("three")
        assert [frame.content for frame in branch] == ["one", "two", "three"]
        assert len(then) == 2


def test_what_is_asked_of_the_past_is_recorded(notes: Notes, recorder: Recorder) -> None:
    """Into the open session, as are restores."""
    checkpoint = held(notes, recorder)
    with recorder.session() as session, recorder.at(checkpoint) as memory:
        memory.find("two")
        recorder.restore(checkpoint)

    assert session.result is not None
    assert [(action.kind, action.name) for action in session.result.actions] == [
        ("find", "find"),
        ("update", "restore"),
    ]
    assert session.result.actions[1].arguments == {"session": str(checkpoint.session_id), "checkpoint": 0}


def test_a_wrapped_object_goes_back_by_itself() -> None:
    """Where it has no names of its own for it; without frames= the names are not there."""

    class Plain:
        def __init__(self) -> None:
            self.items = {"a": "one"}

        def add(self, key: str, text: str) -> None:
            self.items[key] = text

    class Frames:
        def __init__(self, plain: Plain) -> None:
            self.plain = plain

        def frames(self) -> list[StoredFrame]:
            return [StoredFrame(id=key, text=text) for key, text in self.plain.items.items()]

        def restore(self, frames: Any) -> None:
            self.plain.items = {frame.id: frame.text for frame in frames}

    plain: Any = Plain()
    wrapped = replaykit.wrap(plain, store=":memory:", operations={"add": "put"}, frames=Frames(plain))
    with wrapped.session() as session:
        session.checkpoint()
        wrapped.add("b", "two")
    checkpoint = session.result.checkpoints[0]

    assert wrapped.restore(checkpoint).is_exact
    assert plain.items == {"a": "one"}
    assert len(wrapped.at(checkpoint)) == 1
    assert {"at", "restore"} <= set(dir(wrapped))
    assert not hasattr(replaykit.wrap(plain, store=":memory:", operations={"add": "put"}), "at")


def test_a_pickled_wrapped_store_keeps_its_states(notes: Notes) -> None:
    """It is wrapped again with the same adapter, in the same place."""
    wrapped = replaykit.wrap(notes, store="runs/", operations=OPERATIONS, frames=True)
    with wrapped.session() as session:
        session.checkpoint()

    again: Any = pickle.loads(pickle.dumps(wrapped))
    again.items.clear()
    replaykit.recorder_of(again).restore(session.result.checkpoints[0])

    assert again.texts() == {"a": "one", "b": "two"}
    replaykit.recorder_of(again).close()
    replaykit.recorder_of(wrapped).close()


# -- what goes wrong ------------------------------------------------------------------


def test_a_store_that_cannot_be_read_breaks_nothing(notes: Notes, recorder: Recorder) -> None:
    """The checkpoint is made without content, counted and said once; the next one is whole again."""
    wrapped = recorder.wrap(notes, OPERATIONS, frames=True)
    with recorder.session() as session:
        notes.is_broken = True
        with pytest.warns(replaykit.errors.ReplaykitWarning, match="ConnectionError: the server is gone"):
            session.checkpoint()
        session.checkpoint()
        wrapped.add("c", "three")
        notes.is_broken = False
        session.checkpoint()

    bare, again, whole = checkpoints_of(recorder)
    assert (bare.state_hash, again.state_hash, bare.snapshot.frame_count) == (ZERO_HASH, ZERO_HASH, 0)
    assert recorder.stats()["bare_checkpoints"] == 2
    assert recorder.stats()["lost"] == 0
    with pytest.raises(CheckpointNotFoundError, match="holds no content"):
        recorder.restore(bare)
    assert recorder.restore(whole).is_exact


@pytest.mark.filterwarnings("ignore::replaykit.errors.ReplaykitWarning")
@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([StoredFrame(id="a"), StoredFrame(id="a")], "the id 'a' twice"),
        (["text"], "gives StoredFrame each, not str"),
        ([StoredFrame(id="a", metadata={"k": object()})], "frame 'a': its metadata hold an object"),
        ([StoredFrame(id="a", title=7)], "frame 'a': title must be str"),
        (7, "not iterable"),
    ],
)
def test_frames_that_are_none_are_refused(frames: Any, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which and why; what was kept before is untouched."""

    class Bad(Notes):
        def frames(self) -> Any:
            return frames

    with Recorder(":memory:") as recorder:
        checkpoint = held(Bad(), recorder)

    assert checkpoint.state_hash == ZERO_HASH
    assert said in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    "wrong", [{"id": True}, {"id": None}, {"id": 1.5}, {"text": 7}, {"vector": "ab"}, {"vector": 3}]
)
def test_a_frame_of_wrong_values_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        StoredFrame(**{"id": "a", **wrong})


@pytest.mark.parametrize("wrong", [0, "0", None, object()])
def test_what_is_no_checkpoint_says_where_there_are_some(wrong: Any, notes: Notes, recorder: Recorder) -> None:
    """An id is not enough: each session counts from 0."""
    held(notes, recorder)

    with pytest.raises(UsageError, match=r"give a Checkpoint, not \w+: get_session\(which\)"):
        recorder.restore(wrong)


def test_an_unknown_checkpoint_is_not_found(notes: Notes, recorder: Recorder) -> None:
    """A generation that was never made, states that are gone, and those of another store: nothing is touched."""
    checkpoint = held(notes, recorder)
    notes.add("c", "three")
    held(notes, recorder)

    def at(generation: int) -> Checkpoint:
        return attrs.evolve(checkpoint, snapshot=attrs.evolve(checkpoint.snapshot, generation=generation))

    others = [
        (
            attrs.evolve(checkpoint, snapshot=attrs.evolve(checkpoint.snapshot, generation=99)),
            "state is not in .*runs.rpk",
        ),
        (at(2**70), "is not in"),
        (at(2), "is another store's"),
    ]
    for other, said in others:
        for go_back in (recorder.restore, recorder.at):
            with pytest.raises(CheckpointNotFoundError, match=said):
                go_back(other)
    assert set(notes.items) == {"a", "b", "c"}

    with Recorder("elsewhere.rpk") as elsewhere:
        elsewhere.wrap(notes, OPERATIONS, frames=True)
        with pytest.raises(CheckpointNotFoundError, match="which is not there"):
            elsewhere.restore(checkpoint)
    assert not Path("elsewhere.rpk.frames-Notes.mv").exists()


def test_a_checkpoint_of_another_store_is_refused(notes: Notes, recorder: Recorder) -> None:
    """Both have a generation of that number."""
    checkpoint = held(notes, recorder)
    with Recorder("other.rpk") as other:
        held(Notes(x="other"), other)

        with pytest.raises(CheckpointNotFoundError, match="is another store's"):
            other.restore(checkpoint)


def test_a_store_that_fails_is_put_back(notes: Notes, recorder: Recorder) -> None:
    """The error says that nothing has changed."""
    checkpoint = held(notes, recorder)
    notes.add("b", "later")
    notes.refused = "two"

    with pytest.raises(RestoreError, match="OSError: no room.*holds what it held before") as caught:
        recorder.restore(checkpoint)

    assert caught.value.state == "unchanged"
    assert notes.texts() == {"a": "one", "b": "later"}


def test_a_store_that_stays_broken_says_so(notes: Notes, recorder: Recorder) -> None:
    """What it held is kept, and is put back once the cause is gone."""
    checkpoint = held(notes, recorder)
    notes.add("a", "two")
    notes.refused = "two"

    with recorder.session() as session, pytest.raises(RestoreError, match="holds neither") as caught:
        recorder.restore(checkpoint)

    assert caught.value.state == "mixed"
    assert notes.texts() == {}
    notes.refused = None
    assert recorder.restore(caught.value.before).is_exact  # type: ignore[arg-type]
    assert notes.texts() == {"a": "two", "b": "two"}
    assert session.result is not None
    (action,) = session.result.actions
    assert action.error is not None


def test_a_store_that_cannot_be_read_is_not_touched(notes: Notes, recorder: Recorder) -> None:
    """What it holds could not be kept first."""
    checkpoint = held(notes, recorder)
    notes.is_broken = True

    with pytest.raises(RestoreError, match="nothing was restored") as caught:
        recorder.restore(checkpoint)

    assert caught.value.state == "unchanged"
    assert notes.texts() == {"a": "one", "b": "two"}


def test_a_store_that_breaks_during_the_restore_is_unknown(notes: Notes, recorder: Recorder) -> None:
    checkpoint = held(notes, recorder)
    notes.add("c", "three")

    def broken(_frames: Any) -> None:
        notes.is_broken = True
        raise ConnectionError("reset")

    notes.restore = broken  # type: ignore[method-assign]
    with pytest.raises(RestoreError, match="cannot be read now") as caught:
        recorder.restore(checkpoint)
    assert caught.value.state == "unknown"

    def silently(_frames: Any) -> None:
        notes.is_broken = True

    notes.is_broken = False
    notes.restore = silently  # type: ignore[method-assign]
    with pytest.raises(RestoreError, match="cannot be read again") as caught:
        recorder.restore(checkpoint)
    assert caught.value.state == "unknown"


def test_only_an_empty_store_is_filled(notes: Notes, recorder: Recorder) -> None:
    """What another store holds is not ours to remove; one that fails is emptied again."""
    checkpoint = held(notes, recorder)
    full, failing, broken = Notes(x="mine"), Notes(), Notes()
    failing.refused = "two"
    broken.is_broken = True

    with pytest.raises(UsageError, match="holds frames"):
        recorder.restore(checkpoint, into=full)
    with pytest.raises(RestoreError, match="empty as before") as caught:
        recorder.restore(checkpoint, into=failing)
    with pytest.raises(RestoreError, match=r"into= cannot be read \(ConnectionError"):
        recorder.restore(checkpoint, into=broken)
    with pytest.raises(UsageError, match="a list cannot be read and filled"):
        recorder.restore(checkpoint, into=[])

    assert full.texts() == {"x": "mine"}
    assert failing.texts() == {}
    assert caught.value.state == "unchanged"


@pytest.mark.parametrize("wrong", [7, "Notes", Notes, object()])
def test_what_cannot_read_the_store_is_refused(wrong: Any, notes: Notes, recorder: Recorder) -> None:
    with pytest.raises(UsageError, match="frames= is True or an object with frames"):
        recorder.wrap(notes, OPERATIONS, frames=wrong)


def test_a_store_that_nothing_reads_is_refused(recorder: Recorder) -> None:
    with pytest.raises(UsageError, match="a list cannot be read and filled: give frames="):
        recorder.wrap([], {"append": "put"}, frames=True)


def test_a_recorder_holds_one_store(notes: Notes, recorder: Recorder) -> None:
    """The same one again is fine; another needs a recorder of its own."""
    wrapped = recorder.wrap(notes, OPERATIONS, frames=True)
    recorder.wrap(wrapped, frames=notes)

    with pytest.raises(UsageError, match="hold a Notes already"):
        recorder.wrap(Notes(), OPERATIONS, frames=True)


def test_without_content_going_back_says_how_to_get_it(notes: Notes, recorder: Recorder) -> None:
    recorder.wrap(notes, OPERATIONS)

    for go_back in (recorder.at, recorder.restore):
        with pytest.raises(UsageError, match="frames=True"):
            go_back(Checkpoint(id=0, session_id=uuid.uuid4(), at_sequence=0, timestamp_ns=0))


def test_a_play_touches_no_store(notes: Notes, recorder: Recorder) -> None:
    """Neither a checkpoint reads it, nor a restore fills it."""
    checkpoint = held(notes, recorder)
    recorder.flush()
    notes.is_broken = True

    with replaykit.play("runs.rpk"), recorder.session() as session:
        session.checkpoint()
        for into in (None, Notes()):
            with pytest.raises(PlaybackError, match="a play executes nothing"):
                recorder.restore(checkpoint, into=into)

    assert recorder.stats()["bare_checkpoints"] == 0


def test_damaged_states_are_a_typed_error(notes: Notes) -> None:
    """Before the store is touched."""
    with Recorder("runs.rpk") as recorder:
        checkpoint = held(notes, recorder)
    path = Path("runs.rpk.frames-Notes.mv")
    with Recorder("runs.rpk") as recorder:
        recorder.wrap(notes, OPERATIONS, frames=True)
        path.write_bytes(path.read_bytes().replace(b"two", b"tvo"))
        with pytest.raises(replaykit.errors.DamagedError, match="its frame 2 is not what was kept"):
            recorder.restore(checkpoint)
    path.write_bytes(b"no database at all" * 100)
    with Recorder("runs.rpk") as recorder:
        recorder.wrap(notes, OPERATIONS, frames=True)
        with pytest.raises(replaykit.errors.NotAStoreError):
            recorder.restore(checkpoint)
    assert notes.texts() == {"a": "one", "b": "two"}


_HOSTILE = [
    "[]",
    "7",
    "no JSON",
    "{}",
    '{"id": null}',
    '{"id": true}',
    '{"id": [1]}',
    "[" * 100_000,
    '{"id":' + "[" * 100_000,
]


@pytest.mark.parametrize("metadata", _HOSTILE, ids=lambda text: text[:12])
def test_states_that_lie_are_a_typed_error(metadata: str) -> None:
    """However their metadata are forged, for who goes on in the file and for who reads it."""
    with contextlib.closing(Shadow("forged.mv")) as shadow:
        shadow.keep([StoredFrame(id="a", text="one")])
    with contextlib.closing(apsw.Connection("forged.mv")) as connection:
        connection.execute("UPDATE memory_versions SET metadata = ?", (metadata,))

    with contextlib.closing(Shadow("forged.mv")) as shadow:
        for use in (lambda: shadow.keep([]), lambda: list(shadow.frames_at(1))):
            with pytest.raises(replaykit.errors.DamagedError):
                use()


@pytest.mark.parametrize(
    "lies",
    [
        {"vector": "AAAA", "width": 3},
        {"vector": "AAAA", "width": "x"},
        {"vector": "?"},
        {"vector": 7},
        {"vector": "AAA="},
        {"typed": 7},
        {"typed": "AAAA"},
        {"typed": "oWJ+dGN4"},
        {"metadata": 7},
        {"metadata": [["k", 1]]},
    ],
    ids=repr,
)
def test_a_kept_frame_that_lies_is_a_typed_error_or_a_frame(lies: dict[str, Any]) -> None:
    """Nothing but ours comes out of it."""
    fields = checked("text", metadata={"id": "a", **lies})
    try:
        frame = frame_of(fields, "forged.mv")
    except replaykit.errors.DamagedError:
        return
    assert isinstance(frame.metadata, Mapping)
