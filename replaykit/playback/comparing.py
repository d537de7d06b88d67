"""Compares two sessions: what only one has, and in what the rest differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from replaykit.errors import UsageError
from replaykit.format.likeness import LIKENESS_BYTES
from replaykit.model import (
    Divergence,
    DivergenceType,
    ReplayAction,
    ReplaySession,
    SessionComparison,
    Tolerances,
)
from replaykit.playback.alignment import Pair, Pairs
from replaykit.playback.imported import imported_differences, imported_essence, is_imported
from replaykit.playback.judging import arguments_changed, judge
from replaykit.playback.lining_up import Paired, Recognised, Side, line_up
from replaykit.playback.outcomes import fingerprint, outcome_of, whole
from replaykit.playback.parts import parts_of
from replaykit.playback.retrieval import Order
from replaykit.storage.action_sequence import ActionSequence

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


class _Comparison:
    def __init__(self, session_a: ReplaySession, session_b: ReplaySession, rules: Tolerances) -> None:
        self._sessions = (session_a, session_b)
        self._a, self._b = session_a.actions, session_b.actions
        self._rules = rules

    def result(self) -> SessionComparison:
        paired = line_up(*map(_side, self._sessions))
        differing: list[Divergence] = []
        matching = 0
        for pair, count in paired.stretches():
            found = self._differences(pair) if count == 0 else []
            differing += found
            matching += count or not found
        only_in_a, only_in_b = paired.left_over((len(self._a), len(self._b)))
        return SessionComparison(
            session_a=self._sessions[0].session_id,
            session_b=self._sessions[1].session_id,
            actions_only_in_a=_sequences_at(self._a, only_in_a),
            actions_only_in_b=_sequences_at(self._b, only_in_b),
            differing_actions=tuple(differing),
            matching_actions=matching,
            pairs=_SequencePairs(paired, self._a, self._b),
        )

    def _differences(self, pair: Pair) -> list[Divergence]:
        recorded, other = self._a[pair[0]], self._b[pair[1]]
        if recorded.kind == "checkpoint":
            return [_difference(recorded, DivergenceType.STATE_HASH_MISMATCH, "state_hash")]
        if is_imported(recorded) or is_imported(other):
            return imported_differences(recorded, other, self._rules)
        if recorded.output is None and other.output is None and recorded.output_hash != other.output_hash:
            # Results that were not kept: their hashes are all there is.
            return [_difference(recorded, DivergenceType.OUTPUT_MISMATCH, "output_hash")]
        return [*arguments_changed(recorded, other.arguments), *judge(recorded, outcome_of(other), self._rules)]


def _side(session: ReplaySession) -> Side:
    states = {checkpoint.id: checkpoint.state_hash for checkpoint in session.checkpoints}
    actions = session.actions

    def recognise(at: int) -> Recognised:
        action = actions[at]
        asked = fingerprint([action.kind, action.name, action.input_hash])
        return asked, fingerprint([asked, _essence(action, states)])

    told = actions.likenesses() if isinstance(actions, ActionSequence) else repeat(None, len(actions))
    likenesses = bytearray()
    for at, likeness in enumerate(told):
        likenesses += likeness or recognise(at)[1][:LIKENESS_BYTES]
    return Side(likenesses, recognise)


class _SequencePairs(Pairs):
    """The sequences of actions that were held against each other."""

    def __init__(self, paired: Paired, first: Sequence[ReplayAction], second: Sequence[ReplayAction]) -> None:
        self._paired = paired
        self._first, self._second = _sequences(first), _sequences(second)

    def __len__(self) -> int:
        return len(self._paired)

    def pair_at(self, position: int) -> Pair:
        at, its = self._paired.pair_at(position)
        return self._first[at], self._second[its]

    def __repr__(self) -> str:
        return f"<{len(self)} pairs>"


def _sequences(actions: Sequence[ReplayAction]) -> Sequence[int]:
    return actions.sequences if isinstance(actions, ActionSequence) else [action.sequence for action in actions]


def _sequences_at(actions: Sequence[ReplayAction], positions: Sequence[range]) -> tuple[int, ...]:
    sequences = _sequences(actions)
    return tuple(sorted(sequences[at] for some in positions for at in some))


def _difference(action: ReplayAction, kind: DivergenceType, where: str) -> Divergence:
    """Return that two hashes differ, which is all that is known."""
    return Divergence(
        at_sequence=action.sequence,
        action_type=action.action_type.name,
        divergence_type=kind,
        details=f"the {where.replace('_', ' ')} differs",
        where=where,
    )


def _essence(action: ReplayAction, states: Mapping[int, bytes]) -> Any:
    """Return what counts of an action, in one value."""
    if action.kind == "checkpoint":
        return states.get(getattr(action.action_type, "checkpoint_id", -1))
    if is_imported(action):
        return imported_essence(action)
    error = None if action.error is None else [action.error.type, action.error.message]
    # Of a result that was not kept there is the hash.
    kept = [action.output_hash] if action.output is None else _parts(action.kind, whole(action.output))
    return [dict(action.arguments), error, kept]


def _parts(kind: str, output: Any) -> list[Any]:
    """Return what `judge` would compare of a result."""
    parts = parts_of(kind, output)
    hits = None if parts.hits is None else [[hit.id, hit.score, dict(hit.content), hit.query] for hit in parts.hits]
    return [hits, parts.queries, parts.rest]
