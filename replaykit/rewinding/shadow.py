"""
What a wrapped store held at its checkpoints: an embedded memory beside the recordings.

Each checkpoint that finds a difference makes one generation, with what came,
changed and went since the one before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from replaykit.errors import CheckpointNotFoundError, DamagedError, StoreNotFoundError, UsageError
from replaykit.memory import state_hash
from replaykit.memory.changes import Change, Version, changing, frame_ids_after, live_hashes, live_version, version_at
from replaykit.memory.connection import Connection
from replaykit.memory.schema import FOREVER, has_generation, load_generation
from replaykit.model import ZERO_HASH, Checkpoint, FrameId, StoredFrame
from replaykit.rewinding.encoding import fields_of, frame_of, id_of, print_of
from replaykit.storage.database import MEMORY

if TYPE_CHECKING:
    import apsw

__all__ = ["Kept", "Shadow"]

_PAGE = 256


@attrs.frozen
class Kept:
    """One state that the shadow has now; the ids are in the store's order."""

    generation: int
    state_hash: bytes
    ids: tuple[FrameId, ...]


class _Last(NamedTuple):
    """A frame as it is kept: its number, the hash of its fields, and its print (empty where not seen yet)."""

    number: int
    fields_hash: bytes
    print: bytes


@attrs.frozen
class _Known:
    """The newest generation: how each frame is kept, and the sum of all."""

    generation: int
    frames: dict[FrameId, _Last]
    sum: int


class Shadow:
    """
    The states of one wrapped store, in the memory file *path*.

    The file is made with the first state.  Any thread may use it, and any
    number of processes; they take turns.
    """

    def __init__(self, path: str, *, time_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self._time_ns = time_ns
        self._opening = threading.Lock()
        # What is in RAM must be there once only, whichever threads come first.
        self._connection = Connection(path, create=True, read_only=False) if path == MEMORY else None
        self._known: _Known | None = None

    # -- keeping ------------------------------------------------------------------

    def keep(self, frames: Iterable[StoredFrame]) -> Kept:
        """
        Keep *frames* as the newest state: all of them, or nothing when anything raises.

        Raises:
            UsageError: They are no `StoredFrame` each, an id comes twice, or
                something would not come back equal.
            StorageError: The file cannot be written.
        """
        with self._opened(create=True).writing() as connection:
            known = self._known_now(connection)
            with changing(connection, made_ns=self._time_ns()) as change:
                after = _brought_to(frames, known, change, connection)
                generation = change.generation
        self._known = attrs.evolve(after, generation=generation)
        return Kept(generation, state_hash.digest(after.sum), tuple(after.frames))

    def _known_now(self, connection: apsw.Connection) -> _Known:
        generation = load_generation(connection)
        if self._known is None or self._known.generation != generation:
            # The first state of this process, or another one has kept its own.
            self._known = self._read_known(connection, generation)
        return self._known

    def _read_known(self, connection: apsw.Connection, generation: int) -> _Known:
        frames: dict[FrameId, _Last] = {}
        total = state_hash.EMPTY
        for number, fields_hash, metadata in live_hashes(connection):
            frames[id_of(metadata, self.path)] = _Last(number, fields_hash, b"")
            total = state_hash.add(total, _element(fields_hash))
        return _Known(generation, frames, total)

    # -- reading ------------------------------------------------------------------

    def demand(self, checkpoint: object) -> int:
        """
        Return the generation of *checkpoint*; what is kept for it is whole.

        Raises:
            UsageError: It is no checkpoint.
            CheckpointNotFoundError: It was made without content, its state is
                not here (any more), or it is a checkpoint of another store.
            DamagedError: What is kept of it is not what was kept.
        """
        if not isinstance(checkpoint, Checkpoint):
            raise UsageError(
                f"give a Checkpoint, not {type(checkpoint).__name__}: get_session(which).checkpoints has them"
            )
        if checkpoint.state_hash == ZERO_HASH:
            raise _not_found(
                checkpoint, "holds no content: it was made without frames=, or the store could not be read then"
            )
        generation = checkpoint.snapshot.generation
        try:
            with self._opened(create=False).reading() as connection:
                is_there = 0 <= generation < FOREVER and has_generation(connection, generation)
        except StoreNotFoundError as error:
            raise _not_found(
                checkpoint, f"cannot be gone back to: the states are kept in {self.path}, which is not there"
            ) from error
        if not is_there:
            raise _not_found(checkpoint, f"cannot be gone back to: its state is not in {self.path}")
        if self._hash_at(generation) != checkpoint.state_hash:
            raise _not_found(
                checkpoint, f"is another store's: what {self.path} has at generation {generation} differs from it"
            )
        return generation

    def frames_at(self, generation: int) -> Iterator[StoredFrame]:
        """Yield what the store held at *generation*, in the order in which the frames first came."""
        for version in self._versions_at(generation):
            yield frame_of(version.fields, self.path)

    def _hash_at(self, generation: int) -> bytes:
        # Of the content as it is read, so that damage shows before a store is touched.
        total = state_hash.EMPTY
        for version in self._versions_at(generation):
            fields_hash = version.fields.fields_hash()
            if fields_hash != version.fields_hash:
                raise DamagedError(self.path, 0, f"its frame {version.frame_id} is not what was kept")
            total = state_hash.add(total, _element(fields_hash))
        return state_hash.digest(total)

    def _versions_at(self, generation: int) -> Iterator[Version]:
        after = -1
        while True:
            with self._opened(create=False).reading() as connection:
                page = frame_ids_after(connection, generation, after, _PAGE)
                versions = [version_at(connection, number, generation) for number in page]
            yield from versions
            if len(page) < _PAGE:
                return
            after = page[-1]

    # -- the file -----------------------------------------------------------------

    def _opened(self, *, create: bool) -> Connection:
        with self._opening:
            if self._connection is None:
                self._connection = Connection(self.path, create=create, read_only=False)
            return self._connection

    def close(self) -> None:
        """Let go of the file; closing twice is fine."""
        if self._connection is not None:
            self._connection.close()


def _brought_to(frames: Iterable[StoredFrame], known: _Known, change: Change, connection: apsw.Connection) -> _Known:
    """Let *change* make *frames* of what is *known*; return what is known then, in the order of *frames*."""
    after: dict[FrameId, _Last] = {}
    total = known.sum
    for frame in frames:
        _demand_new_frame(frame, after)
        old = known.frames.get(frame.id)
        new = after[frame.id] = _kept(frame, old, change, connection)
        if old is None or old.fields_hash != new.fields_hash:
            total = state_hash.add(total, _element(new.fields_hash))
            total = total if old is None else state_hash.remove(total, _element(old.fields_hash))
    for frame_id, old in known.frames.items():
        if frame_id not in after:
            change.remove(live_version(connection, old.number))
            total = state_hash.remove(total, _element(old.fields_hash))
    return _Known(change.generation, after, total)


def _kept(frame: StoredFrame, old: _Last | None, change: Change, connection: apsw.Connection) -> _Last:
    seen = print_of(frame)
    if old is not None and old.print == seen:
        return old
    fields = fields_of(frame)
    fields_hash = fields.fields_hash()
    if old is None:
        return _Last(change.add(fields), fields_hash, seen)
    if old.fields_hash != fields_hash:
        change.replace(live_version(connection, old.number), fields)
    return _Last(old.number, fields_hash, seen)


def _not_found(checkpoint: Checkpoint, reason: str) -> CheckpointNotFoundError:
    return CheckpointNotFoundError(checkpoint.id, f"Checkpoint {checkpoint.id} {reason}")


def _demand_new_frame(frame: object, seen: dict[FrameId, Any]) -> None:
    if not isinstance(frame, StoredFrame):
        raise UsageError(f"frames() gives StoredFrame each, not {type(frame).__name__}")
    if frame.id in seen:
        raise UsageError(f"frames() gave the id {frame.id!r} twice")


def _element(fields_hash: bytes) -> int:
    # The store's own id is among the fields; our number for the frame says
    # only when it came first, and equal contents must have equal sums.
    return state_hash.element(0, fields_hash)
