"""
Copies what can be read of a damaged memory into a file that has none: row by row, around what SQLite cannot read.

What comes out is whole in itself.  A state that lacks a frame is no state to
go back to: where frames are lost, the rescued ones are a new generation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from replaykit.errors import DamagedError, StorageError, UnsupportedVersionError
from replaykit.memory import demands
from replaykit.memory.changes import Version, versions
from replaykit.memory.checking import check_frames
from replaykit.memory.connection import translated
from replaykit.memory.copying import fill_index
from replaykit.memory.fields import stored
from replaykit.memory.history import has_table
from replaykit.memory.pruning import prune
from replaykit.memory.schema import (
    ANCESTORS_TABLE,
    FOREVER,
    PRUNED_TABLE,
    VECTOR_TABLES,
    State,
    create,
    demand_own_tables,
    demand_readable,
    has_tables,
    load_state,
    save_state,
)
from replaykit.model import RescuedMemory
from replaykit.protocols import Advance
from replaykit.storage.compaction import silent
from replaykit.storage.database import open_database

if TYPE_CHECKING:
    import apsw

__all__ = ["count_frames", "rescue"]

_MOST_LISTED = 20
_MOST_PROBED = 10_000_000
_PAGE = 512

_SIDE_TABLES = (
    ("memory_forks", ("fork_id", "path", "forked_at", "forked_ns"), ""),
    ("memory_erasures", ("frame_id", "since", "until", "keyed_hash", "erased_ns"), ""),
    ("memory_ancestors", ("memory_id", "forked_at"), ANCESTORS_TABLE),
    ("memory_pruned", ("generation", "made_ns"), PRUNED_TABLE),
)


def count_frames(path: str) -> int | None:
    """
    Return how many frames the memory in the file at *path* says to have; None where there is no memory in it.

    Raises:
        StorageError: The file cannot be opened, or it does not say.
    """
    connection = open_database(path, create=False, read_only=True)
    try:
        with translated(path):
            return load_state(connection).frame_count if has_tables(connection) else None
    finally:
        connection.close()


def rescue(damaged: str, target: str, *, progress: Advance = silent) -> RescuedMemory | None:
    """
    Copy the frames of the memory file *damaged* and their history into the database *target*, which has no memory.

    None where *damaged* has none either.  Where nothing of it can be read
    *target* stays without a memory, so that it is not taken for a rescued one.

    Raises:
        StorageError: *target* cannot be written, or what was written there does not check.
    """
    source = open_database(damaged, create=False, read_only=True)
    try:
        with translated(damaged):
            if not has_tables(source):
                return None
            _demand_known(source, damaged)
    except (DamagedError, UnsupportedVersionError) as error:
        return RescuedMemory(whole=False, damage=(f"{error}: no frame was copied",))
    else:
        return _copied(source, damaged, target, progress)
    finally:
        source.close()


def _demand_known(source: apsw.Connection, path: str) -> None:
    try:
        with translated(path):
            demand_readable(source, path)
    except DamagedError:
        # What it says of its version may be what is damaged.
        demand_own_tables(source, path)


def _copied(source: apsw.Connection, damaged: str, target: str, progress: Advance) -> RescuedMemory:
    copy = open_database(target, create=False)
    try:
        with translated(target):
            create(copy)
            copy.execute("BEGIN IMMEDIATE")
            rescued = _Rescue(source, damaged, copy, progress).result()
            copy.execute("COMMIT")
    finally:
        copy.close()
    found = check_frames(target)
    if found is None or found.problems:
        raise StorageError(f"{target} does not verify: {found and found.problems[0]}", path=target)
    return rescued


class _Rescue:
    """One copy, inside the transaction of *copy*."""

    def __init__(self, source: apsw.Connection, path: str, copy: apsw.Connection, progress: Advance) -> None:
        self._source = source
        self._path = path
        self._copy = copy
        self._progress = progress
        self._damage: list[str] = []
        self._lost = 0
        self._lost_live = 0
        self._gone: list[tuple[int, int]] = []
        self._is_past_known = True

    def result(self) -> RescuedMemory:
        """Copy everything and return what came of it."""
        state = self._state()
        expected = 0 if state is None else state.frame_count
        self._copy_identity()
        for done, version_id in enumerate(self._version_ids()):
            self._progress(min(done, expected), expected)
            self._take(version_id)
        if self._lost > _MOST_LISTED:
            self._note(f"{self._lost - _MOST_LISTED} more versions of frames cannot be read")
        self._copy_vectors()
        for table, columns, made_by in _SIDE_TABLES:
            self._copy_side_table(table, columns, made_by)
        self._copy_generations()
        settled, lost_frames = self._settle(state)
        self._forget_what_is_not_whole(settled.generation)
        return RescuedMemory(
            frames=settled.frame_count,
            lost_frames=lost_frames,
            lost_versions=max(0, self._lost - lost_frames),
            whole=not (lost_frames or self._lost or self._damage),
            damage=tuple(self._damage),
        )

    def _note(self, what: str) -> None:
        self._damage.append(f"{self._path}: {what}")

    # -- reading ------------------------------------------------------------------

    def _state(self) -> State | None:
        import apsw

        try:
            return load_state(self._source)
        except (apsw.Error, DamagedError) as error:
            self._note(f"what the memory says of its state: {_told(error)}")
            return None

    def _read(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a small table as far as they can be read; the rest is noted."""
        import apsw

        try:
            yield from self._source.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - our own words
        except (apsw.Error, UnicodeDecodeError) as error:
            self._is_past_known &= table != "memory_generations"
            self._note(f"{table.replace('_', ' ')}: {_told(error)}")

    def _version_ids(self) -> Iterator[int]:
        """Yield the ids of all versions, and in a range whose rows are reached from neither end those it may have."""
        import apsw

        at = -1
        try:
            while found := self._ids("> ? ORDER BY version_id ASC", at):
                yield from demands.ascending(found, "the id of a version", after=at)
                at = found[-1]
            return
        except (apsw.Error, DamagedError):
            # Behind a page that is damaged the rows are reached from the other end.
            pass
        below, behind = FOREVER, list[int]()
        try:
            while found := [each for each in self._ids("< ? ORDER BY version_id DESC", below) if each > at]:
                demands.ascending(found[::-1], "the id of a version", after=at)
                if found[0] >= below:
                    break
                behind += found
                below = found[-1]
        except (apsw.Error, DamagedError):
            pass
        yield from range(at + 1, min(below, at + 1 + _MOST_PROBED, self._bound(at)))
        yield from reversed(behind)

    def _ids(self, condition: str, at: int) -> list[int]:
        sql = f"SELECT version_id FROM memory_versions WHERE version_id {condition} LIMIT ?"  # noqa: S608 - our own words
        return demands.wholes([row[0] for row in self._source.execute(sql, (at, _PAGE))], "the id of a version")

    def _bound(self, at: int) -> int:
        """Return an id that no version above *at* has, or one that leaves few out: each takes bytes in the file."""
        import apsw

        try:
            last = self._source.execute("SELECT max(version_id) FROM memory_versions").get
            return demands.whole(last, "the id of a version") + 1
        except (apsw.Error, DamagedError):
            return at + 1 + os.path.getsize(self._path)

    def _take(self, version_id: int) -> None:
        """Copy one version, or note that it is lost; an id that no version has is passed over."""
        import apsw

        span: tuple[int, int, int] | None = None
        try:
            row = self._source.execute(
                "SELECT frame_id, since, until FROM memory_versions WHERE version_id = ?", (version_id,)
            ).get
            if row is None:
                return
            frame_id, since, until = (
                demands.whole(each, "the generation of a version", below=FOREVER + 1) for each in row
            )
            span = frame_id, since, until
            version = next(versions(self._source, "version_id = ?", (version_id,)), None)
            reason = self._refusal(version, until)
        except (apsw.Error, DamagedError, UnicodeDecodeError) as error:
            version, reason = None, _told(error)
        if version is not None and not reason:
            self._keep(version, span[2] if span else FOREVER)
        else:
            self._lose(version_id, span, reason)

    def _refusal(self, version: Version | None, until: int) -> str:
        """Return why a version that was read is not copied; empty if it is."""
        if version is None:
            return "its content is not there"
        if version.fields.fields_hash() != version.fields_hash:
            return "what it holds does not agree with its hash"
        same = "SELECT 1 FROM memory_versions WHERE frame_id = ? AND until = ?"
        if version.since >= until or self._copy.execute(same, (version.frame_id, until)).get:
            return "it is there twice, or ends before it begins"
        return ""

    def _lose(self, version_id: int, span: tuple[int, int, int] | None, reason: str) -> None:
        self._lost += 1
        if span is None:
            # Nobody knows of which states it was a part.
            self._is_past_known = False
            what = f"version {version_id} of some frame"
        else:
            frame_id, since, until = span
            self._lost_live += until == FOREVER
            self._gone.append((since, until))
            what = f"frame {frame_id}" if until == FOREVER else f"an older version ({version_id}) of frame {frame_id}"
        if self._lost <= _MOST_LISTED:
            self._note(f"{what}: {reason}")

    # -- writing ------------------------------------------------------------------

    def _keep(self, version: Version, until: int) -> None:
        fields = version.fields
        form = stored(fields.content) if isinstance(fields.content, str) else fields.content
        self._copy.execute("INSERT OR IGNORE INTO memory_contents VALUES (?, ?)", (version.content_id, form))
        self._copy.execute(
            "INSERT INTO memory_versions (version_id, frame_id, since, until, created_ns, fields_hash, is_text, "
            "content_id, title, uri, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                version.version_id,
                version.frame_id,
                version.since,
                until,
                version.created_ns,
                version.fields_hash,
                isinstance(fields.content, str),
                version.content_id,
                None if fields.title is None else stored(fields.title),
                None if fields.uri is None else stored(fields.uri),
                fields.metadata,
            ),
        )

    def _copy_identity(self) -> None:
        """Let the copy be the same memory: the sessions say whose actions they have."""
        import apsw

        columns = ("memory_id", "hash_key", "parent_id", "parent_path", "forked_at", "forked_ns")
        if not has_table(self._source, "memory_identity"):
            return
        try:
            row = self._source.execute(f"SELECT {', '.join(columns)} FROM memory_identity").get  # noqa: S608 - ours
            row = demands.columns(row, len(columns), "its identity")
        except (apsw.Error, DamagedError) as error:
            self._note(f"which memory it is: {_told(error)}; the new one has an identity of its own")
            return
        self._copy.execute(f"UPDATE memory_identity SET {', '.join(f'{each} = ?' for each in columns)}", row)  # noqa: S608

    def _copy_vectors(self) -> None:
        """Copy the vectors of the versions that were copied; what is lacking can be computed again."""
        import apsw

        if not has_table(self._source, "memory_embedder"):
            return
        lacking = 0
        try:
            model = self._source.execute("SELECT name, dimension FROM memory_embedder").get
            if model is None:
                return
            for statement in VECTOR_TABLES:
                self._copy.execute(statement)
            self._copy.execute("INSERT INTO memory_embedder VALUES (1, ?, ?)", demands.columns(model, 2, "its model"))
        except (apsw.Error, DamagedError) as error:
            self._note(f"the vectors: {_told(error)}; mv.reembed() computes them again")
            return
        for (version_id,) in self._copy.execute("SELECT version_id FROM memory_versions").fetchall():
            try:
                vector = self._source.execute(
                    "SELECT vector FROM memory_vectors WHERE version_id = ?", (version_id,)
                ).get
            except apsw.Error:
                lacking += 1
                continue
            if type(vector) is bytes:
                self._copy.execute("INSERT INTO memory_vectors VALUES (?, ?)", (version_id, vector))
        if lacking:
            self._note(f"{lacking} vectors cannot be read: mv.reembed() computes them again")

    def _copy_side_table(self, table: str, columns: Sequence[str], made_by: str) -> None:
        if not has_table(self._source, table):
            return
        if made_by:
            self._copy.execute(made_by)
        marks = ", ".join("?" * len(columns))
        into = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - our own words
        for row in self._read(table, columns):
            self._copy.execute(into, row)

    def _copy_generations(self) -> None:
        if not has_table(self._source, "memory_generations"):
            self._is_past_known = False
            return
        for generation, made_ns in self._read("memory_generations", ("generation", "made_ns")):
            if type(generation) is int and type(made_ns) is int and 0 <= generation < demands.MOST:
                self._copy.execute("INSERT OR REPLACE INTO memory_generations VALUES (?, ?)", (generation, made_ns))
            else:
                self._is_past_known = False
                self._note("memory generations: one is no number")

    # -- a state that is whole ------------------------------------------------------

    def _settle(self, state: State | None) -> tuple[State, int]:
        """Save the state of what was copied; return it, and how many frames are known to be missing."""
        index = fill_index(self._copy)
        lost = max(self._lost_live, 0 if state is None else state.frame_count - index.frame_count)
        self._is_past_known &= lost == self._lost_live
        # What lacks a frame is not the state of that number.
        is_other = state is None or state.frames_hash != index.frames_hash
        present = self._highest("generation FROM memory_generations", "since FROM memory_versions")
        highest = self._highest("frame_id FROM memory_versions", "frame_id FROM memory_erasures")
        settled = attrs.evolve(
            index,
            generation=(present if state is None else max(state.generation, present)) + is_other,
            next_id=max(1 if state is None else state.next_id, 1 + highest),
        )
        sql = "SELECT made_ns FROM memory_generations WHERE generation = ?"
        made_ns = self._copy.execute(sql, (settled.generation,)).get
        self._copy.execute("DELETE FROM memory_generations WHERE generation = ?", (settled.generation,))
        save_state(self._copy, settled, made_ns=time.time_ns() if made_ns is None else made_ns)
        return settled, lost

    def _highest(self, *sources: str) -> int:
        found = [self._copy.execute(f"SELECT max({column}) FROM {table}").get or 0  # noqa: S608 - our own words
                 for column, _, table in (source.partition(" FROM ") for source in sources)]  # fmt: skip
        return demands.whole(max(found), "the number of its generation")

    def _forget_what_is_not_whole(self, present: int) -> None:
        """Let no state be gone back to that a lost version was part of."""
        rows = self._copy.execute("SELECT generation FROM memory_generations WHERE generation < ?", (present,))
        before = [generation for (generation,) in rows]
        gone = prune(self._copy, self._whole_ones(before), present).generations if self._is_any_lost() else 0
        if gone:
            self._note(f"{gone} of its generations cannot be gone back to: they lack what is lost")

    def _is_any_lost(self) -> bool:
        return bool(self._gone) or not self._is_past_known

    def _whole_ones(self, generations: Sequence[int]) -> list[int]:
        if not self._is_past_known:
            return []
        kept, spans, at = [], sorted(self._gone), 0
        end = -1
        for generation in sorted(generations):
            while at < len(spans) and spans[at][0] <= generation:
                end = max(end, spans[at][1])
                at += 1
            if generation >= end:
                kept.append(generation)
        return kept


def _told(error: Exception) -> str:
    return error.reason if isinstance(error, DamagedError) else str(error)
