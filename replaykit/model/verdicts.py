"""What replaying and comparing say."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from replaykit.model.actions import FrameId
from replaykit.model.options import ReplayOptions

__all__ = [
    "ActionResult",
    "Agreement",
    "ComparisonReport",
    "ComparisonSummary",
    "Divergence",
    "DivergenceType",
    "FieldChange",
    "HitChange",
    "ModelResult",
    "ReplayResult",
    "SessionComparison",
    "divergence_record",
]


class DivergenceType(enum.Enum):
    """In what way a replayed action differs."""

    OUTPUT_MISMATCH = "output_mismatch"
    HITS_LOST = "hits_lost"
    HITS_NEW = "hits_new"
    HITS_MOVED = "hits_moved"
    SCORE_DRIFT = "score_drift"
    RESULT_COUNT_DIFFERENCE = "result_count_difference"
    CONTENT_CHANGED = "content_changed"
    ERROR_VS_SUCCESS = "error_vs_success"
    ARGUMENTS_CHANGED = "arguments_changed"
    STATE_HASH_MISMATCH = "state_hash_mismatch"
    MISSING = "missing"
    EXTRA = "extra"
    NOT_COMPARABLE = "not_comparable"


@attrs.frozen(kw_only=True)
class HitChange:
    """
    What became of one hit.

    Attributes:
        change: ``lost``, ``new``, ``moved`` or ``score``.
        recorded_rank: Where it stood, from 1; None for one that is new.
        seen_rank: Where it stands now; None for one that is lost.
        recorded_score: None where there was none; so with ``seen_score``.
        holds: Briefly what it holds.
        query: Which of several queries found it, from 1; its ranks are those there.  None where there was one.
    """

    change: str
    frame: FrameId
    recorded_rank: int | None = None
    seen_rank: int | None = None
    recorded_score: float | None = None
    seen_score: float | None = None
    holds: str = ""
    query: int | None = None


@attrs.frozen(kw_only=True)
class FieldChange:
    """
    One place in which two values differ.

    ``where`` is a path like ``result.rows[2].score``; ``recorded`` and
    ``seen`` say briefly what stood and stands there, ``diff`` of two texts in
    which words they differ (``[-old-]{+new+}``).
    """

    where: str
    recorded: str
    seen: str
    diff: str = ""


@attrs.frozen(kw_only=True)
class Divergence:
    """
    One difference between what was recorded and what came back.

    ``original_preview`` is what was expected, ``replay_preview`` what was
    seen; ``where`` leads to the first difference (``hits[2].score``) and
    ``details`` says it in a sentence.  ``cause`` is a likely one, empty where
    none is known; ``frames`` are the frames that it is about.

    ``changes`` are the first of the single hits or places that differ, and
    ``changed`` is how many there are.  A verdict that was taken over from an
    earlier run (``resume=``) has none.
    """

    at_sequence: int
    action_type: str
    divergence_type: DivergenceType
    original_preview: str = ""
    replay_preview: str = ""
    details: str = ""
    where: str = ""
    cause: str = ""
    frames: tuple[FrameId, ...] = ()
    changes: tuple[HitChange | FieldChange, ...] = attrs.field(default=(), eq=False)
    changed: int = attrs.field(default=0, eq=False)


def divergence_record(item: Divergence) -> dict[str, Any]:
    """Return *item* as a flat dict: all but its single changes."""
    fields = attrs.asdict(item, recurse=False, filter=attrs.filters.exclude("changes", "changed"))
    return fields | {"divergence_type": item.divergence_type.value, "frames": list(item.frames)}


@attrs.frozen(kw_only=True)
class ActionResult:
    """
    What replaying one action gave.

    ``status`` is ``matched``, ``mismatched``, ``skipped``, ``errored``,
    ``not_comparable`` or ``known`` (it differs as a baseline says);
    ``reason`` says why for all but the first two.  ``duration_ns`` is how long
    the call took now.  Of a find that gave hits then and now, ``overlap``,
    ``rbo`` and ``tau`` say how far the two rankings agree, ``recorded_count``
    and ``seen_count`` how many hits there were.  ``call`` shows a call
    that was run and did not match; it is empty for the rest.
    """

    sequence: int
    action_type: str
    status: str
    reason: str = ""
    divergences: tuple[Divergence, ...] = ()
    duration_ns: int = 0
    recorded_duration_ns: int = 0
    diff: str = ""
    overlap: float | None = None
    rbo: float | None = None
    tau: float | None = None
    recorded_count: int | None = None
    seen_count: int | None = None
    call: str = ""


@attrs.frozen(kw_only=True)
class Agreement:
    """
    How far a target agrees with a recording, and how fast it is.

    Attributes:
        finds: How many rankings could be held against each other.
        overlap: Hits that both have, over the length of the longer ranking; the mean of all finds, as are those below.
        rbo: Rank-biased overlap, 0 to 1: differences at the top count more.
        tau: Kendall's tau of the hits that both have, -1 to 1.
        calls: How many finds and asks ran.
        recorded_p50_ns: The median of how long these took then; so with p95, and with ``seen`` for now.
    """

    finds: int = 0
    overlap: float | None = None
    rbo: float | None = None
    tau: float | None = None
    calls: int = 0
    recorded_p50_ns: int | None = None
    recorded_p95_ns: int | None = None
    seen_p50_ns: int | None = None
    seen_p95_ns: int | None = None


def _agreement(results: Sequence[ActionResult]) -> Agreement:
    ran = [
        item
        for item in results
        if item.action_type in ("FIND", "ASK") and item.status in ("matched", "mismatched", "known")
    ]
    then = sorted(item.recorded_duration_ns for item in ran)
    now = sorted(item.duration_ns for item in ran)
    return Agreement(
        finds=sum(1 for item in ran if item.overlap is not None),
        overlap=_mean([item.overlap for item in ran if item.overlap is not None]),
        rbo=_mean([item.rbo for item in ran if item.rbo is not None]),
        tau=_mean([item.tau for item in ran if item.tau is not None]),
        calls=len(ran),
        recorded_p50_ns=_percentile(then, 50),
        recorded_p95_ns=_percentile(then, 95),
        seen_p50_ns=_percentile(now, 50),
        seen_p95_ns=_percentile(now, 95),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _percentile(ascending: Sequence[int], percent: int) -> int | None:
    """Return the lowest value that *percent* of all do not exceed."""
    return ascending[-(-len(ascending) * percent // 100) - 1] if ascending else None


@attrs.frozen(kw_only=True, repr=False)
class ReplayResult:
    """
    The verdict of a replay; true only on success.

    Attributes:
        total_actions: How many actions were to be replayed, also when the run stopped early.
        known_actions: How many differ only as a baseline says.
        divergences: In what they differ, what a baseline knows left out.
        known_divergences: What a baseline knows.
        action_results: One per action that was looked at, by sequence.
        name: The session's.
        error: Why the session could not be replayed at all; empty if it was.
        incomplete: Why the recording or the replay is not whole; then it can fail, but never pass.
        notes: What a reader of the verdict has to know.
    """

    session_id: UUID
    total_actions: int
    matched_actions: int = 0
    mismatched_actions: int = 0
    skipped_actions: int = 0
    errored_actions: int = 0
    incomparable_actions: int = 0
    known_actions: int = 0
    duration_ns: int = 0
    divergences: Sequence[Divergence] = ()
    known_divergences: Sequence[Divergence] = ()
    action_results: Sequence[ActionResult] = ()
    incomplete: Sequence[str] = ()
    notes: Sequence[str] = ()
    options: ReplayOptions = attrs.field(factory=ReplayOptions)
    name: str | None = None
    error: str = ""

    @property
    def verdict(self) -> str:
        """``passed``, ``failed``, ``errored``, ``incomplete`` or ``nothing compared``."""
        if self.mismatched_actions:
            return "failed"
        if self.errored_actions or self.error:
            return "errored"
        if self.incomplete or self.incomparable_actions:
            return "incomplete"
        return "passed" if self.matched_actions or self.known_actions else "nothing compared"

    @property
    def is_success(self) -> bool:
        """Something was compared, all of it agreed or differs as is known, and nothing is missing."""
        return self.verdict == "passed"

    @property
    def match_rate(self) -> float:
        """Matched over compared actions, times 100; 0.0 when nothing was compared."""
        compared = self.matched_actions + self.mismatched_actions + self.known_actions
        return 100.0 * self.matched_actions / compared if compared else 0.0

    @property
    def agreement(self) -> Agreement:
        """How far finds agree on average, and how long finds and asks took then and now."""
        return _agreement(self.action_results)

    @property
    def first_divergence(self) -> Divergence | None:
        """The divergence with the lowest sequence."""
        return min(self.divergences, key=lambda item: item.at_sequence, default=None)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per divergence."""
        return [divergence_record(item) for item in self.divergences]

    def to_pandas(self) -> Any:
        """
        Return the divergences as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(self.to_records())

    def __bool__(self) -> bool:
        return self.is_success

    def __repr__(self) -> str:
        matched = f"{self.matched_actions}/{self.total_actions} matched"
        return f"<ReplayResult {self.verdict}: {matched}, {len(self.divergences)} divergences>"


@attrs.frozen(kw_only=True, repr=False)
class SessionComparison:
    """
    What two sessions have in common; it has no truth value: ask ``is_identical``.

    The sequences ascend.  A differing action is named by its sequence in A;
    ``pairs`` has the sequences in A and B of all actions that were held
    against each other.
    """

    session_a: UUID
    session_b: UUID
    actions_only_in_a: Sequence[int] = ()
    actions_only_in_b: Sequence[int] = ()
    differing_actions: Sequence[Divergence] = ()
    matching_actions: int = 0
    pairs: Sequence[tuple[int, int]] = attrs.field(default=(), eq=False)

    @property
    def is_identical(self) -> bool:
        """Nothing is missing on either side and nothing differs."""
        return not (self.actions_only_in_a or self.actions_only_in_b or self.differing_actions)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per difference: those of pairs, then what only A has, then what only B has."""
        return [
            *(divergence_record(item) for item in self.differing_actions),
            *({"at_sequence": sequence, "divergence_type": "only_in_a"} for sequence in self.actions_only_in_a),
            *({"at_sequence": sequence, "divergence_type": "only_in_b"} for sequence in self.actions_only_in_b),
        ]

    def to_pandas(self) -> Any:
        """
        Return the differences as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(self.to_records())

    def __bool__(self) -> bool:
        raise TypeError("a SessionComparison has no truth value; ask .is_identical")

    def __repr__(self) -> str:
        return f"<SessionComparison {self.matching_actions} matching, {len(self.differing_actions)} differing>"


@attrs.frozen(kw_only=True)
class ModelResult:
    """
    What one variant (a model, a k, a mode) gave over a session.

    Attributes:
        model: The variant's name.
        answers: The texts of the answers, in order of the asks; an error is told in brackets.
        latencies_ns: How long each ask took.
        prompt_tokens: The sum where servers said it, else None; so ``completion_tokens``.
        cost: In the unit of the prices that were given, else None.
        error: Why the variant could not run at all.
    """

    model: str
    answers: Sequence[str] = ()
    matched_actions: int = 0
    mismatched_actions: int = 0
    errored_actions: int = 0
    duration_ns: int = 0
    latencies_ns: Sequence[int] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    error: str | None = None

    @property
    def latency_ms(self) -> float:
        """The median time of an ask, in milliseconds; 0.0 where nothing was asked."""
        return statistics.median(self.latencies_ns) / 1e6 if self.latencies_ns else 0.0


@attrs.frozen(kw_only=True)
class ComparisonSummary:
    """
    How far several variants agree: over the finds and asks that all of them ran.

    ``first_divergence`` is the sequence of the first on which they differ.
    """

    total_actions: int = 0
    unanimous_actions: int = 0
    divergent_actions: int = 0
    first_divergence: int | None = None


@attrs.frozen(kw_only=True)
class ComparisonReport:
    """Several variants over one session; ``models`` has them by name, in the order in which they were given."""

    session_id: UUID
    models: Mapping[str, ModelResult]
    summary: ComparisonSummary

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per variant."""
        return [
            {
                "session_id": str(self.session_id),
                "latency_ms": result.latency_ms,
                **attrs.asdict(result, recurse=False, filter=attrs.filters.exclude("answers", "latencies_ns")),
            }
            for result in self.models.values()
        ]
