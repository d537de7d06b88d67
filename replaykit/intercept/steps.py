"""
Steps of a generator: each runs in a scope of its own, and nothing of it leaks into the consumer.

What the consumer sends, throws or closes reaches the generator as if nobody
stood between.
"""

from __future__ import annotations

import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from replaykit.intercept.scope import CURRENT, Scope

__all__ = ["ENDED", "Inside", "Returned", "in_own_scope", "in_own_scope_async", "kept", "relaying", "steps_of"]


class Inside:
    """The scope of a generator or coroutine, kept for it between its steps, so that nobody else ever runs in it."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call *function* in the scope."""
        return self.step(lambda _: function(*args, **kwargs), None)

    def step(self, step: Callable[[Any], Any], given: Any) -> Any:
        """Take one step in the scope: hand *given* to it."""
        outer, entered = CURRENT.get(), self.scope
        below = entered.outer if entered is not None else None
        try:
            CURRENT.set(entered)
            return step(given)
        finally:
            # An interrupt may come between any two calls.
            try:
                self.scope = CURRENT.get()
            finally:
                # The step may have ended the session around it.
                CURRENT.set(entered.outer if entered is not None and below is outer else outer)

    @types.coroutine
    def awaiting(self, awaitable: Any) -> Generator[Any, Any, Any]:
        """Await in steps, each in its own scope: whoever runs while it waits, in the same context or not, does not."""
        steps = steps_of(awaitable)
        # The first step is that of `step`, without the call: most often it is the only one.
        outer, entered = CURRENT.get(), self.scope
        below = entered.outer if entered is not None else None
        try:
            CURRENT.set(entered)
            item = steps.send(None)
        except StopIteration as stop:
            return stop.value
        except BaseException:
            # What throws an error in holds it, and the error this frame.
            awaitable = steps = None
            raise
        finally:
            try:
                self.scope = CURRENT.get()
            finally:
                CURRENT.set(entered.outer if entered is not None and below is outer else outer)
        return (yield from _further(steps, self, item))

    @types.coroutine
    def going_on(self, steps: Any, item: Any, returned: Returned) -> Generator[Any, Any, Any]:
        """Do the same with *steps* of `kept` that have given *item*."""
        yield from _further(steps, self, item)
        return returned.value


class Returned:
    """What a coroutine has returned, as ``value``; unset until it has."""

    __slots__ = ("value",)

    value: Any


ENDED = object()
"""What ``next(kept(...), ENDED)`` gives for a coroutine that has made its last step."""


@types.coroutine
def kept(coroutine: Any, returned: Returned) -> Generator[Any, Any, None]:
    """
    Take the steps of *coroutine* and set what it returns as ``returned.value``.

    A generator that returns nothing ends within ``next`` without an
    exception, which costs as much as all else that an awaited call adds.
    """
    steps: Any = coroutine if type(coroutine) is types.CoroutineType else steps_of(coroutine)
    returned.value = yield from steps


def steps_of(awaitable: Any) -> Any:
    """Return what runs the steps of something to await."""
    # What `asend` gives is not an iterator of every kind; what it awaits is.
    return awaitable if hasattr(awaitable, "send") else awaitable.__await__()


def in_own_scope(generator: Any, inside: Inside | None = None) -> Generator[Any, Any, Any]:
    """
    Iterate *generator* so that a session which it opens is open in its own steps only.

    They begin in the scope of *inside*, or else of the context of the first one.
    """
    inside = Inside(CURRENT.get()) if inside is None else inside
    try:
        item = inside.step(generator.send, None)
    except StopIteration as stop:
        return stop.value
    return (yield from _further(generator, inside, item))


def _further(steps: Any, inside: Inside, item: Any) -> Generator[Any, Any, Any]:
    """Yield *item* and what the further steps give."""
    while True:
        step, given = steps.send, None
        try:
            given = yield item
        except GeneratorExit:
            inside.run(steps.close)
            raise
        except BaseException as error:
            step, given = steps.throw, error
        try:
            item = inside.step(step, given)
        except StopIteration as stop:
            return stop.value
        finally:
            # An error that is thrown in would keep this frame, and this frame it.
            given = None


def relaying(
    opened: Callable[..., AsyncGenerator[Any, Any]],
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """
    Return an async generator function that hands on all that happens between its consumer and *opened*.

    It is opened, iterated and closed within a context manager from *around*.
    """

    async def relay(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with around():
            stream = opened(*args, **kwargs)
            step: Callable[..., Any] = stream.asend
            given: Any = None
            while True:
                try:
                    item = await step(given)
                except StopAsyncIteration:
                    return
                finally:
                    # As in `_further`: an error would keep this frame, and this frame it.
                    given = None
                try:
                    given = yield item
                    step = stream.asend
                except GeneratorExit:
                    # Leaving early must reach the target's own clean-up at
                    # once, not when the garbage collector comes by.
                    await stream.aclose()
                    raise
                except BaseException as error:
                    step, given = stream.athrow, error

    return relay


def in_own_scope_async(generator: AsyncGenerator[Any, Any], inside: Inside | None = None) -> AsyncGenerator[Any, Any]:
    """As `in_own_scope`, but that without *inside* the steps begin in the scope of this call."""
    inside = Inside(CURRENT.get()) if inside is None else inside
    return relaying(lambda: _Stepped(inside, generator))()  # type: ignore[arg-type,return-value]  # the three methods that are used


class _Stepped:
    """An async generator whose steps run in a scope of their own."""

    def __init__(self, inside: Inside, generator: AsyncGenerator[Any, Any]) -> None:
        self._inside = inside
        self._generator = generator

    def asend(self, value: Any) -> Any:
        return self._inside.awaiting(self._generator.asend(value))

    def athrow(self, error: BaseException) -> Any:
        return self._inside.awaiting(self._generator.athrow(error))

    def aclose(self) -> Any:
        return self._inside.awaiting(self._generator.aclose())
