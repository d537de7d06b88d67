"""
Steps of a generator: each runs in a scope of its own, and nothing of it leaks into the consumer.

What the consumer sends, throws or closes reaches the generator as if nobody
stood between.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from replaykit.intercept.scope import CURRENT, Scope

__all__ = ["Inside", "in_own_scope", "in_own_scope_async", "left", "relaying"]


def left(inner: Scope, outer: Scope | None) -> None:
    """
    Take *inner* off this context's chain, as far as it is there.

    A context that knows nothing of *inner* (a coroutine closed by the garbage
    collector runs anywhere) stays as it is, and so does a session that was
    started inside and goes on.
    """
    link = CURRENT.get()
    if link is inner:
        CURRENT.set(outer)
        return
    while link is not None:
        if link.outer is inner:
            link.outer = outer
            return
        link = link.outer


def _holds(chain: Scope | None, scope: Scope | None) -> bool:
    while chain is not None and chain is not scope:
        chain = chain.outer
    return chain is scope


class Inside:
    """The scope of a generator, kept for it between its steps, so that its consumer never runs in it."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope

    def step(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outer = CURRENT.get()
        CURRENT.set(self.scope)
        try:
            return step(*args, **kwargs)
        finally:
            self.scope = CURRENT.get()
            CURRENT.set(outer)

    async def step_async(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        outer = CURRENT.get()
        CURRENT.set(self.scope)
        try:
            return await step(*args, **kwargs)
        finally:
            now = CURRENT.get()
            # Closed from a foreign context: that one is not ours to change.
            if _holds(now, self.scope) or _holds(self.scope, now):
                self.scope = now
                CURRENT.set(outer)


def in_own_scope(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Iterate *generator* so that a session which it opens is open in its own steps only."""
    inside = Inside(CURRENT.get())
    step: Callable[..., Any] = generator.send
    given: Any = None
    while True:
        try:
            item = inside.step(step, given)
        except StopIteration as stop:
            return stop.value
        try:
            given = yield item
            step = generator.send
        except GeneratorExit:
            inside.step(generator.close)
            raise
        except BaseException as error:
            step, given = generator.throw, error


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


def in_own_scope_async(generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Iterate *generator* so that a session which it opens is open in its own steps only."""
    inside = Inside(CURRENT.get())
    return relaying(lambda: _Stepped(inside, generator))()  # type: ignore[arg-type,return-value]  # the three methods that are used


class _Stepped:
    """An async generator whose steps run in a scope of their own."""

    def __init__(self, inside: Inside, generator: AsyncGenerator[Any, Any]) -> None:
        self._inside = inside
        self._generator = generator

    def asend(self, value: Any) -> Any:
        return self._inside.step_async(self._generator.asend, value)

    def athrow(self, error: BaseException) -> Any:
        return self._inside.step_async(self._generator.athrow, error)

    def aclose(self) -> Any:
        return self._inside.step_async(self._generator.aclose)
