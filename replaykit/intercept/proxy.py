"""
`RecordedObject`: the drop-in stand-in for any object.

A wrapt proxy: identity, ``isinstance`` and ``inspect`` see the target.  Its
recorded methods are plain functions in a class that is generated once per
wrapped type: a bound wrapper per call would cost more than the recording.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
from collections.abc import Mapping
from typing import Any

import wrapt

from replaykit.intercept.absent import Absent, absent_method
from replaykit.intercept.binding import binder_of
from replaykit.intercept.chains import beginning_method
from replaykit.intercept.coverage import Method
from replaykit.intercept.functions import recorded_function
from replaykit.intercept.generators import opened_stream
from replaykit.intercept.notes import noting_method
from replaykit.intercept.recorded import Recorded
from replaykit.intercept.scope import observer_for
from replaykit.intercept.shapes import RUNNERS, shape_of
from replaykit.intercept.steps import relaying
from replaykit.intercept.streaming import recorded_class
from replaykit.operations import MethodMap, Operation

__all__ = ["RecordedObject", "recorded_object"]


# -- functions ----------------------------------------------------------------


class RecordedObject(wrapt.BaseObjectProxy):  # type: ignore[type-arg]  # generic for checkers only
    """
    A stand-in for an object whose memory operations are recorded.

    Own state is named ``_self_*``, as wrapt demands; everything else is the
    target's, but for the names of the session surface that it does not have.
    """

    def __init__(self, target: Any, recorder: Any, methods: MethodMap, rebuild: Any = None, given: Any = None) -> None:
        super().__init__(target)
        rows: Any = methods.operations
        self._self_recorder = recorder
        self._self_methods = methods
        self._self_rows: Mapping[str, Operation] = rows
        self._self_rebuild = rebuild
        self._self_given = given
        self._self_recorded = {
            name: _recorded_method(target, name, row, recorder)
            for name, row in rows.items()
            if "." not in name and callable(getattr(target, name, None))
        }
        self._self_children = methods.children()
        self._self_cache: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            value = getattr(self.__wrapped__, name)
        except AttributeError:
            # The target's own names come first, then the session surface.
            if name in getattr(self._self_recorder, "surface_names", ()):
                return self._self_recorder.surface_of(self, name)
            raise
        if name in self._self_children:
            return self._self_child(name, value)
        if name in self._self_recorded:
            return self._self_carried(name, value)
        if value is self.__wrapped__:
            return self
        if name in self._self_methods.derives:
            return self._self_derived_attribute(name, value)
        if isinstance(value, _CALLABLES) and not name.startswith("_") and name not in self._self_methods.ignored:
            # Made up by the object, or not a plain function: what is handed
            # out has to stay itself, so that counts as its call.
            _note(self._self_recorder, (type(self.__wrapped__).__name__, name))
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # wrapt would keep what the proxy's class has, a recorded method say,
        # on the proxy: the target would never see it.
        if name.startswith("_self_") or name == "__wrapped__":
            super().__setattr__(name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        if name.startswith("_self_") or name == "__wrapped__":
            super().__delattr__(name)
        else:
            delattr(self.__wrapped__, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__wrapped__), *getattr(self._self_recorder, "surface_names", ())})

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def _self_handed_out(self, value: Any) -> Any:
        """Return *value*, which reaches the same memory, so that its operations are recorded too."""
        if value is self.__wrapped__:
            return self
        if type(value) in (list, tuple):
            return type(value)(map(self._self_handed_out, value))
        if isinstance(value, RecordedObject):
            return value
        return self._self_recorder.derived(value, self._self_given)

    def _self_derived_attribute(self, name: str, value: Any) -> Any:
        """Return what an attribute reaches the memory by: a method that hands it out, or the proxy of it."""
        if isinstance(value, _CALLABLES):
            return functools.partial(_deriving, self, value)
        cached = self._self_cache.get(name)
        if cached is None or cached.__wrapped__ is not value:
            handed_out = self._self_handed_out(value)
            if not isinstance(handed_out, RecordedObject):
                return handed_out
            self._self_cache[name] = cached = handed_out
        return cached

    def _self_carried(self, name: str, value: Any) -> Any:
        """Return the recorded form of a callable that the instance carries; the same one each time."""
        recorded = self._self_recorded[name]
        cached = self._self_cache.get(name)
        if cached is None or cached.__wrapped__ != value:
            cached = recorded_function(value, recorded.operation, self._self_recorder)
            self._self_cache[name] = cached
        return functools.partial(_deriving, self, cached) if recorded.operation.derives else cached

    def _self_child(self, name: str, value: Any) -> Any:
        """Return the proxy of an attribute that a dotted key leads through; the same one each time."""
        cached = self._self_cache.get(name)
        if cached is None or cached.__wrapped__ is not value:
            cached = recorded_object(value, self._self_recorder, self._self_children[name])
            self._self_cache[name] = cached
        return cached

    def _self_of(self, target: Any) -> Any:
        """Return a proxy of a copy of the target."""
        return recorded_object(target, self._self_recorder, self._self_methods, self._self_rebuild, self._self_given)

    def __copy__(self) -> Any:
        target = copy.copy(self.__wrapped__)
        return self._self_of(target)

    def __deepcopy__(self, memo: Any) -> Any:
        target = copy.deepcopy(self.__wrapped__, memo)
        return self._self_of(target)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._self_rebuild is None:
            # Without a way to name its store again, what travels is the target.
            return (_itself, (self.__wrapped__,))
        function, arguments = self._self_rebuild
        return (function, (self.__wrapped__, *arguments))


_CALLABLES = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType)


def _itself(target: Any) -> Any:
    return target


def _recorded_method(target: Any, name: str, row: Operation, recorder: Any) -> Recorded:
    if isinstance(target, Absent):
        return absent_method(target, name, row, recorder)
    method = getattr(target, name)
    returns = getattr(method, "__annotations__", {}).get("return")
    bind = binder_of(method, omit=row.omits, unset=row.unset)
    return recorded_class(row)(row, recorder, None, (method, returns), bind=bind)


def recorded_object(target: Any, recorder: Any, methods: MethodMap, rebuild: Any = None, given: Any = None) -> Any:
    """
    Return the proxy of *target* that records the operations in *methods*, each an `Operation` by now.

    *rebuild* is ``(function, arguments)`` for pickle: called with the target
    and the arguments where the pickle is opened.  *given* is the map that the
    user gave, if any.  *recorder* has ``derived(value, given)`` where the map has
    methods that hand something out.
    """
    rows: Any = methods.operations
    target_type: Any = type(target)
    cls: Any = _proxy_class(
        target_type,
        frozenset(name for name in rows if "." not in name),
        frozenset(name for name, row in rows.items() if row.derives),
        frozenset(methods.chains),
        frozenset(methods.notes),
        methods.derives,
        methods.composes,
        methods.ignored,
        frozenset(methods.takes_over.items()),
    )
    return cls(target, recorder, methods, rebuild, given)


_Names = frozenset[str]


@functools.lru_cache(maxsize=256)
def _proxy_class(
    target_type: Any,
    names: _Names,
    deriving: _Names,
    chains: _Names,
    notes: _Names,
    derives: _Names,
    composes: _Names,
    ignored: _Names,
    taken_over: frozenset[tuple[str, Any]],
) -> type[RecordedObject]:
    """Make the proxy class of a type: recorded methods, fluent methods and the protocols that it has."""
    members: dict[str, Any] = {}
    for name in dir(target_type):
        attribute = inspect.getattr_static(target_type, name, None)
        if name in names and _is_method(attribute):
            members[name] = _recording_method(name, attribute, derives=name in deriving)
        elif name in chains and (beginning := beginning_method(name, attribute)):
            members[name] = beginning
        elif name in notes and inspect.isfunction(attribute):
            members[name] = noting_method(name, attribute)
        elif name in composes and inspect.isfunction(attribute):
            # With the proxy as its self: what it makes then calls the proxy.
            members[name] = attribute
        elif not name.startswith("_") and inspect.isfunction(attribute):
            handing_out = _deriving_method if name in derives else _fluent_method
            fluent = handing_out(name, attribute, None if name in ignored else (target_type.__name__, name))
            members.update({name: fluent} if fluent else {})
        elif _is_protocol(target_type, name):
            members[name] = _PASSING.get(name, _passing)(name)
    members.update(taken_over)
    return type(f"Recorded{target_type.__name__}", (RecordedObject,), members)


def _is_method(attribute: Any) -> bool:
    return inspect.isroutine(attribute) or isinstance(attribute, (classmethod, staticmethod))


def _recording_method(name: str, attribute: Any, *, derives: bool) -> Any:
    shape = shape_of(attribute)
    runner = RUNNERS[shape]
    original = attribute.__func__ if isinstance(attribute, (classmethod, staticmethod)) else attribute

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        target = self.__wrapped__
        result = runner(self._self_recorded[name], getattr(target, name), args, kwargs)
        return self if result is target else result

    def deriving_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return _deriving(self, functools.partial(method, self), *args, **kwargs)

    async def coroutine_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        target = self.__wrapped__
        result = await runner(self._self_recorded[name], getattr(target, name), args, kwargs)
        return self._self_handed_out(result) if derives else self if result is target else result

    def generator_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return (yield from runner(self._self_recorded[name], getattr(self.__wrapped__, name), args, kwargs))

    def stream_of(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return opened_stream(self._self_recorded[name], getattr(self.__wrapped__, name), args, kwargs)

    chosen: Any = {
        "plain": deriving_method if derives else method,
        "coroutine": coroutine_method,
        "generator": generator_method,
        "async_generator": relaying(stream_of),
    }[shape]
    return _like(original, chosen, has_self=not isinstance(attribute, staticmethod))


def _like(original: Any, method: Any, *, has_self: bool) -> Any:
    """Return *method* with name, documentation and signature of *original*."""
    method = functools.wraps(original)(method)
    if not has_self:
        # Whoever asks a bound method for its signature leaves the first
        # parameter out.
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        listed = list(inspect.signature(original).parameters.values())
        method.__signature__ = inspect.signature(original).replace(parameters=[own, *listed])
    return method


def _note(recorder: Any, method: Method) -> None:
    """Count a call of a method that the map does not know."""
    observer = observer_for(recorder)
    if observer is not None:
        observer.note_uncovered(method)


def _fluent_method(name: str, function: Any, unknown: Method | None) -> Any:
    """
    Return a method that passes a call on and hands out the proxy where the target hands out itself.

    Its calls count as *unknown*, unless that is None.
    """
    shape = shape_of(function)

    @functools.wraps(function)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if unknown is not None:
            _note(self._self_recorder, unknown)
        target = self.__wrapped__
        result = getattr(target, name)(*args, **kwargs)
        return self if result is target else result

    @functools.wraps(function)
    async def coroutine_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if unknown is not None:
            _note(self._self_recorder, unknown)
        target = self.__wrapped__
        result = await getattr(target, name)(*args, **kwargs)
        return self if result is target else result

    return {"plain": method, "coroutine": coroutine_method}.get(shape)


def _deriving_method(name: str, function: Any, _unknown: Method | None) -> Any:
    """Return a method that passes a call on and hands out what it gives as something recorded."""

    @functools.wraps(function)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return _deriving(self, getattr(self.__wrapped__, name), *args, **kwargs)

    @functools.wraps(function)
    async def coroutine_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._self_handed_out(await getattr(self.__wrapped__, name)(*args, **kwargs))

    return {"plain": method, "coroutine": coroutine_method}.get(shape_of(function))


def _deriving(proxy: Any, method: Any, /, *args: Any, **kwargs: Any) -> Any:
    result = method(*args, **kwargs)
    return _handed_out_later(proxy, result) if inspect.iscoroutine(result) else proxy._self_handed_out(result)


async def _handed_out_later(proxy: Any, result: Any) -> Any:
    return proxy._self_handed_out(await result)


# -- protocols that wrapt's plain proxy leaves out or lets escape -------------


def _passing(name: str) -> Any:
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        target = self.__wrapped__
        result = getattr(target, name)(*args, **kwargs)
        return self if result is target else result

    method.__name__ = name
    return method


def _async_passing(name: str) -> Any:
    async def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        target = self.__wrapped__
        result = await getattr(target, name)(*args, **kwargs)
        return self if result is target else result

    method.__name__ = name
    return method


def _await_passing(name: str) -> Any:
    def method(self: Any, /) -> Any:
        target = self.__wrapped__
        result = yield from getattr(target, name)()
        return self if result is target else result

    method.__name__ = name
    return method


_PASSING = {"__aenter__": _async_passing, "__aexit__": _async_passing, "__await__": _await_passing}
_RETURNING_ITSELF = frozenset({"__enter__", "__exit__", "__aenter__", "__aexit__"})
_NEVER_PASSED = frozenset({"__del__", "__getattr__", "__init_subclass__", "__class_getitem__", "__set_name__"})


def _is_protocol(target_type: type, name: str) -> bool:
    """Whether Python looks for the method *name* on the type, which has it, and wrapt's proxy hides it."""
    if not (name.startswith("__") and name.endswith("__")) or name in _NEVER_PASSED:
        return False
    is_needed = name in _RETURNING_ITSELF or name == "__call__" or (name == "__getitem__" and _is_old(target_type))
    if hasattr(RecordedObject, name) and not is_needed:
        return False
    # Not by getattr: every class is callable, and a None switches a method off.
    found = next((vars(cls)[name] for cls in target_type.__mro__ if name in vars(cls)), None)
    return _is_method(found)


def _is_old(target_type: type) -> bool:
    """
    Return whether a class has no ``__iter__``: it may be iterated by its items all the same.

    Python does so where the class itself has ``__getitem__``; wrapt's is none
    that it would take.
    """
    return not any("__iter__" in vars(cls) for cls in target_type.__mro__)
