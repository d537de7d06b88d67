"""Sessions over which memvid's replay comes to a false verdict, and the true one, on the embedded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import attrs

import replaykit
from replaykit import DivergenceType as Kind
from replaykit.errors import FrameNotFoundError
from replaykit.model import Put
from replaykit.testing.embedders import HashedNgrams

__all__ = ["CASES", "Case", "First", "check"]

Step = Callable[[replaykit.Memory], Any]


@attrs.frozen
class First:
    """The first divergence that is to be told; with an empty ``cause`` nothing is known of why."""

    at_sequence: int
    action_type: str
    kind: Kind
    frames: tuple[int, ...]
    cause: str


def _nothing(mv: replaykit.Memory) -> None:
    """Leave the memory as it is."""


def _as_it_is(session: replaykit.ReplaySession) -> replaykit.ReplaySession:
    return session


@attrs.frozen(kw_only=True)
class Case:
    """What the memory held before, what the session did, what came after it, and what a replay must say."""

    before: Step = _nothing
    session: Step
    after: Step = _nothing
    forged: Callable[[replaykit.ReplaySession], replaykit.ReplaySession] = _as_it_is
    opened_with: Mapping[str, Any] = attrs.field(factory=dict)
    verdict: str = "failed"
    match_rate: float = 0.0
    first: First | None = None


def check(case: Case) -> None:
    """Record, change, replay and hold the verdict against the case's."""
    with replaykit.open(":memory:", **case.opened_with) as mv:
        case.before(mv)
        with mv.session("run") as session:
            case.session(mv)
        case.after(mv)
        result = replaykit.replay(case.forged(session.result), mv)

    assert (result.verdict, result.match_rate) == (case.verdict, case.match_rate), result.to_records()
    assert bool(result) is (case.verdict == "passed")
    found = result.first_divergence
    told = found and First(found.at_sequence, found.action_type, found.divergence_type, found.frames, found.cause)
    assert told == case.first


def _lamps(mv: replaykit.Memory) -> None:
    mv.put_many(["the harbour lamp one", "the harbour lamp two"])


def _find(mv: replaykit.Memory) -> None:
    mv.find("harbour lamp", k=2)


def _put_three(mv: replaykit.Memory) -> None:
    for text in ("one", "two", "three"):
        mv.put(text)


def _delete(*frame_ids: int) -> Step:
    return lambda mv: [mv.delete(frame_id) for frame_id in frame_ids]


def _delete_none(mv: replaykit.Memory) -> None:
    with suppress(FrameNotFoundError):
        mv.delete(50)


def _of_a_tenant(mv: replaykit.Memory) -> None:
    mv.put("the harbour lamp", metadata={"tenant": "a"})


def _put_and_checkpoint(mv: replaykit.Memory) -> None:
    mv.put("red")
    mv.create_checkpoint()


def _of_frame_999(session: replaykit.ReplaySession) -> replaykit.ReplaySession:
    put = attrs.evolve(session.actions[0], action_type=Put(frame_id=999), affected_frames=(999,))
    return attrs.evolve(session, actions=(put,))


def _of_another_state(session: replaykit.ReplaySession) -> replaykit.ReplaySession:
    (checkpoint,) = session.checkpoints
    return attrs.evolve(session, checkpoints=(attrs.evolve(checkpoint, state_hash=bytes([7]) * 32),))


@replaykit.records("tool")
def _tool() -> str:
    return "done"


CASES: Mapping[str, Case] = {
    "puts whose frames are gone": Case(
        session=_put_three,
        after=_delete(1, 2, 3),
        first=First(0, "PUT", Kind.CONTENT_CHANGED, (1,), "frame 1 was deleted at generation 4"),
    ),
    "a put of a frame that never was": Case(
        session=lambda mv: mv.put("one"),
        forged=_of_frame_999,
        first=First(0, "PUT", Kind.CONTENT_CHANGED, (999,), ""),
    ),
    "other frames, as many": Case(
        before=_lamps,
        session=_find,
        after=lambda mv: mv.put_many(["harbour lamp harbour lamp"] * 2),
        first=First(0, "FIND", Kind.HITS_LOST, (1, 2), "frame 3 was put at generation 2"),
    ),
    "the same frames in another order": Case(
        before=_lamps,
        session=_find,
        after=lambda mv: mv.update(2, "harbour lamp"),
        first=First(0, "FIND", Kind.HITS_MOVED, (2,), "frame 2 was updated at generation 2"),
    ),
    "the same frames with another text": Case(
        before=_lamps,
        session=_find,
        after=lambda mv: mv.update(1, "the harbour lamp six"),
        first=First(0, "FIND", Kind.CONTENT_CHANGED, (1,), "frame 1 was updated at generation 2"),
    ),
    "an ask of an untouched memory": Case(
        before=_lamps, session=lambda mv: mv.ask("Which harbour lamp shines?"), verdict="passed", match_rate=100.0
    ),
    "an ask that would be answered otherwise": Case(
        before=lambda mv: mv.put("The harbour lamp is red."),
        session=lambda mv: mv.ask("Which colour has the harbour lamp?"),
        after=lambda mv: mv.update(1, "The harbour lamp is blue."),
        first=First(0, "ASK", Kind.CONTENT_CHANGED, (1,), "frame 1 was updated at generation 2"),
    ),
    "a long answer beyond ASCII": Case(
        before=lambda mv: mv.put("東京 " + "漢" * 90),
        session=lambda mv: mv.ask("東京"),
        verdict="passed",
        match_rate=100.0,
    ),
    "a filtered find that found nothing": Case(
        before=_of_a_tenant,
        session=lambda mv: mv.find("harbour", where={"tenant": "b"}),
        verdict="passed",
        match_rate=100.0,
    ),
    "a filtered find that would find something": Case(
        before=_of_a_tenant,
        session=lambda mv: mv.find("harbour", where={"tenant": "b"}),
        after=lambda mv: mv.update(1, metadata={"tenant": "b"}),
        first=First(0, "FIND", Kind.HITS_NEW, (1,), "frame 1 was updated at generation 2"),
    ),
    "a find by meaning": Case(
        opened_with={"embedder": HashedNgrams()},
        before=_lamps,
        session=lambda mv: mv.find("harbours", k=2, mode="vec"),
        after=_delete(2),
        first=First(0, "FIND", Kind.HITS_LOST, (2,), "frame 2 was deleted at generation 2"),
    ),
    "many puts at once": Case(session=_lamps, verdict="passed", match_rate=100.0),
    "many puts of which one is gone": Case(
        session=_lamps,
        after=_delete(2),
        first=First(0, "PUT_MANY", Kind.CONTENT_CHANGED, (2,), "frame 2 was deleted at generation 2"),
    ),
    "a deletion": Case(before=_lamps, session=_delete(1), verdict="passed", match_rate=100.0),
    "a deletion of a frame that never was": Case(session=_delete_none, verdict="nothing compared"),
    "a deleted frame that is back": Case(
        before=_lamps,
        session=_delete(1),
        after=lambda mv: mv.restore(generation=1),
        first=First(0, "DELETE", Kind.EXTRA, (1,), "frame 1 was put back at generation 3"),
    ),
    "an update of a frame that is gone": Case(
        before=_lamps,
        session=lambda mv: mv.update(1, "the harbour lamp six"),
        after=_delete(1),
        first=First(0, "UPDATE", Kind.CONTENT_CHANGED, (1,), "frame 1 was deleted at generation 3"),
    ),
    "a checkpoint of another state": Case(
        session=_put_and_checkpoint,
        forged=_of_another_state,
        match_rate=50.0,
        first=First(1, "CHECKPOINT", Kind.STATE_HASH_MISMATCH, (), ""),
    ),
    "no call at all": Case(session=_nothing, verdict="nothing compared"),
    "only calls that cannot be run": Case(session=lambda mv: _tool(), verdict="nothing compared"),
}
