"""
Says what is wrong with a store or worth knowing, and what to do next; writes nothing.

Every file of the store is looked at by itself, so that one that is damaged
hides nothing of the others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from shlex import quote
from uuid import UUID

from replaykit.errors import NotAStoreError, StorageError, StoreNotFoundError, UnsupportedVersionError
from replaykit.format.entries import Card
from replaykit.model import Diagnosis, Finding, Severity, Usage
from replaykit.plain_text import counted
from replaykit.protocols import Advance, FileLayer, Store
from replaykit.storage.compaction import silent, store_of_leftover
from replaykit.storage.evidence import store_of_evidence
from replaykit.storage.files import SystemFiles
from replaykit.storage.inspection import Inspection, inspected
from replaykit.storage.log_files import FileLog, session_of_log
from replaykit.storage.opening import kind_of, open_store
from replaykit.storage.options import StoreOptions
from replaykit.storage.salvage import SalvagedSession, SalvagedStore
from replaykit.storage.secret_key import has_hashes
from replaykit.storage.segment_file import Damage, SegmentFile, open_file
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.storage.surroundings import (
    directory_findings,
    evidence_findings,
    key_findings,
    leftover_finding,
    log_finding,
    name_findings,
    size_of,
)

__all__ = ["diagnose"]

_SUFFIX = ".rpk"
_MOST_LISTED = 20
_WORTH_COMPACTING = 4096
_WORTH_REWRITING = 65_536
"""Of a database: a few free pages come of SQLite's own work, without anything having been deleted."""
_ORDER: Sequence[Severity] = ("unreadable", "damage", "warning", "note")


def diagnose(location: str | os.PathLike[str], *, progress: Advance = silent) -> Diagnosis:
    """
    Look at every byte of the store at *location* and at what stands beside it.

    Raises:
        StoreNotFoundError: There is nothing.
        NotAStoreError: There is nothing of a recording in it.
        StorageError: The system refuses.
    """
    return _Doctor(os.fspath(location), progress).diagnosis()


class _Doctor:
    """One look at one store; files are asked for in the order of their names."""

    def __init__(self, path: str, progress: Advance) -> None:
        kind = kind_of(path)
        if kind is None:
            raise StoreNotFoundError(path)
        self._path = path
        self._kind = kind
        self._progress = progress
        self._files: FileLayer = SystemFiles()
        # The names are read once: a directory may have very many of them.
        self._directory = path if kind == "directory" else os.path.dirname(path)
        self._names = sorted(self._files.names(self._directory))
        self._sizes = {each: size_of(each) for each in self._store_paths()}
        self._logs = self._live_logs()
        self._leftovers = self._of_ours(store_of_leftover)
        self._evidence = self._of_ours(store_of_evidence)
        self._written = {log.store_path for log in self._logs if _has_writer(log)}
        self._bytes_of: Counter[UUID] = Counter()
        self._free_bytes = 0
        self._passed = 0
        self._is_damaged = False

    def diagnosis(self) -> Diagnosis:
        """Return everything that was found, gravest first."""
        looks = (self._of_files, self._of_surroundings, self._of_sessions, self._of_losses, self._of_limits)
        findings = [finding for look in looks for finding in look()]
        return Diagnosis(
            path=self._path,
            findings=sorted(findings, key=lambda finding: _ORDER.index(finding.severity)),
            usage=self._usage(),
        )

    def _usage(self) -> Usage:
        return Usage(
            files=len(self._sizes),
            bytes=self._total,
            live_logs=len(self._logs),
            live_log_bytes=sum(size_of(log.path) for log in self._logs),
            dead_bytes=self._free_bytes,
            evidence_bytes=sum(map(size_of, self._evidence)),
            by_session=dict(self._bytes_of),
        )

    @property
    def _total(self) -> int:
        return sum(self._sizes.values())

    def _store_paths(self) -> list[str]:
        if self._kind != "directory":
            return [self._path]
        return [os.path.join(self._path, name) for name in self._names if name.endswith(_SUFFIX)]

    def _live_logs(self) -> list[FileLog]:
        parsed = [session_of_log(name) for name in self._names]
        return [
            FileLog(self._files, os.path.join(self._directory, each[0]), each[1])
            for each in parsed
            if each is not None and self._is_ours(each[0])
        ]

    def _of_ours(self, store_of: Callable[[str], str | None]) -> list[str]:
        """Return the paths beside the store that *store_of* says belong to it."""
        found = [name for name in self._names if (store := store_of(name)) is not None and self._is_ours(store)]
        return [os.path.join(self._directory, name) for name in found]

    def _is_ours(self, store_name: str) -> bool:
        if self._kind == "directory":
            return store_name.endswith(_SUFFIX)
        return store_name == os.path.basename(self._path)

    # -- files ------------------------------------------------------------------------

    def _of_files(self) -> Iterator[Finding]:
        if self._kind == "directory":
            yield from directory_findings(self._path)
        for path, size in self._sizes.items():
            yield from name_findings(path)
            yield from self._of_content(path)
            self._passed += size

    def _of_surroundings(self) -> Iterator[Finding]:
        for leftover in self._leftovers:
            yield leftover_finding(leftover, self._path)
        for evidence in self._evidence:
            yield from evidence_findings(evidence)
        for log in self._logs:
            yield from name_findings(log.path)

    def _of_content(self, path: str) -> Iterator[Finding]:
        look = self._of_database if self._kind == "database" else self._of_segment
        try:
            yield from look(path)
        except StoreNotFoundError:
            # Compacted or removed since the names were read.
            return
        except UnsupportedVersionError as error:
            yield Finding(severity="unreadable", where=path, what=_told(error), next_step="upgrade replaykit-memory")
        except StorageError as error:
            yield from self._of_unreadable(path, error)

    def _of_segment(self, path: str) -> Iterator[Finding]:
        with closing(open_file(self._files, path)) as file:
            segment = SegmentFile(file)
            found = inspected(segment, passed=self._advance)
            writable = segment.head.writable
        self._advance(self._sizes[path])
        self._bytes_of.update(found.by_session)
        self._is_damaged |= bool(found.damage)
        yield from _of_ranges(path, found.damage, self._path)
        if found.torn is not None and not found.damage:
            yield _of_torn_end(path, found.torn, is_written=path in self._written)
        yield from _of_history(path, found, writable=writable)

    def _advance(self, offset: int) -> None:
        # A file that is written to grows while it is read.
        self._progress(min(self._passed + offset, self._total), self._total)

    def _of_database(self, path: str) -> Iterator[Finding]:
        with closing(SqliteStore(path, read_only=True, files=self._files)) as store:
            verification = store.verify(progress=self._progress)
            self._bytes_of.update(store.bytes_of_sessions())
            self._free_bytes = store.free_bytes()
        self._is_damaged |= bool(verification.problems)
        for problem in verification.problems[:_MOST_LISTED]:
            yield _damage(path, problem, self._path)

    def _of_unreadable(self, path: str, error: StorageError) -> Iterator[Finding]:
        """Tell a store whose head is damaged from a file that never was one."""
        sessions = 0
        with suppress(StorageError):
            sessions = len(SalvagedStore(path).sessions())
        if sessions:
            what = f"{_told(error)}; {sessions} session(s) in it can be recovered"
            yield Finding(severity="unreadable", where=path, what=what, next_step=_recover(self._path))
        elif self._kind != "directory":
            raise error
        elif isinstance(error, NotAStoreError):
            step = "move it away; nothing here reads it or writes to it"
            yield Finding(severity="warning", where=path, what=_told(error), next_step=step)
        else:
            yield Finding(severity="unreadable", where=path, what=_told(error), next_step=_recover(self._path))

    # -- sessions ---------------------------------------------------------------------

    def _of_sessions(self) -> Iterator[Finding]:
        store, cards = self._opened()
        for log in self._logs:
            yield log_finding(log, store, self._path)
        for card in cards or ():
            yield from _of_card(card, self._path)
        yield from key_findings(self._path, is_used=_has_hashes(store))
        if cards is not None:
            yield from self._of_dead_bytes({card.session_id for card in cards})
        if store is not None:
            store.close()

    def _opened(self) -> tuple[Store | None, Sequence[Card] | None]:
        store: Store | None = None
        try:
            store = open_store(self._path, read_only=True)
            return store, store.cards()
        except StorageError:
            # Which of its files cannot be read was found before.
            return store, None

    def _of_dead_bytes(self, alive: set[UUID]) -> Iterator[Finding]:
        for session_id in self._bytes_of.keys() - alive:
            self._free_bytes += self._bytes_of.pop(session_id)
        if self._free_bytes >= (_WORTH_REWRITING if self._kind == "database" else _WORTH_COMPACTING):
            share = 100 * self._free_bytes // max(1, self._total)
            yield Finding(
                severity="note",
                where=self._path,
                what=f"about {self._free_bytes} bytes ({share} %, an estimate) are of what was deleted",
                next_step=f"replaykit compact {quote(self._path)} gives them back",
            )

    def _of_losses(self) -> Iterator[Finding]:
        """Say which sessions lack something, the first ones by name."""
        lacking = self._lacking() if self._is_damaged else []
        for session in lacking[:_MOST_LISTED]:
            what = f"{session.missing} action(s) are missing" if session.missing else "it is not whole"
            yield _damage(_named(session.card), what, self._path)
        if len(lacking) > _MOST_LISTED:
            missing = sum(session.missing for session in lacking[_MOST_LISTED:])
            more = f"{len(lacking) - _MOST_LISTED} more sessions are not whole: {missing} action(s) are missing"
            yield _damage(self._path, more, self._path)

    def _lacking(self) -> list[SalvagedSession]:
        with suppress(StorageError):
            return [session for session in SalvagedStore(self._path).sessions() if not session.is_whole]
        return []

    def _of_limits(self) -> Iterator[Finding]:
        rotates = f"; each process begins a new file above {StoreOptions().rotate_bytes >> 20} MiB"
        yield Finding(
            severity="note",
            where=self._path,
            what=f"by default nothing bounds its size{rotates if self._kind == 'directory' else ''}",
            next_step="max_store_bytes= of a recorder does",
        )


def _of_ranges(path: str, damage: Sequence[Damage], location: str) -> Iterator[Finding]:
    for each in damage[:_MOST_LISTED]:
        yield _damage(_range(path, each), f"damaged: {each.reason}", location)
    if len(damage) > _MOST_LISTED:
        yield _damage(path, f"{len(damage) - _MOST_LISTED} more ranges are damaged", location)


def _damage(where: str, what: str, location: str) -> Finding:
    return Finding(severity="damage", where=where, what=what, next_step=_recover(location))


def _of_torn_end(path: str, torn: Damage, *, is_written: bool) -> Finding:
    where = _range(path, torn)
    if is_written:
        return Finding(severity="note", where=where, what="a living writer is appending here, or failed to")
    return Finding(
        severity="warning",
        where=where,
        what=f"torn end of a write that was interrupted: {torn.reason}",
        next_step="the next writer keeps these bytes aside and goes on; a live log still has what they were to hold",
    )


def _of_history(path: str, found: Inspection, *, writable: bool) -> Iterator[Finding]:
    if found.kept:
        yield Finding(severity="note", where=path, what=f"{found.kept} torn end(s) of earlier crashes are kept in it")
    if not writable:
        what = "it has features of a newer release: this one reads it and does not write to it"
        yield Finding(severity="note", where=path, what=what, next_step="upgrade replaykit-memory")


def _has_hashes(store: Store | None) -> bool:
    # What of the store cannot be read is a finding of its own.
    with suppress(StorageError):
        return store is not None and has_hashes(store)
    return False


def _of_card(card: Card, location: str) -> Iterator[Finding]:
    if card.gaps:
        yield Finding(
            severity="warning",
            where=_named(card),
            what=f"{counted(card.gaps, 'gap')}: records of its live log were damaged before they were published",
            next_step=f"replaykit show {quote(location)} {card.session_id} says which actions are missing",
        )
    if card.lost:
        what = f"{card.lost} action(s) could not be kept when they were recorded"
        yield Finding(severity="note", where=_named(card), what=what, next_step="the log of that program says why")
    if card.late:
        what = f"{card.late} call(s) began after its end and are not in it"
        yield Finding(severity="note", where=_named(card), what=what)


def _named(card: Card) -> str:
    return f"session {card.session_id} {card.name or ''}".rstrip()


def _range(path: str, damage: Damage) -> str:
    return f"{path}, bytes {damage.offset} to {damage.end}"


def _recover(location: str) -> str:
    return f"replaykit recover {quote(location)} -o NEW"


def _told(error: StorageError) -> str:
    """Return the error without the path, which stands beside it."""
    return str(error).removeprefix(error.path).lstrip(", ").rstrip(".")


def _has_writer(log: FileLog) -> bool:
    try:
        return log.has_writer()
    except (OSError, StorageError):
        return False
