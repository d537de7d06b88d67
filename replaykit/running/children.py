"""
Processes that `multiprocessing` starts afresh: each begins to record, or play, as its parent did.

What it is to do travels with the data that multiprocessing hands to every
such process; neither environment nor command line change.
"""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import attrs

from replaykit.adapters.libraries import instrument_libraries
from replaykit.intercept.importing import forget_import, when_imported
from replaykit.logs import get_logger
from replaykit.running.ambient import AmbientRecording, Position
from replaykit.running.playing import AmbientPlay

__all__ = ["Children", "Task", "Work", "begin"]

log = get_logger("running")


@attrs.frozen(kw_only=True)
class Task:
    """What a process of a program is to do: record into a store or, with the session to *play*, answer from it."""

    location: str
    position: Position
    options: Mapping[str, Any] = attrs.field(factory=dict)
    libraries: tuple[str, ...] = ()
    play: str = ""

    def started(self, metadata: Mapping[str, Any]) -> Work:
        """
        Begin the work of this process: its libraries are instrumented, and its children will follow it.

        Raises:
            ReplaykitError: The store cannot be used, or the session not be played.
        """
        process = self._begun(metadata)
        instrument_libraries(self.libraries)
        children = Children(lambda: attrs.evolve(self, position=process.position_of_child()))
        children.follow()
        return Work(process, children)

    def _begun(self, metadata: Mapping[str, Any]) -> AmbientRecording | AmbientPlay:
        if self.play:
            return AmbientPlay(self.location, self.play, self.position)
        recording = AmbientRecording(self.location, self.options, self.position, metadata)
        if self.position.child:
            recording.begin_later()
        else:
            recording.begin()
        return recording


@attrs.frozen
class Work:
    """A process that is recorded or played."""

    process: AmbientRecording | AmbientPlay
    children: Children

    def annotate(self, **metadata: Any) -> None:
        """Add to the metadata of what is being recorded."""
        if isinstance(self.process, AmbientRecording):
            self.process.annotate(**metadata)

    def end(self) -> None:
        """End it; children that are started from now on are not followed.  Libraries stay instrumented."""
        self.children.leave()
        if isinstance(self.process, AmbientRecording):
            self.process.end()


def begin(packed: bytes, process: str) -> None:
    """Begin in a process that has just been started; whatever goes wrong is logged and the process goes on."""
    try:
        task: Task = pickle.loads(packed)  # noqa: S301 - from our own parent process
        task.started({"child": task.position.child, "process": process})
    except Exception as error:
        # It runs while multiprocessing unpickles: what comes out would end the program's process.
        log.error("process_not_recorded", child=process, error=f"{type(error).__name__}: {error}")


class Children:
    """Hands *task_of_next* to each process that multiprocessing starts, from `follow` to `leave`."""

    def __init__(self, task_of_next: Callable[[], Task]) -> None:
        self._task_of_next = task_of_next
        self._original: Any = None
        self._patched: Any = None

    def follow(self) -> None:
        """Begin, at once or when multiprocessing is first used."""
        when_imported("multiprocessing.spawn", self._patch)

    def leave(self) -> None:
        """Leave multiprocessing as it was."""
        forget_import("multiprocessing.spawn", self._patch)
        if self._patched is None:
            return
        import multiprocessing.spawn as spawn

        if spawn.get_preparation_data is self._patched:
            spawn.get_preparation_data = self._original

    def _patch(self, spawn: ModuleType) -> None:
        self._original = original = spawn.get_preparation_data

        @functools.wraps(original)
        def get_preparation_data(name: str) -> Any:
            data = original(name)
            if name != _OF_FORKSERVER:
                data["replaykit"] = self._beginning(name)
            return data

        self._patched = spawn.get_preparation_data = get_preparation_data  # type: ignore[attr-defined]  # a module's

    def _beginning(self, name: str) -> _Beginning | None:
        try:
            return _Beginning(pickle.dumps(self._task_of_next()), name)
        except Exception as error:
            # An option that does not pickle, say: the process is the program's.
            log.error("process_not_recorded", child=name, error=f"{type(error).__name__}: {error}")
            return None


_OF_FORKSERVER = "ignore"
"""The name under which multiprocessing prepares the server that its processes are forked from."""

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_BEGIN = """
import sys
sys.path.append(root)
try:
    from replaykit.running.children import begin
except ImportError:
    begin = None
finally:
    sys.path.pop()
if begin is not None:
    begin(packed, process)
"""


class _Beginning:
    """Begins where it is unpickled; a process that cannot import us goes on without us."""

    def __init__(self, packed: bytes, process: str) -> None:
        self._variables = {"root": _ROOT, "packed": packed, "process": process}

    def __reduce__(self) -> Any:
        return exec, (_BEGIN, self._variables)
