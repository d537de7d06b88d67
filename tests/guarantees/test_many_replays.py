"""Many sessions on two workers come to one verdict, twice, and it is the one that what changed since calls for."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from effort import Figure, effort

import replaykit

_CHANGED_EVERY = 7


def _recorded(path: Path, sessions: int) -> list[str]:
    """Record sessions that each find a frame of their own; change some frames and return their sessions' names."""
    with replaykit.open(path) as mv:
        mv.put_many([f"the lamp number{number} of the harbour" for number in range(sessions)])
        for number in range(sessions):
            with mv.session(f"session {number}"):
                mv.find(f"number{number}", k=1)
        changed = range(0, sessions, _CHANGED_EVERY)
        for number in changed:
            # As long and with the words as often: no other session's scores move.
            mv.update(number + 1, f"the tower number{number} of the harbour")
    return [f"session {number}" for number in changed]


def _workers(sessions: int) -> Executor:
    # Of the light run the start of two processes would be the most part.
    if sessions < 100:
        return ThreadPoolExecutor(2)
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


def test_many_sessions_give_one_verdict_twice(tmp_path: Path, figure: Figure) -> None:
    """Each changed frame fails its own session, with its cause, and no other."""
    path, sessions = tmp_path / "many.mv", effort(2_000)
    changed = _recorded(path, sessions)
    with _workers(sessions) as executor:
        first, second = (replaykit.replay_all(path, path, executor=executor) for _ in range(2))

    records = first.to_records()
    assert [record["session"] for record in records] == changed
    assert {record["divergence_type"] for record in records} == {"content_changed"}
    assert all("was updated at generation" in record["cause"] for record in records)
    assert (first.totals["sessions"], first.totals["passed"]) == (sessions, sessions - len(changed))
    assert (first.to_records(), first.totals) == (second.to_records(), second.totals)
    figure("replay", f"{sessions:,} sessions on 2 workers, twice: one verdict, {len(changed):,} failed as they must")
