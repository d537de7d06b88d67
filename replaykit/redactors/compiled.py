"""
Hyperscan's databases, compiled once and kept like bytecode.

To compile the rules takes a fifth of a second, each time a program starts.
The result is kept where Python keeps what it has compiled of this package, and
under the same conditions: not with ``PYTHONDONTWRITEBYTECODE``, elsewhere with
``PYTHONPYCACHEPREFIX``, not at all where nobody may write.  Whoever can change
it there can change our code as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import sys
import threading
from collections.abc import Sequence
from typing import Any

__all__ = ["database_of"]

_DIGEST_BYTES = 32


def database_of(hyperscan: Any, patterns: Sequence[bytes], flags: Sequence[int]) -> Any:
    """
    Return the database that finds *patterns*, whose ids are their places; compiled now if it is not kept.

    Raises:
        hyperscan.HyperscanError: This processor cannot be compiled for.
    """
    path = _path_of(hyperscan, patterns, flags)
    found = None if path is None else _kept(hyperscan, path)
    if found is not None:
        return found
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=list(patterns), ids=list(range(len(patterns))), elements=len(patterns), flags=list(flags)
    )
    if path is not None and not sys.dont_write_bytecode:
        with contextlib.suppress(OSError, hyperscan.HyperscanError):
            _keep(path, hyperscan.dumpb(database))
    return database


def _path_of(hyperscan: Any, patterns: Sequence[bytes], flags: Sequence[int]) -> str | None:
    """Return where the database is kept: its name says what it was made of, so a change makes another one."""
    try:
        folder = os.path.dirname(importlib.util.cache_from_source(__file__))
    except NotImplementedError:
        # This interpreter keeps no bytecode: it has no `cache_tag`.
        return None
    made_of = repr((hyperscan.__version__, platform.machine(), list(patterns), list(flags)))
    return os.path.join(folder, f"rules-{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.hsdb")


def _kept(hyperscan: Any, path: str) -> Any:
    """Return the database in the file at *path*, None if there is none that this processor can use."""
    try:
        with open(path, "rb") as file:
            stored = file.read()
        digest, data = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            return None
        database = hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
        # One that was made for another processor fails here at the latest.
        database.scan(b"x", lambda *_: None, 0, None, hyperscan.Scratch(database))
    except (OSError, hyperscan.HyperscanError):
        return None
    return database


def _keep(path: str, data: bytes) -> None:
    partial = f"{path}.{os.getpid()}.{threading.get_ident()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # Readable for others as bytecode is: a package may be root's.
        with open(partial, "xb") as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
