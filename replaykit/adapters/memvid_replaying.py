"""A session replayed on a memvid memory as it is now, told in the shape of memvid's own replay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from replaykit.model import (
    MEMVID,
    ActionResult,
    Ask,
    Checkpoint,
    Divergence,
    DivergenceType,
    ReplayAction,
    ReplayOptions,
    ReplayResult,
    ReplaySession,
)
from replaykit.playback.replaying import Clean, Declined, Ran, replay_session
from replaykit.playback.targets import Methods

__all__ = ["replayed"]

_ALL = 2**31 - 1


def replayed(
    memory: Any,
    session: ReplaySession,
    *,
    top_k: int | None,
    adaptive: bool | None,
    audit: bool,
    use_model: str | None,
) -> dict[str, Any]:
    """Replay *session* on the recorded object *memory*; nothing is written."""
    options = attrs.evolve(_with_model(use_model), base="live", top_k=top_k)
    target = _LiveMemory(memory, options, {} if adaptive is None else {"adaptive": adaptive})
    return _told(replay_session(session, target, options), audit=audit, is_theirs=session.capture == MEMVID)


def _with_model(use_model: str | None) -> ReplayOptions:
    provider, _, model = (use_model or "").partition(":")
    return ReplayOptions(provider=provider, model=model) if model else ReplayOptions(model=provider or None)


class _LiveMemory(Methods):
    """A memory whose frames recorded writes are held against; *changes* are arguments of finds and asks."""

    def __init__(self, memory: Any, options: ReplayOptions, changes: Mapping[str, Any]) -> None:
        super().__init__(memory.__wrapped__, memory._self_rows, options)
        self._memory = memory.__wrapped__
        self._changes = changes
        self._live: frozenset[int] = frozenset()
        self._removed: dict[Any, int] = {}

    @contextmanager
    def opened(self, session: ReplaySession, checkpoint: Checkpoint | None) -> Iterator[None]:
        """Look at the frames that there are, and at what the session removed itself."""
        entries = self._memory.timeline(limit=_ALL)
        self._live = frozenset(frame for entry in entries for frame in (entry["frame_id"], *entry["child_frames"]))
        self._removed = {
            frame: action.sequence
            for action in session.actions
            if action.kind == "delete" and action.error is None
            for frame in action.affected_frames
        }
        with super().opened(session, checkpoint):
            yield

    def checked(self, action: ReplayAction, arguments: Mapping[str, Any], clean: Clean) -> list[Divergence] | None:
        """Hold a write against the frames that are there."""
        if action.kind not in ("put", "put_many", "delete"):
            return None
        if action.error is not None:
            raise Declined("it failed when it was recorded, and writes are not run")
        return self._still_there(action) if action.kind == "delete" else self._gone(action)

    def _gone(self, action: ReplayAction) -> list[Divergence]:
        gone = [frame for frame in action.affected_frames if frame not in self._live and not self._goes(frame, action)]
        if not gone:
            return []
        return [_difference(action, DivergenceType.MISSING, tuple(gone), "not there any more")]

    def _goes(self, frame: Any, action: ReplayAction) -> bool:
        """Return whether the session itself removed *frame* after *action*."""
        return self._removed.get(frame, -1) > action.sequence

    def _still_there(self, action: ReplayAction) -> list[Divergence]:
        there = [frame for frame in action.affected_frames if frame in self._live]
        return [_difference(action, DivergenceType.EXTRA, tuple(there), "still there")] if there else []

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Run a find or an ask; one that needs a model only if one is given."""
        if isinstance(action.action_type, Ask) and action.action_type.model and self._options.model is None:
            raise Declined(f"it asked {action.action_type.model}: use_model says what to ask now")
        taken = {name: value for name, value in self._changes.items() if action.kind in ("find", "ask")}
        return super().run(action, {**arguments, **taken})


def _difference(action: ReplayAction, kind: DivergenceType, frames: tuple[Any, ...], state: str) -> Divergence:
    named = ", ".join(map(str, frames))
    return Divergence(
        at_sequence=action.sequence,
        action_type=action.action_type.name,
        divergence_type=kind,
        details=f"Frame {named} {'is' if len(frames) == 1 else 'are'} {state}",
        frames=frames,
    )


# -- memvid's shape ---------------------------------------------------------------------


def _told(result: ReplayResult, *, audit: bool, is_theirs: bool) -> dict[str, Any]:
    # Of its own sessions memvid kept too little for a whole verdict.
    is_success = bool(result) or (is_theirs and result.verdict == "incomplete" and result.matched_actions > 0)
    return {
        "total_actions": result.total_actions,
        "matched_actions": result.matched_actions,
        "mismatched_actions": result.mismatched_actions + result.errored_actions,
        "skipped_actions": result.skipped_actions + result.incomparable_actions,
        "match_rate": result.match_rate,
        "total_duration_ms": result.duration_ns // 1_000_000,
        "success": is_success,
        "audit_mode": audit,
        "action_results": [_told_action(item) for item in result.action_results],
    }


def _told_action(item: ActionResult) -> dict[str, Any]:
    said = "\n".join(each.details for each in item.divergences) or item.reason
    return {
        "sequence": item.sequence,
        # With the quotation marks that memvid gives it.
        "action_type": f'"{item.action_type}"',
        "matched": item.status == "matched",
        "duration_ms": item.duration_ns // 1_000_000,
        **({"diff": said} if said else {}),
    }
