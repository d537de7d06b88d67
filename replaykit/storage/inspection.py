"""Reads a segment file once, from end to end: what is damaged, and whose the bytes are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import attrs

from replaykit.errors import DamagedError
from replaykit.format.block import Block
from replaykit.format.catalog import catalog_of
from replaykit.format.segment import CATALOG, GAP
from replaykit.format.strict import decode_body
from replaykit.storage.segment_file import Damage, SegmentFile

__all__ = ["Inspection", "inspected"]


@attrs.frozen(kw_only=True)
class Inspection:
    """
    What one look at all of a segment found.

    Attributes:
        torn: What a crash left at its end, which no commit ever promised; None where it ends well.
        damage: Ranges that were whole on the device once.
        kept: How many earlier torn ends are kept in it.
        by_session: How many bytes the commits of each session take, deleted ones included.
    """

    size: int
    torn: Damage | None
    damage: Sequence[Damage]
    kept: int
    by_session: Mapping[UUID, int]


def inspected(segment: SegmentFile, *, passed: Callable[[int], None]) -> Inspection:
    """Read all of *segment*; *passed* is told up to where."""
    look = _Look(segment)
    size = segment.size()
    for item in segment.survey(segment.head.end, size):
        passed(item.offset)
        if isinstance(item, Damage):
            look.take_damage(item)
        else:
            look.take(item)
    torn, damage = look.sorted_damage()
    return Inspection(size=size, torn=torn, damage=damage, kept=look.kept, by_session=look.by_session)


class _Look:
    """What was seen so far of one segment."""

    def __init__(self, segment: SegmentFile) -> None:
        self._segment = segment
        self._pending = 0
        self._damage: list[Damage] = []
        # The highest watermark behind each range and before the next one.
        self._promised: list[int] = []
        self.kept = 0
        self.by_session: dict[UUID, int] = {}

    def take_damage(self, damage: Damage) -> None:
        self._damage.append(damage)
        self._promised.append(0)

    def take(self, block: Block) -> None:
        if self._promised:
            self._promised[-1] = max(self._promised[-1], block.watermark)
        try:
            self._count(block)
        except DamagedError as error:
            # Its checks agree and what is in it makes no sense: no crash does that.
            self.take_damage(Damage(block.offset, block.end, error.reason))
            self._promised[-1] = block.end

    def _count(self, block: Block) -> None:
        if block.kind == GAP and "s" not in decode_body(block.body(path=self._segment.path), offset=block.offset):
            self.kept += 1
            return
        # A commit's blocks stand together, and its catalog, which comes last,
        # says whose they are.
        self._pending += block.size
        if block.kind == CATALOG:
            owner = UUID(bytes=catalog_of(block, path=self._segment.path).records[-1].session_id)
            self.by_session[owner] = self.by_session.get(owner, 0) + self._pending
            self._pending = 0

    def sorted_damage(self) -> tuple[Damage | None, list[Damage]]:
        """Return the torn end, and the ranges that a later block says were on the device before it."""
        torn: Damage | None = None
        damage = []
        promised = 0
        for each, behind in zip(reversed(self._damage), reversed(self._promised), strict=True):
            promised = max(promised, behind)
            if promised > each.offset:
                damage.append(each)
            else:
                # A hole in the last commit counts with all that follows it.
                torn = Damage(each.offset, self._segment.size(), each.reason)
        return torn, damage[::-1]
