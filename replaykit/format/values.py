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
dataclass, attrs, pydantic,  struct          [class, {field: value}], and what
named tuple                                  is beside the fields
exception                    error           [class, message, arguments], and
                                             what is beside them
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

from collections.abc import Callable
from itertools import chain, compress
from typing import Any

from replaykit.format.encoding import encoder, pack_copied, packed_alone
from replaykit.format.forms import Marker, describe_error, exact_text, mark_of, type_name, typed
from replaykit.format.learnt import stored_form

__all__ = [
    "MAX_DEPTH",
    "Marker",
    "describe_error",
    "encoder",
    "is_shallow",
    "pack",
    "pack_tree",
    "pack_typed",
    "plain",
    "plain_of",
    "type_name",
    "unpack",
]

MAX_DEPTH = 64
"""How many levels of lists and maps are kept, as stored; a typed value takes two."""

_UNREPLAYABLE = frozenset({"object", "deep", "cycle"})


# -- Python -> packed ---------------------------------------------------------


def pack(value: Any) -> bytes:
    """
    Return *value* packed; later changes to it do not matter.

    Total: what has no stored form becomes a typed marker, deep and cyclic
    values are cut.

    Raises:
        ValueError, OverflowError: A text or container exceeds 4 GiB.
    """
    packb, options = encoder()
    try:
        return packb(value, None, options)
    except TypeError:
        return pack_typed(value)


def pack_typed(value: Any) -> bytes:
    """Do the same for what the `encoder` alone refuses with a TypeError."""
    try:
        return pack_copied(value)
    except TypeError:
        # Surrogates, keys that are no text, sets of more than scalars, cycles
        # and deep nesting: the walker brings them into a form that fits.
        packb, options = encoder()
        return packb(_walked(value, 0, ()), None, options)


def pack_tree(tree: Any) -> bytes:
    """
    Return an unpacked tree packed again; nobody else may have it.

    Raises:
        TypeError: There is something in it that no packed value holds.
    """
    packb, options = encoder()
    return packb(tree, _marker_again, options)


def _marker_again(value: Any) -> Any:
    if type(value) is not Marker:
        raise TypeError(f"{type_name(value)} is nothing that was unpacked")
    return stored_form(value)


# -- the walker ---------------------------------------------------------------

_SETS: tuple[type, ...] = (set, frozenset)
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


def _walked(value: Any, depth: int, path: tuple[int, ...]) -> Any:
    """Return *value* as plain pieces that the encoder takes: cut at the depth limit and at cycles."""
    cls = type(value)
    if cls is str:
        return exact_text(value)
    if cls is float or cls is bool or cls is bytes or value is None or (cls is int and -(2**63) <= value < 2**64):
        return value
    if id(value) in path:
        return typed("cycle", type_name(value))
    if depth >= MAX_DEPTH:
        return typed("deep", type_name(value))
    inside = (*path, id(value))
    if cls is dict:
        # Copied in one step: others may change it while it is walked.
        return _walked_map(value.copy(), depth, inside)
    if cls is list:
        items = value.copy()
        packed = _packed(items)
        return [_walked(item, depth + 1, inside) for item in items] if packed is None else packed
    if issubclass(cls, _SETS):
        return _walked_set(value, depth, inside)
    return _walked_typed(value, depth, inside)


def _walked_map(own: dict[Any, Any], depth: int, inside: tuple[int, ...]) -> Any:
    if (packed := _packed(own)) is not None:
        return packed
    pairs = [(_exact_key(key), item) for key, item in own.items()]
    if all(type(key) is str for key, _ in pairs):
        return {key: _walked(item, depth + 1, inside) for key, item in pairs}
    return typed("dict", *([_walked(key, depth + 2, inside), _walked(item, depth + 2, inside)] for key, item in pairs))


def _packed(content: Any) -> Any:
    """
    Return a list or map that nobody else has as the encoder packs it, if it holds scalars only; else None.

    Most of what stands beside a value that must be walked is such, and no scalar is cut.
    """
    is_map = type(content) is dict
    try:
        if not _SCALARS.issuperset(map(type, content.values() if is_map else content)):
            return None
        if not is_map or _TEXT.issuperset(map(type, content)):
            return packed_alone(content)
        pairs = typed("dict", *map(list, content.items()))
        return packed_alone(pairs) if _SCALARS.issuperset(map(type, content)) else None
    except Exception:
        # Texts with surrogates, integers beyond 64 bits; a class with a
        # metaclass that has no hash.
        return None


_TEXT = frozenset({str})


def _exact_key(key: Any) -> Any:
    """Return a key of a subclass of text as its base, a key with lone surrogates in its stored form."""
    if type(key) is str:
        return exact_text(key)
    form = stored_form(key) if isinstance(key, str) else key
    return form if type(form) is str else key


def _walked_set(value: Any, depth: int, inside: tuple[int, ...]) -> Any:
    base = set if issubclass(type(value), set) else frozenset
    items = [_walked(item, depth + 2, inside) for item in list(base.__iter__(value))]
    packb, options = encoder()
    return typed(base.__name__, *sorted(items, key=lambda item: packb(item, None, options)))


def _walked_typed(value: Any, depth: int, inside: tuple[int, ...]) -> Any:
    mark = type(mark_of("tuple"))
    if type(value) is mark:
        return value
    form = stored_form(value) if type(value) is not bytearray else bytes(value)
    if type(form) is list:
        is_typed = bool(form) and type(form[0]) is mark
        step = 2 if is_typed else 1
        return [_walked(item, depth + step, inside) for item in form]
    return _walked_map(form, depth, inside) if type(form) is dict else form


# -- packed -> CBOR values ----------------------------------------------------


def unpack(data: bytes | memoryview) -> Any:
    """
    Return packed bytes as plain values, a typed value as a list that begins with a `Marker`.

    Raises:
        ValueError: The bytes are not one packed value.
    """
    return (_UNPACK or _load_unpack())(data, ext_hook=_read_marker)


_UNPACK: Callable[..., Any] | None = None


def _load_unpack() -> Callable[..., Any]:
    global _UNPACK  # noqa: PLW0603 - loaded on first use, so that importing replaykit stays cheap
    import ormsgpack

    _UNPACK = ormsgpack.unpackb
    return _UNPACK


def _read_marker(code: int, _data: bytes) -> Marker:
    return Marker(code)


def plain_of(packed: bytes, *, notes: set[str]) -> Any:
    """
    Return packed bytes as CBOR values: what `plain` makes of them once they are unpacked.

    Raises:
        ValueError: The bytes are not one packed value.
    """
    try:
        tree = (_UNPACK or _load_unpack())(packed)
    except ValueError:
        # Markers, or no packed value at all.
        return plain(unpack(packed), notes=notes)
    # Most values are what they become, and that is told without a look at each.
    # One byte is found, or not, several times faster than two.
    may_be_typed = b"~" in packed and _TYPED in packed
    return plain(tree, notes=notes) if may_be_typed or not is_shallow(tree, packed) else tree


_TYPED = b"~t"
_CONTAINERS = frozenset({list, dict})
_PACKED_HEADS = bytes((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
"""The bytes that a packed list or map may begin with."""

_COUNTED_BYTES = 4096
"""In no more than this they are counted faster than the levels of what was unpacked are walked."""


def is_shallow(tree: Any, packed: bytes) -> bool:
    """Return whether a tree, unpacked from *packed*, has no more levels of lists and maps than are kept."""
    if len(packed) <= MAX_DEPTH:
        return True
    # There is no list or map without such a byte, so few of them make no
    # deep tree; other bytes, of texts and numbers, may look like one.
    if len(packed) <= _COUNTED_BYTES and len(packed) - len(packed.translate(None, _PACKED_HEADS)) <= MAX_DEPTH:
        return True
    level = [tree] if type(tree) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return True
        # No line of Python runs for each item: most are neither list nor map.
        items = list(chain.from_iterable(each.values() if type(each) is dict else each for each in level))
        level = list(compress(items, map(_CONTAINERS.__contains__, map(type, items))))
    return not level


def plain(tree: Any, *, notes: set[str], depth: int = 0) -> Any:
    """
    Return an unpacked tree as CBOR values.

    Adds to *notes* what became of it: ``unreplayable`` where a value has no
    stored form, ``deep`` and ``cycle`` where it was cut.
    """
    cls = type(tree)
    if cls is dict:
        return _plain_map(tree, notes, depth)
    if cls is list:
        return _plain_list(tree, notes, depth)
    if cls is Marker:
        return {"~t": tree.name, "~v": []}
    return tree


def _too_deep(tree: Any, notes: set[str]) -> dict[str, Any]:
    notes.update(("deep", "unreplayable"))
    return {"~t": "deep", "~v": [type_name(tree)]}


def _plain_map(tree: dict[str, Any], notes: set[str], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _too_deep(tree, notes)
    if "~t" not in tree:
        # Scalars are most of what is stored: spare them the call.
        return {
            key: item if type(item) in _SCALARS else plain(item, notes=notes, depth=depth + 1)
            for key, item in tree.items()
        }
    if depth >= MAX_DEPTH - 2:
        return _too_deep(tree, notes)
    pairs = [[key, plain(item, notes=notes, depth=depth + 3)] for key, item in tree.items()]
    return {"~t": "dict", "~v": pairs}


def _plain_list(tree: list[Any], notes: set[str], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _too_deep(tree, notes)
    if not tree or type(tree[0]) is not Marker:
        return [item if type(item) in _SCALARS else plain(item, notes=notes, depth=depth + 1) for item in tree]
    name = tree[0].name
    if name in _UNREPLAYABLE:
        notes.add("unreplayable")
        if name != "object":
            notes.add(name)
    # The items of a map's pairs lie one level below the others.
    if depth >= MAX_DEPTH - (2 if name == "dict" else 1):
        return _too_deep(tree, notes)
    return {"~t": name, "~v": [plain(item, notes=notes, depth=depth + 2) for item in tree[1:]]}
