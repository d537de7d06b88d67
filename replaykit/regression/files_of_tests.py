"""Files of tests: what is in one, and how a test gets into it without harm to what is there."""

from __future__ import annotations

import errno
import os
from uuid import uuid4

from replaykit.errors import StorageError, UsageError
from replaykit.regression.source_of_tests import ExistingTests

__all__ = ["demand_free", "existing_tests", "write_test"]

_MOST_EXISTING_BYTES = 4 << 20


def existing_tests(path: str | os.PathLike[str], *, append: bool) -> ExistingTests | None:
    """
    Return what is at *path*, None where nothing is.

    Raises:
        UsageError: Something is there and no test shall be added to it, or it is no file of tests.
    """
    where = os.fspath(path)
    if not where.endswith(".py"):
        raise UsageError(f"{where} is no file of tests: give one that ends in .py, such as tests/test_capital.py")
    if not os.path.lexists(where):
        return None
    if os.path.islink(where) or not os.path.isfile(where):
        raise UsageError(f"{where} is a symlink, a folder or a device: name a file for the test")
    if not append:
        raise UsageError(f"{where} exists and is not overwritten: add the test to it with --append, or name another")
    if os.path.getsize(where) > _MOST_EXISTING_BYTES:
        raise UsageError(f"{where} is too large to be a file of tests")
    try:
        with open(where, encoding="utf-8", newline="") as file:
            return ExistingTests.read(file.read(), where)
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is no text in UTF-8, so that no test can be added to it") from error


def demand_free(recording: str) -> None:
    """
    Return if nothing is where a *recording* would be written.

    Raises:
        UsageError: Something is.
    """
    if os.path.lexists(recording):
        raise UsageError(f"{recording} exists and is not overwritten: remove it, or give another name with --name")


def write_test(path: str, source: str, *, replaces: str | None = None) -> None:
    """
    Write a file of tests: a new one, or in place of one whose text is *replaces*, with its mode.

    Folders are made where they are missing.

    Raises:
        UsageError: A new one is to be written where something is.
        StorageError: The system refuses, or the old one has another text by now.
    """
    place = os.path.abspath(path)
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if replaces is None:
            _write_new(place, source)
        else:
            _replace(place, source, replaces)
    except FileExistsError as error:
        raise UsageError(f"{path} exists by now and is not overwritten") from error
    except OSError as error:
        raise StorageError(f"Cannot write the test {path}: {error.strerror}", path=path) from error


def _write_new(place: str, source: str, mode: int = 0o666) -> None:
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(source)
    except BaseException:
        os.unlink(place)
        raise


def _replace(place: str, source: str, replaces: str) -> None:
    with open(place, encoding="utf-8", newline="") as file:
        if file.read() != replaces or os.path.islink(place):
            raise OSError(errno.EBUSY, "it has changed meanwhile")
    draft = os.path.join(os.path.dirname(place), f".replaykit-{uuid4().hex}.new")
    _write_new(draft, source)
    try:
        os.chmod(draft, os.stat(place).st_mode & 0o7777)
        os.replace(draft, place)
    except BaseException:
        os.unlink(draft)
        raise
