"""What recorded calls of the embedded memory run on again: its past with hindsight, a branch, or itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from replaykit.errors import CheckpointNotFoundError, FrameNotFoundError, UsageError
from replaykit.memory.forking import private_branch
from replaykit.memory.hindsight import Hindsight
from replaykit.model import (
    MEMVID,
    Answer,
    Checkpoint,
    Divergence,
    DivergenceType,
    Frame,
    FrameId,
    ReplayAction,
    ReplayOptions,
    ReplaySession,
)
from replaykit.playback.judging import content_changed
from replaykit.playback.outcomes import whole
from replaykit.playback.replaying import Clean, Declined, NotComparable, Ran, ran
from replaykit.playback.targets import Signatures, bound, changed_by, demand_leave

if TYPE_CHECKING:
    from replaykit.memory.engine import Engine

__all__ = ["SOURCE", "replay_target"]

SOURCE = "replaykit.Memory"
"""What recordings call the memory."""

_WRITES = frozenset({"put", "put_many", "update", "delete"})
_FIELDS = ("content", "title", "uri", "metadata")


def replay_target(engine: Engine, options: ReplayOptions) -> Now | Then | Live:
    """
    Return what a replay with these options runs on.

    Raises:
        UsageError: Frames are to be told by content, on this memory's own past.
    """
    if options.ids == "content" and options.base != "live":
        raise UsageError("ids='content' is for another memory, which has no past of the session: give base='live'")
    return {"now": Now, "then": Then, "live": Live}[options.base](engine, options)


class Live:
    """The memory as it is: reads run, writes only with leave."""

    notes: Sequence[str] = ()

    def __init__(self, engine: Engine, options: ReplayOptions) -> None:
        self._engine = engine
        self._options = options
        self._generation = engine.generation
        self._signatures = Signatures()

    @contextmanager
    def opened(self, session: ReplaySession, checkpoint: Checkpoint | None) -> Iterator[None]:
        """The memory stays as it is."""
        writes = "only writes that allow= names were run" if self._options.allow else "writes were not run"
        self.notes = (f"reads ran on the memory as it is now, {writes}",)
        if checkpoint is not None:
            self.notes += ("the memory was not restored to the checkpoint",)
        yield

    def in_order(self, actions: Sequence[ReplayAction]) -> Sequence[ReplayAction]:
        """Each is looked at by itself: the order does not matter."""
        return actions

    def takes(self, action: ReplayAction) -> bool:
        """Whether it was a call of a memory."""
        return action.source in (SOURCE, MEMVID)

    def checked(self, action: ReplayAction, arguments: Mapping[str, Any], clean: Clean) -> list[Divergence] | None:
        """Nothing is checked: a write is run or declined."""
        return None

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Call the method of that name."""
        demand_leave(action, self._options)
        return self._called(self._engine, action, arguments)

    def state_hash(self, checkpoint: Checkpoint) -> bytes | None:
        """The memory has gone on since: there is nothing to compare."""
        return None

    def frame_like(self, frame: Frame) -> FrameId | None:
        """Return the lowest id of the live frames with the same content, title, uri and metadata; None if none has."""
        return self._engine.frame_like(frame)

    def cause(self, divergence: Divergence, action: ReplayAction) -> str:
        """What the options changed, or what changed since the action was recorded."""
        return self._left_out(divergence, action) or cause_of(
            self._engine, divergence, action.generation or 0, what="this action"
        )

    def _left_out(self, divergence: Divergence, action: ReplayAction) -> str:
        """Return that `adaptive` left hits out; empty where it did not."""
        is_lost = divergence.divergence_type is DivergenceType.HITS_LOST
        if not (self._options.adaptive and action.name == "find" and is_lost):
            return ""
        return f"hits with a score below min_relevancy={self._options.min_relevancy:g} were left out"

    def _called(self, engine: Engine, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        if action.kind == "ask":
            return self._asked(engine, action, arguments)
        method = getattr(engine, action.name, None)
        if not callable(method):
            raise NotComparable(f"the memory has no method {action.name!r}")
        call = bound(method, changed_by(self._options, action, arguments), self._signatures.of(action.name, method))
        result = ran(call)
        if action.name != "find" or not self._options.adaptive:
            return result
        return attrs.evolve(result, value=self._relevant(result.value))

    def _asked(self, engine: Engine, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Ask again, in one piece, whichever form the recorded ask had."""
        if "abandoned" in action.flags:
            raise NotComparable("its stream was left early: the answer was not recorded whole")
        recorded = whole(action.output)
        options = self._options
        if isinstance(recorded, Answer) and recorded.provider == "callable" and options.model is None:
            raise NotComparable(f"it was answered by the callable {recorded.model}: give it with model=")
        given = {**changed_by(options, action, {"model": "extractive", **arguments})}
        if options.temperature is not None:
            given["temperature"] = options.temperature
        if not options.audit_mode:
            return ran(lambda: engine.ask(**given))
        if not isinstance(recorded, Answer):
            raise NotComparable("no hits were recorded that it could be asked about")
        return ran(lambda: engine.asking().answer_from(recorded.hits, **given))

    def _relevant(self, found: Any) -> Any:
        if found is None:
            return None
        kept = tuple(hit for hit in found.hits if hit.score >= self._options.min_relevancy)
        return attrs.evolve(found, hits=kept)


class Now(Live):
    """
    The memory as it was at each action, with every change made after the session laid over it.

    Reads run there; what a write recorded is held against it.
    """

    @contextmanager
    def opened(self, session: ReplaySession, checkpoint: Checkpoint | None) -> Iterator[None]:
        """Make the past ready; it is copied only where the session, or somebody beside it, wrote."""
        self._end = max(_generations(session), default=self._generation)
        _demand_past(self._engine, session, self._end)
        self._past = Hindsight(self._engine.connection, self._end)
        try:
            yield
        finally:
            self._past.close()

    def checked(self, action: ReplayAction, arguments: Mapping[str, Any], clean: Clean) -> list[Divergence] | None:
        """Hold what a write recorded against what the memory holds; None for reads."""
        if action.kind in ("find", "ask"):
            return None
        if action.error is not None:
            raise Declined("a write that failed changed nothing that could be checked")
        return list(_write_differences(self._engine_at(action), action, arguments, clean))

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Call the reading method of that name on the past."""
        return self._called(self._engine_at(action), action, arguments)

    def state_hash(self, checkpoint: Checkpoint) -> bytes | None:
        """Return the hash of what the memory's history says it held then."""
        try:
            return self._engine.state_hash_at(checkpoint.snapshot.generation)
        except CheckpointNotFoundError:
            return None

    def cause(self, divergence: Divergence, action: ReplayAction) -> str:
        """What the options changed, or what changed after the session."""
        return self._left_out(divergence, action) or cause_of(self._engine, divergence, self._end, what="the session")

    def _engine_at(self, action: ReplayAction) -> Engine:
        if action.generation is None:
            raise NotComparable("it was recorded without its generation: base='live' runs it on the memory as it is")
        if action.generation >= self._end:
            # The session's last state with all later changes over it is the present.
            return self._engine
        try:
            return self._engine.over(self._past.connection_at(action.generation))
        except CheckpointNotFoundError as error:
            raise NotComparable(str(error)) from error


class Then(Live):
    """A branch from the session's start, or from a checkpoint: all runs again there, under the recorded ids."""

    @contextmanager
    def opened(self, session: ReplaySession, checkpoint: Checkpoint | None) -> Iterator[None]:
        """Make the branch."""
        start: Checkpoint | int = checkpoint if checkpoint is not None else _start_of(session)
        # All memories began empty, and what a session did since its own beginning it does again.
        if start != 0:
            _demand_past(self._engine, session, start if isinstance(start, int) else start.snapshot.generation)
        connection = private_branch(self._engine.connection, start)
        self._branch = self._engine.over(connection)
        try:
            yield
        finally:
            connection.close()

    def in_order(self, actions: Sequence[ReplayAction]) -> Sequence[ReplayAction]:
        """
        Return the memory's calls by their generations: what made one before what saw it; all else in its place.

        Calls of several threads are numbered as they begin, and take effect
        in another order.
        """
        places = [at for at, action in enumerate(actions) if action.generation is not None and self._is_own(action)]
        ordered = list(actions)
        for at, action in zip(places, sorted((actions[at] for at in places), key=_effect), strict=True):
            ordered[at] = action
        return ordered

    def _is_own(self, action: ReplayAction) -> bool:
        return action.kind == "checkpoint" or action.source == SOURCE

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """Call the method of that name on the branch."""
        if action.kind in ("put", "put_many"):
            self._branch.go_on_from(frame_id for frame_id in action.affected_frames if isinstance(frame_id, int))
        return self._called(self._branch, action, arguments)

    def state_hash(self, checkpoint: Checkpoint) -> bytes | None:
        """Return the hash of what the branch holds."""
        return self._branch.snapshot(with_ids=False)[1]

    def cause(self, divergence: Divergence, action: ReplayAction) -> str:
        """What the options changed; else these are the same calls on the same frames: what is left is the code."""
        if self._options.skip_puts:
            return "the session's writes were passed over (skip_puts)"
        return (
            self._left_out(divergence, action)
            or "the code, the index, the embedder or the model behaves otherwise than it did"
        )


def _generations(session: ReplaySession) -> Iterator[int]:
    if session.start_generation is not None:
        yield session.start_generation
    for action in session.actions:
        if action.generation is not None and (action.source == SOURCE or action.kind == "checkpoint"):
            yield action.generation


def _effect(action: ReplayAction) -> tuple[int, bool, int]:
    """Return where a call took effect among the others of its memory."""
    makes_one = action.kind in _WRITES and action.error is None
    return action.generation or 0, not makes_one, action.sequence


def _start_of(session: ReplaySession) -> int:
    if session.start_generation is None:
        raise CheckpointNotFoundError(None, f"session {session.session_id} does not say at which generation it began")
    return session.start_generation


def _demand_past(engine: Engine, session: ReplaySession, generation: int) -> None:
    """
    Return if *engine* has the past of *session* up to *generation*, as far as the session says whose past it is.

    Raises:
        UsageError: It was recorded on another memory, or on one that this was forked from before.
        CheckpointNotFoundError: There is no such generation.
    """
    what, elsewhere = f"session {session.session_id}", "base='live' with ids='content' compares them as they are now"
    shared = None if session.memory_id is None else engine.shared_with(session.memory_id)
    if session.memory_id is not None and shared is None:
        raise UsageError(
            f"{what} was recorded on another memory, and {engine.path} does not have that one's past: {elsewhere}"
        )
    if shared is not None and generation > shared and session.memory_id != engine.memory_id:
        raise UsageError(
            f"{what} goes on to generation {generation} of another memory, and {engine.path} was forked from that "
            f"at generation {shared}: {elsewhere}"
        )
    if generation > engine.generation:
        raise CheckpointNotFoundError(
            generation,
            f"{what} goes on to generation {generation}, and {engine.path} is at {engine.generation}: it is another "
            f"memory, or an older copy; {elsewhere}",
        )


# -- what writes left -------------------------------------------------------------


def _write_differences(
    view: Engine, action: ReplayAction, arguments: Mapping[str, Any], clean: Clean
) -> Iterator[Divergence]:
    if action.kind == "delete":
        yield from _still_there(view, action)
    elif action.kind == "put_many":
        items = arguments.get("items") or ()
        for frame_id, item in zip(action.affected_frames, items, strict=False):
            given = item if isinstance(item, Mapping) else {"content": item}
            yield from _frame_differences(view, action, frame_id, given, clean)
    elif action.name in ("put", "update") and action.affected_frames:
        yield from _frame_differences(view, action, action.affected_frames[0], arguments, clean)
    else:
        raise Declined(f"what {action.name} left is seen by the reads that follow")


def _still_there(view: Engine, action: ReplayAction) -> Iterator[Divergence]:
    for frame_id in action.affected_frames:
        if frame_id in view:
            yield Divergence(
                at_sequence=action.sequence,
                action_type=action.action_type.name,
                divergence_type=DivergenceType.EXTRA,
                original_preview="gone",
                replay_preview=f"frame {frame_id}",
                details=f"frame {frame_id} was deleted and is there again",
                where=f"frame {frame_id}",
                frames=(frame_id,),
            )


def _frame_differences(
    view: Engine, action: ReplayAction, frame_id: Any, given: Mapping[str, Any], clean: Clean
) -> list[Divergence]:
    recorded = {name: given[name] for name in _FIELDS if name in given}
    if recorded.get("metadata", ...) is None:
        recorded["metadata"] = {}
    try:
        frame = view.get(frame_id)
    except FrameNotFoundError:
        return content_changed(action, frame_id, recorded, None)
    return content_changed(action, frame_id, recorded, clean({name: getattr(frame, name) for name in _FIELDS}))


# -- why ----------------------------------------------------------------------------


def cause_of(engine: Engine, divergence: Divergence, since: int, *, what: str) -> str:
    """
    Return what happened to the first frame of *divergence* that something happened to after generation *since*.

    That generation was the last of *what*.
    """
    for frame_id in divergence.frames:
        found = engine.last_change(frame_id, since)
        if found is not None:
            return f"frame {frame_id} was {found}"
    count = engine.generation - since
    if count <= 0:
        return ""
    return f"other frames changed: {count} write{'s' if count > 1 else ''} came after {what}"
