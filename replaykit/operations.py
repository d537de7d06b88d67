"""
What a recorded method or function means: `Operation` rows.

A row names the kind of a call and where its query, content, ids, k, mode and
count are.  A place is a dotted path into the arguments or the result
(``"arguments.needle"``, ``"result.rows.*.key"``; ``*`` stands for each item) or a
callable ``(arguments, result) -> value``.  What a row leaves open is guessed:
see `replaykit.facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from replaykit.errors import UsageError
from replaykit.facts import PLACES
from replaykit.logs import get_logger
from replaykit.model import KINDS

log = get_logger("operations")

__all__ = ["Operation", "Place", "exception_classes", "live_facts", "operation_from"]

Place = str | Callable[[Mapping[str, Any], Any], Any] | None
"""A dotted path, a callable ``(arguments, result) -> value``, or None for a guess."""

_MUTATING = frozenset({"put", "put_many", "update", "delete", "ask", "tool"})


def _known_kind(_row: Any, _attribute: Any, kind: str) -> None:
    if kind not in KINDS or kind == "checkpoint":
        known = ", ".join(name for name in KINDS if name != "checkpoint")
        raise UsageError(f"unknown kind {kind!r}: give one of {known}")


def exception_classes(given: Iterable[type[BaseException]] | type[BaseException]) -> tuple[type[BaseException], ...]:
    """
    Return the exception classes that are *given*: one, or several.

    Raises:
        UsageError: Something else is among them.
    """
    classes = (given,) if isinstance(given, type) else tuple(given)
    for cls in classes:
        if not isinstance(cls, type) or not issubclass(cls, BaseException):
            raise UsageError(f"{cls!r} is no exception class: give classes, as in raises=(KeyError, MyError)")
    return classes


@attrs.frozen(kw_only=True)
class Operation:
    """
    One recorded method or function.

    Attributes:
        kind: ``put put_many find ask update delete tool``.
        name: The method's or function's name.
        source: What it belongs to: a module or class.
        by_id: A read by id: recorded as ``find`` with mode ``id``.
        ignore: Arguments that play does not match on.
        raises: Exception classes that play gives back as themselves; not part of a recording.

    Raises:
        UsageError: The kind is unknown, or `raises` names something else.
    """

    kind: str = attrs.field(validator=_known_kind)
    name: str = ""
    source: str = ""
    query: Place = None
    content: Place = None
    ids: Place = None
    k: Place = None
    mode: Place = None
    count: Place = None
    by_id: bool = False
    ignore: tuple[str, ...] = ()
    raises: tuple[type[BaseException], ...] = attrs.field(default=(), converter=exception_classes)

    @property
    def is_announced(self) -> bool:
        """Whether an intent is logged before the call runs: it may change something, or cost much."""
        return self.kind in _MUTATING

    @property
    def has_callables(self) -> bool:
        """Whether a place is a callable, which has to be asked while the call's own values are there."""
        return any(callable(getattr(self, place)) for place in PLACES)

    def definition(self) -> dict[str, Any]:
        """Return the row as plain values, callables left out: what a recording keeps of it."""
        return {
            "kind": self.kind,
            "name": _storable(self.name),
            "source": _storable(self.source),
            "by_id": self.by_id,
            "ignore": [_storable(name) for name in self.ignore],
            **{place: _storable(path) for place in PLACES if isinstance(path := getattr(self, place), str)},
        }


def _storable(text: str) -> str:
    # Lone surrogates have no place in CBOR text.
    return text.encode("utf-8", "replace").decode("utf-8")


def operation_from(row: str | Operation, name: str, source: str) -> Operation:
    """
    Return *row* as an `Operation` that carries *name* and *source* where it has none.

    Raises:
        UsageError: The kind is unknown.
    """
    if isinstance(row, str):
        return Operation(kind=row, name=name, source=source)
    return attrs.evolve(row, name=row.name or name, source=row.source or source)


def live_facts(operation: Operation, arguments: Mapping[str, Any], result: Any) -> dict[str, Any] | None:
    """
    Return what the row's callables say of a call that just ended, or None if it has none.

    A callable that raises leaves its fact to the guess.
    """
    callables = [(place, find) for place in PLACES if callable(find := getattr(operation, place))]
    if not callables:
        return None
    found = {}
    for place, find in callables:
        try:
            found[place] = find(arguments, result)
        except Exception as error:
            # A user's callable: the call itself must not suffer for it.
            log.warning("fact_not_found", operation=operation.name, place=place, error=type(error).__name__)
    return found
