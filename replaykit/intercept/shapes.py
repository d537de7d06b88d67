"""
The four shapes of a call: plain, coroutine, generator, async generator.

Each asks the handler to begin, runs the target inside the ticket's scope and
hands over what came back.  Generators have a module of their own.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from replaykit.intercept.generators import (
    async_generated,
    async_replayed,
    generated,
    replayed,
    resumed,
    run_async_generator,
    run_generator,
)
from replaykit.intercept.handler import Answer, Ticket
from replaykit.intercept.recorded import Given, Recorded
from replaykit.intercept.scope import CURRENT, PROCESS, Scope, handler_for, leave
from replaykit.intercept.steps import ENDED, Inside, Returned, kept

__all__ = [
    "IN_STEPS",
    "RUNNERS",
    "STREAMS",
    "Run",
    "Shape",
    "WAITING",
    "continued",
    "run",
    "run_coroutine",
    "run_unobserved",
    "shape_of",
]

Shape = str
"""``plain coroutine generator async_generator``."""


def shape_of(function: Any) -> Shape:
    """Return the shape of *function*, looking through partials, classmethods and staticmethods."""
    # Not through ``__wrapped__``: a decorator may have made a context manager
    # of a generator, or a plain function of a coroutine.
    target = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    if not inspect.isroutine(target) and not isinstance(target, type):
        call = getattr(type(target), "__call__", None)  # noqa: B004 - the method itself is wanted
        target = call if inspect.isfunction(call) else target
    if inspect.isasyncgenfunction(target):
        return "async_generator"
    if inspect.iscoroutinefunction(target) or _gives_what_is_awaited(target):
        return "coroutine"
    if inspect.isgeneratorfunction(target):
        return "generator"
    return "plain"


def _gives_what_is_awaited(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return isinstance(code, types.CodeType) and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


IN_STEPS = object()
"""Given back by what would take a call whole, but leaves it to `Handler.begin` and the ticket; nothing ran."""

STREAMS = frozenset({types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType})


def run(recorded: Recorded | Given, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call *target* and have it recorded; a coroutine or generator that it returns is recorded as such."""
    if type(recorded) is Recorded:
        recorder, scope = recorded.recorder, CURRENT.get()
        # What `handler_for` says to most calls, without asking it.
        if scope is not None and not PROCESS.players and (recorder is None or scope.session.recorder is recorder):
            handler = scope.session
        else:
            handler = handler_for(recorder)
            if handler is None:
                return target(*args, **kwargs)
        # Asked for once: another thread may end the session between two looks.
        way = handler.run
        if way is not None:
            result = way(recorded, target, args, kwargs)
            if result is not IN_STEPS:
                return result
    ticket = recorded.begin(args, kwargs)
    if ticket is None:
        return target(*args, **kwargs)
    if ticket.answer is not None:
        return _answered(ticket.answer)
    inner = ticket.scope
    try:
        # In here, since an interrupt may come between any two calls of ours.
        CURRENT.set(inner)
        result = target(*args, **kwargs)
        # What `leave` does, without the call: this is each recorded call's way.
        if CURRENT.get() is inner:
            CURRENT.set(inner.outer)
        else:
            leave(inner)
    except BaseException as error:
        leave(inner)
        ticket.fail(error)
        raise
    if type(result) in STREAMS:
        return continued(ticket, result)
    ticket.finish(result)
    return result


Run = Callable[..., Any]
"""
``run(recorded, target, args, kwargs, is_awaited=False, subject=None)``: calls *target* and keeps the call.

It returns what *target* returned.  With *is_awaited* it takes the first step of the coroutine that *target*
gives, and returns what that returned, or `Waiting`.  *subject* is the
`Scope.subject` of the call.  It may leave a call alone and return `IN_STEPS`.
"""


def continued(ticket: Ticket, result: Any) -> Any:
    """A plain function handed out a stream: the call goes on until that is over."""
    if type(result) is Waiting:
        result.ticket = ticket
        return result
    stream: Callable[[Ticket, Any], Any] = async_generated
    if type(result) is types.CoroutineType or _is_awaited(result):
        stream = _awaited
    elif type(result) is types.GeneratorType:
        return _named((resumed if result.gi_suspended else generated)(ticket, result), result)
    ticket.mark_async()
    return _named(stream(ticket, result), result)


def _is_awaited(stream: Any) -> bool:
    """Return whether a generator is one that is awaited, as `types.coroutine` makes them."""
    return type(stream) is types.GeneratorType and bool(stream.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _named(stand_in: Any, original: Any) -> Any:
    """Return *stand_in* under the name of *original*: warnings and task lists show it."""
    stand_in.__name__ = original.__name__
    stand_in.__qualname__ = original.__qualname__
    return stand_in


def _answered(answer: Answer) -> Any:
    """Return what a plain function gives back in a play: a value, a stream, or something to await."""
    if answer.items is None:
        return _awaiting(answer) if answer.is_async else answer.get()
    return async_replayed(answer) if answer.is_async else replayed(answer)


async def _awaiting(answer: Answer) -> Any:
    return answer.get()


# -- coroutines ---------------------------------------------------------------


async def run_coroutine(
    recorded: Recorded | Given,
    target: Callable[..., Coroutine[Any, Any, Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Await the coroutine of *target*; the call begins when it is first awaited."""
    if type(recorded) is Recorded:
        recorder, scope = recorded.recorder, CURRENT.get()
        if scope is not None and not PROCESS.players and (recorder is None or scope.session.recorder is recorder):
            handler = scope.session
        else:
            handler = handler_for(recorder)
            if handler is None:
                return await target(*args, **kwargs)
        way = handler.run
        if way is not None:
            # Most often the first step is the only one.
            result = way(recorded, target, args, kwargs, True)
            if type(result) is Waiting:
                return await _waited(result)
            if result is not IN_STEPS:
                return result
    ticket = recorded.begin(args, kwargs)
    if ticket is None:
        return await target(*args, **kwargs)
    if ticket.answer is not None:
        return ticket.answer.get()
    try:
        coroutine = target(*args, **kwargs)
    except BaseException as error:
        ticket.fail(error)
        raise
    return await _awaited(ticket, coroutine)


class Waiting:
    """A coroutine that has made its first step and waits: for what, and the scope that it is in."""

    __slots__ = ("inside", "item", "result", "steps", "ticket")

    ticket: Ticket | None

    def __init__(self, steps: Any, item: Any, result: Returned, scope: Scope | None) -> None:
        """The *steps* of `kept` have given *item*; whoever runs from here on is in *scope*, not in theirs."""
        self.steps = steps
        self.item = item
        self.result = result
        self.inside = Inside(CURRENT.get())
        self.ticket = None
        CURRENT.set(scope)


WAITING = frozenset({Waiting})


def run_unobserved(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], is_awaited: bool) -> Any:
    """Call *target*, as a `Run` does, for nobody."""
    result = target(*args, **kwargs)
    if not is_awaited:
        return result
    scope, returned = CURRENT.get(), Returned()
    steps = kept(result, returned)
    item = next(steps, ENDED)
    return returned.value if item is ENDED else Waiting(steps, item, returned, scope)


async def _waited(waiting: Waiting) -> Any:
    """Take the further steps of a coroutine that waits."""
    ticket, inside = waiting.ticket, waiting.inside
    going_on = inside.going_on(waiting.steps, waiting.item, waiting.result)
    if ticket is not None:
        return await _ended(ticket, going_on, inside)
    # Its beginning could not be kept.
    outer = CURRENT.get()
    result = await going_on
    if inside.scope is not outer and CURRENT.get() is outer:
        CURRENT.set(inside.scope)
    return result


async def _awaited(ticket: Ticket, coroutine: Coroutine[Any, Any, Any]) -> Any:
    inside = Inside(ticket.scope)
    return await _ended(ticket, inside.awaiting(coroutine), inside)


async def _ended(ticket: Ticket, going_on: Awaitable[Any], inside: Inside) -> Any:
    inner = ticket.scope
    try:
        result = await going_on
    except BaseException as error:
        _go_on_outside(inner, inside)
        ticket.fail(error)
        raise
    if inside.scope is not inner:
        _go_on_outside(inner, inside)
    ticket.finish(result)
    return result


def _go_on_outside(inner: Scope, inside: Inside) -> None:
    """Leave a session that was started inside a coroutine open for whoever awaited it."""
    if inside.scope is not inner and CURRENT.get() is inner.outer:
        CURRENT.set(inside.scope)
        leave(inner)


RUNNERS: dict[Shape, Callable[..., Any]] = {
    "plain": run,
    "coroutine": run_coroutine,
    "generator": run_generator,
    "async_generator": run_async_generator,
}
"""The runner of each shape: ``runner(recorded, target, args, kwargs)``."""
