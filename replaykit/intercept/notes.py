"""Calls that are not recorded and say something of the session: whose thread it is, which user's."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from replaykit.intercept.binding import binder_of
from replaykit.intercept.scope import observer_for
from replaykit.intercept.shapes import shape_of

__all__ = ["noting_method"]


def noting_method(name: str, function: Any) -> Any:
    """Return the method of a proxy that passes a call on, like *function*, and notes what its arguments say."""
    bind = binder_of(function, skip_first=True)

    def note(proxy: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        observer = observer_for(proxy._self_recorder)
        if observer is None:
            return
        arguments = bind(*args, **kwargs)
        for key, path in proxy._self_methods.notes[name].items():
            value = _at(arguments, path)
            if isinstance(value, (str, int, UUID)):
                observer.note_metadata(key, str(value))

    @functools.wraps(function)
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        note(self, args, kwargs)
        return getattr(self.__wrapped__, name)(*args, **kwargs)

    @functools.wraps(function)
    async def coroutine_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        note(self, args, kwargs)
        return await getattr(self.__wrapped__, name)(*args, **kwargs)

    return coroutine_method if shape_of(function) == "coroutine" else method


def _at(arguments: Mapping[str, Any], path: str) -> Any:
    value: Any = arguments
    for step in path.split("."):
        # Foreign objects are not looked into.
        value = value.get(step) if isinstance(value, dict) else None
    return value
