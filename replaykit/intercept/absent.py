"""
Methods without a target: what `wrap(None, ...)` stands for.

Inside a play they are answered like any other; elsewhere there is nothing
that could run, and a call says so.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from replaykit.errors import PlaybackError
from replaykit.intercept.binding import binder_of
from replaykit.intercept.handler import Called, Ticket
from replaykit.intercept.recorded import Recorded
from replaykit.intercept.scope import handler_for, is_playing
from replaykit.intercept.shapes import shape_of
from replaykit.operations import Operation

__all__ = ["Absent", "AbsentCall", "absent_method", "absent_target", "class_of"]


@attrs.frozen
class AbsentCall(Called):
    """A call that nothing can run; *positional* are arguments whose names nobody knows, None if all have theirs."""

    positional: tuple[Any, ...] | None = None


@attrs.frozen
class _AbsentMethod(Recorded):
    """A method that only a play answers."""

    is_signed: bool = attrs.field(kw_only=True)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ticket:
        """
        Return the ticket of a call, which has an answer.

        Raises:
            PlaybackError: No play is open, or it would let the call run.
        """
        if not is_playing():
            raise _refusal(self.operation.name, "it answers inside `with replaykit.play(...)` only")
        given = {name: value for name, value in kwargs.items() if name not in self.operation.omits}
        named = self.bind(*args, **kwargs) if self.is_signed else given
        unnamed = None if self.is_signed else args
        called = AbsentCall(self.operation, self.recorder, None, self.returns, unnamed)
        ticket: Ticket | None = handler_for(self.recorder).begin(called, named)
        if ticket is None:
            raise _refusal(self.operation.name, "live= names it, and there is nothing to run")
        return ticket


def _refusal(name: str, reason: str) -> PlaybackError:
    return PlaybackError(f"{name}() has no target: {reason}. To record or run it, wrap the real object.")


class Absent:
    """Stands for an object that is not there; has the methods that it would have."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name!r} is not recorded, and this object stands for one that is not there: wrap(None, ...) has the "
            "methods in operations= and those of like="
        )

    def __repr__(self) -> str:
        return f"<no {type(self).__qualname__}: answers in a play>"


def absent_target(like: type | None, paths: Iterable[str]) -> Any:
    """
    Return a stand-in with the methods of *like* and those that *paths* name, dotted ones below attributes.

    What is given *like* a class has its signatures and passes for its instance.
    """
    heads: dict[str, list[str]] = {}
    for path in paths:
        head, _, rest = path.partition(".")
        heads.setdefault(head, []).extend([rest] if rest else [])
    made = _absent_class(like, tuple(sorted(head for head, below in heads.items() if not below)))()
    for head, below in heads.items():
        if below:
            vars(made)[head] = absent_target(_class_of(like, head), below)
    vars(made)["_replaykit_origin"] = (like, tuple(paths))
    return made


def _class_of(like: type | None, name: str) -> type | None:
    """Return the class that *like* declares its attribute *name* to be; None where it says nothing."""
    try:
        declared = typing.get_type_hints(like).get(name) if like is not None else None
    except Exception:
        # Annotations may name what only a type checker sees.
        return None
    return declared if isinstance(declared, type) else None


def class_of(target: Any) -> type:
    """Return the class of *target*, or the one that it stands for."""
    like: type | None = vars(target)["_replaykit_origin"][0] if isinstance(target, Absent) else None
    return like or type(target)


@functools.lru_cache(maxsize=256)
def _absent_class(like: type | None, names: tuple[str, ...]) -> type[Absent]:
    members: dict[str, Any] = {}
    for name in dir(like) if like is not None else names:
        attribute = None if like is None else inspect.getattr_static(like, name, None)
        is_wanted = name in names or not name.startswith("_")
        if is_wanted and (like is None or inspect.isroutine(attribute)):
            members[name] = _method(name, attribute)
    if like is not None:
        members["__class__"] = property(lambda _: like)
        members.update(__module__=like.__module__, __qualname__=like.__qualname__, __doc__=like.__doc__)
    members["__reduce__"] = lambda self: (absent_target, vars(self)["_replaykit_origin"])
    return type("Absent" if like is None else like.__name__, (Absent,), members)


def _method(name: str, attribute: Any) -> Any:
    original = getattr(attribute, "__func__", attribute)

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise _refusal(name, "it is not in operations=")

    async def coroutine_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise _refusal(name, "it is not in operations=")

    def generator_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise _refusal(name, "it is not in operations=")
        yield

    async def stream_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise _refusal(name, "it is not in operations=")
        yield

    made: Mapping[str, Callable[..., Any]] = {
        "plain": method,
        "coroutine": coroutine_method,
        "generator": generator_method,
        "async_generator": stream_method,
    }
    chosen = made[shape_of(original) if original is not None else "plain"]
    if original is None:
        chosen.__name__ = name
        return chosen
    wrapped = functools.wraps(original)(chosen)
    return type(attribute)(wrapped) if isinstance(attribute, (classmethod, staticmethod)) else wrapped


def absent_method(target: Absent, name: str, row: Operation, recorder: Any) -> Recorded:
    """Return the recorded form of a stand-in's method."""
    method = getattr(target, name)
    original = inspect.unwrap(method)
    is_signed = hasattr(method, "__wrapped__") and _has_signature(method)
    returns = getattr(method, "__annotations__", {}).get("return")
    bind = binder_of(method, omit=row.omits)
    return _AbsentMethod(row, recorder, None, (original, returns), bind=bind, is_signed=is_signed)


def _has_signature(method: Any) -> bool:
    try:
        inspect.signature(method)
    except (TypeError, ValueError):
        return False
    return True
