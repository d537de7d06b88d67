"""
A copy of a memory as it was at one generation: rows of then, and an index that gives the scores of then.

The copy reads the memory through a connection of its own, so that the memory
can be used meanwhile, and holds nothing that came later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from replaykit.memory import state_hash
from replaykit.memory.changes import Version
from replaykit.memory.history import came_after, demand_kept, ended_after, has_table, live_ids, next_id_at, versions_of
from replaykit.memory.schema import FOREVER, PRUNED_TABLE, VECTOR_TABLES, State, create, load_state
from replaykit.storage.database import attach_file, open_blank

if TYPE_CHECKING:
    import apsw

__all__ = ["begin_copy", "fill", "fill_index"]

_ORIGIN = "origin"

_INDEX_TABLES = {
    "memory_index_data": "id, block",
    "memory_index_idx": "segid, term, pgno",
    "memory_index_docsize": "id, sz",
    "memory_index_config": "k, v",
}
# Made anew once the rows are in: filled row by row they cost twice as much.
_LATE_INDEXES = {
    "memory_by_frame": "CREATE UNIQUE INDEX memory_by_frame ON memory_versions (frame_id, until, since)",
    "memory_ended": f"CREATE INDEX memory_ended ON memory_versions (until) WHERE until < {FOREVER}",
}


def begin_copy(source: apsw.Connection, path: str = "") -> apsw.Connection:
    """
    Return a database at *path* (as `open_blank` says) that `fill` can fill from *source*.

    *source* is not needed after this, but the file that it has open must stay.
    """
    target = open_blank(path)
    try:
        _attach(target, source)
        create(target)
    except BaseException:
        target.close()
        raise
    return target


def _attach(target: apsw.Connection, source: apsw.Connection) -> None:
    import apsw

    mine = source.execute("SELECT memory_id FROM memory_identity").get
    if source.filename:
        try:
            attach_file(target, source.filename, _ORIGIN)
            if target.execute(f"SELECT memory_id FROM {_ORIGIN}.memory_identity").get == mine:  # noqa: S608 - ours
                return
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.SQLError, apsw.NotADBError):
            # The file lost its name, or another one has it now.
            pass
        if any(name == _ORIGIN for _, name, _ in target.execute("PRAGMA database_list")):
            target.execute(f"DETACH {_ORIGIN}")
    # What has no name cannot be attached: a copy of all of it can.
    target.execute(f"ATTACH '' AS {_ORIGIN}")
    with target.backup(_ORIGIN, source, "main") as backup:
        backup.step()


def fill(target: apsw.Connection, generation: int, *, with_history: bool) -> None:
    """
    Fill a copy with the memory as it was at *generation*; with the kept generations before it if asked.

    Raises:
        CheckpointNotFoundError: It was pruned.
    """
    with _filling(target):
        demand_kept(target, generation, schema=_ORIGIN)
        _copy_versions(target, generation, with_history=with_history)
        _copy_generations(target, generation, with_history=with_history)
        _save_state(target, generation, _make_index(target, generation))
        if with_history and generation < _present(target):
            # Words of what came later must not stay in a file of its own.
            target.execute("INSERT INTO memory_index (memory_index) VALUES ('optimize')")
    target.execute(f"DETACH {_ORIGIN}")


def _present(target: apsw.Connection) -> int:
    return load_state(target, schema=_ORIGIN).generation


@contextmanager
def _filling(target: apsw.Connection) -> Iterator[None]:
    # All is read in one transaction: writes of others in between do not mix.
    target.execute("BEGIN IMMEDIATE")
    for name in _LATE_INDEXES:
        target.execute(f"DROP INDEX {name}")
    yield
    for statement in _LATE_INDEXES.values():
        target.execute(statement)
    target.execute("COMMIT")


def _copy_versions(target: apsw.Connection, generation: int, *, with_history: bool) -> None:
    columns = ", ".join(_columns(target, "memory_versions", without="until"))
    live = f"CASE WHEN until > {generation} THEN {FOREVER} ELSE until END"
    ended = "" if with_history else f"AND until > {generation}"
    target.execute(
        f"INSERT INTO main.memory_versions ({columns}, until) "  # noqa: S608 - a number and our own words
        f"SELECT {columns}, {live} FROM {_ORIGIN}.memory_versions WHERE since <= {generation} {ended}"
    )
    target.execute(
        "INSERT INTO main.memory_contents (content_id, content) "  # noqa: S608 - our own words
        f"SELECT content_id, content FROM {_ORIGIN}.memory_contents "
        "WHERE content_id IN (SELECT content_id FROM main.memory_versions)"
    )
    _copy_vectors(target)


def _columns(target: apsw.Connection, table: str, *, without: str) -> list[str]:
    # As `create` made it: nothing that is read from a file becomes SQL.
    rows = target.execute(f"PRAGMA main.table_info({table})")
    return [name for _, name, *_ in rows if name != without]


def _copy_vectors(target: apsw.Connection) -> None:
    if has_table(target, "memory_embedder", schema=_ORIGIN):
        for statement in VECTOR_TABLES:
            target.execute(statement)
        target.execute(
            "INSERT INTO main.memory_embedder (id, name, dimension) "  # noqa: S608 - our own words
            f"SELECT id, name, dimension FROM {_ORIGIN}.memory_embedder"
        )
        target.execute(
            "INSERT INTO main.memory_vectors (version_id, vector) "  # noqa: S608 - our own words
            f"SELECT version_id, vector FROM {_ORIGIN}.memory_vectors "
            "WHERE version_id IN (SELECT version_id FROM main.memory_versions)"
        )


def _copy_generations(target: apsw.Connection, generation: int, *, with_history: bool) -> None:
    wanted = "<=" if with_history else "="
    target.execute("DELETE FROM main.memory_generations")
    target.execute(
        "INSERT INTO main.memory_generations (generation, made_ns) "  # noqa: S608 - our own words
        f"SELECT generation, made_ns FROM {_ORIGIN}.memory_generations WHERE generation {wanted} ?",
        (generation,),
    )
    target.execute(
        "INSERT INTO main.memory_erasures (frame_id, since, until, keyed_hash, erased_ns) "  # noqa: S608 - our words
        f"SELECT frame_id, since, until, keyed_hash, erased_ns FROM {_ORIGIN}.memory_erasures WHERE since <= ?",
        (generation,),
    )
    if with_history and has_table(target, "memory_pruned", schema=_ORIGIN):
        target.execute(PRUNED_TABLE)
        target.execute(
            "INSERT INTO main.memory_pruned (generation, made_ns) "  # noqa: S608 - our own words
            f"SELECT generation, made_ns FROM {_ORIGIN}.memory_pruned WHERE generation <= ?",
            (generation,),
        )


def _make_index(target: apsw.Connection, generation: int) -> _Sums:
    """Fill the index and return the sums, in whichever of two ways is shorter."""
    gone = came_after(target, generation, schema=_ORIGIN)
    back = ended_after(target, generation, schema=_ORIGIN)
    now = load_state(target, schema=_ORIGIN)
    count = now.frame_count
    if len(gone) + len(back) > count - len(gone) + len(back):
        sums = _Sums()
        _add(target, sums, versions_of(target, live_ids(target)))
        return sums
    sums = _Sums(count, now.frames_hash, now.index_hash)
    _copy_index(target)
    # In this order, since a frame is in the index once.
    _remove(target, sums, versions_of(target, gone, schema=_ORIGIN))
    _add(target, sums, versions_of(target, back))
    return sums


def fill_index(target: apsw.Connection) -> State:
    """Put every live frame of *target* into its empty index; return the sums of its state."""
    sums = _Sums()
    _add(target, sums, versions_of(target, live_ids(target)))
    return State(frame_count=sums.count, frames_hash=sums.frames, index_hash=sums.index)


def _copy_index(target: apsw.Connection) -> None:
    # Page by page as it is: cutting all texts into words again costs fifty
    # times as much.  FTS5 must not have looked at its tables before.
    for table, columns in _INDEX_TABLES.items():
        target.execute(f"DELETE FROM main.{table}")  # noqa: S608 - our own words
        target.execute(
            f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM {_ORIGIN}.{table}"  # noqa: S608 - ours
        )


def _remove(target: apsw.Connection, sums: _Sums, versions: Iterator[Version]) -> None:
    for version in versions:
        sums.remove(version)
        target.execute(
            "INSERT INTO memory_index (memory_index, rowid, title, body) VALUES ('delete', ?, ?, ?)",
            (version.frame_id, *version.fields.indexed()),
        )


def _add(target: apsw.Connection, sums: _Sums, versions: Iterator[Version]) -> None:
    for version in versions:
        sums.add(version)
        target.execute(
            "INSERT INTO memory_index (rowid, title, body) VALUES (?, ?, ?)",
            (version.frame_id, *version.fields.indexed()),
        )


def _save_state(target: apsw.Connection, generation: int, sums: _Sums) -> None:
    target.execute(
        "UPDATE main.memory_state SET generation = ?, next_id = ?, frame_count = ?, frames_hash = ?, index_hash = ?",
        (
            generation,
            next_id_at(target, generation, schema=_ORIGIN),
            sums.count,
            state_hash.to_bytes(sums.frames),
            state_hash.to_bytes(sums.index),
        ),
    )


@attrs.define
class _Sums:
    """The sums of a state, of which versions are taken and to which they are added."""

    count: int = 0
    frames: int = state_hash.EMPTY
    index: int = state_hash.EMPTY

    def add(self, version: Version) -> None:
        self.count += 1
        self.frames = state_hash.add(self.frames, _frame_element(version))
        self.index = state_hash.add(self.index, _index_element(version))

    def remove(self, version: Version) -> None:
        self.count -= 1
        self.frames = state_hash.remove(self.frames, _frame_element(version))
        self.index = state_hash.remove(self.index, _index_element(version))


def _frame_element(version: Version) -> int:
    return state_hash.element(version.frame_id, version.fields_hash)


def _index_element(version: Version) -> int:
    return state_hash.element(version.frame_id, version.fields.index_hash())
