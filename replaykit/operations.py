"""
What a recorded method or function means: `Operation` rows.

A row names the kind of a call and where its query, content, ids, k, mode and
count are.  A place is a dotted path into the arguments or the result
(``"arguments.needle"``, ``"result.rows.*.key"``; ``*`` stands for each item),
several of them with ``|`` between, of which the first counts that leads to
more than None, or a callable ``(arguments, result) -> value``, which is not
asked about a call that fails.  In an adapter's table ``"self.limit"`` is an
attribute of the object that is called, asked like a callable.  What a row
leaves open is guessed: see `replaykit.facts`.

What belongs to a call of the object itself, its ``settings``, is recorded as
one more argument, ``self``.

A `MethodMap` says all there is about the methods of one class, an `Adapter`
about the classes of one library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import attrs

from replaykit.errors import UsageError
from replaykit.facts import PLACES, SELF
from replaykit.logs import get_logger
from replaykit.model import KINDS, Failure
from replaykit.protocols import Restorable

log = get_logger("operations")

__all__ = [
    "Adapter", "Chain", "MethodMap", "ObjectSettings", "Operation", "Place", "StreamForm", "exception_classes",
    "frozen", "live_facts", "operation_from", "said_before", "thawed", "thawed_error", "with_settings",
]  # fmt: skip

Place = str | Callable[..., Any] | None
"""A dotted path or several with ``|`` between, a callable ``(arguments, result) -> value``, or None for a guess."""

ObjectSettings = str | Callable[[Any], Mapping[str, Any] | None] | None
"""What of an object belongs to its calls: names of attributes, or a callable that takes it; None if nothing is said."""

_MUTATING = frozenset({"put", "put_many", "update", "delete", "ask", "tool"})


@attrs.frozen(kw_only=True)
class StreamForm:
    """
    A library's own class of streams.

    Attributes:
        iterator: The attribute in which such an object keeps its generator.
        stand_in: Returns such an object for a play, given the generator.
        is_async: Whether that is an asynchronous one.
    """

    iterator: str
    stand_in: Callable[[Any], Any]
    is_async: bool = False


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
        omits: Parameters whose arguments are not recorded at all, since they
            say nothing of the call: callbacks, functions that embed.
        unset: Names of classes whose objects stand for an argument that is
            not given: such arguments are not recorded either.
        named_by: The attribute of the object that names its calls in place of
            the method: a tool's ``name``.
        derives: Whether the result reaches the same memory, so that its calls
            are recorded too.
        freeze: Turns a result, or each item of a stream, into what is stored
            of it; for one that `replaykit.format.values` has no form for.
        thaw: Turns what was stored back, when the call is played; it has to
            take anything, since a recording may hold anything.
        raises: Exception classes that play gives back as themselves; not part of a recording.
        thaw_error: Turns a recorded failure into the exception that the
            library would raise, when the call is played; None for one that it
            does not know.
        stream: What stream objects the method may return: their items are
            recorded, and one by one played.
        deferred: For a method whose result makes the call later, when it is
            entered: plants that call in the result, given both; False where
            it cannot.  The method itself runs in a play, too.  Asked where
            classes or objects themselves are recorded.
        before: Asked of the object right before a recorded call runs; the
            row's callables then take what it said as a third argument, None
            where it raised.
        settings: What of the object itself belongs to the call: names of its
            attributes, with spaces between, or a callable that takes it and
            returns a map.  It is recorded as the argument ``self``, under
            names without a leading underscore; nothing is where the callable
            returns None or raises, or there is no such attribute.  Read right
            before the call, in a play too: a call of an object with other
            settings is another call.

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
    omits: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    named_by: str = ""
    derives: bool = False
    freeze: Callable[[Any], Any] | None = None
    thaw: Callable[[Any], Any] | None = None
    raises: tuple[type[BaseException], ...] = attrs.field(default=(), converter=exception_classes)
    thaw_error: Callable[[Failure], BaseException | None] | None = None
    stream: StreamForm | None = None
    deferred: Callable[[Any, Any], bool] | None = None
    before: Callable[[Any], Any] | None = None
    settings: ObjectSettings = None

    @property
    def is_announced(self) -> bool:
        """Whether an intent is logged before the call runs: it may change something, or cost much."""
        return self.kind in _MUTATING

    @property
    def has_callables(self) -> bool:
        """Whether a place is a callable, which has to be asked while the call's own values are there."""
        return any(callable(getattr(self, place)) for place in PLACES)

    # Each session asks anew, for each operation that it meets.
    @cached_property
    def is_translated(self) -> bool:
        """Whether a result of it is more than packed: it is frozen first, or callables are asked about it."""
        return self.freeze is not None or self.has_callables

    def definition(self) -> dict[str, Any]:
        """Return the row as plain values, callables left out: what a recording keeps of it."""
        return self._definition.copy()

    @cached_property
    def _definition(self) -> dict[str, Any]:
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


def operation_from(row: str | Operation, name: str, source: str, settings: ObjectSettings = None) -> Operation:
    """
    Return *row* as an `Operation` that carries *name*, *source* and *settings* where it has none.

    Raises:
        UsageError: The kind is unknown.
    """
    if isinstance(row, str):
        return Operation(kind=row, name=name, source=source, settings=settings)
    own = settings if row.settings is None else row.settings
    return attrs.evolve(row, name=row.name or name, source=row.source or source, settings=own)


def frozen(operation: Operation, result: Any) -> Any:
    """Return what is stored of *result*; where the row's ``freeze`` raises, *result* as it is."""
    if operation.freeze is None:
        return result
    try:
        return operation.freeze(result)
    except Exception as error:
        # An adapter that does not know a newer release's results.
        log.warning("result_not_frozen", operation=operation.name, error=type(error).__name__)
        return result


def thawed(operation: Operation, value: Any) -> Any:
    """Return what a call gives back for a stored *value*; where the row's ``thaw`` raises, *value* as it is."""
    if operation.thaw is None:
        return value
    try:
        return operation.thaw(value)
    except Exception as error:
        # What is in a recording is not the caller's fault.
        log.warning("result_not_thawed", operation=operation.name, error=type(error).__name__)
        return value


def thawed_error(operation: Operation, failure: Failure) -> BaseException | None:
    """Return the exception that the row's ``thaw_error`` makes of *failure*; None where it does not, or raises."""
    if operation.thaw_error is None:
        return None
    try:
        return operation.thaw_error(failure)
    except Exception as error:
        log.warning("error_not_thawed", operation=operation.name, error=type(error).__name__)
        return None


def said_before(operation: Operation, target: Any) -> Any:
    """Return what the row's ``before`` says of *target*, None where there is none or it raises."""
    if operation.before is None:
        return None
    try:
        return operation.before(target)
    except Exception as error:
        # A user's callable: the call itself must not suffer for it.
        log.warning("not_asked_before", operation=operation.name, error=type(error).__name__)
        return None


def with_settings(operation: Operation, target: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """
    Return *arguments* with what belongs of *target* itself to the call, if that can be read.

    An argument that has its name, which few methods take, stays.
    """
    found = None if target is None or not operation.settings else _read_settings(operation, operation.settings, target)
    return arguments if found is None or SELF in arguments else {**arguments, SELF: found}


def _read_settings(
    operation: Operation, settings: str | Callable[[Any], Mapping[str, Any] | None], target: Any
) -> dict[str, Any] | None:
    try:
        found = _attributes(operation, settings, target) if isinstance(settings, str) else settings(target)
        return None if found is None else dict(found)
    except Exception as error:
        # Somebody's callable or property: the call itself must not suffer for it.
        _warn_of_settings(operation.source, operation.name, type(error).__name__)
        return None


def _attributes(operation: Operation, names: str, target: Any) -> dict[str, Any] | None:
    found = {name.lstrip("_"): getattr(target, name, _MISSING) for name in names.split()}
    there = {name: value for name, value in found.items() if value is not _MISSING}
    if len(there) < len(found):
        _warn_of_settings(operation.source, operation.name, f"no {', '.join(sorted(found.keys() - there.keys()))}")
    return there or None


_MISSING = object()


@lru_cache(maxsize=256)
def _warn_of_settings(source: str, operation: str, error: str) -> None:
    """Say once that the settings of an object are no part of its calls."""
    log.warning("settings_not_read", source=source, operation=operation, error=error)


def live_facts(
    operation: Operation, arguments: Mapping[str, Any], result: Any, before: Any = None
) -> dict[str, Any] | None:
    """
    Return what the row's callables say of a call that just ended, or None if it has none.

    *before* is what `said_before` gave.  A callable that raises leaves its
    fact to the guess.
    """
    callables = [(place, find) for place in PLACES if callable(find := getattr(operation, place))]
    if not callables:
        return None
    found = {}
    more = () if operation.before is None else (before,)
    for place, find in callables:
        try:
            found[place] = find(arguments, result, *more)
        except Exception as error:
            # A user's callable: the call itself must not suffer for it.
            log.warning("fact_not_found", operation=operation.name, place=place, error=type(error).__name__)
    return found


# -- classes and libraries ----------------------------------------------------------


def _names(given: str | Iterable[str]) -> frozenset[str]:
    return frozenset(given.split() if isinstance(given, str) else given)


def _rows(given: Mapping[str, str | Operation]) -> Mapping[str, str | Operation]:
    return dict(given)


def _notes(given: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    return {name: dict(places) for name, places in given.items()}


def _chains(given: Mapping[str, Chain]) -> Mapping[str, Chain]:
    return dict(given)


@attrs.frozen(kw_only=True)
class Chain:
    """
    A call that a builder collects, as ``table.search(q).limit(3).to_list()``: recorded as one, ``search.to_list``.

    Its arguments are those of the method that begins, which must not change
    the memory, and what each further one was given, under its name: one value
    as it is, none as True, else a map.

    Attributes:
        ends: Methods of the builder that run the call, each with its row.
        steps: Those that say more of it and return the builder.
        forks: Those that say more of it and return another builder.
        ignored: Those that are known to be no part of the call.
    """

    ends: Mapping[str, str | Operation] = attrs.field(converter=_rows)
    steps: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    forks: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    ignored: frozenset[str] = attrs.field(default=frozenset(), converter=_names)


@attrs.frozen(kw_only=True)
class MethodMap:
    """
    What the methods of one class are to its memory; names are those of methods, dotted ones lead through attributes.

    Attributes:
        operations: The recorded ones, each with its row.
        chains: Methods that begin a call which a builder collects.
        derives: Methods and attributes that are not recorded and hand out
            something which reaches the same memory (or a list of such): its
            own class says what its methods are.  They must not touch the
            memory: a play runs them.
        composes: Methods that make the object a part of another one, such as
            ``__or__``: what they make calls the recorded object.
        ignored: Public methods that are known to be no operation.
        notes: Methods that are no operation either and whose arguments say
            something of the session: names of its metadata, each with the
            dotted path to a text or number in the arguments.
        essential: Operations that every release of the library should have:
            where one is missing, a warning says so once.
        takes_over: What stands in the place of the object's own: functions,
            whose self is the recorded object, or properties.
        frames: What reads and fills an object of this class: given the object
            it returns a `Restorable`.
        settings: What of the object itself belongs to each call that is
            recorded, as in `Operation`; rows have their own, or ``""`` for none.
    """

    operations: Mapping[str, str | Operation] = attrs.field(factory=dict, converter=_rows)
    chains: Mapping[str, Chain] = attrs.field(factory=dict, converter=_chains)
    derives: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    composes: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    ignored: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    notes: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict, converter=_notes)
    essential: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    takes_over: Mapping[str, Any] = attrs.field(factory=dict, converter=dict)
    frames: Callable[[Any], Restorable] | None = None
    settings: ObjectSettings = None

    def over(self, base: MethodMap) -> MethodMap:
        """Return this map with what only *base*, that of a class further up, says."""
        known = self.known
        return MethodMap(
            operations={**{name: row for name, row in base.operations.items() if name not in known}, **self.operations},
            chains={**{name: chain for name, chain in base.chains.items() if name not in known}, **self.chains},
            derives=self.derives | (base.derives - known),
            composes=self.composes | (base.composes - known),
            ignored=self.ignored | (base.ignored - known),
            notes={**{name: places for name, places in base.notes.items() if name not in known}, **self.notes},
            essential=self.essential | base.essential,
            takes_over={**base.takes_over, **self.takes_over},
            frames=self.frames or base.frames,
            settings=base.settings if self.settings is None else self.settings,
        )

    def settled(self) -> MethodMap:
        """Return this map with its settings in each of its rows."""
        if self.settings is None:
            return self
        rows = {name: operation_from(row, "", "", self.settings) for name, row in self.operations.items()}
        chains = {
            start: attrs.evolve(
                chain, ends={end: operation_from(row, "", "", self.settings) for end, row in chain.ends.items()}
            )
            for start, chain in self.chains.items()
        }
        return attrs.evolve(self, operations=rows, chains=chains)

    @property
    def known(self) -> frozenset[str]:
        """All names that it says something about."""
        silent = self.derives | self.composes | self.ignored | self.notes.keys() | self.takes_over.keys()
        return silent | self.operations.keys() | self.chains.keys()

    @property
    def records(self) -> bool:
        """Whether anything comes of wrapping an object of this class."""
        return bool(self.operations or self.chains or self.derives or self.notes)

    def children(self) -> dict[str, MethodMap]:
        """Return the maps of the attributes that dotted names lead through."""
        return {head: self._below(head) for head in {name.partition(".")[0] for name in self.known if "." in name}}

    def _below(self, head: str) -> MethodMap:
        def rest(names: Iterable[str]) -> Iterator[str]:
            return (name[len(head) + 1 :] for name in names if name.startswith(head + "."))

        rows = {name: self.operations[f"{head}.{name}"] for name in rest(self.operations)}
        return MethodMap(
            operations=rows,
            derives=rest(self.derives),
            composes=rest(self.composes),
            ignored=rest(self.ignored),
            takes_over={name: self.takes_over[f"{head}.{name}"] for name in rest(self.takes_over)},
        )


@attrs.frozen(kw_only=True)
class Adapter:
    """
    What the classes of one library are to a memory.

    It is found as an entry point of the group ``replaykit.adapters`` whose
    name is the library's top-level module.

    Attributes:
        classes: Qualified class names, each with its `MethodMap`; subclasses
            have what their bases have.
        modules: Names of modules, each with the map of its functions, for
            who wraps the module itself.
    """

    classes: Mapping[str, MethodMap]
    modules: Mapping[str, MethodMap] = attrs.field(factory=dict)
