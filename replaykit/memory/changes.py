"""One generation in the making: frames added, replaced and removed inside a write transaction."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from replaykit.errors import FrameNotFoundError
from replaykit.memory import demands, duplicates
from replaykit.memory.fields import Fields, restored, stored
from replaykit.memory.schema import FOREVER, State, load_state, save_state
from replaykit.memory.state_hash import add, element, remove
from replaykit.memory.vectors import keep_vector, stored_vector
from replaykit.model import Frame

if TYPE_CHECKING:
    import apsw

__all__ = [
    "Change",
    "Version",
    "as_id",
    "changing",
    "frame_ids",
    "frame_ids_after",
    "is_live",
    "live_hashes",
    "live_version",
    "live_versions",
    "version_at",
    "versions",
    "versions_without_vector",
]


@attrs.frozen(kw_only=True)
class Version:
    """What a frame holds from one generation on."""

    version_id: int
    frame_id: int
    since: int
    created_ns: int
    fields_hash: bytes
    content_id: int
    fields: Fields

    def frame(self) -> Frame:
        """Return it as users see it."""
        return Frame(
            frame_id=self.frame_id,
            content=self.fields.content,
            title=self.fields.title,
            uri=self.fields.uri,
            metadata=self.fields.metadata_map(),
            created_ns=self.created_ns,
            generation=self.since,
        )


# -- reading --------------------------------------------------------------------

_VERSION_SQL = """
    SELECT version_id, frame_id, since, created_ns, fields_hash, content_id,
           is_text, title, uri, metadata, content
    FROM memory_versions JOIN memory_contents USING (content_id)
"""


def live_version(connection: apsw.Connection, frame_id: object) -> Version:
    """
    Return the live version of a frame.

    Raises:
        FrameNotFoundError: It never existed, was deleted, or is no frame id.
    """
    wanted = as_id(frame_id)
    row = connection.execute(f"{_VERSION_SQL} WHERE frame_id = ? AND until = ?", (wanted, FOREVER)).get
    if row is None:
        raise FrameNotFoundError(frame_id)
    return _version(row)


def live_versions(connection: apsw.Connection, frame_ids: Sequence[int]) -> dict[int, Version]:
    """Return the live versions of those of *frame_ids* that are live, by id; the order is none."""
    among = "until = ? AND frame_id IN (SELECT value FROM json_each(?))"
    return {version.frame_id: version for version in versions(connection, among, (FOREVER, json.dumps(frame_ids)))}


def is_live(connection: apsw.Connection, frame_id: object) -> bool:
    """Return whether *frame_id* names a live frame."""
    found = connection.execute(
        "SELECT 1 FROM memory_versions WHERE frame_id = ? AND until = ?", (as_id(frame_id), FOREVER)
    ).get
    return found is not None


def version_at(connection: apsw.Connection, frame_id: int, generation: int) -> Version:
    """Return the version that was live at *generation*; FrameNotFoundError where none was."""
    row = connection.execute(
        f"{_VERSION_SQL} WHERE frame_id = ? AND until > ? AND since <= ?", (frame_id, generation, generation)
    ).get
    if row is None:
        raise FrameNotFoundError(frame_id)
    return _version(row)


def versions(
    connection: apsw.Connection, condition: str, bindings: tuple[Any, ...], *, schema: str = "main"
) -> Iterator[Version]:
    """Yield the versions in *schema* that meet *condition*, which is SQL of ours, while they are read."""
    tables = f"FROM {schema}.memory_versions JOIN {schema}.memory_contents"
    sql = _VERSION_SQL.replace("FROM memory_versions JOIN memory_contents", tables)
    return map(_version, connection.execute(f"{sql} WHERE {condition}", bindings))


def versions_without_vector(connection: apsw.Connection, after: int, limit: int) -> list[Version]:
    """Return up to *limit* versions, live and ended, above *after* that have no vector."""
    without = "version_id NOT IN (SELECT version_id FROM memory_vectors)"
    rows = connection.execute(
        f"{_VERSION_SQL} WHERE version_id > ? AND {without} ORDER BY version_id LIMIT ?", (after, limit)
    )
    found = [_version(row) for row in rows]
    demands.ascending([version.version_id for version in found], "the id of a version", after=after)
    return found


_IDS_SQL = "SELECT frame_id FROM memory_versions WHERE until > ? AND since <= ?"


def frame_ids(connection: apsw.Connection, generation: int) -> list[int]:
    """Return the ids of all frames that were live at *generation*, ascending."""
    rows = connection.execute(f"{_IDS_SQL} ORDER BY frame_id", (generation, generation))
    return demands.wholes([frame_id for (frame_id,) in rows], "the id of a frame")


def frame_ids_after(connection: apsw.Connection, generation: int, after: int, limit: int) -> list[int]:
    """Return up to *limit* of the ids above *after* that were live at *generation*, ascending."""
    rows = connection.execute(
        f"{_IDS_SQL} AND frame_id > ? ORDER BY frame_id LIMIT ?", (generation, generation, after, limit)
    )
    return demands.ascending([frame_id for (frame_id,) in rows], "the id of a frame", after=after)


def live_hashes(connection: apsw.Connection) -> Iterator[tuple[int, bytes, str]]:
    """Yield id, hash of the fields and metadata (JSON) of each live frame, by ascending id."""
    rows = connection.execute(
        "SELECT frame_id, fields_hash, metadata FROM memory_versions WHERE until = ? ORDER BY frame_id", (FOREVER,)
    )
    for frame_id, fields_hash, metadata in rows:
        yield (
            demands.whole(frame_id, "the id of a frame"),
            demands.blob(fields_hash, "the hash of a frame", size=32),
            demands.text(metadata, "the metadata of a frame"),
        )


def as_id(frame_id: object) -> int:
    """Return *frame_id* as a number, -1 where it cannot be one of a frame."""
    if isinstance(frame_id, bool):
        return -1
    try:
        wanted = operator.index(frame_id)  # type: ignore[arg-type]  # what has no index is refused here
    except TypeError:
        return -1
    return wanted if 0 <= wanted < FOREVER else -1


def _version(row: Any) -> Version:
    *key, is_text, title, uri, metadata, content = demands.columns(row, 11, "a version of a frame")
    version_id, frame_id, since, created_ns, fields_hash, content_id = key
    fields = Fields(
        content=restored(content) if is_text else demands.blob(content, "a content of bytes"),
        title=None if title is None else restored(title),
        uri=None if uri is None else restored(uri),
        metadata=demands.text(metadata, "the metadata of a frame"),
    )
    return Version(
        version_id=demands.whole(version_id, "the id of a version"),
        frame_id=demands.whole(frame_id, "the id of a frame"),
        since=demands.whole(since, "the generation of a version"),
        created_ns=demands.whole(created_ns, "the time of a frame", least=-(2**63), below=2**63),
        fields_hash=demands.blob(fields_hash, "the hash of a frame", size=32),
        content_id=demands.whole(content_id, "the id of a content"),
        fields=fields,
    )


# -- writing --------------------------------------------------------------------


@contextmanager
def changing(connection: apsw.Connection, *, made_ns: int) -> Iterator[Change]:
    """Yield the next generation, made at *made_ns*; it is stored at the end of the block if anything was changed."""
    change = Change(connection, made_ns=made_ns)
    yield change
    change.save()


class Change:
    """The next generation of a memory."""

    def __init__(self, connection: apsw.Connection, *, made_ns: int) -> None:
        self._connection = connection
        self._made_ns = made_ns
        before = load_state(connection)
        self._generation_before = before.generation
        self._next_id = before.next_id
        self._frame_count = before.frame_count
        self._frames_hash = before.frames_hash
        self._index_hash = before.index_hash
        self._is_empty = True

    @property
    def generation(self) -> int:
        """The generation that is made; the one before while nothing is changed."""
        return self._generation_before + (not self._is_empty)

    def add(self, fields: Fields, vector: bytes | None = None) -> int:
        """Add a frame, with its vector, and return its id; ids ascend and are never used again."""
        self._is_empty = False
        frame_id = self._next_id
        self._next_id += 1
        self._frame_count += 1
        self._begin(frame_id, fields, created_ns=self._made_ns, content_id=None, vector=vector)
        return frame_id

    def prepare_to_add_once(self) -> None:
        """Make what `add_once` looks equals up in."""
        duplicates.make_index(self._connection)

    def add_once(self, fields: Fields, vector: bytes | None = None) -> int:
        """Return the lowest id of the live frames that equal *fields*, or add them."""
        twin = duplicates.twin_of(self._connection, fields.fields_hash())
        return self.add(fields, vector) if twin is None else twin

    def replace(self, old: Version, fields: Fields, vector: bytes | None = None) -> None:
        """Let *fields*, with their vector, stand under the id of the live version *old*."""
        self._is_empty = False
        self._end(old)
        content_id = old.content_id if fields.content == old.fields.content else None
        self._begin(old.frame_id, fields, created_ns=old.created_ns, content_id=content_id, vector=vector)

    def put_back(self, then: Version, now: Version | None) -> None:
        """Let the ended version *then* stand again in place of *now*, or where its frame has no live version."""
        self._is_empty = False
        if now is None:
            self._frame_count += 1
        else:
            self._end(now)
        vector = stored_vector(self._connection, then.version_id)
        content_id = then.content_id
        self._begin(then.frame_id, then.fields, created_ns=then.created_ns, content_id=content_id, vector=vector)

    def set_frame(self, version: Version, now: Version | None, vector: bytes | None) -> None:
        """Let what *version*, of another memory perhaps, holds stand in place of *now*, or as a frame anew."""
        self._is_empty = False
        if now is None:
            self._frame_count += 1
        else:
            self._end(now)
        fields, created_ns = version.fields, version.created_ns
        self._begin(version.frame_id, fields, created_ns=created_ns, content_id=None, vector=vector)

    def remove(self, old: Version) -> None:
        """Remove the frame whose live version is *old*."""
        self._is_empty = False
        self._frame_count -= 1
        self._end(old)

    def save(self) -> None:
        """Store the sums of the new generation; nothing if nothing was changed."""
        if self._is_empty:
            return
        state = State(
            generation=self.generation,
            next_id=self._next_id,
            frame_count=self._frame_count,
            frames_hash=self._frames_hash,
            index_hash=self._index_hash,
        )
        save_state(self._connection, state, made_ns=self._made_ns)

    def _begin(
        self, frame_id: int, fields: Fields, *, created_ns: int, content_id: int | None, vector: bytes | None
    ) -> None:
        if content_id is None:
            content_id = self._store_content(fields.content)
        fields_hash = fields.fields_hash()
        self._connection.execute(
            "INSERT INTO memory_versions (frame_id, since, created_ns, fields_hash, is_text, content_id, "
            "title, uri, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                frame_id,
                self.generation,
                created_ns,
                fields_hash,
                isinstance(fields.content, str),
                content_id,
                None if fields.title is None else stored(fields.title),
                None if fields.uri is None else stored(fields.uri),
                fields.metadata,
            ),
        )
        if vector is not None:
            keep_vector(self._connection, self._connection.last_insert_rowid(), vector)
        self._connection.execute(
            "INSERT INTO memory_index (rowid, title, body) VALUES (?, ?, ?)", (frame_id, *fields.indexed())
        )
        self._frames_hash = add(self._frames_hash, element(frame_id, fields_hash))
        self._index_hash = add(self._index_hash, element(frame_id, fields.index_hash()))

    def _store_content(self, content: str | bytes) -> int:
        form = stored(content) if isinstance(content, str) else content
        self._connection.execute("INSERT INTO memory_contents (content) VALUES (?)", (form,))
        return self._connection.last_insert_rowid()

    def _end(self, old: Version) -> None:
        self._connection.execute(
            "UPDATE memory_versions SET until = ? WHERE version_id = ?", (self.generation, old.version_id)
        )
        # An index without content forgets a row only when told the very text
        # that it was given.
        self._connection.execute(
            "INSERT INTO memory_index (memory_index, rowid, title, body) VALUES ('delete', ?, ?, ?)",
            (old.frame_id, *old.fields.indexed()),
        )
        self._frames_hash = remove(self._frames_hash, element(old.frame_id, old.fields_hash))
        self._index_hash = remove(self._index_hash, element(old.frame_id, old.fields.index_hash()))
