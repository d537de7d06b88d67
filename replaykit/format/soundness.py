"""Whether stored actions and checkpoints have the types that the format says, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaykit.errors import DamagedError
from replaykit.format.entries import Entry

__all__ = ["demand_sound_action", "demand_sound_checkpoint"]

_NONE = type(None)
_LOWEST, _BEYOND = -(1 << 63), 1 << 63
_MOST_SEQUENCES = 1 << 48

_ACTION: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("i", "t", "d", "in_n", "out_n"), (int,)),
    **dict.fromkeys(("k", "nm", "src", "ip", "op"), (str,)),
    **dict.fromkeys(("ih", "oh"), (bytes,)),
    **dict.fromkeys(("p", "g"), (int, _NONE)),
    **dict.fromkeys(("f", "fl"), (list,)),
    "x": (dict,),
}
_CHECKPOINT: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("c", "i", "t", "n"), (int,)),
    **dict.fromkeys(("w", "g"), (int, _NONE)),
    "sh": (bytes,),
    **dict.fromkeys(("lex", "vec"), (bytes, _NONE)),
    "ids": (list,),
}
_FRAME_IDS = frozenset({int, str})
_TEXT = frozenset({str})


def demand_sound_action(entry: Entry) -> None:
    """
    Return if *entry* is an action as far as its types say; unknown fields are ignored.

    Raises:
        DamagedError: A field has another type, or a number is out of range.
    """
    _demand_types(entry, _ACTION)
    _demand_numbers(entry, ("t", "d"))
    if not 0 <= entry.get("i", -1) < _MOST_SEQUENCES or "k" not in entry:
        raise DamagedError("", 0, "an action entry has no sequence or no kind")
    frames, flags = entry.get("f"), entry.get("fl")
    if (frames and not _FRAME_IDS.issuperset(map(type, frames))) or (flags and not _TEXT.issuperset(map(type, flags))):
        raise DamagedError("", 0, "an action entry names frames or flags that are none")
    if "x" in entry and "frame_ids" in entry["x"]:
        put = entry["x"]["frame_ids"]
        if type(put) is not list or not _FRAME_IDS.issuperset(map(type, put)):
            raise DamagedError("", 0, "an action entry names frames that are none")


def demand_sound_checkpoint(entry: Entry) -> None:
    """
    Return if *entry* is a checkpoint as far as its types say; unknown fields are ignored.

    Raises:
        DamagedError: A field is missing or has another type, or a number is out of range.
    """
    _demand_types(entry, _CHECKPOINT)
    _demand_numbers(entry, ("c", "i", "t", "n"))
    if not {"c", "i", "t"} <= entry.keys() or not set(map(type, entry.get("ids", ()))) <= _FRAME_IDS:
        raise DamagedError("", 0, "a checkpoint entry lacks a field, or its frames are none")


def _demand_types(entry: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> None:
    for key, value in entry.items():
        if key in kinds and type(value) not in kinds[key]:
            raise DamagedError("", 0, f"the field {key!r} of an entry is malformed")


def _demand_numbers(entry: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if not _LOWEST <= entry.get(key, 0) < _BEYOND:
            raise DamagedError("", 0, f"the field {key!r} of an entry is out of range")
