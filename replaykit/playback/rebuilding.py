"""
From what was recorded back to the types that the caller expects.

Classes come from the annotations of the function that is called, never from
the recording: a hostile file cannot choose what is constructed.
"""

from __future__ import annotations

import builtins
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

import attrs

from replaykit import errors
from replaykit.model import Failure, Structured

__all__ = ["constructed", "error_of", "rebuilt"]


def error_of(failure: Failure) -> BaseException:
    """
    Return the exception that a recorded failure stands for.

    Built-in exceptions and ours come back as themselves; any other as
    `RecordedError`, which carries the failure.
    """
    module, _, name = failure.type.rpartition(".")
    home: Any = builtins if not module else errors if module == "replaykit.errors" else None
    cls = getattr(home, name, None) if home is not None else None
    if not isinstance(cls, type) or not issubclass(cls, BaseException):
        if name == "CancelledError" and module in ("asyncio.exceptions", "concurrent.futures._base"):
            import asyncio

            return asyncio.CancelledError(*failure.args)
        return errors.RecordedError(failure)
    # Constructors may demand what was not recorded: an exception is its args.
    error: BaseException = cls.__new__(cls, *failure.args) if home is builtins else cls.__new__(cls)
    error.args = failure.args or ((failure.message,) if failure.message else ())
    return error


def rebuilt(value: Any, returns: Any) -> Any:
    """
    Return *value* with recorded stand-ins rebuilt as the classes that an annotation names.

    *returns* is ``(function, annotation)`` as interception has it.  What the
    annotation does not name, or cannot take, stays as it is.
    """
    if returns is None or returns[1] is None or not _needs_work(value):
        return value
    try:
        annotation = typing.get_type_hints(returns[0]).get("return", returns[1])
    except Exception:
        # Annotations may name what only a type checker sees.
        return value
    return _as(annotation, value)


def _needs_work(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_needs_work(item) for item in value)
    if isinstance(value, dict):
        return any(_needs_work(item) for item in value.values())
    return isinstance(value, Structured)


def _as(annotation: Any, value: Any) -> Any:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _as_one_of(inner, value)
    if origin is typing.Annotated:
        return _as(inner[0], value)
    if isinstance(value, (list, set, frozenset)) and inner:
        return type(value)(_as(inner[0], item) for item in value)
    if isinstance(value, tuple) and inner:
        item_types = inner if len(inner) == len(value) and inner[-1] is not Ellipsis else (inner[0],) * len(value)
        return tuple(_as(item_type, item) for item_type, item in zip(item_types, value, strict=True))
    if isinstance(value, dict) and len(inner) == 2:
        return {key: _as(inner[1], item) for key, item in value.items()}
    cls = origin or annotation
    if isinstance(value, Structured) and isinstance(cls, type):
        return constructed(cls, value)
    return value


def _as_one_of(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        made = _as(choice, value)
        if made is not value:
            return made
    return value


def constructed(cls: type, value: Structured) -> Any:
    """Return an object of *cls* with the fields of *value*; *value* itself where it is of another class or age."""
    if value.type_name.rpartition(".")[2] != cls.__name__:
        return value
    try:
        if issubclass(cls, enum.Enum):
            name = value.fields["name"]
            # A combination of flags has no name that could be looked up.
            return cls[name] if name in cls.__members__ else cls(value.fields["value"])
        hints = typing.get_type_hints(cls)
        fields = {name: _as(hints.get(name, Any), item) for name, item in value.fields.items()}
        return _with_fields(cls, fields)
    except Exception:
        # The class has changed since: the stand-in has the recorded fields.
        return value


def _with_fields(cls: type, fields: Mapping[str, Any]) -> Any:
    if hasattr(cls, "model_construct"):
        return cls.model_construct(**fields)
    if issubclass(cls, tuple):
        return cls(**fields)
    made = cls.__new__(cls)
    # Past __init__ and __post_init__: those have side effects, and the
    # recorded fields are what they led to.
    names = [field.name for field in attrs.fields(cls)] if attrs.has(cls) else list(fields)
    for name in names:
        if name in fields:
            object.__setattr__(made, name, fields[name])
    return made
