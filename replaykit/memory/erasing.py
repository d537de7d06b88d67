"""
Takes frames out of the past too: every version, the index, the file's free bytes, and all known forks.

The forks go first, the memory itself last.  Whoever is killed on the way
finds the frames either whole, and erases again, or gone; then the next to
open the file for writing overwrites what is left of their bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import attrs
from blake3 import blake3

from replaykit.errors import FrameNotFoundError, ReplaykitError, StorageError, UsageError
from replaykit.logs import get_logger
from replaykit.memory import demands
from replaykit.memory.changes import Change, as_id, changing, is_live, live_version
from replaykit.memory.connection import Connection
from replaykit.memory.schema import FOREVER, load_generation, load_state
from replaykit.model import Erasure

if TYPE_CHECKING:
    import apsw

__all__ = ["erase", "finish", "named_ids"]

log = get_logger("memory.erasing")

_UNFINISHED = 0
"""Stands for the time of an erasure whose bytes may still be in the file."""


def erase(connection: Connection, frame_ids: Sequence[int], *, time_ns: Callable[[], int]) -> Erasure:
    """
    Take *frame_ids* out of the memory, its past and its known forks; leave no byte of them in the files.

    Frames that were erased before are erased again: so a fork that could not
    be reached, or a file that was in use, is done later.

    Raises:
        FrameNotFoundError: The memory never gave one of these ids; nothing is changed.
        LockedError: The file is in use.  The frames are still whole, or gone and only their bytes are left.
        StorageError: The file cannot be rewritten (a full disk); likewise.
    """
    with connection.writing() as database:
        origins = [_origin(database, frame_id) for frame_id in frame_ids]
    forks, unreached = _erase_in_forks(connection, origins, time_ns)
    versions, generation = _erase_here(connection, [origin.frame_id for origin in origins], time_ns)
    return Erasure(
        frame_ids=tuple(origin.frame_id for origin in origins),
        versions=versions,
        generation=generation,
        forks=tuple(forks),
        unreached=unreached,
    )


def finish(connection: Connection, *, time_ns: Callable[[], int]) -> None:
    """Overwrite what an erasure that was killed left in the file; where it cannot be done now, leave it for later."""
    try:
        with connection.reading() as database:
            rows = database.execute("SELECT DISTINCT frame_id FROM memory_erasures WHERE erased_ns = ?", (_UNFINISHED,))
            left = [frame_id for (frame_id,) in rows]
        if left:
            _overwrite(connection, left, time_ns)
    except StorageError as error:
        log.warning("erasure_unfinished", path=connection.path, error=type(error).__name__)


def named_ids(frame_id: object) -> tuple[int, ...]:
    """
    Return the distinct ids that an argument names: one id, or several.

    Raises:
        UsageError: It names none.
        FrameNotFoundError: Something in it is no frame id.
    """
    given = [frame_id] if isinstance(frame_id, (str, bytes)) or not isinstance(frame_id, Iterable) else list(frame_id)
    if not given:
        raise UsageError("There is no frame to erase: give an id, or several")
    return tuple(dict.fromkeys(_demand_id(one) for one in given))


def _demand_id(frame_id: object) -> int:
    wanted = as_id(frame_id)
    if wanted < 1:
        raise FrameNotFoundError(frame_id)
    return wanted


# -- in one file ----------------------------------------------------------------


@attrs.frozen
class _Origin:
    """How a frame is known again in a fork: by a generation at which it was there, or by its time."""

    frame_id: int
    since: int
    created_ns: int | None


def _origin(database: apsw.Connection, frame_id: int) -> _Origin:
    if frame_id >= load_state(database).next_id:
        raise FrameNotFoundError(frame_id)
    # Nothing is known of a frame whose versions were all pruned; its bytes
    # may be there all the same.
    since, created_ns = database.execute(
        "SELECT min(since), min(created_ns) FROM memory_versions WHERE frame_id = ?", (frame_id,)
    ).get
    erased = database.execute("SELECT min(since) FROM memory_erasures WHERE frame_id = ?", (frame_id,)).get
    known = [generation for generation in (since, erased) if generation is not None]
    demands.wholes(known, "the generation of a version")
    if created_ns is not None:
        demands.wholes([created_ns], "the time of a frame")
    return _Origin(frame_id, min(known, default=FOREVER), created_ns)


def _erase_here(connection: Connection, frame_ids: Sequence[int], time_ns: Callable[[], int]) -> tuple[int, int]:
    """Return how many versions went, and the generation after it."""
    with connection.writing() as database:
        with changing(database, made_ns=time_ns()) as change:
            versions = _drop(database, change, frame_ids)
            _clean_index(database)
        generation = load_generation(database)
    _overwrite(connection, frame_ids, time_ns)
    return versions, generation


def _drop(database: apsw.Connection, change: Change, frame_ids: Sequence[int]) -> int:
    """Remove all rows of frames, leaving keyed hashes; return how many versions they had."""
    versions = [version for frame_id in frame_ids for version in _ended(database, change, frame_id)]
    _leave_hashes(database, frame_ids, versions)
    _drop_vectors(database, [version.version_id for version in versions])
    database.executemany("DELETE FROM memory_versions WHERE frame_id = ?", [(each,) for each in frame_ids])
    _drop_contents(database, {version.content_id for version in versions})
    return len(versions)


def _ended(database: apsw.Connection, change: Change, frame_id: int) -> Iterator[_Row]:
    """Yield all versions of a frame, which is live no more."""
    if is_live(database, frame_id):
        change.remove(live_version(database, frame_id))
    rows: Iterable[Any] = database.execute(
        "SELECT version_id, content_id, frame_id, since, until FROM memory_versions WHERE frame_id = ? ORDER BY since",
        (frame_id,),
    )
    yield from (_Row(*demands.wholes(list(row), "a number of a version")) for row in list(rows))


@attrs.frozen
class _Row:
    """One version; its content is read when it is its turn."""

    version_id: int
    content_id: int
    frame_id: int
    since: int
    until: int


def _drop_vectors(database: apsw.Connection, version_ids: Sequence[int]) -> None:
    if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'memory_vectors'").get:
        return
    database.executemany("DELETE FROM memory_vectors WHERE version_id = ?", [(each,) for each in version_ids])


def _drop_contents(database: apsw.Connection, content_ids: set[int]) -> None:
    # Versions of other frames may share one: then it is theirs too.
    database.execute(
        "DELETE FROM memory_contents WHERE content_id IN (SELECT value FROM json_each(?1)) AND content_id NOT IN "
        "(SELECT content_id FROM memory_versions WHERE content_id IN (SELECT value FROM json_each(?1)))",
        (json.dumps(list(content_ids)),),
    )


def _leave_hashes(database: apsw.Connection, frame_ids: Sequence[int], versions: Sequence[_Row]) -> None:
    # Those of an earlier erasure count as unfinished again: a fork or a file
    # in use may be why it is done once more.
    database.executemany(
        "UPDATE memory_erasures SET erased_ns = ? WHERE frame_id = ?", [(_UNFINISHED, each) for each in frame_ids]
    )
    key = demands.blob(database.execute("SELECT hash_key FROM memory_identity").get, "its key of hashes", size=32)
    for row in versions:
        content = demands.text_or_blob(
            database.execute("SELECT content FROM memory_contents WHERE content_id = ?", (row.content_id,)).get,
            "a content",
        )
        data = content.encode() if isinstance(content, str) else content
        database.execute(
            "INSERT INTO memory_erasures VALUES (?, ?, ?, ?, ?)",
            (row.frame_id, row.since, row.until, blake3(data, key=key).digest(), _UNFINISHED),
        )


def _clean_index(database: apsw.Connection) -> None:
    """Leave in the full-text index the words of live frames only."""
    # A removed row's words stay in older segments until these are merged with
    # what says that they are removed.  One segment alone is not merged, so
    # there has to be a second: a row that no frame can have.
    database.execute("INSERT INTO memory_index (rowid, title, body) VALUES (0, '', 'x')")
    database.execute("INSERT INTO memory_index (memory_index) VALUES ('optimize')")
    database.execute("INSERT INTO memory_index (memory_index, rowid, title, body) VALUES ('delete', 0, '', 'x')")


def _overwrite(connection: Connection, frame_ids: Sequence[int], time_ns: Callable[[], int]) -> None:
    connection.rewrite()
    with connection.writing() as database:
        database.executemany(
            "UPDATE memory_erasures SET erased_ns = ? WHERE erased_ns = ? AND frame_id = ?",
            [(time_ns(), _UNFINISHED, frame_id) for frame_id in frame_ids],
        )


# -- in the forks -----------------------------------------------------------------


@attrs.frozen
class _Fork:
    """A fork as its parent knows it, with the frames that are to go from the parent."""

    fork_id: bytes
    path: str
    parent_id: bytes
    parent_path: str
    forked_at: int
    origins: Sequence[_Origin]

    @property
    def file(self) -> str:
        """Where it is: a path that is not absolute begins beside the parent."""
        return os.path.join(os.path.dirname(os.path.abspath(self.parent_path)), self.path)


def _erase_in_forks(
    connection: Connection, origins: Sequence[_Origin], time_ns: Callable[[], int]
) -> tuple[list[str], dict[str, str]]:
    """Return the forks of any depth in which the frames are gone, and the others with the reason."""
    erased: list[str] = []
    unreached: dict[str, str] = {}
    seen: set[bytes] = set()
    waiting = list(_forks_of(connection, origins))
    while waiting:
        fork = waiting.pop()
        if fork.fork_id in seen:
            continue
        seen.add(fork.fork_id)
        try:
            _erase_in(fork, waiting, time_ns)
        except (ReplaykitError, OSError, ValueError, TypeError) as error:
            # A hostile file names anything as a fork: TypeError is what a
            # path that is no text gives.
            unreached[str(fork.path)] = str(error)
        else:
            erased.append(fork.path)
    return erased, unreached


def _erase_in(fork: _Fork, waiting: list[_Fork], time_ns: Callable[[], int]) -> None:
    _demand_same(fork)
    with closing(Connection(fork.file, create=False, read_only=False)) as connection:
        with connection.reading() as database:
            # What stands under the same number in the fork alone is another frame.
            shared = list(_shared(database, fork.forked_at, fork.origins))
        # Its own forks are told first: it may be in use, and they not.
        waiting += _forks_of(connection, shared)
        if shared:
            _erase_here(connection, [origin.frame_id for origin in shared], time_ns)


def _forks_of(connection: Connection, origins: Sequence[_Origin]) -> Iterator[_Fork]:
    with connection.reading() as database:
        memory_id: Any = database.execute("SELECT memory_id FROM memory_identity").get
        rows: list[Any] = database.execute("SELECT fork_id, path, forked_at FROM memory_forks").fetchall()
    for fork_id, path, forked_at in rows:
        yield _Fork(fork_id, path, memory_id, connection.path, forked_at, origins)


def _demand_same(fork: _Fork) -> None:
    """Return if the file is that fork still; read only, since another memory must stay as it is."""
    with closing(Connection(fork.file, create=False, read_only=True)) as found, found.reading() as database:
        identity = database.execute("SELECT memory_id, parent_id FROM memory_identity").get
    if identity != (fork.fork_id, fork.parent_id):
        raise UsageError(f"{fork.file} is another memory now")


def _shared(database: apsw.Connection, forked_at: int, origins: Sequence[_Origin]) -> Iterator[_Origin]:
    """Yield those of *origins* that the fork has from its parent, as the fork knows them."""
    next_id = load_state(database).next_id
    for origin in origins:
        if origin.frame_id >= next_id:
            continue
        here = _origin(database, origin.frame_id)
        # Ids ascend: one that was there when the fork was made is the fork's
        # too.  Where pruning took the versions of that time, the time at
        # which the frame came, which no update changes, still tells.
        if min(origin.since, here.since) <= forked_at or here.created_ns == origin.created_ns is not None:
            yield here
