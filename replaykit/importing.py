"""Takes memvid's sessions over into a store of ours; the files that they come from stay as they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import NotAStoreError, StorageError, StoreNotFoundError, UsageError
from replaykit.format.entries import Card, Entry, Opening, Part
from replaykit.format.entry_blocks import EncodedEntry, encode_action
from replaykit.format.strict import encode_value
from replaykit.format.values import pack
from replaykit.importers.memvid.entries import ImportedEntries
from replaykit.importers.memvid.leftovers import Leftover, leftovers_in
from replaykit.importers.memvid.segment import Unreadable
from replaykit.importers.memvid.store import MemvidStore, is_memvid, lost_text
from replaykit.model import MEMVID, ImportedSession, ImportReport
from replaykit.protocols import Advance, Store
from replaykit.recording.metadata import clean_metadata
from replaykit.redactors import make_redactor
from replaykit.redactors.redactor import Redactor
from replaykit.settings import Redact, Settings
from replaykit.storage.compaction import silent
from replaykit.storage.gathering import MAX_PART_ACTIONS, MAX_PART_BYTES
from replaykit.storage.opening import open_store

__all__ = ["Cleaner", "import_sessions", "parts_of"]


def import_sessions(
    files: Iterable[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    redact: Redact | None = None,
    progress: Advance = silent,
) -> ImportReport:
    """
    Copy the sessions that memvid's *files* name into the store *target*, and say what became of each.

    *files* are memories (``.mv2``) and side files of active sessions
    (``.mv2.session``); they are only read.  Ids stay; metadata say where a
    session comes from (``origin``).  A session that was imported before is
    skipped.  What cannot be read is told and costs the others nothing; where
    nothing can be read no store is made.  Secrets are taken out as of any
    recording: *redact* is as for a recorder, ``()`` leaves them in.
    *progress* is told bytes.

    Raises:
        UsageError: There are no files, or *target* is one of memvid's.
        RedactionError: A rule set is unknown, or a redactor failed.
        LockedError: Another process writes to *target*.
        StorageError: *target* cannot be written.
    """
    paths = [os.fspath(file) for file in files]
    place = os.fspath(target)
    if not paths:
        raise UsageError("give at least one file to import")
    if place.endswith((".mv2", ".mv2.session")) or is_memvid(place):
        raise UsageError(f"{place} is a name for memvid's own files: give a store of replaykit, as runs/ or runs.rpk")
    sizes = [_size_of(path) for path in paths]
    importer = _Importer(place, make_redactor(Settings.of({"redact": redact}).redact))
    try:
        for number, path in enumerate(paths):
            importer.take(path, _share(progress, sizes, number))
    finally:
        importer.close()
    return ImportReport(target=place, items=tuple(importer.items), notes=tuple(importer.notes))


def _share(progress: Advance, sizes: Sequence[int], number: int) -> Advance:
    """Return what tells *progress* how far file *number* of files of these *sizes* is."""
    before, size, total = sum(sizes[:number]), sizes[number], sum(sizes)
    return lambda done, of: progress(before + size * done // max(1, of), total)


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        # What is wrong with it is said when its turn comes.
        return 0


class _Importer:
    """One run: what the target has, and what became of the sessions that were met."""

    def __init__(self, place: str, redactor: Redactor) -> None:
        self.items: list[ImportedSession] = []
        self.notes: list[str] = []
        self._place = place
        self._redactor = redactor
        self._opened: Store | None = None
        self._known: dict[UUID, Card] = {}
        self._recorded: set[UUID] = set()

    def take(self, path: str, progress: Advance) -> None:
        """Import what *path* names, and note what became of it."""
        progress(0, 1)
        try:
            source = MemvidStore(path, salvage=True)
        except StorageError as error:
            self._note_unreadable(path, error)
            return
        cards = source.cards()
        for number, card in enumerate(cards):
            self.items.append(self._imported(path, source.read(card.session_id)))
            progress(number + 1, len(cards) + 1)
        self.items += (_unreadable(path, each) for each in source.unreadable)
        self._note_lost(path, source.stored_ids)
        if source.side_file is not None:
            self.notes.append(f"{source.side_file} holds an active session of memvid's command line: import it too")
        progress(1, 1)

    def close(self) -> None:
        """Close the target, if it was opened."""
        if self._opened is not None:
            self._opened.close()

    # -- what cannot be imported ----------------------------------------------------------

    def _note_unreadable(self, path: str, error: StorageError) -> None:
        # Without the advice to do what is being done.
        reason = str(error.__cause__) if isinstance(error.__cause__, StorageError) else str(error)
        self.items.append(ImportedSession(file=path, status="unreadable", reason=reason))
        if not isinstance(error, (NotAStoreError, StoreNotFoundError)):
            self._note_lost(path, frozenset())

    def _note_lost(self, path: str, named: frozenset[UUID]) -> None:
        try:
            found = leftovers_in(path, named)
        except StorageError as error:
            self.notes.append(f"{path} could not be searched for what it lost: {error}")
            return
        if found and os.path.lexists(self._place):
            self._target()
        # What a file has lost since an earlier import is not lost.
        self.items += (_lost(path, each) for each in found if each.session_id not in self._known)

    # -- one session ----------------------------------------------------------------------

    def _imported(self, path: str, session: ImportedEntries) -> ImportedSession:
        store, card = self._target(), session.card
        item = ImportedSession(
            file=path, status="imported", session_id=card.session_id, name=card.name, action_count=card.action_count
        )
        known = self._known.get(card.session_id)
        if card.session_id in self._recorded:
            return attrs.evolve(item, status="different", reason="a session with this id is being recorded there")
        if known is not None and not _is_same(known, session):
            return attrs.evolve(item, status="different", reason=_DIFFERENT)
        if known is not None and known.state != "open":
            return attrs.evolve(item, status="skipped", reason="imported before")
        if known is not None:
            # An import was ended before this session was whole.
            store.delete(card.session_id)
        return self._published(item, session)

    def _published(self, item: ImportedSession, session: ImportedEntries) -> ImportedSession:
        store, card = self._target(), session.card
        has_begun = False
        cleaner = Cleaner(self._redactor)
        try:
            for part in parts_of(session, cleaner):
                store.publish(part)
                has_begun = True
        except UsageError as error:
            if has_begun:
                store.delete(card.session_id)
            return attrs.evolve(item, status="unreadable", reason=f"a store cannot hold it: {error}")
        self._known[card.session_id] = attrs.evolve(card, metadata=session.metadata)
        redacted = [f"secrets were taken out of {cleaner.count} of its actions"] if cleaner.count else []
        return attrs.evolve(item, reason="; ".join([*session.changes, *redacted]))

    def _target(self) -> Store:
        if self._opened is None:
            self._opened = open_store(self._place)
            self._known = {card.session_id: card for card in self._opened.cards()}
            self._recorded = {log.session_id for log in self._opened.logs()}
        return self._opened


_DIFFERENT = "the store has another recording under this id, and keeps it: delete that, or import into another store"


def _is_same(known: Card, session: ImportedEntries) -> bool:
    """Return whether the store has *known* from an import of the very same bytes."""
    stored, own = known.metadata, session.metadata
    return stored.get("origin") == MEMVID and stored.get("origin_digest") == own["origin_digest"]


def _unreadable(path: str, each: Unreadable) -> ImportedSession:
    return ImportedSession(file=path, status="unreadable", sessions=each.sessions, reason=str(each.error))


def _lost(path: str, each: Leftover) -> ImportedSession:
    return ImportedSession(file=path, status="lost", session_id=each.session_id, reason=lost_text(each))


# -- parts --------------------------------------------------------------------------


class Cleaner:
    """
    Takes the secrets out of what is about to be written.

    Attributes:
        count: Of how many actions so far.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.count = 0

    def opening(self, opening: Opening) -> Opening:
        """Return *opening* without secrets; it names the rules."""
        name = None if opening.name is None else self._redactor.clean_text(opening.name)
        metadata = clean_metadata(opening.metadata, self._redactor)
        return attrs.evolve(opening, name=name, metadata=metadata, redaction=self._redactor.version)

    def entry(self, entry: Entry) -> Entry:
        """Return an action without secrets; its hashes stay those of what memvid recorded, and a flag says so."""
        texts = {key: entry[key] for key in _TEXTS}
        fields = entry["x"]
        if not self._redactor.is_suspect(pack([*texts.values(), fields])):
            return entry
        cleaned = self._texts(texts) | {"x": self._texts(fields)}
        if all(entry[key] == value for key, value in cleaned.items()):
            return entry
        self.count += 1
        return {**entry, **cleaned, "fl": sorted({*entry.get("fl", ()), "redacted"})}

    def _texts(self, values: Mapping[str, Any]) -> dict[str, Any]:
        clean = self._redactor.clean_text
        return {key: clean(value) if isinstance(value, str) else value for key, value in values.items()}


_TEXTS = ("nm", "ip", "op")


def parts_of(session: ImportedEntries, cleaner: Cleaner) -> Iterator[Part]:
    """
    Yield *session* as parts of a store, as *cleaner* leaves it.

    Raises:
        UsageError: It holds something that no store can hold.
    """
    part = Part(number=0, opening=cleaner.opening(session.opening))
    batches = _batches(map(cleaner.entry, session.actions()))
    batch = next(batches, [])
    for following in batches:
        yield attrs.evolve(part, actions=batch)
        part, batch = attrs.evolve(part, number=part.number + 1), following
    checkpoints = [EncodedEntry({"c": entry["c"]}, encode_value(dict(entry)), {}) for entry in session.checkpoints]
    sealing = attrs.evolve(session.sealing, metadata=part.opening.metadata)
    yield attrs.evolve(part, actions=batch, checkpoints=checkpoints, sealing=sealing)


def _batches(entries: Iterable[Entry]) -> Iterator[Sequence[EncodedEntry]]:
    batch: list[EncodedEntry] = []
    size = 0
    for entry in entries:
        batch.append(encode_action(entry))
        size += len(batch[-1].raw)
        if len(batch) >= MAX_PART_ACTIONS or size >= MAX_PART_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
