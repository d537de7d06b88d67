"""Frames told by what they hold: on another memory the same frame has another id."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from replaykit.model import FrameId, ReplayAction
from replaykit.playback.hits import FoundHit, hits_of
from replaykit.playback.outcomes import Outcome, fingerprint, outcome_of

__all__ = ["IdMap", "are_ids_of_the_same_write", "recognised"]

_ARGUMENT = "frame_id"


def recognised(recorded: Sequence[FoundHit], seen: Sequence[FoundHit]) -> list[FoundHit]:
    """
    Return *seen* under the ids of those *recorded* hits that hold the same.

    Of several that hold the same the first is the first.  A hit that holds
    what no recorded one does gets an id that none has; one whose content is
    not known keeps its own.
    """
    waiting: defaultdict[bytes, deque[FrameId]] = defaultdict(deque)
    for hit in recorded:
        waiting[fingerprint(hit.content)].append(hit.id)
    return [_renamed(hit, waiting[fingerprint(hit.content)]) for hit in seen]


def _renamed(hit: FoundHit, same: deque[FrameId]) -> FoundHit:
    if not hit.content:
        return hit
    return attrs.evolve(hit, id=same.popleft() if same else f"{hit.id} of the target")


def are_ids_of_the_same_write(action: ReplayAction, recorded: Outcome, seen: Outcome) -> bool:
    """Return whether *action* wrote frames, and both sides are nothing but the ids of as many."""
    if action.kind not in ("put", "put_many"):
        return False
    was, is_now = _as_ids(recorded.value), _as_ids(seen.value)
    return was is not None and is_now is not None and was == list(action.affected_frames) and len(was) == len(is_now)


def _as_ids(value: Any) -> list[FrameId] | None:
    ids = list(value) if isinstance(value, (list, tuple)) else [value]
    return ids if all(isinstance(each, (int, str)) and not isinstance(each, bool) for each in ids) else None


class IdMap:
    """Which frame of the target a recorded one is, as far as calls have shown it."""

    def __init__(self) -> None:
        self._there: dict[FrameId, FrameId] = {}

    def learn(self, action: ReplayAction, seen: Outcome) -> None:
        """Learn from what a call gave then and gives now."""
        recorded = outcome_of(action)
        if are_ids_of_the_same_write(action, recorded, seen):
            self._there.update(zip(_as_ids(recorded.value) or (), _as_ids(seen.value) or (), strict=True))
            return
        was, is_now = hits_of(recorded.value), hits_of(seen.value)
        if action.kind in ("find", "ask") and was and is_now:
            known = {hit.id for hit in was}
            for hit, own in zip(recognised(was, is_now), is_now, strict=True):
                if hit.id in known:
                    self._there.setdefault(hit.id, own.id)

    def unknown(self, arguments: Mapping[str, Any]) -> FrameId | None:
        """Return the frame that the arguments name and no call has shown yet; None where there is none."""
        named = arguments.get(_ARGUMENT)
        return named if isinstance(named, (int, str)) and named not in self._there else None

    def translated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return *arguments* with the target's id in place of the recorded one."""
        named = arguments.get(_ARGUMENT)
        if not isinstance(named, (int, str)) or named not in self._there:
            return dict(arguments)
        return {**arguments, _ARGUMENT: self._there[named]}
