"""The public verbs: wrap an object, record a function, open a block, load a recording."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from replaykit.adapters.maps import Operations, derived_map_for, map_for
from replaykit.errors import UsageError
from replaykit.intercept.absent import absent_target
from replaykit.intercept.functions import RecordedFunction, recorded_function
from replaykit.intercept.instrumenting import instrument_object, recorder_behind
from replaykit.intercept.proxy import RecordedObject, recorded_object
from replaykit.operations import Adapter, MethodMap, ObjectSettings, Operation, Place, operation_from
from replaykit.protocols import Restorable, Store
from replaykit.recording.engine import RecordingEngine
from replaykit.recording.handle import SessionHandle
from replaykit.recording.sharing import SharedRecorders
from replaykit.rewinding.surface import RewindingSurface
from replaykit.settings import Settings, absolute_store, default_store
from replaykit.surface import SessionSurface

if TYPE_CHECKING:
    from replaykit.memory.memory import Memory

__all__ = ["Recorder", "configure", "configured", "new_recorder", "recorder_of", "records", "session", "wrap"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

StorePath = str | os.PathLike[str]
Frames = Restorable | bool | None


class Recorder(RewindingSurface):
    """
    Owns a store and records into it.

    *store* is a file (``runs.rpk``), a directory (``runs/``) or a memory's
    file; without one ``REPLAYKIT_STORE`` or ``./.replaykit/``.  The options are
    those of `Settings`.

    Raises:
        UsageError: An option is unknown or wrong.
    """

    def __init__(self, store: StorePath | None = None, **options: Any) -> None:
        self._location = default_store() if store is None else os.fspath(store)
        self._options = options
        self._engine = RecordingEngine(self._location, Settings.of(options))
        self._engine.identity = self
        self._engine.start_if_asked()

    @property
    def store(self) -> Store:
        """The open store, with what a crash left behind recovered and ended sessions published."""
        self._engine.lease.background.drain()
        return self._engine.lease.store

    def open_store(self) -> None:
        """
        Open the store now rather than with the first session, so that a service which cannot record does not start.

        A log is made there and removed; one that is full, or recording that
        is switched off, is no reason not to start.

        Raises:
            StorageError: It cannot be written.
        """
        self._engine.lease.demand_writable()

    @overload
    def wrap(self, target: None, operations: Operations | None = None, *, like: type[T]) -> T: ...
    @overload
    def wrap(self, target: None, operations: Operations, *, like: None = None) -> Any: ...
    @overload
    def wrap(self, target: T, operations: Operations | None = None, *, frames: Frames = None) -> T: ...
    def wrap(
        self, target: Any, operations: Operations | None = None, *, frames: Frames = None, like: type | None = None
    ) -> Any:
        """
        Return a drop-in proxy of *target* whose memory operations are recorded.

        *operations* maps method names (dotted ones lead through attributes)
        to kinds or `Operation` rows (or is a whole `MethodMap`, or an `Adapter`
        that is not installed); without it the library's adapter says what
        they mean, else the usual names are taken.  Wrapping a proxy of this recorder again gives it back; a proxy of
        another one, or a new map, gives a new proxy of what it stands for.

        With *frames* the checkpoints of this recorder hold what the target
        holds, and `at` and `restore` go back to them: True finds what reads
        and fills it by its type (or takes its own ``frames()`` and
        ``restore(frames)``), else it is an object with these two methods.
        Each checkpoint then reads the whole store, and what it holds is kept
        unredacted beside the recordings.

        Without a target (None) the methods answer inside a play and are a
        `PlaybackError` elsewhere.  *like* is the class that the object would
        have: its signatures say what arguments are named, and the proxy
        passes for an instance.

        Raises:
            UsageError: The target has no such method, none of the usual names, or
                records by itself; or nothing is known that reads and fills it, or
                this recorder's checkpoints hold another store; or *like* stands
                beside a target, or nothing says which methods there are.
        """
        if target is None or like is not None:
            target = _absent(target, like, operations, frames)
        if isinstance(target, SessionSurface):
            raise UsageError(
                f"a {type(target).__name__} records its calls itself. To keep them elsewhere: "
                "replaykit.open(path, store='runs.rpk')"
            )
        inner: Any = target
        if isinstance(target, RecordedObject):
            if target._self_recorder is self and operations is None and not _holds(frames):
                return target
            # A proxy around a proxy would record each call twice.
            inner = target.__wrapped__
        if inner is not target and operations is None:
            proxy = cast(RecordedObject, target)
            methods, operations = proxy._self_methods, proxy._self_given
        else:
            methods = map_for(inner, operations)
        if _holds(frames):
            self._hold(inner, frames, self._engine.lease.place)
        return recorded_object(inner, self, methods, self._rebuilding(operations, frames), operations)

    def instrument(self, target: T, operations: Operations | None = None) -> T:
        """Record on *target* itself and return it; see `replaykit.instrument`."""
        if isinstance(target, (RecordedObject, SessionSurface)):
            raise UsageError(f"a {type(target).__name__} is recorded already")
        instrument_object(target, map_for(target, operations), self, lambda value: derived_map_for(value, operations))
        return target

    def derived(self, value: Any, operations: Operations | None = None) -> Any:
        """
        Return *value*, which a wrapped object handed out, as its library's adapter has it recorded, else itself.

        *operations* is what was given for that object.
        """
        methods = derived_map_for(value, operations)
        if methods is None:
            return value
        given = operations if isinstance(operations, Adapter) else None
        return recorded_object(value, self, methods, self._rebuilding(given, None), given)

    def _rebuilding(self, operations: Operations | None, frames: Frames) -> tuple[Any, tuple[Any, ...]]:
        """Return how a pickled proxy is made again: a function and its arguments behind the target."""
        return _rewrapped, (operations, self._engine.lease.place, self._options, frames)

    @overload
    def records(self, kind: F, /) -> F: ...
    @overload
    def records(self, kind: str | Operation = "tool", /, **places: Any) -> Callable[[T], T]: ...
    def records(self, kind: Any = "tool", /, **places: Any) -> Any:
        """Record a function into this recorder's sessions first; see `replaykit.records`."""
        return _decorator(kind, places, self)

    def close(self) -> None:
        """End open sessions, publish them and let go of the store; closing twice is fine."""
        self._engine.close()
        self._close_states()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recorder {self._location}>"


def _absent(target: Any, like: type | None, operations: Operations | None, frames: Frames) -> Any:
    """Return what stands for a target that is not there."""
    if target is not None:
        raise UsageError(f"like= is for wrap(None, ...): a {type(target).__name__} has its own signatures")
    if not (like is None or isinstance(like, type)):
        raise UsageError(f"like= is a class, not {type(like).__name__}")
    if like is None and not operations:
        raise UsageError('wrap(None) needs the methods: operations={"add": "put", "query": "find"}, or like=SomeClass')
    if _holds(frames):
        raise UsageError("frames= needs a target: without one there is nothing to restore")
    return absent_target(like, _paths(operations))


def _paths(operations: Operations | None) -> Iterable[str]:
    if operations is None or isinstance(operations, Adapter):
        return ()
    return operations.operations if isinstance(operations, MethodMap) else operations


def _rewrapped(
    target: Any, operations: Operations | None, location: str, options: Mapping[str, Any], frames: Any = None
) -> Any:
    """Wrap an unpickled object again, into the same store."""
    return wrap(target, store=location, operations=operations, frames=frames, **options)


def _holds(frames: Frames) -> bool:
    # Not by its truth: a store that is empty may count as false.
    return frames is not None and frames is not False


# -- the module-level functions ------------------------------------------------------


class _Defaults:
    """What `configure` has set, and the recorders that the module-level functions share."""

    def __init__(self) -> None:
        self.store: StorePath | None = None
        self.options: dict[str, Any] = {}
        self.recorders = SharedRecorders(
            lambda location, options: Recorder(location, **options), engine_of=lambda recorder: recorder._engine
        )

    def recorder(self, store: StorePath | None, options: Mapping[str, Any]) -> Recorder:
        """Return the recorder for this store and these options; the same one for the same request."""
        location = os.fspath(store if store is not None else self.store if self.store is not None else default_store())
        merged = {**self.options, **{name: value for name, value in options.items() if value is not None}}
        return self.recorders.recorder(absolute_store(location), merged)


_defaults = _Defaults()


def configure(*, store: StorePath | None = None, **options: Any) -> None:
    """
    Set the store and the options of the module-level functions; without arguments, forget them.

    Raises:
        UsageError: An option is unknown or wrong.
    """
    Settings.of(options)
    _defaults.store = None if store is None else absolute_store(store)
    _defaults.options = options


def configured(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* over those that `configure` has set."""
    return {**_defaults.options, **options}


def new_recorder(store: StorePath | None, options: Mapping[str, Any]) -> Recorder:
    """
    Return a new recorder of what was given and, for the rest, of what `configure` has set.

    Raises:
        UsageError: An option is unknown or wrong.
    """
    return Recorder(store if store is not None else _defaults.store, **configured(options))


@overload
def wrap(
    target: None,
    *,
    like: type[T],
    store: StorePath | None = None,
    operations: Operations | None = None,
    **options: Any,
) -> T: ...
@overload
def wrap(
    target: None, *, operations: Operations, like: None = None, store: StorePath | None = None, **options: Any
) -> Any: ...
@overload
def wrap(
    target: T,
    *,
    store: StorePath | None = None,
    operations: Operations | None = None,
    frames: Frames = None,
    **options: Any,
) -> T: ...
def wrap(
    target: Any,
    *,
    store: StorePath | None = None,
    operations: Operations | None = None,
    frames: Frames = None,
    like: type | None = None,
    **options: Any,
) -> Any:
    """
    Return a drop-in proxy of *target* whose memory operations are recorded into *store*.

    It keeps identity, ``isinstance`` and signatures, and has the session
    surface besides its own names: ``with wrapped.session("name"): ...``.  What
    records already comes back as it is.  With *frames* checkpoints restore.
    ``wrap(None, operations={...})`` and ``wrap(None, like=SomeClass)`` need no
    target: what they give answers inside a play.  See `Recorder.wrap`.

    Raises:
        UsageError: The target has no such method, or an option is wrong.
    """
    asks_for_nothing = store is None and operations is None and not _holds(frames) and like is None and not options
    if isinstance(target, (RecordedObject, SessionSurface)) and asks_for_nothing:
        return target
    wrapped_by: Any = new_recorder(store, options)
    return wrapped_by.wrap(target, operations, frames=frames, like=like)


def session(
    name: str | None = None,
    *,
    store: StorePath | None = None,
    config: Any = None,
    auto_checkpoint: Any = None,
    metadata: Mapping[str, Any] | None = None,
    adopt: bool | None = None,
    enabled: bool = True,
    **options: Any,
) -> SessionHandle:
    """
    Return a recording block for every recorded function and wrapped object used inside.

    Raises:
        UsageError: An option is unknown or wrong.
    """
    recorder = _defaults.recorder(store, options)
    return recorder.session(
        name, config=config, auto_checkpoint=auto_checkpoint, metadata=metadata, adopt=adopt, enabled=enabled
    )


@overload
def records(kind: F, /) -> F: ...
@overload
def records(
    kind: str | Operation = "tool",
    /,
    *,
    name: str = "",
    query: Place = None,
    content: Place = None,
    ids: Place = None,
    k: Place = None,
    mode: Place = None,
    count: Place = None,
    ignore: Iterable[str] = (),
    raises: Iterable[type[BaseException]] | type[BaseException] = (),
    settings: ObjectSettings = None,
) -> Callable[[T], T]: ...
def records(kind: Any = "tool", /, **places: Any) -> Any:
    """
    Record each call of the decorated function: ``@records("find")``; bare ``@records`` is a tool.

    Takes functions, coroutines, generators, async generators, methods, and
    works above and below ``classmethod`` and ``staticmethod``.  Query, k, mode,
    content, count and frame ids are found by their usual names and shapes;
    where that fails give a path (``ids="result.rows.*.key"``) or a callable
    ``(arguments, result) -> value``.  Exceptions of the classes in *raises* come
    back as themselves in a play.  *settings* are what of a method's object
    belongs to its calls: names of attributes, or a callable that takes the
    object.  A call outside of any session just runs.

    Raises:
        UsageError: The kind is unknown.
    """
    return _decorator(kind, places, None)


def _decorator(kind: Any, places: dict[str, Any], recorder: Recorder | None) -> Any:
    if isinstance(kind, (str, Operation)):
        row = _row(kind, places)
        return lambda function: _recorded(function, row, recorder)
    if not callable(kind) and not isinstance(kind, (classmethod, staticmethod)):
        raise UsageError(f"records() takes a kind or a function, not {type(kind).__name__}")
    return _recorded(kind, _row("tool", places), recorder)


def _row(kind: str | Operation, places: dict[str, Any]) -> Operation:
    if isinstance(kind, Operation):
        return kind
    if "ignore" in places:
        ignored = places["ignore"]
        places = {**places, "ignore": (ignored,) if isinstance(ignored, str) else tuple(ignored)}
    for place in _PLACES.intersection(places):
        if not (places[place] is None or isinstance(places[place], str) or callable(places[place])):
            raise UsageError(f"records(): {place}= is a dotted path or a callable, not {type(places[place]).__name__}")
    try:
        return Operation(kind=kind, **places)
    except TypeError as error:
        raise UsageError(f"records(): {error}. Places are {', '.join(sorted(_PLACES))}") from error


_PLACES = frozenset({"content", "count", "ids", "k", "mode", "query"})


def _recorded(function: Any, row: Operation, recorder: Recorder | None) -> Any:
    inner = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    if isinstance(inner, RecordedFunction):
        return function
    if not callable(inner):
        raise UsageError(f"records() takes a function, not {type(inner).__name__}")
    return recorded_function(function, operation_from(row, _name_of(inner), _module_of(inner)), recorder)


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name.rsplit("<locals>.", 1)[-1]


def _module_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__module__", None) or ""


@overload
def recorder_of(target: Memory) -> Memory: ...  # type: ignore[overload-overlap]  # a Memory is its own
@overload
def recorder_of(target: object) -> Recorder: ...
def recorder_of(target: Any) -> SessionSurface:
    """
    Return what has the session surface of a recorded memory or wrapped object, whatever names its target has.

    Raises:
        UsageError: It is not recorded.
    """
    if isinstance(target, RecordedObject):
        return cast(SessionSurface, target._self_recorder)
    if isinstance(target, SessionSurface):
        return target
    behind = recorder_behind(target)
    if behind is not None:
        return cast(SessionSurface, behind)
    raise UsageError(f"{type(target).__name__} is not recorded: wrap it first with replaykit.wrap(...)")
