"""What single actions come to: the result of one replay, or of several that confirm each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from replaykit.model import MEMVID, ActionResult, Divergence, ReplayOptions, ReplayResult, ReplaySession
from replaykit.plain_text import counted

__all__ = ["confirmed", "summed"]

_STATUSES = ("matched", "mismatched", "skipped", "errored", "not_comparable")


def summed(
    session: ReplaySession,
    options: ReplayOptions,
    found: Sequence[ActionResult],
    total: int,
    notes: Sequence[str],
    duration_ns: int,
) -> ReplayResult:
    """Return the verdict over what was *found* of *total* actions."""
    counts = {status: sum(1 for item in found if item.status == status) for status in _STATUSES}
    return ReplayResult(
        session_id=session.session_id,
        name=session.name,
        total_actions=total,
        matched_actions=counts["matched"],
        mismatched_actions=counts["mismatched"],
        skipped_actions=counts["skipped"],
        errored_actions=counts["errored"],
        incomparable_actions=counts["not_comparable"],
        duration_ns=duration_ns,
        divergences=tuple(item for result in found for item in result.divergences),
        action_results=tuple(found),
        incomplete=tuple(_missing(session)),
        notes=tuple(notes),
        options=options,
    )


def _missing(session: ReplaySession) -> Iterator[str]:
    """Yield why not all that happened is in the recording."""
    if session.state != "sealed":
        yield f"the session is {session.state}"
    if session.lost:
        yield f"{session.lost} calls could not be recorded"
    if session.gaps:
        yield f"{counted(session.gaps, 'gap')}: records of its log were damaged"
    if session.late:
        yield f"{session.late} calls began after the session's end"
    if session.capture == MEMVID:
        yield "memvid kept no arguments and results: finds were compared by the ids of their hits"
    elif session.capture != "full":
        yield f"the session kept no arguments and results (capture={session.capture!r})"


def confirmed(results: Sequence[ReplayResult], options: ReplayOptions) -> ReplayResult:
    """
    Return the first of several results with only those divergences that all of them show.

    Where *options* say ``stop_on_mismatch`` it ends with the first such action.
    """
    everywhere = set.intersection(*({_mark(item) for item in result.divergences} for result in results))
    first = results[0]
    kept = []
    for result in first.action_results:
        told = tuple(item for item in result.divergences if _mark(item) in everywhere)
        is_gone = result.status == "mismatched" and not told
        kept.append(attrs.evolve(result, divergences=told, status="matched" if is_gone else result.status))
        if options.stop_on_mismatch and kept[-1].status == "mismatched":
            break
    counts = {status: sum(1 for item in kept if item.status == status) for status in _STATUSES}
    return attrs.evolve(
        first,
        matched_actions=counts["matched"],
        mismatched_actions=counts["mismatched"],
        skipped_actions=counts["skipped"],
        errored_actions=counts["errored"],
        incomparable_actions=counts["not_comparable"],
        options=options,
        divergences=tuple(item for result in kept for item in result.divergences),
        action_results=tuple(kept),
        duration_ns=sum(result.duration_ns for result in results),
        notes=(*first.notes, f"each divergence showed in {len(results)} runs"),
    )


def _mark(item: Divergence) -> tuple[int, str]:
    return item.at_sequence, item.divergence_type.value
