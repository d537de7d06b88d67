"""Recording without a proxy: whole libraries, the whole process, or one object."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from replaykit.adapters.libraries import instrument_libraries, uninstrument_libraries
from replaykit.adapters.maps import Operations
from replaykit.errors import UsageError
from replaykit.intercept import scope
from replaykit.intercept.instrumenting import uninstrument_object
from replaykit.settings import absolute_store
from replaykit.wrapping import configured, new_recorder

if TYPE_CHECKING:
    from replaykit.running.children import Work

__all__ = ["instrument", "uninstrument"]

T = TypeVar("T")

StorePath = str | os.PathLike[str]


class _Ambient:
    """The recording of this process that `instrument` has begun, if any; one instance, below."""

    def __init__(self) -> None:
        self._work: Work | None = None

    def begin(self, store: StorePath, options: Mapping[str, Any], libraries: tuple[str, ...]) -> None:
        """Record this process, unless that is done already."""
        if self._work is not None or scope.ambient_session() is not None:
            return
        # Here, since it brings the player along: a program that only records has no use for that.
        from replaykit.running.ambient import Position
        from replaykit.running.children import Task

        position = Position(name=os.path.basename(sys.argv[0] if sys.argv else ""))
        task = Task(location=absolute_store(store), options=options, position=position, libraries=libraries)
        self._work = task.started({"python": platform.python_version()})

    def end(self) -> None:
        """End the session of this process, if `begin` began one."""
        work, self._work = self._work, None
        if work is not None:
            work.end()


_ambient = _Ambient()


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
        return new_recorder(store, options).instrument(targets[0], operations)
    if operations is not None or not all(isinstance(target, str) for target in targets):
        raise UsageError("instrument() takes the names of libraries, or one object (with operations= if need be)")
    if store is None and options:
        raise UsageError(f"instrument(): {', '.join(options)} belong to an ambient session: give its store=")
    instrument_libraries(targets)
    if store is not None:
        _ambient.begin(store, configured(options), targets)
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
        _ambient.end()
