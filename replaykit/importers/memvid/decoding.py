"""Encoded sessions -> the model: memvid's sessions, actions and checkpoints, field by field."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import overload
from uuid import UUID

import attrs

from replaykit.digests import content_hash, utf8
from replaykit.format.lazy import LazySequence
from replaykit.importers.memvid.cursor import HASH_BYTES, Cursor
from replaykit.model import (
    MEMVID,
    OVERSIZE_HASH,
    ZERO_HASH,
    ActionType,
    Ask,
    Checkpoint,
    Checkpointed,
    Delete,
    Find,
    Put,
    PutMany,
    ReplayAction,
    ReplaySession,
    StateSnapshot,
    ToolCall,
    Update,
    playable_import,
)

__all__ = ["EncodedSession", "read_open_session", "read_session", "read_session_id", "state_hash_of"]

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000

_UUID_BYTES = 16
_LEAST_ACTION_BYTES = 124
_LEAST_CHECKPOINT_BYTES = 90
_LEAST_PAIR_BYTES = 16


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EncodedSession:
    """
    A session whose bytes were looked through and found whole.

    Actions and checkpoints are decoded when they are asked for.
    ``damaged`` are the positions of actions whose query is not the one that
    was hashed.
    """

    session_id: UUID
    name: str | None
    created_secs: int
    ended_secs: int | None
    metadata: Mapping[str, str]
    version: int
    checkpoint_count: int
    last_secs: int
    damaged: frozenset[int]
    encoded: bytes
    _path: str
    _base: int
    _checkpoints_at: int
    _offsets: array[int]

    @property
    def action_count(self) -> int:
        """How many actions it has."""
        return len(self._offsets)

    @property
    def digest(self) -> bytes:
        """The hash of its bytes."""
        return content_hash(self.encoded)

    @property
    def actions(self) -> Sequence[ReplayAction]:
        """Its actions in stored order, which need not be that of their sequences."""
        return _Actions(self)

    def checkpoints(self, session_id: UUID) -> tuple[Checkpoint, ...]:
        """Return its checkpoints in stored order, as those of *session_id*."""
        cursor = self._cursor(self._checkpoints_at)
        return tuple(_read_checkpoint(cursor, session_id) for _ in range(self.checkpoint_count))

    def action(self, position: int) -> ReplayAction:
        """Return the action at a *position* from 0 on."""
        action = _read_action(self._cursor(self._offsets[position]))
        return attrs.evolve(action, flags=frozenset({"damaged"})) if position in self.damaged else action

    def session(self, session_id: UUID) -> ReplaySession:
        """Return it as the model has it, under *session_id*; times and metadata are as they are stored."""
        is_ended = self.ended_secs is not None
        return ReplaySession(
            session_id=session_id,
            name=self.name,
            created_ns=self.created_secs * SECOND_NS,
            ended_ns=None if self.ended_secs is None else self.ended_secs * SECOND_NS,
            actions=self.actions,
            checkpoints=self.checkpoints(session_id),
            metadata=dict(self.metadata),
            version=self.version,
            state="sealed" if is_ended else "interrupted",
            ended_by="" if is_ended else "interrupted",
            capture=MEMVID,
            playable=playable_import(*() if is_ended else ("memvid never ended it",)),
        )

    def _cursor(self, at: int) -> Cursor:
        return Cursor(self.encoded, self._path, base=self._base, at=at)


class _Actions(LazySequence[ReplayAction]):
    """The actions of a session; each is decoded when it is looked at."""

    def __init__(self, session: EncodedSession) -> None:
        self._session = session
        self._read = lru_cache(maxsize=1024)(session.action)

    @overload
    def __getitem__(self, index: int) -> ReplayAction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ReplayAction]: ...
    def __getitem__(self, index: int | slice) -> ReplayAction | Sequence[ReplayAction]:
        positions = range(len(self))[index]
        return self._read(positions) if isinstance(positions, int) else [self._read(each) for each in positions]

    def __len__(self) -> int:
        return self._session.action_count

    def __iter__(self) -> Iterator[ReplayAction]:
        return map(self._session.action, range(len(self)))

    def __repr__(self) -> str:
        return f"<{len(self)} actions>"


# -- sessions -----------------------------------------------------------------------


def read_session(cursor: Cursor) -> EncodedSession:
    """
    Return the session that fills what *cursor* has left.

    Raises:
        DamagedError: A field is malformed, or bytes follow the last.
    """
    session = read_open_session(cursor)
    if cursor.remaining:
        raise cursor.damaged(f"{cursor.remaining} bytes follow the session")
    return session


def read_open_session(cursor: Cursor) -> EncodedSession:
    """
    Return the session that begins here; more may follow it.

    Raises:
        DamagedError: A field is malformed.
    """
    start = cursor.at
    session_id, name = read_session_id(cursor), cursor.optional(cursor.text)
    created_secs, ended_secs = cursor.i64(), cursor.optional(cursor.i64)
    checkpoint_count = cursor.count(_LEAST_CHECKPOINT_BYTES)
    checkpoints_at = cursor.at - start
    for _ in range(checkpoint_count):
        _read_checkpoint(cursor, session_id)
    offsets, damaged, last_secs = _look_through_actions(cursor, start, created_secs)
    metadata = _read_map(cursor)
    version = cursor.u32()
    return EncodedSession(
        session_id=session_id,
        name=name,
        created_secs=created_secs,
        ended_secs=ended_secs,
        metadata=metadata,
        version=version,
        checkpoint_count=checkpoint_count,
        last_secs=last_secs,
        damaged=damaged,
        encoded=cursor.data[start : cursor.at],
        path=cursor.path,
        base=cursor.base + start,
        checkpoints_at=checkpoints_at,
        offsets=offsets,
    )


def read_session_id(cursor: Cursor) -> UUID:
    """Return the id that a session begins with."""
    size = cursor.u64()
    if size != _UUID_BYTES:
        raise cursor.damaged(f"a session id has {size} bytes", at=cursor.at - 8)
    return UUID(bytes=cursor.take(_UUID_BYTES))


def _look_through_actions(cursor: Cursor, start: int, secs: int) -> tuple[array[int], frozenset[int], int]:
    """Return where the actions are, which of them are damaged, and when the last began."""
    offsets = array("Q")
    damaged = set()
    for position in range(cursor.count(_LEAST_ACTION_BYTES)):
        offsets.append(cursor.at - start)
        action = _read_action(cursor)
        secs = action.timestamp_secs
        if not _is_query_hashed(action):
            damaged.add(position)
    return offsets, frozenset(damaged), secs


def _is_query_hashed(action: ReplayAction) -> bool:
    """Return whether the query is the input that was hashed, as far as there is a hash."""
    kind = action.action_type
    if not isinstance(kind, (Find, Ask)) or action.input_hash in (ZERO_HASH, OVERSIZE_HASH):
        return True
    return content_hash(utf8(kind.query)) == action.input_hash


def _read_map(cursor: Cursor) -> dict[str, str]:
    # Who comes later under one key wins, as in memvid.
    return {cursor.text(): cursor.text() for _ in range(cursor.count(_LEAST_PAIR_BYTES))}


# -- actions ------------------------------------------------------------------------


def _read_action(cursor: Cursor) -> ReplayAction:
    sequence, secs = cursor.u64(), cursor.i64()
    action_type = _read_type(cursor)
    return ReplayAction(
        sequence=sequence,
        timestamp_ns=secs * SECOND_NS,
        action_type=action_type,
        name=action_type.tool if isinstance(action_type, ToolCall) else action_type.kind,
        source=MEMVID,
        input_hash=cursor.digest(),
        output_hash=cursor.digest(),
        input_preview=cursor.text(),
        output_preview=cursor.text(),
        affected_frames=cursor.u64_list(),
        duration_ns=cursor.u64() * MILLISECOND_NS,
    )


def _read_type(cursor: Cursor) -> ActionType:
    number = cursor.u32()
    if number >= len(_TYPES):
        raise cursor.damaged(f"there is no action type {number}", at=cursor.at - 4)
    return _TYPES[number](cursor)


_TYPES: Sequence[Callable[[Cursor], ActionType]] = (
    lambda cursor: Put(frame_id=cursor.u64()),
    lambda cursor: PutMany(frame_ids=cursor.u64_list(), count=cursor.u64()),
    lambda cursor: Find(query=cursor.text(), mode=cursor.text(), result_count=cursor.u64()),
    lambda cursor: Ask(query=cursor.text(), provider=cursor.text(), model=cursor.text()),
    lambda cursor: Checkpointed(checkpoint_id=cursor.u64()),
    lambda cursor: Update(frame_id=cursor.u64()),
    lambda cursor: Delete(frame_id=cursor.u64()),
    lambda cursor: ToolCall(tool=cursor.text(), args_hash=cursor.take(HASH_BYTES)),
)
"""By memvid's own numbering."""


# -- checkpoints --------------------------------------------------------------------


def _read_checkpoint(cursor: Cursor, session_id: UUID) -> Checkpoint:
    number, at_sequence, secs = cursor.u64(), cursor.u64(), cursor.i64()
    state_hash, frame_count = cursor.digest(), cursor.u64()
    return Checkpoint(
        id=number,
        session_id=session_id,
        at_sequence=at_sequence,
        timestamp_ns=secs * SECOND_NS,
        state_hash=state_hash,
        snapshot=StateSnapshot(
            frame_count=frame_count,
            frame_ids=cursor.u64_list(),
            lex_index_hash=cursor.optional(cursor.digest),
            vec_index_hash=cursor.optional(cursor.digest),
            wal_sequence=cursor.u64(),
            generation=cursor.u64(),
        ),
    )


_NARROW, _HALF, _WORD, _LONG = 251, b"\xfb", b"\xfc", b"\xfd"


def state_hash_of(snapshot: StateSnapshot) -> bytes:
    """Return the hash that memvid gives a checkpoint of this *snapshot*."""
    hashes = (snapshot.lex_index_hash, snapshot.vec_index_hash)
    frames = (_compact(int(frame)) for frame in snapshot.frame_ids)
    parts = itertools.chain(
        (_compact(snapshot.frame_count), _compact(len(snapshot.frame_ids))),
        frames,
        (b"\x00" if digest is None else b"\x01" + digest for digest in hashes),
        (_compact(snapshot.wal_sequence), _compact(snapshot.generation)),
    )
    return content_hash(b"".join(parts))


def _compact(number: int) -> bytes:
    if number < _NARROW:
        return number.to_bytes(1, "little")
    mark, size = (_HALF, 2) if number < 1 << 16 else (_WORD, 4) if number < 1 << 32 else (_LONG, 8)
    return mark + number.to_bytes(size, "little")
