"""
The index of a session as it is stored: packed columns of integers.

Whoever opens a session of a million actions waits until the numbers of tens of
thousands of blocks are known.  As CBOR integers half of that time was spent on
decoding them and on asking for the type of each.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from operator import add
from typing import Any, NamedTuple

from replaykit.errors import DamagedError
from replaykit.format.index import BlockColumns, BlockRuns, Run

__all__ = ["decode_blocks", "encode_blocks"]

_MAX = 1 << 48

_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SIGNED = {1: "b", 2: "h", 4: "i", 8: "q"}


def encode_blocks(blocks: Sequence[BlockRuns]) -> dict[str, Any]:
    """
    Return *blocks* as packed columns, in each of which all numbers have the same width.

    ``c`` says how many there are, ``po`` offset less the end of the block
    before, ``pz`` size, ``pn`` length of the first run, ``f0`` the first
    sequence where each block begins where the one before stops, else ``pf``
    first sequence less the last block's, ``h`` for blocks with holes: [number
    of the block, gap, length, gap, length ...].
    """
    places, firsts = [block.place for block in blocks], [block.runs[0].first for block in blocks]
    ends = [0, *(place.offset + place.size for place in places)]
    counts = [block.runs[0].stop - block.runs[0].first for block in blocks]
    holes = [[number, *_gaps(block.runs)] for number, block in enumerate(blocks) if len(block.runs) > 1]
    columns: dict[str, Any] = {
        "c": len(blocks),
        "po": _packed([place.offset - end for place, end in zip(places, ends, strict=False)], _UNSIGNED),
        "pz": _packed([place.size for place in places], _UNSIGNED),
        "pn": _packed(counts, _UNSIGNED),
    }
    if not holes and firsts[1:] == [block.runs[0].stop for block in blocks[:-1]]:
        columns["f0"] = firsts[0] if firsts else 0
    else:
        columns["pf"] = _packed([first - last for first, last in zip(firsts, [0, *firsts], strict=False)], _SIGNED)
    return {**columns, "h": holes} if holes else columns


def _packed(numbers: Sequence[int], widths: Mapping[int, str]) -> bytes:
    """Return *numbers*, in big-endian order, as wide as the largest needs."""
    is_signed = widths is _SIGNED
    bits = max((number.bit_length() for number in numbers), default=0) + is_signed
    width = next(width for width in widths if bits <= 8 * width)
    return _turned(array(widths[width], numbers)).tobytes()


def _unpacked(data: object, count: int, widths: Mapping[int, str]) -> list[int]:
    """Return the *count* numbers of a packed column; ValueError where there are more or less."""
    if type(data) is not bytes:
        raise TypeError("a column is no bytes")
    numbers = array(widths[len(data) // count if count else 1])
    numbers.frombytes(data)
    _demand(len(numbers) == count)
    # What is summed up and compared next makes numbers of them each time.
    return _turned(numbers).tolist()


def _turned(numbers: array[int]) -> array[int]:
    """Turn *numbers* from this machine's order of bytes into the file's, or back."""
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


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

    What only reading an action needs is added up then: to open a session is
    to wait for all of its blocks.
    """

    def __init__(self, skips: list[int], sizes: list[int], first: int, counts: list[int]) -> None:
        self._skips, self._counts = skips, counts
        self.sizes = sizes
        self.later_runs = {}
        self.only_run = Run(first, first + sum(counts))

    @cached_property
    def offsets(self) -> list[int]:  # type: ignore[override]  # an attribute there
        """Where each block begins."""
        return list(_edges(self._skips, self.sizes))[::2]

    @cached_property
    def firsts(self) -> list[int]:  # type: ignore[override]  # an attribute there
        """The first sequence of each block."""
        assert self.only_run is not None  # set above
        return list(accumulate(self._counts[:-1], initial=self.only_run.first))

    @cached_property
    def stops(self) -> list[int]:  # type: ignore[override]  # an attribute there
        """What the sequences of each block's first run are below."""
        return list(map(add, self.firsts, self._counts))


def _edges(skips: Iterable[int], sizes: Iterable[int]) -> Iterator[int]:
    """Yield where each block begins and where it ends."""
    return accumulate(chain.from_iterable(zip(skips, sizes, strict=True)))


def _blocks(columns: Any) -> tuple[BlockColumns, int]:
    """Return the blocks, and where the last of them ends."""
    skips, sizes, counts, first, steps = _numbers_packed(columns) if "c" in columns else _numbers_listed(columns)
    _demand(len(skips) == len(sizes) == len(counts))
    if not skips:
        return BlockColumns(), 0
    stop = sum(skips) + sum(sizes)
    _demand(all(sizes) and all(counts) and stop <= _MAX)
    holes = columns.get("h", ())
    for row in holes:
        _demand(set(map(type, row)) <= {int})
    if steps is None and not holes:
        _demand(first >= 0 and first + sum(counts) <= _MAX)
        return _Unbroken(skips, sizes, first, counts), stop
    firsts = list(accumulate(counts[:-1], initial=first) if steps is None else accumulate(steps))
    stops = list(map(add, firsts, counts))
    _demand(len(firsts) == len(counts) and min(firsts) >= 0 and max(stops) <= _MAX)
    blocks = BlockColumns(list(_edges(skips, sizes))[::2], sizes, firsts, stops)
    # What a block's number is none of is left out, as ever.
    blocks.later_runs.update(
        (number, tuple(_later_runs(stops[number], gaps)))
        for number, gaps in _holes(holes).items()
        if 0 <= number < len(stops)
    )
    return blocks, stop


class _Numbers(NamedTuple):
    """
    What an index says of its blocks, no number but a step below 0.

    Of blocks without a break the first sequence says enough: they have no steps.
    """

    skips: list[int]
    sizes: list[int]
    counts: list[int]
    first: int
    steps: list[int] | None


def _numbers_packed(columns: Mapping[str, Any]) -> _Numbers:
    count = columns["c"]
    _demand(type(count) is int)
    skips, sizes, counts = (_unpacked(columns[key], count, _UNSIGNED) for key in ("po", "pz", "pn"))
    if "pf" in columns:
        return _Numbers(skips, sizes, counts, 0, _unpacked(columns["pf"], count, _SIGNED))
    _demand(type(columns["f0"]) is int)
    return _Numbers(skips, sizes, counts, columns["f0"], None)


def _numbers_listed(columns: Mapping[str, Any]) -> _Numbers:
    """Return what drafts before 1.2 have: a list of integers for each column."""
    skips, sizes, steps, counts = (columns[key] for key in "ozfn")
    for column in (skips, sizes, steps, counts):
        _demand(type(column) is list and set(map(type, column)) <= {int})
    _demand(len(steps) == len(counts) and "h" in columns)
    _demand(min((*skips, *sizes, *counts), default=0) >= 0)
    is_unbroken = bool(steps) and steps[1:] == counts[:-1]
    return _Numbers(skips, sizes, counts, steps[0] if is_unbroken else 0, None if is_unbroken else steps)


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
