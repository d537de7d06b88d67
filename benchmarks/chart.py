"""
The chart of ``peers.py``: a bar for each recorder and workload, on a logarithmic scale, as SVG.

    python benchmarks/chart.py FIGURES.json CHART.svg

draws it again from the figures of an earlier run.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["cost_chart"]

_WIDTH, _LEFT, _RIGHT = 860, 190, 150
_BAR, _GAP, _TOP, _BOTTOM = 13, 14, 84, 58
_WORKLOADS = {"find": "find, 0.9 KB result", "ask": "ask, 20 KB result"}
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; } .small { font-size: 11px; fill: #59636e; }
.grid { stroke: #d1d9e0; } .survives { fill: #1a7f4b; } .lost { fill: #b5711b; } .ask { opacity: 0.55; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; } .grid { stroke: #3d444d; }
  .survives { fill: #3fb67a; } .lost { fill: #d99a3d; }
}
"""


def cost_chart(figures: Mapping[str, Any]) -> str:
    """Return the SVG of what each recorder adds to a call, the cheapest first."""
    added = _added(figures)
    kept = figures["kept"]
    names = sorted((name for name in kept if name in added), key=lambda name: added[name]["find"])
    height = _TOP + len(names) * (2 * _BAR + _GAP) + _BOTTOM
    first, last = _decades([each for name in names for each in added[name].values()])
    measured = f"{figures['machine']}; minimum over the bare call in one run, {figures['measured']}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="What recording adds to a call, in microseconds">',
        f"<style>{_STYLE}</style>",
        _text(16, 26, "What recording adds to a call: microseconds, logarithmic scale, less is better", "title"),
        *_legend(),
        *_grid(first, last, height),
        *(line for row, name in enumerate(names) for line in _bars(row, name, added[name], kept[name], first, last)),
        _text(16, height - 12, measured, "small"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _added(figures: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    added: dict[str, dict[str, float]] = {}
    for row in figures["rows"]:
        if row["workload"] in _WORKLOADS:
            added.setdefault(row["name"], {})[row["workload"]] = row["added"]
    return added


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten between which the values lie, from one microsecond at the latest."""
    return min(0, math.floor(math.log10(min(values)))), math.ceil(math.log10(max(values)))


def _place(value: float, first: int, last: int) -> float:
    """Return the x of a value."""
    return _LEFT + (math.log10(value) - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)


def _legend() -> Iterator[str]:
    entries = (("survives", "keeps every call on kill -9"), ("lost", "loses calls on kill -9"))
    for place, (kind, says) in enumerate(entries):
        yield f'<rect class="{kind}" x="{16 + 220 * place}" y="42" width="12" height="12" rx="2"/>'
        yield _text(34 + 220 * place, 53, says, "small")
    yield _text(456, 53, "upper bar: " + _WORKLOADS["find"] + "; lower bar: " + _WORKLOADS["ask"], "small")


def _grid(first: int, last: int, height: int) -> Iterator[str]:
    for decade in range(first, last + 1):
        x = _place(10**decade, first, last)
        yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 12}" x2="{x:.1f}" y2="{height - _BOTTOM + 4}"/>'
        yield _text(x, height - _BOTTOM + 20, _figure(10**decade) + " us", "small", anchor="middle")


def _bars(
    row: int, name: str, added: Mapping[str, float], kept: Mapping[str, Any], first: int, last: int
) -> Iterator[str]:
    top = _TOP + row * (2 * _BAR + _GAP)
    kind = "survives" if kept["kept"] == kept["killed_calls"] else "lost"
    yield _text(_LEFT - 10, top + _BAR + 5, name, anchor="end")
    for place, workload in enumerate(_WORKLOADS):
        y, end = top + place * (_BAR + 1), _place(added[workload], first, last)
        yield f'<rect class="{kind} {workload}" x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR}" rx="2"/>'
        yield _text(end + 6, y + _BAR - 2, "+" + _figure(added[workload]), "small")


def _figure(value: float) -> str:
    return f"{value:,.1f}" if value < 10 and value != int(value) else f"{value:,.0f}"


def _text(x: float, y: float, content: str, kind: str = "", *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(cost_chart(json.loads(Path(sys.argv[1]).read_text())))
