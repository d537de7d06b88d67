"""The secret of a store: what keeps hashes of short values from being guessed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import blake3

from replaykit.errors import StorageError
from replaykit.model import ZERO_HASH

__all__ = ["keyed_hasher"]

_KEY_BYTES = 32


def keyed_hasher(location: str) -> Callable[[bytes], bytes]:
    """
    Return BLAKE3 keyed with the secret of the store at *location*; no data gives 32 zero bytes.

    The secret is 32 random bytes in a file of mode 0600 beside the store
    (``x.key``), made on first use; a store in RAM gets one for its life.

    Raises:
        StorageError: The file cannot be read, or is not such a secret.
    """
    key = os.urandom(_KEY_BYTES) if location == ":memory:" else _key_at(location.rstrip("/") + ".key")

    def hasher(data: bytes) -> bytes:
        return blake3.blake3(data, key=key).digest() if data else ZERO_HASH

    return hasher


def _key_at(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise StorageError(f"Cannot make the store's secret {path}: {error.strerror}", path=path) from error
    try:
        os.write(handle, os.urandom(_KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    return _read(path)


def _read(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise StorageError(f"Cannot read the store's secret {path}: {error.strerror}", path=path) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise StorageError(f"{path} is not a store's secret: it is no file of its own", path=path)
        key = os.read(handle, _KEY_BYTES + 1)
    finally:
        os.close(handle)
    if len(key) != _KEY_BYTES:
        raise StorageError(f"{path} is not a store's secret: it has {len(key)} bytes, not 32", path=path)
    return key
