"""
Recording on a module itself: its functions are replaced by wrappers, for whoever asks the module for them from then on.

A call that a function of the module makes on another one is part of the call
that it is in and no action of its own.
"""

from __future__ import annotations

import functools
import inspect
from types import ModuleType
from typing import Any

import wrapt

from replaykit.intercept.binding import binder_of
from replaykit.intercept.shapes import RUNNERS, shape_of
from replaykit.intercept.streaming import recorded_class
from replaykit.intercept.subjects import OnSubject
from replaykit.intercept.tracebacks import leave_no_frame
from replaykit.operations import MethodMap, Operation, operation_from

__all__ = ["instrument_module", "uninstrument_module"]


class _InstrumentedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # generic for checkers only
    """A function of a module, which is recorded."""

    def __init__(self, module: ModuleType, name: str, row: str | Operation) -> None:
        function = getattr(module, name)
        super().__init__(function, self._self_called)
        row = operation_from(row, name, module.__name__)
        returns = getattr(function, "__annotations__", {}).get("return")
        bind = binder_of(function, omit=row.omits, unset=row.unset)
        recorded = recorded_class(row)(row, None, None, (function, returns), bind=bind)
        self._self_run = functools.partial(RUNNERS[shape_of(function)], OnSubject(recorded, module))

    def _self_called(self, wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        try:
            return self._self_run(wrapped, args, kwargs)
        except BaseException as error:
            leave_no_frame(error)
            raise

    def __reduce_ex__(self, protocol: Any) -> Any:
        return str(self.__wrapped__.__qualname__)


def instrument_module(module: ModuleType, methods: MethodMap) -> None:
    """
    Record the functions in *methods* that *module* has, for the session of the calling context.

    What had been taken out of the module before is not recorded.
    """
    for name, row in methods.operations.items():
        # What is recorded already is no plain function.
        if inspect.isfunction(vars(module).get(name)) and type(vars(module)[name]) is not _InstrumentedFunction:
            setattr(module, name, _InstrumentedFunction(module, name, row))


def uninstrument_module(module: ModuleType) -> None:
    """Leave the functions of *module* as they were."""
    for name, function in list(vars(module).items()):
        if type(function) is _InstrumentedFunction:
            setattr(module, name, function.__wrapped__)
