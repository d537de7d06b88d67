"""
The four shapes of a call: plain, coroutine, generator, async generator.

Each asks the handler to begin, runs the target inside the ticket's scope and
hands over what came back.  The scope is set around each step of a generator,
never over its life: it would leak into the consumer.
"""

from __future__ import annotations

import contextlib
import inspect
import types
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import attrs

from replaykit.intercept.binding import Binder, exact_binder
from replaykit.intercept.handler import Answer, Called, Ticket
from replaykit.intercept.scope import CURRENT, PROCESS, Scope, handler_for, leave
from replaykit.intercept.steps import Inside, relaying, steps_of
from replaykit.operations import Operation, StreamForm, said_before

__all__ = [
    "IN_STEPS",
    "RUNNERS",
    "STREAMS",
    "Asking",
    "Given",
    "Recorded",
    "Run",
    "Shape",
    "WAITING",
    "continued",
    "first_step",
    "opened_stream",
    "recorded_class",
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
    if inspect.iscoroutinefunction(target):
        return "coroutine"
    if inspect.isgeneratorfunction(target):
        return "generator"
    return "plain"


@attrs.frozen
class Recorded(Called):
    """A recorded function or method: its row, its binder and the recorder that it is bound to."""

    bind: Binder = attrs.field(kw_only=True)
    exact: Binder = attrs.field(init=False)
    """The same, but that a call which does not fit the signature raises TypeError."""

    @exact.default
    def _exact(self) -> Binder:
        return exact_binder(self.bind)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        handler = handler_for(self.recorder)
        if handler is None:
            return None
        ticket: Ticket | None = handler.begin(self, self.bind(*args, **kwargs))
        return ticket


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
        if handler.run is not None:
            result = handler.run(recorded, target, args, kwargs)
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
    if type(result) is types.GeneratorType:
        return _named(_generated(ticket, result), result)
    ticket.mark_async()
    stream = _awaited if type(result) is types.CoroutineType else _async_generated
    return _named(stream(ticket, result), result)


def _named(stand_in: Any, original: Any) -> Any:
    """Return *stand_in* under the name of *original*: warnings and task lists show it."""
    stand_in.__name__ = original.__name__
    stand_in.__qualname__ = original.__qualname__
    return stand_in


def _answered(answer: Answer) -> Any:
    """Return what a plain function gives back in a play: a value, a stream, or something to await."""
    if answer.items is None:
        return _awaiting(answer) if answer.is_async else answer.get()
    return _async_replayed(answer) if answer.is_async else _replayed(answer)


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
        if handler.run is not None:
            # Most often the first step is the only one.
            result = handler.run(recorded, target, args, kwargs, True)
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

    __slots__ = ("inside", "item", "steps", "ticket")

    ticket: Ticket | None

    def __init__(self, steps: Any, item: Any, inside: Inside) -> None:
        self.steps = steps
        self.item = item
        self.inside = inside
        self.ticket = None


WAITING = frozenset({Waiting})


def first_step(coroutine: Any, scope: Scope | None) -> Any:
    """Take the first step of *coroutine*, which is in *scope*; return its result, or `Waiting`."""
    steps = coroutine if type(coroutine) is types.CoroutineType else steps_of(coroutine)
    try:
        item = steps.send(None)
    except StopIteration as stop:
        return stop.value
    inside = Inside(CURRENT.get())
    # Whoever runs while it waits is not inside it.
    CURRENT.set(scope)
    return Waiting(steps, item, inside)


def run_unobserved(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], is_awaited: bool) -> Any:
    """Call *target*, as a `Run` does, for nobody."""
    result = target(*args, **kwargs)
    return first_step(result, CURRENT.get()) if is_awaited else result


async def _waited(waiting: Waiting) -> Any:
    """Take the further steps of a coroutine that waits."""
    ticket, inside = waiting.ticket, waiting.inside
    going_on = inside.going_on(waiting.steps, waiting.item)
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


# -- generators ---------------------------------------------------------------


def run_generator(
    recorded: Recorded, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[Any, Any, Any]:
    """Iterate the generator of *target*; the call begins with the first step and keeps that step's session."""
    ticket = recorded.begin(args, kwargs)
    if ticket is None:
        return (yield from target(*args, **kwargs))
    if ticket.answer is not None:
        return (yield from _replayed(ticket.answer))
    return (yield from _generated(ticket, _opened(ticket, target, args, kwargs)))


def _opened(ticket: Ticket, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return target(*args, **kwargs)
    except BaseException as error:
        ticket.fail(error)
        raise


def _replayed(answer: Answer) -> Generator[Any, Any, Any]:
    yield from answer.items if answer.items is not None else _iterable(answer)
    if answer.error is not None:
        raise answer.error
    return answer.value


def _iterable(answer: Answer) -> Generator[Any, Any, Any]:
    # A generator and no list: what the consumer sends has to go somewhere.
    return (item for item in (answer.value if isinstance(answer.value, list) else ()))


def _generated(ticket: Ticket, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    inside = Inside(ticket.scope)
    step: Callable[..., Any] = generator.send
    given: Any = None
    while True:
        try:
            item = inside.step(step, given)
        except StopIteration as stop:
            ticket.end()
            return stop.value
        except BaseException as error:
            # An exception that was thrown in would keep this frame, and this
            # frame it, until the garbage collector comes by.
            given = None
            ticket.fail(error)
            raise
        ticket.item(item)
        try:
            given = yield item
            step = generator.send
        except GeneratorExit:
            _close(ticket, inside, generator)
            raise
        except BaseException as error:
            step, given = generator.throw, error


def _close(ticket: Ticket, inside: Inside, generator: Generator[Any, Any, Any]) -> None:
    """The consumer left: let the target clean up, then note that the stream was abandoned."""
    try:
        inside.run(generator.close)
    except BaseException as error:
        ticket.fail(error)
        raise
    ticket.end(abandoned=True)


# -- async generators ---------------------------------------------------------


def opened_stream(
    recorded: Recorded, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, Any]:
    """Begin the call of an async generator function now; return its items."""
    ticket = recorded.begin(args, kwargs)
    if ticket is None:
        stream: AsyncGenerator[Any, Any] = target(*args, **kwargs)
        return stream
    if ticket.answer is not None:
        return _async_replayed(ticket.answer)
    return _async_generated(ticket, _opened(ticket, target, args, kwargs))


run_async_generator = relaying(opened_stream)


async def _async_replayed(answer: Answer) -> AsyncGenerator[Any, Any]:
    for item in _replayed(answer):
        yield item


async def _async_generated(ticket: Ticket, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    inside = Inside(ticket.scope)
    step: Callable[..., Any] = generator.asend
    given: Any = None
    while True:
        try:
            item = await inside.awaiting(step(given))
        except StopAsyncIteration:
            ticket.end()
            return
        except BaseException as error:
            given = None
            ticket.fail(error)
            raise
        ticket.item(item)
        try:
            given = yield item
            step = generator.asend
        except GeneratorExit:
            await _async_close(ticket, inside, generator)
            raise
        except BaseException as error:
            step, given = generator.athrow, error


async def _async_close(ticket: Ticket, inside: Inside, generator: AsyncGenerator[Any, Any]) -> None:
    try:
        await inside.awaiting(generator.aclose())
    except BaseException as error:
        ticket.fail(error)
        raise
    ticket.end(abandoned=True)


RUNNERS: dict[Shape, Callable[..., Any]] = {
    "plain": run,
    "coroutine": run_coroutine,
    "generator": run_generator,
    "async_generator": run_async_generator,
}
"""The runner of each shape: ``runner(recorded, target, args, kwargs)``."""


# -- methods whose rows ask for more ------------------------------------------


def recorded_class(operation: Operation) -> type[Recorded]:
    """Return what records a method with this row."""
    return Asking if operation.before is not None else Streaming if operation.stream is not None else Recorded


@attrs.frozen
class Asking(Recorded):
    """A recorded method of an object that its row asks something ``before`` a call runs."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        return self.begin_on(getattr(self.returns[0], "__self__", None), args, kwargs)

    def begin_on(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Do the same for the method of *target*."""
        handler = handler_for(self.recorder)
        if handler is None:
            return None
        ticket: Ticket | None = handler.begin(self, self.bind(*args, **kwargs))
        if ticket is not None and ticket.answer is None:
            ticket.before = said_before(self.operation, target)  # type: ignore[attr-defined]  # what runs is recorded
        return ticket


@attrs.frozen
class Given:
    """A recorded method whose arguments were given before the call runs."""

    recorded: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def begin(self, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of the call that begins now, None if nothing observes it."""
        ticket: Ticket | None = self.recorded.begin(self.args, self.kwargs)
        return ticket


@attrs.frozen
class Streaming(Recorded):
    """A recorded method that may return its library's own stream object: the call goes on until that is over."""

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket | None:
        """Return the ticket of a call with these arguments, None if nothing observes it."""
        ticket = Recorded.begin(self, args, kwargs)
        form = self.operation.stream
        return ticket if ticket is None or form is None else _StreamTicket(ticket, form)


class _StreamTicket:
    """A call in flight whose result may be a stream object; its items go to the ticket behind it."""

    def __init__(self, ticket: Ticket, form: StreamForm) -> None:
        self.scope = ticket.scope
        self.answer = None if ticket.answer is None else _stood_in(ticket.answer, form)
        self.item, self.end, self.fail, self.mark_async = ticket.item, ticket.end, ticket.fail, ticket.mark_async
        self._ticket = ticket
        self._form = form

    def finish(self, result: Any) -> None:
        """The call returned: a stream goes on, anything else is the result."""
        iterator = getattr(result, self._form.iterator, None)
        if not isinstance(iterator, (types.GeneratorType, types.AsyncGeneratorType)):
            self._ticket.finish(result)
            return
        over = _generated if isinstance(iterator, types.GeneratorType) else _async_generated
        recorded: Any = over(self._ticket, iterator)  # type: ignore[arg-type]  # each takes its own
        setattr(result, self._form.iterator, recorded)
        # Its own, which closes the connection only, is called through the
        # class: kept in itself it would keep the object alive.
        closing = _closing if over is _generated else _async_closing
        result.close = closing(type(result).close, weakref.ref(result), recorded)


def _stood_in(answer: Answer, form: StreamForm) -> Answer:
    if answer.items is None:
        return answer
    items = _async_replayed(answer) if form.is_async else _replayed(answer)
    return Answer(value=form.stand_in(items), is_async=answer.is_async)


def _closing(close: Callable[[Any], Any], stream: Callable[[], Any], items: Any) -> Callable[[], Any]:
    def closed() -> Any:
        try:
            return close(stream())
        finally:
            # Closed from within a step, it goes on to its own end.
            with contextlib.suppress(ValueError):
                items.close()

    return closed


def _async_closing(close: Callable[[Any], Any], stream: Callable[[], Any], items: Any) -> Callable[[], Any]:
    async def closed() -> Any:
        try:
            return await close(stream())
        finally:
            with contextlib.suppress(RuntimeError):
                await items.aclose()

    return closed
