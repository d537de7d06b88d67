"""
One Python value -> its stored form, by the table in `format.values`.

Nothing here looks inside containers; the encoder and the walker do that.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, cast

import attrs

from replaykit.format.layouts import (
    MODEL_SLOTS,
    OF_THIS_PROCESS,
    class_attribute,
    field_names,
    layout_of,
    own_dict,
    own_fields,
    snapshot,
)
from replaykit.model import Answer, Erasure, Failure, Frame, Hit, Opaque, SearchResult, Structured

__all__ = [
    "ERROR_ATTRIBUTES",
    "IDS",
    "SUBCLASS_FREEZERS",
    "Marker",
    "NeedsWalking",
    "bare_object_form",
    "describe_error",
    "exact_freezer",
    "exact_text",
    "general_form",
    "mark_of",
    "numpy_form",
    "object_form",
    "plain_ids",
    "tuple_form",
    "type_name",
    "typed",
]

_TYPES = (
    *("tuple", "set", "frozenset", "int", "complex", "decimal", "uuid", "date", "time", "datetime"),
    *("timedelta", "enum", "path", "struct", "error", "scalar", "array", "text", "object", "deep"),
    *("cycle", "dict"),
)
_CODES = {name: code for code, name in enumerate(_TYPES, 1)}
_NAMES = dict(enumerate(_TYPES, 1))


@attrs.frozen
class Marker:
    """The first item of an array that stands for a typed value."""

    code: int

    @property
    def name(self) -> str:
        """The type's name in the table; ``object`` for a code that is not in it."""
        return _NAMES.get(self.code, "object")


class NeedsWalking(Exception):
    """The value is taken apart by the walker, which has a depth limit."""


def type_name(value: object) -> str:
    """Return the qualified name of *value*'s class, without touching the value."""
    cls = type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


def typed(name: str, *content: Any) -> list[Any]:
    """Return the packed form of a typed value."""
    return [mark_of(name), *content]


@cache
def mark_of(name: str) -> Any:
    """Return what the packed form of a typed value begins with; nobody can change it."""
    import ormsgpack

    return ormsgpack.Ext(_CODES[name], b"")


def general_form(value: Any) -> Any:
    """
    Return the stored form of any value, asking its class for everything: `format.learnt` asks once for each class.

    Raises:
        NeedsWalking: A set holds more than plain scalars.
        Exception: The class has hostile or broken internals.
    """
    cls = type(value)
    freeze = exact_freezer(cls)
    if freeze is not None:
        return freeze(value)
    for base, freeze in SUBCLASS_FREEZERS:
        if issubclass(cls, base):
            return freeze(value)
    if cls.__module__ == "numpy":
        return numpy_form(value)
    names = field_names(cls)
    return object_form(value) if names is None else _fields_form(value, names)


def exact_freezer(cls: type) -> Callable[[Any], Any] | None:
    """Return what freezes the instances of one of the table's own types; None of any other class."""
    return _FREEZERS.get(cls)


def object_form(value: Any) -> list[Any]:
    """Return the form of an object that is not looked into."""
    return typed("object", type_name(value), plain_ids(dict(own_fields(value, own_dict(value), IDS))))


def bare_object_form(value: Any) -> list[Any]:
    """Return the form of an object of whose class nothing may be asked any more."""
    try:
        return object_form(value)
    except Exception:
        return typed("object", "unknown", {})


IDS = ("frame_id", "id")


def plain_ids(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies an object, of what it holds: numbers and texts only."""
    identity: dict[str, Any] = {}
    for name in IDS:
        item = held.get(name)
        if type(item) is str or (type(item) is int and -(2**63) <= item < 2**64):
            identity[name] = item
    return identity


def _fields_form(value: Any, names: tuple[str, ...]) -> list[Any]:
    cls: Any = type(value)
    layout, own = layout_of(cls), own_dict(value)
    fields = dict(own_fields(value, own, names))
    if layout.is_model:
        return _model_form(value, own, fields)
    others = own | dict(own_fields(value, {}, layout.declared)) if layout.declared else own
    return _struct_form(type_name(value), fields, {"attributes": _without(others, fields)})


def _model_form(value: Any, own: dict[str, Any], fields: dict[str, Any]) -> list[Any]:
    """Return the form of a pydantic model: what it was given beyond its fields counts as one of them."""
    hidden = dict(own_fields(value, {}, MODEL_SLOTS))
    given, private, given_names = (hidden.get(name) for name in MODEL_SLOTS)
    beside: dict[str, Any] = {"attributes": _without(own, fields)}
    if isinstance(given, dict) and given:
        extra = snapshot(given)
        # An alias leaves a field's own name free for something else.
        beside["extra"] = {name: extra.pop(name) for name in fields if name in extra}
        fields.update(extra)
    if isinstance(private, dict):
        beside["private"] = snapshot(private)
    if isinstance(given_names, set) and given_names != fields.keys():
        # As a map: of two names in a list the first may seem to announce a secret.
        beside["set"] = dict.fromkeys(sorted(given_names), True)
    return _struct_form(type_name(value), fields, beside)


def _without(attributes: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    if attributes.keys() == fields.keys():
        return {}
    return {name: item for name, item in attributes.items() if name not in fields and name not in OF_THIS_PROCESS}


def _struct_form(name: str, fields: dict[str, Any], beside: Mapping[str, Any]) -> list[Any]:
    # No names given is something else than nothing said of them.
    held = {kind: items for kind, items in _storable(beside).items() if items or kind in ("private", "set")}
    return typed("struct", name, fields, held) if held else typed("struct", name, fields)


def _storable(beside: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what is held beside fields without locks, clients and the like.

    It counts in no comparison, so that an action must not become incomparable by it.
    """
    return {kind: _with_form(items) if kind in _OWN_STATE else items for kind, items in beside.items()}


def _with_form(items: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in items.items() if _has_form(cast(Any, type(item)))}


_OWN_STATE = frozenset({"attributes", "private"})


@lru_cache(maxsize=1024)
def _has_form(cls: type) -> bool:
    is_known = cls in _SCALARS or cls is list or cls is dict or cls in _FREEZERS
    return is_known or cls.__module__ == "numpy" or field_names(cls) is not None or issubclass(cls, _FORMED)


_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


def _set_form(name: str, items: list[Any]) -> list[Any]:
    # Iteration order of a set changes from run to run; hashes must not.
    if not all(type(item) in _SCALARS for item in items):
        raise NeedsWalking
    import ormsgpack

    try:
        return typed(name, *sorted(items, key=ormsgpack.packb))
    except TypeError:
        # Texts with surrogates, integers beyond 64 bits.
        raise NeedsWalking from None


def _datetime_form(value: datetime.datetime) -> list[Any]:
    zone = getattr(value.tzinfo, "key", None)
    return typed("datetime", datetime.datetime.isoformat(value), zone if isinstance(zone, str) else None)


def _enum_form(value: enum.Enum) -> list[Any]:
    return typed("enum", type_name(value), value._name_, value._value_)


def tuple_form(value: tuple[Any, ...]) -> list[Any]:
    """Return the form of an instance of a subclass of tuple."""
    names = class_attribute(type(value), "_fields")
    items = tuple.__getitem__(value, slice(None))
    if isinstance(names, tuple) and len(names) == len(items):
        fields = dict(zip(names, items, strict=True))
        return _struct_form(type_name(value), fields, {"attributes": own_dict(value)})
    return typed("tuple", *items)


_ERROR_ARGS: Any = BaseException.__dict__["args"]


def _error_form(value: BaseException) -> list[Any]:
    return _failure_form(*describe_error(value), _ERROR_ARGS.__get__(value), dict(_error_attributes(value)))


def _failure_form(name: str, message: str, args: tuple[Any, ...], attributes: Mapping[str, Any]) -> list[Any]:
    return typed("error", name, message, list(args), *([dict(attributes)] if attributes else []))


ERROR_ATTRIBUTES: Mapping[type[BaseException], Mapping[str, Any]] = {
    cls: {name: cls.__dict__[name] for name in names}
    for cls, names in (
        (OSError, ("filename", "filename2")),
        (ImportError, ("name", "path")),
        (AttributeError, ("name", "obj")),
        (NameError, ("name",)),
    )
}
"""What built-in exceptions hold beside their arguments, with what reads and sets it in any subclass."""

_MOST_KEPT = 64 * 1024
"""An exception may hold a whole document as the object that had no such attribute."""


def _error_attributes(value: BaseException) -> Iterator[tuple[str, Any]]:
    """Yield what an exception holds beside its arguments, where that is plain: foreign objects are left out."""
    for cls, members in ERROR_ATTRIBUTES.items():
        if issubclass(type(value), cls):
            held = {name: member.__get__(value) for name, member in members.items()}
            yield from ((name, item) for name, item in held.items() if item is not None and _is_plain(item))
    notes = own_dict(value).get("__notes__")
    if type(notes) is list and notes:
        yield "notes", [note for note in notes.copy() if type(note) is str]


def _is_plain(item: Any) -> bool:
    if type(item) in (str, bytes):
        return len(item) <= _MOST_KEPT
    return type(item) in _SCALARS or issubclass(type(item), pathlib.PurePath)


def numpy_form(value: Any) -> Any:
    """Return the form of an instance of a class of numpy."""
    numpy = sys.modules["numpy"]
    cls = type(value)
    is_array, is_scalar = issubclass(cls, numpy.ndarray), issubclass(cls, numpy.generic)
    # A structured dtype is more than its ``str``, which is all that is kept.
    if not (is_array or is_scalar) or value.dtype.hasobject or value.dtype.fields is not None:
        return object_form(value)
    if is_array:
        return typed("array", value.dtype.str, list(value.shape), _array_data(value))
    return typed("scalar", value.dtype.str, value.tobytes())


def _array_data(value: Any) -> str | bytes:
    """Return the bytes of an array; of one of texts a text, in which secrets can be found, with NUL after each item."""
    if value.dtype.kind == "U" and value.dtype.itemsize:
        wider = value.astype(f"<U{value.dtype.itemsize // 4 + 1}")
        try:
            return str(wider.tobytes().decode("utf-32-le"))
        except UnicodeDecodeError:
            pass  # lone surrogates, or no text at all
    return bytes(value.tobytes())


def describe_error(error: BaseException) -> tuple[str, str]:
    """Return class name and message of *error*; a ``__str__`` that raises gives an empty message."""
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    try:
        return name, str(error)
    except Exception:
        return name, ""


def _number_form(value: Any) -> Any:
    """Keep a subclass of int or float as its base, a numpy scalar as itself."""
    if type(value).__module__ == "numpy":
        return numpy_form(value)
    if isinstance(value, int):
        exact = int.__int__(value)
        return exact if -(2**63) <= exact < 2**64 else typed("int", hex(exact))
    return float.__float__(value)


def exact_text(value: str) -> Any:
    """Return a text as it is, or typed when it has lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return typed("text", value.encode("utf-8", "surrogatepass"))
    return value


# Stand-ins keep the form that they stand for, so that what was played can be
# recorded, and matched, again.


def _structured_form(value: Structured) -> list[Any]:
    if value.is_enum:
        return typed("enum", value.type_name, *value.fields.values())
    return _struct_form(value.type_name, dict(value.fields), value.beside_fields)


def _opaque_form(value: Opaque) -> list[Any]:
    identity = [dict(value.identity)] if value.reason == "object" else []
    return typed(value.reason, value.type_name, *identity)


def _freezer_of(cls: type[Any]) -> Callable[[Any], Any]:
    """Return what freezes the instances of an attrs class of ours, with nothing looked up for each of them."""
    label = f"{cls.__module__}.{cls.__qualname__}"
    names = tuple(field.name for field in attrs.fields(cls))
    fields_of = attrgetter(*names)
    return lambda value: typed("struct", label, dict(zip(names, fields_of(value), strict=True)))


def _marker_form(value: Marker) -> Any:
    import ormsgpack

    return ormsgpack.Ext(value.code, b"")


_FREEZERS: dict[type, Callable[[Any], Any]] = {
    Marker: _marker_form,
    tuple: lambda value: [mark_of("tuple"), *value],
    set: lambda value: _set_form("set", list(value)),
    frozenset: lambda value: _set_form("frozenset", list(value)),
    int: lambda value: typed("int", hex(value)),
    complex: lambda value: typed("complex", value.real, value.imag),
    decimal.Decimal: lambda value: typed("decimal", str(value)),
    uuid.UUID: lambda value: typed("uuid", value.bytes),
    datetime.datetime: _datetime_form,
    datetime.date: lambda value: typed("date", value.isoformat()),
    datetime.time: lambda value: typed("time", value.isoformat()),
    datetime.timedelta: lambda value: typed("timedelta", value.days, value.seconds, value.microseconds),
    memoryview: bytes,
    Structured: _structured_form,
    Opaque: _opaque_form,
    Failure: lambda value: _failure_form(value.type, value.message, value.args, value.attributes),
    # What a memory gives back is most of what is recorded of it.
    **{cls: _freezer_of(cls) for cls in (Answer, Erasure, Frame, Hit, SearchResult)},
}

SUBCLASS_FREEZERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (enum.Enum, _enum_form),
    (BaseException, _error_form),
    (pathlib.PurePath, lambda value: typed("path", type(value).__name__, str(value))),
    (str, lambda value: exact_text(str.__str__(value))),
    (bool, bool),
    (tuple, tuple_form),
    (list, list.copy),
    (dict, snapshot),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
    (bytearray, lambda value: bytes(bytearray.__getitem__(value, slice(None)))),
    (set, lambda value: _set_form("set", list(set.__iter__(value)))),
    (frozenset, lambda value: _set_form("frozenset", list(frozenset.__iter__(value)))),
    (datetime.datetime, _datetime_form),
    (int, _number_form),
    (float, _number_form),
)
"""What freezes instances of subclasses: the first that fits counts."""

_FORMED = tuple(base for base, _ in SUBCLASS_FREEZERS)
