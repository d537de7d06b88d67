"""
The sessions of a store as a table.

As rich's tables look, and made without one: a table measures, wraps and pads
each cell several times, which took most of a second for a thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text

from replaykit.cli.render import STATE_STYLES, lacking_text, time_text
from replaykit.model import SessionSummary
from replaykit.plain_text import one_line, printable

__all__ = ["session_table", "show_list"]

_HEADINGS = ("session", "name", "created", "actions", "marks", "secs", "state")
_RIGHT = frozenset({"actions", "marks", "secs"})
_NAME, _STATE = _HEADINGS.index("name"), _HEADINGS.index("state")
_BETWEEN = "  "
_NARROWEST = 8
"""A terminal that leaves names less than this is rich's to fill."""
_LEFT_OUT_FIRST = ("secs", "marks", "created", "actions", "state")
_LEAST_NAME = 16
"""So wide is the column of the names at least: what else there is goes first."""

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
    if widths["name"] < _NARROWEST:
        out.print(session_table(summaries, out.width))
        return
    segments = _segments(out, rows, widths)
    while chunk := list(islice(segments, _AT_ONCE)):
        out.print(Segments(chunk), crop=False, end="")


def session_table(summaries: Sequence[SessionSummary], most: int) -> Table:
    """Return the table that `show_list` prints in *most* columns of a terminal, as rich makes it."""
    rows = [_row(item) for item in summaries]
    shown = _widths(rows, most)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in shown:
        table.add_column(heading, justify="right" if heading in _RIGHT else "left", no_wrap=heading != "name")
    for cells, trouble in rows:
        state = Text(cells[_STATE], style=STATE_STYLES.get(cells[_STATE], "")).append(trouble, style="bold red")
        texts = dict(zip(_HEADINGS, (*map(Text, cells[:_STATE]), state), strict=True))
        table.add_row(*(texts[heading] for heading in shown))
    return table


def _row(item: SessionSummary) -> _Row:
    cells = (
        str(item.session_id)[:8], one_line(item.name or "", _LONGEST_NAME), time_text(item.created_secs),
        f"{item.action_count:,}", str(item.checkpoint_count), str(item.duration_secs), item.state,
    )  # fmt: skip
    return _Row(cells, lacking_text(item.lost, item.gaps))


def _widths(rows: Sequence[_Row], most: int) -> dict[str, int]:
    """
    Return the columns that are shown and how wide they are: as their widest cells, but for the names.

    These have what is left of *most*; where that is little other columns are left out.
    """
    columns = list(zip(*(cells for cells, _ in rows), strict=True))
    columns[_STATE] = tuple({cells[_STATE] + trouble for cells, trouble in rows})
    found = {
        heading: max(len(heading), *map(cell_len, set(column)))
        for heading, column in zip(_HEADINGS, columns, strict=True)
    }
    least = min(found["name"], _LEAST_NAME)
    for heading in _LEFT_OUT_FIRST:
        if _left(found, most) >= least:
            break
        del found[heading]
    return {**found, "name": min(found["name"], _left(found, most))}


def _left(widths: Mapping[str, int], most: int) -> int:
    """Return how wide the names may be beside the other columns."""
    return most - sum(widths.values()) + widths["name"] - len(_BETWEEN) * (len(widths) - 1)


def _segments(out: Console, rows: Sequence[_Row], widths: dict[str, int]) -> Iterator[Segment]:
    yield Segment(_line(dict.fromkeys(widths, ""), widths, headings=True), Style(bold=True))
    yield Segment.line()
    styles = {state: Style.parse(style) for state, style in STATE_STYLES.items()}
    wrong = Style(bold=True, color="red")
    last = next(reversed(widths))
    for cells, trouble in rows:
        shown = dict(zip(_HEADINGS, cells, strict=True))
        first, *more = _lines(out, cells[_NAME], widths["name"])
        line = _line({**shown, "name": first}, widths)
        if last == "state":
            yield Segment(line[: -widths[last]])
            yield Segment(cells[_STATE], styles.get(cells[_STATE]))
            if trouble:
                yield Segment(trouble, wrong)
            yield Segment(" " * (widths[last] - len(cells[_STATE]) - len(trouble)) + "\n")
        else:
            yield Segment(line + "\n")
        for name in more:
            yield Segment(_line({**dict.fromkeys(widths, ""), "name": name}, widths) + "\n")


def _line(cells: Mapping[str, str], widths: Mapping[str, int], *, headings: bool = False) -> str:
    return _BETWEEN.join(
        _padded(heading if headings else cells[heading], width, heading) for heading, width in widths.items()
    )


def _lines(out: Console, name: str, width: int) -> list[str]:
    if cell_len(name) <= width:
        return [name]
    return [line.plain.rstrip() for line in Text(name).wrap(out, width, overflow="ellipsis")]


def _padded(cell: str, width: int, heading: str) -> str:
    missing = " " * (width - (len(cell) if cell.isascii() else cell_len(cell)))
    return missing + cell if heading in _RIGHT else cell + missing
