"""
Reads a damaged store around its damage, as a store like any other.

What is whole is found without catalogs and indexes; nothing is written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import DamagedError, NotAStoreError, SessionNotFoundError, StoreNotFoundError
from replaykit.format.entries import Card, Opening, Sealing
from replaykit.format.entry_blocks import EntryBlock, blob_references
from replaykit.model import Depth, Verification
from replaykit.protocols import Advance, FileLayer, Log
from replaykit.read_only import ReadOnlyStore
from replaykit.storage.compaction import silent
from replaykit.storage.damaged_segments import Found, Survey, surveyed
from replaykit.storage.files import SystemFiles
from replaykit.storage.log_files import logs_beside
from replaykit.storage.opening import kind_of
from replaykit.storage.part_rows import rows_of
from replaykit.storage.segment_file import ReadableBytes, open_file
from replaykit.storage.stored_session import Piece, SegmentSession

__all__ = ["SalvagedSession", "SalvagedStore"]

_SUFFIX = ".rpk"
_DAMAGED = "damaged"
"""The flag of an action whose large values are damaged."""


class SalvagedSession(SegmentSession):
    """
    What is whole of one session; an action whose large values are damaged comes without them, flagged ``damaged``.

    Attributes:
        missing: How many actions are known to be missing.
        is_whole: Everything that was published of it is there.
        is_exact: Besides, it has its root, so that a copy can be proved.
    """

    def __init__(self, card: Card, pieces: Sequence[Piece], opening: Opening, found: Sequence[Found]) -> None:
        super().__init__(card, pieces)
        self.missing = sum(each.missing for each in found)
        self.is_whole = all(each.is_whole for each in found)
        self.is_exact = self.is_whole and all(
            each.expected is not None and each.piece.index.actions == list(each.expected.actions) for each in found
        )
        self._opening = opening

    @property
    def opening(self) -> Opening:
        """How it began, as far as that is known."""
        return self._opening

    def _whole(self, piece: Piece, block: EntryBlock, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return super()._whole(piece, block, entry)
        except DamagedError:
            lacking = blob_references(entry)
            kept = {key: value for key, value in entry.items() if key not in lacking}
            return {**kept, "fl": [*kept.get("fl", ()), _DAMAGED]}


class SalvagedStore(ReadOnlyStore):
    """
    The whole blocks of the damaged store at *path*: a file, a directory or a memory's file; read only.

    Raises:
        StoreNotFoundError: There is nothing.
        NotAStoreError: There is nothing of a recording in it.
        UnsupportedVersionError: A newer release wrote it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, files: FileLayer | None = None, progress: Advance = silent
    ) -> None:
        self._path = os.fspath(path)
        self.refusal = f"{self._path} is being salvaged: recover it into a new store first"
        self._files = files or SystemFiles()
        self._surveys: list[Survey] = []
        self._problems: list[str] = []
        self._bytes = 0
        self._sources = self._named_sources()
        for done, name in enumerate(self._sources):
            progress(done, len(self._sources))
            self._survey(name)
        progress(len(self._sources), len(self._sources))
        self._sessions = self._gathered()

    @property
    def location(self) -> str:
        """The path as the user gave it, for messages."""
        return self._path

    @property
    def damage(self) -> Sequence[str]:
        """Where bytes are damaged, and why."""
        return self._problems

    @property
    def surveys(self) -> Sequence[Survey]:
        """Each segment, its damage and what is whole in it."""
        return self._surveys

    def logs(self) -> Sequence[Log]:
        """Return the live logs beside this store, whoever writes them."""
        if kind_of(self._path) != "directory":
            return logs_beside(self._files, self._path)
        return [log for path in self._sources for log in logs_beside(self._files, path)]

    def cards(self) -> Sequence[Card]:
        """Return one card per session; its counts are of what is there."""
        return [session.card for session in self._sessions.values()]

    def read(self, session_id: UUID) -> SalvagedSession:
        """Return what is whole of a session; SessionNotFoundError when nothing is."""
        session = self._sessions.get(session_id.bytes)
        if session is None:
            raise SessionNotFoundError(session_id)
        return session

    def sessions(self) -> Sequence[SalvagedSession]:
        """Return all sessions, in order of publishing as far as that is known."""
        return list(self._sessions.values())

    def verify(self, *, depth: Depth = "full", progress: Advance = silent) -> Verification:
        """Return what was damaged, and how much is there besides; at any *depth*."""
        progress(self._bytes, self._bytes)
        return Verification(
            path=self._path,
            sessions=len(self._sessions),
            actions=sum(len(session.sequences) for session in self._sessions.values()),
            bytes_read=self._bytes,
            problems=tuple(self._problems),
        )

    def close(self) -> None:
        """Nothing happens: the files close when nobody looks at them any more."""

    # -- what a store can do besides, and this one not -----------------------------------

    def is_full(self) -> bool:
        """Return False: nothing is written here."""
        return False

    # -- surveying ---------------------------------------------------------------------------

    def _named_sources(self) -> list[str]:
        kind = kind_of(self._path)
        if kind is None:
            raise StoreNotFoundError(self._path)
        if kind != "directory":
            return [self._path]
        names = sorted(name for name in self._files.names(self._path) if name.endswith(_SUFFIX))
        return [os.path.join(self._path, name) for name in names]

    def _survey(self, path: str) -> None:
        try:
            sources = list(self._segments_at(path))
        except NotAStoreError as error:
            self._note_foreign(error)
            return
        for source in sources:
            try:
                survey = surveyed(source)
            except NotAStoreError as error:
                self._note_foreign(error)
                continue
            self._bytes += source.size()
            self._surveys.append(survey)
            self._problems += [
                f"{source.path}, bytes {each.offset} to {each.end}: {each.reason}" for each in survey.damage
            ]

    def _note_foreign(self, error: NotAStoreError) -> None:
        # One of several files; the only one is what was asked for.
        if len(self._sources) == 1 and not self._surveys:
            raise error
        self._problems.append(str(error))

    def _segments_at(self, path: str) -> Iterator[ReadableBytes]:
        if kind_of(path) == "database":
            yield from rows_of(path, self._problems)
        else:
            yield open_file(self._files, path)

    def _gathered(self) -> dict[bytes, SalvagedSession]:
        everywhere: dict[bytes, list[Found]] = {}
        for survey in self._surveys:
            for session_id, found in survey.sessions.items():
                everywhere.setdefault(session_id, []).append(found)
        continues = kind_of(self._path) == "database"
        logged = {log.session_id.bytes for log in self.logs()}
        sessions = {}
        for session_id in sorted(everywhere, key=lambda each: max(map(_published, everywhere[each]))):
            found_of_it = sorted(everywhere[session_id], key=_published)
            sessions[session_id] = _session(session_id, found_of_it, continues=continues, has_log=session_id in logged)
        return sessions


def _published(found: Found) -> int:
    if found.record is not None:
        return found.record.published_ns
    return 0 if found.opening is None else found.opening.created_ns


def _session(session_id: bytes, found: Sequence[Found], *, continues: bool, has_log: bool) -> SalvagedSession:
    pieces = [attrs.evolve(each.piece, continues=continues and at > 0) for at, each in enumerate(found)]
    opening = next((each.opening for each in reversed(found) if each.opening is not None), None)
    opening = opening or Opening(session_id=UUID(bytes=session_id), name=None, created_ns=0)
    card = _card(found[-1], opening)
    # Counted once it can be read.
    counted = SegmentSession(card, pieces)
    state = "interrupted" if card.state == "open" and not has_log else card.state
    card = attrs.evolve(
        card,
        state=state,
        ended_ns=card.ended_ns if state == card.state else opening.created_ns,
        action_count=len(counted.sequences),
        checkpoint_count=len(counted.checkpoints),
        lost=card.lost + sum(each.missing for each in found),
    )
    return SalvagedSession(card, pieces, opening, found)


def _card(newest: Found, opening: Opening) -> Card:
    if newest.record is not None and newest.record.card is not None:
        return newest.record.card
    sealing = newest.sealing or Sealing(state="interrupted", ended_ns=opening.created_ns, ended_by="interrupted")
    return Card(
        session_id=opening.session_id,
        name=opening.name,
        created_ns=opening.created_ns,
        ended_ns=sealing.ended_ns,
        state=sealing.state,
        action_count=0,
        checkpoint_count=0,
        duration_ns=sealing.duration_ns,
        ended_by=sealing.ended_by,
        lost=sealing.lost,
        late=sealing.late,
        gaps=len(newest.piece.index.gaps),
        metadata=sealing.metadata or opening.metadata,
        parent_session=opening.parent_session,
        capture=opening.capture,
        redaction=opening.redaction,
        start_generation=opening.start_generation,
    )
