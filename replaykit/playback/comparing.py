"""Compares two sessions: what only one has, and in what the rest differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.errors import UsageError
from replaykit.model import (
    Answer,
    Divergence,
    DivergenceType,
    ReplayAction,
    ReplaySession,
    SessionComparison,
    Tolerances,
)
from replaykit.playback.alignment import Pair, align
from replaykit.playback.hits import hits_of
from replaykit.playback.imported import imported_differences, imported_essence, is_imported
from replaykit.playback.judging import arguments_changed, judge
from replaykit.playback.outcomes import fingerprint, outcome_of, whole, without_times
from replaykit.playback.retrieval import Order

__all__ = ["compare"]


def compare(
    session_a: ReplaySession,
    session_b: ReplaySession,
    *,
    order: Order = "exact",
    score_tolerance: float = 0.0,
    min_overlap: float = 1.0,
    compare: Mapping[str, Any] | None = None,
) -> SessionComparison:
    """
    Compare two sessions by what their actions hold, not by their position.

    An action that only one session has is one difference; the others stay
    paired.  Names, times, durations and sequence numbers do not count.  The
    other way round the same is found.  The tolerances are those of a replay.

    Raises:
        UsageError: A session is none, or a tolerance is wrong.
    """
    for session in (session_a, session_b):
        if not isinstance(session, ReplaySession):
            raise UsageError(f"compare() takes two sessions, not {type(session).__name__}: get_session() gives one")
    rules = Tolerances(order=order, score_tolerance=score_tolerance, min_overlap=min_overlap, compare=compare or {})
    return _Comparison(session_a, session_b, rules).result()


@attrs.frozen
class _Side:
    """One session with what its actions are recognised by."""

    actions: Sequence[ReplayAction]
    asked: Sequence[bytes]
    whole: Sequence[bytes]

    @classmethod
    def of(cls, session: ReplaySession) -> _Side:
        states = {checkpoint.id: checkpoint.state_hash for checkpoint in session.checkpoints}
        actions = list(session.actions)
        asked = [_asked(action) for action in actions]
        whole = [fingerprint([key, _essence(action, states)]) for key, action in zip(asked, actions, strict=True)]
        return cls(actions, asked, whole)


class _Comparison:
    def __init__(self, session_a: ReplaySession, session_b: ReplaySession, rules: Tolerances) -> None:
        self._sessions = (session_a, session_b)
        self._a, self._b = _Side.of(session_a), _Side.of(session_b)
        self._rules = rules

    def result(self) -> SessionComparison:
        pairs = self._pairs()
        differing: list[Divergence] = []
        matching = 0
        for pair in pairs:
            found = self._differences(pair)
            differing += found
            matching += not found
        in_a, in_b = {at for at, _ in pairs}, {at for _, at in pairs}
        return SessionComparison(
            session_a=self._sessions[0].session_id,
            session_b=self._sessions[1].session_id,
            actions_only_in_a=_left_over(self._a.actions, in_a),
            actions_only_in_b=_left_over(self._b.actions, in_b),
            differing_actions=tuple(differing),
            matching_actions=matching,
            pairs=tuple((self._a.actions[at].sequence, self._b.actions[its].sequence) for at, its in pairs),
        )

    def _pairs(self) -> list[Pair]:
        """Return who is held against whom: what is equal, and between that what was asked in the same words."""
        equal = align(self._a.whole, self._b.whole)
        pairs: list[Pair] = []
        before = (0, 0)
        for end in [*equal, (len(self._a.actions), len(self._b.actions))]:
            alike = align(self._a.asked[before[0] : end[0]], self._b.asked[before[1] : end[1]])
            pairs += [(before[0] + at, before[1] + its) for at, its in alike]
            pairs.append(end)
            before = (end[0] + 1, end[1] + 1)
        return pairs[:-1]

    def _differences(self, pair: Pair) -> list[Divergence]:
        if self._a.whole[pair[0]] == self._b.whole[pair[1]]:
            return []
        recorded, other = self._a.actions[pair[0]], self._b.actions[pair[1]]
        if recorded.kind == "checkpoint":
            return [_difference(recorded, DivergenceType.STATE_HASH_MISMATCH, "state_hash")]
        if is_imported(recorded) or is_imported(other):
            return imported_differences(recorded, other, self._rules)
        if recorded.output is None and other.output is None and recorded.output_hash != other.output_hash:
            # Results that were not kept: their hashes are all there is.
            return [_difference(recorded, DivergenceType.OUTPUT_MISMATCH, "output_hash")]
        return [*arguments_changed(recorded, other.arguments), *judge(recorded, outcome_of(other), self._rules)]


def _left_over(actions: Sequence[ReplayAction], paired: set[int]) -> tuple[int, ...]:
    return tuple(sorted(action.sequence for at, action in enumerate(actions) if at not in paired))


def _difference(action: ReplayAction, kind: DivergenceType, where: str) -> Divergence:
    """Return that two hashes differ, which is all that is known."""
    return Divergence(
        at_sequence=action.sequence,
        action_type=action.action_type.name,
        divergence_type=kind,
        details=f"the {where.replace('_', ' ')} differs",
        where=where,
    )


def _asked(action: ReplayAction) -> bytes:
    return fingerprint([action.kind, action.name, action.input_hash])


def _essence(action: ReplayAction, states: Mapping[int, bytes]) -> Any:
    """Return what counts of an action, in one value."""
    if action.kind == "checkpoint":
        return states.get(getattr(action.action_type, "checkpoint_id", -1))
    if is_imported(action):
        return imported_essence(action)
    error = None if action.error is None else [action.error.type, action.error.message]
    # Of a result that was not kept there is the hash.
    kept = [action.output_hash] if action.output is None else list(_parts(action.kind, whole(action.output)))
    return [dict(action.arguments), error, kept]


def _parts(kind: str, output: Any) -> Iterator[Any]:
    """Yield what `judge` would compare of a result."""
    hits = hits_of(output)
    if hits is not None and (kind == "find" or isinstance(output, Answer)):
        yield from ([hit.id, hit.score, dict(hit.content)] for hit in hits)
    else:
        yield without_times(kind, output)
    if isinstance(output, Answer):
        yield [output.text, output.provider, output.model]
