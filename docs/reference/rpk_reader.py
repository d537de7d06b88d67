"""
A second reader of replaykit recordings, from the specification alone: it shares no code with the package.

    python rpk_reader.py list FILE       one JSON line per session
    python rpk_reader.py salvage FILE    one JSON line per whole block, and per damaged range

FILE is a segment (``.rpk``).  Python's standard library is enough; compressed
bodies are shown as hex unless ``compression.zstd`` (Python 3.14) or
``backports.zstd`` is at hand.  BLAKE3 is not in the standard library, so
``prev``, roots and hashes of blobs are not checked: CRC-32, the sync value and
each block's own offset are.

Exit status: 0 clean, 3 damage found, 2 wrong usage.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

try:
    from compression import zstd
except ImportError:
    try:
        from backports import zstd
    except ImportError:
        zstd = None

MAGIC = bytes.fromhex("d9d9f8da52504b3143424f52")
LIMIT = 64 << 20
EXPANDED = 16 << 20
DEPTH = 70
CATALOG = 7
Data = bytes | mmap.mmap


class Damaged(Exception):
    """What stands there is not what the format says; ``end`` is where it ends, where that is known."""

    end = 0


class Block(NamedTuple):
    """A whole block; ``body`` is None where it is compressed and no zstd is at hand."""

    offset: int
    end: int
    kind: int
    watermark: int
    packed: bytes
    body: dict[str, Any] | None


class Range(NamedTuple):
    """Bytes that belong to no whole block, tail or padding."""

    offset: int
    end: int
    reason: str


# -- CBOR ---------------------------------------------------------------------------


def head_at(data: bytes, at: int, *, shortest: bool = True) -> tuple[int, int, int]:
    """Return major type, value and the next position; in a block's own fields the shortest form only."""
    if at >= len(data):
        raise Damaged("it ends inside an item")
    major, value = data[at] >> 5, data[at] & 31
    if value < 24:
        return major, value, at + 1
    if value > 27:
        raise Damaged("a length is indefinite or reserved")
    stop = at + 1 + (1 << value - 24)
    number = int.from_bytes(data[at + 1 : stop], "big")
    if stop > len(data):
        raise Damaged("it ends inside an item")
    if shortest and number < (24 if value == 24 else 1 << 4 * (stop - at - 1)):
        raise Damaged("a number is not in its shortest form")
    return major, number, stop


def value_at(data: bytes, at: int, depth: int = DEPTH) -> tuple[Any, int]:
    """Return the plain value at *at* and where the next one begins."""
    major, number, start = head_at(data, at, shortest=False)
    if major == 7:
        return simple_at(data, at, number, start)
    if major < 2:
        if major and number >= 1 << 63:
            raise Damaged("an integer beyond 64 bits")
        return (-1 - number if major else number), start
    if number > len(data) - start:
        raise Damaged("a length is larger than what follows")
    if major < 4:
        piece = data[start : start + number]
        try:
            return (piece.decode() if major == 3 else piece), start + number
        except UnicodeDecodeError as error:
            raise Damaged("a text is no UTF-8") from error
    if major == 6 or depth == 0:
        raise Damaged("a tag, or too many levels")
    return (list_at if major == 4 else map_at)(data, start, number, depth - 1)


def simple_at(data: bytes, at: int, number: int, stop: int) -> tuple[Any, int]:
    """Return false, true, null or a float."""
    size = stop - at - 1
    if size in (2, 4, 8):
        return struct.unpack(">" + {2: "e", 4: "f", 8: "d"}[size], data[at + 1 : stop])[0], stop
    if size or number not in (20, 21, 22):
        raise Damaged("a simple value that has no place here")
    return {20: False, 21: True, 22: None}[number], stop


def list_at(data: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    """Return *count* items."""
    items = []
    for _ in range(count):
        item, at = value_at(data, at, depth)
        items.append(item)
    return items, at


def map_at(data: bytes, at: int, count: int, depth: int) -> tuple[dict[str, Any], int]:
    """Return *count* pairs; keys are text, each once."""
    pairs: dict[str, Any] = {}
    for _ in range(count):
        key, at = value_at(data, at, 0)
        if type(key) is not str or key in pairs:
            raise Damaged("a key that is no text, or is repeated")
        pairs[key], at = value_at(data, at, depth)
    return pairs, at


def decoded(body: bytes) -> dict[str, Any]:
    """Return the one map that a body is."""
    value, end = value_at(body, 0)
    if type(value) is not dict or end != len(body):
        raise Damaged("the body is not one map")
    return value


# -- segments -----------------------------------------------------------------------


class Segment:
    """
    A segment's bytes.

    Failed checksums may cost twice its size, expanded bodies 64 times, but
    never less than 256 MiB: what is beyond that is left as it is.  One body is
    held at a time; as Python objects a hostile one takes many times its bytes.
    """

    def __init__(self, data: Data) -> None:
        self.data = data
        self.checks = 2 * len(data)
        self.expansion = max(64 * len(data), 4 * LIMIT)
        self.sync = self._sync()

    def _sync(self) -> bytes:
        """Return the HEAD's sync value, or where that is damaged the one that most of the next blocks have."""
        found: Counter[bytes] = Counter()
        at = len(MAGIC)
        while at >= 0 and found.total() < 64:
            try:
                end = self._envelope(at, len(self.data), None)[-1]
                found[self.data[at + 2 : at + 10]] += 1
                if at == len(MAGIC):
                    break
            except Damaged:
                end = at + 1
            at = self.data.find(b"\x88\x48", end) if self.checks > 0 else -1
        return found.most_common(1)[0][0] if found else bytes(8)

    def _envelope(self, at: int, stop: int, sync: bytes | None) -> tuple[int, int, int, int, int, int]:
        """Return kind, codec, watermark, start and end of the body, and the end of the block at *at*."""
        head = self.data[at : min(at + 80, stop)]
        if head[:2] != b"\x88\x48" or (sync is not None and head[2:10] != sync):
            raise Damaged("no block begins here")
        numbers, place = [], 10
        for _ in range(4):
            major, number, place = head_at(head, place)
            numbers.append(number)
            if major:
                raise Damaged("the block has another shape")
        kind, codec, offset, watermark = numbers
        if kind > 127 or codec > 1 or offset != at or watermark > offset or head[place : place + 2] != b"\x58\x20":
            raise Damaged("a field of the block is out of range, or it names another place")
        place += 34
        if codec == 0 and head[place : place + 2] != b"\xd8\x18":
            raise Damaged("the block has another shape")
        major, size, place = head_at(head, place + 2 * (codec == 0))
        end = place + size + 5
        if major != 2 or end > LIMIT or at + end > stop:
            raise Damaged("the block is cut short or over the limit")
        self._demand_checksum(at, at + end)
        return kind, codec, watermark, at + place, at + end - 5, at + end

    def _demand_checksum(self, at: int, end: int) -> None:
        if self.checks <= 0:
            raise Damaged("too many false beginnings: given up")
        stored = self.data[end - 5 : end]
        if stored != b"\x44" + zlib.crc32(self.data[at : end - 5]).to_bytes(4, "big"):
            self.checks -= end - at
            raise Damaged("checksum differs")

    def block(self, at: int, stop: int) -> Block:
        """Return the block at *at*, which ends before *stop*."""
        kind, codec, watermark, start, end, after = self._envelope(at, stop, self.sync)
        packed = self.data[start:end]
        try:
            return Block(at, after, kind, watermark, packed, self._body(packed) if codec else decoded(packed))
        except Damaged as error:
            # The block is whole, so nothing inside it is looked at.
            error.end = after
            raise

    def _body(self, packed: bytes) -> dict[str, Any] | None:
        if zstd is None or self.expansion <= 0:
            return None
        try:
            size = zstd.get_frame_info(packed).decompressed_size
            if size is None or size > EXPANDED:
                raise Damaged("a compressed body declares no size or one over the limit")
            self.expansion -= size
            decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})
            body = decoder.decompress(packed, max_length=size + 1)
        except (zstd.ZstdError, MemoryError) as error:
            raise Damaged(f"a compressed body does not expand: {error}") from error
        if not decoder.eof or decoder.unused_data or len(body) != size:
            raise Damaged("a compressed body is not as long as it declares")
        return decoded(body)

    def tail(self, at: int) -> tuple[int, int] | None:
        """Return the tail at *at* as the offset of its catalog and its own, None if none is there."""
        raw = self.data[at : at + 34]
        if len(raw) < 34 or raw[:10] != b"\x58\x20" + self.sync or zlib.crc32(raw[:30]).to_bytes(4, "big") != raw[30:]:
            return None
        catalog, own = struct.unpack(">QQ", raw[10:26])
        return (catalog, own) if own == at and catalog < own else None

    def items(self, at: int = len(MAGIC)) -> Iterator[Block | Range]:
        """Yield each whole block from *at* on, and each damaged range between them."""
        if self.data[: len(MAGIC)] != MAGIC or len(self.data) == len(MAGIC):
            yield Range(0, min(len(MAGIC), len(self.data)), "it begins with something else, or has no HEAD")
        size = len(self.data)
        while at < size:
            if self.data[at] == 0:
                at = self._padding_end(at)
            elif self.tail(at):
                at += 34
            else:
                try:
                    item: Block | Range = self.block(at, size)
                except Damaged as error:
                    item = Range(at, error.end or self._next(at + 1), str(error))
                yield item
                at = item.end

    def _padding_end(self, at: int) -> int:
        while piece := self.data[at : at + 4096]:
            rest = piece.lstrip(b"\0")
            at += len(piece) - len(rest)
            if rest:
                break
        return at

    def _next(self, at: int) -> int:
        """Return where the next block or tail is that checks, the end of the data if there is none."""
        while self.checks > 0 and (found := self._find(at)) >= 0:
            at = found + 1
            if self.tail(found):
                return found
            try:
                self._envelope(found, len(self.data), self.sync)
            except Damaged:
                continue
            return found
        return len(self.data)

    def _find(self, at: int) -> int:
        found = self.data.find(self.sync, at + 2)
        while found >= 0 and self.data[found - 2 : found] not in (b"\x88\x48", b"\x58\x20"):
            found = self.data.find(self.sync, found + 1)
        return found - 2 if found >= 0 else -1


# -- sessions -----------------------------------------------------------------------


def sessions(segment: Segment) -> tuple[list[dict[str, Any]], list[Range]]:
    """Return the cards of all sessions, in order of publishing, and the damage seen on the way."""
    damage: list[Range] = []
    try:
        return followed(segment, damage), damage
    except Damaged as error:
        damage.append(Range(len(MAGIC), len(segment.data), f"{error}; every block was read"))
    catalogs = []
    for item in segment.items():
        if isinstance(item, Range):
            damage.append(item)
        elif item.kind == CATALOG:
            catalogs.append(item)
    return newest(catalogs), damage


def followed(segment: Segment, damage: list[Range]) -> list[dict[str, Any]]:
    """Return the cards by way of the last tail, what follows it, and the bases of its catalog."""
    if segment.data[: len(MAGIC)] != MAGIC or segment.block(len(MAGIC), len(segment.data)).kind != 1:
        raise Damaged("there is no magic and HEAD")
    catalog, at = None, len(MAGIC)
    found = segment.data.rfind(b"\x58\x20" + segment.sync)
    while found >= 0 and catalog is None:
        if tail := segment.tail(found):
            catalog, at = segment.block(tail[0], found), found + 34
        found = segment.data.rfind(b"\x58\x20" + segment.sync, 0, found + 9)
    for item in segment.items(at):
        if isinstance(item, Range):
            damage.append(item)
            break
        catalog = item if item.kind == CATALOG else catalog
    chain = []
    while catalog is not None:
        chain.append(catalog)
        base = fields_of(catalog)[1]
        catalog = segment.block(base, catalog.offset) if base else None
    return newest(chain[::-1], whole=True)


def fields_of(catalog: Block) -> tuple[int, int, list[Any]]:
    """Return number, base and records of a catalog."""
    body = catalog.body or {}
    records = records_of_columns(body) if "cols" in body else body.get("add")
    number, base = body.get("n"), body.get("base")
    if catalog.kind != CATALOG or type(number) is not int or type(base) is not int or type(records) is not list:
        raise Damaged("a catalog is malformed")
    return number, base, records


SAID = {"name", "t1", "gen"}  # these mean something also where they are empty or 0


def records_of_columns(body: dict[str, Any]) -> list[Any]:
    """Return the records of a catalog that stores them as columns; a column that is left out has defaults."""
    sessions, columns, sizes = body.get("s"), body.get("cols"), body.get("z")
    if type(sessions) is not bytes or type(columns) is not dict or type(sizes) is not list:
        raise Damaged("a catalog is malformed")
    if len(sessions) != 16 * len(sizes) or not all(len(column) == len(sizes) for column in columns.values()):
        raise Damaged("a catalog is malformed")
    records = []
    for at, size in enumerate(sizes):
        session = sessions[16 * at : 16 * at + 16]
        values = {key: column[at] for key, column in columns.items()}
        shown = {key: value for key, value in values.items() if value is not None and (key in SAID or value)}
        records.append({"card": {"s": session, **shown}} if size else {"s": session})
    return records


def newest(catalogs: list[Block], *, whole: bool = False) -> list[dict[str, Any]]:
    """Return the card in the newest record of each session; *whole* demands that no record is missing."""
    seen = 0
    cards: dict[bytes, dict[str, Any] | None] = {}
    for catalog in catalogs:
        number, _, records = fields_of(catalog)
        if whole and number - len(records) > seen:
            raise Damaged("the catalogs do not follow each other")
        for record in records[max(seen - number + len(records), 0) :] if number > seen else ():
            card = record.get("card")
            session = (card or record)["s"]
            cards.pop(session, None)
            cards[session] = card
        seen = max(seen, number)
    return [card for card in cards.values() if card is not None]


# -- the command --------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return *value* as JSON can hold it: bytes as ``{"$hex": ...}``, floats that are no numbers as texts."""
    if isinstance(value, bytes):
        return {"$hex": value.hex()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


def described(item: Block | Range) -> dict[str, Any]:
    """Return the line of a block or of a damaged range."""
    if isinstance(item, Range):
        return {"damaged": [item.offset, item.end], "reason": item.reason}
    session = (item.body or {}).get("s")
    line = {"offset": item.offset, "kind": item.kind, "session": session.hex() if isinstance(session, bytes) else None}
    return {**line, "body": plain(item.body)} if item.body is not None else {**line, "zstd": item.packed.hex()}


def list_file(segment: Segment) -> bool:
    """Print the sessions; return whether there is damage."""
    cards, damage = sessions(segment)
    for card in cards:
        print(json.dumps(plain(card)))
    for each in damage:
        print(json.dumps(described(each)), file=sys.stderr)
    return bool(damage)


def salvage_file(segment: Segment) -> bool:
    """Print every whole block and every damaged range; return whether there is damage."""
    damaged = False
    for item in segment.items():
        damaged = damaged or isinstance(item, Range)
        print(json.dumps(described(item)))
    return damaged


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    verbs: dict[str, Callable[[Segment], bool]] = {"list": list_file, "salvage": salvage_file}
    if len(arguments) != 2 or arguments[0] not in verbs:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(arguments[1], "rb") as file:
            data: Data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.read(1) else b""
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 3 if verbs[arguments[0]](Segment(data)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
