"""What people see: tables, colour and one action whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replaykit.cli.as_json import dump
from replaykit.model import MEMVID, Ask, Checkpointed, Find, ReplayAction, ReplaySession
from replaykit.plain_text import counted, one_line, printable

__all__ = [
    "STATE_STYLES",
    "action_line",
    "console",
    "gaps_text",
    "lacking_text",
    "show_action",
    "show_info",
    "show_session",
    "state_text",
    "time_text",
    "_uncovered",
]

STATE_STYLES = {"sealed": "green", "open": "yellow", "interrupted": "red"}
_KIND_STYLES = {
    "PUT": "blue",
    "PUT_MANY": "blue",
    "FIND": "cyan",
    "ASK": "magenta",
    "DELETE": "red",
    "CHECKPOINT": "dim",
}


def console(*, err: bool = False) -> Console:
    """Return a console that honours NO_COLOR and a pipe, and never reads markup in recorded text."""
    return Console(markup=False, highlight=False, emoji=False, stderr=err, soft_wrap=False)


def time_text(seconds: int | None) -> str:
    """Return a moment in local time, empty for none."""
    if seconds is None:
        return ""
    try:
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def show_session(out: Console, session: ReplaySession, limit: int) -> None:
    """Print a session's head and its actions as a table; at most *limit* of them."""
    state = Text.assemble(
        (f"{one_line(session.name or '(unnamed)', 60)}  ", "bold"),
        f"{session.session_id}  ",
        (session.state, STATE_STYLES.get(session.state, "")),
        f"  {len(session.actions):,} actions, {len(session.checkpoints)} checkpoints",
    )
    out.print(state)
    if session.lost or session.late:
        out.print(Text(f"{session.lost} lost, {session.late} late", style="bold red"))
    if session.gaps:
        out.print(Text(f"{gaps_text(session.gaps)}: records of its log were damaged", style="bold red"))
    if session.uncovered:
        out.print(Text(f"called and not recorded: {_uncovered(session.uncovered)}", style="yellow"))
    if session.capture == MEMVID:
        out.print(Text(f"by memvid, cannot be played: {session.playable.reasons[0]}", style="dim"))
    if account := _account(session):
        out.print(Text(account, style="dim"))
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("#", justify="right", min_width=len(str(limit)), no_wrap=True)
    table.add_column("kind", min_width=10, no_wrap=True)
    table.add_column("query or title", ratio=1, overflow="ellipsis", no_wrap=True)
    table.add_column("hits", justify="right", min_width=4, no_wrap=True)
    table.add_column("ms", justify="right", min_width=8, no_wrap=True)
    expected = 0
    for action in session.actions[:limit]:
        if session.gaps and action.sequence > expected:
            table.add_row("", "", Text(_missing(expected, action.sequence - 1), style="bold red"), "", "")
        table.add_row(*_row(action))
        expected = action.sequence + 1
    out.print(table)
    if len(session.actions) > limit:
        out.print(f"... {len(session.actions) - limit:,} more: --limit {len(session.actions)} shows all")


def gaps_text(gaps: int) -> str:
    """Return at how many places of its log a session lacks something; empty where there is none."""
    return counted(gaps, "gap") if gaps else ""


def lacking_text(lost: int, gaps: int) -> str:
    """Return what follows a session's state where actions are missing; empty where none is."""
    return (f", {lost} lost" if lost else "") + (f", {gaps_text(gaps)}" if gaps else "")


def _missing(first: int, last: int) -> str:
    return f"{first} is missing" if first == last else f"{first} to {last} are missing"


def _uncovered(counts: Mapping[str, int]) -> str:
    """Return methods that were called and not recorded on one line, those with the most calls first."""
    listed = sorted(counts.items(), key=lambda item: -item[1])
    return one_line(", ".join(f"{name} {count:,}" for name, count in listed), 300)


def _account(session: ReplaySession) -> str:
    """Return on one line what was left out by choice and what was hidden; empty where that is nothing."""
    counts = [
        f"{count:,} {what}" for count, what in ((session.dropped, "dropped"), (session.excluded, "excluded")) if count
    ]
    kept = [f"kept because: {session.kept_because}"] if session.kept_because else []
    hidden = ", ".join(f"{rule} {count:,}" for rule, count in session.redactions.items())
    return one_line("; ".join([*counts, *kept, *([f"redacted: {hidden}"] if hidden else [])]), 200)


def _row(action: ReplayAction) -> tuple[str, Text, Text, str, str]:
    name = action.action_type.name
    indent = "  " if action.parent is not None else ""
    subject = Text(indent + one_line(_subject(action), 200))
    if action.error is not None:
        subject.append(f"  {one_line(f'{action.error.type}: {action.error.message}', 100)}", style="bold red")
    noted = sorted(action.flags - {"stream"})
    if noted:
        subject.append(f"  [{', '.join(noted)}]", style="yellow")
    return (
        str(action.sequence), Text(name, style=_KIND_STYLES.get(name, "")), subject, _hits(action),
        f"{action.duration_ns / 1e6:.2f}",
    )  # fmt: skip


def _subject(action: ReplayAction) -> str:
    kind = action.action_type
    if isinstance(kind, (Find, Ask)):
        return kind.query or action.input_preview
    if isinstance(kind, Checkpointed):
        return f"checkpoint {kind.checkpoint_id}"
    if action.kind == "tool":
        return action.name
    title = action.arguments.get("title")
    return str(title) if title else action.input_preview or action.name


def _hits(action: ReplayAction) -> str:
    if isinstance(action.action_type, Find):
        return str(action.action_type.result_count)
    return str(len(action.affected_frames)) if action.affected_frames else ""


def show_action(out: Console, action: ReplayAction) -> None:
    """Print everything that is known of one action."""
    out.print(Text(f"action {action.sequence}: {action.action_type.name} {action.name}", style="bold"))
    rows: list[tuple[str, Any]] = [
        ("source", action.source),
        ("time", time_text(action.timestamp_secs)),
        ("duration", f"{action.duration_ns / 1e6:.3f} ms"),
        ("parent", action.parent),
        ("generation", action.generation),
        ("frames", ", ".join(str(frame) for frame in action.affected_frames)),
        ("flags", ", ".join(sorted(action.flags))),
        *_what_is_left(action),
        ("input hash", action.input_hash.hex()),
        ("output hash", action.output_hash.hex()),
        ("error", None if action.error is None else f"{action.error.type}: {action.error.message}"),
    ]
    for label, value in rows:
        if value not in (None, ""):
            out.print(Text.assemble((f"{label:<12} ", "dim"), printable(str(value))))
    for label, value in (("arguments", action.arguments), ("output", action.output)):
        if value not in (None, {}):
            out.print(Text(f"{label}:", style="dim"))
            out.print(Text(printable(dump(value))))


def _what_is_left(action: ReplayAction) -> list[tuple[str, Any]]:
    """Return what stands for arguments and output in a recording that has none."""
    if action.arguments or action.output is not None:
        return []
    known = attrs.asdict(action.action_type, recurse=False)
    shown = [(name.replace("_", " "), value) for name, value in known.items() if not isinstance(value, (bytes, tuple))]
    return [*shown, ("input", action.input_preview), ("answer", action.output_preview)]


def show_info(out: Console, facts: dict[str, Any]) -> None:
    """Print the facts of a store, a line each."""
    for label, value in facts.items():
        rows = [_largest_line(each) for each in value] if isinstance(value, list) else [_fact(value)]
        if isinstance(value, dict):
            rows = [_uncovered(value) or "nothing"]
        for at, row in enumerate(rows):
            heading = "" if at else label.replace("_", " ")
            out.print(Text.assemble((f"{heading:<16}", "dim"), row), soft_wrap=True)


def _fact(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value), keep_lines=False)


def _largest_line(session: dict[str, Any]) -> str:
    return f"{session['bytes']:,} bytes: {str(session['session_id'])[:8]} {one_line(session['name'] or '', 40)}"


def action_line(action: ReplayAction) -> Text:
    """Return what a table's row says of an action, on a line of its own."""
    number, kind, subject, hits, milliseconds = _row(action)
    kind.append(" " * (11 - len(kind)))
    found = f"  {hits} hits" if hits else ""
    return Text.assemble(f"{number:>5}  ", kind, " ", subject, (f"{found}  {milliseconds} ms", "dim"))


def state_text(session_id: UUID, name: str | None, state: str, lacking: str, count: int) -> Text:
    """Return on one line which session it was, how it ended, what is *lacking* and how many actions it had."""
    return Text.assemble(
        (f"{one_line(name or '(unnamed)', 60)}  ", "bold"),
        f"{session_id}  ",
        (state, STATE_STYLES.get(state, "")),
        (lacking, "bold red"),
        f"  {count:,} actions",
    )
