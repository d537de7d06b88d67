"""Room on the device that a store keeps back, so that sessions can end on a full disk."""

from __future__ import annotations

import errno
from contextlib import suppress

from replaykit.protocols import FileLayer
from replaykit.storage.guard import abandon_in_child

__all__ = ["Reserve", "means_full"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BYTES = 256 << 10


def means_full(error: BaseException | None) -> bool:
    """Return whether *error* says that the device takes no more."""
    return isinstance(error, OSError) and error.errno in _FULL


class Reserve:
    """
    Holds some room beside a store while sessions are open.

    It has no name in the directory and is gone with the process, so that a
    recovery after a crash finds the room as well.
    """

    def __init__(self, files: FileLayer, directory: str) -> None:
        self._files = files
        self._directory = directory
        self._handle = -1
        abandon_in_child(self)

    def take(self) -> None:
        """Hold the room from now on; nothing happens where there is none."""
        if self._handle < 0:
            with suppress(OSError):
                self._handle = self._files.reserve(self._directory, _BYTES)

    def give(self) -> bool:
        """Let go of the room; return whether there was any."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return False
        # Not by closing alone: where a child was forked just now, its copy
        # would keep the room.
        with suppress(OSError):
            self._files.truncate(handle, 0)
        self._files.close(handle)
        return True

    def abandon(self) -> None:
        """Close this process's descriptor only: for a forked child; the parent keeps its room."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            self._files.close(handle)
