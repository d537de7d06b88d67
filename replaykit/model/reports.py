"""What the replay of many sessions says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from replaykit.model.verdicts import Divergence, ReplayResult, divergence_record

__all__ = ["KnownDivergence", "ReplayReport"]


@attrs.frozen(kw_only=True, order=True)
class KnownDivergence:
    """
    A divergence that is accepted.

    It is known again by its session, sequence, type and place (``where``);
    *details* are for people and do not count.
    """

    session_id: UUID
    at_sequence: int
    divergence_type: str
    where: str
    action_type: str = attrs.field(default="", eq=False, order=False)
    details: str = attrs.field(default="", eq=False, order=False)


@attrs.frozen(kw_only=True, repr=False)
class ReplayReport:
    """
    The verdict on many sessions; true only on success.

    Attributes:
        results: By session, in the order in which the recording lists them.
        fixed: What the baseline knows of these sessions and did not show.
        resumed: How many of the results were taken over from an earlier run.
        duration_ns: How long all of it took.
    """

    results: Mapping[UUID, ReplayResult]
    fixed: Sequence[KnownDivergence] = ()
    resumed: int = 0
    duration_ns: int = 0

    @property
    def verdict(self) -> str:
        """The gravest of all: ``failed``, ``errored``, ``incomplete``, ``passed``; else ``nothing compared``."""
        verdicts = {result.verdict for result in self.results.values()}
        gravest = ("failed", "errored", "incomplete", "passed")
        return next((verdict for verdict in gravest if verdict in verdicts), "nothing compared")

    @property
    def is_success(self) -> bool:
        """Something was compared, nothing is new to the baseline, and every session could be replayed whole."""
        return self.verdict == "passed"

    @property
    def totals(self) -> dict[str, int]:
        """How many sessions came to each verdict, and how many of their actions to each status."""
        results = self.results.values()
        verdicts = ("passed", "failed", "errored", "incomplete", "nothing compared")
        counts = {name: sum(1 for result in results if result.verdict == name) for name in verdicts}
        statuses = ("total", "matched", "mismatched", "known", "skipped", "errored", "incomparable")
        names = [f"{status}_actions" for status in statuses]
        return {"sessions": len(results)} | counts | {name: sum(getattr(r, name) for r in results) for name in names}

    @property
    def new_divergences(self) -> list[tuple[UUID, Divergence]]:
        """Each divergence that no baseline knows, with its session."""
        return [(session_id, item) for session_id, result in self.results.items() for item in result.divergences]

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dict per new divergence."""
        return [
            {"session_id": str(session_id), "session": self.results[session_id].name, **divergence_record(item)}
            for session_id, item in self.new_divergences
        ]

    def to_pandas(self) -> Any:
        """
        Return the new divergences as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(self.to_records())

    def __bool__(self) -> bool:
        return self.is_success

    def __repr__(self) -> str:
        totals = self.totals
        passed = f"{totals['passed']}/{totals['sessions']} sessions passed"
        return f"<ReplayReport {self.verdict}: {passed}, {len(self.new_divergences)} new divergences>"
