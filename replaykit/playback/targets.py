"""What recorded calls can run on again: functions by their names, and the methods of an object."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import itertools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Never

import attrs

from replaykit.errors import UsageError
from replaykit.facts import K_NAMES, SELF, facts_of, own_arguments
from replaykit.format.values import pack, plain, unpack
from replaykit.intercept.chains import run_again
from replaykit.model import (
    Checkpoint,
    Divergence,
    Frame,
    FrameId,
    ReplayAction,
    ReplayOptions,
    ReplaySession,
    Structured,
)
from replaykit.operations import Chain, Operation, StreamForm, frozen, live_facts
from replaykit.playback.replaying import Clean, Declined, NotComparable, Ran, is_count, may_run, ran

__all__ = ["Functions", "Methods", "Signatures", "bound", "called", "row_of"]

_READS = frozenset({"find", "ask"})


class Functions:
    """
    Functions under the names that they were recorded with.

    Reads (find, ask) run; writes and tools only if *options* allow their name
    or kind.  A function that was decorated runs unrecorded.

    Raises:
        UsageError: One of them cannot be called.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]], options: ReplayOptions) -> None:
        for name, function in functions.items():
            if not callable(function):
                raise UsageError(f"{name!r} is to be replayed, but a {type(function).__name__} cannot be called")
        self._functions = {name: _undecorated(function) for name, function in functions.items()}
        self._rows = {name: row for name, function in functions.items() if (row := row_of(function)) is not None}
        self._signatures = Signatures()
        self._options = options
        self._is_from_checkpoint = False
        self._without_effect: set[tuple[str, str]] = set()

    @property
    def notes(self) -> Sequence[str]:
        """What could not be done as the options say."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if self._options.base == "then":
            yield "base='then' needs a memory with a past: the calls ran on the target as it is"
        if self._is_from_checkpoint:
            yield "the functions' memory was not restored to the checkpoint"
        for wish in sorted({wish for wish, _ in self._without_effect}):
            calls = ", ".join(sorted(name for other, name in self._without_effect if other == wish))
            yield f"{wish} had no effect on {calls}"

    @contextmanager
    def opened(self, session: ReplaySession, checkpoint: Checkpoint | None) -> Iterator[None]:
        """Nothing has to be made ready; a state cannot be gone back to."""
        self._is_from_checkpoint = checkpoint is not None
        yield

    def in_order(self, actions: Sequence[ReplayAction]) -> Sequence[ReplayAction]:
        """As they were numbered: nothing says in which order calls of several threads took effect."""
        return actions

    def takes(self, action: ReplayAction) -> bool:
        """Whether there is a function of its name."""
        return action.name in self._functions

    def checked(self, action: ReplayAction, arguments: Mapping[str, Any], clean: Clean) -> list[Divergence] | None:
        """All that can be known of a function comes of calling it."""
        return None

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Call the function of that name; a coroutine is awaited, a generator read to its end."""
        demand_leave(action, self._options)
        function = self._functions[action.name]
        self._without_effect.update((wish, action.name) for wish in _without_effect(self._options, action, arguments))
        call = bound(function, changed_by(self._options, action, arguments), self._signatures.of(action.name, function))
        result = ran(lambda: called(call, _most_items(action)))
        return result if result.error is not None else self._with_frames(action, arguments, result)

    def _with_frames(self, action: ReplayAction, arguments: Mapping[str, Any], result: Ran) -> Ran:
        """Return *result* with the frames that a read gave, found as a recorder finds them."""
        if action.kind not in _READS:
            return result
        row = self._rows.get(action.name) or Operation(kind=action.kind, name=action.name)
        return attrs.evolve(result, frames=_frames(row, arguments, result.value, result.value))

    def state_hash(self, checkpoint: Checkpoint) -> bytes | None:
        """Functions have no state that could be compared."""
        return None

    def frame_like(self, frame: Frame) -> FrameId | None:
        """What functions stand on cannot be searched."""
        return None

    def cause(self, divergence: Divergence, action: ReplayAction) -> str:
        """Nothing is known of what a function stands on."""
        return ""


class Methods(Functions):
    """
    The methods of *target* that *rows* name, as they are now, and the calls that *chains* put together.

    The same as for `Functions`; a writing method runs only with leave.
    """

    def __init__(
        self,
        target: Any,
        rows: Mapping[str, Operation],
        options: ReplayOptions,
        chains: Mapping[str, Chain] = MappingProxyType({}),
    ) -> None:
        methods = {row.name or path: _reached(target, path) for path, row in rows.items()}
        for start, chain in chains.items():
            for end, row in _whole_rows(chain).items():
                methods[row.name] = functools.partial(run_again, target, start, end)
                rows = {**rows, row.name: row}
        missing = [name for name, method in methods.items() if not callable(method)]
        super().__init__({name: method for name, method in methods.items() if callable(method)}, options)
        self._rows = {row.name or path: row for path, row in rows.items()}
        self._missing = missing

    def takes(self, action: ReplayAction) -> bool:
        """Whether the target has, or should have, a method of its name."""
        return super().takes(action) or action.name in self._missing

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Call the method of that name."""
        if action.name in self._missing:
            raise NotComparable(f"the target has no method {action.name!r}")
        result = super().run(action, arguments)
        if result.error is not None:
            return result
        row = self._rows[action.name]
        if "stream" in action.flags and row.stream is not None:
            result = _listed_object(row.stream, result, _most_items(action))
        if result.error is not None:
            return result
        value = _frozen(row, result.value)
        return attrs.evolve(result, value=value, frames=_frames(row, arguments, result.value, value))

    def _with_frames(self, action: ReplayAction, arguments: Mapping[str, Any], result: Ran) -> Ran:
        # They are looked for in what the row makes of the result.
        return result


def _frames(row: Operation, arguments: Mapping[str, Any], result: Any, frozen_result: Any) -> tuple[FrameId, ...]:
    """Return the frames of a call that returned *result*, which is recorded as *frozen_result*."""
    said = live_facts(row, arguments, result)
    facts = facts_of(row.definition(), _stored(dict(arguments)), _stored(frozen_result), said and _stored(said))
    return facts.ids


def _listed_object(form: StreamForm, result: Ran, most: int | None) -> Ran:
    """
    Return *result* with the items of the stream object that it is.

    Raises:
        NotComparable: It has to be entered, or awaited.
    """
    iterator = getattr(result.value, form.iterator, None)
    if not inspect.isgenerator(iterator):
        raise NotComparable("it gave a stream, which a replay cannot enter")
    listed = ran(lambda: list(itertools.islice(iterator, most)))
    return attrs.evolve(listed, duration_ns=result.duration_ns + listed.duration_ns)


def _frozen(row: Operation, value: Any) -> Any:
    is_stream = row.stream is not None and isinstance(value, list)
    return [frozen(row, item) for item in value] if is_stream else frozen(row, value)


def _stored(value: Any) -> Any:
    """Return *value* as a recording has it."""
    return plain(unpack(pack(value)), notes=set())


def _whole_rows(chain: Chain) -> Mapping[str, Operation]:
    """Return the rows of a wrapped object's chain, which have their names."""
    return {end: row for end, row in chain.ends.items() if isinstance(row, Operation)}


def demand_leave(action: ReplayAction, options: ReplayOptions) -> None:
    """
    Return if the call only reads, or *options* allow it by name or kind.

    Raises:
        Declined: It might change something.
    """
    if not may_run(action, options):
        raise Declined(f"{action.name} may change something: allow={action.name!r} lets it run")


def changed_by(options: ReplayOptions, action: ReplayAction, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return *arguments* with what *options* ask for otherwise, as far as the call has such parameters."""
    changed = dict(arguments)
    for names, value in _wishes(options, action).values():
        changed |= dict.fromkeys(_taking(names, arguments), value)
    return changed


def _wishes(options: ReplayOptions, action: ReplayAction) -> dict[str, tuple[Sequence[str], Any]]:
    """Return by option what the parameters are called that it changes in such a call, and to what."""
    wishes: dict[str, tuple[Sequence[str], Any]] = {}
    if action.kind in _READS and options.top_k is not None:
        wishes["top_k"] = K_NAMES, options.top_k
    if action.kind == "find" and options.search_mode is not None:
        wishes["search_mode"] = ("mode", "search_type"), options.search_mode
    if action.kind == "ask" and options.model is not None:
        model = options.model if options.provider is None else f"{options.provider}:{options.model}"
        wishes["model"] = ("model",), model
    if action.kind == "ask" and options.temperature is not None:
        wishes["temperature"] = ("temperature",), options.temperature
    return wishes


def _taking(names: Sequence[str], arguments: Mapping[str, Any]) -> list[str]:
    """Return which of *names* the call has; a k that was no number is something else, a key for example."""
    found = [name for name in names if name in arguments]
    return [name for name in found if names is not K_NAMES or arguments[name] is None or is_count(arguments[name])]


def _without_effect(options: ReplayOptions, action: ReplayAction, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that are meant for such a call and that it cannot follow."""
    for wish, (names, _) in _wishes(options, action).items():
        if not _taking(names, arguments):
            yield wish
    if action.kind == "find" and options.adaptive:
        yield "adaptive"
    if action.kind == "ask" and options.audit_mode:
        yield "audit_mode"


class Signatures:
    """The signatures of a target's functions by name: to look at one takes longer than many a call."""

    def __init__(self) -> None:
        self._known: dict[str, inspect.Signature | None] = {}

    def of(self, name: str, function: Callable[..., Any]) -> inspect.Signature | None:
        """Return that of *function*, which is always the same under this *name*; None where it has none."""
        if name not in self._known:
            try:
                self._known[name] = inspect.signature(function)
            except (TypeError, ValueError):
                self._known[name] = None
        return self._known[name]


def bound(
    function: Callable[..., Any], arguments: Mapping[str, Any], signature: inspect.Signature | None
) -> Callable[[], Any]:
    """
    Return the call of *function* with recorded *arguments*, which go by parameter name.

    The settings of the object that was called are no argument.

    Raises:
        NotComparable: The function takes other arguments now, or one of them
            was an object that cannot be made again.
    """
    if signature is None or SELF not in signature.parameters:
        arguments = own_arguments(arguments)
    foreign = next((name for name, value in arguments.items() if isinstance(value, Structured)), None)
    if foreign is not None:
        raise NotComparable(f"the argument {foreign!r} was an object, which cannot be made again")
    if signature is None:
        return _unnamed_call(function, arguments)
    rest = dict(arguments)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    is_by_place = True
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= _kept_apart(rest, name, signature)
            continue
        # Behind a parameter that the recorded call did not have, places would
        # be off by one.
        is_by_place = is_by_place and name in rest and parameter.kind is not parameter.KEYWORD_ONLY
        if parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(rest.pop(name, ()))
        elif is_by_place:
            args.append(rest.pop(name))
        elif name in rest:
            kwargs[name] = rest.pop(name)
    kwargs |= rest
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise NotComparable(f"its signature changed: {error}") from error
    return lambda: function(*args, **kwargs)


def _unnamed_call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[[], Any]:
    """Return the call of a function without a signature: what it got by place is recorded as ``args``."""
    rest = dict(arguments)
    args = rest.pop("args") if isinstance(rest.get("args"), tuple) else ()
    given = rest.get("kwargs")
    kwargs = given if isinstance(given, Mapping) and "args" in given else rest
    return lambda: function(*args, **kwargs)


def _kept_apart(rest: dict[str, Any], name: str, signature: inspect.Signature) -> dict[str, Any]:
    """Take from *rest* the keywords of a call that were recorded together: one has the name of a parameter."""
    given = rest.get(name)
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    hidden = {each.name for each in signature.parameters.values() if each.kind in by_place}
    return rest.pop(name) if isinstance(given, dict) and not hidden.isdisjoint(given) else {}


def _most_items(action: ReplayAction) -> int | None:
    """Return how many items were read of a stream that its consumer left; None where it was read to its end."""
    return len(action.output) if "abandoned" in action.flags and isinstance(action.output, list) else None


def called(call: Callable[[], Any], most: int | None = None) -> Any:
    """
    Return what *call* gives, as recordings have it: coroutines awaited, streams as lists of their items.

    Of a stream up to *most* items are read: it may have no end.
    """
    result = call()
    if inspect.isawaitable(result):
        return _waited_for(_awaited(result, most))
    if inspect.isgenerator(result):
        with contextlib.closing(result):
            return list(itertools.islice(result, most))
    if inspect.isasyncgen(result):
        return _waited_for(_listed(result, most))
    return result


async def _awaited(result: Awaitable[Any], most: int | None) -> Any:
    found = await result
    return await _listed(found, most) if inspect.isasyncgen(found) else found


async def _listed(stream: AsyncGenerator[Any, Never], most: int | None) -> list[Any]:
    items: list[Any] = []
    async with contextlib.aclosing(stream):
        while most is None or len(items) < most:
            try:
                items.append(await anext(stream))
            except StopAsyncIteration:
                break
    return items


def _waited_for(work: Any) -> Any:
    """Run a coroutine to its end, also inside a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    found: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:
            failed.append(error)

    # In this context, so that what keeps it from being recorded holds there too.
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="replaykit-replay")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _undecorated(function: Any) -> Any:
    """Return the function below ours, so that its calls are not recorded and no play answers them."""
    from replaykit.intercept.functions import RecordedFunction, RecordedMethod

    while isinstance(function, (RecordedFunction, RecordedMethod)):
        function = function.__wrapped__
    return function


def row_of(function: Any) -> Operation | None:
    """Return the row that a decorated function, or a method of its class, is recorded with; None for any other."""
    from replaykit.intercept.functions import RecordedFunction, RecordedMethod

    decorated = function._self_parent if isinstance(function, RecordedMethod) else function
    return decorated._self_rebuild[0] if isinstance(decorated, RecordedFunction) else None


def _reached(target: Any, path: str) -> Any:
    for step in path.split("."):
        target = getattr(target, step, None)
    return target
