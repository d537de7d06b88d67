"""A memory's sessions replay wholly as long as nothing changed, and name the first action that would differ."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

import replaykit
from replaykit import DivergenceType as Kind
from replaykit.errors import CheckpointNotFoundError, FrameNotFoundError, UsageError
from replaykit.memory.engine import Engine
from replaykit.playback.judging import judge
from replaykit.playback.outcomes import Outcome, as_recorded
from replaykit.testing.embedders import HashedNgrams

TEXTS = st.lists(st.sampled_from(["red", "blue", "fox", "dog", "cat"]), min_size=1, max_size=4).map(" ".join)
QUERIES = st.sampled_from(["red", "fox", "blue dog", "cat fox", "nothing"])
CALLS = st.one_of(
    st.tuples(st.just("put"), TEXTS),
    st.tuples(st.just("put_many"), st.lists(TEXTS, min_size=1, max_size=3)),
    st.tuples(st.just("update"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("find"), QUERIES, st.integers(1, 4)),
    st.tuples(st.just("ask"), QUERIES),
    st.tuples(st.just("get"), st.integers(0, 9)),
    st.tuples(st.just("checkpoint")),
)
WRITES = st.one_of(
    st.tuples(st.just("put"), TEXTS),
    st.tuples(st.just("update"), st.integers(0, 9), TEXTS),
    st.tuples(st.just("delete"), st.integers(0, 9)),
)


def live_ids(mv):
    return [frame.frame_id for frame in mv]


def do(mv, call, session=None):
    """Make one call; a number stands for one of the live frames."""
    name, *args = call
    if name == "checkpoint":
        session.checkpoint()
        return
    if name in ("update", "delete", "get"):
        ids = live_ids(mv)
        if not ids:
            return
        args[0] = ids[args[0] % len(ids)]
    getattr(mv, name)(*args)


def record(mv, before, calls):
    for text in before:
        mv.put(text)
    with mv.session("run") as session:
        for call in calls:
            do(mv, call, session)
    return session.result


@settings(max_examples=effort(4_000))
@given(st.lists(TEXTS, max_size=3), st.lists(CALLS, max_size=12))
def test_an_untouched_memory_replays_wholly(before, calls):
    with replaykit.open(":memory:") as mv:
        session = record(mv, before, calls)
        for base in ("now", "then"):
            result = mv.replay("run", base=base)

            assert (result.mismatched_actions, result.errored_actions, result.incomparable_actions) == (0, 0, 0)
            assert result.matched_actions == len(session.actions)


def frames_of(mv, generation):
    with mv.at(generation=generation) as past:
        return {frame.frame_id: frame for frame in past}


def with_hindsight(mv, generation, end):
    """Return the frames of then with the later changes over them: as plainly as can be."""
    then, at_end, now = frames_of(mv, generation), frames_of(mv, end), frames_of(mv, mv.generation)
    versions = [{key: frame.generation for key, frame in frames.items()} for frames in (at_end, now)]
    changed = {key for key in {*at_end, *now} if versions[0].get(key) != versions[1].get(key)}
    kept = {key: frame for key, frame in then.items() if key not in changed}
    return kept | {key: now[key] for key in changed if key in now}


def memory_of(frames):
    """Return a memory with just these frames."""
    engine = Engine(":memory:")
    for frame_id, frame in sorted(frames.items()):
        engine.go_on_from([frame_id])
        engine.put(frame.content, title=frame.title, uri=frame.uri, metadata=frame.metadata)
    return engine


def differs(action, frames):
    """Whether what was recorded would come otherwise from these frames."""
    if action.kind == "checkpoint":
        return False
    if action.kind in ("find", "ask"):
        with memory_of(frames) as engine:
            try:
                seen = Outcome(value=as_recorded(getattr(engine, action.name)(**action.arguments)))
            except FrameNotFoundError:
                return True
        return bool(judge(action, seen))
    if action.kind == "delete":
        return action.affected_frames[0] in frames
    texts = action.arguments.get("items", [action.arguments.get("content")])
    held = [frames.get(key) for key in action.affected_frames]
    return [frame and frame.content for frame in held] != list(texts)


@settings(max_examples=effort(2_500))
@given(st.lists(TEXTS, max_size=3), st.lists(CALLS, max_size=10), WRITES)
def test_after_one_change_the_first_action_that_would_differ_is_named(before, calls, change):
    with replaykit.open(":memory:") as mv:
        session = record(mv, before, calls)
        end = mv.generation
        do(mv, change)
        result = mv.replay("run")

        expected = [
            action.sequence for action in session.actions if differs(action, with_hindsight(mv, action.generation, end))
        ]
        assert [item.sequence for item in result.action_results if item.status == "mismatched"] == expected
        if expected:
            assert result.first_divergence.at_sequence == expected[0]
            assert all(item.cause for item in result.divergences)


@pytest.fixture
def mv(tmp_path):
    with replaykit.open(tmp_path / "notes.mv") as memory:
        yield memory


@pytest.fixture
def recorded(mv):
    """A session of several kinds of calls."""
    with mv.session("run") as session:
        fox = mv.put("a red fox", title="fox")
        mv.put("a brown dog")
        session.checkpoint()
        mv.find("fox dog")
        mv.ask("which colour has the fox?")
        mv.update(fox, "a white fox")
        mv.find("white")
    return session.result


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda mv: mv.update(1, "a wolf"), "frame 1 was updated at generation 4"),
        (lambda mv: mv.delete(1), "frame 1 was deleted at generation 4"),
        (lambda mv: mv.put("fox fox fox"), "frame 3 was put at generation 4"),
    ],
)
def test_the_likely_cause_is_named(mv, recorded, change, cause):
    change(mv)
    result = mv.replay()

    assert not result
    assert cause in {item.cause for item in result.divergences if item.action_type == "FIND"}


def test_the_cause_of_a_lost_hit_may_be_the_one_that_came_instead(mv):
    mv.put_many(["the harbour lamp one", "the harbour lamp two"])
    with mv.session("run"):
        mv.find("harbour lamp", k=2)
    mv.put("no such words")
    mv.put_many(["harbour lamp", "lamp harbour"])
    lost, new = mv.replay().divergences[:2]

    assert (lost.divergence_type, lost.frames, new.frames) == (Kind.HITS_LOST, (1, 2), (4, 5))
    assert lost.cause == new.cause == "frame 4 was put at generation 3"
    mv.restore(generation=1)
    mv.delete(1)
    assert {item.cause for item in mv.replay().divergences} == {"frame 1 was deleted at generation 5"}


def test_a_deleted_frame_that_comes_back_was_put_back(mv):
    fox = mv.put("a red fox")
    with mv.session("run"):
        mv.delete(fox)
    mv.restore(generation=1)

    assert mv.replay().first_divergence.cause == "frame 1 was put back at generation 3"


def test_a_lost_frame_is_told_by_the_put_that_made_it(mv, recorded):
    mv.delete(1)
    first = mv.replay().first_divergence

    assert (first.action_type, first.divergence_type, first.frames) == ("PUT", Kind.CONTENT_CHANGED, (1,))
    assert first.details == "frame 1 is gone"


def test_then_tests_the_code_not_the_memory(mv, recorded):
    mv.delete(1)

    assert mv.replay(base="then")
    assert not mv.replay(base="now")
    assert not mv.replay(base="live")


def test_from_a_checkpoint_the_memory_is_restored_to_it(mv, recorded):
    result = mv.replay(base="then", from_checkpoint=0)

    assert result
    assert [item.sequence for item in result.action_results] == [3, 4, 5, 6]
    assert mv.replay(base="then", from_checkpoint=recorded.checkpoints[0])
    with pytest.raises(CheckpointNotFoundError):
        mv.replay(from_checkpoint=5)


def test_a_replay_changes_nothing(mv, recorded):
    before = (mv.generation, mv.snapshot(), [s.session_id for s in mv.list_sessions()])
    for base in ("now", "then", "live"):
        with mv.session("watching") as watching:
            mv.replay("run", base=base)
        assert len(watching.result.actions) == 0
        mv.delete_session(watching.result.session_id)

    assert (mv.generation, mv.snapshot(), [s.session_id for s in mv.list_sessions()]) == before


def test_writes_on_the_live_memory_need_leave(mv, recorded):
    result = mv.replay(base="live")
    assert {item.status for item in result.action_results if item.action_type == "PUT"} == {"skipped"}
    assert mv.generation == 3

    mv.replay(base="live", allow={"update"})
    assert mv.generation == 4


def test_another_k_gives_other_hits_and_is_the_cause(mv, recorded):
    with mv.session("by id"):
        mv.get(1)
        mv.ask("which dog?")
    [lost] = [item for item in mv.replay("run", top_k=1).divergences if item.at_sequence == 3]

    assert (lost.divergence_type, lost.cause) == (Kind.HITS_LOST, "k changed: 1 was asked for, 10 then")
    mv.update(1, "a dog")
    causes = {item.at_sequence: item.cause for item in mv.replay("by id", top_k=1).divergences}
    assert causes == {0: "frame 1 was updated at generation 4", 1: "k changed: 1 was asked for, 6 then"}


def test_hits_below_the_relevancy_are_left_out(mv, recorded):
    assert mv.replay(adaptive=True, min_relevancy=0.0)
    lost = mv.replay(adaptive=True, min_relevancy=0.8).first_divergence

    assert (lost.at_sequence, lost.divergence_type, lost.frames) == (3, Kind.HITS_LOST, (2,))


def test_a_huge_k_is_fine_and_none_is_refused(mv, recorded):
    assert mv.replay(top_k=10**9)
    with pytest.raises(UsageError, match="top_k"):
        mv.replay(top_k=0)


def test_another_mode_that_is_not_set_up_is_said(mv, recorded):
    result = mv.replay(search_mode="vec")

    assert {item.divergence_type for item in result.divergences} == {Kind.ERROR_VS_SUCCESS}


def test_sessions_of_another_memory_need_the_live_base(recorded):
    with replaykit.open(":memory:") as other:
        with pytest.raises(UsageError, match="another memory.*base='live' with ids='content'"):
            replaykit.replay(recorded, other)
        result = replaykit.replay(recorded, other, base="live")

    assert result.verdict == "failed"


def test_another_target_is_refused_not_passed_over(mv, recorded):
    with replaykit.open(":memory:") as other, pytest.raises(UsageError, match=r"replaykit\.replay"):
        mv.replay("run", target=other)


def test_a_tampered_checkpoint_is_told(mv, recorded):
    [checkpoint] = recorded.checkpoints
    forged = attrs.evolve(recorded, checkpoints=(attrs.evolve(checkpoint, state_hash=bytes([7]) * 32),))
    result = replaykit.replay(forged, mv)

    assert [item.divergence_type for item in result.divergences] == [Kind.STATE_HASH_MISMATCH]


def test_pruned_states_are_not_comparable(mv, recorded):
    mv.prune(keep_checkpoints=0)
    result = mv.replay()

    assert result.verdict == "incomplete"
    assert "pruned" in result.action_results[0].reason


def test_an_interrupted_session_never_passes(mv, recorded):
    assert replaykit.replay(attrs.evolve(recorded, state="interrupted"), mv).verdict == "incomplete"


def test_metadata_title_and_bytes_are_held_against_the_recording(mv):
    with mv.session("run"):
        mv.put(b"\x00\xff", title="t", uri="u", metadata={"a": [1]})
        mv.put_many([{"content": "x", "metadata": {"b": 1}}, "y"])
    assert mv.replay()
    mv.update(2, metadata={"b": 2})

    assert mv.replay().first_divergence.where == "frame 2.metadata.b"


def test_secrets_in_frames_are_compared_as_they_were_recorded(mv):
    secret = "sk-" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6"
    with mv.session("run"):
        mv.put(f"the key is {secret}")
        mv.find("key")

    assert mv.replay()


def test_finds_by_meaning_replay_too(tmp_path):
    with replaykit.open(tmp_path / "notes.mv", embedder=HashedNgrams()) as mv:
        with mv.session("run"):
            fox = mv.put("a red fox")
            mv.put("a brown dog")
            mv.find("foxes", mode="vec")
            mv.find("fox dog")
            mv.ask("what is red?", mode="hybrid")
            mv.update(fox, "a white fox")
            mv.find("white foxes", mode="vec", where={"lang": {"$exists": False}})
        for base in ("now", "then"):
            assert mv.replay("run", base=base), mv.replay("run", base=base).to_records()

        mv.update(fox, "a grey wolf")
        assert {3, 4} <= {item.at_sequence for item in mv.replay("run").divergences}
        with mv.at(mv.get_session("run").actions[1]) as then, mv.fork(tmp_path / "b.mv") as branch:
            assert [hit.text for hit in then.find("foxes", mode="vec")][0] == "a red fox"
            assert branch.find("wolves", mode="vec")[0].frame_id == fox


def test_streamed_and_awaited_asks_replay_by_their_answers(mv):
    async def ask():
        await mv.ask_async("what is red?")
        return [piece async for piece in mv.ask_stream_async("what is red?")]

    with mv.session("run"):
        mv.put("The fox is red.")
        list(mv.ask_stream("what is red?"))
        asyncio.run(ask())
    result = mv.replay("run")
    assert (result.verdict, result.matched_actions) == ("passed", 4)

    mv.update(1, "The fox is white, not red.")
    assert [item.status for item in mv.replay("run").action_results] == ["mismatched"] * 4


def test_a_callable_model_is_handed_over_and_context_can_be_frozen(mv):
    def first_text(question, hits):
        return hits[0].text

    with mv.session("run"):
        mv.put("The fox is red.")
        mv.ask("what is red?", model=first_text)
    assert mv.replay("run").verdict == "incomplete"
    assert mv.replay("run", model=first_text)

    mv.update(1, "The fox is red and white.")
    assert mv.replay("run", model=first_text).mismatched_actions == 2
    frozen = mv.replay("run", model=first_text, audit_mode=True, skip_puts=True)
    assert frozen, frozen.to_records()


def test_what_the_options_changed_is_the_likely_cause(mv):
    with mv.session("run") as session:
        mv.put("a fox that came in the session")
        session.checkpoint()
        mv.find("fox", k=9)

    below = mv.replay("run", adaptive=True, min_relevancy=99).first_divergence
    passed_over = mv.replay("run", base="then", skip_puts=True).first_divergence

    assert below.cause == "hits with a score below min_relevancy=99 were left out"
    assert passed_over.cause == "the session's writes were passed over (skip_puts)"


def test_a_live_replay_says_what_it_ran(mv):
    with mv.session("run") as session:
        session.checkpoint()
        mv.find("fox")

    plain = mv.replay("run", base="live", from_checkpoint=0)
    allowed = mv.replay("run", base="live", allow="put")

    assert list(plain.notes) == [
        "reads ran on the memory as it is now, writes were not run",
        "the memory was not restored to the checkpoint",
    ]
    assert list(allowed.notes) == ["reads ran on the memory as it is now, only writes that allow= names were run"]


def test_an_answer_that_was_left_early_is_not_held_against_the_whole_one(mv):
    with mv.session("run"):
        with mv.ask_stream("which fox?") as stream:
            next(iter(stream))
        mv.find("fox")
    result = mv.replay("run")

    assert (result.verdict, [item.status for item in result.action_results]) == (
        "incomplete",
        ["not_comparable", "matched"],
    )
