"""Recorded stand-ins as objects of the classes that an annotation names, wherever in a value they stand."""

from __future__ import annotations

import enum
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from replaykit.model import Structured
from replaykit.playback.objects import object_with

__all__ = ["as_annotated", "constructed", "has_stand_ins"]

_UNIONS = (typing.Union, types.UnionType)
_MAIN = frozenset({"__main__", "__mp_main__"})
"""What the module that a process was started with is called there, and in the processes that it spawns."""


def has_stand_ins(value: Any) -> bool:
    """Return whether there is a stand-in in a value, but for what stands in others."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(has_stand_ins, value))
    if isinstance(value, dict):
        return any(map(has_stand_ins, value)) or any(map(has_stand_ins, value.values()))
    return isinstance(value, Structured)


def as_annotated(annotation: Any, value: Any) -> Any:
    """Return *value* with its stand-ins made objects; what the annotation does not name, or cannot take, stays."""
    if not has_stand_ins(value):
        return value
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return as_annotated(typing.get_args(annotation)[0], value)
    if origin in _UNIONS:
        return _as_one_of(typing.get_args(annotation), value)
    if isinstance(value, Structured):
        return constructed(annotation, value) if _names(annotation, value) else value
    made = [as_annotated(of_item, item) for of_item, item in _inside(annotation, value)]
    try:
        if isinstance(value, dict):
            return dict(zip(made[: len(value)], made[len(value) :], strict=True))
        return type(value)(made)
    except TypeError:
        # The class of a key, or of what is in a set, has no hash any more.
        return value


def _as_one_of(choices: tuple[Any, ...], value: Any) -> Any:
    # The one that leaves nothing over, else the first that takes some of it.
    for choice in choices:
        if _fits(choice, value):
            return as_annotated(choice, value)
    for choice in choices:
        made = as_annotated(choice, value)
        if made is not value:
            return made
    return value


def _fits(annotation: Any, value: Any) -> bool:
    """Return whether an annotation names the class of each stand-in, but for what stands in others."""
    if not has_stand_ins(value):
        return True
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _fits(inner[0], value)
    if origin in _UNIONS:
        return any(_fits(choice, value) for choice in inner)
    if isinstance(value, Structured):
        return _names(annotation, value)
    return all(_fits(of_item, item) for of_item, item in _inside(annotation, value))


def _inside(annotation: Any, value: Any) -> list[tuple[Any, Any]]:
    """Return what is in a list, tuple, set or map, each with its annotation; of a map all keys, then all values."""
    inner = typing.get_args(annotation)
    if isinstance(value, dict):
        if typing.is_typeddict(typing.get_origin(annotation) or annotation):
            hints = _hints(annotation)
            return [*((str, key) for key in value), *((hints.get(key, Any), item) for key, item in value.items())]
        of_key, of_item = inner if len(inner) == 2 else (Any, Any)
        return [*((of_key, key) for key in value), *((of_item, item) for item in value.values())]
    if isinstance(value, tuple) and len(inner) == len(value) and inner[-1] is not Ellipsis:
        return list(zip(inner, value, strict=True))
    return [(inner[0] if inner else Any, item) for item in value]


def _names(annotation: Any, value: Structured) -> bool:
    """Return whether an annotation is the class that was recorded, by module and qualified name."""
    cls = typing.get_origin(annotation) or annotation
    if not isinstance(cls, type) or not isinstance(value.type_name, str):
        return False
    if value.type_name == f"{cls.__module__}.{cls.__qualname__}":
        return True
    # What a script recorded is played by a test that imports it, and the other way round.
    module = value.type_name.removesuffix(f".{cls.__qualname__}")
    if module == value.type_name:
        return False
    return module in _MAIN or (cls.__module__ in _MAIN and _is_main(module))


def _is_main(module: str) -> bool:
    """Return whether the module that the process was started with is called so where it is imported."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return bool(module == spec.name)
    # Of a script only the file is known, not the packages that it may be in.
    return module.rpartition(".")[2] == PurePath(getattr(main, "__file__", None) or "").stem


def constructed(annotation: Any, value: Structured) -> Any:
    """Return an object of a class with the fields of *value*; *value* itself where they do not fit the class."""
    cls = typing.get_origin(annotation) or annotation
    try:
        if issubclass(cls, enum.Enum):
            name = value.fields["name"]
            # A combination of flags has no name that could be looked up.
            return cls[name] if name in cls.__members__ else cls(value.fields["value"])
        hints = _hints(annotation)
        fields, attributes, private, extra = (
            {name: as_annotated(hints.get(name, Any), item) for name, item in _mapping(held).items()}
            for held in (value.fields, *map(value.beside_fields.get, ("attributes", "private", "extra")))
        )
        beside = {**value.beside_fields, "attributes": attributes, "extra": extra}
        return object_with(cls, fields, beside | {"private": private} if "private" in beside else beside)
    except Exception:
        # The class has changed since: the stand-in has the recorded fields.
        return value


def _mapping(held: Any) -> Mapping[str, Any]:
    # A hostile recording may have anything here.
    return held if isinstance(held, Mapping) else {}


# -- what a class says of its attributes ------------------------------------------------


def _hints(annotation: Any) -> dict[str, Any]:
    """Return the annotations of a class's attributes, with what ``Class[...]`` says of its type variables."""
    cls = typing.get_origin(annotation) or annotation
    if hasattr(cls, "__pydantic_fields__"):
        # Pydantic knows names that nobody else finds, and what its classes are made for.
        fields = {name: field.annotation for name, field in cls.__pydantic_fields__.items()}
        return _private_hints(cls) | _filled_all(fields, _bound(annotation))
    hints = typing.get_type_hints(cls)
    if not hasattr(cls, "__orig_bases__"):
        return hints
    # A base may name otherwise what its variables are.
    inherited: dict[str, Any] = {}
    for base in reversed(vars(cls).get("__orig_bases__", cls.__bases__)):
        if _is_class(base):
            inherited |= _hints(_filled(base, _bound(annotation)))
    own = {name: hint for name, hint in hints.items() if name in inspect.get_annotations(cls) or name not in inherited}
    return inherited | _filled_all(own, _bound(annotation))


def _private_hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except Exception:
        return {}


def _is_class(base: Any) -> bool:
    cls = typing.get_origin(base) or base
    return isinstance(cls, type) and cls not in (object, typing.Generic, typing.Protocol)


_Bound = Mapping[Any, Any]


def _bound(annotation: Any) -> _Bound:
    """Return what stands for the type variables of a class in ``Class[...]``."""
    parameters = getattr(typing.get_origin(annotation), "__parameters__", ())
    given = typing.get_args(annotation)
    is_plain = len(parameters) == len(given) and all(isinstance(each, typing.TypeVar) for each in parameters)
    return dict(zip(parameters, given, strict=True)) if is_plain else {}


def _filled_all(hints: Mapping[str, Any], bound: _Bound) -> dict[str, Any]:
    return {name: _filled(hint, bound) for name, hint in hints.items()}


def _filled(hint: Any, bound: _Bound) -> Any:
    if isinstance(hint, typing.TypeVar):
        return bound.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    # A class that stands for itself has parameters too, and says nothing of them.
    if not bound or not parameters or typing.get_origin(hint) is None:
        return hint
    return hint[tuple(bound.get(each, each) for each in parameters)]
