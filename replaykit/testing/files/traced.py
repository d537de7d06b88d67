"""Writes down what happens to a disk, and lets it happen again to another one."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import attrs

from replaykit.protocols import FileLayer
from replaykit.testing.files.wrapping import WrappedFiles

__all__ = ["Step", "TracedFiles", "repeat"]


@attrs.frozen(kw_only=True)
class Step:
    """
    One thing that happened.

    Attributes:
        what: ``create open append truncate sync remove rename sync_directory``, or ``said``.
        path: The file's name at that time, or the directory.
        data: What an append wrote.
        size: What a truncate left.
        target: The new name that a rename gave.
        said: What the program said to the outside: it promises what was done before.
    """

    what: str
    path: str = ""
    data: bytes = b""
    size: int = 0
    target: str = ""
    said: Any = None


class TracedFiles(WrappedFiles):
    """
    Records every change that succeeds, in order, in ``steps``.

    `say` puts a promise between them (an acknowledged action, say), so that
    a test knows what a crash at any step must have kept.  One file at a time
    may have a name: files that were removed and are still written to are not
    told from their successors.
    """

    def __init__(self, inner: FileLayer) -> None:
        super().__init__(inner)
        self._paths: dict[int, str] = {}
        self._lock = threading.RLock()
        self.steps: list[Step] = []

    def say(self, said: Any) -> None:
        """Note that the program promised *said* to the outside."""
        self._note(Step(what="said", said=said))

    def _note(self, step: Step) -> None:
        with self._lock:
            self.steps.append(step)

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a file; a step only if it is written to."""
        handle = self.inner.open(path, write=write, create=create)
        self._paths[handle] = path
        if create:
            self._note(Step(what="create", path=path))
        return handle

    def append(self, handle: int, data: bytes) -> int:
        """Append; the step has the bytes that went in."""
        # Together, so that the order of steps is that of the bytes.
        with self._lock:
            written = self.inner.append(handle, data)
            self._note(Step(what="append", path=self._paths[handle], data=bytes(data[:written])))
        return written

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file."""
        with self._lock:
            self.inner.truncate(handle, size)
            # A reserve has no name, and nothing that a crash could leave.
            if handle in self._paths:
                self._note(Step(what="truncate", path=self._paths[handle], size=size))

    def sync(self, handle: int) -> None:
        """Sync; noted once it is done."""
        with self._lock:
            self.inner.sync(handle)
            self._note(Step(what="sync", path=self._paths[handle]))

    def close(self, handle: int) -> None:
        """Let go of the file; no step."""
        self._paths.pop(handle, None)
        self.inner.close(handle)

    def remove(self, path: str) -> None:
        """Remove a name."""
        with self._lock:
            self.inner.remove(path)
            self._note(Step(what="remove", path=path))

    def rename(self, source: str, target: str) -> None:
        """Give a file another name."""
        with self._lock:
            self.inner.rename(source, target)
            self._note(Step(what="rename", path=source, target=target))
            self._paths = {handle: target if path == source else path for handle, path in self._paths.items()}

    def sync_directory(self, path: str) -> None:
        """Sync the names of a directory."""
        with self._lock:
            self.inner.sync_directory(path)
            self._note(Step(what="sync_directory", path=path))


def repeat(steps: Iterable[Step], files: FileLayer) -> None:
    """Do *steps* again on *files*."""
    for step in steps:
        if step.what in ("append", "truncate", "sync"):
            _repeat_on_file(step, files)
        elif step.what == "create":
            files.close(files.open(step.path, write=True, create=True))
        elif step.what == "remove":
            files.remove(step.path)
        elif step.what == "rename":
            files.rename(step.path, step.target)
        elif step.what == "sync_directory":
            files.sync_directory(step.path)


def _repeat_on_file(step: Step, files: FileLayer) -> None:
    handle = files.open(step.path, write=True, create=False)
    try:
        if step.what == "append":
            files.append(handle, step.data)
        elif step.what == "truncate":
            files.truncate(handle, step.size)
        else:
            files.sync(handle)
    finally:
        files.close(handle)
