"""Makes the checkpoints of one wrapped store, and goes back to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from replaykit.errors import RestoreError, UsageError
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.logs import get_logger
from replaykit.memory.engine import Engine
from replaykit.memory.memory import Memory
from replaykit.model import ZERO_HASH, Checkpoint, FrameId, Restoration, StateSnapshot, StoredFrame
from replaykit.protocols import Clock, Restorable
from replaykit.recording.engine import RecordingEngine
from replaykit.recording.session import Unrecorded
from replaykit.rewinding.encoding import item_of
from replaykit.rewinding.shadow import Kept, Shadow
from replaykit.settings import Settings
from replaykit.storage.database import MEMORY

__all__ = ["Rewinder"]

log = get_logger("rewinding")

_NO_SESSION = UUID(int=0)
_REFUSAL = "this is a store as it was at a checkpoint; write into a branch of it (fork), or restore the checkpoint"


class Rewinder:
    """
    The `StateSource` of a wrapped store.

    *store* reads and fills it; what it calls meanwhile is nobody's call and
    is not recorded.  *clean* takes secrets out of ids before they are
    recorded; *report* is told of a checkpoint without content.
    """

    def __init__(
        self,
        store: Restorable,
        shadow: Shadow,
        *,
        clock: Clock,
        clean: Callable[[str], str],
        report: Callable[[Exception], None],
    ) -> None:
        self.store = store
        self._shadow = shadow
        self._clock = clock
        self._clean = clean
        self._report = report

    # -- checkpoints ----------------------------------------------------------------

    def snapshot(self, *, with_ids: bool) -> tuple[StateSnapshot, bytes]:
        """
        Keep what the store holds now; return that state and its 32-byte hash.

        Equal frames under equal ids have equal hashes, whichever way they
        came there.  A store that cannot be read breaks nothing: the state is
        then empty, its hash zero, and it is reported.
        """
        try:
            kept = self._kept_now()
            return self._snapshot_of(kept, with_ids=with_ids), kept.state_hash
        except Exception as error:
            # The store and its adapter are foreign; the agent must not suffer.
            self._report(error)
            return StateSnapshot(), ZERO_HASH

    def _snapshot_of(self, kept: Kept, *, with_ids: bool) -> StateSnapshot:
        return StateSnapshot(
            frame_count=len(kept.ids),
            frame_ids=tuple(map(self._recorded_id, kept.ids)) if with_ids else (),
            wal_sequence=kept.generation,
            generation=kept.generation,
        )

    def _recorded_id(self, frame_id: FrameId) -> FrameId:
        if isinstance(frame_id, int):
            # What a recording has as a number has 64 bits.
            return frame_id if -(2**63) <= frame_id < 2**63 else str(frame_id)
        # A recording holds no secrets and no lone surrogates.
        return self._clean(frame_id).encode("utf-8", "replace").decode()

    # -- going back -----------------------------------------------------------------

    def at(self, checkpoint: Checkpoint, settings: Settings) -> Memory:
        """
        Return what the store held at *checkpoint* as an embedded memory in RAM that takes no writes.

        Raises:
            CheckpointNotFoundError: As `Shadow.demand` says.
        """
        generation = self._shadow.demand(checkpoint)
        engine = Engine(MEMORY)
        engine.put_many(map(item_of, self._shadow.frames_at(generation)))
        engine.freeze(_REFUSAL)
        recording = RecordingEngine(
            MEMORY, settings, state_source=engine, frames_at=engine.frame_ids_at, stores_ids=False, read_only=True
        )
        return Memory(engine, recording)

    def restore(self, checkpoint: Checkpoint) -> Restoration:
        """
        Make the store hold what it held at *checkpoint*; what it holds now is kept first.

        Raises:
            CheckpointNotFoundError: As `Shadow.demand` says; nothing was changed.
            RestoreError: The store failed; the error says what it holds now.
        """
        generation = self._shadow.demand(checkpoint)
        before = self._kept_before()
        try:
            with _unrecorded(self):
                new_ids = self.store.restore(self._shadow.frames_at(generation))
        except Exception as error:
            raise self._undone(error, before) from error
        try:
            now = self._kept_now()
        except Exception as error:
            raise RestoreError(
                f"checkpoint {checkpoint.id} was put back, but the store cannot be read again ({_said(error)})",
                state="unknown",
                before=before,
            ) from error
        return Restoration(
            frame_count=checkpoint.snapshot.frame_count,
            new_ids=dict(new_ids or {}),
            is_exact=now.state_hash == checkpoint.state_hash,
            before=before,
        )

    def restore_into(self, checkpoint: Checkpoint, other: Restorable) -> Restoration:
        """
        Make the empty store *other* hold what this one held at *checkpoint*.

        Raises:
            UsageError: It is not empty.
            CheckpointNotFoundError: As `Shadow.demand` says.
            RestoreError: It failed; the error says what it holds now.
        """
        generation = self._shadow.demand(checkpoint)
        with _unrecorded(self):
            return self._filled(checkpoint, generation, other)

    def _filled(self, checkpoint: Checkpoint, generation: int, other: Restorable) -> Restoration:
        _demand_empty(other)
        try:
            new_ids = other.restore(self._shadow.frames_at(generation))
        except Exception as error:
            raise _emptied(other, error) from error
        check = Shadow(MEMORY)
        try:
            is_exact = check.keep(other.frames()).state_hash == checkpoint.state_hash
        except Exception as error:
            raise RestoreError(
                f"checkpoint {checkpoint.id} was put in, but the store cannot be read again ({_said(error)})",
                state="unknown",
            ) from error
        finally:
            check.close()
        return Restoration(frame_count=checkpoint.snapshot.frame_count, new_ids=dict(new_ids or {}), is_exact=is_exact)

    def restore_into_memory(self, checkpoint: Checkpoint, memory: Engine) -> Restoration:
        """
        Put what the store held at *checkpoint* into an empty embedded memory, in one write.

        Raises:
            UsageError: It is not empty.
            CheckpointNotFoundError: As `Shadow.demand` says.
            StorageError: It cannot be written; nothing is in it then.
        """
        generation = self._shadow.demand(checkpoint)
        if len(memory):
            raise _not_empty(memory.path)
        ids: list[FrameId] = []
        numbers = memory.put_many(map(item_of, _noting(ids, self._shadow.frames_at(generation))))
        return Restoration(frame_count=len(ids), new_ids=dict(zip(ids, numbers, strict=True)))

    def close(self) -> None:
        """Let go of the kept states; closing twice is fine."""
        self._shadow.close()

    # -- inside ---------------------------------------------------------------------

    def _kept_now(self) -> Kept:
        with _unrecorded(self):
            return self._shadow.keep(self.store.frames())

    def _kept_before(self) -> Checkpoint:
        try:
            kept = self._kept_now()
        except Exception as error:
            raise RestoreError(
                f"nothing was restored: what the store holds now could not be kept first ({_said(error)})",
                state="unchanged",
            ) from error
        return Checkpoint(
            id=0,
            session_id=_NO_SESSION,
            at_sequence=0,
            timestamp_ns=self._clock.time_ns(),
            state_hash=kept.state_hash,
            snapshot=self._snapshot_of(kept, with_ids=True),
        )

    def _undone(self, cause: Exception, before: Checkpoint) -> RestoreError:
        """Put back what was there; return the error that says whether that went well."""
        log.error("restore_failed", error=_said(cause))
        generation = before.snapshot.generation
        try:
            with _unrecorded(self):
                self.store.restore(self._shadow.frames_at(generation))
        except Exception as error:
            log.error("restore_not_undone", error=_said(error))
        try:
            is_as_before = self._kept_now().state_hash == before.state_hash
        except Exception as error:
            return RestoreError(
                f"the store failed during the restore ({_said(cause)}) and cannot be read now ({_said(error)}). "
                "What it held before is kept: restore(error.before) once it works again",
                state="unknown",
                before=before,
            )
        if is_as_before:
            return RestoreError(
                f"the store failed during the restore ({_said(cause)}); it holds what it held before",
                state="unchanged",
                before=before,
            )
        return RestoreError(
            f"the store failed during the restore ({_said(cause)}) and holds neither the checkpoint nor all that it "
            "held before, which is kept: restore(error.before) once it works again",
            state="mixed",
            before=before,
        )


@contextmanager
def _unrecorded(recorder: Any) -> Iterator[None]:
    """Let no session take what is called inside, whatever recorder it has."""
    before = CURRENT.get()
    here = Scope(Unrecorded(recorder), None, None)
    CURRENT.set(here)
    try:
        yield
    finally:
        if CURRENT.get() is here:
            CURRENT.set(before)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _noting(ids: list[FrameId], frames: Iterable[StoredFrame]) -> Iterator[StoredFrame]:
    for frame in frames:
        ids.append(frame.id)
        yield frame


def _not_empty(name: str) -> UsageError:
    return UsageError(
        f"{name} holds frames, and filling it would remove them: give an empty one, or wrap it and restore into itself"
    )


def _demand_empty(other: Restorable) -> None:
    try:
        is_empty = not any(True for _ in other.frames())
    except Exception as error:
        raise RestoreError(f"nothing was restored: into= cannot be read ({_said(error)})", state="unchanged") from error
    if not is_empty:
        raise _not_empty(f"the {type(other).__name__} in into=")


def _emptied(other: Restorable, cause: Exception) -> RestoreError:
    """Take out again what came in; return the error that says whether that went well."""
    try:
        other.restore(())
        is_empty = not list(other.frames())
    except Exception as error:
        return RestoreError(
            f"the store in into= failed ({_said(cause)}) and could not be emptied again ({_said(error)})", state="mixed"
        )
    if is_empty:
        return RestoreError(f"the store in into= failed ({_said(cause)}); it is empty as before", state="unchanged")
    return RestoreError(f"the store in into= failed ({_said(cause)}) and holds a part of the checkpoint", state="mixed")
