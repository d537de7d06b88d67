"""A disk in RAM behind the store's file layer, so that a case costs no system call; it counts what is read."""

from __future__ import annotations

from typing import Any

__all__ = ["MemoryBytes", "MemoryDisk"]


class MemoryBytes:
    """Bytes to survey, without a file."""

    def __init__(self, data: bytes, path: str = "memory.rpk") -> None:
        self.path = path
        self.data = data
        self.bytes_read = 0
        self.reads = 0

    def read(self, offset: int, size: int) -> bytes:
        piece = self.data[offset : offset + size]
        self.bytes_read += len(piece)
        self.reads += 1
        return piece

    def size(self) -> int:
        return len(self.data)


class MemoryDisk:
    """The files of one folder, as a `FileLayer`."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name: bytearray(data) for name, data in files.items()}
        self._open: list[bytearray | None] = []
        self._locked: dict[int, int] = {}
        self.bytes_read = 0

    def open(self, path: str, *, write: bool, create: bool) -> int:
        if create and path in self.files:
            raise FileExistsError(path)
        if not create and path not in self.files:
            raise FileNotFoundError(path)
        self._open.append(self.files.setdefault(path, bytearray()))
        return len(self._open) - 1

    def _of(self, handle: int) -> bytearray:
        found = self._open[handle]
        assert found is not None
        return found

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        piece = bytes(self._of(handle)[offset : offset + size])
        self.bytes_read += len(piece)
        return piece

    def append(self, handle: int, data: bytes) -> int:
        self._of(handle).extend(data)
        return len(data)

    def sync(self, handle: int) -> None:
        self._of(handle)

    def close(self, handle: int) -> None:
        self._open[handle] = None
        self._locked = {file: by for file, by in self._locked.items() if by != handle}

    def truncate(self, handle: int, size: int) -> None:
        del self._of(handle)[size:]

    def size(self, handle: int) -> int:
        return len(self._of(handle))

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        file = id(self._of(handle))
        if self._locked.get(file, handle) != handle:
            return False
        if not shared:
            self._locked[file] = handle
        return True

    def leads_to(self, path: str, handle: int) -> bool:
        return self.files.get(path) is self._open[handle]

    def names(self, directory: str) -> list[str]:
        return list(self.files)

    def allocate(self, handle: int, size: int) -> None:
        self._of(handle)

    def reserve(self, directory: str, size: int) -> int:
        self._open.append(bytearray())
        return len(self._open) - 1

    def remove(self, path: str) -> None:
        if self.files.pop(path, None) is None:
            raise FileNotFoundError(path)

    def rename(self, source: str, target: str) -> None:
        self.files[target] = self.files.pop(source)

    def sync_directory(self, path: str) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"no such operation on a disk: {name}")
