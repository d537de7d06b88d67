"""
Recording on an object or a class itself, where no proxy can go.

Methods are replaced on the class by wrappers that record for the objects
they are to record for, and pass every other call on.  A call that an object
makes on itself, or on an inherited method through ``super()``, is part of the
call that it is in and no action of its own.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import wrapt

from replaykit.errors import UsageError
from replaykit.intercept.binding import binder_of
from replaykit.intercept.chains import begun_by
from replaykit.intercept.functions import under_the_name_of
from replaykit.intercept.recorded import Given, Recorded
from replaykit.intercept.scope import observer_for
from replaykit.intercept.shapes import RUNNERS, shape_of
from replaykit.intercept.streaming import recorded_class
from replaykit.intercept.subjects import OnSubject, is_inside, part_of, run_on, unobserved
from replaykit.intercept.tracebacks import awaited_unseen, iterated_unseen, leave_no_frame
from replaykit.operations import Chain, MethodMap, Operation, operation_from

__all__ = ["instrument_class", "instrument_object", "recorder_behind", "uninstrument_class", "uninstrument_object"]

_patching = threading.RLock()


# -- what is recorded of a method ---------------------------------------------------


@attrs.define(eq=False)
class _Watch:
    """
    How the calls of one method are recorded.

    *row* is None for a method that only hands something out; *hand_out* then
    takes what it gives.  It is a chain for one that begins a call.
    """

    row: str | Operation | Chain | None
    recorder: Any = None
    hand_out: Callable[[Any], Any] | None = None
    reference: Callable[[], Any] = lambda: None
    recorded: dict[tuple[type, str], Recorded] = attrs.field(factory=dict)
    chains: dict[type, Chain] = attrs.field(factory=dict)

    def recorded_for(self, function: Any, name: str, instance: Any) -> Recorded | None:
        """Return what records *function*, the method *name* of *instance*."""
        if self.row is None or isinstance(self.row, Chain):
            return None
        cls = type(instance)
        called = _name_of(instance, self.row) or name
        found = self.recorded.get((cls, called))
        if found is None:
            row = operation_from(self.row, called, f"{cls.__module__}.{cls.__qualname__}")
            returns = getattr(function, "__annotations__", {}).get("return")
            bind = binder_of(function, skip_first=True, omit=row.omits, unset=row.unset)
            kind = recorded_class(row)
            found = self.recorded[cls, called] = kind(row, self.recorder, None, (function, returns), bind=bind)
        return found

    def chain_for(self, chain: Chain, name: str, cls: type) -> Chain:
        """Return *chain* with the names and the source that its calls have on objects of *cls*."""
        found = self.chains.get(cls)
        if found is None:
            source = f"{cls.__module__}.{cls.__qualname__}"
            ends = {end: operation_from(row, f"{name}.{end}", source) for end, row in chain.ends.items()}
            found = self.chains[cls] = attrs.evolve(chain, ends=ends)
        return found


def _name_of(instance: Any, row: str | Operation) -> str:
    if isinstance(row, str) or not row.named_by:
        return ""
    name = getattr(instance, row.named_by, None)
    return name if isinstance(name, str) else ""


_UNSEEN: dict[str, Callable[..., Any]] = {"coroutine": awaited_unseen, "generator": iterated_unseen}


class InstrumentedMethod(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # generic for checkers only
    """A method that records for all objects of its class, for some of them, or for both."""

    def __init__(self, function: Any, name: str, is_own: bool) -> None:
        super().__init__(function, self._self_called)
        self._self_name = name
        self._self_is_own = is_own
        self._self_everyone: _Watch | None = None
        self._self_objects: dict[int, _Watch] = {}
        self._self_shape = shape = shape_of(function)
        unseen = _UNSEEN.get(shape)
        self._self_run = RUNNERS[shape] if unseen is None else functools.partial(unseen, RUNNERS[shape])

    def _self_watch_of(self, instance: Any) -> _Watch | None:
        watch = self._self_objects.get(id(instance))
        # An id may be reused once its object is gone.
        if watch is not None and watch.reference() is instance:
            return watch
        return self._self_everyone

    def _self_called(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            watch = None if instance is None else self._self_watch_of(instance)
            if watch is None:
                return wrapped(*args, **kwargs)
            return self._self_observed(watch, wrapped, instance, args, kwargs)
        except BaseException as error:
            leave_no_frame(error)
            raise

    def _self_observed(self, watch: _Watch, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(watch.row, Chain):
            return self._self_begun(watch, watch.row, wrapped, instance, args, kwargs)
        recorded = watch.recorded_for(self.__wrapped__, self._self_name, instance)
        if recorded is None:
            result = wrapped(*args, **kwargs)
        elif recorded.operation.deferred is not None:
            return self._self_deferred(recorded, recorded.operation.deferred, wrapped, instance, args, kwargs)
        elif self._self_shape == "plain":
            result = run_on(recorded, instance, wrapped, args, kwargs)
        else:
            result = under_the_name_of(wrapped, self._self_run(OnSubject(recorded, instance), wrapped, args, kwargs))
        if watch.hand_out is None:
            return result
        return _handed_out_later(watch.hand_out, result) if inspect.iscoroutine(result) else watch.hand_out(result)

    def _self_deferred(
        self, recorded: Recorded, plant: Callable[..., bool], wrapped: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        observer = observer_for(recorded.recorder)
        if observer is None or is_inside(instance):
            return wrapped(*args, **kwargs)
        # It may begin the request itself, which is to be awaited in the call.
        result = part_of(instance, wrapped, args, kwargs)
        if not plant(result, Given(OnSubject(recorded, instance), args, kwargs)):
            observer.note_uncovered((type(instance).__name__, self._self_name))
        return result

    def _self_begun(self, watch: _Watch, chain: Chain, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        # The library's own builder wherever nobody would record it.
        if observer_for(watch.recorder) is None or is_inside(instance):
            return wrapped(*args, **kwargs)
        known = watch.chain_for(chain, self._self_name, type(instance))
        observed = functools.partial(OnSubject, subject=instance)
        return begun_by(wrapped, self._self_name, known, watch.recorder, args, kwargs, observed, unobserved)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return str(self.__wrapped__.__qualname__)


async def _handed_out_later(hand_out: Callable[[Any], Any], result: Any) -> Any:
    return hand_out(await result)


# -- putting it on and taking it off ------------------------------------------------


def _patched(cls: type, name: str) -> InstrumentedMethod | None:
    """
    Return the method *name* of *cls* instrumented; None where it has no such function.

    Raises:
        UsageError: The class cannot be changed.
    """
    own = vars(cls).get(name)
    if isinstance(own, InstrumentedMethod):
        return own
    function = inspect.getattr_static(cls, name, None)
    function = function.__wrapped__ if isinstance(function, InstrumentedMethod) else function
    if not inspect.isfunction(function):
        return None
    made = InstrumentedMethod(function, name, own is not None)
    try:
        setattr(cls, name, made)
    except TypeError as error:
        raise UsageError(f"{cls.__qualname__} cannot be changed ({error}): use replaykit.wrap(...)") from error
    return made


def _restored(cls: type, name: str, method: InstrumentedMethod) -> None:
    if method._self_everyone is not None or method._self_objects:
        return
    if method._self_is_own:
        setattr(cls, name, method.__wrapped__)
    else:
        delattr(cls, name)


def _instrumented(cls: type) -> Iterator[tuple[str, InstrumentedMethod]]:
    return ((name, item) for name, item in list(vars(cls).items()) if isinstance(item, InstrumentedMethod))


# -- one object -----------------------------------------------------------------------


MapFor = Callable[[Any], MethodMap | None]
"""Says what the methods of something that was handed out are; None where nothing is known of it."""


@attrs.define(eq=False)
class _Recorded:
    """An object that is recorded itself, and what it handed out."""

    reference: Callable[[], Any]
    recorder: Any
    handed_out: list[Callable[[], Any]] = attrs.field(factory=list)


_objects: dict[int, _Recorded] = {}
"""The objects that are recorded themselves, by id, as long as they live."""


def instrument_object(target: Any, methods: MethodMap, recorder: Any, map_for: MapFor) -> None:
    """
    Record the operations in *methods* that are called on *target*, and on what it hands out.

    What *target* records already is recorded as is said now.

    Raises:
        UsageError: Its class cannot be changed, or has none of the methods as functions.
    """
    handed_out: list[Callable[[], Any]] = []

    def record(item: Any, known: MethodMap) -> None:
        instrument_object(item, known, recorder, map_for)
        handed_out.append(_reference_to(item))

    def hand_out(value: Any) -> Any:
        for item in value if isinstance(value, (list, tuple)) else (value,):
            known = map_for(item)
            if known is not None:
                record(item, known)
        return value

    rows: dict[str, Any] = {
        name: row for name, row in methods.operations.items() if "." not in name and name not in methods.takes_over
    }
    rows |= methods.chains
    rows |= {name: None for name in methods.derives if "." not in name and name not in rows}
    with _patching:
        for name, row in rows.items():
            _instrument_method(target, name, _Watch(row, recorder, hand_out if getattr(row, "derives", True) else None))
        for head, below in methods.children().items():
            record(getattr(target, head), below)
        key = id(target)
        reference = _reference_to(target, lambda gone: _objects.pop(key, None))
        _objects[key] = _Recorded(reference, recorder, handed_out)


def _instrument_method(target: Any, name: str, watch: _Watch) -> None:
    method = _patched(type(target), name)
    if method is not None:
        key, entries = id(target), method._self_objects
        watch.reference = _reference_to(target, lambda gone: entries.pop(key, None))
        entries[key] = watch
    elif watch.row is None and watch.hand_out is not None:
        watch.hand_out(getattr(target, name, None))
    else:
        raise UsageError(
            f"{type(target).__qualname__}.{name} is no plain method and cannot be recorded on the object itself: "
            "use replaykit.wrap(...)"
        )


def _reference_to(target: Any, at_end: Callable[[Any], Any] | None = None) -> Callable[[], Any]:
    """Return what gives *target* as long as it lives, and calls *at_end* when it is gone."""
    try:
        return weakref.ref(target, at_end)
    except TypeError:
        # Its class has slots: what cannot be watched is kept until it is uninstrumented.
        return lambda: target


def uninstrument_object(target: Any) -> bool:
    """
    Stop recording on *target* and what it handed out; classes are as they were unless others are recorded.

    False where it was not recorded.
    """
    known = _known(target)
    if known is None:
        return False
    with _patching:
        _objects.pop(id(target), None)
        for name, method in _instrumented(type(target)):
            method._self_objects.pop(id(target), None)
            _restored(type(target), name, method)
        for reference in known.handed_out:
            uninstrument_object(reference())
    return True


def recorder_behind(target: Any) -> Any:
    """Return the recorder of an object that is recorded itself, None of any other."""
    known = _known(target)
    return None if known is None else known.recorder


def _known(target: Any) -> _Recorded | None:
    known = _objects.get(id(target))
    # An id may be reused once its object is gone.
    return known if known is not None and known.reference() is target else None


# -- a class ----------------------------------------------------------------------------


def instrument_class(cls: type, methods: MethodMap, recorder: Any = None) -> None:
    """
    Record the operations in *methods* on every object of *cls* and of its subclasses, those to come as well.

    Without *recorder* the session of the calling context takes the calls.
    What is handed out is recorded where its own class is instrumented.
    Dotted names are left out: instrument the classes that they lead to.

    Raises:
        UsageError: The class cannot be changed.
    """
    methods = methods.settled()
    rows: Rows = {
        name: row for name, row in methods.operations.items() if "." not in name and name not in methods.takes_over
    }
    rows |= methods.chains
    with _patching:
        _watch_class(cls, rows, recorder, is_first=True)
        hook = _patched_hook(cls)
        hook._self_rows = (rows, recorder)


Rows = dict[str, str | Operation | Chain]


def _watch_class(cls: Any, rows: Rows, recorder: Any, *, is_first: bool) -> None:
    """Instrument the methods that *cls* itself defines (the *is_first*: also inherited ones), and its subclasses."""
    for name, row in rows.items():
        if not is_first and name not in vars(cls):
            continue
        method = _patched(cls, name)
        if method is not None:
            method._self_everyone = _Watch(row, recorder)
    for below in cls.__subclasses__():
        _watch_class(below, rows, recorder, is_first=False)


class _SubclassHook(classmethod):  # type: ignore[type-arg]  # generic for checkers only
    """Stands for a class's ``__init_subclass__`` and instruments what inherits from it."""

    _self_rows: tuple[Rows, Any]

    def __init__(self, cls: Any) -> None:
        self.before = vars(cls).get("__init_subclass__")

        def init_subclass(below: type, **kwargs: Any) -> None:
            if self.before is not None:
                self.before.__func__(below, **kwargs)
            else:
                super(cls, below).__init_subclass__(**kwargs)  # type: ignore[misc]  # it is: Python calls it so
            rows, recorder = self._self_rows
            with _patching:
                _watch_class(below, rows, recorder, is_first=False)

        super().__init__(init_subclass)


def _patched_hook(cls: type) -> _SubclassHook:
    own = vars(cls).get("__init_subclass__")
    if isinstance(own, _SubclassHook):
        return own
    hook = _SubclassHook(cls)
    cls.__init_subclass__ = hook  # type: ignore[assignment]  # a classmethod, as before
    return hook


def uninstrument_class(cls: type) -> None:
    """Stop recording on the objects of *cls* and its subclasses; those that are recorded one by one go on."""
    with _patching:
        hook = vars(cls).get("__init_subclass__")
        if isinstance(hook, _SubclassHook):
            if hook.before is None:
                del cls.__init_subclass__
            else:
                cls.__init_subclass__ = hook.before  # type: ignore[method-assign]  # what it was
        _unwatch_class(cls)


def _unwatch_class(cls: Any) -> None:
    for name, method in _instrumented(cls):
        method._self_everyone = None
        _restored(cls, name, method)
    for below in cls.__subclasses__():
        _unwatch_class(below)
