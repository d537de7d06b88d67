"""What has to change in a store so that it holds what it is given: the rest is best left as it is."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from replaykit.model import FrameId, StoredFrame

__all__ = ["Difference", "difference"]


@attrs.frozen
class Difference:
    """Frames that are to go, and those that are to come in their place or anew, in order."""

    going: tuple[FrameId, ...]
    coming: tuple[StoredFrame, ...]


def difference(present: Iterable[StoredFrame], wanted: Iterable[StoredFrame]) -> Difference:
    """Return what leads from *present* to *wanted*; a frame that differs in anything goes and comes."""
    there = {frame.id: frame for frame in present}
    stays = set()
    coming = []
    for frame in wanted:
        if there.get(frame.id) == frame:
            stays.add(frame.id)
        else:
            coming.append(frame)
    return Difference(tuple(frame_id for frame_id in there if frame_id not in stays), tuple(coming))
