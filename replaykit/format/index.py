"""
Which block holds which action: the index of a session.

A block of actions is described by its place and the runs of sequences in it.
Later blocks win for a repeated sequence.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, overload

import attrs

from replaykit.errors import DamagedError

__all__ = [
    "BlockRuns",
    "Place",
    "Run",
    "SequenceMap",
    "Sequences",
    "decode_blocks",
    "encode_blocks",
    "runs_of",
]

_MAX = 1 << 48


# A tuple, since a listing makes thousands and nothing is made faster.
class Place(NamedTuple):
    """Where a block is."""

    offset: int
    size: int


@attrs.frozen
class Run:
    """The sequences from ``first`` up to, not including, ``stop``."""

    first: int
    stop: int


@attrs.frozen
class BlockRuns:
    """A block of actions: where it is and which sequences it holds, ascending."""

    place: Place
    runs: tuple[Run, ...]

    @property
    def count(self) -> int:
        """How many actions the block holds."""
        return sum(run.stop - run.first for run in self.runs)

    def position(self, sequence: int) -> int:
        """Return which of the block's actions has *sequence*, which is one of them."""
        at = bisect_right(self.runs, sequence, key=lambda run: run.first) - 1
        return self._before[at] + sequence - self.runs[at].first

    @cached_property
    def _before(self) -> Sequence[int]:
        """How many actions come before each run."""
        return [0, *accumulate(run.stop - run.first for run in self.runs)]


def runs_of(sequences: Sequence[int]) -> tuple[Run, ...]:
    """Return the runs of ascending *sequences*."""
    if not sequences:
        return ()
    if sequences[-1] - sequences[0] == len(sequences) - 1:
        return (Run(sequences[0], sequences[-1] + 1),)
    runs = []
    first = last = sequences[0]
    for sequence in sequences[1:]:
        if sequence != last + 1:
            runs.append(Run(first, last + 1))
            first = sequence
        last = sequence
    return (*runs, Run(first, last + 1))


# -- as it is stored ------------------------------------------------------------


def encode_blocks(blocks: Sequence[BlockRuns]) -> dict[str, Any]:
    """
    Return *blocks* as columns of small integers.

    ``o`` offset less the end of the block before, ``z`` size, ``f`` first
    sequence less the last block's, ``n`` length of the first run, ``h`` for
    blocks with holes: [number of the block, gap, length, gap, length ...].
    """
    offsets, sizes, firsts, counts, holes = [], [], [], [], []
    end = first = 0
    for number, block in enumerate(blocks):
        offsets.append(block.place.offset - end)
        sizes.append(block.place.size)
        firsts.append(block.runs[0].first - first)
        counts.append(block.runs[0].stop - block.runs[0].first)
        if len(block.runs) > 1:
            holes.append([number, *_gaps(block.runs)])
        end, first = block.place.offset + block.place.size, block.runs[0].first
    return {"o": offsets, "z": sizes, "f": firsts, "n": counts, "h": holes}


def decode_blocks(columns: object, *, end: int, path: str = "", offset: int = 0) -> list[BlockRuns]:
    """
    Return the blocks that *columns* describe; all of them lie before *end*.

    Raises:
        DamagedError: The columns are no index, or name places outside the segment.
    """
    try:
        blocks = _blocks(columns)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise DamagedError(path, offset, "the index of a session is malformed") from error
    if any(block.place.offset + block.place.size > end for block in blocks):
        raise DamagedError(path, offset, "the index of a session points outside its segment")
    return blocks


def _gaps(runs: Sequence[Run]) -> Iterator[int]:
    for before, run in zip(runs, runs[1:], strict=False):
        yield run.first - before.stop
        yield run.stop - run.first


def _blocks(columns: Any) -> list[BlockRuns]:
    for column in (*(columns[key] for key in "ozfn"), *columns["h"]):
        _demand(set(map(type, column)) <= {int})
    holes = _holes(columns["h"])
    blocks = []
    end = first = 0
    rows = zip(columns["o"], columns["z"], columns["f"], columns["n"], strict=True)
    for number, (skip, size, step, count) in enumerate(rows):
        _demand(skip >= 0 and size > 0 and count > 0)
        first += step
        runs = (Run(first, first + count), *_later_runs(first + count, holes.get(number, ())))
        _demand(first >= 0 and runs[-1].stop <= _MAX)
        blocks.append(BlockRuns(Place(end + skip, size), runs))
        end += skip + size
    return blocks


def _holes(rows: Any) -> Mapping[int, list[int]]:
    return {row[0]: row[1:] for row in rows}


def _later_runs(stop: int, gaps: Sequence[int]) -> Iterator[Run]:
    for gap, length in zip(gaps[::2], gaps[1::2], strict=True):
        _demand(gap > 0 and length > 0)
        yield Run(stop + gap, stop + gap + length)
        stop += gap + length


def _demand(holds: bool) -> None:
    if not holds:
        raise ValueError("a number is out of range")


# -- as it is used --------------------------------------------------------------


class SequenceMap:
    """For each sequence the number of the block that holds its newest action."""

    def __init__(self, blocks: Sequence[BlockRuns]) -> None:
        runs = [(run.first, run.stop, number) for number, block in enumerate(blocks) for run in block.runs]
        self._resolved = runs if _ascends(runs) else list(_resolve(sorted(runs)))
        self._firsts = [first for first, _, _ in self._resolved]

    def block_of(self, sequence: int) -> int | None:
        """Return the number of the block that holds *sequence*, None when none does."""
        at = bisect_right(self._firsts, sequence) - 1
        if at < 0 or sequence >= self._resolved[at][1]:
            return None
        return self._resolved[at][2]

    def spans(self) -> Sequence[tuple[int, int, int]]:
        """Return ``(first, stop, block)`` in order of sequence, without overlaps."""
        return self._resolved

    def sequences(self) -> Sequences:
        """Return all sequences, each once."""
        return Sequences([Run(first, stop) for first, stop, _ in self._resolved])

    def __len__(self) -> int:
        return sum(stop - first for first, stop, _ in self._resolved)


def _ascends(runs: Sequence[tuple[int, int, int]]) -> bool:
    return all(before[1] <= run[0] for before, run in zip(runs, runs[1:], strict=False))


def _resolve(runs: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Sweep over sorted *runs*; the open run of the latest block wins each stretch."""
    opened: list[tuple[int, int]] = []
    at = upcoming = 0
    while upcoming < len(runs) or opened:
        if not opened:
            at = max(at, runs[upcoming][0])
        while upcoming < len(runs) and runs[upcoming][0] <= at:
            heapq.heappush(opened, (-runs[upcoming][2], runs[upcoming][1]))
            upcoming += 1
        while opened and opened[0][1] <= at:
            heapq.heappop(opened)
        if not opened:
            continue
        block, stop = -opened[0][0], opened[0][1]
        if upcoming < len(runs):
            stop = min(stop, runs[upcoming][0])
        yield at, stop, block
        at = stop


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield ascending *runs* with those that touch or overlap made one."""
    open_run: Run | None = None
    for run in runs:
        if open_run is not None and run.first <= open_run.stop:
            open_run = Run(open_run.first, max(open_run.stop, run.stop))
            continue
        if open_run is not None:
            yield open_run
        open_run = run
    if open_run is not None:
        yield open_run


class Sequences(Sequence[int]):
    """Ascending sequence numbers, kept as runs."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs
        self._starts: list[int] = []
        total = 0
        for run in runs:
            self._starts.append(total)
            total += run.stop - run.first
        self._length = total

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...

    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._length))]
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError("no such sequence")
        at = bisect_right(self._starts, position) - 1
        return self._runs[at].first + position - self._starts[at]

    def __iter__(self) -> Iterator[int]:
        for run in self._runs:
            yield from range(run.first, run.stop)

    def __contains__(self, sequence: object) -> bool:
        if not isinstance(sequence, int):
            return False
        at = bisect_right(self._runs, sequence, key=lambda run: run.first) - 1
        return at >= 0 and sequence < self._runs[at].stop

    @property
    def runs(self) -> Sequence[Run]:
        """The runs that they are, ascending; a run may begin where the one before stops."""
        return self._runs

    def shared_with(self, others: Sequences) -> Iterator[int]:
        """Yield what both have, ascending; runs are compared, however long they claim to be."""
        mine = theirs = 0
        while mine < len(self._runs) and theirs < len(others._runs):
            ours, other = self._runs[mine], others._runs[theirs]
            yield from range(max(ours.first, other.first), min(ours.stop, other.stop))
            if ours.stop <= other.stop:
                mine += 1
            else:
                theirs += 1

    def united_with(self, others: Iterable[int]) -> Sequences:
        """Return what either has."""
        runs = sorted([*self._runs, *runs_of(sorted(set(others)))], key=lambda run: run.first)
        return Sequences(list(_joined(runs)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequences):
            return list(_joined(self._runs)) == list(_joined(other._runs))
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have no hash either

    def __repr__(self) -> str:
        return f"<{self._length} sequences>"
