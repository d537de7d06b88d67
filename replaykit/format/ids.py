"""Session ids: 16 bytes as they are stored, UUIDs as they are shown."""

from __future__ import annotations

from uuid import UUID, SafeUUID

__all__ = ["uuid_of"]

_new, _set = object.__new__, object.__setattr__
_from_bytes = int.from_bytes
_UNKNOWN = SafeUUID.unknown


def uuid_of(octets: bytes) -> UUID:
    """
    Return ``UUID(bytes=octets)`` for exactly 16 *octets*.

    A listing makes thousands, and the constructor, which first finds out
    which of its six arguments was given, was a fifth of its time.
    """
    made = _new(UUID)
    _set(made, "int", _from_bytes(octets, "big"))
    _set(made, "is_safe", _UNKNOWN)
    return made
