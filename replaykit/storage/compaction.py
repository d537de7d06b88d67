"""
Rewrites a store file: large blocks, nothing of what was deleted, all at once or not at all.

Everything is copied into a new file beside the old one, checked against the
old one session by session, and only then given its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import attrs

from replaykit.errors import DamagedError, StorageError
from replaykit.format.block import Block
from replaykit.format.catalog import Record
from replaykit.format.entries import Card
from replaykit.format.segment import GAP, KINDS, Origin
from replaykit.format.strict import decode_body
from replaykit.model import Compaction
from replaykit.protocols import Advance, FileLayer
from replaykit.storage.beginning import begin_file
from replaykit.storage.copying import parts_of, whole_gaps
from replaykit.storage.evidence import evidence_beside
from replaykit.storage.segment_file import SegmentFile, Tear
from replaykit.storage.stored_session import SegmentSession, demand_roots

if TYPE_CHECKING:
    from replaykit.storage.file_store import FileStore

__all__ = [
    "COMPACT_BLOCK_BYTES",
    "COMPACT_LEVEL",
    "demand_same",
    "leftovers_beside",
    "rewrite",
    "silent",
    "store_of_leftover",
]

COMPACT_BLOCK_BYTES = 512 << 10
"""How long the entries of one block are in a compacted store."""

COMPACT_LEVEL = 12
"""How hard zstd tries there."""

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.compact\Z")
_MARGIN_BYTES = 1 << 20


def silent(_done: int, _total: int) -> None:
    """Show no progress."""


def rewrite(
    store: FileStore,
    *,
    drop: Collection[bytes] = (),
    keep_tombs: bool = False,
    erase: bool = False,
    progress: Advance = silent,
) -> Compaction:
    """
    Rewrite the file of *store*, whose lock and guard the caller holds, without the sessions *drop*.

    With *keep_tombs* deletions are carried on, since other files may hold
    what they hide.  With *erase* bytes that were kept as evidence of a crash
    go too, as they may be of a dropped session.

    Raises:
        DamagedError: Something in the file is damaged; nothing was changed.
        StorageError: There is no room, somebody else changed or replaced the
            file, or the system refuses: nothing was changed, unless it is only
            the sync of the new file's name that failed.
    """
    path = store.location
    store.demand_unchanged()
    _remove_leftovers(store.files, path)
    before = store.size()
    others = list(_other_blocks(store.segment, with_gaps=not erase))
    records = store.records()
    kept = [each for each in records if each.card is not None and each.session_id not in drop]
    dropped = [each.session_id for each in records if each.card is None or each.session_id in drop]
    origin = Origin(file_id=store.segment.head.file_id, head=store.segment.head.digest, dropped=dropped)
    _demand_room(store.files, path, before)
    temporary = f"{path}.{uuid4().hex}.compact"
    try:
        with _Copy(store, temporary, origin) as copy:
            _copy_records(store, copy, records if keep_tombs else kept, drop, progress)
            copy.append_blocks(others)
            for record in kept:
                demand_same(store.read(UUID(bytes=record.session_id)), copy.read(UUID(bytes=record.session_id)))
            file = copy.synced()
        # To copy takes its time, and what stands there now may be somebody's backup.
        store.demand_unchanged()
        store.files.rename(temporary, path)
        store.adopt(file)
        store.files.sync_directory(os.path.dirname(path))
    except OSError as error:
        with suppress(OSError):
            store.files.remove(temporary)
        raise error if isinstance(error, StorageError) else _translated(path, error) from error
    except BaseException:
        # Ctrl-C leaves no copy either; once it has the name of the store it is that.
        with suppress(OSError):
            store.files.remove(temporary)
        raise
    if erase:
        for evidence in evidence_beside(store.files, path):
            store.files.remove(evidence)
    return Compaction(
        path=path, sessions=len(kept), dropped=len(dropped), bytes_before=before, bytes_after=store.size()
    )


def demand_same(old: SegmentSession, new: SegmentSession) -> None:
    """
    Return if *new* is *old*, read again and compared by its root.

    Raises:
        DamagedError: It is not.
    """
    old_root, new_root = demand_roots(old.pieces), demand_roots(new.pieces)
    same_entries = old_root == new_root if old_root is not None else _same_entries(old, new)
    same_gaps = whole_gaps(old.gaps) == whole_gaps(new.gaps)
    if not (same_entries and same_gaps) or _timeless(old.card) != _timeless(new.card):
        raise DamagedError(old.pieces[0].source.path, 0, f"session {old.card.session_id} is not the same in its copy")


def _same_entries(old: SegmentSession, new: SegmentSession) -> bool:
    same_actions = all(a == b for a, b in zip(old.actions(), new.actions(), strict=True))
    return same_actions and list(old.checkpoints) == list(new.checkpoints)


def _timeless(card: Card) -> Card:
    # Into how many parts a session is cut is what compaction changes; an
    # earlier release did not count gaps, and one may have been cut in two.
    return attrs.evolve(card, parts=0, gaps=0)


def _copy_records(
    store: FileStore, copy: _Copy, records: Sequence[Record], drop: Collection[bytes], progress: Advance
) -> None:
    for done, record in enumerate(records):
        progress(done, len(records))
        if record.session_id in drop:
            continue
        if record.card is None:
            copy.hide(record)
        else:
            copy.add(store.read(UUID(bytes=record.session_id)), record.published_ns)
    progress(len(records), len(records))


def _other_blocks(segment: SegmentFile, *, with_gaps: bool) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of blocks that belong to no session: evidence of crashes, and kinds unknown here."""
    for item in segment.scan(segment.head.end, segment.size()):
        if isinstance(item, Tear):
            raise DamagedError(
                segment.path, item.offset, f"{item.reason}. Try: replaykit recover {segment.path} -o NEW"
            )
        if isinstance(item, Block) and (item.kind not in KINDS or (with_gaps and _is_evidence(item, segment.path))):
            yield item.kind, item.body(path=segment.path)


def _is_evidence(block: Block, path: str) -> bool:
    return block.kind == GAP and "s" not in decode_body(block.body(path=path), path=path, offset=block.offset)


def _demand_room(files: FileLayer, path: str, size: int) -> None:
    needed = size + _MARGIN_BYTES
    try:
        files.close(files.reserve(os.path.dirname(path), needed))
    except OSError as error:
        raise StorageError(
            f"Compacting {path} takes {needed} bytes beside it, and there is no such room: {error.strerror}", path=path
        ) from error


def _remove_leftovers(files: FileLayer, path: str) -> None:
    """Remove what a compaction that was killed left; only the store's writer, which we are, makes such files."""
    for leftover in leftovers_beside(files, path):
        try:
            files.remove(leftover)
        except OSError as error:
            raise _translated(path, error) from error


def leftovers_beside(files: FileLayer, path: str) -> list[str]:
    """Return the files that a compaction of the store at *path* is making, or left when it was killed."""
    directory, store = os.path.split(path)
    return [os.path.join(directory, name) for name in files.names(directory) if store_of_leftover(name) == store]


def store_of_leftover(name: str) -> str | None:
    """Return which store the file *name* is a compaction's copy of; None for other names."""
    match = _TEMPORARY.search(name)
    return None if match is None else name[: match.start()]


def _translated(path: str, error: OSError) -> StorageError:
    return StorageError(f"Cannot compact {path}: {error.strerror or error}", path=path)


class _SyncedOnce:
    """A file layer whose syncs wait for one at the end; everything else is the other's."""

    def __init__(self, files: FileLayer) -> None:
        self._files = files

    def sync(self, handle: int) -> None:
        """Return at once: the copy is synced when it is whole."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


class _Copy:
    """The new file while it is made; leaving it without `synced` closes it."""

    def __init__(self, store: FileStore, path: str, origin: Origin) -> None:
        options = attrs.evolve(store.options, block_bytes=COMPACT_BLOCK_BYTES, level=COMPACT_LEVEL, max_bytes=None)
        self._files = store.files
        begin_file(store.files, path, clock=store.clock, align=options.align, origin=origin).close()
        self._store = store.beside(path, options, _SyncedOnce(store.files))

    def add(self, session: SegmentSession, published_ns: int) -> None:
        """Publish a session."""
        for part in parts_of(session):
            self._store.publish(part, published_ns=published_ns)

    def hide(self, record: Record) -> None:
        """Carry a deletion on."""
        self._store.hide(UUID(bytes=record.session_id), published_ns=record.published_ns)

    def append_blocks(self, blocks: list[tuple[int, bytes]]) -> None:
        """Add blocks that belong to no session."""
        self._store.append_blocks(blocks)

    def read(self, session_id: UUID) -> SegmentSession:
        """Return a session of the copy."""
        return self._store.read(session_id)

    def synced(self) -> Any:
        """Return the whole file, locked and on the device."""
        file = self._store.release()
        self._files.sync(file.handle)
        file.files = self._files
        return file

    def __enter__(self) -> _Copy:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()
