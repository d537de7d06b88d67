"""A file layer around another one."""

from __future__ import annotations

from replaykit.protocols import FileLayer

__all__ = ["WrappedFiles"]


class WrappedFiles:
    """Hands every operation on to *inner*; override what should be different."""

    def __init__(self, inner: FileLayer) -> None:
        self.inner = inner

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a file; *create* demands that it is new."""
        return self.inner.open(path, write=write, create=create)

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Return up to *size* bytes at *offset*; fewer only at the end of the file."""
        return self.inner.pread(handle, size, offset)

    def append(self, handle: int, data: bytes) -> int:
        """Write *data* at the end; return how many bytes went in."""
        return self.inner.append(handle, data)

    def sync(self, handle: int) -> None:
        """Return when all written bytes are on the device."""
        self.inner.sync(handle)

    def close(self, handle: int) -> None:
        """Let go of the file and of a lock on it."""
        self.inner.close(handle)

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to *size* bytes."""
        self.inner.truncate(handle, size)

    def size(self, handle: int) -> int:
        """Return the file's size in bytes."""
        return self.inner.size(handle)

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        """Try to lock the file without waiting; True when the lock is ours."""
        return self.inner.lock(handle, shared=shared)

    def leads_to(self, path: str, handle: int) -> bool:
        """Return whether *path* still names the open file."""
        return self.inner.leads_to(path, handle)

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""
        return self.inner.names(directory)

    def allocate(self, handle: int, size: int) -> None:
        """Have the device keep room for *size* bytes of the file."""
        self.inner.allocate(handle, size)

    def reserve(self, directory: str, size: int) -> int:
        """Return a handle that holds *size* bytes of the device until it is closed."""
        return self.inner.reserve(directory, size)

    def remove(self, path: str) -> None:
        """Remove the name *path*."""
        self.inner.remove(path)

    def rename(self, source: str, target: str) -> None:
        """Give *source* the name *target*, replacing what stood there."""
        self.inner.rename(source, target)

    def sync_directory(self, path: str) -> None:
        """Return when the names in directory *path* are on the device."""
        self.inner.sync_directory(path)
