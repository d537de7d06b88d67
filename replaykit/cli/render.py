"""What people see: tables, colour and one action whole."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from replaykit.cli.as_json import dump
from replaykit.model import MEMVID, Ask, Checkpointed, Find, ReplayAction, ReplaySession, SessionSummary
from replaykit.plain_text import one_line, printable

__all__ = [
    "action_line",
    "console",
    "show_action",
    "show_info",
    "show_list",
    "show_session",
    "state_text",
    "_uncovered",
]

_STATE_STYLES = {"sealed": "green", "open": "yellow", "interrupted": "red"}
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


def _time(seconds: int | None) -> str:
    if seconds is None:
        return ""
    try:
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def show_list(out: Console, summaries: Sequence[SessionSummary], location: str) -> None:
    """Print one line per session."""
    if not summaries:
        out.print(f"No sessions in {printable(location)}. Record one: with recorder.session('name'): ...")
        return
    rows = [_row_of_session(item) for item in summaries]
    shown = _fitting(rows, out.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in shown:
        justify: Any = "right" if heading in ("actions", "marks", "secs") else "left"
        table.add_column(heading, justify=justify, no_wrap=heading != "name")
    for row in rows:
        table.add_row(*(row[heading] for heading in shown))
    out.print(table)


_LIST_HEADINGS = ("session", "name", "created", "actions", "marks", "secs", "state")
_LEFT_OUT_FIRST = ("secs", "marks", "created", "actions", "state")
_BETWEEN = 2
_LEAST_NAME = 16
"""How many columns a name gets at least: what else there is goes first."""


def _row_of_session(item: SessionSummary) -> dict[str, Text]:
    state = Text(item.state, style=_STATE_STYLES.get(item.state, ""))
    if item.lost:
        state.append(f", {item.lost} lost", style="bold red")
    numbers = (f"{item.action_count:,}", str(item.checkpoint_count), str(item.duration_secs))
    texts = (str(item.session_id)[:8], one_line(item.name or "", 40), _time(item.created_secs), *numbers)
    return dict(zip(_LIST_HEADINGS, (*map(Text, texts), state), strict=True))


def _fitting(rows: Sequence[dict[str, Text]], width: int) -> list[str]:
    """Return the headings whose columns fit beside a name that can be read."""
    needed = {each: max(len(each), *(row[each].cell_len for row in rows)) for each in _LIST_HEADINGS}
    needed["name"] = min(needed["name"], _LEAST_NAME)
    shown = list(_LIST_HEADINGS)
    for heading in _LEFT_OUT_FIRST:
        if sum(needed[each] + _BETWEEN for each in shown) - _BETWEEN <= width:
            break
        shown.remove(heading)
    return shown


def show_session(out: Console, session: ReplaySession, limit: int) -> None:
    """Print a session's head and its actions as a table; at most *limit* of them."""
    state = Text.assemble(
        (f"{one_line(session.name or '(unnamed)', 60)}  ", "bold"),
        f"{session.session_id}  ",
        (session.state, _STATE_STYLES.get(session.state, "")),
        f"  {len(session.actions):,} actions, {len(session.checkpoints)} checkpoints",
    )
    out.print(state)
    if session.lost or session.late:
        out.print(Text(f"{session.lost} lost, {session.late} late", style="bold red"))
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
    for action in session.actions[:limit]:
        table.add_row(*_row(action))
    out.print(table)
    if len(session.actions) > limit:
        out.print(f"... {len(session.actions) - limit:,} more: --limit {len(session.actions)} shows all")


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
        ("time", _time(action.timestamp_secs)),
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


def state_text(session_id: UUID, name: str | None, state: str, count: int) -> Text:
    """Return on one line which session it was, how it ended and how many actions it had."""
    return Text.assemble(
        (f"{one_line(name or '(unnamed)', 60)}  ", "bold"),
        f"{session_id}  ",
        (state, _STATE_STYLES.get(state, "")),
        f"  {count:,} actions",
    )
