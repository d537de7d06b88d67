"""
A memvid file from the outside in: header, footer, table of contents, replay manifest, segment.

The file is opened for reading only, and closed again before anything is
returned; it may be in use.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from blake3 import blake3

from replaykit.errors import (
    DamagedError,
    NotAStoreError,
    StorageError,
    StoreNotFoundError,
    UnsupportedVersionError,
)
from replaykit.importers.memvid.cursor import HASH_BYTES, Cursor
from replaykit.importers.memvid.toc import MANIFEST_BYTES, TAIL_BYTES, manifest_forward, read_manifest
from replaykit.model import ReplayManifest

__all__ = ["HEADER_BYTES", "MAGIC", "SEGMENT_HEAD_BYTES", "SEGMENT_MAGIC", "Container", "OpenFile", "opened"]

MAGIC = b"MV2\x00"
SEGMENT_MAGIC = b"MV2RPLY!"
SEGMENT_HEAD_BYTES = 24
HEADER_BYTES = 4096

_VERSION = 0x0201
_FOOTER_MAGIC = b"MV2FOOT!"
_FOOTER_BYTES = 56
_TASK_BYTES = 24
_MOST_TASKS = 100_000
_MOST_BYTES = 1 << 30
_CHUNK = 1 << 20
_MOST_FOOTERS = 10_000
_HASHED_TIMES = 4


class OpenFile:
    """A regular file, open for reading."""

    def __init__(self, path: str, handle: int, size: int) -> None:
        self.path = path
        self.size = size
        self._handle = handle

    def read(self, offset: int, size: int) -> bytes:
        """
        Return exactly *size* bytes at *offset*.

        Raises:
            DamagedError: The file ends before.
            StorageError: They are more than any sane file has of its kind, or the system refuses.
        """
        if offset + size > self.size:
            raise DamagedError(self.path, min(offset, self.size), f"the file ends inside {size} bytes that it names")
        if size > _MOST_BYTES:
            raise StorageError(f"{self.path}, byte {offset}: {size} bytes at once are too many", path=self.path)
        try:
            data = os.pread(self._handle, size, offset)
            while len(data) < size:
                more = os.pread(self._handle, size - len(data), offset + len(data))
                if not more:
                    raise DamagedError(self.path, offset + len(data), "the file became shorter while it was read")
                data += more
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"Cannot read {self.path}: {error.strerror}", path=self.path) from error
        return data

    def digest(self, offset: int, size: int) -> bytes:
        """Return the hash of *size* bytes at *offset*, in bounded memory."""
        hasher = blake3()
        for start in range(offset, offset + size, _CHUNK):
            hasher.update(self.read(start, min(_CHUNK, offset + size - start)))
        return hasher.digest()

    def places_of(self, needle: bytes) -> Iterator[int]:
        """Yield where *needle* stands, first to last."""
        for start in range(0, self.size, _CHUNK):
            chunk = self.read(start, min(_CHUNK + len(needle) - 1, self.size - start))
            at = chunk.find(needle)
            while at >= 0:
                yield start + at
                at = chunk.find(needle, at + 1)

    def places_backwards(self, needle: bytes) -> Iterator[int]:
        """Yield where *needle* stands, last to first."""
        for start in range((self.size - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
            chunk = self.read(start, min(_CHUNK + len(needle) - 1, self.size - start))
            at = chunk.rfind(needle)
            while at >= 0:
                yield start + at
                at = chunk.rfind(needle, 0, at + len(needle) - 1)


@contextmanager
def opened(path: str) -> Iterator[OpenFile]:
    """
    Give the file at *path*, open for reading.

    Raises:
        StoreNotFoundError: There is none.
        NotAStoreError: It is a device or a folder.
        StorageError: It is a symbolic link, or the system refuses.
    """
    # Not to wait for the other end of a pipe.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        handle = os.open(path, flags)
    except FileNotFoundError as error:
        raise StoreNotFoundError(path) from error
    except (OSError, ValueError) as error:
        if os.path.islink(path):
            raise StorageError(f"{path} is a symbolic link: name the file that it leads to", path=path) from error
        raise StorageError(f"Cannot open {path}: {getattr(error, 'strerror', error)}", path=path) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NotAStoreError(path, "it is a device or a folder, not a file")
        yield OpenFile(path, handle, found.st_size)
    finally:
        os.close(handle)


@attrs.frozen
class _Header:
    toc_offset: int
    toc_checksum: bytes


@attrs.frozen
class _Footer:
    toc_offset: int
    toc_size: int
    generation: int


class Container:
    """
    Where a memvid file has its sessions, found without looking for their magic.

    ``problems`` is what does not agree though the sessions can be found.

    Raises:
        NotAStoreError: The file does not begin as memvid's do.
        UnsupportedVersionError: A version, or a layout, that is not known.
        DamagedError: There is no whole table of contents.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.problems: list[str] = []
        header = self._header()
        self._footer = self._find_footer(header)
        self.toc_offset = self._footer.toc_offset
        self._toc = file.read(self._footer.toc_offset, self._footer.toc_size)
        self._check_checksums(header)
        self.manifest = self._checked(self._find_manifest())

    @property
    def bytes_read(self) -> int:
        """How many bytes were looked at."""
        return HEADER_BYTES + self._footer.toc_size + _FOOTER_BYTES

    # -- header and footer ------------------------------------------------------------

    def _header(self) -> _Header:
        path = self._file.path
        begin = self._file.read(0, min(len(MAGIC), self._file.size))
        if begin != MAGIC:
            raise NotAStoreError(path, "nor does it begin as memvid's files do")
        cursor = Cursor(self._file.read(0, HEADER_BYTES), path, at=len(MAGIC))
        version = cursor.u16()
        if version != _VERSION:
            raise _unknown_version(path, f"{version >> 8}.{version & 255}", "2.1")
        if cursor.take(2) != b"\x02\x01":
            self.problems.append("the header names its version in two ways")
        toc_offset = cursor.u64()
        cursor.skip(32)
        return _Header(toc_offset, cursor.digest())

    def _find_footer(self, header: _Header) -> _Footer:
        """Return the footer that the header leads to, else the last whole one."""
        last: _Footer | None = None
        for footer in self._whole_footers():
            if footer.toc_offset == header.toc_offset:
                return footer
            last = last or footer
        if last is None:
            raise DamagedError(
                self._file.path,
                min(header.toc_offset, self._file.size),
                "there is no whole table of contents: memvid writes its sessions over it, and a program that was "
                "killed before its next commit leaves the file so",
            )
        self.problems.append(
            f"the header names byte {header.toc_offset} for the table of contents, where no whole one is; "
            f"the last whole one is at byte {last.toc_offset}"
        )
        return last

    def _whole_footers(self) -> Iterator[_Footer]:
        file, hashed = self._file, 0
        for number, at in enumerate(file.places_backwards(_FOOTER_MAGIC)):
            if number >= _MOST_FOOTERS:
                return
            if at + _FOOTER_BYTES > file.size:
                continue
            cursor = Cursor(file.read(at, _FOOTER_BYTES), file.path, at=len(_FOOTER_MAGIC))
            size, digest, generation = cursor.u64(), cursor.digest(), cursor.u64()
            if size > at - HEADER_BYTES:
                continue
            # Bytes that claim to be footers must not cost more than the file is long.
            hashed += size
            if hashed > _HASHED_TIMES * file.size:
                return
            if file.digest(at - size, size) == digest:
                yield _Footer(at - size, size, generation)

    def _check_checksums(self, header: _Header) -> None:
        checksum = self._toc[-HASH_BYTES:]
        hasher = blake3(self._toc[:-HASH_BYTES])
        hasher.update(bytes(HASH_BYTES))
        if hasher.digest() != checksum:
            self.problems.append("the checksum inside the table of contents differs")
        if header.toc_checksum != checksum and not self.problems:
            self.problems.append("the header has another checksum of the table of contents")

    # -- the manifest -------------------------------------------------------------------

    def _find_manifest(self) -> ReplayManifest | None:
        found = self._manifest_from_end()
        if found is not None:
            return found
        try:
            return manifest_forward(self._toc, self._file.path, self._footer.toc_offset)
        except DamagedError as error:
            # Its hash is right, so it is not damaged.
            raise _unknown_version(self._file.path, "2.1 with an unknown table of contents", "2.0.160") from error

    def _manifest_from_end(self) -> ReplayManifest | None:
        """Return the manifest where its place from the end and what it leads to leave no doubt."""
        toc = self._toc
        for tasks in range(_MOST_TASKS):
            queue = len(toc) - TAIL_BYTES - 8 - _TASK_BYTES * tasks - 8
            tag = queue - MANIFEST_BYTES - 1
            if tag < 0:
                return None
            if int.from_bytes(toc[queue : queue + 8], "little") != tasks or toc[tag] != 1:
                continue
            found = read_manifest(Cursor(toc, self._file.path, base=self._footer.toc_offset, at=tag + 1))
            if found.version == 1 and self._leads_to_segment(found):
                return found
        return None

    def _leads_to_segment(self, manifest: ReplayManifest) -> bool:
        if not self._has_room(manifest):
            return False
        cursor = Cursor(self._file.read(manifest.segment_offset, SEGMENT_HEAD_BYTES), self._file.path)
        if cursor.take(len(SEGMENT_MAGIC)) != SEGMENT_MAGIC:
            return False
        cursor.skip(4)
        return (cursor.u32(), cursor.u64()) == (manifest.session_count, manifest.segment_size)

    def _has_room(self, manifest: ReplayManifest) -> bool:
        start, size = manifest.segment_offset, manifest.segment_size
        return start >= HEADER_BYTES and size >= SEGMENT_HEAD_BYTES and start + size <= self._footer.toc_offset

    def _checked(self, manifest: ReplayManifest | None) -> ReplayManifest | None:
        if manifest is None or manifest.session_count == 0:
            return None
        if manifest.version != 1:
            raise _unknown_version(self._file.path, f"{manifest.version} of its recordings", 1)
        if not self._has_room(manifest):
            raise DamagedError(
                self._file.path,
                self._footer.toc_offset,
                f"the manifest names {manifest.segment_size} bytes at byte {manifest.segment_offset}, "
                "which is not before the table of contents",
            )
        return manifest


def _unknown_version(path: str, found: object, supported: object) -> UnsupportedVersionError:
    return UnsupportedVersionError(path, found, supported)
