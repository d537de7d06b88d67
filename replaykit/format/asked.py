"""
What recorded calls asked, read for a fraction of what decoding whole entries costs.

A play looks through all calls of a session before it answers the first.  Most
of an entry is what came of the call, and most of the rest is not looked at: so
kind, name, parent and arguments are cut out of the bytes.  Whatever is not as
a recorder of ours writes it is left to the decoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from replaykit.errors import DamagedError
from replaykit.format.strict import decode_map, decode_together
from replaykit.model import KINDS

__all__ = ["HEAD", "INTEGER", "Asked", "KnownCalls", "asked_by", "asked_in"]


class Asked(NamedTuple):
    """What one recorded call asked: its arguments as they are stored."""

    sequence: int
    kind: str
    name: str
    parent: int | None
    arguments: Any


_TOGETHER = 100
_MOST_NAMES = 512
INTEGER = rb"[\x00-\x17]|\x18.|\x19..|\x1a.{4}|\x1b.{8}"
# Keys and values in the order in which they are written: sequence; kind, name
# and source; time and duration; the parent.
HEAD = re.compile(rb"[\xa7-\xb7]ai(?:%(n)b)(ak.+?)at\x1b.{8}ad(?:%(n)b)(?:ap(%(n)b))?" % {b"n": INTEGER}, re.DOTALL)
"""How the actions of a recorder of ours begin; its groups say kind, name and source, and the parent."""

_ARGUMENTS, _FAILED, _RESULT = b"\x62in", b"\x63err", b"\x63out"
_NO_RESULT = re.compile(rb"\x64outb\x82|\x62fl[\x81-\x97]|\Z")
_FIRST_MAP, _LAST_MAP = b"\xa0", b"\xb7"


KnownCalls = dict[bytes, tuple[str, str] | None]
"""What was found out of the bytes that say kind and name."""


def asked_in(
    raws: Sequence[bytes], first: int, *, mark: bytes, known: KnownCalls | None = None
) -> Iterator[Asked | None]:
    """
    Yield what the actions *raws*, numbered from *first*, asked; None for one that has to be decoded.

    *mark* is 8 random bytes, made after the actions were read.  *known* spares
    whoever calls this again and again to find out the same.
    """
    names: KnownCalls = {} if known is None else known
    for at in range(0, len(raws), _TOGETHER):
        cuts = [_cut(raw) for raw in raws[at : at + _TOGETHER]]
        maps = _maps([cut[2] for cut in cuts if cut is not None], mark)
        for sequence, cut in enumerate(cuts, first + at):
            arguments = None if cut is None else next(maps)
            if cut is None or arguments is None:
                yield None
                continue
            said, parent, _ = cut
            if said not in names:
                if len(names) >= _MOST_NAMES:
                    names.clear()
                names[said] = _kind_and_name(said)
            named = names[said]
            yield None if named is None else Asked(sequence, named[0], named[1], _number(parent), arguments)


def _cut(raw: bytes) -> tuple[bytes, bytes | None, bytes] | None:
    """Return what says kind and name, the parent and the arguments; None where that is not plain to see."""
    head = HEAD.match(raw)
    if head is None:
        return None
    at = head.end()
    start = raw.find(_ARGUMENTS, at)
    # In a text no byte that begins a map follows a letter, so what looks like
    # the arguments is them, but for those of an exception.
    if start < 0 or not _FIRST_MAP <= raw[start + 3 : start + 4] <= _LAST_MAP or raw.find(_FAILED, at, start) >= 0:
        return None
    # What looks like their end is checked when they are decoded: a text of
    # theirs may hold it.
    end = raw.find(_RESULT, start)
    if end < 0:
        end = _NO_RESULT.search(raw, start).start()  # type: ignore[union-attr]  # the end of the bytes always fits
    return head[1], head[2], raw[start + 3 : end]


def asked_by(entry: Mapping[str, Any]) -> Asked:
    """
    Return what a decoded action asked.

    Raises:
        DamagedError: It is no action.
    """
    kind, name, parent = entry["k"], entry.get("nm", ""), entry.get("p")
    if type(name) is not str or not (parent is None or type(parent) is int):
        raise DamagedError("", 0, "an action entry is not as the format says")
    return Asked(entry["i"], _known(kind), name, parent, entry.get("in", {}))


def _known(kind: str) -> str:
    # A kind of a newer release: shown as the call of a function.
    return kind if kind in KINDS else "tool"


def _maps(cuts: list[bytes], mark: bytes) -> Iterator[dict[str, Any] | None]:
    """Return the maps that *cuts* hold, None for what is not exactly a map."""
    together = decode_together(cuts, mark) if cuts else ()
    return iter(together) if together else map(_map, cuts)


def _map(cut: bytes) -> dict[str, Any] | None:
    try:
        return decode_map(cut)
    except DamagedError:
        return None


def _kind_and_name(said: bytes) -> tuple[str, str] | None:
    try:
        found = decode_map(b"\xa3" + said)
    except DamagedError:
        return None
    kind, name = found.get("k"), found.get("nm")
    if list(found) != ["k", "nm", "src"] or not isinstance(kind, str) or not isinstance(name, str):
        return None
    return _known(kind), name


def _number(data: bytes | None) -> int | None:
    if data is None:
        return None
    return data[0] if len(data) == 1 else int.from_bytes(data[1:], "big")
