"""``replaykit.replay_all``: every session of a recording replayed, against what is known already."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

from replaykit.errors import UsageError
from replaykit.memory.memory import Memory
from replaykit.model import KnownDivergence, ReplayOptions, ReplayReport, ReplayResult, SessionSummary
from replaykit.model.options import chosen_options
from replaykit.operations import Operation
from replaykit.playback import baselines
from replaykit.playback.resuming import Finished
from replaykit.replaying import demand_target
from replaykit.suites.jobs import Job, Sessions, in_order, spread
from replaykit.suites.shards import part_of

__all__ = ["known_divergences", "replay_all"]

Path = str | os.PathLike[str]
Progress = Callable[[int, int], None]


def replay_all(
    recording: Any,
    target: Any,
    *,
    where: Callable[[Mapping[str, Any]], bool] | Mapping[str, Any] | None = None,
    name: str | None = None,
    state: str | None = None,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    shard: str | None = None,
    baseline: Path | None = None,
    write_baseline: bool = False,
    resume: Path | None = None,
    operations: Mapping[str, str | Operation] | None = None,
    options: ReplayOptions | None = None,
    progress: Progress = lambda done, total: None,
    **more: Any,
) -> ReplayReport:
    """
    Replay every session of *recording* that matches on *target*; the report is true only on success.

    *recording* is whatever lists sessions (a recording, a memory, a recorder,
    a wrapped object), or a path; *target* is as for `replay`, or the path of a
    memory, which is opened read-only.  *where*, *name*, *state*, *since* and *until* choose
    as ``list_sessions`` does; ``shard="2/8"`` takes the second of eight parts,
    which are told by the sessions' ids alone.  A session that breaks is
    errored, the others go on.

    *workers* is a number of threads; *executor* any executor of your own,
    which stays open.  Processes take the recording and the memory as paths.

    Divergences that the *baseline* file knows are accepted; with
    *write_baseline* the file is written: all that showed is known then.
    *resume* is a file that remembers finished sessions, so that the next run
    with equal options on an unchanged memory passes over them; whether
    functions have changed cannot be told.  *progress* is called with the
    sessions done and their number.

    Raises:
        UsageError: An argument is wrong, or a file is none of ours.
        StorageError: The recording or the memory cannot be opened.
    """
    chosen = chosen_options(options, more)
    known = known_divergences(baseline, chosen, writes=write_baseline)
    began = time.perf_counter_ns()
    job = Job(_sessions_or_path(recording), target, operations, chosen)
    with job.opened() as (reader, runs_on):
        demand_target(runs_on, operations, chosen)
        found = reader.list_sessions(name=name, state=state, since=since, until=until, where=where)
        done_before = None if resume is None else Finished(resume, chosen, _state_of(runs_on))
    results = _Results(part_of(found, shard), done_before, progress)
    results.take(_running(job, results.missing, workers, executor))
    make = baselines.report_against
    report = make(results.in_order(), known, resumed=results.resumed, duration_ns=time.perf_counter_ns() - began)
    if baseline is None or not write_baseline:
        return report
    known = baselines.write_baseline(baseline, report, known)
    return make(results.in_order(), known, resumed=results.resumed, duration_ns=report.duration_ns)


class _Results:
    """The results as they come in: those of an earlier run first."""

    def __init__(self, sessions: Sequence[SessionSummary], finished: Finished | None, progress: Progress) -> None:
        self._sessions = {summary.session_id: summary for summary in sessions}
        self._finished = finished
        self._progress = progress
        self._found: dict[UUID, ReplayResult] = {}
        for summary in sessions:
            result = None if finished is None else finished.result_of(summary)
            if result is not None:
                self._found[summary.session_id] = result
        self.resumed = len(self._found)

    @property
    def missing(self) -> list[SessionSummary]:
        """The sessions that have no result."""
        return [summary for session_id, summary in self._sessions.items() if session_id not in self._found]

    def take(self, results: Iterator[ReplayResult]) -> None:
        """Take *results* in as they come."""
        for result in results:
            self._found[result.session_id] = result
            if self._finished is not None:
                self._finished.append(self._sessions[result.session_id], result)
            self._progress(len(self._found), len(self._sessions))

    def in_order(self) -> dict[UUID, ReplayResult]:
        """Return all results in the order of the sessions."""
        return {session_id: self._found[session_id] for session_id in self._sessions}


def _running(
    job: Job, sessions: Sequence[SessionSummary], workers: int | None, executor: Executor | None
) -> Iterator[ReplayResult]:
    if workers is not None and executor is not None:
        raise UsageError("give workers= or executor=, not both")
    if executor is not None:
        yield from spread(job, sessions, executor)
    elif workers is None or _counted(workers) == 1:
        yield from in_order(job, sessions)
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="replaykit-replay") as threads:
            yield from spread(job, sessions, threads)


def _counted(workers: Any) -> int:
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise UsageError(f"workers={workers!r}: give a whole number of at least 1")
    return workers


def _sessions_or_path(recording: Any) -> Sessions | str:
    if isinstance(recording, (str, os.PathLike)):
        return os.fspath(recording)
    if not callable(getattr(recording, "list_sessions", None)):
        raise UsageError(f"replay_all() takes a recording or its path, not a {type(recording).__name__}")
    found: Sessions = recording
    return found


def known_divergences(baseline: Path | None, options: ReplayOptions, *, writes: bool = False) -> list[KnownDivergence]:
    """
    Return what the *baseline* file knows; nothing without one, or where it is yet to be written.

    Raises:
        UsageError: It is no baseline, there is none, or *options* do not go with one.
    """
    if baseline is None:
        if writes:
            raise UsageError("write_baseline=True needs baseline=: the file to write")
        return []
    if options.stop_on_mismatch:
        raise UsageError("stop_on_mismatch would end at what the baseline knows and hide what is new behind it")
    return [] if writes and not os.path.exists(baseline) else baselines.read_baseline(baseline)


def _state_of(target: Any) -> str:
    """Return what tells a memory that has changed; empty for what cannot be told."""
    return f"{target.lineage.memory_id} {target.generation}" if isinstance(target, Memory) else ""
