"""Functions that take a session along, into whatever thread or task they run in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from replaykit.intercept.scope import Scope
from replaykit.intercept.shapes import shape_of
from replaykit.intercept.steps import Inside

__all__ = ["carried"]


def carried(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    """Return *function*, or coroutine function, so that each call of it runs in *scope* and leaves none behind."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        return Inside(scope).step(function, *args, **kwargs)

    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        return await Inside(scope).step_async(function, *args, **kwargs)

    carrying = coroutine if shape_of(function) == "coroutine" else plain
    # A partial and a callable object have no name to hand on.
    return functools.update_wrapper(carrying, function) if hasattr(function, "__name__") else carrying
