"""
Known divergences: a JSON file that people read, and what is left of a verdict once they are accepted.

The file is an object with ``replaykit_baseline`` (1) and ``divergences``, a
sorted list.  It is written only when that is asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import UsageError
from replaykit.model import ActionResult, Divergence, KnownDivergence, ReplayReport, ReplayResult

__all__ = ["accepting", "known_of", "read_baseline", "report_against", "write_baseline"]

_VERSION = 1


def read_baseline(path: str | os.PathLike[str]) -> list[KnownDivergence]:
    """
    Return what the file at *path* says is known.

    Raises:
        UsageError: There is no such file, or it is no baseline.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(
            f"baseline {os.fspath(path)}: {error.strerror}: replay_all(..., write_baseline=True) makes one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"baseline {os.fspath(path)} is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("replaykit_baseline") != _VERSION:
        raise UsageError(f"baseline {os.fspath(path)} is none: it has no replaykit_baseline of {_VERSION}")
    items = content.get("divergences")
    if not isinstance(items, list):
        raise UsageError(f"baseline {os.fspath(path)} has no list of divergences")
    return [_known(path, at, item) for at, item in enumerate(items)]


def _known(path: str | os.PathLike[str], at: int, item: Any) -> KnownDivergence:
    kinds = {field.name: int if field.name == "at_sequence" else str for field in attrs.fields(KnownDivergence)}
    try:
        given = {name: item.get(name, "") for name in kinds}
        if any(type(given[name]) is not kind for name, kind in kinds.items()):
            raise TypeError(f"give {', '.join(kinds)} as texts, at_sequence as a number")
        return KnownDivergence(**given | {"session_id": UUID(given["session_id"])})
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"baseline {os.fspath(path)}: divergence {at} is none: {error}") from error


def write_baseline(
    path: str | os.PathLike[str], report: ReplayReport, before: Iterable[KnownDivergence] = ()
) -> list[KnownDivergence]:
    """
    Make the divergences of *report* the known ones and return all that are known now.

    Of *before* stays what is said of actions that were not compared: of other
    sessions, skipped, errored.  The file is replaced in one step.
    """
    looked_at = _compared(report.results)
    found = {
        known_of(session_id, item)
        for session_id, result in report.results.items()
        for item in (*result.divergences, *result.known_divergences)
    }
    known = sorted(found | {item for item in before if (item.session_id, item.at_sequence) not in looked_at})
    rows = [attrs.asdict(item) | {"session_id": str(item.session_id)} for item in known]
    content = {"replaykit_baseline": _VERSION, "divergences": rows}
    fresh = Path(f"{os.fspath(path)}.{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return known


def known_of(session_id: UUID, item: Divergence) -> KnownDivergence:
    """Return *item* of a session as it is known again."""
    return KnownDivergence(
        session_id=session_id,
        at_sequence=item.at_sequence,
        divergence_type=item.divergence_type.value,
        where=item.where,
        action_type=item.action_type,
        details=item.details,
    )


def report_against(
    results: Mapping[UUID, ReplayResult], known: Collection[KnownDivergence], **more: Any
) -> ReplayReport:
    """Return the report on *results* with what is known accepted."""
    accepted = frozenset(known)
    shown = {known_of(session_id, item) for session_id, result in results.items() for item in result.divergences}
    looked_at = _compared(results)
    return ReplayReport(
        results={session_id: accepting(result, accepted) for session_id, result in results.items()},
        fixed=sorted(
            item for item in accepted if (item.session_id, item.at_sequence) in looked_at and item not in shown
        ),
        **more,
    )


def _compared(results: Mapping[UUID, ReplayResult]) -> set[tuple[UUID, int]]:
    """Return which actions were run and looked at."""
    return {
        (session_id, item.sequence)
        for session_id, result in results.items()
        for item in result.action_results
        if item.status not in ("skipped", "errored")
    }


def accepting(result: ReplayResult, known: frozenset[KnownDivergence]) -> ReplayResult:
    """
    Return *result* without the divergences that are known.

    An action that differs only in these has the status ``known``; what is
    errored stays so.
    """

    def is_known(item: Divergence) -> bool:
        return known_of(result.session_id, item) in known

    if not any(map(is_known, result.divergences)):
        return result
    told = [
        _accepting(item, tuple(each for each in item.divergences if not is_known(each)))
        for item in result.action_results
    ]
    counts = {status: sum(1 for item in told if item.status == status) for status in ("mismatched", "not_comparable")}
    return attrs.evolve(
        result,
        action_results=tuple(told),
        divergences=tuple(item for item in result.divergences if not is_known(item)),
        known_divergences=tuple(item for item in result.divergences if is_known(item)),
        mismatched_actions=counts["mismatched"],
        incomparable_actions=counts["not_comparable"],
        known_actions=sum(1 for item in told if item.status == "known"),
    )


def _accepting(item: ActionResult, left: tuple[Divergence, ...]) -> ActionResult:
    if len(left) == len(item.divergences):
        return item
    if left:
        return attrs.evolve(item, divergences=left)
    return attrs.evolve(item, divergences=(), status="known", reason=f"known: {item.divergences[0].details}")
