"""Published sessions, read lazily from the blocks that hold them."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import Any, Protocol

import attrs

from replaykit.errors import DamagedError
from replaykit.format.asked import Asked, KnownCalls, asked_by, asked_in
from replaykit.format.block import Block
from replaykit.format.entries import Card, Gap, Opening
from replaykit.format.entry_blocks import (
    BlobPiece,
    EntryBlock,
    blob_piece,
    blob_references,
    decode_entry_block,
    joined_blob,
    names_values,
    with_blobs,
)
from replaykit.format.fields import Fields, opening_of
from replaykit.format.index import BlockColumns, BlockRuns, Place, SequenceMap
from replaykit.format.likeness import KnownNames, likenesses
from replaykit.format.merkle import Trees, leaves_of
from replaykit.format.segment import ACTS, BLOB, CKPT, GAP, OPEN, SessionIndex, index_of, session_fields

__all__ = [
    "TOGETHER",
    "BlockSource",
    "LookAtBlock",
    "Piece",
    "SegmentSession",
    "demand_action",
    "demand_actions",
    "demand_roots",
    "read_index",
]

_sequence_of, _kind_of = itemgetter("i"), itemgetter("k")
TOGETHER = 16
"""So many entries are decoded at once; more of them wake the collector of cycles again and again."""

_CACHE_BYTES = 8 << 20
_AGAIN_TIMES = 16
_AGAIN_BYTES = 256 << 20


class BlockSource(Protocol):
    """Something that blocks are read from: a file, or one row of a database."""

    @property
    def path(self) -> str:
        """Where it is, for messages."""

    @property
    def file_id(self) -> bytes:
        """Which segment it is, whatever its path."""

    def block(self, place: Place) -> Block:
        """Return the block at *place*; DamagedError when it is not as it was written."""


@attrs.frozen
class Piece:
    """
    The index of what one source holds of a session.

    Its trees begin anew, or where it *continues* go on from the piece before.
    """

    source: BlockSource
    index: SessionIndex
    continues: bool = False

    def entries(self, place: Place, kind: int) -> EntryBlock:
        """
        Return the entries of the block of *kind*, ACTS or CKPT, at *place*.

        Raises:
            DamagedError: The block is not as it was written.
        """
        block = self._block(place, kind)
        key = "a" if kind == ACTS else "c"
        return decode_entry_block(block, key, self.index.session_id, path=self.source.path)

    def blob(self, digest: bytes, entries: EntryBlock) -> bytes:
        """
        Return the value with this *digest* that an entry of *entries* names.

        Raises:
            DamagedError: It is not there as it was written.
        """
        pieces = map(self._blob_piece, entries.blobs.get(digest, ()))
        return joined_blob(digest, pieces, path=self.source.path, offset=entries.offset)

    def fields(self, place: Place, kind: int) -> Fields:
        """Return the body of the block of *kind* at *place*; DamagedError when it is not as it was written."""
        return session_fields(self._block(place, kind), self.index.session_id, path=self.source.path)

    def _blob_piece(self, place: Place) -> BlobPiece:
        return blob_piece(self._block(place, BLOB), path=self.source.path)

    def _block(self, place: Place, kind: int) -> Block:
        block = self.source.block(place)
        if block.kind != kind:
            raise DamagedError(self.source.path, block.offset, "an index points to another kind of block")
        return block


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
        earlier = piece.earlier
        # A part's blocks stand behind the part before it: else each of many
        # small indexes could have all of a file expanded once more.
        if earlier and piece.actions and piece.actions[0].place.offset < earlier.offset + earlier.size:
            raise DamagedError(source.path, following.offset, "an index names blocks of an earlier part")
        pieces.append(piece)
        following = earlier
    return attrs.evolve(
        pieces[0],
        edges=pieces[0].edges,
        actions=BlockColumns.joined([piece.actions for piece in reversed(pieces)]),
        checkpoints=[each for piece in reversed(pieces) for each in piece.checkpoints],
        gaps=[each for piece in reversed(pieces) for each in piece.gaps],
        earlier=None,
    )


class SegmentSession:
    """
    One published session; it stays readable after its store is closed.

    *pieces* are in order of publishing: later ones win for a repeated sequence.
    """

    def __init__(self, card: Card, pieces: Sequence[Piece]) -> None:
        self._card = card
        self._pieces = pieces
        self._map = SequenceMap(*(piece.index.actions for piece in pieces))
        self._begins = [0, *accumulate(len(piece.index.actions) for piece in pieces)]
        self._decoded: OrderedDict[int, EntryBlock] = OrderedDict()
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
        return opening_of(piece.fields(piece.index.opening, OPEN))

    @property
    def pieces(self) -> Sequence[Piece]:
        """What each source holds, in order of publishing."""
        return self._pieces

    @cached_property
    def checkpoints(self) -> Sequence[Mapping[str, Any]]:
        """Checkpoint entries in order of their ids; a later one with the same id replaces an earlier."""
        entries: dict[Any, Mapping[str, Any]] = {}
        for piece in self._pieces:
            for place in piece.index.checkpoints:
                block = piece.entries(place, CKPT)
                for entry in block.entries():
                    entries[_checkpoint_id(entry, block)] = entry
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
        Return one action entry; one block is read for it, and one for each large value.

        Raises:
            KeyError: It is not published.
            DamagedError: A block is not as it was written.
        """
        number = self._map.block_of(sequence)
        if number is None:
            raise KeyError(sequence)
        piece, described = self._described(number)
        return self._entry(piece, self._read(number), described.position(sequence), sequence)

    def actions(self) -> Iterator[Mapping[str, Any]]:
        """Yield action entries in order of sequence, in bounded memory."""
        for piece, block, positions, first in self._stretches():
            # The mark is made once the block is read: no file can know it.
            mark = os.urandom(8)
            for start in range(positions.start, positions.stop, TOGETHER):
                stop = min(start + TOGETHER, positions.stop)
                entries = block.some(start, stop, mark) or map(block.entry, range(start, stop))
                for sequence, entry in enumerate(entries, first + start - positions.start):
                    demand_action(entry, sequence, block)
                    yield self._whole(piece, block, entry)

    def asked(self) -> Iterator[Asked]:
        """Yield what the actions asked, in order of sequence and in bounded memory: much cheaper than `actions`."""
        known: KnownCalls = {}
        for piece, block, positions, first in self._stretches():
            # The mark is made once the block is read: no file can know it.
            found = asked_in(block.raws[positions], first, mark=os.urandom(8), known=known)
            for position, asked in enumerate(found, positions.start):
                yield asked or self._asked(piece, block, position, first + position - positions.start)

    def likenesses(self) -> Iterator[bytes | None]:
        """Yield the `likenesses` of the actions, in order of sequence and in bounded memory."""
        known: KnownNames = {}
        for _, block, positions, _ in self._stretches():
            yield from likenesses(block.raws[positions], known)

    def _stretches(self) -> Iterator[tuple[Piece, EntryBlock, slice, int]]:
        """Yield blocks in order of sequence, which of their actions come next, and the sequence of the first."""
        turns = _Turns()
        for first, stop, number in self._map.spans():
            piece, described = self._described(number)
            block = self._cached(number)
            if block is None:
                block = self._read(number)
                turns.take(number, block)
            at = described.position(first)
            yield piece, block, slice(at, at + stop - first), first

    def repeated_in(self, actions: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the published actions whose sequences *actions* have too."""
        last = self.sequences[-1] if self.sequences else -1
        repeated = {action["i"] for action in actions if action["i"] <= last}
        return [self.action(sequence) for sequence in sorted(repeated) if sequence in self.sequences]

    def shared_with(self, piece: Piece) -> Iterator[Mapping[str, Any]]:
        """Yield the actions whose sequences *piece* has too."""
        others = SequenceMap(piece.index.actions).sequences()
        yield from map(self.action, self._map.sequences().shared_with(others))

    def _described(self, number: int) -> tuple[Piece, BlockRuns]:
        at = bisect_right(self._begins, number) - 1
        return self._pieces[at], self._pieces[at].index.actions[number - self._begins[at]]

    def _cached(self, number: int) -> EntryBlock | None:
        with self._lock:
            decoded = self._decoded.get(number)
            if decoded is not None:
                self._decoded.move_to_end(number)
            return decoded

    def _read(self, number: int) -> EntryBlock:
        decoded = self._cached(number)
        if decoded is not None:
            return decoded
        piece, described = self._described(number)
        decoded = piece.entries(described.place, ACTS)
        if len(decoded) != described.count:
            raise DamagedError(decoded.path, decoded.offset, "a block holds other actions than the index says")
        with self._lock:
            if number not in self._decoded:
                self._decoded[number] = decoded
                self._decoded_bytes += decoded.size
            while self._decoded_bytes > _CACHE_BYTES and len(self._decoded) > 1:
                self._decoded_bytes -= self._decoded.popitem(last=False)[1].size
        return decoded

    def _asked(self, piece: Piece, block: EntryBlock, position: int, sequence: int) -> Asked:
        entry = _action_in(block, position, sequence)
        entry.pop("outb", None)
        blobs = {digest: piece.blob(digest, block) for digest in blob_references(entry).values()}
        return asked_by(with_blobs(entry, blobs, path=block.path, offset=block.offset))

    def _entry(self, piece: Piece, block: EntryBlock, position: int, sequence: int) -> Mapping[str, Any]:
        return self._whole(piece, block, _action_in(block, position, sequence))

    def _whole(self, piece: Piece, block: EntryBlock, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return *entry* with the values that stand outside it; DamagedError where one is not as it was written."""
        if not names_values(entry):
            return entry
        blobs = {digest: piece.blob(digest, block) for digest in blob_references(entry).values()}
        return with_blobs(entry, blobs, path=block.path, offset=block.offset)

    def _gap(self, piece: Piece, place: Place) -> Gap:
        fields = piece.fields(place, GAP)
        data = fields.get("b")
        if type(data) is not bytes:
            raise fields.malformed("b")
        return Gap(offset=fields.integer("at"), reason=fields.text("why"), data=data)


class _Turns:
    """Counts what is expanded a second time while a session is read in order."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._once = self._again = 0

    def take(self, number: int, block: EntryBlock) -> None:
        """
        Note that *block* had to be read.

        Raises:
            DamagedError: Blocks take turns so often that no recorder made them.
        """
        if number not in self._seen:
            self._seen.add(number)
            self._once += block.size
            return
        self._again += block.size
        if self._again > _AGAIN_BYTES + _AGAIN_TIMES * self._once:
            raise DamagedError(block.path, block.offset, "blocks take turns as no recorder writes them")


LookAtBlock = Callable[[Piece, EntryBlock, BlockRuns | None], None]
"""Is shown each block of a session with its piece, and as the index describes it where it holds actions."""


def demand_roots(
    pieces: Iterable[Piece], *, look: LookAtBlock = lambda _piece, _block, _described: None
) -> bytes | None:
    """
    Return the root of a session after checking it against every entry; None where it has none.

    *look* is shown every block, each once.

    Raises:
        DamagedError: The entries are not those that the root is made of.
    """
    trees = Trees()
    root, has_root = None, True
    for piece in pieces:
        trees = trees if piece.continues else Trees()
        for described in piece.index.actions:
            block = piece.entries(described.place, ACTS)
            look(piece, block, described)
            trees.actions.extend(leaves_of(block.raws))
        for place in piece.index.checkpoints:
            block = piece.entries(place, CKPT)
            look(piece, block, None)
            trees.checkpoints.extend(leaves_of(block.raws))
        has_root = has_root and piece.index.edges is not None
        if has_root and piece.index.edges != trees.edges():
            raise DamagedError(piece.source.path, piece.index.opening.offset, "a session's root differs")
        root = trees.root()
    return root if has_root else None


def demand_action(entry: Mapping[str, Any], sequence: int, block: EntryBlock) -> None:
    """Return if *entry*, of *block*, is the action with this *sequence*; DamagedError if it is not."""
    if entry.get("i") != sequence or type(entry.get("k")) is not str:
        raise DamagedError(block.path, block.offset, "a block holds other actions than the index says")


def demand_actions(entries: Sequence[Mapping[str, Any]], sequences: Sequence[int], block: EntryBlock) -> None:
    """Return if each of *entries* is what `demand_action` demands: much cheaper for many."""
    try:
        agrees = list(map(_sequence_of, entries)) == sequences and set(map(type, map(_kind_of, entries))) == {str}
    except KeyError:
        agrees = False
    if not agrees:
        raise DamagedError(block.path, block.offset, "a block holds other actions than the index says")


def _action_in(block: EntryBlock, position: int, sequence: int) -> dict[str, Any]:
    entry = block.entry(position)
    demand_action(entry, sequence, block)
    return entry


def _checkpoint_id(entry: Mapping[str, Any], block: EntryBlock) -> int:
    number = entry.get("c")
    if type(number) is not int:
        raise DamagedError(block.path, block.offset, "a checkpoint has no id")
    return number
