"""What a worker does: replay some sessions of a recording, each for itself, and hand their results back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import attrs

from replaykit.errors import ReplaykitError, UsageError
from replaykit.loading import load
from replaykit.memory.memory import open_memory
from replaykit.model import ReplayOptions, ReplayResult, ReplaySession, SessionSummary
from replaykit.operations import Operation
from replaykit.replaying import replay

__all__ = ["Job", "Sessions", "in_order", "spread"]

_PER_OPENING = 8
"""How many sessions a worker replays between opening and closing the files."""


class Sessions(Protocol):
    """What lists sessions and reads them: a recording, a memory, a recorder, a wrapped object."""

    def list_sessions(
        self,
        *,
        name: str | None = None,
        state: str | None = None,
        since: Any = None,
        until: Any = None,
        where: Any = None,
    ) -> list[SessionSummary]:
        """Return the sessions that match."""

    def get_session(self, which: Any = "last") -> ReplaySession:
        """Return one of them."""


@attrs.frozen
class Job:
    """
    What to replay on what.

    Paths are opened by whoever runs the job, read-only: a job with nothing
    but paths can be sent to another process.
    """

    recording: Sessions | str
    target: Any
    operations: Mapping[str, str | Operation] | None
    options: ReplayOptions

    @property
    def opens(self) -> bool:
        """Whether running it opens files."""
        return isinstance(self.recording, str) or isinstance(self.target, (str, os.PathLike))

    @contextmanager
    def opened(self) -> Iterator[tuple[Sessions, Any]]:
        """Give the recording and the target, and close what this opened."""
        with ExitStack() as stack:
            named, target = self.recording, self.target
            recording: Sessions = stack.enter_context(load(named)) if isinstance(named, str) else named
            if isinstance(target, (str, os.PathLike)):
                target = stack.enter_context(open_memory(target, create=False, read_only=True))
            yield recording, target


def in_order(job: Job, sessions: Sequence[SessionSummary]) -> Iterator[ReplayResult]:
    """Yield the result of each session as it is there; what breaks one of them does not stop the others."""
    with job.opened() as (recording, target):
        for summary in sessions:
            try:
                session = recording.get_session(summary.session_id)
                yield replay(session, target, operations=job.operations, options=job.options)
            except Exception as error:
                # Whatever it is, it is this session's, and its result says so.
                yield _broken(summary, error, job.options)


def spread(job: Job, sessions: Sequence[SessionSummary], executor: Executor) -> Iterator[ReplayResult]:
    """
    Yield the results of all sessions, in the order in which *executor* is done with them.

    Raises:
        UsageError: The executor cannot take the job, as processes cannot take open files.
    """
    size = _PER_OPENING if job.opens else 1
    parts = [sessions[at : at + size] for at in range(0, len(sessions), size)]
    futures = {_submitted(executor, job, part): part for part in parts}
    try:
        for future in as_completed(futures):
            yield from _results(future, futures[future], job.options)
    finally:
        for future in futures:
            future.cancel()


def _submitted(executor: Executor, job: Job, part: Sequence[SessionSummary]) -> Future[list[ReplayResult]]:
    try:
        return executor.submit(_done, job, part)
    except BrokenExecutor as error:
        broken: Future[list[ReplayResult]] = Future()
        broken.set_exception(error)
        return broken


def _done(job: Job, sessions: Sequence[SessionSummary]) -> list[ReplayResult]:
    try:
        return list(in_order(job, sessions))
    except ReplaykitError as error:
        # The files could be opened before, but not here and now.
        return [_broken(summary, error, job.options) for summary in sessions]


def _results(
    future: Future[list[ReplayResult]], part: Sequence[SessionSummary], options: ReplayOptions
) -> list[ReplayResult]:
    try:
        return future.result()
    except BrokenExecutor as error:
        return [_broken(summary, error, options) for summary in part]
    except Exception as error:
        raise UsageError(
            f"the executor could not run a replay ({type(error).__name__}: {error}). Other processes take a recording "
            "and a memory by their paths, and functions that modules have by name"
        ) from error


def _broken(summary: SessionSummary, error: Exception, options: ReplayOptions) -> ReplayResult:
    return ReplayResult(
        session_id=summary.session_id,
        name=summary.name,
        total_actions=summary.action_count,
        options=options,
        error=f"{type(error).__name__}: {error}",
    )
