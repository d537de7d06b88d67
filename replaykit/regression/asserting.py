"""``assert_replays``: a session's calls run again in a test, which fails with what differs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from replaykit.errors import DivergenceError, UsageError
from replaykit.loading import Recording, load
from replaykit.memory.memory import open_memory
from replaykit.model import DivergenceType, ReplayOptions, ReplayResult, ReplaySession
from replaykit.model.options import chosen_options
from replaykit.operations import Operation
from replaykit.playback.baselines import accepting
from replaykit.regression.explaining import explained, headline
from replaykit.regression.sessions import SessionReference
from replaykit.replaying import replay
from replaykit.suites.replaying import known_divergences

__all__ = ["assert_replays", "failure_message"]

Path = str | os.PathLike[str]


def assert_replays(
    session: ReplaySession | SessionReference | Path,
    target: Any,
    *,
    tolerance: float | None = None,
    baseline: Path | None = None,
    operations: Mapping[str, str | Operation] | None = None,
    options: ReplayOptions | None = None,
    **more: Any,
) -> ReplayResult:
    """
    Run a session's calls on *target* again and return the verdict if that is success; else fail with what differs.

    *session* is what ``get_session`` gives, or the path of a recording with
    one session in it.  *target* is as for `replay`, or the path of a memory,
    which is opened read-only.  *tolerance* is how far a hit's score may be off
    (``score_tolerance``); *options*, or the keywords of `ReplayOptions`, say
    the rest.  Divergences that the file *baseline* knows are accepted;
    ``replay_all(..., baseline=..., write_baseline=True)`` writes it.

    Nothing is recorded, and nothing is written without leave (``allow``).

    Raises:
        DivergenceError: Something differs, could not be run, is missing in
            the recording, or nothing was compared; it is an `AssertionError`.
        UsageError: An argument is wrong, or there are several sessions.
        StorageError: The recording or the memory cannot be opened.
    """
    __tracebackhide__ = True
    chosen = _options(tolerance, options, more)
    known = frozenset(known_divergences(baseline, chosen))
    with _opened(session, target) as (recorded, runs_on):
        result = accepting(replay(recorded, runs_on, operations=operations, options=chosen), known)
    if not result:
        raise DivergenceError(failure_message(result), result=result)
    return result


def failure_message(result: ReplayResult) -> str:
    """Return what a test says that fails with *result*: a line, what differs, and what can be done; bounded."""
    parts = [headline(result), explained(result), "\n".join(_next_steps(result))]
    return "\n\n".join(part for part in parts if part)


def _options(tolerance: float | None, options: ReplayOptions | None, more: Mapping[str, Any]) -> ReplayOptions:
    if tolerance is None:
        return chosen_options(options, more)
    if "score_tolerance" in more:
        raise UsageError("tolerance= is score_tolerance=: give one of them")
    return chosen_options(options, {**more, "score_tolerance": tolerance})


@contextmanager
def _opened(session: Any, target: Any) -> Iterator[tuple[ReplaySession, Any]]:
    """Give the session and the target, and close what was opened for that."""
    with ExitStack() as stack:
        if isinstance(session, SessionReference):
            session = stack.enter_context(session.open())
        elif isinstance(session, (str, os.PathLike)):
            session = _only_one(stack.enter_context(load(session)))
        elif not isinstance(session, ReplaySession):
            raise UsageError(
                f"assert_replays() takes a session or the path of a recording, not {type(session).__name__}: "
                "get_session() gives a session"
            )
        if isinstance(target, (str, os.PathLike)):
            target = stack.enter_context(open_memory(target, create=False, read_only=True))
        yield session, target


def _only_one(recording: Recording) -> ReplaySession:
    found = recording.list_sessions()
    if len(found) != 1:
        raise UsageError(
            f"{recording.location} has {len(found)} sessions, and a test needs to know which: give "
            f"replaykit.load({recording.location!r}).get_session(...)"
        )
    return recording.get_session(found[0])


# -- what can be done -------------------------------------------------------------

_TOLERANCES = (
    ({DivergenceType.SCORE_DRIFT}, "tolerance=X lets scores be off by X."),
    ({DivergenceType.HITS_MOVED}, "order='ties' lets hits of equal score change places, order='set' all hits."),
    ({DivergenceType.HITS_LOST, DivergenceType.HITS_NEW}, "min_overlap=0.8 is content with four of five hits."),
)


def _next_steps(result: ReplayResult) -> Iterator[str]:
    """Yield what can be done: what to give if this is as it should be, or what is wanting."""
    if result.verdict == "failed":
        yield from _if_wanted(result)
    elif result.verdict == "errored":
        yield "This says nothing about the calls that could not be run: see why the target fails, then run it again."
    elif result.incomplete:
        yield "Record a session that ends, keeps all of its calls and is recorded with capture='full'."
    elif result.verdict == "incomplete":
        yield "Leave out what cannot be compared: skip_finds=True, skip_asks=True, or the functions without this one."
    else:
        yield "Give the functions or the memory that it was recorded on, and allow=NAME for writes and tools."


def _if_wanted(result: ReplayResult) -> Iterator[str]:
    found = [item for each in result.action_results if each.status == "mismatched" for item in each.divergences]
    types = {item.divergence_type for item in found}
    yield "If this is as it should be, record the session anew, or accept it: a baseline=FILE of known divergences is"
    yield "written by replaykit.replay_all(recording, target, baseline=FILE, write_baseline=True)."
    yield from (hint for kinds, hint in _TOLERANCES if types <= kinds)
    if all(item.where.startswith("answer.") for item in found):
        yield "compare={'ask': 'frames'} compares the frames that answers stand on, not their words."
