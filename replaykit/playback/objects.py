"""
Makes an object of a class hold what was recorded of one.

No ``__init__`` or ``__post_init__`` of the class runs for it, no validator
and no alias counts.  Those have side effects, and what was recorded is what
they led to.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["object_with"]

_Held = Mapping[str, Any]


def object_with(cls: type, fields: _Held, beside: _Held) -> Any:
    """
    Return an object of *cls* with the recorded *fields*, and what was recorded *beside* them.

    Raises:
        Exception: The class cannot hold them (any more).
    """
    if hasattr(cls, "__pydantic_fields__") and hasattr(cls, "model_construct"):
        return _model(cls, fields, beside)
    if issubclass(cls, tuple):
        return _named_tuple(cls, fields, beside)
    made = cls.__new__(cls)
    names = [field.name for field in attrs.fields(cls)] if attrs.has(cls) else list(fields)
    _put(made, {name: fields[name] for name in names if name in fields})
    _put(made, beside.get("attributes", {}))
    return made


def _named_tuple(cls: Any, fields: _Held, beside: _Held) -> Any:
    if not fields.keys() <= set(cls._fields):
        raise TypeError(f"{cls.__qualname__} has other fields now")
    held = {**cls._field_defaults, **fields}
    made = tuple.__new__(cls, [held[name] for name in cls._fields])
    _put(made, beside.get("attributes", {}))
    return made


def _put(made: Any, items: _Held) -> None:
    for name, item in items.items():
        slot = _slot(type(made), name)
        if slot is not None:
            slot.__set__(made, item)
        else:
            # Past properties of the same name.
            vars(made)[name] = item


def _slot(cls: type, name: str) -> types.MemberDescriptorType | None:
    found = next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)
    return found if isinstance(found, types.MemberDescriptorType) else None


def _model(cls: Any, fields: _Held, beside: _Held) -> Any:
    known = cls.__pydantic_fields__
    own: dict[str, Any] = {}
    for name, field in known.items():
        if name in fields:
            own[name] = fields[name]
        elif not field.is_required():
            # The recording is from before the field was there.
            own[name] = field.get_default(call_default_factory=True, validated_data=own)
    extra = {name: item for name, item in fields.items() if name not in known} | dict(beside.get("extra", {}))
    state = {
        "__pydantic_extra__": extra if cls.model_config.get("extra") == "allow" else None,
        "__pydantic_fields_set__": set(beside.get("set", fields)),
        "__pydantic_private__": beside.get("private"),
    }
    own |= beside.get("attributes", {})
    made = cls.__new__(cls)
    _set_state(made, own, state)
    if "private" not in beside and cls.__private_attributes__:
        # A recording from before they were kept: they are made as for any new
        # object, by what must not change the rest.
        made.model_post_init(None)
        _set_state(made, own, {**state, "__pydantic_private__": made.__pydantic_private__})
    return made


def _set_state(made: Any, own: dict[str, Any], state: _Held) -> None:
    object.__setattr__(made, "__dict__", dict(own))
    for name, item in state.items():
        # Models of one value have no such slots.
        if _slot(type(made), name) is not None:
            object.__setattr__(made, name, copy.copy(item))
