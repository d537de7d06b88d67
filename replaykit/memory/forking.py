"""Makes a branch of a memory: a file of its own that knows where it comes from, and is known there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import attrs

from replaykit.errors import UsageError
from replaykit.memory.connection import Connection, translated
from replaykit.memory.copying import begin_copy, fill
from replaykit.memory.history import Moment, generation_of, has_table
from replaykit.memory.schema import ANCESTORS_TABLE, FOREVER, load_generation
from replaykit.storage.database import MEMORY, harden
from replaykit.storage.placing import drafted

if TYPE_CHECKING:
    import apsw

__all__ = ["fork", "past", "private_branch"]


def past(origin: Connection, moment: Moment) -> Connection:
    """
    Return a private copy of the memory as it was, for reading; it needs the memory no more.

    Raises:
        CheckpointNotFoundError: *moment* is none that can be gone back to.
    """
    with origin.lending() as connection:
        generation = generation_of(connection, moment)
        copy = begin_copy(connection)
    with translated(origin.path):
        _keep_identity(copy)
        fill(copy, generation, with_history=False)
        harden(copy, read_only=True)
    refusal = f"this is the memory {origin.path} as it was at generation {generation}: fork it to write"
    return Connection.over(copy, origin.path, refusal=refusal)


def _keep_identity(copy: apsw.Connection) -> None:
    for table in ("memory_identity", "memory_forks"):
        copy.execute(f"DELETE FROM main.{table}")  # noqa: S608 - our own word
        copy.execute(f"INSERT INTO main.{table} SELECT * FROM origin.{table}")  # noqa: S608 - our own word
    _take_ancestors(copy, FOREVER)


def _take_ancestors(copy: apsw.Connection, generation: int) -> None:
    """Note of whom the origin descends, by way of its parent, as far as the copy has it, up to *generation*."""
    if not has_table(copy, "memory_ancestors", schema="origin"):
        return
    copy.execute(ANCESTORS_TABLE)
    copy.execute(
        "INSERT OR IGNORE INTO main.memory_ancestors (memory_id, forked_at) "
        "SELECT memory_id, min(forked_at, ?) FROM origin.memory_ancestors",
        (generation,),
    )


@attrs.frozen
class _Birth:
    """What a fork and its parent note of each other."""

    fork_id: bytes
    generation: int
    forked_ns: int


def fork(origin: Connection, path: str, moment: Moment | None, *, now_ns: int) -> Connection:
    """
    Make a branch at *path*, or in RAM for ``:memory:``, with what is kept up to *moment*; return it, open for writing.

    Raises:
        UsageError: There is something at *path*.
        CheckpointNotFoundError: *moment* is none that can be gone back to.
        StorageError: The system refuses; then there is no file.
    """
    if path == MEMORY:
        copy, _ = _filled(origin, MEMORY, moment, now_ns)
        return Connection.over(harden(copy), MEMORY)
    place = _absolute(path)
    with drafted(place) as draft:
        copy, birth = _filled(origin, draft.path, moment, now_ns)
        copy.close()
        _note(origin, place, birth)
        try:
            draft.place()
        except UsageError:
            _forget(origin, birth)
            raise
    return Connection(path, create=False, read_only=False)


def private_branch(origin: Connection, moment: Moment) -> Connection:
    """
    Return a branch that has no name and goes with its connection; it may be written.

    Raises:
        CheckpointNotFoundError: *moment* is none that can be gone back to.
    """
    copy, _ = _filled(origin, "", moment, 0)
    return Connection.over(harden(copy), origin.path)


def _filled(origin: Connection, path: str, moment: Moment | None, now_ns: int) -> tuple[apsw.Connection, _Birth]:
    with origin.lending() as connection:
        generation = load_generation(connection) if moment is None else generation_of(connection, moment)
        copy = begin_copy(connection, path)
    birth = _Birth(uuid4().bytes, generation, now_ns)
    with translated(origin.path):
        try:
            _take_identity(copy, birth, origin.file)
            _take_parent(copy, birth)
            _take_ancestors(copy, birth.generation)
            fill(copy, generation, with_history=True)
        except BaseException:
            copy.close()
            raise
    return copy, birth


def _take_identity(copy: apsw.Connection, birth: _Birth, parent_path: str) -> None:
    # The key goes along: what was erased before is known by hashes under it.
    copy.execute(
        "UPDATE main.memory_identity SET memory_id = ?, forked_at = ?, forked_ns = ?, parent_path = ?, "
        "parent_id = (SELECT memory_id FROM origin.memory_identity), "
        "hash_key = (SELECT hash_key FROM origin.memory_identity)",
        (birth.fork_id, birth.generation, birth.forked_ns, parent_path),
    )


def _take_parent(copy: apsw.Connection, birth: _Birth) -> None:
    """Note whose fork the origin is: the next one's identity says only what it is a fork of itself."""
    is_fork = "FROM origin.memory_identity WHERE parent_id IS NOT NULL AND forked_at IS NOT NULL"
    if not copy.execute(f"SELECT 1 {is_fork}").get:
        return
    copy.execute(ANCESTORS_TABLE)
    copy.execute(
        f"INSERT INTO main.memory_ancestors (memory_id, forked_at) SELECT parent_id, min(forked_at, ?) {is_fork}",
        (birth.generation,),
    )


def _note(origin: Connection, path: str, birth: _Birth) -> None:
    """Note the fork in its parent before it appears, so that none is unknown there; the note outlives a power loss."""
    if origin.is_read_only:
        return
    with origin.lending() as connection:
        connection.execute("PRAGMA synchronous=FULL")
        try:
            with origin.writing():
                connection.execute(
                    "INSERT INTO memory_forks (fork_id, path, forked_at, forked_ns) VALUES (?, ?, ?, ?)",
                    (birth.fork_id, path, birth.generation, birth.forked_ns),
                )
        finally:
            connection.execute("PRAGMA synchronous=NORMAL")


def _forget(origin: Connection, birth: _Birth) -> None:
    if origin.is_read_only:
        return
    with origin.writing() as connection:
        connection.execute("DELETE FROM memory_forks WHERE fork_id = ?", (birth.fork_id,))


def _absolute(path: str) -> str:
    if not path or path.endswith(os.sep):
        raise UsageError(f"{path!r} is no name for a file: give one such as branch.mv")
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder or os.curdir), name)
