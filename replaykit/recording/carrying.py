"""Functions that take a session along, into whatever thread or task they run in."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from replaykit.intercept.scope import Scope
from replaykit.intercept.shapes import shape_of
from replaykit.intercept.steps import Inside, in_own_scope, in_own_scope_async, relaying

__all__ = ["carried"]


def carried(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    """
    Return *function*, of any shape, so that each call of it runs in *scope* and leaves none behind.

    A generator, or a coroutine that a plain function hands out, runs in it as well.
    """

    def plain(*args: Any, **kwargs: Any) -> Any:
        result = Inside(scope).run(function, *args, **kwargs)
        going_on = _GOING_ON.get(type(result))
        return result if going_on is None else going_on(result, Inside(scope))

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await Inside(scope).awaiting(function(*args, **kwargs))

    def generator(*args: Any, **kwargs: Any) -> Any:
        return (yield from in_own_scope(function(*args, **kwargs), Inside(scope)))

    def async_generator(*args: Any, **kwargs: Any) -> Any:
        return in_own_scope_async(function(*args, **kwargs), Inside(scope))

    carrying = {
        "plain": plain,
        "coroutine": coroutine,
        "generator": generator,
        "async_generator": relaying(async_generator),
    }[shape_of(function)]
    # A partial and a callable object have no name to hand on.
    return functools.update_wrapper(carrying, function) if hasattr(function, "__name__") else carrying


async def _awaited(coroutine: Any, inside: Inside) -> Any:
    return await inside.awaiting(coroutine)


_GOING_ON: dict[type, Callable[[Any, Inside], Any]] = {
    types.CoroutineType: _awaited,
    types.GeneratorType: in_own_scope,
    types.AsyncGeneratorType: in_own_scope_async,
}
"""How what a plain function hands out goes on."""
