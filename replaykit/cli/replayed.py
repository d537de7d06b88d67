"""What people see of a replay: what was expected beside what was seen, and the verdict."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from replaykit.model import Agreement, Divergence, DivergenceType, ReplayResult
from replaykit.plain_text import counted, one_line

__all__ = ["show_result", "verdict_text"]

_VERDICT_STYLES = {"passed": "bold green", "failed": "bold red", "errored": "bold red"}


def show_result(out: Console, result: ReplayResult) -> None:
    """Print the divergences as a table, expected beside seen, and the verdict."""

    shown = [item for item in result.divergences if item.divergence_type.value != "not_comparable"]
    if shown:
        out.print(_table(shown))
    for item in result.action_results:
        if item.status in ("errored", "not_comparable"):
            out.print(
                Text(f"{item.sequence:>5}  {item.action_type}  {item.status}: {one_line(item.reason, 200)}", "yellow")
            )
        if item.diff:
            out.print(Text(f"{item.sequence:>5}  {one_line(item.diff, 2_000)}"))
    if result.error:
        out.print(Text(f"errored: {one_line(result.error, 200)}", "yellow"))
    for reason in (*result.incomplete, *result.notes):
        out.print(Text(f"note: {one_line(reason, 200)}", "dim"))
    if result.options.ids == "content":
        out.print(Text(_agreement(result.agreement)))
    name = one_line(result.name or str(result.session_id), 60)
    counts = ", ".join(f"{count:,} {what}" for what, count in _counts(result) if count)
    out.print(Text.assemble(verdict_text(result.verdict), f"  {name}: {counts}" if counts else f"  {name}"))


def _agreement(found: Agreement) -> str:
    if found.overlap is None or found.rbo is None or found.tau is None:
        return "agreement: no find gave hits then and now"
    means = f"overlap {found.overlap:.3f}, rank-biased overlap {found.rbo:.3f}, Kendall's tau {found.tau:.3f}"
    times = [found.recorded_p50_ns, found.recorded_p95_ns, found.seen_p50_ns, found.seen_p95_ns]
    then_p50, then_p95, now_p50, now_p95 = (f"{(each or 0) / 1e6:.2f} ms" for each in times)
    finds = counted(found.finds, "find")
    return f"agreement of {finds}: {means}; p50 {then_p50} then, {now_p50} now; p95 {then_p95} then, {now_p95} now"


def verdict_text(verdict: str) -> tuple[str, str]:
    """Return a verdict and the style that it is printed in."""
    return verdict, _VERDICT_STYLES.get(verdict, "bold yellow")


def _counts(result: ReplayResult) -> list[tuple[str, int]]:
    return [
        ("matched", result.matched_actions),
        ("differ", result.mismatched_actions),
        ("differ as known", result.known_actions),
        ("skipped", result.skipped_actions),
        ("errored", result.errored_actions),
        ("not comparable", result.incomparable_actions),
    ]


def _what(item: Divergence) -> str:
    """Return what differs, without the two values that stand beside it."""
    if item.divergence_type is DivergenceType.ERROR_VS_SUCCESS:
        return "it fails now" if item.original_preview == "success" else "it does not fail now"
    return item.details.replace(f" was {item.original_preview}, is {item.replay_preview}", " differs", 1)


def _table(divergences: list[Divergence]) -> Any:

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("#", "kind", "what differs", "expected", "seen", "likely cause"):
        table.add_column(heading, justify="right" if heading == "#" else "left")
    for item in divergences:
        table.add_row(
            str(item.at_sequence),
            item.action_type,
            Text(one_line(_what(item), 200), style="yellow"),
            Text(one_line(item.original_preview, 60), style="green"),
            Text(one_line(item.replay_preview, 60), style="red"),
            one_line(item.cause, 80),
        )
    return table
