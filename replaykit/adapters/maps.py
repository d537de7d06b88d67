"""The map of an object: which of its methods are recorded as what; given, its adapter's, or of the usual names."""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from replaykit.adapters.finding import map_of, module_map_of
from replaykit.errors import UsageError
from replaykit.facts import PLACES
from replaykit.intercept.absent import Absent, class_of
from replaykit.logs import get_logger
from replaykit.operations import Adapter, MethodMap, Operation, operation_from

__all__ = ["Operations", "derived_map_for", "map_for"]

log = get_logger("adapters")

Operations = Mapping[str, str | Operation] | MethodMap | Adapter
"""What is given for ``operations=``: rows by the names of methods, a whole map, or an adapter that is not installed."""

_USUAL_METHODS = {
    "put": "put",
    "put_many": "put_many",
    "find": "find",
    "search": "find",
    "query": "find",
    "ask": "ask",
    "update": "update",
    "delete": "delete",
    "remove": "delete",
    "add": "put",
}
"""What an object's methods mean when no map is given."""


def map_for(target: Any, operations: Operations | None) -> MethodMap:
    """
    Return the map of *target*: of what is given, else its adapter's, else of the usual names; each row a whole one.

    Given rows replace an adapter's; what that says of methods which are no
    operations, and of the object's settings, holds in any case.

    Raises:
        UsageError: The target has no such method, or none of the usual names.
    """
    if isinstance(operations, MethodMap):
        _demand_methods(target, operations.operations)
        return _bound(operations, target)
    known = _known_of(target, operations) or MethodMap()
    if operations is not None and not isinstance(operations, Adapter):
        silent = known.ignored | known.derives
        known = MethodMap(
            operations=operations,
            composes=known.composes,
            ignored=silent - operations.keys(),
            settings=known.settings,
        )
    elif known.records:
        return _bound(known, target)
    else:
        known = attrs.evolve(known, operations=_usual(target))
    _demand_methods(target, known.operations)
    return _bound(known, target)


def derived_map_for(value: Any, operations: Operations | None = None) -> MethodMap | None:
    """
    Return the map of something that a recorded object handed out, None where no adapter knows it.

    *operations* is what was given for that object: an adapter knows this one, too.
    """
    known = _known_of(value, operations)
    return _bound(known, value) if known is not None and known.records else None


def _known_of(target: Any, operations: Operations | None) -> MethodMap | None:
    given = operations if isinstance(operations, Adapter) else None
    if isinstance(target, types.ModuleType):
        return module_map_of(target.__name__, given)
    return map_of(class_of(target), given)


def _usual(target: Any) -> dict[str, str | Operation]:
    usual: dict[str, str | Operation] = {
        name: kind for name, kind in _USUAL_METHODS.items() if callable(getattr(target, name, None))
    }
    if not usual:
        raise UsageError(
            f"{_source_of(target)} has none of the usual methods ({', '.join(_USUAL_METHODS)}). Say what its "
            'methods mean: wrap(x, operations={"add": "put", "query": "find"})'
        )
    return usual


def _bound(methods: MethodMap, target: Any) -> MethodMap:
    """Return *methods* as *target* has them: each row with its name and source."""
    source = _source_of(target)
    there = {path: row for path, row in methods.operations.items() if callable(_reached(target, path))}
    gone = methods.essential - there.keys()
    if gone and not isinstance(target, Absent):
        _warn_of(source, tuple(sorted(gone)))
    settings = methods.settings
    rows = {path: operation_from(_named(row, target), path, source, settings) for path, row in there.items()}
    chains = {
        start: attrs.evolve(
            chain,
            ends={end: operation_from(row, f"{start}.{end}", source, settings) for end, row in chain.ends.items()},
        )
        for start, chain in methods.chains.items()
    }
    return attrs.evolve(methods, operations=rows, chains=chains)


@functools.lru_cache(maxsize=256)
def _warn_of(source: str, gone: tuple[str, ...]) -> None:
    """Say once that this release of a library has not what its adapter knows."""
    log.warning("methods_not_there", source=source, methods=list(gone))


def _named(row: str | Operation, target: Any) -> str | Operation:
    if isinstance(row, str):
        return row
    row = _seen_on(target, row)
    name = getattr(target, row.named_by, None) if row.named_by else None
    return attrs.evolve(row, name=name) if isinstance(name, str) and name else row


def _seen_on(target: Any, row: Operation) -> Operation:
    """Return *row* with its places that are attributes of *target* as callables, which a call asks."""
    places: dict[str, Any] = {
        place: _attribute_of(target, path.removeprefix("self."))
        for place in PLACES
        if isinstance(path := getattr(row, place), str) and path.startswith("self.")
    }
    return attrs.evolve(row, **places) if places else row


def _attribute_of(target: Any, path: str) -> Callable[[Any, Any], Any]:
    try:
        # A row lives as long as what recorded with it, which may be longer.
        found: Callable[[], Any] = weakref.ref(target)
    except TypeError:
        found = partial(_itself, target)
    return lambda _arguments, _result: _reached(found(), path)


def _itself(target: Any) -> Any:
    return target


def _demand_methods(target: Any, operations: Mapping[str, str | Operation]) -> None:
    source = _source_of(target)
    for path, row in operations.items():
        if not callable(_reached(target, path)):
            raise UsageError(f"{source} has no method {path!r}: give names that it has in operations=")
        if isinstance(target, type) and inspect.isfunction(inspect.getattr_static(target, path, None)):
            raise UsageError(
                f"{source} is a class and {path!r} is a method of its instances: wrap an instance, "
                f'or put @replaykit.records("{row if isinstance(row, str) else row.kind}") above the method; '
                "to play without an instance: wrap(None, like=the class)"
            )


def _reached(target: Any, path: str) -> Any:
    for step in path.split("."):
        target = getattr(target, step, None)
    return target


def _source_of(target: Any) -> str:
    if isinstance(target, types.ModuleType):
        return target.__name__
    cls = target if isinstance(target, type) else type(target)
    return f"{cls.__module__}.{cls.__qualname__}"
