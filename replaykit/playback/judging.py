"""Holds what came back against what was recorded, call by call, and says in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import attrs

from replaykit.model import (
    Answer,
    Divergence,
    DivergenceType,
    Failure,
    FieldChange,
    FrameId,
    HitChange,
    ReplayAction,
    Tolerances,
)
from replaykit.playback import changes
from replaykit.playback.differences import Difference, brief, differences, member_differences, word_diff
from replaykit.playback.hits import FoundHit, hit_count
from replaykit.playback.measured import without_times
from replaykit.playback.outcomes import Outcome, are_alike, outcome_of
from replaykit.playback.parts import Parts, parts_of
from replaykit.playback.recognition import are_ids_of_the_same_write, named_frames, recognised
from replaykit.playback.retrieval import Order, RetrievalDiff, agreement, hit_keys, only_in, retrieval_diff
from replaykit.playback.tolerance import within_tolerance

__all__ = ["arguments_changed", "content_changed", "frames_changed", "judge", "ranking"]

_MOST_LINED_UP = 200


def judge(action: ReplayAction, seen: Outcome, tolerances: Tolerances | None = None) -> list[Divergence]:
    """
    Return in what *seen* differs from what *action* recorded; empty where they agree.

    Errors agree by class and message.  Results with hits are compared as
    rankings, everything else as a whole.  How long a find or ask says that it
    took does not count.
    """
    rules = Tolerances() if tolerances is None else tolerances
    recorded = outcome_of(action)
    say = _Sayer(action)
    if recorded.error is not None or seen.error is not None:
        # A message may say the id, which is another one elsewhere.
        by_class = rules.ids == "content" and bool(named_frames(action))
        return list(_errors(say, recorded.error, seen.error, by_class=by_class))
    comparer = rules.compare.get(action.name, rules.compare.get(action.kind, "exact"))
    if callable(comparer):
        is_same = comparer(recorded.value, seen.value)
        return [] if is_same else [say.mismatch(recorded.value, seen.value, "the given comparer says that they differ")]
    if _are_one(action, recorded, seen):
        return []
    if rules.ids == "content" and are_ids_of_the_same_write(action, recorded, seen):
        return []
    return list(_values(say, recorded, seen, rules, by_frames=comparer == "frames"))


def _are_one(action: ReplayAction, recorded: Outcome, seen: Outcome) -> bool:
    """Return whether both are one value, by which *action* is judged alone, and which need not be taken apart."""
    if seen.value is not recorded.value:
        return False
    return recorded.frames == seen.frames or (action.kind in ("find", "ask") and hit_count(recorded.value) is not None)


def arguments_changed(action: ReplayAction, arguments: Mapping[str, Any]) -> list[Divergence]:
    """Return in what *arguments* differ from those of *action*, as one divergence; empty where they agree."""
    if are_alike(action.arguments, arguments):
        return []
    found = differences(dict(action.arguments), dict(arguments))
    return [_Sayer(action).places(DivergenceType.ARGUMENTS_CHANGED, found, "arguments")]


def content_changed(
    action: ReplayAction, frame_id: FrameId, recorded: Mapping[str, Any], seen: Mapping[str, Any] | None
) -> list[Divergence]:
    """Return in what a frame differs from what a write recorded of it; *seen* is None for a frame that is gone."""
    say = _Sayer(action)
    where = f"frame {frame_id}"
    if seen is None:
        details = f"{where} is gone"
        return [say(DivergenceType.CONTENT_CHANGED, where, "gone", details, where=where, frames=(frame_id,))]
    held = {name: seen.get(name) for name in recorded}
    if are_alike(dict(recorded), held):
        return []
    found = differences(dict(recorded), held)
    return [say.places(DivergenceType.CONTENT_CHANGED, found, where, frames=(frame_id,))]


def frames_changed(action: ReplayAction, frames: Sequence[FrameId], rules: Tolerances) -> list[Divergence]:
    """Return in what *frames* differ, as hits best first, from those that *action* recorded."""
    return list(_hits(_Sayer(action), _bare(action.affected_frames), _bare(frames), rules))


@attrs.frozen
class _Sayer:
    """Makes the divergences of one action."""

    action: ReplayAction

    def __call__(self, kind: DivergenceType, recorded: str, seen: str, details: str, **more: Any) -> Divergence:
        return Divergence(
            at_sequence=self.action.sequence,
            action_type=self.action.action_type.name,
            divergence_type=kind,
            original_preview=recorded,
            replay_preview=seen,
            details=details,
            **more,
        )

    def mismatch(self, recorded: Any, seen: Any, details: str, where: str = "result", **more: Any) -> Divergence:
        return self(DivergenceType.OUTPUT_MISMATCH, brief(recorded), brief(seen), details, where=where, **more)

    def text(self, recorded: str, seen: str, what: str, where: str, frames: tuple[FrameId, ...] = ()) -> Divergence:
        """Return that a text, which *what* names, reads otherwise."""
        diff = word_diff(recorded, seen)
        change = FieldChange(where=where, recorded=brief(recorded), seen=brief(seen), diff=diff)
        details = f"the {what} reads otherwise: {diff}"
        return self.mismatch(recorded, seen, details, where, frames=frames, changes=(change,), changed=1)

    def places(self, kind: DivergenceType, found: Sequence[Difference], under: str, **more: Any) -> Divergence:
        """Return that a value, which is called *under*, differs in the places *found*; the first one tells it."""
        kept = changes.field_changes(found, under)
        first = kept[0]
        details = f"{first.where} was {first.recorded}, is {first.seen}"
        where = first.where
        return self(kind, first.recorded, first.seen, details, where=where, changes=kept, changed=len(found), **more)


# -- errors -------------------------------------------------------------------------


def _errors(say: _Sayer, recorded: Failure | None, seen: Failure | None, *, by_class: bool) -> Iterator[Divergence]:
    if recorded is None or seen is None:
        was, is_now = _error_text(recorded), _error_text(seen)
        yield say(DivergenceType.ERROR_VS_SUCCESS, was, is_now, f"recorded {was}, now {is_now}", where="error")
    elif recorded.type != seen.type or (recorded.message != seen.message and not by_class):
        where = "error.type" if recorded.type != seen.type else "error.message"
        yield say.mismatch(_error_text(recorded), _error_text(seen), "both failed, each in its own way", where)


def _error_text(error: Failure | None) -> str:
    return "success" if error is None else brief(f"{error.type}: {error.message}")


# -- values -------------------------------------------------------------------------


def _values(
    say: _Sayer, recorded: Outcome, seen: Outcome, rules: Tolerances, *, by_frames: bool
) -> Iterator[Divergence]:
    kind = say.action.kind
    was, is_now = parts_of(kind, recorded.value), parts_of(kind, seen.value)
    rankings = _rankings(was, is_now, rules)
    if rankings is not None:
        yield from _queries(say, was.queries, is_now.queries)
        yield from _hits(say, *rankings, rules)
    elif are_alike(recorded.value, seen.value) and not seen.frames:
        # Where the frames stand in it the target may not know; that they are the same it shows.
        return
    elif by_frames or kind == "find":
        yield from _hits(say, _bare(recorded.frames), _bare(seen.frames), rules)
    if by_frames:
        return
    if isinstance(recorded.value, Answer) and isinstance(seen.value, Answer):
        yield from _answers(say, recorded.value, seen.value)
    elif rankings is not None:
        yield from _beside(say, was.rest, within_tolerance(was.rest, is_now.rest, rules.score_tolerance))
    else:
        yield from _whole(say, without_times(kind, recorded.value), without_times(kind, seen.value))


def _rankings(recorded: Parts, seen: Parts, rules: Tolerances) -> tuple[list[FoundHit], list[FoundHit]] | None:
    if recorded.hits is None or seen.hits is None:
        return None
    return recorded.hits, recognised(recorded.hits, seen.hits) if rules.ids == "content" else seen.hits


def ranking(action: ReplayAction, seen: Outcome, tolerances: Tolerances) -> RetrievalDiff | None:
    """Return how far the hits of a find agree with those recorded; None for what has no hits on both sides."""
    if action.kind != "find":
        return None
    recorded = outcome_of(action)
    if seen.value is recorded.value:
        count = hit_count(recorded.value)
        return None if count is None else agreement(count)
    rankings = _rankings(parts_of("find", recorded.value), parts_of("find", seen.value), tolerances)
    return None if rankings is None else retrieval_diff(*rankings, order="set")


def _bare(frames: Sequence[FrameId]) -> list[FoundHit]:
    return [FoundHit(id=frame) for frame in frames]


def _answers(say: _Sayer, recorded: Answer, seen: Answer) -> Iterator[Divergence]:
    if recorded.text != seen.text:
        frames = _distinct((*recorded.frame_ids, *seen.frame_ids))
        yield say.text(recorded.text, seen.text, "answer", "answer.text", frames)
    if (recorded.provider, recorded.model) != (seen.provider, seen.model):
        was, is_now = f"{recorded.provider}:{recorded.model}", f"{seen.provider}:{seen.model}"
        yield say.mismatch(was, is_now, "another model answered", "answer.model")


def _whole(say: _Sayer, recorded: Any, seen: Any) -> Iterator[Divergence]:
    if are_alike(recorded, seen):
        return
    if isinstance(recorded, (list, tuple)) and isinstance(seen, (list, tuple)) and len(recorded) != len(seen):
        yield _counts(say, recorded, seen)
        return
    if isinstance(recorded, str) and isinstance(seen, str):
        yield say.text(recorded, seen, "text", "result")
        return
    yield _differing(say, differences(recorded, seen))


def _beside(say: _Sayer, recorded: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterator[Divergence]:
    """Yield in what differs what stands beside hits, if it does."""
    found = [] if are_alike(recorded, seen) else member_differences(recorded, seen)
    if found:
        yield _differing(say, found)


def _differing(say: _Sayer, found: Sequence[Difference]) -> Divergence:
    told = say.places(DivergenceType.OUTPUT_MISMATCH, found, "result")
    more = f", and {_number(len(found) - 1, 'more place')}" if len(found) > 1 else ""
    return attrs.evolve(told, details=told.details + more)


def _counts(say: _Sayer, recorded: Sequence[Any], seen: Sequence[Any]) -> Divergence:
    was, is_now = _number(len(recorded), "item"), _number(len(seen), "item")
    # Lining up long lists takes seconds, and the numbers say most of it.
    is_short = max(len(recorded), len(seen)) <= _MOST_LINED_UP
    found = differences(recorded, seen) if is_short else []
    return say(
        DivergenceType.RESULT_COUNT_DIFFERENCE,
        was,
        is_now,
        f"recorded {was}, now {is_now}",
        where="result",
        changes=changes.field_changes(found, "result"),
        changed=len(found),
    )


# -- rankings -----------------------------------------------------------------------


def _queries(say: _Sayer, recorded: int, seen: int) -> Iterator[Divergence]:
    if recorded != seen:
        was, is_now = (f"hits of {count} quer{'y' if count == 1 else 'ies'}" for count in (recorded, seen))
        details = f"recorded {was}, now {is_now}"
        yield say(DivergenceType.RESULT_COUNT_DIFFERENCE, was, is_now, details, where="ids")


def _hits(say: _Sayer, recorded: list[FoundHit], seen: list[FoundHit], rules: Tolerances) -> Iterator[Divergence]:
    diff = retrieval_diff(recorded, seen, order=cast(Order, rules.order), score_tolerance=rules.score_tolerance)
    if diff.overlap < rules.min_overlap:
        yield from _lost_and_new(say, diff, recorded, seen)
    if diff.moved:
        yield _moved(say, diff, recorded, seen)
    if diff.drifts:
        yield _drifted(say, diff, recorded, seen)
    yield from _contents(say, recorded, seen)


def _lost_and_new(
    say: _Sayer, diff: RetrievalDiff, recorded: list[FoundHit], seen: list[FoundHit]
) -> Iterator[Divergence]:
    was_many, are_many = _number(diff.recorded_count, "hit"), diff.seen_count or "none"
    counts = f"recorded {was_many}, now {are_many}, overlap {diff.overlap:.2f}"
    was, is_now = _listed(recorded), _listed(seen)
    if diff.lost:
        lost = only_in(recorded, seen)
        details = f"lost {_listed([recorded[at] for at in lost])}; {counts}"
        more = _counted(diff.lost, changes.lost(recorded, lost))
        yield say(DivergenceType.HITS_LOST, was, is_now, details, where=_place(recorded, lost[0]), **more)
    if diff.new:
        new = only_in(seen, recorded)
        details = f"new {_listed([seen[at] for at in new])}; {counts}"
        more = _counted(diff.new, changes.new(seen, new))
        yield say(DivergenceType.HITS_NEW, was, is_now, details, where=_place(seen, new[0]), **more)


def _counted(ids: Sequence[FrameId], kept: tuple[HitChange | FieldChange, ...]) -> dict[str, Any]:
    """Return the hits that a divergence is about as its fields."""
    return {"frames": _distinct(ids), "changes": kept, "changed": len(ids)}


def _moved(say: _Sayer, diff: RetrievalDiff, recorded: list[FoundHit], seen: list[FoundHit]) -> Divergence:
    first = min(diff.moved, key=lambda move: min(move.recorded_rank, move.seen_rank))
    kept = changes.moved(diff, recorded, seen)
    shown = ", ".join(
        f"frame {_named(move.frame, move.query)} from {move.recorded_rank} to {move.seen_rank}" for move in kept
    )
    more = f" and {len(diff.moved) - len(kept)} more" if len(diff.moved) > len(kept) else ""
    return say(
        DivergenceType.HITS_MOVED,
        _listed(recorded),
        _listed(seen),
        f"moved: {shown}{more}; Kendall's tau {diff.tau:.2f}",
        where=_place(recorded, first.recorded_rank - 1),
        **_counted([move.id for move in diff.moved], kept),
    )


def _drifted(say: _Sayer, diff: RetrievalDiff, recorded: list[FoundHit], seen: list[FoundHit]) -> Divergence:
    first = diff.drifts[0]
    frame = _named(first.id, recorded[first.recorded_rank - 1].query)
    return say(
        DivergenceType.SCORE_DRIFT,
        _score(first.recorded),
        _score(first.seen),
        f"the score of frame {frame} was {_score(first.recorded)}, is {_score(first.seen)}; "
        f"{_number(len(diff.drifts), 'score')} off, by up to {diff.largest_drift:.6g}",
        where=f"frame {first.id}.score",
        **_counted([drift.id for drift in diff.drifts], changes.drifted(diff, recorded, seen)),
    )


def _contents(say: _Sayer, recorded: list[FoundHit], seen: list[FoundHit]) -> Iterator[Divergence]:
    now = dict(zip(hit_keys(seen), seen, strict=True))
    pairs = [(hit, now[key]) for key, hit in zip(hit_keys(recorded), recorded, strict=True) if key in now]
    changed = [(hit, other) for hit, other in pairs if not are_alike(hit.content, other.content)]
    if not changed:
        return
    kept = changes.content_changes(changed)
    first = kept[0]
    yield say(
        DivergenceType.CONTENT_CHANGED,
        first.recorded,
        first.seen,
        f"{first.where} was {first.recorded}, is {first.seen}"
        + (f"; {len(changed)} hits hold something else" if len(changed) > 1 else ""),
        where=first.where,
        **_counted([hit.id for hit, _ in changed], kept),
    )


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.9g}"


def _listed(hits: Sequence[FoundHit]) -> str:
    if not hits:
        return "no hits"
    shown = ", ".join(_named(hit.id, hit.query) for hit in hits[:10])
    more = f" and {len(hits) - 10} more" if len(hits) > 10 else ""
    return f"frame{'' if len(hits) == 1 else 's'} {shown}{more}"


def _named(frame: FrameId, query: int | None) -> str:
    return f"{frame} (query {query})" if query else str(frame)


def _place(hits: Sequence[FoundHit], at: int) -> str:
    """Return where the hit at a position stands in its result."""
    query, rank = changes.place_of(hits, at)
    return f"hits[{at}]" if query is None else f"ids[{query - 1}][{rank - 1}]"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _distinct(ids: Sequence[FrameId]) -> tuple[FrameId, ...]:
    return tuple(dict.fromkeys(ids))
