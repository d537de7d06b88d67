"""
The records of a live log: bytes <-> values, pure.

A live log is private to the release that writes it and short-lived; what it
holds is turned into blocks and published.  A record is

    magic 4 | body length 4 | CRC-32C of the body 4 | body

and a body begins with one byte that says what it is.  Records of several
threads arrive in any order; each carries its sequence.  Records may be padded
with zeros to sectors; the first one says so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import attrs
import cbor2

from replaykit.format.strict import decode_body

__all__ = [
    "ACTION",
    "CHECKPOINT",
    "DEFINE",
    "END",
    "ENTRY",
    "INTENT",
    "MAX_RECORD_BYTES",
    "NOTE",
    "NO_NUMBER",
    "OPEN",
    "ActionFields",
    "ActionRecord",
    "Damage",
    "Record",
    "action_body",
    "action_fields",
    "checksum",
    "is_cut_short",
    "map_body",
    "read_records",
    "sealed",
]

MAGIC = b"rkL1"
MAX_RECORD_BYTES = 1 << 30
"""A record above this is not kept."""

OPEN, DEFINE, INTENT, ACTION, ENTRY, CHECKPOINT, NOTE, END = range(1, 9)
"""What a body is.  All but INTENT and ACTION hold one CBOR map."""

FAILED, UNFINISHED, INTENDED, STREAM, ABANDONED, CANCELLED, CUT, ASYNC = (1 << bit for bit in range(8))
"""Flags of an action: INTENDED means that its arguments are in the INTENT before it."""

FLAG_NAMES = {
    UNFINISHED: "unfinished",
    STREAM: "stream",
    ABANDONED: "abandoned",
    CANCELLED: "cancelled",
    CUT: "cut",
    ASYNC: "async",
}

NO_NUMBER = -1
"""Stands for no parent and no generation."""

_MOST_SEQUENCES = 1 << 48

PREFIX = struct.Struct("<4sII")
_PREFIX_BYTES = PREFIX.size
_unpack_prefix = PREFIX.unpack_from
HEAD = struct.Struct("<BBIqqqqqII")
"""What, flags, operation, sequence, parent, time, duration, generation, length of arguments, of the result."""

_HEAD_BYTES = HEAD.size
_unpack_head = HEAD.unpack_from


# Tuples, since each recorded call makes one of both kinds.
class Record(NamedTuple):
    """One whole record: where it begins, where the next one does, its kind and its body."""

    offset: int
    end: int
    what: int
    body: bytes

    def map(self) -> dict[str, Any]:
        """
        Return the body of a record that holds a map.

        Raises:
            DamagedError: It is no strict CBOR map.
        """
        return decode_body(self.body[1:])


@attrs.frozen
class Damage:
    """Bytes that are no whole record, up to the next one or to the end of the log."""

    offset: int
    end: int
    data: bytes


class ActionRecord(NamedTuple):
    """An INTENT or ACTION record, taken apart; payloads are still packed."""

    flags: int
    operation: int
    sequence: int
    parent: int
    time_ns: int
    duration_ns: int
    generation: int
    arguments: bytes
    result: bytes
    facts: bytes

    @classmethod
    def read(cls, body: bytes) -> ActionRecord:
        """Take apart a body like `action_fields`, which raises what this does."""
        return cls._make(action_fields(body))


ActionFields = tuple[int, int, int, int, int, int, int, bytes, bytes, bytes]
"""The fields of an `ActionRecord`, in their order."""


def action_fields(body: bytes) -> ActionFields:
    """
    Return the fields of the body of an INTENT or ACTION record.

    Raises:
        ValueError: A number of the call is out of range.
    """
    _, flags, operation, sequence, parent, time_ns, duration_ns, generation, arguments, result = _unpack_head(body)
    if not 0 <= sequence < _MOST_SEQUENCES or time_ns < 0 or duration_ns < 0:
        raise ValueError("a number of the call is out of range")
    result_at = _HEAD_BYTES + arguments
    facts_at = result_at + result
    payloads = body[_HEAD_BYTES:result_at], body[result_at:facts_at], body[facts_at:]
    return flags, operation, sequence, parent, time_ns, duration_ns, generation, *payloads


def sealed(body: bytes) -> bytes:
    """Return *body* as a whole record, ready to append."""
    return PREFIX.pack(MAGIC, len(body), checksum()(0, body)) + body


@cache
def checksum() -> Callable[[int, bytes], int]:
    """Return CRC-32C, which goes on from a checksum and starts from 0."""
    # Loaded on first use, so that importing replaykit stays cheap.
    import google_crc32c

    extend: Callable[[int, bytes], int] = google_crc32c.extend
    return extend


def map_body(what: int, content: dict[str, Any]) -> bytes:
    """Return the body of a record that holds one map."""
    return bytes((what,)) + cbor2.dumps(content)


def action_body(
    what: int,
    *,
    flags: int,
    operation: int,
    sequence: int,
    parent: int,
    time_ns: int,
    duration_ns: int = 0,
    generation: int = NO_NUMBER,
    arguments: bytes = b"",
    result: bytes = b"",
    facts: bytes = b"",
) -> bytes:
    """Return the body of an INTENT or ACTION record; *result* is the packed output, or the error if FAILED."""
    head = HEAD.pack(
        what, flags, operation, sequence, parent, time_ns, duration_ns, generation, len(arguments), len(result)
    )
    return b"".join((head, arguments, result, facts))


def read_records(
    read: Callable[[int, int], bytes], start: int, end: int, *, align: Callable[[], int] = lambda: 0
) -> Iterator[Record | Damage]:
    """
    Yield the records between two offsets of a log, and the bytes between them that are none.

    *read(offset, size)* returns the log's bytes; *align()* says to how many
    bytes records are padded, 0 for none, and is asked behind each record.  A torn record at the end is
    a `Damage` too.  A record of another thread may follow a torn one, so the
    search goes on from the next magic.
    """
    read = _Window(read)
    budget = _Budget(end - start)
    at = start
    damaged_from: int | None = None
    while at < end:
        record = _record_at(read, at, end, budget)
        if record is None and damaged_from is None and (padding := _padding_at(read, at, end, align())):
            at += padding
            continue
        if record is None:
            damaged_from = at if damaged_from is None else damaged_from
            at = read.find(MAGIC, at + 1, end) if budget.left > 0 else end
            continue
        if damaged_from is not None:
            yield Damage(damaged_from, at, read(damaged_from, at - damaged_from))
            damaged_from = None
        yield record
        at = record.end
    if damaged_from is not None:
        yield Damage(damaged_from, end, read(damaged_from, end - damaged_from))


def is_cut_short(data: bytes) -> bool:
    """Return whether *data*, which a log ends with, begins a record that would be longer than what is there."""
    if len(data) < _PREFIX_BYTES:
        return MAGIC.startswith(data[: len(MAGIC)])
    magic, length, _ = _unpack_prefix(data, 0)
    return bool(magic == MAGIC and len(data) - _PREFIX_BYTES < length <= MAX_RECORD_BYTES)


class _Budget:
    """How many bytes may be checked in vain, so that a log full of false records takes no quadratic time."""

    def __init__(self, size: int) -> None:
        self.left = 2 * size + _WINDOW_BYTES


class _Window:
    """Reads ahead, so that a record costs no system call of its own."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._offset = 0
        self._data = b""

    def at(self, offset: int) -> tuple[bytes, int]:
        """Return bytes of the log and where in them *offset* is; what stands before a body is whole if it is at all."""
        begin = offset - self._offset
        if begin < 0 or begin + _PREFIX_BYTES > len(self._data):
            self._fill(offset)
            begin = 0
        return self._data, begin

    def __call__(self, offset: int, size: int) -> bytes:
        begin = offset - self._offset
        if begin >= 0 and begin + size <= len(self._data):
            return self._data[begin : begin + size]
        if size >= _LONG_BYTES:
            # The window stays: a search may go on where the long record
            # would have begun.
            return self._read(offset, size)
        self._fill(offset)
        return self._data[:size]

    def find(self, pattern: bytes, at: int, end: int) -> int:
        """Return where *pattern* begins at or after *at*, or *end*; each byte is read about once."""
        while end - at >= len(pattern):
            if not self._offset <= at <= self._offset + len(self._data) - len(pattern):
                self._fill(at)
            found = self._data.find(pattern, at - self._offset)
            if found >= 0:
                return self._offset + found
            if len(self._data) < len(pattern):
                return end
            at = self._offset + len(self._data) - len(pattern) + 1
        return end

    def _fill(self, offset: int) -> None:
        self._offset, self._data = offset, self._read(offset, _WINDOW_BYTES)


_WINDOW_BYTES = 256 * 1024
_LONG_BYTES = 4 * 1024


def _padding_at(read: Callable[[int, int], bytes], at: int, end: int, align: int) -> int:
    """Return how many bytes of padding stand at *at*: zeros up to the next boundary, and only from within a sector."""
    size = -at % align if align else 0
    return size if size and read(at, min(size, end - at)) == bytes(size) else 0


def _record_at(read: _Window, at: int, end: int, budget: _Budget) -> Record | None:
    extend = checksum()
    data, begin = read.at(at)
    if len(data) < begin + _PREFIX_BYTES:
        return None
    magic, length, crc = _unpack_prefix(data, begin)
    body_at = at + _PREFIX_BYTES
    if magic != MAGIC or length > MAX_RECORD_BYTES or not 0 < length <= end - body_at:
        return None
    begin += _PREFIX_BYTES
    body = data[begin : begin + length] if begin + length <= len(data) else read(body_at, length)
    if len(body) < length or extend(0, body) != crc:
        budget.left -= _PREFIX_BYTES + length
        return None
    what = body[0]
    if length < _HEAD_BYTES and what in (INTENT, ACTION):
        return None
    return Record(at, body_at + length, what, body)
