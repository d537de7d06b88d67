"""
From stored CBOR values back to Python: the right-hand side of the table in `format.values`.

Nothing is imported by a recorded name and no recorded class is constructed,
but for the ones that are listed here.
"""

from __future__ import annotations

import datetime
import decimal
import pathlib
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from replaykit.model import Answer, Erasure, Failure, Frame, Hit, Opaque, SearchResult, Structured

__all__ = ["thaw"]

_OUR_CLASSES: dict[str, type[Any]] = {
    f"{cls.__module__}.{cls.__qualname__}": cls for cls in (Answer, Erasure, Frame, Hit, SearchResult)
}
_MAX_DECIMAL_TEXT = 10_000
_MOST_COLLISIONS = 64
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})


def thaw(value: Any) -> Any:
    """
    Return a stored value as Python; total for anything the decoder lets through.

    A typed value of a newer version, or with content that its type cannot
    have, comes back as `Opaque`.
    """
    # Scalars are most of what is stored: spare them the call.
    if isinstance(value, list):
        return [item if type(item) in _SCALARS else thaw(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "~t" not in value:
        return {key: item if type(item) in _SCALARS else thaw(item) for key, item in value.items()}
    return _thaw_typed(value["~t"], value.get("~v"))


def _thaw_typed(name: Any, content: Any) -> Any:
    rebuild = _REBUILDERS.get(name) if isinstance(name, str) else None
    if rebuild is None or not isinstance(content, list):
        return Opaque(str(name))
    try:
        return rebuild(content)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, ImportError, SyntaxError, MemoryError):
        # Hostile or newer content: the value is lost, the session is not.
        return Opaque(str(name))


def _items(content: list[Any]) -> list[Any]:
    return [thaw(item) for item in content]


def _decimal(content: list[Any]) -> decimal.Decimal:
    text = content[0]
    if len(text) > _MAX_DECIMAL_TEXT:
        raise ValueError("too many digits")
    return decimal.Decimal(text)


def _datetime(content: list[Any]) -> datetime.datetime:
    value = datetime.datetime.fromisoformat(content[0])
    if content[1] is None:
        return value
    import zoneinfo

    try:
        zoned = value.replace(tzinfo=zoneinfo.ZoneInfo(content[1]))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return value
    # The hour that a clock change repeats: the offset says which one it was.
    return zoned if zoned.utcoffset() == value.utcoffset() else zoned.replace(fold=1)


def _path(content: list[Any]) -> pathlib.PurePath:
    cls = {"PurePosixPath": pathlib.PurePosixPath, "PureWindowsPath": pathlib.PureWindowsPath}
    return cls.get(content[0], pathlib.Path)(thaw(content[1]))


def _enum(content: list[Any]) -> Structured:
    return Structured(content[0], {"name": thaw(content[1]), "value": thaw(content[2])}, True)


def _struct(content: list[Any]) -> Any:
    fields = thaw(content[1])
    if not isinstance(fields, Mapping):
        raise TypeError("fields are a map")
    cls = _OUR_CLASSES.get(content[0])
    if cls is not None:
        return cls(**fields)
    return Structured(content[0], fields, beside_fields=_map_at(content, 2))


def _map_at(content: list[Any], index: int) -> Mapping[str, Any]:
    """Return a map that older recordings do not have, and others may have something else for."""
    found = thaw(content[index]) if len(content) > index else {}
    return found if isinstance(found, Mapping) else {}


def _error(content: list[Any]) -> Failure:
    args = tuple(_items(content[2]))
    return Failure(type=content[0], message=thaw(content[1]), args=args, attributes=_map_at(content, 3))


def _scalar(content: list[Any]) -> Any:
    import numpy

    return numpy.frombuffer(content[1], dtype=_plain_dtype(content[0]), count=1)[0]


def _array(content: list[Any]) -> Any:
    import numpy

    dtype, data = _plain_dtype(content[0]), content[2]
    if isinstance(data, str) and dtype.kind == "U":
        wider = f"<U{dtype.itemsize // 4 + 1}"
        return numpy.frombuffer(data.encode("utf-32-le"), dtype=wider).reshape(content[1]).astype(dtype)
    return numpy.frombuffer(data, dtype=dtype).reshape(content[1]).copy()


def _plain_dtype(text: str) -> Any:
    import numpy

    dtype = numpy.dtype(text)
    if dtype.hasobject:
        raise TypeError("object arrays are not stored")
    return dtype


def _object(content: list[Any]) -> Opaque:
    identity = content[1] if len(content) > 1 and isinstance(content[1], dict) else {}
    return Opaque(content[0], identity=identity)


_REBUILDERS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": lambda content: tuple(_items(content)),
    "set": lambda content: set(_spread(_items(content))),
    "frozenset": lambda content: frozenset(_spread(_items(content))),
    "int": lambda content: int(content[0], 16),
    "complex": lambda content: complex(content[0], content[1]),
    "decimal": _decimal,
    "uuid": lambda content: uuid.UUID(bytes=content[0]),
    "date": lambda content: datetime.date.fromisoformat(content[0]),
    "time": lambda content: datetime.time.fromisoformat(content[0]),
    "datetime": _datetime,
    "timedelta": lambda content: datetime.timedelta(*content),
    "enum": _enum,
    "path": _path,
    "struct": _struct,
    "error": _error,
    "scalar": _scalar,
    "array": _array,
    "text": lambda content: content[0].decode("utf-8", "surrogatepass"),
    "object": _object,
    "deep": lambda content: Opaque(content[0] if content else "", reason="deep"),
    "cycle": lambda content: Opaque(content[0] if content else "", reason="cycle"),
    "dict": lambda content: dict(
        zip(_spread([_key(pair[0]) for pair in content]), [thaw(pair[1]) for pair in content], strict=True)
    ),
}


def _spread(keys: list[Any]) -> list[Any]:
    """Return *keys* unless they are made to have equal hashes: a table of them takes quadratic time."""
    if len(keys) > _MOST_COLLISIONS and max(Counter(map(hash, keys)).values()) > _MOST_COLLISIONS:
        raise ValueError("too many keys have one hash")
    return keys


def _key(value: Any) -> Any:
    key = thaw(value)
    return tuple(key) if isinstance(key, list) else key
