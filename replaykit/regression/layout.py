"""
Python source in the layout that formatters leave alone.

What fits into a line of 88 columns stands on one; what does not has each item
on a line of its own and a comma behind the last, which formatters keep also
where longer lines are allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

__all__ = ["WIDTH", "Bracket", "Node", "bytes_literal", "flat", "laid_out", "statement", "text_lines", "text_literal"]

WIDTH = 88
_INDENT = "    "
_CHUNK = 60


@attrs.frozen
class Bracket:
    """Items between brackets, each with what stands before it (a key, a keyword); *opening* may begin with a name."""

    opening: str
    items: tuple[tuple[str, Node], ...]
    closing: str
    is_tuple: bool = False


Node = str | Bracket
"""A piece of source: text that cannot be broken, or what stands between brackets."""


def flat(node: Node) -> str:
    """Return *node* on one line."""
    if isinstance(node, str):
        return node
    inside = ", ".join(prefix + flat(item) for prefix, item in node.items)
    comma = "," if node.is_tuple and len(node.items) == 1 else ""
    return f"{node.opening}{inside}{comma}{node.closing}"


def laid_out(node: Node, *, indent: int = 0, before: int = 0, after: int = 0) -> str:
    """Return *node* in lines; on its first line *before* columns are taken already, on its last *after* are needed."""
    whole = flat(node)
    if isinstance(node, str) or not node.items or before + len(whole) + after <= WIDTH:
        return whole
    inner = indent + len(_INDENT)
    lines = [
        " " * inner + prefix + laid_out(item, indent=inner, before=inner + len(prefix), after=1) + ","
        for prefix, item in node.items
    ]
    return "\n".join([node.opening, *lines, " " * indent + node.closing])


def statement(indent: int, before: str, node: Node, after: str = "") -> str:
    """Return a line, or several, of *before*, *node* and *after* with an *indent*."""
    start = " " * indent + before
    return start + laid_out(node, indent=indent, before=len(start), after=len(after)) + after


# -- texts ------------------------------------------------------------------------------


def text_literal(text: str) -> str:
    """Return the literal of *text*: hidden characters as escapes, quotes as a formatter chooses them."""
    return _quoted("".join(map(_escaped, text)), text.count('"'), text.count("'"))


def bytes_literal(data: bytes) -> str:
    """Return the literal of *data*."""
    body = "".join(_escaped(char) if char < "\x7f" else f"\\x{ord(char):02x}" for char in data.decode("latin-1"))
    return "b" + _quoted(body, data.count(b'"'), data.count(b"'"))


def _quoted(body: str, doubles: int, singles: int) -> str:
    quote = "'" if doubles > singles else '"'
    return quote + body.replace(quote, "\\" + quote) + quote


_SHORT = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")


def text_lines(text: str) -> Iterator[str]:
    """Yield the literals that together are *text*, a line or a part of a long one each."""
    for line in text.splitlines(keepends=True):
        yield from map(text_literal, _chunks(line))


def _chunks(line: str) -> Iterable[str]:
    words: Sequence[str] = line.split(" ")
    chunk = words[0]
    for word in words[1:]:
        if len(chunk) + len(word) >= _CHUNK:
            yield chunk + " "
            chunk = word
        else:
            chunk = f"{chunk} {word}"
    if chunk:
        yield chunk
