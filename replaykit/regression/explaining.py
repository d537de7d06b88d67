"""A verdict for people, in plain text: what each call that differs gave then and gives now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replaykit.model import ActionResult, Divergence, DivergenceType, FieldChange, HitChange, ReplayResult
from replaykit.plain_text import counted, one_line, printable

__all__ = ["divergence_lines", "explained", "headline"]

MOST_ACTIONS = 5
"""So many actions are shown; the others are counted."""

_MOST_REASONS = 5
_MOST_LINES = 20
_MOST_DIVERGENCES = 10
_LONGEST_TEXT = 1_200
_WIDTH = 160
_INDENT = "    "


def headline(result: ReplayResult) -> str:
    """Return one line: which session it is, what came of it, and the first divergence or reason."""
    name = "" if result.name is None else f'"{one_line(result.name, 80)}" '
    return f"session {name}({str(result.session_id)[:8]}): {_outcome(result)}"


def explained(result: ReplayResult, *, most_actions: int = MOST_ACTIONS) -> str:
    """
    Return what differs, action by action, and why the rest was not compared.

    The text is bounded, and has no control characters but line feeds and
    tabs; recorded text is indented, so that none of it can pass for a line of
    ours.  It is empty where all agreed.
    """
    told = [item for item in result.action_results if item.status == "mismatched"]
    lines = [line for item in told[:most_actions] for line in _action(item)]
    if len(told) > most_actions:
        lines.append(f"and {counted(len(told) - most_actions, 'more action')} that differ: result.divergences has all")
    lines += _not_compared(result)
    return "\n".join(lines)


# -- the sum ------------------------------------------------------------------------


def _outcome(result: ReplayResult) -> str:
    if result.verdict == "failed":
        found = (each for item in result.action_results if item.status == "mismatched" for each in item.divergences)
        first = next(found, result.first_divergence)
        where = "" if first is None else f"; first action {first.at_sequence}: {one_line(first.details, 200)}"
        differ = "differs" if result.mismatched_actions == 1 else "differ"
        return f"{_share(result, result.mismatched_actions)} {differ}{where}"
    if result.verdict == "errored":
        return one_line(_errors(result), 300)
    if result.verdict == "incomplete":
        return f"nothing differs, but not all of it could be compared: {one_line(_missing(result), 300)}"
    if result.verdict == "nothing compared":
        return f"nothing was compared: {_idle(result)}"
    return f"{_share(result, result.matched_actions + result.known_actions)} agreed"


def _share(result: ReplayResult, count: int) -> str:
    return f"{count:,} of {counted(result.total_actions, 'action')}"


def _errors(result: ReplayResult) -> str:
    if result.error:
        return f"it could not be replayed: {result.error}"
    first = next(item for item in result.action_results if item.status == "errored")
    return f"{_share(result, result.errored_actions)} could not be run, first action {first.sequence}: {first.reason}"


def _missing(result: ReplayResult) -> str:
    if result.incomplete:
        return "; ".join(result.incomplete)
    return f"{_share(result, result.incomparable_actions)} cannot be held against anything"


def _idle(result: ReplayResult) -> str:
    return "all of its calls were passed over" if result.total_actions else "the session has no calls"


# -- one action ---------------------------------------------------------------------


def _action(item: ActionResult) -> Iterator[str]:
    yield f"action {item.sequence}: {one_line(item.call or item.action_type, _WIDTH)}{_counts(item)}"
    shown = item.divergences[:_MOST_DIVERGENCES]
    for divergence in shown:
        yield from (f"{_INDENT}{line}" for line in divergence_lines(divergence))
    if len(item.divergences) > len(shown):
        yield f"{_INDENT}and {counted(len(item.divergences) - len(shown), 'more divergence')}"
    for cause in dict.fromkeys(divergence.cause for divergence in shown if divergence.cause):
        yield f"{_INDENT}likely cause: {one_line(cause, _WIDTH)}"


def _counts(item: ActionResult) -> str:
    if item.recorded_count is None or item.recorded_count == item.seen_count:
        return ""
    return f"  ({counted(item.recorded_count, 'hit')} then, {item.seen_count} now)"


def divergence_lines(item: Divergence) -> Iterator[str]:
    """Yield what *item* says in lines of bounded number and length, none of which steers a terminal."""
    if not item.changes or item.divergence_type is DivergenceType.RESULT_COUNT_DIFFERENCE:
        yield one_line(item.details, 2 * _WIDTH)
    for change in item.changes:
        yield from _hit(change) if isinstance(change, HitChange) else _field(change)
    left = item.changed - len(item.changes)
    if left > 0:
        yield f"and {left:,} more like this"


def _hit(change: HitChange) -> Iterator[str]:
    held = f"  {one_line(change.holds, 80)}" if change.holds else ""
    query = "" if change.query is None else f" (query {change.query})"
    yield f"{change.change:<5}  frame {one_line(str(change.frame), 40)}{query}  {_became(change)}{held}"


def _became(change: HitChange) -> str:
    if change.change == "moved":
        return f"from rank {change.recorded_rank} to {change.seen_rank}"
    if change.change == "score":
        return f"{_score(change.recorded_score)} -> {_score(change.seen_score)}{_by(change)}"
    rank, score = change.recorded_rank, change.recorded_score
    if change.change == "new":
        rank, score = change.seen_rank, change.seen_score
    return f"rank {rank}" + ("" if score is None else f", score {_score(score)}")


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.6g}"


def _by(change: HitChange) -> str:
    if change.recorded_score is None or change.seen_score is None:
        return ""
    return f" ({change.seen_score - change.recorded_score:+.6g})"


def _field(change: FieldChange) -> Iterator[str]:
    where = one_line(change.where, 80)
    if not change.diff:
        yield f"{where}: {one_line(change.recorded, _WIDTH)} -> {one_line(change.seen, _WIDTH)}"
        return
    lines = _paragraph(change.diff)
    if len(lines) == 1:
        yield f"{where}: {lines[0]}"
        return
    yield f"{where}:"
    yield from (f"{_INDENT}{line}" for line in lines)


def _paragraph(text: str) -> list[str]:
    """Return *text* by lines, a bounded number of them, with nothing that steers a terminal."""
    cut = f"{text[:_LONGEST_TEXT]} ..." if len(text) > _LONGEST_TEXT else text
    lines = printable(cut).split("\n")
    return lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], f"... {len(lines) - _MOST_LINES} more lines"]


# -- what was not compared ------------------------------------------------------------


def _not_compared(result: ReplayResult) -> Iterator[str]:
    """Yield why actions were not compared, each reason once, and what else there is to know."""
    for status, what in (("errored", "not run"), ("not_comparable", "not comparable"), ("skipped", "skipped")):
        if status == "skipped" and result.verdict != "nothing compared":
            continue
        yield from _reasons([item for item in result.action_results if item.status == status], what)
    yield from (f"note: {one_line(note, 2 * _WIDTH)}" for note in (*result.incomplete, *result.notes))
    if result.known_actions:
        differ = "differs" if result.known_actions == 1 else "differ"
        yield f"note: {counted(result.known_actions, 'action')} {differ} as the baseline says"


def _reasons(items: Sequence[ActionResult], what: str) -> Iterator[str]:
    sequences: dict[str, list[int]] = {}
    for item in items:
        sequences.setdefault(item.reason, []).append(item.sequence)
    for reason, which in list(sequences.items())[:_MOST_REASONS]:
        yield f"{what}: {_actions(which)}: {one_line(reason, 2 * _WIDTH)}"
    if len(sequences) > _MOST_REASONS:
        yield f"{what}: and {len(sequences) - _MOST_REASONS:,} more reasons"


def _actions(which: Sequence[int]) -> str:
    shown = ", ".join(map(str, which[:5]))
    more = f" and {len(which) - 5:,} more" if len(which) > 5 else ""
    return f"action{'' if len(which) == 1 else 's'} {shown}{more}"
