"""Published sessions, read lazily from the blocks that hold them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import attrs

from replaykit.errors import DamagedError
from replaykit.format.block import Block
from replaykit.format.entries import Card, Gap, Opening
from replaykit.format.fields import opening_of
from replaykit.format.index import BlockRuns, Place, SequenceMap
from replaykit.format.segment import ACTS, CKPT, GAP, OPEN, SessionIndex, entries_of, index_of, session_fields

__all__ = ["BlockSource", "Piece", "SegmentSession", "read_index"]

_CACHE_BYTES = 8 << 20


class BlockSource(Protocol):
    """Something that blocks are read from: a file, or one row of a database."""

    @property
    def path(self) -> str:
        """Where it is, for messages."""

    def block(self, place: Place) -> Block:
        """Return the block at *place*; DamagedError when it is not as it was written."""


@attrs.frozen
class Piece:
    """The index of what one source holds of a session."""

    source: BlockSource
    index: SessionIndex


def read_index(source: BlockSource, session_id: bytes, place: Place) -> SessionIndex:
    """
    Return the complete index of a session whose newest index block is at *place*.

    Raises:
        DamagedError: The chain of index blocks does not check.
    """
    pieces = []
    following: Place | None = place
    while following is not None:
        # Each index names an earlier place, so this ends.
        piece = index_of(source.block(following), session_id, path=source.path)
        pieces.append(piece)
        following = piece.earlier
    return attrs.evolve(
        pieces[0],
        actions=[block for piece in reversed(pieces) for block in piece.actions],
        checkpoints=[each for piece in reversed(pieces) for each in piece.checkpoints],
        gaps=[each for piece in reversed(pieces) for each in piece.gaps],
        earlier=None,
    )


@attrs.frozen
class _Decoded:
    sequences: list[int]
    entries: list[dict[str, Any]]
    size: int


class SegmentSession:
    """
    One published session; it stays readable after its store is closed.

    *pieces* are in order of publishing: later ones win for a repeated sequence.
    """

    def __init__(self, card: Card, pieces: Sequence[Piece]) -> None:
        self._card = card
        self._pieces = pieces
        self._blocks = [(piece.source, block) for piece in pieces for block in piece.index.actions]
        self._map = SequenceMap([block for _, block in self._blocks])
        self._decoded: OrderedDict[int, _Decoded] = OrderedDict()
        self._decoded_bytes = 0
        self._lock = threading.Lock()

    @property
    def card(self) -> Card:
        """The session's card when it was read."""
        return self._card

    @cached_property
    def opening(self) -> Opening:
        """How the session began, as its newest part says."""
        piece = self._pieces[-1]
        return opening_of(self._fields(piece, piece.index.opening, OPEN))

    @cached_property
    def checkpoints(self) -> Sequence[Mapping[str, Any]]:
        """Checkpoint entries in order of their ids; a later one with the same id replaces an earlier."""
        entries: dict[Any, Mapping[str, Any]] = {}
        for piece in self._pieces:
            for place in piece.index.checkpoints:
                block = piece.source.block(place)
                for entry in entries_of(block, CKPT, piece.index.session_id, path=piece.source.path):
                    entries[_checkpoint_id(entry, block, piece.source.path)] = entry
        return [entries[number] for number in sorted(entries)]

    @cached_property
    def gaps(self) -> Sequence[Gap]:
        """Bytes of the live log that were no records."""
        return [self._gap(piece, place) for piece in self._pieces for place in piece.index.gaps]

    @cached_property
    def sequences(self) -> Sequence[int]:
        """The sequences that are published, ascending; no action is read for it."""
        return self._map.sequences()

    def action(self, sequence: int) -> Mapping[str, Any]:
        """
        Return one action entry; at most one block is read for it.

        Raises:
            KeyError: It is not published.
            DamagedError: Its block is not as it was written.
        """
        number = self._map.block_of(sequence)
        if number is None:
            raise KeyError(sequence)
        decoded = self._read(number)
        return decoded.entries[bisect_left(decoded.sequences, sequence)]

    def actions(self) -> Iterator[Mapping[str, Any]]:
        """Yield action entries in order of sequence, in bounded memory."""
        for first, stop, number in self._map.spans():
            decoded = self._read(number)
            start = bisect_left(decoded.sequences, first)
            yield from decoded.entries[start : start + stop - first]

    def repeated_in(self, actions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the published actions whose sequences *actions* have too."""
        last = self.sequences[-1] if self.sequences else -1
        repeated = {action["i"] for action in actions if action["i"] <= last}
        return [self.action(sequence) for sequence in sorted(repeated) if sequence in self.sequences]

    def shared_with(self, piece: Piece) -> Iterator[Mapping[str, Any]]:
        """Yield the actions whose sequences *piece* has too."""
        others = SequenceMap(piece.index.actions).sequences()
        if self.sequences and others and self.sequences[-1] >= others[0]:
            yield from (self.action(sequence) for sequence in self.sequences if sequence in others)

    def _read(self, number: int) -> _Decoded:
        with self._lock:
            decoded = self._decoded.get(number)
            if decoded is not None:
                self._decoded.move_to_end(number)
                return decoded
        decoded = self._decode(*self._blocks[number])
        with self._lock:
            if number not in self._decoded:
                self._decoded[number] = decoded
                self._decoded_bytes += decoded.size
            while self._decoded_bytes > _CACHE_BYTES and len(self._decoded) > 1:
                self._decoded_bytes -= self._decoded.popitem(last=False)[1].size
        return decoded

    def _decode(self, source: BlockSource, described: BlockRuns) -> _Decoded:
        block = source.block(described.place)
        entries = entries_of(block, ACTS, self._card.session_id.bytes, path=source.path)
        sequences: list[Any] = [entry.get("i") for entry in entries]
        if not _agrees(sequences, described):
            raise DamagedError(source.path, block.offset, "a block holds other actions than the index says")
        return _Decoded(sequences, entries, block.body_size)

    def _gap(self, piece: Piece, place: Place) -> Gap:
        fields = self._fields(piece, place, GAP)
        data = fields.get("b")
        if type(data) is not bytes:
            raise fields.malformed("b")
        return Gap(offset=fields.integer("at"), reason=fields.text("why"), data=data)

    def _fields(self, piece: Piece, place: Place, kind: int) -> Any:
        block = piece.source.block(place)
        if block.kind != kind:
            raise DamagedError(piece.source.path, block.offset, "an index points to another kind of block")
        return session_fields(block, piece.index.session_id, path=piece.source.path)


def _agrees(sequences: Sequence[Any], described: BlockRuns) -> bool:
    # Counted first: what a hostile index claims may be longer than memory.
    if len(sequences) != described.count:
        return False
    return sequences == [sequence for run in described.runs for sequence in range(run.first, run.stop)]


def _checkpoint_id(entry: Mapping[str, Any], block: Block, path: str) -> int:
    number = entry.get("c")
    if type(number) is not int:
        raise DamagedError(path, block.offset, "a checkpoint has no id")
    return number
