"""
The table of values: what a Python value becomes when it is recorded, and back.

Two stored forms share one table.  A call is packed with ormsgpack into the
private live log, where a typed value is an array that begins with an empty
extension (`Marker`).  Published blocks are CBOR, where the same value is a
map ``{"~t": type, "~v": content}``; a user's own map that has the key ``~t``
or keys that are no text becomes ``{"~t": "dict", "~v": [[key, value], ...]}``.

===========================  ==============  ====================================
Python                       ``~t``          ``~v``
===========================  ==============  ====================================
None, bool, int64, float,    (as it is)
str, bytes, list, dict
bytearray, memoryview        (as bytes)
tuple                        tuple           items
set, frozenset               set, frozenset  items, ordered by their packed bytes
int beyond 64 bits           int             hexadecimal text
complex                      complex         [real, imaginary]
Decimal                      decimal         text
UUID                         uuid            16 bytes
date, time, datetime         the same        ISO 8601 text; datetime: [text, zone or null]
timedelta                    timedelta       [days, seconds, microseconds]
Enum member                  enum            [class, name, value]
Path                         path            [class, text]
dataclass, attrs, pydantic,  struct          [class, {field: value}]
named tuple
exception                    error           [class, message, arguments]
numpy scalar                 scalar          [dtype, bytes]
numpy array                  array           [dtype, shape, bytes]
text with lone surrogates    text            UTF-8 bytes, surrogates passed through
anything else                object          [class, {"id" or "frame_id": plain value}]
below the depth limit        deep            [class]
a value inside itself        cycle           [class]
===========================  ==============  ====================================

Subclasses of str, int, float, bytes, list and dict are kept as their base.
Foreign objects are never iterated or called and none of their properties is
read: fields come from the instance's own dictionary and slots.  The one
exception is ``str(error)`` of an exception.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from replaykit.model import Failure, Opaque, Structured

__all__ = ["MAX_DEPTH", "Marker", "describe_error", "pack", "plain", "type_name", "unpack"]

MAX_DEPTH = 64
"""How many levels of lists and maps are kept, as stored; a typed value takes two."""

_TYPES = (
    "tuple set frozenset int complex decimal uuid date time datetime timedelta enum path struct error scalar array "
    "text object deep cycle dict"
).split()
_CODES = {name: code for code, name in enumerate(_TYPES, 1)}
_NAMES = dict(enumerate(_TYPES, 1))
_UNREPLAYABLE = frozenset({"object", "deep", "cycle"})


@attrs.frozen
class Marker:
    """The first item of an array that stands for a typed value."""

    code: int

    @property
    def name(self) -> str:
        """The type's name in the table; ``object`` for a code that is not in it."""
        return _NAMES.get(self.code, "object")


def type_name(value: object) -> str:
    """Return the qualified name of *value*'s class, without touching the value."""
    cls = type(value)
    return f"{cls.__module__}.{cls.__qualname__}"


# -- Python -> packed ---------------------------------------------------------


def pack(value: Any) -> bytes:
    """
    Return *value* packed; later changes to it do not matter.

    Total: what has no stored form becomes a typed marker, deep and cyclic
    values are cut.

    Raises:
        ValueError, OverflowError: A text or container exceeds 4 GiB.
    """
    packb, options = _packer()
    try:
        return packb(value, _stored_form, options)
    except TypeError:
        # Surrogates, cycles and deep nesting: the walker cuts what the
        # encoder refuses.
        return packb(_walked(value, 0, ()), _pass_marker, options)


_PACKER: tuple[Callable[..., bytes], int] | None = None


def _packer() -> tuple[Callable[..., bytes], int]:
    global _PACKER  # noqa: PLW0603 - loaded on first use, so that importing replaykit stays cheap
    if _PACKER is None:
        import ormsgpack as m

        options = (
            m.OPT_NON_STR_KEYS
            | m.OPT_PASSTHROUGH_BIG_INT
            | m.OPT_PASSTHROUGH_DATACLASS
            | m.OPT_PASSTHROUGH_DATETIME
            | m.OPT_PASSTHROUGH_ENUM
            | m.OPT_PASSTHROUGH_SUBCLASS
            | m.OPT_PASSTHROUGH_TUPLE
            | m.OPT_PASSTHROUGH_UUID
        )
        _PACKER = (m.packb, options)
    return _PACKER


def _typed(name: str, *content: Any) -> list[Any]:
    import ormsgpack

    return [ormsgpack.Ext(_CODES[name], b""), *content]


def _stored_form(value: Any) -> Any:
    """Turn one value that the encoder hands over into encodable pieces."""
    freeze = _FREEZERS.get(type(value))
    if freeze is not None:
        return freeze(value)
    if type(value) is Marker:
        return _pass_marker(value)
    try:
        return _inexact_form(value)
    except Exception:
        # A class with hostile or broken internals must not cost the call.
        return _object_form(value)


def _pass_marker(value: Any) -> Any:
    if type(value) is Marker:
        import ormsgpack

        return ormsgpack.Ext(value.code, b"")
    return _object_form(value)


def _inexact_form(value: Any) -> Any:
    cls = type(value)
    for base, freeze in _SUBCLASS_FREEZERS:
        if issubclass(cls, base):
            return freeze(value)
    if cls.__module__ == "numpy":
        return _numpy_form(value)
    names = _field_names(cls)
    if names is not None:
        return _typed("struct", type_name(value), dict(_own_fields(value, names)))
    return _object_form(value)


def _object_form(value: Any) -> list[Any]:
    identity: dict[str, Any] = {}
    for name, item in _own_fields(value, ("frame_id", "id")):
        if type(item) in (int, str):
            identity[name] = item
    return _typed("object", type_name(value), identity)


def _field_names(cls: type) -> tuple[str, ...] | None:
    for attribute in ("__dataclass_fields__", "__pydantic_fields__"):
        fields = getattr(cls, attribute, None)
        if isinstance(fields, dict):
            return tuple(fields)
    fields = getattr(cls, "__attrs_attrs__", None)
    if fields is not None:
        return tuple(field.name for field in fields)
    return None


def _own_fields(value: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the named fields that live in the instance's dictionary or slots; others are left out."""
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    for name in names:
        if isinstance(own, dict) and name in own:
            yield name, own[name]
            continue
        for cls in type(value).__mro__:
            slot = cls.__dict__.get(name)
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    yield name, slot.__get__(value)
                except AttributeError:
                    pass
                break


def _ordered(items: Any) -> list[Any]:
    # Iteration order of a set changes from run to run; hashes must not.
    return sorted(items, key=pack)


def _datetime_form(value: datetime.datetime) -> list[Any]:
    zone = getattr(value.tzinfo, "key", None)
    return _typed("datetime", datetime.datetime.isoformat(value), zone if isinstance(zone, str) else None)


def _enum_form(value: enum.Enum) -> list[Any]:
    return _typed("enum", type_name(value), value._name_, value._value_)


def _tuple_form(value: tuple[Any, ...]) -> list[Any]:
    names = getattr(type(value), "_fields", None)
    if isinstance(names, tuple) and len(names) == len(value):
        return _typed("struct", type_name(value), dict(zip(names, tuple.__iter__(value), strict=True)))
    return _typed("tuple", *tuple.__iter__(value))


def _error_form(value: BaseException) -> list[Any]:
    described = describe_error(value)
    return _typed("error", described[0], described[1], list(value.args))


def _numpy_form(value: Any) -> Any:
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return _typed("array", value.dtype.str, list(value.shape), value.tobytes())
    if isinstance(value, numpy.generic) and not value.dtype.hasobject:
        return _typed("scalar", value.dtype.str, value.tobytes())
    return _object_form(value)


def describe_error(error: BaseException) -> tuple[str, str]:
    """Return class name and message of *error*; a ``__str__`` that raises gives an empty message."""
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    try:
        return name, str(error)
    except Exception:
        return name, ""


_FREEZERS: dict[type, Callable[[Any], Any]] = {
    tuple: lambda value: _typed("tuple", *value),
    set: lambda value: _typed("set", *_ordered(value)),
    frozenset: lambda value: _typed("frozenset", *_ordered(value)),
    int: lambda value: _typed("int", hex(value)),
    complex: lambda value: _typed("complex", value.real, value.imag),
    decimal.Decimal: lambda value: _typed("decimal", str(value)),
    uuid.UUID: lambda value: _typed("uuid", value.bytes),
    datetime.datetime: _datetime_form,
    datetime.date: lambda value: _typed("date", value.isoformat()),
    datetime.time: lambda value: _typed("time", value.isoformat()),
    datetime.timedelta: lambda value: _typed("timedelta", value.days, value.seconds, value.microseconds),
}

def _failure_form(value: Failure) -> list[Any]:
    return _typed("error", value.type, value.message, list(value.args))


# Stand-ins keep the form that they stand for, so that what was played can be
# recorded, and matched, again.
_FREEZERS[Structured] = lambda value: (
    _typed("enum", value.type_name, *value.fields.values())
    if value.is_enum
    else _typed("struct", value.type_name, dict(value.fields))
)
_FREEZERS[Opaque] = lambda value: _typed(
    value.reason, value.type_name, *([dict(value.identity)] if value.reason == "object" else [])
)
_FREEZERS[Failure] = _failure_form

_SUBCLASS_FREEZERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (enum.Enum, _enum_form),
    (BaseException, _error_form),
    (pathlib.PurePath, lambda value: _typed("path", type(value).__name__, str(value))),
    (str, lambda value: _exact_text(str.__str__(value))),
    (bool, bool),
    (tuple, _tuple_form),
    (list, lambda value: list(list.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
    (set, lambda value: _typed("set", *_ordered(set.__iter__(value)))),
    (frozenset, lambda value: _typed("frozenset", *_ordered(frozenset.__iter__(value)))),
    (datetime.datetime, _datetime_form),
)


def _number_form(value: Any) -> Any:
    """Keep a subclass of int or float as its base, a numpy scalar as itself."""
    if type(value).__module__ == "numpy":
        return _numpy_form(value)
    if isinstance(value, int):
        exact = int.__int__(value)
        return exact if -(2**63) <= exact < 2**64 else _FREEZERS[int](exact)
    return float.__float__(value)


_SUBCLASS_FREEZERS += ((int, _number_form), (float, _number_form))


def _exact_text(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return _typed("text", value.encode("utf-8", "surrogatepass"))
    return value


def _walked(value: Any, depth: int, path: tuple[int, ...]) -> Any:
    """Return *value* as plain pieces that the encoder takes: cut at the depth limit and at cycles."""
    cls = type(value)
    if cls is str:
        return _exact_text(value)
    if cls in (int, float, bool, bytes) or value is None:
        return value if cls is not int or -(2**63) <= value < 2**64 else _FREEZERS[int](value)
    if id(value) in path:
        return _typed("cycle", type_name(value))
    if depth >= MAX_DEPTH:
        return _typed("deep", type_name(value))
    inside = (*path, id(value))
    if cls is dict:
        return _walked_map(value, depth, inside)
    if cls is list:
        return [_walked(item, depth + 1, inside) for item in list(value)]
    return _walked_typed(value, depth, inside)


def _walked_map(value: dict[Any, Any], depth: int, inside: tuple[int, ...]) -> Any:
    pairs = list(value.items())
    if all(type(key) is str and type(_exact_text(key)) is str for key, _ in pairs):
        return {key: _walked(item, depth + 1, inside) for key, item in pairs}
    return _typed(
        "dict", *([_walked(key, depth + 2, inside), _walked(item, depth + 2, inside)] for key, item in pairs)
    )


def _walked_typed(value: Any, depth: int, inside: tuple[int, ...]) -> Any:
    import ormsgpack

    if type(value) in (ormsgpack.Ext, Marker):
        return value
    form = _stored_form(value) if not isinstance(value, (bytearray, memoryview)) else bytes(value)
    if type(form) is list:
        return [
            item if type(item) is ormsgpack.Ext else _walked(item, depth + 2, inside) for item in form
        ]
    return _walked(form, depth, inside) if type(form) is dict else form


# -- packed -> CBOR values ----------------------------------------------------


def unpack(data: bytes | memoryview) -> Any:
    """
    Return packed bytes as plain values, a typed value as a list that begins with a `Marker`.

    Raises:
        ValueError: The bytes are not one packed value.
    """
    import ormsgpack

    return ormsgpack.unpackb(data, ext_hook=_read_marker, option=ormsgpack.OPT_NON_STR_KEYS)


def _read_marker(code: int, _data: bytes) -> Marker:
    return Marker(code)


def plain(tree: Any, *, notes: set[str], depth: int = 0) -> Any:
    """
    Return an unpacked tree as CBOR values.

    Adds to *notes* what became of it: ``unreplayable`` where a value has no
    stored form, ``deep`` and ``cycle`` where it was cut.
    """
    cls = type(tree)
    if cls is dict:
        return _plain_map(tree, notes, depth)
    if cls is list or cls is tuple:
        return _plain_list(tree, notes, depth)
    if cls is Marker:
        return {"~t": tree.name, "~v": []}
    return tree


def _too_deep(tree: Any, notes: set[str]) -> dict[str, Any]:
    notes.update(("deep", "unreplayable"))
    return {"~t": "deep", "~v": [type_name(tree)]}


def _plain_map(tree: dict[Any, Any], notes: set[str], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _too_deep(tree, notes)
    if "~t" not in tree and all(type(key) is str for key in tree):
        # Scalars are most of what is stored: spare them the call.
        return {
            key: item if type(item) in _SCALARS else plain(item, notes=notes, depth=depth + 1)
            for key, item in tree.items()
        }
    if depth >= MAX_DEPTH - 2:
        return _too_deep(tree, notes)
    pairs = [[plain(item, notes=notes, depth=depth + 3) for item in pair] for pair in tree.items()]
    return {"~t": "dict", "~v": pairs}


_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


def _plain_list(tree: list[Any] | tuple[Any, ...], notes: set[str], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _too_deep(tree, notes)
    if type(tree) is tuple:
        # Only a map's key comes back as a tuple: it was one, or a list that
        # cannot be a key.
        return {"~t": "tuple", "~v": [plain(item, notes=notes, depth=depth + 2) for item in tree]}
    if not tree or type(tree[0]) is not Marker:
        return [
            item if type(item) in _SCALARS else plain(item, notes=notes, depth=depth + 1) for item in tree
        ]
    name = tree[0].name
    if name in _UNREPLAYABLE:
        notes.add("unreplayable")
        if name != "object":
            notes.add(name)
    if depth >= MAX_DEPTH - 1:
        return _too_deep(tree, notes)
    return {"~t": name, "~v": [plain(item, notes=notes, depth=depth + 2) for item in tree[1:]]}
