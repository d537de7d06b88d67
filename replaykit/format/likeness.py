"""
Whether actions hold the same, told from their bytes for a fraction of what decoding costs.

Two runs of one program are mostly equal but for when things happened, and the
times stand apart from the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from blake3 import blake3

from replaykit.errors import DamagedError
from replaykit.format.asked import HEAD, INTEGER
from replaykit.format.strict import decode_map, encode_value
from replaykit.model import KINDS, MEMVID

__all__ = ["LIKENESS_BYTES", "KnownNames", "likenesses"]

LIKENESS_BYTES = 16

# The generation stands behind the parent.
_BEFORE_CONTENT = re.compile(HEAD.pattern + rb"(?:ag(?:%(n)b))?" % {b"n": INTEGER}, re.DOTALL)
_MOST_NAMES = 512


KnownNames = dict[bytes, bytes | None]
"""What was found out of the bytes that say kind and name."""


def likenesses(raws: Iterable[bytes], known: KnownNames | None = None) -> Iterator[bytes | None]:
    """
    Yield 16 bytes for each of the actions *raws*; None for one that has to be decoded.

    They agree only for actions of one kind and name that hold the same but for
    sequence, source, times, parent and generation.  The other way round it is
    not sure: a map may have its keys in another order.  *known* spares
    whoever calls this again and again to find out the same.
    """
    names: KnownNames = {} if known is None else known
    for raw in raws:
        head = _BEFORE_CONTENT.match(raw)
        if head is None:
            yield None
            continue
        said = head[1]
        if said not in names:
            if len(names) >= _MOST_NAMES:
                names.clear()
            names[said] = _kind_and_name(said)
        named = names[said]
        yield None if named is None else blake3(named + raw[head.end() :]).digest(length=LIKENESS_BYTES)


def _kind_and_name(said: bytes) -> bytes | None:
    try:
        found = decode_map(b"\xa3" + said)
    except DamagedError:
        return None
    kind, name = found.get("k"), found.get("nm")
    # What a checkpoint holds is its state, which stands elsewhere; what memvid
    # recorded is compared in its own way.
    if list(found) != ["k", "nm", "src"] or found["src"] == MEMVID or kind == "checkpoint":
        return None
    return encode_value([kind, name]) if isinstance(name, str) and isinstance(kind, str) and kind in KINDS else None
