"""
Calls that give one item after the other: generators and async generators, recorded and played.

The scope of the call is set around each step, never over the generator's
life: it would leak into the consumer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from replaykit.intercept.handler import Answer, Ticket
from replaykit.intercept.recorded import Recorded
from replaykit.intercept.steps import Inside, relaying

__all__ = [
    "async_generated",
    "async_replayed",
    "generated",
    "opened_stream",
    "replayed",
    "resumed",
    "run_async_generator",
    "run_generator",
]


def run_generator(
    recorded: Recorded, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[Any, Any, Any]:
    """Iterate the generator of *target*; the call begins with the first step and keeps that step's session."""
    ticket = recorded.begin(args, kwargs)
    if ticket is None:
        return (yield from target(*args, **kwargs))
    if ticket.answer is not None:
        return (yield from replayed(ticket.answer))
    return (yield from generated(ticket, _opened(ticket, target, args, kwargs)))


def _opened(ticket: Ticket, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return target(*args, **kwargs)
    except BaseException as error:
        ticket.fail(error)
        raise


def replayed(answer: Answer) -> Generator[Any, Any, Any]:
    """Yield the recorded items of a stream, then end as it ended."""
    yield from answer.items if answer.items is not None else _iterable(answer)
    if answer.error is not None:
        raise answer.error
    return answer.value


def _iterable(answer: Answer) -> Generator[Any, Any, Any]:
    # A generator and no list: what the consumer sends has to go somewhere.
    return (item for item in (answer.value if isinstance(answer.value, list) else ()))


def generated(ticket: Ticket, generator: Generator[Any, Any, Any], is_begun: bool = False) -> Generator[Any, Any, Any]:
    """
    Yield what *generator* yields, each item noted, until it ends, fails or is left.

    Of one that *is_begun* nothing is asked for before the consumer says something:
    this yields once, for nobody.
    """
    inside = Inside(ticket.scope)
    step: Callable[..., Any] = generator.send
    given = item = None
    while True:
        try:
            if not is_begun:
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
        if not is_begun:
            ticket.item(item)
        is_begun = False
        try:
            given = yield item
            step = generator.send
        except GeneratorExit:
            _close(ticket, inside, generator)
            raise
        except BaseException as error:
            step, given = generator.throw, error


def resumed(ticket: Ticket, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Do the same with a generator that has begun already: what its consumer sends or throws first reaches it."""
    stand_in = generated(ticket, generator, is_begun=True)
    next(stand_in)
    return stand_in


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
        return async_replayed(ticket.answer)
    return async_generated(ticket, _opened(ticket, target, args, kwargs))


run_async_generator = relaying(opened_stream)


async def async_replayed(answer: Answer) -> AsyncGenerator[Any, Any]:
    """Do what `replayed` does, for a consumer that awaits."""
    for item in replayed(answer):
        yield item


async def async_generated(ticket: Ticket, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Do what `generated` does, for a consumer that awaits."""
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
