"""When checkpoints are made without being asked, and when a session ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import replaykit
from replaykit.errors import UsageError
from replaykit.model import ReplayConfig
from replaykit.policies import any_of, before, every, on_error
from replaykit.protocols import PendingCall, Progress

LETTERS = {"put": "P", "find": "F", "ask": "A", "delete": "D", "checkpoint": "C", "tool": "T"}


@pytest.fixture
def mv() -> Iterator[replaykit.Memory]:
    """A memory in RAM."""
    with replaykit.open(":memory:", on_loss="raise") as memory:
        yield memory


def letters(session: Any) -> str:
    return "".join(LETTERS[action.kind] for action in session.result.actions)


def puts(memory: replaykit.Memory, count: int, **how: Any) -> str:
    with memory.session(**how) as session:
        for number in range(count):
            memory.put(f"text {number}")
    return letters(session)


def progress(**changes: Any) -> Progress:
    base = Progress(actions=1, seconds=0.0, bytes=0, kind="put", failed=False)
    return attrs.evolve(base, **changes)


CALL = PendingCall(kind="put", name="put")


# -- the interval -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "recorded"),
    [(0, "PPPPPP"), (1, "PCPCPCPCPCPC"), (2, "PPCPPCPPC"), (3, "PPPCPPPC"), (4, "PPPPCPP"), (7, "PPPPPP")],
)
def test_the_interval_is_exact(mv: replaykit.Memory, interval: int, recorded: str) -> None:
    """After every N actions, the first time and each time; memvid's second interval is one short."""
    assert puts(mv, 6, config=ReplayConfig(auto_checkpoint_interval=interval)) == recorded


def test_a_number_is_an_interval(mv: replaykit.Memory) -> None:
    """``auto_checkpoint=3`` is ``every(actions=3)``; as an option of the memory it holds for each session."""
    assert puts(mv, 4, auto_checkpoint=3) == puts(mv, 4, auto_checkpoint=every(actions=3)) == "PPPCP"
    with replaykit.open(":memory:", auto_checkpoint=2) as memory:
        assert [puts(memory, 3), puts(memory, 3)] == ["PPCP", "PPCP"]


def test_actions_of_any_kind_count(mv: replaykit.Memory) -> None:
    """Finds, asks and tools as well as puts; memvid tests after puts only."""
    with mv.session(auto_checkpoint=2) as session:
        mv.find("x")
        mv.ask("x")
        session.record("tool", name="f")
        mv.put("x")

    assert letters(session) == "FACTPC"


def test_failed_actions_count(mv: replaykit.Memory) -> None:
    """They are completed too."""
    with mv.session(auto_checkpoint=2) as session:
        with pytest.raises(UsageError):
            mv.find("x", k=0)
        mv.put("x")

    assert letters(session) == "FPC"


def test_children_do_not_count(mv: replaykit.Memory) -> None:
    """Only top-level actions do, and a checkpoint waits for their end."""

    @replaykit.records("tool")
    def three() -> None:
        for word in ("a", "b", "c"):
            mv.put(word)

    with mv.session(auto_checkpoint=2) as session:
        three()
        three()
        three()

    assert letters(session) == "TPPPTPPPCTPPP"
    assert session.result.checkpoints[0].snapshot.frame_count == 6


def test_a_checkpoint_by_hand_starts_the_count_again(mv: replaykit.Memory) -> None:
    """The interval is counted from the last checkpoint, whoever made it."""
    with mv.session(auto_checkpoint=3) as session:
        mv.put("1")
        mv.put("2")
        session.checkpoint()
        for number in range(4):
            mv.put(f"text {number}")

    assert letters(session) == "PPCPPPCP"


def test_each_session_counts_for_itself(mv: replaykit.Memory) -> None:
    """What an earlier one left over does not matter."""
    config = ReplayConfig(auto_checkpoint_interval=3)

    assert [puts(mv, 2, config=config), puts(mv, 3, config=config)] == ["PP", "PPPC"]


def test_the_snapshot_is_the_state_after_the_action(mv: replaykit.Memory) -> None:
    """memvid's automatic checkpoints lack the frame that was just put."""
    with mv.session(auto_checkpoint=1) as session:
        for number in range(3):
            mv.put(f"text {number}")

    assert [point.snapshot.frame_count for point in session.result.checkpoints] == [1, 2, 3]
    assert [point.at_sequence for point in session.result.checkpoints] == [0, 2, 4]
    generations = [action.generation for action in session.result.actions if action.kind == "put"]
    assert generations == [point.snapshot.generation for point in session.result.checkpoints]


# -- the other policies --------------------------------------------------------------


def test_every_counts_seconds_and_bytes() -> None:
    """Since the last checkpoint; whichever comes first."""
    policy = every(actions=10, seconds=5, bytes=1000)

    assert not policy.before(CALL)
    assert not policy.after(progress(actions=9, seconds=4.9, bytes=999))
    assert policy.after(progress(actions=10))
    assert policy.after(progress(seconds=5.0))
    assert policy.after(progress(bytes=1000))


def test_bytes_of_the_log_are_counted(mv: replaykit.Memory) -> None:
    """A large call brings the next checkpoint nearer; the count starts again with it."""
    with mv.session(auto_checkpoint=every(bytes=50_000)) as session:
        for text in ("s", "x" * 60_000, "s", "s"):
            mv.put(text)

    assert letters(session) == "PPCPP"


def test_on_error_fires_after_failures_only(mv: replaykit.Memory) -> None:
    """What the memory was like when it went wrong."""
    with mv.session(auto_checkpoint=on_error()) as session:
        mv.put("x")
        with pytest.raises(replaykit.errors.FrameNotFoundError):
            mv.delete(99)
        mv.put("y")

    assert letters(session) == "PDCP"
    assert session.result.checkpoints[0].snapshot.frame_count == 1


def test_before_fires_before_calls_of_its_kinds(mv: replaykit.Memory) -> None:
    """What is about to be deleted is still in the snapshot."""
    frame_id = mv.put("x")
    with mv.session(auto_checkpoint=before("delete", "ask")) as session:
        mv.put("y")
        mv.delete(frame_id)
        mv.ask("y")

    assert letters(session) == "PCDCA"
    assert frame_id in session.result.checkpoints[0].snapshot.frame_ids or len(session.result.checkpoints) == 2
    assert [point.snapshot.frame_count for point in session.result.checkpoints] == [2, 1]


def test_any_of_fires_when_one_does(mv: replaykit.Memory) -> None:
    """Also given as a list, and beside a config; one checkpoint however many agree."""
    rules = [every(actions=3), before("delete")]
    frame_id = mv.put("x")
    for policy in (any_of(*rules), rules):
        with mv.session(auto_checkpoint=policy) as session:
            for _ in range(2):
                mv.put("y")
            with pytest.raises(replaykit.errors.FrameNotFoundError):
                mv.delete(frame_id + 1000)
            mv.put("z")
        assert letters(session) == "PPCDP"
    assert puts(mv, 3, config=ReplayConfig(auto_checkpoint_interval=2), auto_checkpoint=every(actions=2)) == "PPCP"


class Mine:
    """A user's own policy."""

    def before(self, call: PendingCall) -> bool:
        return call.name == "ask"

    def after(self, progress: Progress) -> bool:
        return progress.kind == "find"


def test_a_policy_is_any_object_with_both_methods(mv: replaykit.Memory) -> None:
    """It sees kind and name before, the progress after."""
    with mv.session(auto_checkpoint=Mine()) as session:
        mv.put("x")
        mv.find("x")
        mv.ask("x")

    assert letters(session) == "PFCCA"


class Broken:
    def before(self, call: PendingCall) -> bool:
        raise RuntimeError("before")

    def after(self, progress: Progress) -> bool:
        raise RuntimeError("after")


def test_a_policy_that_raises_costs_no_call(mv: replaykit.Memory) -> None:
    """Neither the caller's nor the recording of it."""
    assert puts(mv, 3, auto_checkpoint=Broken()) == "PPP"


def test_a_recorder_without_a_memory_has_checkpoints_without_state() -> None:
    """They mark the place; there is nothing to hash."""
    with replaykit.Recorder("runs.rpk", auto_checkpoint=2) as recorder:
        with recorder.session() as session:
            for _ in range(3):
                session.record("tool", name="f")

        assert letters(session) == "TTCT"
        assert session.result.checkpoints[0].state_hash == bytes(32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: every(),
        lambda: every(actions=0),
        lambda: every(actions=-1),
        lambda: every(seconds=float("nan")),
        lambda: every(actions="3"),  # type: ignore[arg-type]  # wrong on purpose
        lambda: every(actions=True),
        lambda: before(),
        lambda: before("remove"),
        lambda: before(["delete"]),  # type: ignore[arg-type]  # wrong on purpose
        lambda: any_of(3),  # type: ignore[arg-type]  # wrong on purpose
        lambda: any_of(Mine),  # type: ignore[arg-type]  # wrong on purpose
    ],
)
def test_a_wrong_policy_is_a_usage_error(make: Any) -> None:
    """Where it is made, not in the middle of a session."""
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("asked", [-1, 2.5, True, "3", object(), [object()], Mine])
def test_a_wrong_auto_checkpoint_says_what_to_give(mv: replaykit.Memory, asked: Any) -> None:
    """And opens no session."""
    with pytest.raises(UsageError, match="every"), mv.session(auto_checkpoint=asked):
        pass

    assert mv.list_sessions() == []


# -- limits and automatic starts --------------------------------------------------------


def test_a_session_ends_after_its_maximum(mv: replaykit.Memory) -> None:
    """``ended_by`` says so; leaving the block does not raise, later calls just run and are counted."""
    with mv.session(config=ReplayConfig(max_actions_per_session=2)) as session:
        for number in range(4):
            mv.put(f"text {number}")

    assert letters(session) == "PP"
    assert (session.result.ended_by, session.result.state, session.result.late) == ("limit", "sealed", 2)
    assert len(mv) == 4


def test_a_started_session_ends_after_its_maximum(mv: replaykit.Memory) -> None:
    """Another one can be started then."""
    mv.start_session("full", ReplayConfig(max_actions_per_session=1))
    mv.put("x")

    assert mv.is_recording is False
    mv.start_session("next")
    assert mv.end_session().name == "next"
    assert mv.get_session("full").ended_by == "limit"


def test_the_limits_are_positive() -> None:
    """A ReplayConfig refuses others."""
    for wrong in ({"auto_checkpoint_interval": -1}, {"max_actions_per_session": 0}):
        with pytest.raises(ValueError, match="at least"):
            ReplayConfig(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_auto_record_starts_a_session_at_open() -> None:
    """It lasts until the memory is closed; memvid stores the setting and never reads it."""
    with replaykit.open("notes.mv", config=ReplayConfig(auto_record=True, auto_checkpoint_interval=1)) as memory:
        assert memory.is_recording
        memory.put("x")

    with replaykit.load("notes.mv") as recording:
        session = recording.get_session("last")
        assert ([action.kind for action in session.actions], session.ended_by) == (
            ["put", "checkpoint"],
            "close",
        )


def test_an_explicit_session_inside_an_automatic_one_is_its_child() -> None:
    """It takes the calls of its block; the automatic one goes on after it."""
    with replaykit.open(":memory:", config=ReplayConfig(auto_record=True)) as memory:
        automatic = memory.active_session_id
        memory.put("a")
        with memory.session("inner") as session:
            memory.put("b")
        memory.put("c")
        outer = memory.end_session()

        assert session.result.parent_session == automatic == outer.session_id
        assert (len(session.result.actions), len(outer.actions)) == (1, 2)
