"""
Checks a memory's file: the database by SQLite's own check, each frame and each older version by its hash.

What carries no hash is not looked at, and is named: see `NOT_CHECKED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from replaykit.errors import DamagedError, UnsupportedVersionError
from replaykit.memory import demands, state_hash
from replaykit.memory.changes import versions
from replaykit.memory.connection import translated
from replaykit.memory.schema import FOREVER, demand_readable, has_tables, load_state
from replaykit.model import Depth
from replaykit.protocols import Advance
from replaykit.storage.compaction import silent
from replaykit.storage.database import open_database

if TYPE_CHECKING:
    import apsw

__all__ = ["NOT_CHECKED", "FrameCheck", "check_frames"]

NOT_CHECKED = ("when frames were written and replaced", "vectors", "the words in the search index")
"""What no hash of a memory covers: of these only the structure is checked."""

_MOST_LISTED = 20
_PAGE = 512


@attrs.frozen(kw_only=True)
class FrameCheck:
    """
    What a look at a memory has shown.

    Attributes:
        frames: How many live frames were checked; None where they were left out.
        versions: How many older versions were checked besides.
        unchecked: What was not looked at.
    """

    frames: int | None = None
    versions: int = 0
    problems: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = NOT_CHECKED


def check_frames(path: str, *, depth: Depth = "full", progress: Advance = silent) -> FrameCheck | None:
    """
    Check the memory in the file *path*, one frame at a time; None where there is no memory in it.

    With *depth* ``"bytes"`` nothing of it is read, and the result says so.

    Raises:
        StorageError: The file cannot be opened.
    """
    connection = open_database(path, create=False, read_only=True)
    try:
        with translated(path):
            if not has_tables(connection):
                return None
            if depth == "bytes":
                return FrameCheck(unchecked=("its frames: --depth full checks them",))
            return _checked(connection, path, progress)
    except UnsupportedVersionError as error:
        return FrameCheck(unchecked=(f"its frames: {error}",))
    except DamagedError as error:
        return FrameCheck(problems=(str(error),))
    finally:
        connection.close()


def _checked(connection: apsw.Connection, path: str, progress: Advance) -> FrameCheck:
    # In one transaction: a writer at work is no damage.
    connection.execute("BEGIN")
    check = _Check(connection, path)
    check.look_at_database()
    demand_readable(connection, path)
    check.look_at_versions(progress)
    check.look_at_sums()
    return check.result()


class _Check:
    """One look at the memory that *connection* has open for reading."""

    def __init__(self, connection: apsw.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._problems: list[str] = []
        self._found = 0
        self._live = 0
        self._ended = 0
        self._frames_hash = state_hash.EMPTY
        self._index_hash = state_hash.EMPTY

    def result(self) -> FrameCheck:
        """Return what was found, the first problems one by one."""
        more = self._found - len(self._problems)
        told = [*self._problems, *([f"{self._path}: {more} more of its frames do not check"] if more else [])]
        return FrameCheck(frames=self._live, versions=self._ended, problems=tuple(told))

    def look_at_database(self) -> None:
        """Have SQLite check the file's pages, its indexes and the structure of the search index."""
        for (said,) in self._connection.execute(f"PRAGMA integrity_check({_MOST_LISTED})"):
            if said != "ok":
                self._note(f"the database: {' '.join(str(said).split())}")

    def look_at_versions(self, progress: Advance) -> None:
        """Hold what each version holds against its hash, and sum up the live ones."""
        total = demands.whole(self._connection.execute("SELECT count(*) FROM memory_versions").get, "a count")
        for done, (version_id, frame_id, until) in enumerate(self._rows()):
            progress(done, total)
            is_live = until == FOREVER
            self._live += is_live
            self._ended += not is_live
            what = f"frame {frame_id}" if is_live else f"an older version ({version_id}) of frame {frame_id}"
            try:
                problem = self._problem_of(version_id, is_live=is_live)
            except (DamagedError, UnicodeDecodeError) as error:
                problem = getattr(error, "reason", str(error))
            if problem:
                self._note(f"{what}: {problem}")
        progress(total, total)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        at = -1
        while True:
            rows = self._connection.execute(
                "SELECT version_id, frame_id, until FROM memory_versions WHERE version_id > ? "
                "ORDER BY version_id LIMIT ?",
                (at, _PAGE),
            ).fetchall()
            if not rows:
                return
            demands.ascending([row[0] for row in rows], "the id of a version", after=at)
            yield from rows
            at = demands.whole(rows[-1][0], "the id of a version")

    def _problem_of(self, version_id: int, *, is_live: bool) -> str:
        version = next(versions(self._connection, "version_id = ?", (version_id,)), None)
        if version is None:
            return "its content is not there"
        if version.fields.fields_hash() != version.fields_hash:
            return "what it holds does not agree with its hash"
        if is_live:
            frame = state_hash.element(version.frame_id, version.fields_hash)
            self._frames_hash = state_hash.add(self._frames_hash, frame)
            indexed = state_hash.element(version.frame_id, version.fields.index_hash())
            self._index_hash = state_hash.add(self._index_hash, indexed)
        return ""

    def look_at_sums(self) -> None:
        """Hold the frames together against what the memory says of its state, and against the search index."""
        if self._found:
            # What is wrong with one frame is wrong with the sum.
            return
        state = load_state(self._connection)
        if self._live != state.frame_count:
            self._note(f"it has {self._live} frames, and says {state.frame_count}")
        elif (self._frames_hash, self._index_hash) != (state.frames_hash, state.index_hash):
            self._note("its frames do not agree with the hash of its state")
        indexed = self._connection.execute("SELECT count(*) FROM memory_index_docsize").get
        unindexed = self._connection.execute(
            "SELECT frame_id FROM memory_versions WHERE until = ? AND NOT EXISTS "
            "(SELECT 1 FROM memory_index_docsize WHERE id = frame_id) LIMIT 1",
            (FOREVER,),
        ).get
        if unindexed is not None or indexed != self._live:
            self._note("its search index has other frames than the memory")

    def _note(self, problem: str) -> None:
        self._found += 1
        if len(self._problems) < _MOST_LISTED:
            self._problems.append(f"{self._path}: {problem}")
