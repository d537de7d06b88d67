"""
Stored values as lines of plain text, laid out so that a line-by-line difference says what changed.

Much like YAML: ``key: value``, ``- item``, what is inside indented by two.
Texts stand in quotes; one of several lines, or a long one, stands behind
``|`` line by line, where a line that ends in a backslash goes on in the next
one.  A backslash of the text itself is written twice, hidden characters are
escapes.  ``!name`` says the type of what plain data cannot hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from replaykit.plain_text import printable

__all__ = ["field_lines", "map_lines", "quoted"]

_SCALARS = frozenset({type(None), bool, int, float, str})
_LEAVES = _SCALARS | {bytes}
_NUMBERS = frozenset({int, float})
_COLLECTIONS = frozenset({"tuple", "set", "frozenset"})
_WIDTH = 100
_NUMBERS_IN_ROW = 8
_BYTES_IN_ROW = 32
_UUID_BYTES = 16
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,59}\Z")
# Behind a sentence, and between the items of JSON in a text.
_JOINT = re.compile(r"[.!?;]\s+|,\s*(?=[\"{\[])")

_Shown = tuple[str, Iterator[str]]
"""What stands behind a label, and the lines below it."""


def field_lines(label: str, value: Any) -> Iterator[str]:
    """Yield *value*, as it is stored, behind *label* and below it."""
    head, below = _shown(value)
    yield f"{label} {head}" if head else label
    for line in below:
        yield _indented(line)


def map_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a field for each item of *values*."""
    for key, value in values.items():
        yield from field_lines(f"{key if _PLAIN_KEY.match(key) else quoted(key)}:", value)


def quoted(text: str) -> str:
    """Return *text* on one line, in quotes."""
    return printable(json.dumps(text, ensure_ascii=False), keep_lines=False)


def _indented(line: str) -> str:
    return f"  {line}" if line else line


def _shown(value: Any) -> _Shown:
    kind = type(value)
    if kind is str:
        return _shown_text(value)
    if kind is bytes:
        return _shown_bytes(value)
    if kind is list:
        return _shown_list(value)
    if kind is dict:
        return _shown_map(value)
    return _scalar(value), iter(())


def _scalar(value: Any) -> str:
    if type(value) is str:
        return quoted(value)
    if type(value) is float:
        return repr(value)
    return json.dumps(value)


# -- texts and bytes --------------------------------------------------------------


def _shown_text(text: str) -> _Shown:
    if "\n" not in text and len(text) <= _WIDTH:
        return quoted(text), iter(())
    return "|", _text_lines(text)


def _text_lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        start = 0
        for stop in _cuts(line):
            yield _literal(line[start:stop]) + "\\"
            start = stop
        yield _literal(line[start:])


def _literal(text: str) -> str:
    return printable(text.replace("\\", "\\\\"))


def _cuts(line: str) -> Iterator[int]:
    """Yield where a long *line* is cut: at joints of its own, so that a change moves no cut but those beside it."""
    if len(line) <= _WIDTH:
        return
    start = 0
    for joint in _JOINT.finditer(line):
        yield from _cuts_between(line, start, joint.end())
        if joint.end() < len(line):
            yield joint.end()
        start = joint.end()
    yield from _cuts_between(line, start, len(line))


def _cuts_between(line: str, start: int, stop: int) -> Iterator[int]:
    while stop - start > _WIDTH:
        space = line.rfind(" ", start, start + _WIDTH)
        start = start + _WIDTH if space <= start else space + 1
        yield start


def _shown_bytes(data: bytes) -> _Shown:
    if len(data) <= _BYTES_IN_ROW:
        return f"bytes {data.hex()}".rstrip(), iter(())
    rows = range(0, len(data), _BYTES_IN_ROW)
    return f"bytes, {len(data)} of them", (data[at : at + _BYTES_IN_ROW].hex() for at in rows)


# -- lists and maps ---------------------------------------------------------------


def _shown_list(items: list[Any]) -> _Shown:
    kinds = set(map(type, items))
    if kinds <= _SCALARS and len(items) <= _WIDTH // 3:
        inline = f"[{', '.join(map(_scalar, items))}]"
        if len(inline) <= _WIDTH:
            return inline, iter(())
    if kinds <= _NUMBERS:
        return f"{len(items)} numbers", _number_lines(items)
    return "", _item_lines(items)


def _number_lines(items: list[Any]) -> Iterator[str]:
    for at in range(0, len(items), _NUMBERS_IN_ROW):
        yield ", ".join(map(_scalar, items[at : at + _NUMBERS_IN_ROW]))


def _item_lines(items: list[Any]) -> Iterator[str]:
    for item in items:
        head, below = _shown(item)
        if not head:
            # The first line of what is inside stands beside the dash.
            head = next(below)
        yield f"- {head}"
        for line in below:
            yield _indented(line)


def _shown_map(values: dict[str, Any]) -> _Shown:
    if type(values.get("~t")) is str and type(values.get("~v")) is list and len(values) == 2:
        return _shown_typed(values["~t"], values["~v"])
    return ("", map_lines(values)) if values else ("{}", iter(()))


# -- typed values -----------------------------------------------------------------


def _shown_typed(name: str, content: list[Any]) -> _Shown:
    tag = f"!{name if _PLAIN_KEY.match(name) else quoted(name)}"
    if name == "dict" and all(type(pair) is list and len(pair) == 2 for pair in content):
        return tag, _pair_lines(content)
    if name == "uuid" and len(content) == 1 and type(content[0]) is bytes and len(content[0]) == _UUID_BYTES:
        return f"{tag} {UUID(bytes=content[0])}", iter(())
    if name in _COLLECTIONS or not content:
        return _tagged(tag, content)
    if len(content) == 1 and type(content[0]) in _LEAVES:
        return _tagged(tag, content[0])
    if type(content[0]) is not str or len(content) == 1:
        return _tagged(tag, content)
    # A name (of a class, a type) and what goes with it.
    is_pair = len(content) == 2 and type(content[1]) is not list
    return _tagged(f"{tag} {quoted(content[0])}", content[1] if is_pair else content[1:])


def _tagged(tag: str, value: Any) -> _Shown:
    head, below = _shown(value)
    return f"{tag} {head}" if head else tag, below


def _pair_lines(pairs: list[Any]) -> Iterator[str]:
    for key, value in pairs:
        if type(key) in _SCALARS:
            yield from field_lines(f"{_scalar(key)} =>", value)
        else:
            yield from _item_lines([[key, value]])
