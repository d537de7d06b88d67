"""
Which block holds which action: the index of a session.

A block of actions is described by its place and the runs of sequences in it.
Later blocks win for a repeated sequence.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, compress, count, islice
from operator import le, ne
from typing import NamedTuple, overload

import attrs

from replaykit.format.lazy import LazySequence

__all__ = ["BlockColumns", "BlockRuns", "Place", "Run", "SequenceMap", "Sequences", "runs_of"]


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

    def sequences(self) -> Iterator[int]:
        """Yield the sequences of its actions."""
        for run in self.runs:
            yield from range(run.first, run.stop)

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


# -- as it is used --------------------------------------------------------------


class BlockColumns(LazySequence[BlockRuns]):
    """
    The blocks of an index, in columns; each is described when it is looked at.

    Attributes:
        later_runs: The runs behind the first of those blocks that have holes.
        only_run: What all runs together are, where that is known to be one run.
    """

    only_run: Run | None = None

    def __init__(
        self,
        offsets: Iterable[int] = (),
        sizes: Iterable[int] = (),
        firsts: Iterable[int] = (),
        stops: Iterable[int] = (),
    ) -> None:
        self.offsets, self.sizes = list(offsets), list(sizes)
        self.firsts, self.stops = list(firsts), list(stops)
        self.later_runs: dict[int, tuple[Run, ...]] = {}

    @classmethod
    def of(cls, blocks: Sequence[BlockRuns]) -> BlockColumns:
        """Return *blocks* as columns."""
        if isinstance(blocks, cls):
            return blocks
        places, runs = [block.place for block in blocks], [block.runs for block in blocks]
        firsts, stops = [each[0].first for each in runs], [each[0].stop for each in runs]
        columns = cls([place.offset for place in places], [place.size for place in places], firsts, stops)
        columns.later_runs.update((number, each[1:]) for number, each in enumerate(runs) if len(each) > 1)
        return columns

    @classmethod
    def joined(cls, parts: Sequence[Sequence[BlockRuns]]) -> BlockColumns:
        """Return the blocks of all *parts*, numbered through."""
        if len(parts) == 1:
            return cls.of(parts[0])
        whole = cls()
        for part in map(cls.of, parts):
            at = len(whole)
            whole.later_runs.update((at + number, runs) for number, runs in part.later_runs.items())
            for name in ("offsets", "sizes", "firsts", "stops"):
                getattr(whole, name).extend(getattr(part, name))
        return whole

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> BlockRuns: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[BlockRuns]: ...

    def __getitem__(self, index: int | slice) -> BlockRuns | Sequence[BlockRuns]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        first = Run(self.firsts[number], self.stops[number])
        return BlockRuns(Place(self.offsets[number], self.sizes[number]), (first, *self.later_runs.get(number, ())))


class SequenceMap:
    """
    For each sequence the number of the block that holds its newest action.

    The blocks of several *parts* of an index are numbered through.
    """

    def __init__(self, *parts: Sequence[BlockRuns]) -> None:
        self._blocks = BlockColumns.joined(parts)

    @cached_property
    def _resolved(self) -> tuple[list[int], list[int], Sequence[int]]:
        """First and stop of each stretch, and the number of its block; without overlaps."""
        firsts, stops, numbers = _runs_of(self._blocks)
        if not all(map(le, stops, islice(firsts, 1, None))):
            resolved = list(_resolve(sorted(zip(firsts, stops, numbers, strict=True))))
            firsts, stops, numbers = (list(column) for column in zip(*resolved, strict=True))
        return firsts, stops, numbers

    def block_of(self, sequence: int) -> int | None:
        """Return the number of the block that holds *sequence*, None when none does."""
        firsts, stops, numbers = self._resolved
        at = bisect_right(firsts, sequence) - 1
        if at < 0 or sequence >= stops[at]:
            return None
        return numbers[at]

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield ``(first, stop, block)`` in order of sequence, without overlaps."""
        return zip(*self._resolved, strict=True)

    def sequences(self) -> Sequences:
        """Return all sequences, each once."""
        if self._blocks.only_run is not None:
            return Sequences([self._blocks.only_run])
        firsts, stops, _ = self._resolved
        if not firsts:
            return Sequences([])
        breaks = list(compress(count(1), map(ne, stops, islice(firsts, 1, None))))
        begins, ends = [0, *breaks], [*breaks, len(firsts)]
        return Sequences([Run(firsts[at], stops[end - 1]) for at, end in zip(begins, ends, strict=True)])

    def __len__(self) -> int:
        return len(self.sequences())


def _runs_of(blocks: BlockColumns) -> tuple[list[int], list[int], Sequence[int]]:
    """Return first and stop of each run, and the number of its block."""
    if not blocks.later_runs:
        return blocks.firsts, blocks.stops, range(len(blocks))
    firsts: list[int] = []
    stops: list[int] = []
    numbers: list[int] = []
    for number, block in enumerate(blocks):
        for run in block.runs:
            firsts.append(run.first)
            stops.append(run.stop)
            numbers.append(number)
    return firsts, stops, numbers


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


class Sequences(LazySequence[int]):
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
        return super().__eq__(other)

    __hash__ = None  # equal to lists, which have no hash either

    def __repr__(self) -> str:
        return f"<{self._length} sequences>"
