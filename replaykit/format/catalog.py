"""
The catalog: which sessions a segment holds, newest last.

Each commit adds one record and writes one catalog.  Catalog number *n* repeats
the records of the last *c* commits, where *c* is the largest power of 8, at
most 512, that divides *n*, and names the catalog *n - c* as its base.  So a
commit costs little, and a listing follows few bases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from replaykit.errors import DamagedError
from replaykit.format.block import Block, cbor_head
from replaykit.format.entries import Card
from replaykit.format.fields import Fields, card_of, map_of_card
from replaykit.format.index import Place
from replaykit.format.segment import CATALOG, body_of
from replaykit.format.strict import decode_body, encode_body, encode_value

__all__ = ["Catalog", "Record", "catalog_of", "encode_catalog", "encode_record", "reach"]

_MOST_RECORDS = 512
_MOST_BYTES = 4 << 20


@attrs.frozen(kw_only=True, eq=False)
class Record:
    """
    One commit: a card and the place of its index, or a deletion (neither).

    ``published_ns`` rises with each commit of one store.
    """

    number: int
    session_id: bytes
    published_ns: int
    card: Card | None = None
    index: Place | None = None


@attrs.frozen(kw_only=True)
class Catalog:
    """One decoded catalog: its records, and the offset of its base (0: none)."""

    number: int
    base: int
    records: Sequence[Record]


def reach(number: int, sizes: Sequence[int] = ()) -> int:
    """
    Return how many records catalog *number* covers.

    *sizes* are the encoded sizes of the newest records, newest last: where
    cards are very large a catalog reaches less far.
    """
    count = 1
    while count < _MOST_RECORDS and number % (count * 8) == 0:
        count *= 8
    while count > 1 and sum(sizes[-count:]) > _MOST_BYTES:
        count //= 8
    return count


def encode_catalog(number: int, base: int, records: Sequence[bytes]) -> bytes:
    """Return the body of a catalog of *records*, each from `encode_record`, newest last."""
    start = encode_body({"n": number, "base": base, "add": []})[:-1]
    return b"".join((start, cbor_head(4, len(records)), *records))


def encode_record(record: Record) -> bytes:
    """Return one record as it stands in a catalog."""
    if record.card is None or record.index is None:
        return encode_value({"pt": record.published_ns, "s": record.session_id})
    place = [record.index.offset, record.index.size]
    return encode_value({"pt": record.published_ns, "at": place, "card": map_of_card(record.card)})


def catalog_of(block: Block, *, path: str = "") -> Catalog:
    """
    Return the catalog in *block*.

    Raises:
        DamagedError: It is no catalog, or its numbers contradict each other.
    """
    if block.kind != CATALOG:
        raise DamagedError(path, block.offset, "a tail points to another kind of block")
    fields = Fields(decode_body(body_of(block, path=path), path=path, offset=block.offset), path, block.offset)
    number, base, stored = fields.integer("n"), fields.integer("base"), fields.items("add")
    first = number - len(stored) + 1
    # Bases strictly decrease, so following them ends; the first catalog of
    # all has none.
    if not stored or first < 1 or not 0 <= base < block.offset or (base == 0) != (first == 1):
        raise DamagedError(path, block.offset, "the catalog contradicts itself")
    records = [_record(item, first + at, block, path) for at, item in enumerate(stored)]
    return Catalog(number=number, base=base, records=records)


def _record(stored: Any, number: int, block: Block, path: str) -> Record:
    if type(stored) is not dict:
        raise DamagedError(path, block.offset, "the catalog holds something else than cards")
    published_ns = stored.get("pt")
    if type(published_ns) is not int:
        raise DamagedError(path, block.offset, "a commit has no time")
    fields = Fields(stored, path, block.offset)
    if "card" not in stored:
        return Record(number=number, session_id=fields.octets("s", 16), published_ns=published_ns)
    card = card_of(Fields(fields.mapping("card"), path, block.offset))
    return Record(
        number=number,
        session_id=stored["card"]["s"],
        published_ns=published_ns,
        card=card,
        index=_index(stored.get("at"), block, path),
    )


def _index(place: Any, block: Block, path: str) -> Place:
    if type(place) is list and len(place) == 2:
        offset, size = place
        if type(offset) is type(size) is int and offset > 0 and 0 < size <= block.offset - offset:
            return Place(offset, size)
    raise DamagedError(path, block.offset, "a commit names no index")
