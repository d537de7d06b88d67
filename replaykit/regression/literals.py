"""Recorded values as the source that makes them again."""

from __future__ import annotations

import datetime
import decimal
import math
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from replaykit.model import Structured
from replaykit.regression.code_reading import CodeReader
from replaykit.regression.imports import Imports, is_name
from replaykit.regression.layout import Bracket, Node, bytes_literal, flat, text_literal

__all__ = ["Literals", "NoLiteral", "is_plain"]


class NoLiteral(Exception):
    """A value is an object that no source can make again; the text says what it is."""


class Literals:
    """Writes values down, and asks *imports* for the names that this takes."""

    def __init__(self, imports: Imports, reader: CodeReader) -> None:
        self._imports = imports
        self._reader = reader

    def of(self, value: Any) -> Node:
        """
        Return the source of *value*.

        Raises:
            NoLiteral: It is, or holds, an object that cannot be made again.
        """
        make = _MAKERS.get(type(value))
        if make is not None:
            made: Node = make(self, value)
            return made
        if isinstance(value, Structured):
            return self._structured(value)
        if isinstance(value, pathlib.PurePath):
            name = type(value).__name__
            known = name if name.startswith("Pure") else "Path"
            return self._made("pathlib", known, self.of(str(value)))
        raise NoLiteral(_kind_of(value))

    def _entries(self, values: Mapping[Any, Any]) -> tuple[tuple[str, Node], ...]:
        return tuple((f"{flat(self.of(key))}: ", self.of(item)) for key, item in values.items())

    def _items(self, values: Any) -> tuple[tuple[str, Node], ...]:
        return tuple(("", self.of(item)) for item in values)

    def _made(self, module: str, name: str, *arguments: Node) -> Node:
        called = self._imports.name(module, name)
        return Bracket(f"{called}(", tuple(("", each) for each in arguments), ")")

    def _set(self, value: set[Any] | frozenset[Any]) -> Node:
        items = sorted(map(self.of, value), key=flat)
        display: Node = Bracket("{", tuple(("", each) for each in items), "}") if items else "set()"
        if type(value) is set:
            return display
        return Bracket("frozenset(", (("", display),) if items else (), ")")

    def _float(self, value: float) -> Node:
        if math.isfinite(value):
            return repr(value).replace("e+", "e")
        return f'float("{value}")'

    def _datetime(self, value: datetime.datetime) -> Node:
        zone = getattr(value.tzinfo, "key", None)
        plain = value.replace(tzinfo=None, fold=0) if zone else value
        made = f"{self._imports.module('datetime')}.datetime.fromisoformat({text_literal(plain.isoformat())})"
        if not zone:
            return made
        in_zone = f"tzinfo={self._imports.name('zoneinfo', 'ZoneInfo')}({text_literal(zone)})"
        return f"{made}.replace({in_zone}{', fold=1' if value.fold else ''})"

    def _timedelta(self, value: datetime.timedelta) -> Node:
        parts = {"days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}
        given = tuple((f"{name}=", str(number)) for name, number in parts.items() if number)
        return Bracket(f"{self._imports.module('datetime')}.timedelta(", given, ")")

    def _structured(self, value: Structured) -> Node:
        found = self._reader.own_class(value.type_name) if isinstance(value.type_name, str) else None
        form = None if found is None else found.form
        if found is None or form != ("enum" if value.is_enum else "record"):
            raise NoLiteral(f"a {value.type_name}")
        name = value.fields.get("name") if value.is_enum else ""
        names = [name] if value.is_enum else list(value.fields)
        if not all(isinstance(each, str) and is_name(each) for each in names):
            raise NoLiteral(f"a {value.type_name}")
        fields = () if value.is_enum else tuple((f"{key}=", self.of(item)) for key, item in value.fields.items())
        cls = self._imports.name(found.module, found.name)
        return f"{cls}.{name}" if value.is_enum else Bracket(f"{cls}(", fields, ")")


_MAKERS: Mapping[type, Any] = {
    type(None): lambda self, value: "None",
    bool: lambda self, value: repr(value),
    int: lambda self, value: repr(value),
    float: Literals._float,
    str: lambda self, value: text_literal(value),
    bytes: lambda self, value: bytes_literal(value),
    list: lambda self, value: Bracket("[", self._items(value), "]"),
    tuple: lambda self, value: Bracket("(", self._items(value), ")", True),
    dict: lambda self, value: Bracket("{", self._entries(value), "}"),
    set: Literals._set,
    frozenset: Literals._set,
    complex: lambda self, value: Bracket("complex(", self._items((value.real, value.imag)), ")"),
    decimal.Decimal: lambda self, value: self._made("decimal", "Decimal", text_literal(str(value))),
    uuid.UUID: lambda self, value: self._made("uuid", "UUID", text_literal(str(value))),
    datetime.datetime: Literals._datetime,
    datetime.date: lambda self, value: (
        f"{self._imports.module('datetime')}.date.fromisoformat({text_literal(value.isoformat())})"
    ),
    datetime.time: lambda self, value: (
        f"{self._imports.module('datetime')}.time.fromisoformat({text_literal(value.isoformat())})"
    ),
    datetime.timedelta: Literals._timedelta,
}


def _kind_of(value: Any) -> str:
    return f"a {getattr(value, 'type_name', '') or type(value).__name__}"


def is_plain(value: Any) -> bool:
    """Whether *value* is made of built-in values alone and equals itself: it can be compared as a whole."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(item) for key, item in value.items())
    # A float that is no number differs from itself.
    return type(value) in _MAKERS and value == value
