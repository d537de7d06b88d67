"""Which generation is meant, and what the memory held then: found by undoing what came later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from replaykit.errors import CheckpointNotFoundError, UsageError
from replaykit.memory import demands, state_hash
from replaykit.memory.changes import Version, versions
from replaykit.memory.schema import FOREVER, load_frames_hash, load_generation, load_state
from replaykit.model import Checkpoint, ReplayAction

if TYPE_CHECKING:
    import apsw

__all__ = [
    "Moment",
    "came_after",
    "changes_at",
    "demand_kept",
    "ended_after",
    "first_version_after",
    "generation_of",
    "has_table",
    "hash_at",
    "kept_generations",
    "last_change",
    "limit_of",
    "live_ids",
    "next_id_at",
    "of_another_memory",
    "versions_of",
]

_WRITES = frozenset({"put", "put_many", "update", "delete"})
_CLOCK_NS = 1_000
"""How far two readings of one clock may be out of order: a duration is taken of another one."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Moment = Checkpoint | ReplayAction | datetime | int
"""A state of a memory: by checkpoint, as an action left or saw it, at a time (naive: local), or by generation."""


def generation_of(connection: apsw.Connection, moment: Moment) -> int:
    """
    Return the generation that *moment* means; it can be gone back to.

    A time means the newest generation made at or before it.

    Raises:
        CheckpointNotFoundError: There is no such generation, it was pruned,
            or the checkpoint is of another memory.
        UsageError: *moment* is nothing that could mean one.
    """
    if isinstance(moment, Checkpoint):
        return _of_checkpoint(connection, moment)
    if isinstance(moment, ReplayAction):
        return _of_action(connection, moment)
    if isinstance(moment, datetime):
        return _of_time(connection, moment)
    if isinstance(moment, int) and not isinstance(moment, bool):
        return demand_kept(connection, moment)
    raise UsageError(f"give a checkpoint, an action or a datetime, or generation=, not {type(moment).__name__}")


def limit_of(connection: apsw.Connection, moment: Moment) -> int:
    """
    Return the generation from which on all is as new as *moment*; a time or number may lie where all was pruned.

    Raises:
        CheckpointNotFoundError, UsageError: As for `generation_of`.
    """
    if isinstance(moment, datetime):
        return _made_by(connection, "memory_generations", _end_of(moment)) or 0
    is_number = isinstance(moment, int) and not isinstance(moment, bool)
    if is_number and 0 <= moment <= load_generation(connection):  # type: ignore[operator]  # a number
        return int(moment)  # type: ignore[arg-type]  # a number
    return generation_of(connection, moment)


def demand_kept(connection: apsw.Connection, generation: int, *, schema: str = "main") -> int:
    """
    Return *generation* if it can be gone back to.

    Raises:
        CheckpointNotFoundError: It cannot: it was pruned, or there never was one.
    """
    if _nearest(connection, "= ?", generation, schema) is None:
        raise CheckpointNotFoundError(generation, _refusal(connection, generation, schema))
    return generation


def _nearest(connection: apsw.Connection, condition: str, generation: int, schema: str = "main") -> int | None:
    if not -FOREVER <= generation <= FOREVER:
        return None
    order = "DESC" if condition.startswith("<") else "ASC"
    found: int | None = connection.execute(
        f"SELECT generation FROM {schema}.memory_generations "  # noqa: S608 - only our own words vary
        f"WHERE generation {condition} ORDER BY generation {order} LIMIT 1",
        (generation,),
    ).get
    return found


def _refusal(connection: apsw.Connection, generation: int, schema: str = "main") -> str:
    present = load_state(connection, schema=schema).generation
    if not 0 <= generation <= present:
        return f"There is no generation {generation}: this memory is at generation {present}"
    near = [_nearest(connection, condition, generation, schema) for condition in ("< ?", "> ?")]
    kept = " and ".join(str(each) for each in near if each is not None)
    return f"Generation {generation} cannot be gone back to: it was pruned. The nearest that can are {kept}"


def _of_checkpoint(connection: apsw.Connection, checkpoint: Checkpoint) -> int:
    generation = demand_kept(connection, checkpoint.snapshot.generation)
    held = state_hash.digest(hash_at(connection, generation))
    if held != checkpoint.state_hash and not _is_erased(connection, generation):
        raise CheckpointNotFoundError(
            checkpoint,
            f"Checkpoint {checkpoint.id} of session {checkpoint.session_id} is of another memory: "
            f"generation {generation} of this one holds something else",
        )
    return generation


def _is_erased(connection: apsw.Connection, generation: int) -> bool:
    """Return whether something was erased from *generation*: then no recorded hash fits it."""
    sql = "SELECT 1 FROM memory_erasures WHERE since <= ? AND until > ?"
    return connection.execute(sql, (generation, generation)).get is not None


def _of_action(connection: apsw.Connection, action: ReplayAction) -> int:
    if action.generation is None:
        raise CheckpointNotFoundError(
            action,
            f"Action {action.sequence} ({action.name}) has no generation: it was recorded on something else "
            "than a memory of replaykit's own",
        )
    generation = demand_kept(connection, action.generation)
    if not _may_have_made(connection, action, generation):
        raise of_another_memory(action, generation)
    return generation


def of_another_memory(action: ReplayAction, generation: int) -> CheckpointNotFoundError:
    """Return the error for an action that has only the number of a generation in common with this memory."""
    return CheckpointNotFoundError(
        action,
        f"Action {action.sequence} ({action.name}) is of another memory: generation {generation} of this one is not "
        f"what it left or saw; generation={generation} goes there all the same",
    )


def _may_have_made(connection: apsw.Connection, action: ReplayAction, generation: int) -> bool:
    """
    Return whether *generation* of this memory may be what the action left, or saw, as far as their times say.

    A write makes its generation while it runs; nothing can be seen before it
    was made.  A fork has the times of its parent up to then.
    """
    made_ns, before_ns = (_made_ns(connection, each) for each in (generation, generation - 1))
    if not generation or made_ns is None or (before_ns is not None and made_ns <= before_ns):
        # The clock had gone back, or this is of a release that kept no times: they say nothing.
        return True
    if made_ns > action.timestamp_ns + action.duration_ns + _CLOCK_NS:
        return False
    if action.error is not None or action.name not in _WRITES:
        return True
    # What stores nothing new leaves the generation before it, as may a restore or an erasure.
    is_new = action.kind not in ("put", "put_many") or _is_since(connection, action.affected_frames, generation)
    return not is_new or made_ns >= action.timestamp_ns - _CLOCK_NS


def _made_ns(connection: apsw.Connection, generation: int) -> int | None:
    found = connection.execute("SELECT made_ns FROM memory_generations WHERE generation = ?", (generation,)).get
    return None if found is None else demands.whole(found, "the time of a generation", below=2**63)


def _is_since(connection: apsw.Connection, frame_ids: Iterable[object], generation: int) -> bool:
    sql = "SELECT 1 FROM memory_versions WHERE frame_id = ? AND since = ?"
    return any(connection.execute(sql, (frame_id, generation)).get for frame_id in frame_ids if type(frame_id) is int)


def _of_time(connection: apsw.Connection, moment: datetime) -> int:
    at_ns = _end_of(moment)
    found = _made_by(connection, "memory_generations", at_ns)
    pruned = _made_by(connection, "memory_pruned", at_ns) if has_table(connection, "memory_pruned") else None
    if pruned is not None and (found is None or pruned > found):
        raise CheckpointNotFoundError(moment, f"{moment}: {_refusal(connection, pruned)}")
    if found is None:
        raise CheckpointNotFoundError(moment, f"There was no memory at {moment}")
    return found


def _end_of(moment: datetime) -> int:
    """Return the last nanosecond of *moment*, since 1970 UTC."""
    try:
        return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) * 1_000 + 999
    except (OverflowError, ValueError, OSError) as error:
        raise UsageError(f"{moment} is no time that this system knows") from error


def _made_by(connection: apsw.Connection, table: str, at_ns: int) -> int | None:
    # Times ascend with the generations.
    found: int | None = connection.execute(
        f"SELECT generation FROM {table} WHERE made_ns <= ? ORDER BY generation DESC LIMIT 1",  # noqa: S608 - ours
        (max(-FOREVER, min(at_ns, FOREVER)),),
    ).get
    return found


def has_table(connection: apsw.Connection, name: str, *, schema: str = "main") -> bool:
    """Return whether *schema* has a table of stored values with this name."""
    sql = f"SELECT 1 FROM {schema}.sqlite_schema WHERE name = ? AND type = 'table' AND rootpage > 0"  # noqa: S608
    return connection.execute(sql, (name,)).get is not None


def last_change(connection: apsw.Connection, frame_id: object, since: int) -> str | None:
    """Return what happened last to a frame after generation *since*, in words; None if nothing did."""
    if not isinstance(frame_id, int):
        return None
    bindings = (frame_id, since)
    if connection.execute("SELECT 1 FROM memory_erasures WHERE frame_id = ? AND until > ?", bindings).get:
        return "erased"
    row = connection.execute(
        "SELECT since, until FROM memory_versions WHERE frame_id = ? ORDER BY since DESC LIMIT 1", (frame_id,)
    ).get
    if row is None:
        return None
    begun, ended = demands.wholes(list(row), "the generation of a version")
    if since < ended < FOREVER:
        return f"deleted at generation {ended}"
    if begun <= since:
        return None
    older = "SELECT until FROM memory_versions WHERE frame_id = ? AND since < ? ORDER BY since DESC LIMIT 1"
    before = connection.execute(older, (frame_id, begun)).get
    if before is None:
        return f"put at generation {begun}"
    return f"{'updated' if before == begun else 'put back'} at generation {begun}"


def kept_generations(connection: apsw.Connection, first: int, last: int) -> list[int]:
    """Return the generations from *first* to *last* that can be gone back to, ascending."""
    sql = "SELECT generation FROM memory_generations WHERE generation BETWEEN ? AND ? ORDER BY generation"
    return [generation for (generation,) in connection.execute(sql, (first, last))]


def changes_at(connection: apsw.Connection, before: int, generation: int) -> Iterator[str]:
    """Yield what the writes after generation *before* up to *generation* did to frames, in words."""
    rows = connection.execute(
        "SELECT frame_id, max(since > ?1 AND since <= ?2), max(until > ?1 AND until <= ?2) FROM memory_versions "
        "WHERE (since > ?1 AND since <= ?2) OR (until > ?1 AND until <= ?2) GROUP BY frame_id ORDER BY frame_id",
        (before, generation),
    ).fetchall()
    for frame_id, begun, ended in rows:
        demands.whole(frame_id, "the id of a frame")
        yield f"frame {frame_id} was {'updated' if begun and ended else 'put' if begun else 'deleted'}"


# -- what came later ------------------------------------------------------------

_CAME_AFTER = f"version_id >= ? AND until = {FOREVER}"
_ENDED_AFTER = f"until > ? AND until < {FOREVER} AND since <= ?"


def came_after(connection: apsw.Connection, generation: int, *, schema: str = "main") -> list[int]:
    """Return the ids of the live versions that are newer than *generation*, by the ids of their frames."""
    first = first_version_after(connection, generation, schema=schema)
    return _version_ids(connection, f"{schema}.memory_versions WHERE {_CAME_AFTER}", (first,))


def ended_after(connection: apsw.Connection, generation: int, *, schema: str = "main") -> list[int]:
    """Return the ids of the versions that were live at *generation* and are not now, by the ids of their frames."""
    return _version_ids(connection, f"{schema}.memory_versions WHERE {_ENDED_AFTER}", (generation, generation))


def live_ids(connection: apsw.Connection) -> list[int]:
    """Return the ids of all live versions, by the ids of their frames."""
    return _version_ids(connection, f"memory_versions WHERE until = {FOREVER}", ())


def _version_ids(connection: apsw.Connection, source: str, bindings: tuple[int, ...]) -> list[int]:
    # By frame, since an index that is told of frames in order writes them at once.
    rows = connection.execute(f"SELECT version_id FROM {source} ORDER BY frame_id", bindings)  # noqa: S608 - ours
    return [version_id for (version_id,) in rows]


def versions_of(connection: apsw.Connection, ids: Iterable[int], *, schema: str = "main") -> Iterator[Version]:
    """Yield the versions with these ids, one at a time."""
    for version_id in ids:
        yield from versions(connection, "version_id = ?", (version_id,), schema=schema)


def first_version_after(connection: apsw.Connection, generation: int, *, schema: str = "main") -> int:
    """Return the lowest id that a version newer than *generation* has, or could have."""
    # Ids of versions ascend with their generations.
    sql = f"SELECT version_id, since FROM {schema}.memory_versions WHERE version_id >= ? "  # noqa: S608 - our own word
    low = 0
    last = connection.execute(f"SELECT max(version_id) FROM {schema}.memory_versions").get  # noqa: S608
    high = 1 + demands.whole(-1 if last is None else last, "the id of a version", least=-1)
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(f"{sql} ORDER BY version_id LIMIT 1", (middle,)).get
        version_id, since = demands.wholes([*demands.columns(row, 2, "a version")], "the generation of a version")
        if since > generation:
            high = middle
        else:
            low = version_id + 1
    return low


def hash_at(connection: apsw.Connection, generation: int) -> int:
    """Return the sum over the frames that were live at *generation*; takes as long as there are later changes."""
    total = load_frames_hash(connection)
    if generation >= load_generation(connection):
        return total
    sql = "SELECT frame_id, fields_hash FROM memory_versions WHERE "
    first = first_version_after(connection, generation)
    for row in connection.execute(sql + _CAME_AFTER, (first,)):
        total = state_hash.remove(total, _element(*row))
    for row in connection.execute(sql + _ENDED_AFTER, (generation, generation)):
        total = state_hash.add(total, _element(*row))
    return total


def _element(frame_id: object, fields_hash: object) -> int:
    return state_hash.element(
        demands.whole(frame_id, "the id of a frame"), demands.blob(fields_hash, "the hash of a frame", size=32)
    )


def next_id_at(connection: apsw.Connection, generation: int, *, schema: str = "main") -> int:
    """
    Return the id that the first frame put after *generation* got, or would get.

    Where the versions that would say were pruned, a higher one: an id is
    never used for two frames.
    """
    highest = connection.execute(
        f"SELECT frame_id FROM {schema}.memory_versions WHERE since <= ? "  # noqa: S608 - our own word
        "ORDER BY frame_id DESC LIMIT 1",
        (generation,),
    ).get
    highest = demands.whole(highest or 0, "the id of a frame")
    bindings: tuple[Any, ...] = (first_version_after(connection, generation, schema=schema), highest)
    later = connection.execute(
        f"SELECT min(frame_id) FROM {schema}.memory_versions WHERE version_id >= ? AND frame_id > ?",  # noqa: S608
        bindings,
    ).get
    return demands.whole(later, "the id of a frame") if later else load_state(connection, schema=schema).next_id
