"""Session ids: 16 bytes as they are stored, UUIDs as they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from uuid import UUID, SafeUUID

from replaykit.format.bulk import make_many

__all__ = ["uuids_of"]


def uuids_of(ids: Sequence[bytes]) -> list[UUID]:
    """Return ``UUID(bytes=octets)`` for each of *ids*, of exactly 16 octets."""
    numbers = [int.from_bytes(octets, "big") for octets in ids]
    return make_many(UUID, len(ids), int=numbers, is_safe=repeat(SafeUUID.unknown))
