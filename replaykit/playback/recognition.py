"""Frames told by what they hold: on another memory the same frame has another id."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import attrs

from replaykit.facts import ID_NAMES, own_arguments
from replaykit.model import FrameId, ReplayAction
from replaykit.playback.hits import FoundHit, hits_of
from replaykit.playback.outcomes import Outcome, fingerprint, outcome_of

__all__ = ["IdMap", "are_ids_of_the_same_write", "named_frames", "recognised"]


def recognised(recorded: Sequence[FoundHit], seen: Sequence[FoundHit]) -> list[FoundHit]:
    """
    Return *seen* under the ids of those *recorded* hits that hold the same.

    Of several that hold the same the first is the first, query by query.  A hit that holds
    what no recorded one does gets an id that none has; one whose content is
    not known keeps its own.
    """
    waiting: defaultdict[tuple[int, bytes], deque[FrameId]] = defaultdict(deque)
    for hit in recorded:
        waiting[_held(hit)].append(hit.id)
    return [_renamed(hit, waiting[_held(hit)]) for hit in seen]


def _held(hit: FoundHit) -> tuple[int, bytes]:
    return hit.query, fingerprint(hit.content)


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


def named_frames(action: ReplayAction) -> list[FrameId]:
    """Return the frames that *action* names in its arguments: what it reads, changes or removes by their ids."""
    name = _naming(action)
    return [] if name is None else _ids_in(action.arguments[name])


def _naming(action: ReplayAction) -> str | None:
    """Return the argument that names frames; None where none does."""
    reads_by_id = action.kind == "find" and getattr(action.action_type, "mode", "") == "id"
    known = ID_NAMES if reads_by_id or action.kind in ("update", "delete") else ("frame_id",)
    named = (name for name in known if action.arguments.get(name) is not None)
    return next(named, next(iter(own_arguments(action.arguments)), None) if reads_by_id else None)


def _ids_in(value: Any) -> list[FrameId]:
    ids = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in ids if isinstance(each, (int, str)) and not isinstance(each, bool)]


def _as_ids(value: Any) -> list[FrameId] | None:
    ids = list(value) if isinstance(value, (list, tuple)) else [value]
    return ids if all(isinstance(each, (int, str)) and not isinstance(each, bool) for each in ids) else None


class IdMap:
    """Which frame of the target a recorded one is, as far as calls have shown it."""

    def __init__(self) -> None:
        self._there: dict[FrameId, FrameId] = {}
        self._here: dict[FrameId, FrameId] = {}

    def learn(self, action: ReplayAction, seen: Outcome) -> None:
        """Learn from what a call gave then and gives now."""
        recorded = outcome_of(action)
        if are_ids_of_the_same_write(action, recorded, seen):
            for written, own_id in zip(_as_ids(recorded.value) or (), _as_ids(seen.value) or (), strict=True):
                self._there.pop(written, None)
                self.is_same(written, own_id)
            return
        was, is_now = hits_of(recorded.value), hits_of(seen.value)
        if action.kind in ("find", "ask") and was and is_now:
            known = {hit.id for hit in was}
            for hit, own in zip(recognised(was, is_now), is_now, strict=True):
                if hit.id in known:
                    self.is_same(hit.id, own.id)

    def is_same(self, recorded: FrameId, own: FrameId) -> None:
        """Learn that the target's frame *own* is the *recorded* one, unless another is known to be."""
        if recorded not in self._there:
            self._there[recorded], self._here[own] = own, recorded

    def unknown(self, action: ReplayAction) -> FrameId | None:
        """Return the first frame that *action* names and no call has shown yet; None where there is none."""
        return next((frame for frame in named_frames(action) if frame not in self._there), None)

    def translated(self, action: ReplayAction) -> dict[str, Any]:
        """Return the arguments of *action* with the target's ids in place of the recorded ones, as far as known."""
        name = _naming(action)
        if name is None or not named_frames(action):
            return dict(action.arguments)
        return {**action.arguments, name: self._own(action.arguments[name])}

    def as_recorded(self, frames: Sequence[FrameId]) -> tuple[FrameId, ...]:
        """Return *frames* of the target under their recorded ids, as far as known."""
        return tuple(self._here.get(frame, frame) for frame in frames)

    def _own(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._own, value))
        is_id = isinstance(value, (int, str)) and not isinstance(value, bool)
        return self._there.get(value, value) if is_id else value
