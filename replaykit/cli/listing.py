"""
The sessions of a store as a table.

As rich's tables look, and made without one: a table measures, wraps and pads
each cell several times, which took most of a second for a thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text

from replaykit.cli.render import STATE_STYLES, gaps_text, time_text
from replaykit.model import SessionSummary
from replaykit.plain_text import one_line, printable

__all__ = ["session_table", "show_list"]

_HEADINGS = ("session", "name", "created", "actions", "marks", "secs", "state")
_RIGHT = frozenset({"actions", "marks", "secs"})
_NAME, _STATE = _HEADINGS.index("name"), _HEADINGS.index("state")
_BETWEEN = "  "
_NARROWEST = 8
"""A terminal that leaves names less than this is rich's to fill."""

_AT_ONCE = 500
_LONGEST_NAME = 40


class _Row(NamedTuple):
    """The cells of a line; of the state only the first word, and apart from it what is wrong."""

    cells: tuple[str, ...]
    trouble: str


def show_list(out: Console, summaries: Sequence[SessionSummary], location: str) -> None:
    """Print one line per session, and more where a name is too long for one."""
    if not summaries:
        out.print(f"No sessions in {printable(location)}. Record one: with recorder.session('name'): ...")
        return
    rows = [_row(item) for item in summaries]
    widths = _widths(rows, out.width)
    if widths[_NAME] < _NARROWEST:
        out.print(session_table(summaries))
        return
    segments = _segments(out, rows, widths)
    while chunk := list(islice(segments, _AT_ONCE)):
        out.print(Segments(chunk), crop=False, end="")


def session_table(summaries: Sequence[SessionSummary]) -> Table:
    """Return the table that `show_list` prints, as rich makes it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in _RIGHT else "left", no_wrap=heading != "name")
    for cells, trouble in map(_row, summaries):
        state = Text(cells[_STATE], style=STATE_STYLES.get(cells[_STATE], "")).append(trouble, style="bold red")
        table.add_row(*map(Text, cells[:_STATE]), state)
    return table


def _row(item: SessionSummary) -> _Row:
    trouble = f", {item.lost} lost" if item.lost else ""
    trouble += f", {gaps_text(item.gaps)}" if item.gaps else ""
    cells = (
        str(item.session_id)[:8], one_line(item.name or "", _LONGEST_NAME), time_text(item.created_secs),
        f"{item.action_count:,}", str(item.checkpoint_count), str(item.duration_secs), item.state,
    )  # fmt: skip
    return _Row(cells, trouble)


def _widths(rows: Sequence[_Row], most: int) -> list[int]:
    """Return how wide the columns are: as their widest cells, but for the names, which have what is left of *most*."""
    columns = list(zip(*(cells for cells, _ in rows), strict=True))
    columns[_STATE] = tuple({cells[_STATE] + trouble for cells, trouble in rows})
    found = [max(len(heading), *map(cell_len, set(column))) for heading, column in zip(_HEADINGS, columns, strict=True)]
    left = most - sum(found) + found[_NAME] - len(_BETWEEN) * (len(found) - 1)
    found[_NAME] = min(found[_NAME], left)
    return found


def _segments(out: Console, rows: Sequence[_Row], widths: Sequence[int]) -> Iterator[Segment]:
    yield Segment(_BETWEEN.join(map(_padded, _HEADINGS, widths, _HEADINGS)), Style(bold=True))
    yield Segment.line()
    styles = {state: Style.parse(style) for state, style in STATE_STYLES.items()}
    wrong = Style(bold=True, color="red")
    for cells, trouble in rows:
        names = _lines(out, cells[_NAME], widths[_NAME])
        shown = (cells[0], names[0], *cells[2:_STATE])
        yield Segment(_BETWEEN.join(map(_padded, shown, widths, _HEADINGS)) + _BETWEEN)
        yield Segment(cells[_STATE], styles.get(cells[_STATE]))
        if trouble:
            yield Segment(trouble, wrong)
        yield Segment(" " * (widths[_STATE] - len(cells[_STATE]) - len(trouble)) + "\n")
        for name in names[1:]:
            rest = ("", name, *[""] * (len(widths) - 2))
            yield Segment(_BETWEEN.join(map(_padded, rest, widths, _HEADINGS)) + "\n")


def _lines(out: Console, name: str, width: int) -> list[str]:
    if cell_len(name) <= width:
        return [name]
    return [line.plain.rstrip() for line in Text(name).wrap(out, width, overflow="ellipsis")]


def _padded(cell: str, width: int, heading: str) -> str:
    missing = " " * (width - (len(cell) if cell.isascii() else cell_len(cell)))
    return missing + cell if heading in _RIGHT else cell + missing
