"""A disk in RAM, which knows what it would lose with its power."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Iterable

import attrs

__all__ = ["SECTOR", "MemoryFiles"]

SECTOR = 512
"""What a device writes whole or not at all, as far as it keeps to that."""

_PRIVATE = 0o600
_FIRST_HANDLE = 3
_GARBAGE = random.Random(1).randbytes(64 << 10)  # noqa: S311 - repeatable, no secret


@attrs.define(eq=False)
class _File:
    """
    What a name leads to.

    ``durable`` is the content at the last sync and ``clean`` how many bytes
    at its start are still the same; ``past`` has, by place, what was cut
    since and may come back.
    """

    data: bytearray = attrs.field(factory=bytearray)
    durable: bytearray = attrs.field(factory=bytearray)
    clean: int = 0
    past: bytearray = attrs.field(factory=bytearray)
    allocated: int = 0
    mode: int = _PRIVATE

    @classmethod
    def holding(cls, data: bytes) -> _File:
        return cls(data=bytearray(data), durable=bytearray(data), clean=len(data))

    def copy(self) -> _File:
        return attrs.evolve(
            self, data=bytearray(self.data), durable=bytearray(self.durable), past=bytearray(self.past), allocated=0
        )

    @property
    def is_settled(self) -> bool:
        return self.clean == len(self.data) == len(self.durable) and not self.past

    @property
    def room(self) -> int:
        return max(len(self.data), self.allocated)

    def cut(self, size: int) -> None:
        if size < len(self.data):
            self.past += bytes(max(0, len(self.data) - len(self.past)))
            self.past[size : len(self.data)] = self.data[size:]
        self.clean = min(self.clean, size)
        del self.data[size:]
        self.data += bytes(size - len(self.data))

    def sync(self) -> None:
        self.durable[self.clean :] = self.data[self.clean :]
        self.clean = len(self.data)
        self.past.clear()

    def after_power_loss(self, chance: random.Random, *, powersafe_overwrite: bool) -> bytes:
        if self.is_settled:
            return bytes(self.data)
        before = _over(self.durable, self.past)
        written = _over(self.data, before)
        sizes = len(self.data), len(self.durable), len(self.past)
        # A cut that was not synced may be done or not, wherever it was.
        smallest = self.clean if self.past else min(sizes[:2])
        size = chance.choice((smallest, max(sizes), chance.randint(smallest, max(sizes))))
        return _torn(written, before, self.clean, size, chance, powersafe_overwrite=powersafe_overwrite)


def _over(upper: bytes | bytearray, lower: bytes | bytearray) -> bytes:
    return bytes(upper) + bytes(lower[len(upper) :])


def _torn(
    written: bytes, before: bytes, clean: int, size: int, chance: random.Random, *, powersafe_overwrite: bool
) -> bytes:
    """Return what may be on the device: each sector that was not synced as written, as before, zero or garbage."""
    outcome = bytearray(written[:size])
    before = before.ljust(size, b"\0")
    hurt = chance.choice((0.0, 0.2, 0.6, 1.0))
    for start in range(clean - clean % SECTOR, size, SECTOR):
        if chance.random() >= hurt:
            continue
        begin, end = (max(start, clean) if powersafe_overwrite else start), min(start + SECTOR, size)
        what = chance.randrange(3)
        if what == 0:
            outcome[begin:end] = bytes(end - begin)
        elif what == 1:
            outcome[begin:end] = before[begin:end]
        else:
            at = chance.randrange(len(_GARBAGE) - SECTOR)
            outcome[begin:end] = _GARBAGE[at : at + end - begin]
    return bytes(outcome)


@attrs.define
class _Handle:
    path: str
    file: _File
    writable: bool
    lock: str = ""


class MemoryFiles:
    """
    A `FileLayer` wholly in RAM: a public test double of the disk.

    Every directory is there.  Locks are those of the system: a second open of
    a locked file in this process is refused too, and closing the handle frees
    them.  *capacity* bounds what files, allocated room and reserves hold
    together; an append at the edge is short, the next one fails with ENOSPC.

    Names and bytes are on the device only once they were synced:
    `after_power_loss` gives a disk that has lost some of the rest, `after_kill` one
    whose processes are gone.  Safe to use from several threads.

    Attributes:
        capacity: How many bytes there are; None for any number.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self._lock = threading.RLock()
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._renamings: list[tuple[str, str, _File | None]] = []
        self._handles: dict[int, _Handle] = {}
        self._next_handle = _FIRST_HANDLE

    # -- the layer ------------------------------------------------------------------

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """
        Open a file; *create* demands that it is new.

        Raises:
            FileExistsError, FileNotFoundError: It is there, or is not.
        """
        with self._lock:
            file = self._names.get(path)
            if create and file is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            if file is None and not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if file is None:
                file = self._names[path] = _File()
                self._renamings.append(("", path, file))
            return self._opened(path, file, writable=write)

    def _opened(self, path: str, file: _File, *, writable: bool) -> int:
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._handles[handle] = _Handle(path, file, writable)
        return handle

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Return up to *size* bytes at *offset*; fewer only at the end of the file."""
        with self._lock:
            return bytes(self._held(handle).file.data[offset : offset + size])

    def append(self, handle: int, data: bytes) -> int:
        """
        Write *data* at the end; return how many bytes went in: fewer where the disk ends.

        Raises:
            OSError: ENOSPC, where no byte goes in; EBADF, where the file is open for reading.
        """
        with self._lock:
            file = self._writable(handle)
            room = len(data) if self.capacity is None else max(0, self._free() + file.room - len(file.data))
            if data and not room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            file.data += data[:room]
            return min(len(data), room)

    def sync(self, handle: int) -> None:
        """Return when all written bytes are on the device."""
        with self._lock:
            self._held(handle).file.sync()

    def close(self, handle: int) -> None:
        """Let go of the file and of a lock on it."""
        with self._lock:
            self._held(handle)
            del self._handles[handle]

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to *size* bytes; room that was kept behind them is free."""
        with self._lock:
            file = self._writable(handle)
            file.cut(size)
            file.allocated = min(file.allocated, size)

    def size(self, handle: int) -> int:
        """Return the file's size in bytes."""
        with self._lock:
            return len(self._held(handle).file.data)

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        """Try to lock the file; False where another handle has a lock that forbids it."""
        with self._lock:
            mine = self._held(handle)
            others = {each.lock for each in self._open_now() if each.file is mine.file and each is not mine}
            if "exclusive" in others or (not shared and "shared" in others):
                return False
            mine.lock = "shared" if shared else "exclusive"
            return True

    def leads_to(self, path: str, handle: int) -> bool:
        """Return whether *path* still names the open file."""
        with self._lock:
            return self._names.get(path) is self._held(handle).file

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*."""
        with self._lock:
            parts = [os.path.split(path) for path in self._names]
            return [name for folder, name in parts if folder == directory.rstrip("/")]

    def allocate(self, handle: int, size: int) -> None:
        """Have the device keep room for *size* bytes of the file; nothing happens where there is no room."""
        with self._lock:
            file = self._writable(handle)
            if self.capacity is None or size - file.room <= self._free():
                file.allocated = max(file.allocated, size)

    def reserve(self, directory: str, size: int) -> int:
        """
        Return a handle that holds *size* bytes of the device until it is closed.

        Raises:
            OSError: ENOSPC: there is no such room.
        """
        with self._lock:
            if self.capacity is not None and size > self._free():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), directory)
            return self._opened("", _File(allocated=size), writable=True)

    def remove(self, path: str) -> None:
        """
        Remove the name *path*.

        Raises:
            FileNotFoundError: It is no name.
        """
        with self._lock:
            self._demand_name(path)
            del self._names[path]
            self._renamings.append((path, "", None))

    def rename(self, source: str, target: str) -> None:
        """
        Give *source* the name *target*, replacing what stood there.

        Raises:
            FileNotFoundError: *source* is no name.
        """
        with self._lock:
            self._demand_name(source)
            file = self._names.pop(source)
            self._names[target] = file
            self._renamings.append((source, target, file))

    def sync_directory(self, path: str) -> None:
        """Return when the names in directory *path* are on the device."""
        with self._lock:
            done = [each for each in self._renamings if os.path.dirname(each[1] or each[0]) == path.rstrip("/")]
            _rename_all(self._durable_names, done)
            self._renamings = [each for each in self._renamings if each not in done]

    # -- for tests ------------------------------------------------------------------

    @property
    def paths(self) -> list[str]:
        """The names that there are, in order."""
        return sorted(self._names)

    @property
    def used(self) -> int:
        """How many bytes files, allocated room and reserves hold."""
        with self._lock:
            return self._used()

    @property
    def free(self) -> int:
        """
        How many bytes the disk still takes.

        Raises:
            ValueError: It has no capacity.
        """
        if self.capacity is None:
            raise ValueError("this disk takes any number of bytes")
        return max(0, self._free())

    @property
    def is_settled(self) -> bool:
        """Whether everything is on the device, so that a power loss changes nothing."""
        return not self._renamings and all(file.is_settled for file in self._names.values())

    @property
    def synced(self) -> dict[str, int]:
        """How many bytes of each file are surely on the device, where its name is too."""
        return {path: file.clean for path, file in self._durable_names.items()}

    @property
    def open_handles(self) -> int:
        """How many handles nobody has closed."""
        return len(self._handles)

    def mode(self, path: str) -> int:
        """Return the permissions of the file at *path*."""
        return self._names[path].mode

    def contents(self, path: str) -> bytes:
        """Return all bytes of the file at *path*."""
        return bytes(self._names[path].data)

    def durable(self, path: str) -> bytes:
        """Return what of the file at *path* is surely on the device."""
        return bytes(self._names[path].durable)

    def place(self, path: str, data: bytes) -> None:
        """Have a file with this content at *path*, name and bytes on the device."""
        with self._lock:
            self._names[path] = self._durable_names[path] = _File.holding(data)

    def after_kill(self) -> MemoryFiles:
        """Return a copy without handles and locks: every process was killed, the system goes on."""
        with self._lock:
            copies = {id(file): file.copy() for file in self._known_files()}
            copy = MemoryFiles(self.capacity)
            copy._names = {path: copies[id(file)] for path, file in self._names.items()}
            copy._durable_names = {path: copies[id(file)] for path, file in self._durable_names.items()}
            copy._renamings = [
                (source, target, None if file is None else copies[id(file)]) for source, target, file in self._renamings
            ]
            return copy

    def after_power_loss(self, chance: random.Random, *, powersafe_overwrite: bool = True) -> MemoryFiles:
        """
        Return a disk as a power loss may leave this one; *chance* decides.

        Each sector that was not synced is as written, as before, zero or
        garbage; a size is anywhere between the synced and the written; a name
        that was made, given or removed since its directory was synced is so
        or not.  Without *powersafe_overwrite* a sector that was written again
        may lose what was synced of it too.
        """
        with self._lock:
            names = dict(self._durable_names)
            _rename_all(names, [each for each in self._renamings if chance.random() < 0.5])
            after = MemoryFiles(self.capacity)
            for path, file in names.items():
                after.place(path, file.after_power_loss(chance, powersafe_overwrite=powersafe_overwrite))
            return after

    # -- inside ---------------------------------------------------------------------

    def _known_files(self) -> Iterable[_File]:
        yield from self._names.values()
        yield from self._durable_names.values()
        yield from (file for _, _, file in self._renamings if file is not None)

    def _free(self) -> int:
        return (self.capacity or 0) - self._used()

    def _used(self) -> int:
        held = {id(file): file for file in self._names.values()}
        held |= {id(handle.file): handle.file for handle in self._open_now()}
        return sum(file.room for file in held.values())

    def _open_now(self) -> list[_Handle]:
        # A copy: a finaliser may close its handle at any step of a loop, in
        # the thread that holds our lock.
        return list(self._handles.values())

    def _held(self, handle: int) -> _Handle:
        found = self._handles.get(handle)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found

    def _writable(self, handle: int) -> _File:
        held = self._held(handle)
        if not held.writable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), held.path)
        return held.file

    def _demand_name(self, path: str) -> None:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _rename_all(names: dict[str, _File], renamings: Iterable[tuple[str, str, _File | None]]) -> None:
    """Do to *names* what was done: a source goes, a target leads to its file."""
    for source, target, file in renamings:
        names.pop(source, None)
        if file is not None:
            names[target] = file
