"""Segments with valid checksums whose contents lie: what an attacker makes who knows the format."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import cbor2

from replaykit.format.block import encode_tail
from replaykit.format.index import Place
from replaykit.format.segment import ACTS, CATALOG, OPEN, SEAL, SegmentWriter, start_segment

__all__ = ["SESSION", "SYNC", "Forgery", "acts_body", "at_most_seconds", "card", "plain_session"]

SYNC = b"\x51\x52\x53\x54\x55\x56\x57\x58"
SESSION = UUID(int=7)


class Forgery:
    """A segment under construction: any body, under any kind, with checks that agree."""

    def __init__(self, *, level: int = 3) -> None:
        self.writer: SegmentWriter = start_segment(sync=SYNC, file_id=bytes(16), created_ns=1, writer="w", level=level)
        self._built: list[bytes] = []

    @property
    def offset(self) -> int:
        return self.writer.offset

    def add(self, kind: int, body: Any) -> Place:
        """Add a block; a body that is no bytes is encoded, whatever it is."""
        return self.writer.add(kind, body if type(body) is bytes else cbor2.dumps(body))

    def raw(self, data: bytes) -> None:
        """Add bytes that are no block."""
        self.writer._push(data)

    def catalog(self, records: list[Any], *, number: int | None = None, base: int = 0) -> Place:
        """Add a catalog and its tail."""
        place = self.add(CATALOG, {"n": len(records) if number is None else number, "base": base, "add": records})
        self.writer.add_tail(place.offset, self.writer.previous)
        return place

    def fake_tail(self, catalog: int, check: bytes = b"\0\0\0\0") -> None:
        """Add a tail that is well-formed and names what it likes."""
        self.raw(encode_tail(sync=SYNC, catalog=catalog, offset=self.offset, digest=check))

    def bytes(self) -> bytes:
        """Return the file."""
        self._built.append(self.writer.take())
        return b"".join(self._built)


def card(session: UUID = SESSION, **fields: Any) -> dict[str, Any]:
    """Return a card as it is stored."""
    return {"s": session.bytes, "name": "forged", "t0": 1, "t1": 2, "st": "sealed", "n": 1, **fields}


def acts_body(entries: list[Any], session: UUID = SESSION, *, key: str = "a", **fields: Any) -> bytes:
    """Return the body of a block of entries with true lengths, unless *fields* say otherwise."""
    encoded = [cbor2.dumps(entry) for entry in entries]
    lengths = b"".join(len(raw).to_bytes(4, "big") for raw in encoded)
    return cbor2.dumps({"l": lengths, "s": session.bytes, **fields, key: entries})


def plain_session(
    forgery: Forgery,
    *,
    index: Mapping[str, Any] | None = None,
    entries: list[Any] | None = None,
    says: Mapping[str, Any] | None = None,
    **acts: Any,
) -> Place:
    """Add one session whose *index* columns, *entries* or card (*says*) may lie; return where its actions are."""
    opening = forgery.add(OPEN, {"s": SESSION.bytes, "name": "forged", "t": 1})
    entries = [{"i": 0, "k": "tool", "t": 1, "d": 1}] if entries is None else entries
    place = forgery.add(ACTS, acts_body(entries, **acts))
    columns = {"o": [place.offset], "z": [place.size], "f": [0], "n": [len(entries)], "h": []}
    body = {
        "s": SESSION.bytes,
        "open": [opening.offset, opening.size],
        "idx": {**columns, **(index or {})},
        "ck": [],
        "gp": [],
        "end": {"st": "sealed", "t1": 2},
    }
    seal = forgery.add(SEAL, body)
    forgery.catalog([{"pt": 1, "at": [seal.offset, seal.size], "card": card(**{"n": len(entries), **(says or {})})}])
    return place


@contextmanager
def at_most_seconds(seconds: int) -> Iterator[None]:
    """End a test that hangs; how long a case takes is judged by what it reads, not by this."""

    def ring(_signal: int, _frame: object) -> None:
        raise AssertionError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
