"""What replaying and comparing say."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

__all__ = [
    "ComparisonReport",
    "ComparisonSummary",
    "Divergence",
    "DivergenceType",
    "ModelResult",
    "ReplayOptions",
    "ReplayResult",
    "SessionComparison",
]


class DivergenceType(enum.Enum):
    """In what way a replayed action differs."""

    OUTPUT_MISMATCH = "output_mismatch"
    RESULT_COUNT_DIFFERENCE = "result_count_difference"
    ERROR_VS_SUCCESS = "error_vs_success"
    STATE_HASH_MISMATCH = "state_hash_mismatch"
    MISSING = "missing"
    EXTRA = "extra"
    NOT_COMPARABLE = "not_comparable"


@attrs.frozen(kw_only=True)
class Divergence:
    """One difference between what was recorded and what came back."""

    at_sequence: int
    action_type: str
    divergence_type: DivergenceType
    original_preview: str = ""
    replay_preview: str = ""
    details: str = ""


@attrs.frozen(kw_only=True)
class ReplayOptions:
    """What a replay runs and how strictly it compares."""

    skip_puts: bool = False
    skip_finds: bool = False
    skip_asks: bool = False
    stop_on_mismatch: bool = False
    top_k: int | None = None
    score_tolerance: float = 0.0
    order: str = "exact"


@attrs.frozen(kw_only=True, repr=False)
class ReplayResult:
    """The verdict of a replay; true only on success."""

    session_id: UUID
    total_actions: int
    matched_actions: int = 0
    mismatched_actions: int = 0
    skipped_actions: int = 0
    errored_actions: int = 0
    duration_ns: int = 0
    divergences: Sequence[Divergence] = ()

    @property
    def is_success(self) -> bool:
        """Something was compared, and all of it agreed."""
        return self.matched_actions > 0 and not (self.mismatched_actions or self.errored_actions)

    @property
    def match_rate(self) -> float:
        """Matched over compared actions, times 100; 0.0 when nothing was compared."""
        compared = self.matched_actions + self.mismatched_actions
        return 100.0 * self.matched_actions / compared if compared else 0.0

    @property
    def first_divergence(self) -> Divergence | None:
        """The divergence with the lowest sequence."""
        return min(self.divergences, key=lambda item: item.at_sequence, default=None)

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per divergence."""
        return [{**attrs.asdict(item), "divergence_type": item.divergence_type.value} for item in self.divergences]

    def __bool__(self) -> bool:
        return self.is_success

    def __repr__(self) -> str:
        matched = f"{self.matched_actions}/{self.total_actions} matched"
        return f"<ReplayResult {matched}, {len(self.divergences)} divergences>"


@attrs.frozen(kw_only=True, repr=False)
class SessionComparison:
    """What two sessions have in common; it has no truth value: ask ``is_identical``."""

    session_a: UUID
    session_b: UUID
    actions_only_in_a: Sequence[int] = ()
    actions_only_in_b: Sequence[int] = ()
    differing_actions: Sequence[Divergence] = ()
    matching_actions: int = 0

    @property
    def is_identical(self) -> bool:
        """Nothing is missing on either side and nothing differs."""
        return not (self.actions_only_in_a or self.actions_only_in_b or self.differing_actions)

    def __bool__(self) -> bool:
        raise TypeError("a SessionComparison has no truth value; ask .is_identical")

    def __repr__(self) -> str:
        return f"<SessionComparison {self.matching_actions} matching, {len(self.differing_actions)} differing>"


@attrs.frozen(kw_only=True)
class ModelResult:
    """One model's answers over a session."""

    model: str
    answers: Sequence[str] = ()
    matched_actions: int = 0
    duration_ns: int = 0
    error: str | None = None


@attrs.frozen(kw_only=True)
class ComparisonSummary:
    """How far several models agree."""

    total_actions: int = 0
    unanimous_actions: int = 0
    divergent_actions: int = 0
    first_divergence: int | None = None


@attrs.frozen(kw_only=True)
class ComparisonReport:
    """Several models over one session."""

    session_id: UUID
    models: Mapping[str, ModelResult]
    summary: ComparisonSummary
