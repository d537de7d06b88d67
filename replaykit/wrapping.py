"""The public verbs: wrap an object, record a function, open a block, load a recording."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from replaykit.adapters.libraries import instrument_libraries, uninstrument_libraries
from replaykit.adapters.maps import Operations, derived_map_for, map_for
from replaykit.errors import UsageError
from replaykit.intercept import scope
from replaykit.intercept.absent import absent_target
from replaykit.intercept.instrumenting import instrument_object, recorder_behind, uninstrument_object
from replaykit.intercept.proxy import RecordedFunction, RecordedObject, recorded_function, recorded_object
from replaykit.memory.memory import Memory
from replaykit.operations import Adapter, MethodMap, Operation, Place, operation_from
from replaykit.protocols import Restorable, Store
from replaykit.recording.engine import RecordingEngine
from replaykit.recording.handle import SessionHandle
from replaykit.rewinding.surface import RewindingSurface
from replaykit.settings import Settings, default_store
from replaykit.surface import SessionSurface

if TYPE_CHECKING:
    from replaykit.running.children import Work

__all__ = ["Recorder", "configure", "instrument", "recorder_of", "records", "session", "uninstrument", "wrap"]

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
        self._engine.background.drain()
        return self._engine.store

    def open_store(self) -> None:
        """
        Open the store now rather than with the first session, so that a service which cannot record does not start.

        Raises:
            StorageError: It cannot be written.
        """
        self._engine.store  # noqa: B018 - opening it is what is wanted

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
            self._hold(inner, frames, _absolute(self._location))
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
        return _rewrapped, (operations, _absolute(self._location), self._options, frames)

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


def _absolute(location: str) -> str:
    # A trailing slash asks for a directory and must survive.
    return location if location == ":memory:" else os.path.abspath(location) + ("/" if location.endswith("/") else "")


def _holds(frames: Frames) -> bool:
    # Not by its truth: a store that is empty may count as false.
    return frames is not None and frames is not False


# -- the module-level functions ------------------------------------------------------


class _Defaults:
    """What `configure` has set, and the recorders that the module-level functions share."""

    def __init__(self) -> None:
        self.store: StorePath | None = None
        self.options: dict[str, Any] = {}
        self.recorders: dict[tuple[Any, ...], Recorder] = {}
        self.ambient: Work | None = None

    def recorder(self, store: StorePath | None, options: Mapping[str, Any]) -> Recorder:
        """Return the recorder for this store and these options; the same one for the same request."""
        location = os.fspath(store if store is not None else self.store if self.store is not None else default_store())
        merged = {**self.options, **{name: value for name, value in options.items() if value is not None}}
        absolute = _absolute(location)
        key = (absolute, tuple(sorted((name, repr(value)) for name, value in merged.items())), os.getpid())
        found = self.recorders.get(key)
        if found is None or found._engine._is_closed:
            found = self.recorders[key] = Recorder(absolute, **merged)
        return found

    def begin_ambient(self, location: str, options: Mapping[str, Any], libraries: tuple[str, ...]) -> None:
        """Record this process, unless that is done already."""
        if self.ambient is not None or scope.ambient_session() is not None:
            return
        # Here, since it brings the player along: a program that only records has no use for that.
        from replaykit.running.ambient import Position
        from replaykit.running.children import Task

        position = Position(name=os.path.basename(sys.argv[0] if sys.argv else ""))
        task = Task(location=location, options=options, position=position, libraries=libraries)
        self.ambient = task.started({"python": platform.python_version()})

    def end_ambient(self) -> None:
        """End the session of this process, if `begin_ambient` began one."""
        ambient, self.ambient = self.ambient, None
        if ambient is not None:
            ambient.end()


_defaults = _Defaults()


def configure(*, store: StorePath | None = None, **options: Any) -> None:
    """
    Set the store and the options of the module-level functions; without arguments, forget them.

    Raises:
        UsageError: An option is unknown or wrong.
    """
    Settings.of(options)
    _defaults.store = store
    _defaults.options = options


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
    location = store if store is not None else _defaults.store
    wrapped_by: Any = Recorder(location, **{**_defaults.options, **options})
    return wrapped_by.wrap(target, operations, frames=frames, like=like)


@overload
def instrument(*libraries: str, store: StorePath | None = None, **options: Any) -> None: ...
@overload
def instrument(
    target: T, /, *, store: StorePath | None = None, operations: Operations | None = None, **options: Any
) -> T: ...
def instrument(
    *targets: Any, store: StorePath | None = None, operations: Operations | None = None, **options: Any
) -> Any:
    """
    Record whole libraries, or one object, without a proxy.

    ``instrument()`` records every library that has an adapter,
    ``instrument("chromadb")`` the ones that are named by their top-level
    modules: all objects of the classes that the adapter knows, whether the
    library is imported or will be.  The session of the calling context takes
    the calls.  Given a *store* an ambient session there takes those of the
    whole process that no other session takes, until `uninstrument()` or the
    end; processes that it starts have theirs.

    ``instrument(target)`` records the memory operations of *target* on the
    object itself, into *store*, and returns it: for objects that go where a
    proxy cannot, through C code or a library that looks at the very type.
    Objects of pydantic models and with slots too.  The class gets wrappers
    that pass the calls of all other objects on.  `recorder_of` has the
    session surface.

    What an object calls on itself inside is no action of its own; methods
    that no map knows are not counted.  Instrumenting again is fine.

    Raises:
        UsageError: There is no such adapter or method, the class cannot be
            changed, or an option is wrong.
        StorageError: The store of the ambient session cannot be written.
    """
    if len(targets) == 1 and not isinstance(targets[0], str):
        location = store if store is not None else _defaults.store
        return Recorder(location, **{**_defaults.options, **options}).instrument(targets[0], operations)
    if operations is not None or not all(isinstance(target, str) for target in targets):
        raise UsageError("instrument() takes the names of libraries, or one object (with operations= if need be)")
    if store is None and options:
        raise UsageError(f"instrument(): {', '.join(options)} belong to an ambient session: give its store=")
    instrument_libraries(targets)
    if store is not None:
        _defaults.begin_ambient(_absolute(os.fspath(store)), {**_defaults.options, **options}, targets)
    return None


def uninstrument(*targets: Any) -> None:
    """
    Undo `instrument`: stop recording on an object, or the named libraries, or without arguments on all libraries.

    Classes are as they were, unless others of their objects are recorded.
    Without arguments the ambient session is ended, too.  What is not
    instrumented stays as it is; of an object that is an error.

    Raises:
        UsageError: The object was not recorded itself.
    """
    if len(targets) == 1 and not isinstance(targets[0], str):
        if not uninstrument_object(targets[0]):
            raise UsageError(f"this {type(targets[0]).__name__} was not instrumented")
        return
    uninstrument_libraries(targets)
    if not targets:
        _defaults.end_ambient()


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
) -> Callable[[T], T]: ...
def records(kind: Any = "tool", /, **places: Any) -> Any:
    """
    Record each call of the decorated function: ``@records("find")``; bare ``@records`` is a tool.

    Takes functions, coroutines, generators, async generators, methods, and
    works above and below ``classmethod`` and ``staticmethod``.  Query, k, mode,
    content, count and frame ids are found by their usual names and shapes;
    where that fails give a path (``ids="result.rows.*.key"``) or a callable
    ``(arguments, result) -> value``.  Exceptions of the classes in *raises* come
    back as themselves in a play.  A call outside of any session just runs.

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
