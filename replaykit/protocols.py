"""
What can be plugged in, on one page.

A contract here is the smallest that does the job: a callable where one
suffices, else a few methods.  Objects are passed in; nothing registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import attrs

# Whoever records makes none of them.
if TYPE_CHECKING:
    from replaykit.model import Compaction, Depth, FrameId, ReplaySession, StateSnapshot, StoredFrame, Verification

__all__ = [
    "Advance",
    "CheckpointPolicy",
    "Clock",
    "Embedder",
    "FileLayer",
    "FinishedCall",
    "ForeignSession",
    "Log",
    "PendingCall",
    "Progress",
    "Redactor",
    "Restorable",
    "Rewindable",
    "StateSource",
    "Store",
    "StoredSession",
]


# -- recording ----------------------------------------------------------------


class Clock(Protocol):
    """Where time comes from; tests pass their own."""

    def time_ns(self) -> int:
        """Return nanoseconds since 1970 UTC; may step backwards."""

    def perf_counter_ns(self) -> int:
        """Return monotonic nanoseconds from an arbitrary start."""


Redactor = Callable[[tuple[str | int, ...], Any], Any]
"""``(path, value) -> value``, called for each text and bytes leaf; raising drops the whole payload."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far a session has come since its last checkpoint."""

    actions: int
    seconds: float
    bytes: int
    kind: str
    failed: bool


@attrs.frozen(kw_only=True)
class PendingCall:
    """A top-level call that is about to run."""

    kind: str
    name: str


@attrs.frozen(kw_only=True, repr=False)
class FinishedCall:
    """A call that returned, for ``keep_if=``: whether it makes its session worth keeping."""

    kind: str
    name: str
    arguments: Mapping[str, Any]
    result: Any
    duration_ms: float


class CheckpointPolicy(Protocol):
    """When to make a checkpoint without being asked."""

    def before(self, call: PendingCall) -> bool:
        """Return True for a checkpoint before *call* runs."""

    def after(self, progress: Progress) -> bool:
        """Return True for a checkpoint after the action that *progress* ends with."""


class StateSource(Protocol):
    """A memory that can say what it holds."""

    def snapshot(self, *, with_ids: bool) -> tuple[StateSnapshot, bytes]:
        """
        Return the present state and its 32-byte hash.

        With *with_ids* the frame ids are read now and complete; else
        ``frame_ids`` may be read from the memory when looked at.
        """


class Restorable(Protocol):
    """
    A store that can say all it holds and be made to hold it again.

    ``replaykit.testing.RestorableContract`` is the test of one.
    """

    def frames(self) -> Iterable[StoredFrame]:
        """Return all that the store holds now, each id once; the order is the store's."""

    def restore(self, frames: Iterable[StoredFrame]) -> Mapping[FrameId, FrameId] | None:
        """
        Make the store hold exactly *frames*; what it has and needs is best left as it is.

        Returns the new id of each frame whose id could not be kept; None or
        an empty map where all were.
        """


class Rewindable(Protocol):
    """A memory that can be gone back to: *at* is a checkpoint, an action, a datetime or a generation of it."""

    def at(self, moment: Any) -> Any:
        """Return it as it was, for reading only; later changes do not show."""

    def fork(self, path: Any, *, at: Any = None) -> Any:
        """Make a branch at *path*, as it was at *at* (by default: as it is), and return it; nothing is overwritten."""


# -- memory ---------------------------------------------------------------------


class Embedder(Protocol):
    """
    A model that turns texts into vectors whose angles say how near the texts are in meaning.

    Equal texts get equal vectors.  It may be called from any thread, by one
    at a time.
    """

    @property
    def name(self) -> str:
        """Which model it is, its version included: vectors of different names are never compared."""

    @property
    def dimension(self) -> int:
        """How many numbers each vector has."""

    def embed(self, texts: Sequence[str], /) -> Sequence[Sequence[float]]:
        """Return one vector for each text, in order: lists of floats, or an array with a row for each."""


# -- storage --------------------------------------------------------------------


Advance = Callable[[int, int], None]
"""``(done, total)``: told now and then during long work."""


class FileLayer(Protocol):
    """
    The only way to the disk, so that tests can fail, trace or replace each step.

    Handles are descriptors.  Every method raises ``OSError`` as the system
    gives it; the callers in ``storage`` translate.
    """

    def open(self, path: str, *, write: bool, create: bool) -> int:
        """Open a regular file, never through a symlink; *create* demands that it is new (0600)."""

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Return up to *size* bytes at *offset*; fewer only at the end of the file."""

    def append(self, handle: int, data: bytes) -> int:
        """Write *data* at the end in one call; return how many bytes went in."""

    def sync(self, handle: int) -> None:
        """Return when all written bytes are on the device."""

    def close(self, handle: int) -> None:
        """Let go of the file; a lock on it ends unless another process shares it."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to *size* bytes."""

    def size(self, handle: int) -> int:
        """Return the file's size in bytes."""

    def lock(self, handle: int, *, shared: bool = False) -> bool:
        """Try to lock the file without waiting; True when the lock is ours."""

    def leads_to(self, path: str, handle: int) -> bool:
        """Return whether *path* still names the open file."""

    def names(self, directory: str) -> list[str]:
        """Return the names in *directory*; none where there is no such directory."""

    def allocate(self, handle: int, size: int) -> None:
        """Have the device keep room for *size* bytes of the file; its size stays.  Nothing where the system cannot."""

    def reserve(self, directory: str, size: int) -> int:
        """Return a handle that holds *size* bytes of the device that *directory* is on, until it is closed."""

    def remove(self, path: str) -> None:
        """Remove the name *path*."""

    def rename(self, source: str, target: str) -> None:
        """Give *source* the name *target*, replacing what stood there."""

    def sync_directory(self, path: str) -> None:
        """Return when the names in directory *path* are on the device."""


class Log(Protocol):
    """The live log of one session: bytes in order, appended by any thread without a lock."""

    @property
    def session_id(self) -> UUID:
        """The session whose log this is."""

    @property
    def path(self) -> str:
        """Where it is, for messages; empty in memory."""

    @property
    def align(self) -> int:
        """To how many bytes each record is padded, 0 for none."""

    @property
    def size(self) -> int:
        """Bytes appended so far."""

    def append(self, record: bytes) -> None:
        """
        Append one whole record; it survives ``kill -9`` once this returns.

        Raises:
            OSError: The record is not kept whole; what was written of it is
                left as a torn record that readers skip.
        """

    def append_end(self, record: bytes) -> None:
        """
        Append the last record; where the disk is full the store's reserve makes room for it.

        Raises:
            OSError: As for `append`.
        """

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*."""

    def sync(self) -> None:
        """
        Return when everything appended before is on the device; threads share a sync.

        Raises:
            OSError: A sync failed, now or earlier: it is never tried again.
        """

    def allocate_ahead(self) -> None:
        """Keep room on the device for what a long session appends next; needs no success."""

    def has_writer(self) -> bool:
        """Return whether a living process still writes to it."""

    def claim(self) -> bool:
        """Become its writer if nobody is; True when it is ours now."""

    def remove(self) -> None:
        """Drop the log: all of it is published."""

    def close(self) -> None:
        """Let go of the file (and of the writer's lock); it stays where it is."""


class StoredSession(Protocol):
    """The published part of one session, read lazily."""

    @property
    def card(self) -> Any:
        """The session's ``format.entries.Card``."""

    @property
    def opening(self) -> Any:
        """The session's ``format.entries.Opening``."""

    @property
    def checkpoints(self) -> Sequence[Mapping[str, Any]]:
        """Checkpoint entries in order."""

    @property
    def gaps(self) -> Sequence[Any]:
        """The ``format.entries.Gap`` of each range of damaged bytes that was kept of the live log."""

    @property
    def sequences(self) -> Sequence[int]:
        """The sequences that are published, ascending."""

    def action(self, sequence: int) -> Mapping[str, Any]:
        """Return one action entry; KeyError when it is not published."""

    def actions(self) -> Iterator[Mapping[str, Any]]:
        """Yield action entries in order of sequence, in bounded memory."""

    def asked(self) -> Iterator[Any]:
        """Yield one ``format.asked.Asked`` per action, in order of sequence and in bounded memory."""

    def likenesses(self) -> Iterator[bytes | None]:
        """Yield for each action 16 bytes that agree only where actions hold the same; None where that is not told."""


class ForeignSession(Protocol):
    """A stored session of another recorder, which may have what our entries cannot say."""

    @property
    def original(self) -> ReplaySession:
        """The session as it is stored there."""


class Store(Protocol):
    """Where sessions live.  Safe to call from several threads."""

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""

    def create_log(self, session_id: UUID) -> Log:
        """Make the live log of a new (or resumed) session and be its writer."""

    def logs(self) -> Sequence[Log]:
        """Return the live logs beside this store, whoever writes them."""

    def publish(self, part: Any) -> None:
        """Append a ``format.entries.Part``; on the device when this returns."""

    def cards(self) -> Sequence[Any]:
        """Return one ``format.entries.Card`` per published session, in order of publishing."""

    def read(self, session_id: UUID) -> StoredSession:
        """
        Return the published session.

        Raises:
            SessionNotFoundError: Nothing of it is published, or it was deleted.
        """

    def delete(self, session_id: UUID) -> None:
        """
        Delete a published session durably; other sessions are untouched.

        Raises:
            SessionNotFoundError: It is not published, or was deleted before.
        """

    def erase(self, session_id: UUID) -> None:
        """
        Delete a session so that no byte of it stays in the store's files.

        Raises:
            SessionNotFoundError: There is nothing of it.
            LockedError: Another process writes to a file that holds some of it.
        """

    def compact(self, *, progress: Advance = ...) -> Compaction:
        """
        Rewrite the files with large blocks and without what was deleted; each all at once or not at all.

        Raises:
            DamagedError: Something is damaged: recover it first.
            StorageError: There is no room; everything is as it was.
        """

    def idle(self) -> None:
        """Nothing is written for now: say on disk that all of it was synced."""

    def is_full(self) -> bool:
        """Return whether it holds as much as its options allow."""

    def verify(self, *, depth: Depth = ..., progress: Advance = ...) -> Verification:
        """
        Read every byte of the store's own files; the result is true only if all of it is accounted for.

        With *depth* ``"bytes"`` what actions and values hold may be taken for
        what was written; else all of it is decoded.
        *progress* is told bytes; a byte that is read twice counts twice.
        """

    def close(self) -> None:
        """Let go of files and locks; closing twice is fine."""
