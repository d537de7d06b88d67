"""
Reads every byte of a store and says what is wrong with it.

Each byte is read twice: in its session, then in its file.  So progress is
told of twice the bytes that there are.  What takes the time, decoding, is done
once: a body that its session has shown to be sound is not decoded again.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, Protocol
from uuid import UUID

import attrs

from replaykit.errors import DamagedError, StorageError
from replaykit.format.block import MAGIC, NO_BLOCK, Block, Tail
from replaykit.format.entries import Card
from replaykit.format.entry_blocks import EntryBlock, blob_references, names_values
from replaykit.format.index import BlockRuns
from replaykit.format.segment import ACTS, BLOB, CATALOG, body_of
from replaykit.format.soundness import demand_sound_action, demand_sound_checkpoint
from replaykit.format.strict import are_few_enough, decode_body, decode_value
from replaykit.model import Depth, Verification
from replaykit.protocols import Advance, Log
from replaykit.storage.gathering import collect
from replaykit.storage.live_log import LogReader
from replaykit.storage.segment_file import SegmentFile, Tear
from replaykit.storage.stored_session import TOGETHER, BlockSource, Piece, SegmentSession, demand_actions, demand_roots

__all__ = ["LogsRead", "SessionsRead", "read_logs", "read_sessions", "segment_problems"]

_BODIES = frozenset({ACTS, BLOB})


class _Readable(Protocol):
    def cards(self) -> Sequence[Card]: ...

    def read(self, session_id: UUID) -> SegmentSession: ...


@attrs.define
class SessionsRead:
    """What reading every session of a store has shown."""

    depth: Depth = "full"
    sessions: int = 0
    actions: int = 0
    gaps: int = 0
    problems: list[str] = attrs.field(factory=list)
    _sound: defaultdict[tuple[str, bytes], set[int]] = attrs.field(factory=lambda: defaultdict(set))

    def sound_in(self, path: str, file_id: bytes) -> Container[int]:
        """Return the offsets of those blocks of a source whose bodies were decoded, and are sound."""
        return self._sound[path, file_id]

    @property
    def trusted(self) -> Container[int]:
        """The kinds of blocks whose bodies are not decoded at all."""
        return _BODIES if self.depth == "bytes" else ()

    def note_sound(self, source: BlockSource, offset: int) -> None:
        """Note that the body of a block is sound."""
        # A compaction may give the path to another file meanwhile.
        self._sound[source.path, source.file_id].add(offset)

    def verification(self, location: str, bytes_read: int, problems: Sequence[str]) -> Verification:
        """Return the verdict on the store at *location*, whose bytes have these *problems*."""
        return Verification(
            path=location,
            sessions=self.sessions,
            actions=self.actions,
            bytes_read=bytes_read,
            problems=(*problems, *self.problems),
            depth=self.depth,
            gaps=self.gaps,
        )


# -- sessions -----------------------------------------------------------------------


def read_sessions(store: _Readable, *, size: int, progress: Advance, depth: Depth = "full") -> SessionsRead:
    """
    Read every session of *store*, of *size* bytes, once; problems are listed, never raised.

    With the *depth* ``"bytes"`` no action is read, only what counts them.

    Progress is told up to *size* of twice as much.
    """
    found = SessionsRead(depth)
    try:
        cards = store.cards()
    except StorageError as error:
        found.problems.append(str(error))
        return found
    found.sessions = len(cards)
    found.gaps = sum(card.gaps for card in cards)
    expected = max(1, sum(card.action_count for card in cards))
    passed = 0

    def tell(actions: int) -> None:
        nonlocal passed
        passed += actions
        progress(size * min(passed, expected) // expected, 2 * size)

    for card in cards:
        try:
            found.actions += _count_actions(store, card, found, tell)
        except StorageError as error:
            found.problems.append(f"session {card.session_id}: {error}")
    return found


def _count_actions(store: _Readable, card: Card, found: SessionsRead, tell: Callable[[int], None]) -> int:
    session = store.read(card.session_id)

    def look(piece: Piece, block: EntryBlock, described: BlockRuns | None) -> None:
        _demand_sound(piece, block, described, found)
        tell(0 if described is None else len(block))

    if found.depth == "full":
        demand_roots(session.pieces, look=look)
    else:
        tell(len(session.sequences))
    counted = len(session.sequences), len(session.checkpoints)
    if counted != (card.action_count, card.checkpoint_count):
        raise StorageError(
            f"{counted[0]} actions and {counted[1]} checkpoints, where its card says "
            f"{card.action_count} and {card.checkpoint_count}"
        )
    return counted[0]


def _demand_sound(piece: Piece, block: EntryBlock, described: BlockRuns | None, found: SessionsRead) -> None:
    """Return if each entry of *block*, of actions where it is *described*, and each value that they name is sound."""
    if described is not None and len(block) != described.count:
        raise DamagedError(block.path, block.offset, "a block holds other actions than the index says")
    all_together = are_few_enough(block.raws)
    sequences = [] if described is None else list(described.sequences())
    seen: set[bytes] = set()
    for at, entries, together in _decoded(block):
        all_together = all_together and together
        _demand_readable(entries, block, are_actions=described is not None)
        if described is None:
            continue
        demand_actions(entries, sequences[at : at + len(entries)], block)
        for entry in filter(names_values, entries):
            digests = set(blob_references(entry).values())
            _demand_values(piece, block, digests - seen, found)
            seen |= digests
    if all_together:
        found.note_sound(piece.source, block.offset)


def _demand_readable(entries: Sequence[dict[str, Any]], block: EntryBlock, *, are_actions: bool) -> None:
    """Return if the fields of *entries* are what whoever reads them demands."""
    demand = demand_sound_action if are_actions else demand_sound_checkpoint
    try:
        for entry in entries:
            demand(entry)
    except DamagedError as error:
        raise DamagedError(block.path, block.offset, error.reason) from error


def _decoded(block: EntryBlock) -> Iterator[tuple[int, Sequence[dict[str, Any]], bool]]:
    """
    Yield the entries of *block*, some at once.

    With each some are told the position of the first, and whether they fill
    their bytes as they do in the whole body.
    """
    # Made once the block is read: no file can know it.
    mark = os.urandom(8)
    for at in range(0, len(block), TOGETHER):
        stop = min(at + TOGETHER, len(block))
        together = block.some(at, stop, mark)
        yield at, together or [block.entry(number) for number in range(at, stop)], bool(together)


def _demand_values(piece: Piece, block: EntryBlock, digests: set[bytes], found: SessionsRead) -> None:
    for digest in digests:
        decode_value(piece.blob(digest, block), path=block.path, offset=block.offset)
        for place in block.blobs[digest]:
            found.note_sound(piece.source, place.offset)


# -- live logs ----------------------------------------------------------------------


@attrs.define
class LogsRead:
    """What reading the live logs beside a store has shown."""

    bytes_read: int = 0
    unread: int = 0
    problems: list[str] = attrs.field(factory=list)

    def read(self, log: Log) -> None:
        """Read *log* if nobody writes it."""
        if log.has_writer():
            self.unread += 1
            return
        reader, is_all = LogReader(log), False
        while not is_all:
            _, _, gaps, is_all = collect(reader, is_complete=True)
            self.problems += [f"{log.path}, byte {gap.offset}: {gap.reason}" for gap in gaps if gap.is_loss]
        self.bytes_read += reader.offset

    def added_to(self, verification: Verification) -> Verification:
        """Return the verdict on a store together with that on its logs."""
        return attrs.evolve(
            verification,
            bytes_read=verification.bytes_read + self.bytes_read,
            problems=(*verification.problems, *self.problems),
            live_logs=self.unread,
        )


def read_logs(logs: Sequence[Log]) -> LogsRead:
    """Read those of *logs* that nobody writes; what is damaged is listed, never raised, and a torn end is no damage."""
    found = LogsRead()
    for log in logs:
        try:
            found.read(log)
        except FileNotFoundError:
            # It was published and removed while we looked.
            continue
        except StorageError as error:
            found.problems.append(f"{log.path} cannot be read: {error}")
    return found


# -- bytes --------------------------------------------------------------------------


def segment_problems(
    segment: SegmentFile,
    *,
    sound: Container[int] = (),
    trusted: Container[int] = (),
    passed: Callable[[int], None] = lambda _offset: None,
) -> list[str]:
    """
    Check each block, the chain of all blocks, and each tail; empty when all is well.

    Nothing but the magic, whole blocks, tails and zero padding is well.  The
    bodies of the blocks at the offsets *sound* are known to be it, those of
    the kinds *trusted* are not looked at.  *passed* is told up to where in the
    file all was read.
    """
    previous = NO_BLOCK
    catalogs: dict[int, bytes] = {}
    problems: list[str] = []
    for item in segment.scan(len(MAGIC), segment.size()):
        passed(item.offset)
        if isinstance(item, Tear):
            problems.append(f"{segment.path}, byte {item.offset}: {item.reason}")
        elif isinstance(item, Tail):
            if catalogs.get(item.catalog, b"")[:4] != item.check:
                problems.append(f"{segment.path}, byte {item.offset}: the tail names no catalog")
        else:
            is_sound = item.offset in sound or item.kind in trusted
            problems.extend(_block_problems(segment.path, item, previous, is_sound=is_sound))
            previous = item.digest()
            if item.kind == CATALOG:
                catalogs[item.offset] = previous
    return problems


def _block_problems(path: str, block: Block, previous: bytes, *, is_sound: bool) -> list[str]:
    problems = []
    if block.previous != previous:
        problems.append(f"{path}, byte {block.offset}: the block does not follow the one before it")
    if is_sound:
        return problems
    try:
        decode_body(body_of(block, path=path), path=path, offset=block.offset)
    except DamagedError as error:
        problems.append(str(error))
    return problems
