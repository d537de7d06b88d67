"""
The catalog: which sessions a segment holds, newest last.

Each commit adds one record and writes one catalog.  Catalog number *n* repeats
the records of the last *c* commits, where *c* is the largest power of 8, at
most 512, that divides *n*, and names the catalog *n - c* as its base.  So a
commit costs little, and a listing follows few bases.  Eight records and more
are stored as columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import Any, NamedTuple

import attrs

from replaykit.errors import DamagedError
from replaykit.format.block import Block
from replaykit.format.card_columns import NO_CARD, CardColumns, columns_of_cards
from replaykit.format.entries import Card
from replaykit.format.fields import CardReader, Fields, map_of_card
from replaykit.format.index import Place
from replaykit.format.segment import CATALOG, body_of
from replaykit.format.strict import LOWEST_INTEGER, decode_map, demand_plain, encode_body, encode_value

__all__ = ["Catalog", "Record", "catalog_of", "encode_catalog", "reach", "size_of_record"]

_MOST_RECORDS = 512
_COLUMNS_FROM = 8
_MOST_BYTES = 4 << 20


# A tuple, since a listing makes thousands and nothing is made faster.
class Record(NamedTuple):
    """
    One commit: a card and the place of its index, or a deletion (neither).

    ``published_ns`` rises with each commit of one store; copies of the parts
    of one session have that of the newest.
    """

    number: int
    session_id: bytes
    published_ns: int
    card: Card | None = None
    at: tuple[int, int] = (0, 0)

    @property
    def place(self) -> Place | None:
        """Where its index is."""
        # Made when it is asked for: what the collector has to walk through costs a listing more than its making.
        return Place(*self.at) if self.card is not None else None


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


def encode_catalog(number: int, base: int, records: Sequence[Record]) -> bytes:
    """Return the body of a catalog of *records*, newest last; of more than a few as columns."""
    head = {"n": number, "base": base}
    if len(records) < _COLUMNS_FROM:
        return encode_body({**head, "add": [_map_of_record(record) for record in records]})
    return encode_body(
        {
            **head,
            "s": b"".join(record.session_id for record in records),
            "pt": [record.published_ns for record in records],
            "o": [record.at[0] for record in records],
            "z": [record.at[1] for record in records],
            "cols": columns_of_cards([None if each.card is None else map_of_card(each.card) for each in records]),
        }
    )


def size_of_record(record: Record) -> int:
    """Return about how many bytes a record takes in a catalog."""
    return len(encode_value(_map_of_record(record)))


def _map_of_record(record: Record) -> dict[str, Any]:
    if record.card is None:
        return {"pt": record.published_ns, "s": record.session_id}
    return {"pt": record.published_ns, "at": list(record.at), "card": map_of_card(record.card)}


def catalog_of(block: Block, *, path: str = "") -> Catalog:
    """
    Return the catalog in *block*.

    Raises:
        DamagedError: It is no catalog, or its numbers contradict each other.
    """
    if block.kind != CATALOG:
        raise DamagedError(path, block.offset, "a tail points to another kind of block")
    # Not `decode_body`: each record is checked as it is taken apart, and to
    # go through thousands of them twice would cost as much again.
    body = decode_map(body_of(block, path=path), path=path, offset=block.offset)
    unseen: dict[str, Any] = {"add": [], "pt": [], "o": [], "z": [], "cols": {}}
    demand_plain({**body, **unseen}, path=path, offset=block.offset)
    fields = Fields(body, path, block.offset)
    number, base = fields.integer("n"), fields.integer("base")
    stored = fields.items("pt") if "cols" in body else fields.items("add")
    first = number - len(stored) + 1
    # Bases strictly decrease, so following them ends; the first catalog of
    # all has none.
    if not stored or first < 1 or not 0 <= base < block.offset or (base == 0) != (first == 1):
        raise DamagedError(path, block.offset, "the catalog contradicts itself")
    if "cols" in body:
        return Catalog(number=number, base=base, records=_records_of_columns(fields, first, block))
    reader = CardReader(path, block.offset)
    records = [_record(item, first + at, reader, block, path) for at, item in enumerate(stored)]
    return Catalog(number=number, base=base, records=records)


def _records_of_columns(fields: Fields, first: int, block: Block) -> list[Record]:
    times, offsets, sizes = (fields.items(key) for key in ("pt", "o", "z"))
    count = len(times)
    packed = fields.octets("s", 16 * count)
    sessions = [packed[at : at + 16] for at in range(0, len(packed), 16)]
    if not len(offsets) == len(sizes) == count or not set(map(type, (*times, *offsets, *sizes))) <= {int}:
        raise fields.malformed("pt")
    if min(times) < LOWEST_INTEGER or min(offsets) < 0 or min(sizes) < 0:
        raise fields.malformed("pt")
    if max(map(add, offsets, sizes)) > block.offset:
        raise fields.malformed("o")
    if [size == 0 for size in sizes] != [state == NO_CARD for state in fields.mapping("cols").get("st", ())]:
        raise fields.malformed("z")
    cards = CardColumns(fields.mapping("cols"), sessions, fields.path, fields.offset).cards()
    places = zip(offsets, sizes, strict=True)
    rows = zip(range(first, first + count), sessions, times, cards, places, strict=True)
    # What `Record._make` does, without a call in Python for each.
    return list(map(partial(tuple.__new__, Record), rows))


def _record(stored: Any, number: int, reader: CardReader, block: Block, path: str) -> Record:
    if type(stored) is not dict:
        raise DamagedError(path, block.offset, "the catalog holds something else than cards")
    published_ns, body = stored.get("pt"), stored.get("card")
    if type(published_ns) is not int or published_ns < LOWEST_INTEGER:
        raise DamagedError(path, block.offset, "a commit has no time")
    if type(body) is not dict:
        return _deletion(stored, number, published_ns, block, path)
    if len(stored) > len(("pt", "at", "card")):
        # What a newer release adds is ignored, but must be plain.
        demand_plain(stored, path=path, offset=block.offset)
    card = reader.card(body)
    index = _index(stored.get("at"), block, path)
    return Record(number=number, session_id=body["s"], published_ns=published_ns, card=card, at=index)


def _deletion(stored: dict[str, Any], number: int, published_ns: int, block: Block, path: str) -> Record:
    demand_plain(stored, path=path, offset=block.offset)
    fields = Fields(stored, path, block.offset)
    if "card" in stored:
        raise fields.malformed("card")
    return Record(number=number, session_id=fields.octets("s", 16), published_ns=published_ns)


def _index(place: Any, block: Block, path: str) -> Place:
    if type(place) is list and len(place) == 2:
        offset, size = place
        if type(offset) is type(size) is int and offset > 0 and 0 < size <= block.offset - offset:
            return Place(offset, size)
    raise DamagedError(path, block.offset, "a commit names no index")
