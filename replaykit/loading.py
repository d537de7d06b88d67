"""Opens recordings for reading: `load`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Literal, get_args
from uuid import UUID

import attrs

from replaykit.errors import DamagedError, NotAStoreError, SessionNotFoundError, StorageError, UsageError
from replaykit.format.entries import Gap
from replaykit.importers.memvid.store import MemvidStore, is_memvid
from replaykit.model import Depth, Diagnosis, Finding, Recovery, RescuedMemory, Verification
from replaykit.plain_text import counted
from replaykit.protocols import Advance, Store
from replaykit.reading import SessionReader
from replaykit.settings import absolute_store
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.checking import read_logs
from replaykit.storage.compaction import silent
from replaykit.storage.database import MEMORY
from replaykit.storage.diagnosis import diagnose
from replaykit.storage.file_store import FileStore
from replaykit.storage.held_files import HeldFiles
from replaykit.storage.opening import kind_of, open_store
from replaykit.storage.salvage import SalvagedStore

if TYPE_CHECKING:
    from replaykit.memory.checking import FrameCheck

__all__ = ["Recording", "RecoveryMode", "diagnosed", "load", "load_finished", "recovered"]


class Recording(SessionReader):
    """A store, opened for reading; nothing is written, created or locked."""

    def __init__(self, location: str, store: Store, *, has_logs: bool = True) -> None:
        self._location = location
        self._store = store
        self._has_logs = has_logs
        self._reading = Catalogue(store, has_logs=has_logs)

    @property
    def _catalogue(self) -> Catalogue:
        return self._reading

    @property
    def location(self) -> str:
        """Where it is, as it was given."""
        return self._location

    def gaps(self, session_id: UUID) -> Sequence[Gap]:
        """Return the damaged bytes that were kept of a session's live log; none while nothing of it is published."""
        try:
            return self._store.read(session_id).gaps
        except SessionNotFoundError:
            return ()

    def verify(self, *, depth: Depth = "full", progress: Advance = silent) -> Verification:
        """
        Read every byte and check it; the result is true only if all of it is accounted for.

        Live logs that nobody writes are read as well; ``live_logs`` says how
        many others there are.  Of a memory's file every byte of the sessions
        is read, and each frame is checked by its hash; ``unchecked`` of the
        result says what has none.

        With *depth* ``"bytes"``, ten times faster, what actions and values hold
        is not decoded: it finds whatever a disk or a copy does to a recording,
        and not what a faulty writer has put into it.

        Raises:
            UsageError: There is no such depth.
        """
        if depth not in get_args(Depth):
            raise UsageError(f"There is no depth {depth!r}: give one of {', '.join(get_args(Depth))}")
        location = self._store.location
        sessions, rest = _halves(location, progress)
        # Logs first: what is published and removed from now on is in the store.
        logs = read_logs(self._store.logs() if self._has_logs else ())
        read = logs.added_to(self._store.verify(depth=depth, progress=sessions))
        found = attrs.evolve(read, path=self._location)
        frames = _frames_of(location, depth=depth, progress=rest)
        if frames is None:
            return found
        return attrs.evolve(
            found,
            problems=(*found.problems, *frames.problems),
            frames=frames.frames,
            versions=frames.versions,
            unchecked=frames.unchecked,
        )

    def close(self) -> None:
        """Let go of the files; closing twice is fine."""
        self._store.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self._location}>"


RecoveryMode = Literal["strict", "prefix", "salvage"]
"""How much damage a reader puts up with."""


def load(location: str | os.PathLike[str], *, recovery: RecoveryMode = "prefix") -> Recording:
    """
    Open a recording for reading: a file, a directory, a memory's file or one of memvid's (``.mv2``).

    With *recovery* ``"prefix"`` what a crash left at the end is passed over,
    and damage of what was on the device is an error; with ``"strict"`` every
    byte is checked first and anything wrong is an error; with ``"salvage"``
    whatever is whole is read around the damage (``verify`` tells of it, and
    sessions that lack something count it as lost).

    Raises:
        StoreNotFoundError: There is nothing at this path.
        NotAStoreError: The file is something else.
        DamagedError: It is damaged, as *recovery* says.
        UnsupportedVersionError: A newer release wrote it.
        UsageError: There is no such *recovery*.
    """
    path = os.fspath(location)
    if recovery not in get_args(RecoveryMode):
        raise UsageError(f"recovery={recovery!r}: give one of {', '.join(get_args(RecoveryMode))}")
    # Files are opened as they are read, when the program may be in another folder.
    recording = Recording(path, _store_at(absolute_store(path), is_salvaged=recovery == "salvage"))
    if recovery == "strict":
        _demand_whole(recording)
    return recording


def load_finished(path: str) -> Recording:
    """
    Open a file that nobody records into.

    Unlike `load` it looks for no live log beside it, of which there may be
    many, and reads a small file once.

    Raises:
        StoreNotFoundError, NotAStoreError, DamagedError, UnsupportedVersionError: As for `load`.
    """
    try:
        store: Store = FileStore(path, read_only=True, files=HeldFiles())
    except NotAStoreError:
        # Somebody may have named a folder, or a memory's own file.
        store = open_store(path, read_only=True)
    return Recording(path, store, has_logs=False)


def _store_at(path: str, *, is_salvaged: bool) -> Store:
    if is_memvid(path):
        return MemvidStore(path, salvage=is_salvaged)
    return SalvagedStore(path) if is_salvaged else open_store(path, read_only=True)


def diagnosed(location: str, *, progress: Advance = silent) -> Diagnosis:
    """
    Look at every byte of the recording at *location*, and say what is wrong with it; of memvid's only its sessions.

    Raises:
        StoreNotFoundError: There is nothing.
        NotAStoreError: There is nothing of a recording in it.
        StorageError: The system refuses, or it does not say where its sessions are.
    """
    if is_memvid(location):
        return MemvidStore(location, salvage=True).diagnosis()
    sessions, rest = _halves(location, progress)
    diagnosis = diagnose(location, progress=sessions)
    frames = _frames_of(location, progress=rest)
    if frames is None or not frames.problems:
        return diagnosis
    step = f"replaykit recover {quote(location)} -o NEW.mv"
    damage = [
        Finding(severity="damage", where=location, what=problem.removeprefix(f"{location}: "), next_step=step)
        for problem in frames.problems
    ]
    graver = [finding for finding in diagnosis.findings if finding.severity in ("unreadable", "damage")]
    others = [finding for finding in diagnosis.findings if finding not in graver]
    return attrs.evolve(diagnosis, findings=[*graver, *damage, *others])


def recovered(
    damaged: str | os.PathLike[str], target: str | os.PathLike[str], *, progress: Advance = silent
) -> Recovery:
    """
    Copy what is whole of the store *damaged* into a new one at *target*: its sessions, and of a memory its frames.

    Frames go into a memory's file only: another *target* gets the sessions,
    and the result says how many frames were not copied.

    Raises:
        UsageError: There is something at *target*.
        NotAStoreError: There is nothing of a recording or a memory in *damaged*.
        StorageError: The new store cannot be written; it is removed again.
    """
    # Whoever lists or plays loads nothing that writes.
    from replaykit.storage.recovering import recover_into, remove_begun

    source, new = os.fspath(damaged), os.fspath(target)
    recovery = recover_into(source, new, progress=progress)
    if not _has_frames(source):
        return recovery
    try:
        return attrs.evolve(recovery, memory=_rescued(source, new, progress))
    except BaseException:
        remove_begun(new)
        raise


def _rescued(source: str, target: str, progress: Advance) -> RescuedMemory | None:
    from replaykit.memory.rescuing import count_frames, rescue

    if _has_frames(target):
        return rescue(source, target, progress=progress)
    try:
        frames = count_frames(source)
    except StorageError as error:
        return RescuedMemory(whole=False, damage=(f"{error}: no frame was copied",))
    if not frames:
        return None
    reason = f"sessions only: {counted(frames, 'frame')} not copied, which a NEW that ends in .mv would hold"
    return RescuedMemory(lost_frames=frames, whole=False, damage=(f"{source}: {reason}",))


def _has_frames(location: str) -> bool:
    return location != MEMORY and kind_of(location) == "database"


def _halves(location: str, progress: Advance) -> tuple[Advance, Advance]:
    """Return what is told of the look at the sessions, and of that at the frames where there may be some."""
    if not _has_frames(location):
        return progress, silent
    return (
        lambda done, total: progress(done, 2 * total),
        lambda done, total: progress(total + done, 2 * total),
    )


def _frames_of(location: str, *, depth: Depth = "full", progress: Advance) -> FrameCheck | None:
    """Check the memory in the file at *location*; None where there is none."""
    if not _has_frames(location):
        return None
    # Most recordings are in no memory's file, and to load one costs more than to read them.
    from replaykit.memory.checking import check_frames

    return check_frames(location, depth=depth, progress=progress)


def _demand_whole(recording: Recording) -> None:
    verification = recording.verify()
    if not verification:
        recording.close()
        raise DamagedError(
            recording.location, 0, f"{verification.problems[0]}. Try: replaykit doctor {recording.location}"
        )
