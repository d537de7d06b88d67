"""What stands beside a store file, and how the file itself stands there: a finding each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from shlex import quote

from replaykit.errors import SessionNotFoundError, StorageError
from replaykit.model import Finding
from replaykit.protocols import Log, Store
from replaykit.storage.live_log import Item, LogReader
from replaykit.storage.recovery import is_published
from replaykit.storage.secret_key import KEY_BYTES, key_path, read_key

__all__ = [
    "directory_findings",
    "evidence_findings",
    "key_findings",
    "leftover_finding",
    "log_finding",
    "name_findings",
    "size_of",
]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def size_of(path: str) -> int:
    """Return how many bytes the file *path* has; 0 once it is gone."""
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def directory_findings(path: str) -> Iterator[Finding]:
    """Say whether others may write to the directory *path*."""
    if os.stat(path).st_mode & _OTHERS_WRITE:
        yield Finding(
            severity="warning",
            where=path,
            what="other users may add and remove files here",
            next_step=f"chmod 700 {quote(path)}",
        )


def name_findings(path: str) -> Iterator[Finding]:
    """Say who else may use the file *path*, and by which other names."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        return
    if found.st_mode & _OTHERS:
        yield Finding(
            severity="warning",
            where=path,
            what=f"other users may use this file: its mode is {stat.S_IMODE(found.st_mode):04o}",
            next_step=f"chmod 600 {quote(path)}",
        )
    if found.st_nlink > 1:
        yield Finding(
            severity="warning",
            where=path,
            what=f"it has {found.st_nlink} names (hard links), so replaykit refuses to write to it",
            next_step="remove its other names, or copy it to a new file",
        )


def leftover_finding(path: str, location: str) -> Finding:
    """Say what the copy is that a compaction of the store at *location* makes, or left."""
    return Finding(
        severity="warning",
        where=path,
        what=f"{size_of(path)} bytes of a compaction that was killed, or runs now; the store is as it was",
        next_step=f"the next compaction removes it: replaykit compact {quote(location)}",
    )


def evidence_findings(path: str) -> Iterator[Finding]:
    """Say what a recovery kept in the file *path*, and who else may use it."""
    yield from name_findings(path)
    yield Finding(
        severity="note",
        where=path,
        what=f"{size_of(path)} bytes of a torn end that a recovery kept",
        next_step="remove it when nobody wants to look into them",
    )


def key_findings(location: str, *, is_used: bool) -> Iterator[Finding]:
    """Say what is wrong with the secret of the store at *location*, with which hashes were made if it *is_used*."""
    path = key_path(location)
    yield from name_findings(path)
    try:
        key = read_key(path)
    except (OSError, StorageError) as error:
        what = f"{error}: where capture='hash' every action is lost"
        yield Finding(severity="warning", where=path, what=what, next_step="put the secret back")
        return
    if key is None and is_used:
        yield Finding(
            severity="warning",
            where=path,
            what="the secret with which the hashes here were made is gone",
            next_step="put it back, or the next recorder with capture='hash' makes another",
        )
    if key is not None and len(key) < KEY_BYTES:
        what = f"this secret is cut short: it has {len(key)} of {KEY_BYTES} bytes"
        yield Finding(
            severity="warning",
            where=path,
            what=f"{what}, and where capture='hash' every action is lost" if is_used else what,
            next_step="put it back, or remove it for another" if is_used else "the next recorder replaces it",
        )


def log_finding(log: Log, store: Store | None, location: str) -> Finding:
    """Say whose the live log is and what it holds; *store* is where its session may be published, where that opens."""
    try:
        is_open, held = log.has_writer(), _held_by(log)
        is_done = not is_open and store is not None and _is_done(store, log)
    except (OSError, StorageError) as error:
        return Finding(
            severity="warning",
            where=log.path,
            what=f"this live log cannot be read: {error}",
            next_step="look at that file; it is not deleted while it cannot be published",
        )
    if is_open:
        return Finding(severity="note", where=log.path, what=f"a living process records this session: {held} so far")
    if is_done:
        return Finding(
            severity="note",
            where=log.path,
            what=f"all of it is published: {held}",
            next_step="the next writer removes it",
        )
    return Finding(
        severity="warning",
        where=log.path,
        what=f"abandoned: its writer is gone, and it holds {held}",
        next_step=f"the next writer publishes them: record here again, or replaykit compact {quote(location)}",
    )


def _held_by(log: Log) -> str:
    reader = LogReader(log)
    ended, torn, damaged = set(), 0, 0
    for what, item in reader.items(is_complete=not log.has_writer()):
        if what is Item.GAP:
            torn += not item.is_loss
            damaged += item.is_loss
        elif what is not Item.CHECKPOINT:
            ended.add(item.sequence if what is Item.CALL else item["i"])
    running = len(set(reader.announced) - ended)
    held = f"{len(ended)} action(s)"
    held += f", {running} call(s) without an end" if running else ""
    held += f", {damaged} damaged record(s)" if damaged else ""
    return held + (f", {torn} torn record(s)" if torn else "")


def _is_done(store: Store, log: Log) -> bool:
    try:
        return is_published(store.read(log.session_id), log)
    except (SessionNotFoundError, StorageError):
        # What of the store cannot be read is a finding of its own.
        return False
