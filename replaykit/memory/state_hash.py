"""
The hash of what a memory holds: order-independent, and changed in constant time.

LtHash: each frame stands for 1,024 numbers of 16 bits, drawn from BLAKE3; the
state is their sum, lane by lane.  Adding and removing are inverse, so equal
contents under equal ids give equal states, whichever way led there.
"""

from __future__ import annotations

from blake3 import blake3

__all__ = ["EMPTY", "VECTOR_BYTES", "add", "digest", "element", "from_bytes", "remove", "to_bytes"]

_LANES = 1024
VECTOR_BYTES = 2 * _LANES
"""The stored size of a state."""

EMPTY = 0
"""The state of an empty memory."""

_TOP = int.from_bytes(b"\x00\x80" * _LANES, "little")
_REST = int.from_bytes(b"\xff\x7f" * _LANES, "little")
_ALL = _TOP | _REST


def element(frame_id: int, fields_hash: bytes) -> int:
    """Return what one frame adds to the state; *fields_hash* stands for all that a user sees of it."""
    source = frame_id.to_bytes(8, "little", signed=True) + fields_hash
    return int.from_bytes(blake3(source).digest(length=VECTOR_BYTES), "little")


def add(state: int, item: int) -> int:
    """Return *state* with *item* in it."""
    # All lanes in one addition: the top bit of each lane is added apart,
    # without a carry, so that no lane runs over into the next.
    return ((state & _REST) + (item & _REST)) ^ ((state ^ item) & _TOP)


def remove(state: int, item: int) -> int:
    """Return *state* without *item*; the inverse of `add`."""
    return ((state | _TOP) - (item & _REST)) ^ ((state ^ item ^ _ALL) & _TOP)


def digest(state: int) -> bytes:
    """Return the 32 bytes that name *state*."""
    return blake3(to_bytes(state)).digest()


def to_bytes(state: int) -> bytes:
    """Return the stored form of *state*: `VECTOR_BYTES` bytes."""
    return state.to_bytes(VECTOR_BYTES, "little")


def from_bytes(data: bytes) -> int:
    """
    Return the state whose stored form is *data*.

    Raises:
        ValueError: It has not `VECTOR_BYTES` bytes.
    """
    if len(data) != VECTOR_BYTES:
        raise ValueError(f"a state has {VECTOR_BYTES} bytes, not {len(data)}")
    return int.from_bytes(data, "little")
