"""The index of a session as it is stored: columns of small integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


# A million actions are tens of thousands of blocks, and whoever opens a
# session waits for this: so columns are checked and summed up whole.
def _blocks(columns: Any) -> tuple[BlockColumns, int]:
    """Return the blocks, and where the last of them ends."""
    skips, sizes, steps, counts = (columns[key] for key in "ozfn")
    for column in (skips, sizes, steps, counts, *columns["h"]):
        _demand(set(map(type, column)) <= {int})
    _demand(len(skips) == len(sizes) == len(steps) == len(counts))
    if not skips:
        return BlockColumns(), 0
    _demand(min(skips) >= 0 and min(sizes) > 0 and min(counts) > 0)
    edges = list(accumulate(chain.from_iterable(zip(skips, sizes, strict=True))))
    firsts = list(accumulate(steps))
    stops = list(map(add, firsts, counts))
    _demand(min(firsts) >= 0 and max(stops) <= _MAX and edges[-1] <= _MAX)
    blocks = BlockColumns(edges[::2], sizes, firsts, stops)
    # What a block's number is none of is left out, as ever.
    blocks.later_runs.update(
        (number, tuple(_later_runs(stops[number], gaps)))
        for number, gaps in _holes(columns["h"]).items()
        if 0 <= number < len(stops)
    )
    return blocks, edges[-1]


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
