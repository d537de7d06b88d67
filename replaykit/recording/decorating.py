"""Functions each call of which runs within a block of its own: with ``@session(...)``, or another such block."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from replaykit.intercept.shapes import shape_of
from replaykit.intercept.steps import in_own_scope, in_own_scope_async, relaying

__all__ = ["each_within"]

F = TypeVar("F", bound=Callable[..., Any])
_Again = Callable[[], AbstractContextManager[Any]]


def each_within(again: _Again, function: F) -> F:
    """
    Return *function* so that each call of it runs within what *again* gives: to its end, also if that is a generator's.

    What the consumer of a generator calls between two items is not within.
    """
    return _WITHIN[shape_of(function)](again, function)  # type: ignore[return-value]  # same signature


def _plain(again: _Again, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        with again():
            return function(*args, **kwargs)

    return within


def _coroutine(again: _Again, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def within(*args: Any, **kwargs: Any) -> Any:
        with again():
            return await function(*args, **kwargs)

    return within


def _generator(again: _Again, function: Callable[..., Any]) -> Callable[..., Any]:
    def steps(*args: Any, **kwargs: Any) -> Any:
        with again():
            return (yield from function(*args, **kwargs))

    @functools.wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        return (yield from in_own_scope(steps(*args, **kwargs)))

    return within


def _async_generator(again: _Again, function: Callable[..., Any]) -> Callable[..., Any]:
    steps = relaying(function, around=again)
    return functools.wraps(function)(relaying(lambda *args, **kwargs: in_own_scope_async(steps(*args, **kwargs))))


_WITHIN = {
    "plain": _plain,
    "coroutine": _coroutine,
    "generator": _generator,
    "async_generator": _async_generator,
}
