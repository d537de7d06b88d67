"""The index of a session as it is stored: columns of small integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from operator import add
from typing import Any

from replaykit.errors import DamagedError
from replaykit.format.index import BlockColumns, BlockRuns, Run

__all__ = ["decode_blocks", "encode_blocks"]

_MAX = 1 << 48


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


def _gaps(runs: Sequence[Run]) -> Iterator[int]:
    for before, run in zip(runs, runs[1:], strict=False):
        yield run.first - before.stop
        yield run.stop - run.first


def decode_blocks(columns: object, *, end: int, path: str = "", offset: int = 0) -> BlockColumns:
    """
    Return the blocks that *columns* describe; all of them lie before *end*.

    Raises:
        DamagedError: The columns are no index, or name places outside the segment.
    """
    try:
        blocks, stop = _blocks(columns)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise DamagedError(path, offset, "the index of a session is malformed") from error
    if stop > end:
        raise DamagedError(path, offset, "the index of a session points outside its segment")
    return blocks


class _Unbroken(BlockColumns):
    """
    Blocks each of which begins where the one before stops, as those of a recording do.

    A million actions are tens of thousands of blocks, and whoever opens a
    session waits for them: what only reading an action needs is added up then.
    """

    def __init__(self, skips: list[int], sizes: list[int], steps: list[int], counts: list[int]) -> None:
        self._skips, self._steps, self._counts = skips, steps, counts
        self.sizes = sizes
        self.later_runs = {}
        self.only_run = Run(steps[0], steps[0] + sum(counts))

    @cached_property
    def offsets(self) -> list[int]:  # type: ignore[override]  # an attribute there
        """Where each block begins."""
        return list(accumulate(chain.from_iterable(zip(self._skips, self.sizes, strict=True))))[::2]

    @cached_property
    def firsts(self) -> list[int]:  # type: ignore[override]  # an attribute there
        """The first sequence of each block."""
        return list(accumulate(self._steps))

    @cached_property
    def stops(self) -> list[int]:  # type: ignore[override]  # an attribute there
        """What the sequences of each block's first run are below."""
        return list(map(add, self.firsts, self._counts))


def _blocks(columns: Any) -> tuple[BlockColumns, int]:
    """Return the blocks, and where the last of them ends."""
    skips, sizes, steps, counts = (columns[key] for key in "ozfn")
    for column in (skips, sizes, steps, counts, *columns["h"]):
        _demand(set(map(type, column)) <= {int})
    _demand(len(skips) == len(sizes) == len(steps) == len(counts))
    if not skips:
        return BlockColumns(), 0
    stop = sum(skips) + sum(sizes)
    _demand(min(skips) >= 0 and min(sizes) > 0 and min(counts) > 0 and stop <= _MAX)
    if steps[1:] == counts[:-1] and not columns["h"]:
        _demand(steps[0] >= 0 and steps[0] + sum(counts) <= _MAX)
        return _Unbroken(skips, sizes, steps, counts), stop
    edges = list(accumulate(chain.from_iterable(zip(skips, sizes, strict=True))))
    firsts = list(accumulate(steps))
    stops = list(map(add, firsts, counts))
    _demand(min(firsts) >= 0 and max(stops) <= _MAX)
    blocks = BlockColumns(edges[::2], sizes, firsts, stops)
    # What a block's number is none of is left out, as ever.
    blocks.later_runs.update(
        (number, tuple(_later_runs(stops[number], gaps)))
        for number, gaps in _holes(columns["h"]).items()
        if 0 <= number < len(stops)
    )
    return blocks, stop


def _holes(rows: Any) -> Mapping[int, list[int]]:
    return {row[0]: row[1:] for row in rows}


def _later_runs(stop: int, gaps: Sequence[int]) -> Iterator[Run]:
    for gap, length in zip(gaps[::2], gaps[1::2], strict=True):
        _demand(gap > 0 and length > 0 and stop + gap + length <= _MAX)
        yield Run(stop + gap, stop + gap + length)
        stop += gap + length


def _demand(holds: bool) -> None:
    if not holds:
        raise ValueError("a number is out of range")
