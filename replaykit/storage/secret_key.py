"""The secret of a store: what keeps hashes of short values from being guessed."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import blake3

from replaykit.errors import StorageError
from replaykit.model import ZERO_HASH
from replaykit.protocols import Store
from replaykit.storage.files import SystemFiles

__all__ = ["KEY_BYTES", "has_hashes", "key_path", "keyed_hasher", "read_key"]

KEY_BYTES = 32
"""How long a secret is."""

_ATTEMPTS = 1000
_PAUSE_S = 0.001
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.new\Z")


def keyed_hasher(location: str, *, is_used: Callable[[], bool]) -> Callable[[bytes], bytes]:
    """
    Return BLAKE3 keyed with the secret of the store at *location*; no data gives 32 zero bytes.

    The secret is 32 random bytes in a file of mode 0600 beside the store
    (``x.key``), made on first use, whole or not at all; a store in RAM gets
    one for its life.  A file that is too short is replaced unless *is_used*
    says that the store has hashes, which none but the lost secret compares with.

    Raises:
        StorageError: The file cannot be made or read, or is not such a secret.
    """
    key = os.urandom(KEY_BYTES) if location == ":memory:" else _key_at(key_path(location), is_used)

    def hasher(data: bytes) -> bytes:
        return blake3.blake3(data, key=key).digest() if data else ZERO_HASH

    return hasher


def has_hashes(store: Store) -> bool:
    """Return whether *store* has an action whose hashes were made with its secret."""
    hashed = (card for card in store.cards() if card.capture == "hash" and card.action_count)
    # Of a call that was lost for want of the secret its beginning is there.
    return any(
        "unfinished" not in action.get("fl", ()) for card in hashed for action in store.read(card.session_id).actions()
    )


def key_path(location: str) -> str:
    """Return where the secret of the store at *location* is."""
    return location.rstrip("/") + ".key"


def _key_at(path: str, is_used: Callable[[], bool]) -> bytes:
    files = SystemFiles()
    try:
        for _ in range(_ATTEMPTS):
            key = _read_tidied(files, path)
            if key is not None and len(key) == KEY_BYTES:
                return key
            if key is None:
                _make(files, path)
            elif is_used():
                raise StorageError(
                    f"{path} is not a store's secret any more: it has {len(key)} bytes, and hashes were made with it. "
                    "Put it back, or remove it: hashes that are recorded then equal none of those before",
                    path=path,
                )
            else:
                _replace(files, path)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"Cannot make the store's secret {path}: {error.strerror}", path=path) from error
    raise StorageError(f"Cannot make the store's secret {path}: others make and remove it all the time", path=path)


def _make(files: SystemFiles, path: str) -> None:
    """Give a new secret the name *path*, if nothing has it; who reads it there finds it whole."""
    # No lock: a signal handler that records would wait for the call that it
    # has interrupted.
    temporary = _written_beside(files, path)
    try:
        # Gone where another maker was through first: its secret counts.
        with suppress(FileExistsError, FileNotFoundError):
            _name(temporary, path)
        files.sync_directory(os.path.dirname(path))
    finally:
        _tidy(files, path)


def _name(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        # A file system without hard links, as on a memory card: of two makers
        # the later one may win there, within a moment.
        if not os.path.lexists(path):
            os.rename(temporary, path)


def _replace(files: SystemFiles, path: str) -> None:
    """Have a new secret in the place of a file that is too short to be one, unless another has just done that."""
    with suppress(FileNotFoundError):
        handle = files.open(path, write=True, create=False)
        try:
            # Who holds the lock of the file that goes is the only one to replace it.
            if files.lock(handle) and files.leads_to(path, handle) and files.size(handle) < KEY_BYTES:
                os.replace(_written_beside(files, path), path)
                files.sync_directory(os.path.dirname(path))
            else:
                time.sleep(_PAUSE_S)
        finally:
            files.close(handle)
            _tidy(files, path)


def _written_beside(files: SystemFiles, path: str) -> str:
    """Return where a new secret is, on the device."""
    temporary = f"{path}.{uuid4().hex}.new"
    handle = files.open(temporary, write=True, create=True)
    try:
        if files.append(handle, os.urandom(KEY_BYTES)) != KEY_BYTES:
            raise StorageError(f"Cannot make the store's secret {path}: the disk took only a part", path=path)
        files.sync(handle)
    except BaseException:
        with suppress(OSError):
            files.remove(temporary)
        raise
    finally:
        files.close(handle)
    return temporary


def _read_tidied(files: SystemFiles, path: str) -> bytes | None:
    try:
        return read_key(path)
    except StorageError:
        # It may have two names: its maker is about to remove the other one,
        # or was killed before that.
        _tidy(files, path)
        return read_key(path)


def _tidy(files: SystemFiles, path: str) -> None:
    """Remove what makers of the secret *path* have beside it: one that is not through yet makes it again."""
    directory, name = os.path.split(path)
    with suppress(OSError):
        for other in files.names(directory):
            if other.startswith(name) and _TEMPORARY.fullmatch(other[len(name) :]):
                with suppress(FileNotFoundError):
                    files.remove(os.path.join(directory, other))


def read_key(path: str) -> bytes | None:
    """
    Return what the file *path* has of a secret, None where there is none.

    Raises:
        StorageError: It cannot be read, or is something else.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"Cannot read the store's secret {path}: {error.strerror}", path=path) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise StorageError(f"{path} is not a store's secret: it is no file of its own", path=path)
        key = os.read(handle, KEY_BYTES + 1)
    finally:
        os.close(handle)
    if len(key) > KEY_BYTES:
        raise StorageError(f"{path} is not a store's secret: it has more than {KEY_BYTES} bytes", path=path)
    return key
