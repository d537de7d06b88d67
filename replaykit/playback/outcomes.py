"""What came of a call, in the form in which recordings give it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import cbor2

from replaykit.format.matching import essential
from replaykit.format.thaw import thaw
from replaykit.format.values import pack, plain, unpack
from replaykit.model import Answer, Failure, FrameId, ReplayAction

__all__ = [
    "Outcome",
    "are_alike",
    "as_recorded",
    "fingerprint",
    "has_stored_form",
    "outcome_of",
    "texts_of",
    "whole",
]


@attrs.frozen(kw_only=True)
class Outcome:
    """
    A result or a failure.

    ``value`` is as `as_recorded` gives it; ``frames`` are the ids of the
    frames that the call returned or touched.
    """

    value: Any = None
    error: Failure | None = None
    frames: tuple[FrameId, ...] = ()


def outcome_of(action: ReplayAction) -> Outcome:
    """Return what came of a recorded call."""
    return Outcome(value=whole(action.output), error=action.error, frames=action.affected_frames)


def whole(value: Any) -> Any:
    """Return the answer that a stream of its pieces ended with; any other value as it is."""
    is_streamed = isinstance(value, list) and bool(value) and isinstance(value[-1], Answer)
    return value[-1] if is_streamed else value


def texts_of(recorded: Outcome, seen: Outcome) -> tuple[str, str] | None:
    """Return the texts, or the texts of the answers, that both are; None where they are something else."""
    was, is_now = (item.value.text if isinstance(item.value, Answer) else item.value for item in (recorded, seen))
    return (was, is_now) if isinstance(was, str) and isinstance(is_now, str) else None


def as_recorded(value: Any, clean: Callable[[bytes], bytes] = bytes, *, expected: Any = None) -> Any:
    """
    Return *value* as a recording gives it back; *clean* redacts its packed form.

    Where that packs like *expected*, which a recording gave back, it is
    *expected* itself.
    """
    packed = clean(pack(value))
    return expected if packed == pack(expected) else thaw(plain(unpack(packed), notes=set()))


def has_stored_form(value: Any) -> bool:
    """Return whether all of *value* could be kept, in a form that this release knows."""
    notes: set[str] = set()
    plain(unpack(pack(value)), notes=notes)
    return "unreplayable" not in notes


def are_alike(first: Any, second: Any) -> bool:
    """Return whether two values have one `fingerprint`."""
    # What is packed alike is alike; only where it is not, the order of keys may be all that differs.
    return pack(first) == pack(second) or fingerprint(first) == fingerprint(second)


def fingerprint(value: Any) -> bytes:
    """
    Return 32 bytes that agree for two values just if a recording could not tell them apart.

    The order of a map's keys does not count; 1, 1.0 and True differ.  What
    objects hold beside their fields does not count.
    """
    from blake3 import blake3

    stored = essential(plain(unpack(pack(value)), notes=set()))
    return blake3(cbor2.dumps(stored, canonical=True)).digest()
