"""
Calls that a builder collects: one method begins, others say more, the last runs it.

``table.search(q).limit(3).to_list()`` is one call to its user, so it is
recorded as one: ``search.to_list``, with the arguments of ``search`` by their
names and what each step was given under the step's name.  The library's
builder is made and told at once, except in a play: there nothing of it runs.
A step that fails is a call of its own, so that it fails in a play, too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from replaykit.intercept.binding import binder_of
from replaykit.intercept.handler import Called
from replaykit.intercept.recorded import Recorded, settled
from replaykit.intercept.scope import handler_for, is_playing, observer_for
from replaykit.intercept.shapes import run, shape_of
from replaykit.operations import Chain, Operation

__all__ = ["Builder", "begun_by", "beginning_method", "run_again"]

Step = tuple[str, tuple[Any, ...], dict[str, Any]]


@attrs.frozen(eq=False)
class _Begun:
    """
    The first method of a call, with its arguments; *make* gives the library's builder, or a coroutine of it.

    *target* is what it is a method of; *observed* turns what is recorded into what begins it; *is_async* is
    whether the builder has to be awaited.
    """

    name: str
    chain: Chain
    recorder: Any
    target: Any
    arguments: dict[str, Any]
    make: Callable[[], Any]
    observed: Callable[[Recorded], Any]
    is_async: bool

    def row(self, step: str = "") -> Operation:
        """Return the row of the first method, or of a step, for when it fails."""
        end: Any = next(iter(self.chain.ends.values()))
        return _row_of_a_step(end, f"{self.name}.{step}" if step else self.name)

    def all_arguments(self, row: Operation, steps: Iterable[Step]) -> dict[str, Any]:
        """Return the arguments of the whole call: of the first method, of *steps*, and the settings of its object."""
        return settled(row, self.target, _arguments(self.arguments, steps))


@functools.lru_cache(maxsize=1024)
def _row_of_a_step(end: Operation, name: str) -> Operation:
    # The same object each time: a session numbers its rows.
    return attrs.evolve(end, name=name, freeze=None, thaw=None)


class Builder:
    """
    Stands for a library's builder and records the call that it collects when that runs.

    Everything that is no part of a call is the library's builder's.
    """

    def __init__(self, begun: _Begun, steps: Iterable[Step], built: Any) -> None:
        self._self_begun = begun
        self._self_steps = list(steps)
        self._self_built = built

    @property  # type: ignore[misc]  # as wrapt's proxies do: isinstance sees the builder
    def __class__(self) -> Any:
        return Builder if self._self_built is None else type(self._self_built)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_self_"):
            raise AttributeError(name)
        chain, built = self._self_begun.chain, self._self_built
        is_end = name in chain.ends
        if is_end or name in chain.steps or name in chain.forks:
            if built is not None:
                # Not each kind of builder has each method.
                getattr(built, name)
            return functools.partial(_ended if is_end else _told, self, name)
        value = getattr(_made(self), name)
        if callable(value) and not name.startswith("_") and name not in chain.ignored:
            observer = observer_for(self._self_begun.recorder)
            if observer is not None:
                observer.note_uncovered((type(self._self_built).__name__, name))
        return value

    def __repr__(self) -> str:
        told = "".join(f".{name}(...)" for name, _, _ in self._self_steps)
        return f"<{self.__class__.__name__} of a call{': ' if told else ''}{told}>"


def _told(builder: Builder, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Say more of the call: to the builder itself, or as another one where that is what its library does."""
    begun, built = builder._self_begun, builder._self_built
    steps: list[Step] = [*builder._self_steps, (name, args, kwargs)]
    if built is None and _runs_in_play(begun, name, steps):
        built = _made(builder)
    if built is None:
        result, is_other = None, name in begun.chain.forks
    else:
        result = _tried(begun, name, steps, functools.partial(getattr(built, name), *args, **kwargs))
        is_other = result is not built
    if is_other:
        return Builder(begun, steps, result)
    builder._self_steps = steps
    return builder


def _ended(builder: Builder, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Run the call and have it recorded, or answered."""
    begun, step = builder._self_begun, (name, args, kwargs)
    row: Any = begun.chain.ends[name]

    def bind(*_: Any, **__: Any) -> dict[str, Any]:
        return begun.all_arguments(row, [*builder._self_steps, step] if args or kwargs else builder._self_steps)

    recorded = begun.observed(Recorded(row, begun.recorder, bind=bind))
    return run(recorded, functools.partial(_really_ended, builder, name), args, kwargs)


def _arguments(first: Mapping[str, Any], steps: Iterable[Step]) -> dict[str, Any]:
    """Return the arguments of all methods of a call; of a step that is taken twice the second is ``name_2``."""
    found = dict(first)
    for name, args, kwargs in steps:
        free = name
        number = 1
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found[free] = _given(args, kwargs)
    return found


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a step was given: one value as it is, else a map."""
    if len(args) == 1 and not kwargs and not isinstance(args[0], dict):
        return args[0]
    return {"args": list(args), **kwargs} if args else kwargs


# -- what fails before the call runs -------------------------------------------------


def _tried(begun: _Begun, step: str, steps: Iterable[Step], function: Callable[[], Any]) -> Any:
    """Return what *function* gives; that it raised is recorded."""
    try:
        return function()
    except Exception as error:
        _keep(begun, step, steps, error)
        raise


def _keep(begun: _Begun, step: str, steps: Iterable[Step], error: Exception) -> None:
    """Record that a step, or the first method, raised *error*, which is raised."""
    if not is_playing():
        row = begun.row(step)
        run(Recorded(row, begun.recorder, bind=lambda *_: begun.all_arguments(row, steps)), _raise, (error,), {})


def _raise(error: Exception) -> None:
    raise error


def _runs_in_play(begun: _Begun, step: str = "", steps: Iterable[Step] = ()) -> bool:
    """
    Return whether a step, or the first method, runs in a play: if the play lets it run for real.

    What was raised when it was recorded is raised.
    """
    if not is_playing():
        return True
    row = begun.row(step)
    called, arguments = Called(row, begun.recorder), begun.all_arguments(row, steps)
    player = handler_for(begun.recorder)
    if not player.knows(called, arguments):
        return False
    ticket = player.begin(called, arguments)
    if ticket is not None:
        ticket.answer.get()
    return ticket is None


# -- the library's builder ----------------------------------------------------------


def _really_ended(builder: Builder, name: str, /, *args: Any, **kwargs: Any) -> Any:
    if builder._self_built is None and builder._self_begun.is_async:
        return _ended_later(builder, name, args, kwargs)
    return getattr(_made(builder), name)(*args, **kwargs)


async def _ended_later(builder: Builder, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    built = _with_steps(await builder._self_begun.make(), builder._self_steps)
    result = getattr(built, name)(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _made(builder: Builder) -> Any:
    """Return the library's builder; a play has put off making it."""
    if builder._self_built is None:
        builder._self_built = _with_steps(builder._self_begun.make(), builder._self_steps)
    return builder._self_built


def _with_steps(built: Any, steps: Iterable[Step]) -> Any:
    for name, args, kwargs in steps:
        built = getattr(built, name)(*args, **kwargs)
    return built


# -- the method that begins ---------------------------------------------------------


def _itself(recorded: Recorded) -> Any:
    return recorded


def begun_by(
    method: Any,
    name: str,
    chain: Chain,
    recorder: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    observed: Callable[[Recorded], Any] = _itself,
    within: Callable[..., Any] | None = None,
) -> Any:
    """
    Return the builder of a call that *method*, a bound one, begins; a coroutine of it where that is one.

    *within* calls the method in the library's stead, as it would.
    """
    begins = method if within is None else functools.partial(within, method)
    make = functools.partial(begins, *args, **kwargs)
    is_async = shape_of(method) == "coroutine"
    target, arguments = getattr(method, "__self__", None), binder_of(method)(*args, **kwargs)
    call = _Begun(name, chain, recorder, target, arguments, make, observed, is_async)
    if is_async:
        return _begun_later(call)
    return Builder(call, (), _tried(call, "", (), call.make) if _runs_in_play(call) else None)


async def _begun_later(call: _Begun) -> Builder:
    if not _runs_in_play(call):
        return Builder(call, (), None)
    try:
        return Builder(call, (), await call.make())
    except Exception as error:
        _keep(call, "", (), error)
        raise


def beginning_method(name: str, function: Any) -> Any:
    """Return the method of a proxy that begins a call, like *function*; None for one that is no such method."""

    def begun(proxy: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        method = getattr(proxy.__wrapped__, name)
        return begun_by(method, name, proxy._self_methods.chains[name], proxy._self_recorder, args, kwargs)

    @functools.wraps(function)
    def beginning(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return begun(self, args, kwargs)

    @functools.wraps(function)
    async def beginning_later(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await begun(self, args, kwargs)

    return {"plain": beginning, "coroutine": beginning_later}.get(shape_of(function))


# -- the same call again ----------------------------------------------------------------


def run_again(target: Any, start: str, end: str, /, **arguments: Any) -> Any:
    """Make the call on *target* whose recorded arguments these are; where it begins with a coroutine, so is this."""
    method = getattr(target, start)
    first = {name: arguments.pop(name) for name in inspect.signature(method).parameters if name in arguments}
    built = method(**first)
    if inspect.isawaitable(built):
        return _run_again_later(built, end, arguments)
    return _told_again(built, end, arguments)


async def _run_again_later(beginning: Any, end: str, given: Mapping[str, Any]) -> Any:
    result = _told_again(await beginning, end, given)
    return await result if inspect.isawaitable(result) else result


def _told_again(built: Any, end: str, given: Mapping[str, Any]) -> Any:
    steps = dict(given)
    last = steps.pop(end, {})
    for name, value in steps.items():
        step = name if hasattr(built, name) else name.rpartition("_")[0]
        built = _called(getattr(built, step), value)
    return _called(getattr(built, end), last)


def _called(method: Any, given: Any) -> Any:
    if not isinstance(given, dict):
        return method(given)
    return method(*given.get("args", ()), **{name: value for name, value in given.items() if name != "args"})
