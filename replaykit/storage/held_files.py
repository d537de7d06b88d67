"""Files of this machine that nobody writes to: what is small is read once."""

from __future__ import annotations

import os

from replaykit.storage.files import SystemFiles

__all__ = ["HeldFiles"]

_MOST_BYTES = 64 << 10


class HeldFiles(SystemFiles):
    """
    Finished files, to be read: the bytes of a small one are held from its opening to its closing.

    A reader makes about twenty system calls of a file with one short session,
    which is then as much as all the rest of its work.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[int, bytes] = {}
        self._let_go = os.close

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a regular file, as `SystemFiles` does, and read it if it is small."""
        handle = super().open(path, write=write, create=create)
        try:
            data = os.pread(handle, _MOST_BYTES + 1, 0)
        except BaseException:
            os.close(handle)
            raise
        if len(data) <= _MOST_BYTES:
            self._held[handle] = data
        return handle

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Return up to *size* bytes at *offset*; fewer only at the end of the file."""
        data = self._held.get(handle)
        return super().pread(handle, size, offset) if data is None else data[offset : offset + size]

    def size(self, handle: int) -> int:
        """Return the file's size in bytes."""
        data = self._held.get(handle)
        return super().size(handle) if data is None else len(data)

    def leads_to(self, path: str, handle: int) -> bool:
        """Return True: a finished file that another replaces is read as it was."""
        return True

    def close(self, handle: int) -> None:
        """Let go of the file."""
        self._held.pop(handle, None)
        self._let_go(handle)
