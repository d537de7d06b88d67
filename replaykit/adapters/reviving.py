"""What a play hands out: recorded stand-ins as objects of their library again."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable
from typing import Any

import attrs

from replaykit.format.values import type_name
from replaykit.model import Structured
from replaykit.playback.annotations import constructed

__all__ = ["reviving"]


def reviving(*names: str) -> Callable[[Any], Any]:
    """
    Return a ``thaw`` that makes recorded objects of the classes with these qualified *names* objects again.

    Also inside lists, tuples, maps and each other.  Nothing else is imported, whatever a
    recording names; what cannot be made again stays the stand-in that it is.
    """
    known = frozenset(names)

    def thaw(value: Any) -> Any:
        if isinstance(value, Structured):
            inside = {name: thaw(item) for name, item in value.fields.items()}
            fields = attrs.evolve(value, fields=inside, beside_fields=thaw(dict(value.beside_fields)))
            return constructed(_imported(value.type_name), fields) if value.type_name in known else value
        if type(value) in (list, tuple):
            return type(value)(map(thaw, value))
        if type(value) is dict:
            return {thaw(key): thaw(item) for key, item in value.items()}
        if type_name(value) in known and not isinstance(value, enum.Enum):
            # An annotation has made it, which may have named but a base class of what is in it.
            for name, item in _fields_of(value):
                object.__setattr__(value, name, thaw(item))
        return value

    return thaw


def _fields_of(value: Any) -> list[tuple[str, Any]]:
    """Return what an object holds, whether its class has slots or not."""
    slots = (cls.__dict__.get("__slots__", ()) for cls in type(value).__mro__)
    names = [name for each in slots for name in ((each,) if isinstance(each, str) else each)]
    held = {name: getattr(value, name) for name in names if not name.startswith("__") and hasattr(value, name)}
    return [*held.items(), *getattr(value, "__dict__", {}).items()]


def _imported(name: str) -> type:
    module, _, qualified = name.rpartition(".")
    found: type = getattr(importlib.import_module(module), qualified)
    return found
