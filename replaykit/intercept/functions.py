"""
`RecordedFunction`: the drop-in stand-in for a function.

A wrapt proxy: identity, signature, ``isinstance`` and ``inspect`` see the
function.
"""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import types
from typing import Any

import wrapt

from replaykit.intercept.binding import binder_of
from replaykit.intercept.recorded import Asking, Of, Recorded
from replaykit.intercept.shapes import RUNNERS, run, shape_of
from replaykit.intercept.streaming import recorded_class
from replaykit.operations import Operation

__all__ = ["RecordedFunction", "RecordedMethod", "recorded_function", "under_the_name_of"]


class RecordedMethod(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # generic for checkers only
    """A recorded method of one instance (or class); pickles and copies as Python's own bound methods do."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        method = self.__wrapped__
        owner = getattr(method, "__self__", None)
        if owner is not None:
            return (getattr, (owner, method.__name__))
        place = (method.__module__, method.__qualname__)
        # A class gives another wrapper each time: pickle, which looks for this
        # one under its name, is told how to get one.
        return (_found_at, place) if _is_at(method, place) else str(method.__qualname__)

    def __copy__(self) -> RecordedMethod:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        return self if owner is None else getattr(copy.deepcopy(owner, memo), self.__wrapped__.__name__)


def _found_at(module: str, qualified: str) -> Any:
    """Return what a module has under a qualified name."""
    return functools.reduce(getattr, qualified.split("."), importlib.import_module(module))


def _is_at(function: Any, place: tuple[str, str]) -> bool:
    try:
        return getattr(_found_at(*place), "__wrapped__", None) is function
    except (ImportError, AttributeError):
        return False


class RecordedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # generic for checkers only
    """A function whose calls are recorded; copies of it are itself, pickles name it."""

    __bound_function_wrapper__ = RecordedMethod

    def __reduce_ex__(self, protocol: Any) -> Any:
        if inspect.isroutine(self.__wrapped__) and getattr(self.__wrapped__, "__self__", None) is None:
            return str(self.__wrapped__.__qualname__)
        # Partials, callable objects and bound methods have no name to be
        # found under: they travel themselves.
        return (recorded_function, (self.__wrapped__, *self._self_rebuild))

    def __copy__(self) -> RecordedFunction:
        return self

    def __deepcopy__(self, memo: Any) -> RecordedFunction:
        return self


class _PlainFunction(RecordedFunction):
    """A plain function, not written to take an object or a class first."""

    # wrapt would first ask what is called for its ``__self__``, which a
    # function does not have: half of what a call of its wrapper costs.
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return run(self._self_recorded, self.__wrapped__, args, kwargs)


class _StreamFunction(RecordedFunction):
    """The same that gives a coroutine or a generator."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        # One look-up for both: through a proxy each is dear.
        runner, recorded = self._self_run
        return runner(recorded, self.__wrapped__, args, kwargs)


def recorded_function(function: Any, operation: Operation, recorder: Any = None) -> Any:
    """
    Return *function* with its calls recorded as *operation*.

    Takes functions, methods, classmethods, staticmethods and callable
    objects, of all four shapes.  Without *recorder* the session of the
    calling context takes the calls.
    """
    inner = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    shape = shape_of(inner)
    runner = RUNNERS[shape]
    annotations = getattr(inner, "__annotations__", {})
    returns = annotations.get("return") if isinstance(annotations, dict) else None

    def recorded(is_bound: bool) -> Recorded:
        bind = binder_of(inner, skip_first=is_bound, omit=operation.omits, unset=operation.unset)
        return recorded_class(operation)(operation, recorder, None, (inner, returns), bind=bind)

    free = recorded(False)
    # A bound method's signature has no self any more.
    bound = free if getattr(inner, "__self__", None) is not None else recorded(True)

    first = _first_of_method(inner)

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if instance is None and first and args and (first == "self" or isinstance(args[0], type)):
            # A property above us does not bind, nor does a classmethod since
            # Python 3.13: they hand over the object or class as an argument.
            return runner(bound, functools.partial(wrapped, args[0]), args[1:], kwargs)
        return runner(free if instance is None else bound, wrapped, args, kwargs)

    def asking(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The same once more, so that methods whose row asks nothing do not pay for it.
        if instance is None and first and args and (first == "self" or isinstance(args[0], type)):
            instance, wrapped, args = args[0], functools.partial(wrapped, args[0]), args[1:]
        return runner(free if instance is None else Of(bound, instance), wrapped, args, kwargs)

    called = asking if isinstance(bound, Asking) else wrapper

    def named(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return under_the_name_of(wrapped, called(wrapped, instance, args, kwargs))

    is_free = not first and isinstance(function, types.FunctionType)
    cls = RecordedFunction if not is_free else _PlainFunction if shape == "plain" else _StreamFunction
    made: Any = cls(function, called if shape == "plain" else named)
    made._self_recorded = free
    made._self_run = (_under_own_name(runner, function) if is_free else runner), free
    made._self_rebuild = (operation, recorder)
    return made


def _under_own_name(runner: Any, function: Any) -> Any:
    """Return *runner* under the name of *function*: what it gives has it too, and warnings and task lists show it."""
    made = types.FunctionType(runner.__code__, runner.__globals__, function.__name__, None, runner.__closure__)
    made.__qualname__ = function.__qualname__
    return made


def _first_of_method(function: Any) -> str:
    """Return ``"self"`` or ``"cls"`` if *function* is written in a class body and takes that first, else nothing."""
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", "").rpartition("<locals>.")[2]
    first = code.co_varnames[:1] if code is not None and "." in name else ()
    return str(first[0]) if first in (("self",), ("cls",)) else ""


def under_the_name_of(function: Any, stream: Any) -> Any:
    """Return a coroutine or generator under the name of *function*: warnings and task lists show it."""
    name = getattr(function, "__name__", None)
    if isinstance(name, str):
        stream.__name__ = name
        # An object that gives itself a name need not have the other.
        qualified = getattr(function, "__qualname__", name)
        stream.__qualname__ = qualified if isinstance(qualified, str) else name
    return stream
