"""
Metadata filters, as Mongo and Chroma write them: ``{"lang": "en", "year": {"$gte": 2020}}``.

A filter is checked and compiled once; what it accepts is decided on the
metadata of each frame as it is stored.

Values are compared by type: numbers with numbers (``1`` equals ``1.0``), texts
with texts, and True is not 1.  A key that is missing, or whose value is of
another type, fits no comparison; ``$ne`` and ``$nin`` are true for it, as they
are the opposite of ``$eq`` and ``$in``.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from replaykit.errors import UsageError
from replaykit.memory import demands
from replaykit.memory.fields import PLAIN_OF, decoded_metadata

__all__ = ["MAX_FILTER_DEPTH", "MAX_FILTER_PARTS", "Filter", "compile_filter"]

MAX_FILTER_DEPTH = 16
"""How many levels of ``$and``, ``$or`` and ``$not`` a filter may have."""

MAX_FILTER_PARTS = 1_000
"""How many conditions, and values to compare with, a filter may have."""

_MAX_VALUE_DEPTH = 16
_REMEMBERED = 4_096
_MISSING: Final = object()

Test = Callable[[Any], bool]
"""Decides on a whole metadata map, or on the value of one key (`_MISSING` where it is not there)."""


class Filter:
    """
    A compiled filter: call it with stored metadata.

    Not for several threads at once.
    """

    def __init__(self, test: Test, fragments: list[list[str]]) -> None:
        self._test = test
        self._fragments = fragments
        self._decided: dict[str, bool] = {}

    def __call__(self, metadata: str) -> bool:
        """Return whether the metadata, as JSON with ordered keys and no blanks, fits."""
        demands.text(metadata, "the metadata of a frame")
        for alternatives in self._fragments:
            if not any(fragment in metadata for fragment in alternatives):
                return False
        decided = self._decided.get(metadata)
        if decided is None:
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            decided = self._decided[metadata] = self._test(decoded_metadata(metadata))
        return decided


def compile_filter(where: object) -> Filter:
    """
    Return *where* in the form that decides; later changes to it do not matter.

    An empty map accepts everything.

    Raises:
        UsageError: It is no filter: the message says where in it, and what is allowed there.
    """
    compiler = _Compiler()
    return Filter(compiler.condition(where, "where", MAX_FILTER_DEPTH), _fragments(where))


class _Compiler:
    """Turns the parts of a filter into functions, and counts them."""

    def __init__(self) -> None:
        self._parts = 0

    def condition(self, where: object, place: str, depth: int) -> Test:
        """Return the test of a map of keys and ``$and``, ``$or``, ``$not``."""
        if not isinstance(where, Mapping):
            raise UsageError(f"{place} must be a dict of keys and conditions, not {type(where).__name__}")
        if not depth:
            raise UsageError(f"{place} is nested deeper than {MAX_FILTER_DEPTH} levels")
        tests = [self._entry(key, value, place, depth) for key, value in where.items()]
        return tests[0] if len(tests) == 1 else lambda metadata: all(test(metadata) for test in tests)

    def _entry(self, key: object, value: object, place: str, depth: int) -> Test:
        self._count(place)
        if not isinstance(key, str):
            raise UsageError(f"a key in {place} must be a text, not {type(key).__name__}")
        here = f"{place}[{_shown(key)}]"
        if key in ("$and", "$or"):
            return self._several(key, value, here, depth)
        if key == "$not":
            test = self.condition(value, here, depth - 1)
            return lambda metadata: not test(metadata)
        if key.startswith("$"):
            raise UsageError(f"{here}: unknown operator; use $and, $or, $not or a metadata key here")
        return _at_key(key, self._value_test(value, here, depth))

    def _several(self, key: str, value: object, place: str, depth: int) -> Test:
        if not isinstance(value, (list, tuple)) or not value:
            raise UsageError(f"{place} must be a list of one or more conditions")
        tests = [self.condition(item, f"{place}[{number}]", depth - 1) for number, item in enumerate(value)]
        decide = all if key == "$and" else any
        return lambda metadata: decide(test(metadata) for test in tests)

    def _value_test(self, value: object, place: str, depth: int) -> Test:
        """Return the test of one key's value: operators, or a plain value for ``$eq``."""
        if not isinstance(value, Mapping) or not any(isinstance(key, str) and key[:1] == "$" for key in value):
            return _equals(self._plain(value, place, _MAX_VALUE_DEPTH))
        if not depth:
            raise UsageError(f"{place} is nested deeper than {MAX_FILTER_DEPTH} levels")
        tests = [self._operator(name, operand, place, depth) for name, operand in value.items()]
        return tests[0] if len(tests) == 1 else lambda found: all(test(found) for test in tests)

    def _operator(self, name: object, operand: object, place: str, depth: int) -> Test:
        self._count(place)
        here = f"{place}[{_shown(name)}]"
        if name == "$not":
            if not isinstance(operand, Mapping):
                raise UsageError(f"{here} must be a dict of operators, not {type(operand).__name__}")
            test = self._value_test(operand, here, depth - 1)
            return lambda found: not test(found)
        if name == "$exists":
            if not isinstance(operand, bool):
                raise UsageError(f"{here} must be True or False, not {type(operand).__name__}")
            return lambda found: (found is not _MISSING) is operand
        if name in _COMPARISONS:
            return _compares(_COMPARISONS[str(name)], _orderable(operand, here))
        if name in ("$in", "$nin"):
            return self._membership(str(name), operand, here)
        if name in ("$eq", "$ne", "$contains"):
            return _SIMPLE[str(name)](self._plain(operand, here, _MAX_VALUE_DEPTH))
        raise UsageError(f"{here}: unknown operator; use one of {_OPERATORS}")

    def _membership(self, name: str, operand: object, place: str) -> Test:
        if not isinstance(operand, (list, tuple, set, frozenset)):
            raise UsageError(f"{place} must be a list of values, not {type(operand).__name__}")
        values = [self._plain(item, place, _MAX_VALUE_DEPTH) for item in operand]
        tests = [_equals(value) for value in values]
        if name == "$in":
            return lambda found: any(test(found) for test in tests)
        return lambda found: not any(test(found) for test in tests)

    def _plain(self, value: object, place: str, depth: int) -> Any:
        """Return a copy of a value to compare with, of plain JSON types."""
        self._count(place)
        if value is None or isinstance(value, bool):
            return value
        for kind, exact in PLAIN_OF:
            if isinstance(value, kind):
                return _finite(exact(value), place)
        if not depth:
            raise UsageError(f"{place} is nested deeper than {_MAX_VALUE_DEPTH} levels")
        if isinstance(value, (list, tuple)):
            return [self._plain(item, place, depth - 1) for item in value]
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise UsageError(f"{place}: the keys of a map must be texts")
            return {str.__str__(key): self._plain(item, place, depth - 1) for key, item in value.items()}
        raise UsageError(
            f"{place} cannot be compared with a {type(value).__name__}: use None, bool, int, float, str, list or dict"
        )

    def _count(self, place: str) -> None:
        self._parts += 1
        if self._parts > MAX_FILTER_PARTS:
            raise UsageError(f"{place}: a filter may have up to {MAX_FILTER_PARTS} conditions and values")


def _shown(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 60 else text[:57] + "..."


def _finite(value: Any, place: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{place} must be a finite number: metadata holds no {value}")
    return value


def _orderable(value: object, place: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UsageError(f"{place} must be a number or a text, not {type(value).__name__}")
    return _finite(value, place)


# -- looking up and comparing -----------------------------------------------------


def _at_key(key: str, test: Test) -> Test:
    if "." not in key:
        return lambda metadata: test(metadata.get(key, _MISSING))
    parts = key.split(".")
    return lambda metadata: test(_found(metadata, key, parts))


def _found(metadata: Any, key: str, parts: list[str]) -> Any:
    """Return the value of a dotted key; a key that is spelled so comes before nested maps."""
    if key in metadata:
        return metadata[key]
    for part in parts:
        if not isinstance(metadata, dict) or part not in metadata:
            return _MISSING
        metadata = metadata[part]
    return metadata


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, where True is not 1 but 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    return bool(one == other)


def _equals(value: Any) -> Test:
    return lambda found: found is not _MISSING and _same(found, value)


def _differs(value: Any) -> Test:
    return lambda found: found is _MISSING or not _same(found, value)


def _contains(value: Any) -> Test:
    def test(found: Any) -> bool:
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list) and any(_same(item, value) for item in found)

    return test


def _compares(holds: Callable[[Any, Any], bool], value: Any) -> Test:
    kinds: tuple[type, ...] = (str,) if isinstance(value, str) else (int, float)
    return lambda found: isinstance(found, kinds) and not isinstance(found, bool) and holds(found, value)


_COMPARISONS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
_SIMPLE = {"$eq": _equals, "$ne": _differs, "$contains": _contains}
_OPERATORS = "$eq $ne $gt $gte $lt $lte $in $nin $exists $contains $not"


# -- what metadata must have ------------------------------------------------------


def _fragments(where: Any) -> list[list[str]]:
    """
    Return pieces of text, of each list at least one of which is in the stored metadata that fits.

    Looking for them is much faster than decoding the metadata.
    """
    found = []
    for key, value in where.items():
        if key[:1] != "$" and "." not in key:
            wanted = _wanted(value)
            if wanted and all(isinstance(item, str) for item in wanted):
                found.append([f"{json.dumps(key)}:{json.dumps(item)}" for item in wanted])
    return found


def _wanted(value: Any) -> Iterable[Any]:
    """Return the values one of which a key must have, or none where that is not so plain."""
    if isinstance(value, Mapping):
        return [value["$eq"]] if "$eq" in value else list(value.get("$in", ()))
    return [value]
