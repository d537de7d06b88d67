"""
Runs recorded calls again and says what came out otherwise.

What runs them is a `Target`; this module decides which calls run, with which
arguments, and what their outcome means.  Nothing of it is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import attrs

from replaykit.errors import CheckpointNotFoundError, EmbedderError, ProviderError, StorageError, UsageError
from replaykit.facts import K_NAMES, own_arguments
from replaykit.intercept.scope import CURRENT, Scope
from replaykit.model import (
    MEMVID,
    ActionResult,
    Checkpoint,
    Divergence,
    DivergenceType,
    Frame,
    FrameId,
    Opaque,
    ReplayAction,
    ReplayOptions,
    ReplayResult,
    ReplaySession,
)
from replaykit.playback.differences import call_text, word_diff
from replaykit.playback.imported import find_differences, find_query, why_not
from replaykit.playback.judging import judge, ranking
from replaykit.playback.outcomes import Outcome, as_recorded, has_stored_form, outcome_of, texts_of, whole
from replaykit.playback.recognition import IdMap
from replaykit.playback.redacted import Redacted
from replaykit.playback.retrieval import RetrievalDiff
from replaykit.playback.verdicts import confirmed, summed
from replaykit.recording.session import Unrecorded
from replaykit.redactors import redactor_for

__all__ = [
    "Clean",
    "Declined",
    "NotComparable",
    "Ran",
    "Target",
    "Watch",
    "is_count",
    "may_run",
    "ran",
    "replay_session",
]

_OF_RANKINGS = ("overlap", "rbo", "tau", "recorded_count", "seen_count")
_WRITES = frozenset({"put", "put_many", "update", "delete"})
_INFRASTRUCTURE = (ConnectionError, TimeoutError, StorageError, ProviderError, EmbedderError)


class Declined(Exception):
    """The target does not run this call; the text says why."""


class NotComparable(Exception):
    """The call cannot be run as it was recorded; the text says why."""


class _Unreachable(Exception):
    """What the target stands on failed."""


@attrs.frozen(kw_only=True)
class Ran:
    """What a call returned, or raised, the frames that it returned or touched, and how long it took."""

    value: Any = None
    error: BaseException | None = None
    frames: tuple[FrameId, ...] = ()
    duration_ns: int = 0


def is_count(value: Any) -> bool:
    """Return whether *value* can say how many hits are wanted: a parameter that is called k may be a key."""
    return isinstance(value, int) and not isinstance(value, bool)


def may_run(action: ReplayAction, options: ReplayOptions) -> bool:
    """Return whether the call only reads, or *options* allow it by name or kind."""
    return action.kind in ("find", "ask") or bool(options.allow & {action.kind, action.name})


def ran(call: Callable[[], Any]) -> Ran:
    """Return what came of *call*."""
    began = time.perf_counter_ns()
    try:
        return Ran(value=call(), duration_ns=time.perf_counter_ns() - began)
    except (Exception, SystemExit) as error:
        # Whatever the call raises is its outcome; only Ctrl-C is not.
        return Ran(error=error, duration_ns=time.perf_counter_ns() - began)


Clean = Callable[[Any], Any]
"""Turns a value into what a recording of it gives back, redacted as the session is."""


Watch = Callable[[ReplayAction, Outcome], None]
"""Told what came of a recorded call when it ran again."""


class Target(Protocol):
    """What recorded calls run on."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the verdict has to know of this target."""

    def opened(self, session: ReplaySession, checkpoint: Checkpoint | None) -> AbstractContextManager[None]:
        """Return a block in which `run` may be called, in the order that `in_order` says; it cleans up."""

    def in_order(self, actions: Sequence[ReplayAction]) -> Sequence[ReplayAction]:
        """Return *actions*, which come by ascending sequence, in the order in which they took effect."""

    def takes(self, action: ReplayAction) -> bool:
        """Return whether this target is what *action* ran on."""

    def checked(self, action: ReplayAction, arguments: Mapping[str, Any], clean: Clean) -> list[Divergence] | None:
        """
        Return in what the target differs from what a write recorded, without running it; None for a call to run.

        *clean* turns what the target holds into what a recording would hold.
        """

    def run(self, action: ReplayAction, arguments: Mapping[str, Any]) -> Ran:
        """
        Run the call again and return what came of it, errors of the call included.

        Raises:
            Declined: It is not run here.
            NotComparable: It cannot be run as it was.
        """

    def state_hash(self, checkpoint: Checkpoint) -> bytes | None:
        """Return the hash of the state that the checkpoint is to be compared with; None where there is none."""

    def frame_like(self, frame: Frame) -> FrameId | None:
        """Return the frame of the target that holds the same as *frame*; None where none is known to."""

    def cause(self, divergence: Divergence, action: ReplayAction) -> str:
        """Return a likely cause; empty where none is known."""


@attrs.frozen(kw_only=True)
class _Compared:
    """In what an action differs; how long the call took; how far two rankings agree; both texts if it gave texts."""

    divergences: Sequence[Divergence] = ()
    duration_ns: int = 0
    ranking: RetrievalDiff | None = None
    texts: tuple[str, str] | None = None


@contextmanager
def _unobserved() -> Iterator[None]:
    """Keep what runs inside out of every open session."""
    outer = CURRENT.get()
    CURRENT.set(Scope(Unrecorded(None), None, None))
    try:
        yield
    finally:
        CURRENT.set(outer)


def replay_session(
    session: ReplaySession,
    target: Target,
    options: ReplayOptions,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    watch: Watch = lambda action, seen: None,
) -> ReplayResult:
    """
    Run a session's calls on *target* again and return the verdict.

    With ``confirm=n`` a divergence counts if it shows in each of *n* runs.
    *watch* is told what came of each call that ran.

    Raises:
        CheckpointNotFoundError: The session has no checkpoint ``from_checkpoint``.
        UsageError: A ``provider`` is given, and no ``model``.
    """
    if options.provider is not None and options.model is None:
        raise UsageError(f"provider={options.provider!r} says nothing without model=: give both")
    if options.stop_at is None:
        # All of them are looked at, by the target too: they are read once.
        session = attrs.evolve(session, actions=tuple(session.actions))
    if options.confirm == 1:
        return _Run(session, target, options, progress, watch).result()
    # Where to stop is known only when all runs are there.
    whole_runs = attrs.evolve(options, stop_on_mismatch=False)
    results = [_Run(session, target, whole_runs, progress, watch).result() for _ in range(options.confirm)]
    return confirmed(results, options)


class _Run:
    """One pass over a session."""

    def __init__(
        self,
        session: ReplaySession,
        target: Target,
        options: ReplayOptions,
        progress: Callable[[int, int], None],
        watch: Watch,
    ) -> None:
        self._session = session
        self._target = target
        self._options = options
        self._progress = progress
        self._watch = watch
        self._ids = IdMap()
        self._redacted = Redacted(session.redaction)
        self._clean = redactor_for(session.redaction).clean_packed
        self._checkpoints = {checkpoint.id: checkpoint for checkpoint in session.checkpoints}
        self._start = self._found(options.from_checkpoint)

    def _found(self, wanted: int | None) -> Checkpoint | None:
        if wanted is None:
            return None
        if wanted not in self._checkpoints:
            numbers = ", ".join(map(str, sorted(self._checkpoints)))
            known = f"it has {'those' if ',' in numbers else 'that'} numbered {numbers}" if numbers else "it has none"
            raise CheckpointNotFoundError(
                wanted, f"session {self._session.session_id} has no checkpoint {wanted}; {known}"
            )
        return self._checkpoints[wanted]

    def result(self) -> ReplayResult:
        began = time.perf_counter_ns()
        chosen = self._chosen()
        found: list[ActionResult] = []
        with _unobserved(), self._target.opened(self._session, self._start):
            for done, action in enumerate(self._target.in_order(chosen), 1):
                found.append(self._look_at(action))
                self._progress(done, len(chosen))
                if self._options.stop_on_mismatch and found[-1].status == "mismatched":
                    break
            notes = tuple(self._target.notes)
        # They are told as they were recorded, whatever the order in which they ran.
        found.sort(key=lambda item: item.sequence)
        return summed(self._session, self._options, found, len(chosen), notes, time.perf_counter_ns() - began)

    def _chosen(self) -> list[ReplayAction]:
        """Return the actions to replay: calls that the target takes, but not those that such a call made itself."""
        begin = -1 if self._start is None else self._sequence_of(self._start)
        end = self._options.stop_at
        runs: set[int] = set()
        chosen = []
        for action in self._session.actions:
            is_inside = action.parent in runs
            takes = action.kind == "checkpoint" or self._target.takes(action)
            if is_inside or takes:
                runs.add(action.sequence)
            if not is_inside and action.sequence > begin and (end is None or action.sequence <= end):
                chosen.append(action)
        return chosen

    def _sequence_of(self, checkpoint: Checkpoint) -> int:
        for action in self._session.actions:
            if getattr(action.action_type, "checkpoint_id", None) == checkpoint.id:
                return action.sequence
        return checkpoint.at_sequence

    # -- one action -----------------------------------------------------------------

    def _look_at(self, action: ReplayAction) -> ActionResult:
        reason = self._passed_over(action)
        if reason:
            return self._said(action, "skipped", reason)
        try:
            found = self._compared(action)
        except Declined as declined:
            return self._said(action, "skipped", str(declined))
        except NotComparable as reason_why:
            return self._not_comparable(action, str(reason_why))
        except _Unreachable as error:
            return self._said(action, "errored", str(error))
        return self._judged(action, found)

    def _judged(self, action: ReplayAction, found: _Compared) -> ActionResult:
        # What pushed one hit out is often another that came in: a cause is looked for in all that differs.
        frames = [frame for item in found.divergences for frame in item.frames]
        told = tuple(
            attrs.evolve(item, cause=self._cause(attrs.evolve(item, frames=(*item.frames, *frames)), action))
            for item in found.divergences
        )
        more: dict[str, Any] = {
            "divergences": told,
            "duration_ns": found.duration_ns,
            "diff": self._diff(told, found.texts),
        }
        if found.ranking is not None:
            more |= {name: getattr(found.ranking, name) for name in _OF_RANKINGS}
        return self._said(action, "mismatched" if told else "matched", "", **more)

    def _passed_over(self, action: ReplayAction) -> str:
        options, kind = self._options, action.kind
        if options.dry_run:
            return "dry run"
        is_skipped = (
            (options.skip_puts and kind in _WRITES)
            or (options.skip_finds and kind == "find")
            or (options.skip_asks and kind == "ask")
        )
        if is_skipped:
            return "skipped by option"
        if kind != "checkpoint" and not self._target.takes(action):
            return f"{action.name} is no call of the target"
        return ""

    def _compared(self, action: ReplayAction) -> _Compared:
        if action.kind == "checkpoint":
            return _Compared(divergences=self._compared_state(action))
        if self._session.capture == MEMVID:
            return self._compared_import(action)
        if "unfinished" in action.flags:
            raise NotComparable("it was recorded as unfinished: what came of it is not known")
        if self._session.capture != "full":
            raise NotComparable(f"the session kept no arguments and results (capture={self._session.capture!r})")
        if action.flags & {"unreplayable", "cut", "damaged"}:
            raise NotComparable("not all of its arguments and results could be kept")
        arguments = self._arguments(action)
        checked = self._target.checked(action, arguments, lambda value: as_recorded(value, self._clean))
        if checked is not None:
            return _Compared(divergences=checked)
        result, seen = self._ran(action, arguments)
        if self._options.ids == "content":
            self._ids.learn(action, seen)
        self._redacted.ran(action)
        return _Compared(
            divergences=self._counted(action, judge(action, seen, self._options)),
            duration_ns=result.duration_ns,
            ranking=ranking(action, seen, self._options),
            texts=texts_of(outcome_of(action), seen) if self._options.generate_diff else None,
        )

    def _compared_import(self, action: ReplayAction) -> _Compared:
        """Run a find of memvid's again: all that it kept of others is not enough."""
        if action.kind not in ("find", "ask"):
            raise Declined("memvid kept not what was written or called: only reads can run again")
        reason = why_not(action, self._options)
        if reason or action.flags & {"cut", "damaged", "redacted"}:
            raise NotComparable(reason or "its query is not the one that was asked")
        result, seen = self._ran(action, find_query(action))
        return _Compared(divergences=find_differences(action, seen, self._options), duration_ns=result.duration_ns)

    def _ran(self, action: ReplayAction, arguments: Mapping[str, Any]) -> tuple[Ran, Outcome]:
        """Run the call and return what came of it, also as a recording has it."""
        result = self._target.run(action, arguments)
        seen = self._as_recorded(action, result)
        was_so = action.error is not None and seen.error is not None and action.error.type == seen.error.type
        if isinstance(result.error, _INFRASTRUCTURE) and not was_so:
            raise _Unreachable(f"{type(result.error).__name__}: {result.error}")
        self._watch(action, seen)
        return result, seen

    def _compared_state(self, action: ReplayAction) -> list[Divergence]:
        if self._session.capture == MEMVID:
            raise Declined("a state hash of memvid's is that of its own file")
        checkpoint = self._checkpoints.get(getattr(action.action_type, "checkpoint_id", -1))
        seen = None if checkpoint is None else self._target.state_hash(checkpoint)
        if checkpoint is None or seen is None or not any(checkpoint.state_hash):
            raise Declined("there is no state to compare")
        if seen == checkpoint.state_hash:
            return []
        told = [
            Divergence(
                at_sequence=action.sequence,
                action_type=action.action_type.name,
                divergence_type=DivergenceType.STATE_HASH_MISMATCH,
                original_preview=checkpoint.state_hash.hex(),
                replay_preview=seen.hex(),
                details="the memory holds something else than at this checkpoint",
                where="state_hash",
            )
        ]
        return self._counted(action, told)

    def _counted(self, action: ReplayAction, divergences: list[Divergence]) -> list[Divergence]:
        """Return *divergences* unless they may come of what is not in the recording."""
        if not divergences:
            return divergences
        if not has_stored_form([dict(own_arguments(action.arguments)), action.output]):
            raise NotComparable("part of it was recorded in a form that this release does not know")
        reason = self._redacted.reason(action)
        if reason:
            raise NotComparable(reason)
        return divergences

    def _arguments(self, action: ReplayAction) -> dict[str, Any]:
        foreign = next((name for name, value in action.arguments.items() if isinstance(value, Opaque)), None)
        if foreign is not None:
            raise NotComparable(f"the argument {foreign!r} had no stored form")
        if self._options.ids == "exact":
            return dict(action.arguments)
        self._look_for(action)
        unknown = self._ids.unknown(action)
        if unknown is not None and may_run(action, self._options):
            raise NotComparable(
                f"frame {unknown} is not known on the target: no call before this one showed which of its frames it is"
            )
        return self._ids.translated(action)

    def _look_for(self, action: ReplayAction) -> None:
        """Learn which frame of the target holds what a read by id gave, where no call has shown it."""
        unknown = self._ids.unknown(action)
        if unknown is not None and isinstance(action.output, Frame):
            own = self._target.frame_like(action.output)
            if own is not None:
                self._ids.is_same(unknown, own)

    def _as_recorded(self, action: ReplayAction, seen: Ran) -> Outcome:
        if seen.error is not None:
            return Outcome(error=as_recorded(seen.error, self._clean))
        # Mostly both are the same: to see that by their packed bytes is
        # cheaper than to take them apart.
        value = as_recorded(seen.value, self._clean, expected=whole(action.output))
        is_elsewhere = self._options.ids == "content"
        return Outcome(value=value, frames=self._ids.as_recorded(seen.frames) if is_elsewhere else seen.frames)

    def _cause(self, divergence: Divergence, action: ReplayAction) -> str:
        options = self._options
        if self._session.capture == MEMVID:
            return ""
        k = next((action.arguments[name] for name in K_NAMES if is_count(action.arguments.get(name))), None)
        if action.kind in ("find", "ask") and k is not None and options.top_k not in (None, k):
            return f"k changed: {options.top_k} was asked for, {k} then"
        if action.kind == "find" and options.search_mode not in (None, action.arguments.get("mode")):
            return f"mode changed: {options.search_mode} was asked for, {action.arguments.get('mode', 'none')} then"
        is_answer = divergence.where.partition(".")[0] in ("answer", "error", "result")
        if action.kind == "ask" and is_answer and options.model is not None:
            return f"model changed: {_named(options)} was asked"
        if action.kind == "ask" and is_answer and options.temperature is not None:
            return f"temperature changed: {options.temperature:g} was asked for"
        if options.ids == "content":
            # What the target says of an id is about another frame.
            return ""
        return self._target.cause(divergence, action)

    def _diff(self, divergences: Sequence[Divergence], texts: tuple[str, str] | None) -> str:
        if not self._options.generate_diff:
            return ""
        # Previews of long texts may be cut before the first difference.
        pairs = [
            texts if texts is not None and item.where in ("answer.text", "result") else _previews(item)
            for item in divergences
        ]
        return "\n".join(word_diff(*pair) for pair in pairs)

    def _not_comparable(self, action: ReplayAction, reason: str) -> ActionResult:
        divergence = Divergence(
            at_sequence=action.sequence,
            action_type=action.action_type.name,
            divergence_type=DivergenceType.NOT_COMPARABLE,
            details=reason,
        )
        return self._said(action, "not_comparable", reason, divergences=(divergence,))

    def _said(self, action: ReplayAction, status: str, reason: str, **more: Any) -> ActionResult:
        return ActionResult(
            sequence=action.sequence,
            action_type=action.action_type.name,
            status=status,
            reason=reason,
            recorded_duration_ns=action.duration_ns,
            call="" if status in ("matched", "skipped") else call_text(action.name, action.arguments),
            **more,
        )


def _named(options: ReplayOptions) -> str:
    name = getattr(options.model, "__name__", None) or str(options.model)
    return name if options.provider is None else f"{options.provider}:{name}"


def _previews(divergence: Divergence) -> tuple[str, str]:
    return divergence.original_preview, divergence.replay_preview
