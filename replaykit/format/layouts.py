"""Where an instance keeps what it holds, and reading it without running any of its class's code."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import attrs

__all__ = [
    "MODEL_SLOTS",
    "OF_THIS_PROCESS",
    "Layout",
    "class_attribute",
    "field_names",
    "layout_of",
    "own_dict",
    "own_fields",
    "snapshot",
]

MODEL_SLOTS = ("__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
"""What a pydantic model holds beside its fields."""

OF_THIS_PROCESS = frozenset({"_attrs_cached_hash"})
"""Where attrs keeps a hash, which is another one in each process."""


def field_names(cls: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's, pydantic's or attrs class's fields; None of any other class."""
    # From the classes' own dictionaries: getattr() would ask a metaclass.
    for attribute in ("__dataclass_fields__", "__pydantic_fields__"):
        fields = class_attribute(cls, attribute)
        if isinstance(fields, dict):
            return tuple(fields)
    fields = class_attribute(cls, "__attrs_attrs__")
    if isinstance(fields, tuple):
        return tuple(field.name for field in fields)
    return None


def class_attribute(cls: type, name: str) -> Any:
    """Return what *cls* or the first of its bases says under *name*, as it stands there; None if none does."""
    return next((base.__dict__[name] for base in type.mro(cls) if name in base.__dict__), None)


@attrs.frozen
class Layout:
    """Where the instances of a class keep what they hold."""

    dictionary: types.GetSetDescriptorType | None
    slots: Mapping[str, types.MemberDescriptorType]
    declared: tuple[str, ...]
    """The slots that Python classes declare."""
    is_model: bool
    """Whether it is a pydantic model."""


@lru_cache(maxsize=1024)
def layout_of(cls: type) -> Layout:
    """Return the layout of a class, as it was when it was first asked for."""
    slots: dict[str, types.MemberDescriptorType] = {}
    declared: dict[str, None] = {}
    for base in reversed(type.mro(cls)):
        for name, item in list(base.__dict__.items()):
            slots.pop(name, None)
            if isinstance(item, types.MemberDescriptorType):
                slots[name] = item
                declared |= {name: None} if "__slots__" in base.__dict__ else {}
    holder = class_attribute(cls, "__dict__")
    # A property of this name would be the class's own code.
    dictionary = holder if isinstance(holder, types.GetSetDescriptorType) else None
    return Layout(dictionary, slots, tuple(declared), "__pydantic_fields_set__" in slots)


def own_fields(value: Any, own: dict[str, Any], names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield the named fields that live in *own*, the instance's dictionary, or slots; others are left out."""
    cls: Any = type(value)
    slots = layout_of(cls).slots
    for name in names:
        if name in own:
            yield name, own[name]
        elif name in slots:
            try:
                yield name, slots[name].__get__(value)
            except AttributeError:
                continue


def own_dict(value: Any) -> dict[str, Any]:
    """Return a copy of the instance's dictionary."""
    cls: Any = type(value)
    dictionary = layout_of(cls).dictionary
    own = {} if dictionary is None else dictionary.__get__(value)
    return snapshot(own) if isinstance(own, dict) else {}


def snapshot(items: dict[Any, Any]) -> dict[Any, Any]:
    """Return a copy of a map that another thread may be changing: all of a change is in it, or nothing."""
    # Both are one step for the interpreter.  A subclass may say otherwise what
    # its keys are, and hashing those of its pairs may run their own code.
    return items.copy() if type(items) is dict else dict(list(dict.items(items)))
