"""Reads little-endian fields out of bytes that nobody vouches for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from replaykit.errors import DamagedError

__all__ = ["Cursor", "HASH_BYTES"]

HASH_BYTES = 32

_T = TypeVar("_T")
_U16, _U32, _I64 = (struct.Struct(f"<{code}") for code in "HIq")
_unpack_u64 = struct.Struct("<Q").unpack_from
_WIDE = 8


class Cursor:
    """
    A place in *data*; reading moves it on and never past *end*.

    *path* and *base*, the offset of *data* in its file, only say in errors
    where. Every reading method raises ``DamagedError`` where the bytes end
    too early or are no such value.
    """

    def __init__(self, data: bytes, path: str, *, base: int = 0, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.path = path
        self.base = base
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return self.end - self.at

    def damaged(self, reason: str, *, at: int | None = None) -> DamagedError:
        """Return the error that says what is wrong here, or *at* another place."""
        return DamagedError(self.path, self.base + (self.at if at is None else at), reason)

    def _too_short(self, size: int) -> DamagedError:
        return self.damaged(f"{size} bytes are said to follow, {self.remaining} do")

    def skip(self, size: int) -> int:
        """Pass over *size* bytes; return where they begin."""
        start = self.at
        if size > self.end - start:
            raise self._too_short(size)
        self.at = start + size
        return start

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        start = self.skip(size)
        return self.data[start : self.at]

    def u8(self) -> int:
        """Return a byte."""
        return self.data[self.skip(1)]

    def u16(self) -> int:
        """Return an unsigned integer of 2 bytes."""
        return int(_U16.unpack_from(self.data, self.skip(2))[0])

    def u32(self) -> int:
        """Return an unsigned integer of 4 bytes."""
        return int(_U32.unpack_from(self.data, self.skip(4))[0])

    def u64(self) -> int:
        """Return an unsigned integer of 8 bytes."""
        # Half of all fields: no call but this one.
        start = self.at
        if self.end - start < _WIDE:
            raise self._too_short(_WIDE)
        self.at = start + _WIDE
        value: int = _unpack_u64(self.data, start)[0]
        return value

    def i64(self) -> int:
        """Return a signed integer of 8 bytes."""
        return int(_I64.unpack_from(self.data, self.skip(8))[0])

    def flag(self) -> bool:
        """Return a byte that is 0 or 1."""
        value = self.u8()
        if value > 1:
            raise self.damaged(f"a byte that says yes or no is {value}", at=self.at - 1)
        return value == 1

    def digest(self) -> bytes:
        """Return 32 bytes."""
        return self.take(HASH_BYTES)

    def text(self) -> str:
        """Return a text."""
        start = self.skip(self.u64())
        if start == self.at:
            return ""
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a text is not UTF-8", at=start) from error

    def optional(self, read: Callable[[], _T]) -> _T | None:
        """Return what *read* gives, None where there is none."""
        return read() if self.flag() else None

    def count(self, least_bytes: int) -> int:
        """Return how many items follow, of at least so many bytes each."""
        count = self.u64()
        if count * least_bytes > self.end - self.at:
            raise self.damaged(f"{count} items are said to follow, for which there is no room", at=self.at - 8)
        return count

    def u64_list(self) -> tuple[int, ...]:
        """Return a list of unsigned integers of 8 bytes."""
        count = self.count(8)
        return struct.unpack_from(f"<{count}Q", self.data, self.skip(8 * count))
