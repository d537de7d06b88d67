"""A user's file as the content of a frame: text where it is text, else bytes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import attrs

from replaykit.errors import UsageError

__all__ = ["MAX_FILE_BYTES", "FileContent", "read_file"]

MAX_FILE_BYTES = 999_999_000
"""The largest file that fits into a frame: SQLite takes rows of 1,000,000,000 bytes."""

_BOM = "\ufeff"


@attrs.frozen(kw_only=True)
class FileContent:
    """What a file gives for a frame."""

    content: str | bytes
    name: str
    uri: str


def read_file(path: str | os.PathLike[str], *, encoding: str | None = "utf-8") -> FileContent:
    """
    Return what the file at *path* holds, its name and its ``file://`` address.

    Text where it decodes as *encoding* and has no NUL, without a byte order
    mark; else, and always with None, bytes.  Links are followed.  A device or
    a pipe is refused at once, never waited for.

    Raises:
        UsageError: There is no such regular file, it cannot be read or is too large, or the encoding is unknown.
    """
    where = _checked_path(path)
    _demand_encoding(encoding)
    try:
        data = _bytes_of(where)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Cannot read {where}: {reason}. Nothing was stored; check the path.") from error
    return FileContent(
        content=_as_text(data, encoding),
        name=os.path.basename(where),
        uri=Path(os.path.abspath(where)).as_uri(),
    )


def _checked_path(path: object) -> str:
    try:
        return os.fsdecode(os.fspath(path))  # type: ignore[call-overload]  # what is no path is refused here
    except TypeError as error:
        raise UsageError(f"path must be a str or a Path, not {type(path).__name__}") from error


def _demand_encoding(encoding: object) -> None:
    if encoding is None:
        return
    if not isinstance(encoding, str):
        raise UsageError(f"encoding must be str or None, not {type(encoding).__name__}")
    try:
        b"x".decode(encoding, "ignore")
    except (LookupError, ValueError) as error:
        raise UsageError(f"unknown encoding {encoding!r}; None keeps the bytes as they are") from error


def _bytes_of(path: str) -> bytes:
    # Without O_NONBLOCK, opening a pipe waits for its other end.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is a directory, a pipe or a device, not a file")
        # Asked before reading and bounded in reading: a file may grow, and
        # those of /proc say that they are empty.
        with open(handle, "rb", closefd=False) as file:
            data = b"" if found.st_size > MAX_FILE_BYTES else file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(handle)
    if max(found.st_size, len(data)) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than the {MAX_FILE_BYTES:,} bytes that fit into a frame")
    if len(data) < found.st_size:
        raise ValueError("it was cut short while it was read")
    return data


def _as_text(data: bytes, encoding: str | None) -> str | bytes:
    if encoding is None:
        return data
    try:
        text = data.decode(encoding)
    except UnicodeError:
        return data
    return data if "\x00" in text else text.removeprefix(_BOM)
