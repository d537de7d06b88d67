"""A memvid file, or the side file of its command line, as a store that can only be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from uuid import UUID, uuid5

from replaykit.errors import DamagedError, SessionNotFoundError
from replaykit.format.entries import Card
from replaykit.importers.memvid.container import MAGIC, Container, OpenFile, opened
from replaykit.importers.memvid.decoding import EncodedSession, state_hash_of
from replaykit.importers.memvid.entries import ImportedEntries, card_of
from replaykit.importers.memvid.leftovers import Leftover, leftovers_in
from replaykit.importers.memvid.segment import ACTIVE_MAGIC, Found, Unreadable, read_active, read_segment
from replaykit.model import MEMVID, Depth, Diagnosis, Finding, Usage, Verification
from replaykit.protocols import Advance, Log
from replaykit.read_only import ReadOnlyStore

__all__ = ["MemvidStore", "is_memvid", "lost_text"]

_FORMAT_VERSION = 1
_SIDE_SUFFIX = ".session"
_LONGEST_MAGIC = max(len(MAGIC), len(ACTIVE_MAGIC))
_MOST_LISTED = 20


def is_memvid(path: str) -> bool:
    """
    Return whether the file at *path* begins as memvid's own do; False where there is no file.

    Raises:
        StorageError: It cannot be read.
    """
    if not os.path.isfile(path) or os.path.islink(path):
        return False
    with opened(path) as file:
        begin = file.read(0, min(_LONGEST_MAGIC, file.size))
    return begin.startswith((MAGIC, ACTIVE_MAGIC))


def _silent(_done: int, _total: int) -> None:
    """Show no progress."""


class MemvidStore(ReadOnlyStore):
    """
    The sessions that a memvid file names, or the active one of a side file.

    The file is read when this is made and closed at once; it is never
    written, locked or touched.  Of several sessions with one id the first
    keeps it, the others get ids that follow from it.

    Attributes:
        unreadable: Sessions that it names and that cannot be read; always
            empty unless *salvage*.

    Raises:
        StoreNotFoundError: There is no file.
        NotAStoreError: It is something else.
        DamagedError: It does not say where its sessions are; or, without
            *salvage*, one of them cannot be read.
        UnsupportedVersionError: A version that is not known.
    """

    def __init__(self, path: str | os.PathLike[str], *, salvage: bool = False) -> None:
        self._path = os.fspath(path)
        self.refusal = f"{self._path} is memvid's own file and only read here: replaykit import {self._path} -o runs/"
        self._problems: list[str] = []
        try:
            found = self._found()
        except DamagedError as error:
            raise self._with_advice(error) from error
        self.unreadable: Sequence[Unreadable] = found.unreadable
        if found.unreadable and not salvage:
            raise self._with_advice(found.unreadable[0].error)
        self._problems += found.problems
        self._sessions = dict(_with_own_ids(found.sessions))

    def _found(self) -> Found:
        with opened(self._path) as file:
            self._size = file.size
            is_active = file.read(0, min(len(ACTIVE_MAGIC), file.size)) == ACTIVE_MAGIC
            return self._read_active(file) if is_active else self._read_file(file)

    def _with_advice(self, error: DamagedError) -> DamagedError:
        advice = f"replaykit import {self._path} -o runs/ says what can be read of it, and takes that"
        return DamagedError(self._path, error.offset, f"{error.reason}. {advice}")

    def _read_active(self, file: OpenFile) -> Found:
        self._bytes_read = file.size
        return read_active(file.read(0, file.size), self._path)

    def _read_file(self, file: OpenFile) -> Found:
        container = Container(file)
        manifest = container.manifest
        self._problems = [f"{self._path}: {problem}" for problem in container.problems]
        self._bytes_read = container.bytes_read
        if manifest is None:
            return Found()
        self._bytes_read += manifest.segment_size
        return read_segment(file.read(manifest.segment_offset, manifest.segment_size), self._path, manifest)

    # -- what can be read -----------------------------------------------------------------

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""
        return self._path

    @property
    def side_file(self) -> str | None:
        """The side file beside it, None where there is none."""
        path = self._path + _SIDE_SUFFIX
        return path if os.path.isfile(path) else None

    @property
    def stored_ids(self) -> frozenset[UUID]:
        """The ids that the file has for its sessions."""
        return frozenset(session.session_id for session in self._sessions.values())

    def cards(self) -> Sequence[Card]:
        """Return one card per session, in memvid's order: that of ending."""
        return [card_of(session, session_id) for session_id, session in self._sessions.items()]

    def read(self, session_id: UUID) -> ImportedEntries:
        """Return one session; SessionNotFoundError when there is none."""
        session = self._sessions.get(session_id)
        if session is None:
            raise SessionNotFoundError(session_id)
        origin = {
            "origin": MEMVID,
            "origin_file": os.path.basename(self._path).encode("utf-8", "replace").decode(),
            "origin_version": _FORMAT_VERSION,
            "origin_digest": session.digest.hex(),
        }
        return ImportedEntries(session, session_id, origin)

    def verify(self, *, depth: Depth = "full", progress: Advance = _silent) -> Verification:
        """
        Check all that says where the sessions are, and every hash that can be computed again; at any *depth*.

        memvid has no checksum over its sessions, and its frames are not looked at.
        """
        problems = [*self._problems, *(str(each.error) for each in self.unreadable)]
        for done, (session_id, session) in enumerate(self._sessions.items()):
            progress(done, len(self._sessions))
            problems += (f"{self._path}: session {session_id}: {problem}" for problem in _problems_of(session))
        progress(len(self._sessions), len(self._sessions))
        return Verification(
            path=self._path,
            sessions=len(self._sessions),
            actions=sum(session.action_count for session in self._sessions.values()),
            bytes_read=self._bytes_read,
            problems=tuple(problems),
        )

    def diagnosis(self) -> Diagnosis:
        """Say what is wrong with it or worth knowing; reads all of it."""
        findings = [Finding(severity="damage", where=self._path, what=what) for what in self.verify().problems]
        for each in leftovers_in(self._path, self.stored_ids)[:_MOST_LISTED]:
            findings.append(Finding(severity="note", where=f"{self._path}, byte {each.offset}", what=lost_text(each)))
        if self.side_file is not None:
            what, step = "an active session of memvid's command line", f"replaykit import {self.side_file}"
            findings.append(Finding(severity="note", where=self.side_file, what=what, next_step=step))
        sizes = {session_id: len(session.encoded) for session_id, session in self._sessions.items()}
        return Diagnosis(
            path=self._path, findings=tuple(findings), usage=Usage(files=1, bytes=self._size, by_session=sizes)
        )

    def is_full(self) -> bool:
        """It takes no sessions at all."""
        return True

    def logs(self) -> Sequence[Log]:
        """There are no live logs."""
        return ()

    def close(self) -> None:
        """The file is closed already."""


def lost_text(leftover: Leftover) -> str:
    """Return what there is to say of a session that its file does not name any more."""
    return (
        f"bytes of session {leftover.session_id}, which the file does not name any more: it was deleted, or memvid "
        "dropped it when it saved others"
    )


def _with_own_ids(sessions: Sequence[EncodedSession]) -> Iterator[tuple[UUID, EncodedSession]]:
    taken: dict[UUID, int] = {}
    named = {session.session_id for session in sessions}
    for session in sessions:
        number = taken.get(session.session_id, 0)
        taken[session.session_id] = number + 1
        if number == 0:
            yield session.session_id, session
            continue
        own = uuid5(session.session_id, str(number))
        while own in named:
            # A file can be made so, not met.
            own = uuid5(own, "")
        named.add(own)
        yield own, session


def _problems_of(session: EncodedSession) -> Iterator[str]:
    for position in sorted(session.damaged)[:_MOST_LISTED]:
        yield f"the query of action {session.action(position).sequence} is not the one that was hashed"
    for checkpoint in session.checkpoints(session.session_id):
        if state_hash_of(checkpoint.snapshot) != checkpoint.state_hash:
            yield f"the state hash of checkpoint {checkpoint.id} is not that of its snapshot"
