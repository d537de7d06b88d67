"""
Reads every byte of a store and says what is wrong with it.

Each byte is read twice: in its block, then in its session.  So progress is
told of twice the bytes that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from replaykit.errors import DamagedError, StorageError
from replaykit.format.block import MAGIC, NO_BLOCK, Block, Tail
from replaykit.format.entries import Card
from replaykit.format.segment import CATALOG, body_of
from replaykit.format.strict import decode_body
from replaykit.model import Verification
from replaykit.protocols import Advance
from replaykit.storage.segment_file import SegmentFile, Tear
from replaykit.storage.stored_session import SegmentSession, demand_roots

__all__ = ["segment_problems", "verified"]


class _Readable(Protocol):
    @property
    def location(self) -> str: ...

    def cards(self) -> Sequence[Card]: ...

    def read(self, session_id: UUID) -> SegmentSession: ...


def verified(store: _Readable, *, bytes_read: int, problems: Sequence[str], progress: Advance) -> Verification:
    """
    Return the verdict on *store*: the *problems* of its bytes, and what reading each session shows.

    Problems are listed, never raised.
    """
    found = list(problems)
    actions = passed = 0
    try:
        cards = store.cards()
    except StorageError as error:
        cards = []
        found.append(str(error))
    expected = sum(card.action_count for card in cards)
    for card in cards:
        progress(bytes_read + bytes_read * passed // max(1, expected), 2 * bytes_read)
        passed += card.action_count
        try:
            actions += _count_actions(store, card)
        except StorageError as error:
            found.append(f"session {card.session_id}: {error}")
    progress(2 * bytes_read, 2 * bytes_read)
    return Verification(
        path=store.location, sessions=len(cards), actions=actions, bytes_read=bytes_read, problems=tuple(found)
    )


def _count_actions(store: _Readable, card: Card) -> int:
    session = store.read(card.session_id)
    counted = sum(1 for _ in session.actions()), len(session.checkpoints)
    if counted != (card.action_count, card.checkpoint_count):
        raise StorageError(
            f"{counted[0]} actions and {counted[1]} checkpoints, where its card says "
            f"{card.action_count} and {card.checkpoint_count}"
        )
    demand_roots(session.pieces)
    return counted[0]


def segment_problems(segment: SegmentFile, *, passed: Callable[[int], None] = lambda _offset: None) -> list[str]:
    """
    Check each block, the chain of all blocks, and each tail; empty when all is well.

    Nothing but the magic, whole blocks, tails and zero padding is well.
    *passed* is told up to where in the file all was read.
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
            problems.extend(_block_problems(segment.path, item, previous))
            previous = item.digest()
            if item.kind == CATALOG:
                catalogs[item.offset] = previous
    return problems


def _block_problems(path: str, block: Block, previous: bytes) -> list[str]:
    problems = []
    if block.previous != previous:
        problems.append(f"{path}, byte {block.offset}: the block does not follow the one before it")
    try:
        decode_body(body_of(block, path=path), path=path, offset=block.offset)
    except DamagedError as error:
        problems.append(str(error))
    return problems
