"""How the background's thread rests: on a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import replaykit
from replaykit.recording import pace
from replaykit.recording.background import background_of
from replaykit.recording.pace import Pace

SLICE = 0.002
"""CPU seconds that the thread works between two rests: more than it may without one."""


class Machine:
    """Its thread works a slice between two questions; while it sleeps, the agent does something."""

    def __init__(self, agent: Callable[[Machine], None]) -> None:
        self.agent = agent
        self.now = self.worked = 0.0
        self.calls = 0
        self.slept: list[float] = []

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter

    def thread_time(self) -> float:
        self.worked += SLICE / 2
        return self.worked

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.agent(self)


def records(machine: Machine) -> None:
    machine.calls += 1


def computes(machine: Machine) -> None:
    machine.now += 0.005


def idles(machine: Machine) -> None:
    """It waits for its model."""


def rests_beside(monkeypatch: pytest.MonkeyPatch, agent: Any, waiting: int = 0) -> list[float]:
    """Return how long the thread slept at one pause beside *agent*, with so many sessions *waiting*."""
    machine = Machine(agent)
    monkeypatch.setattr(pace, "time", machine)
    Pace([None] * waiting, lambda: machine.calls).rest()
    return machine.slept


@pytest.mark.parametrize("agent", [records, computes])
def test_beside_an_agent_at_work_it_rests_for_longer_than_it_worked(monkeypatch: Any, agent: Any) -> None:
    look, rest = rests_beside(monkeypatch, agent)
    assert look < 0.0001 < SLICE / 2 < rest <= 0.01


def test_beside_an_agent_that_waits_it_only_looks(monkeypatch: Any) -> None:
    [look] = rests_beside(monkeypatch, idles)
    assert look < 0.0001


def test_each_beginning_is_seen_as_work() -> None:
    """Of a session, before its first call, and of each call."""
    with replaykit.Recorder(":memory:") as recorder:
        begun = background_of(recorder._engine.lease.store)._calls_begun
        seen = [begun()]
        with recorder.session() as session:
            seen.append(begun())
            for _ in range(2):
                session.record("tool", name="lookup")
                seen.append(begun())
    assert len(set(seen)) == 4


def test_it_rests_less_the_more_sessions_wait(monkeypatch: Any) -> None:
    rests = [rests_beside(monkeypatch, records, waiting)[1] for waiting in (0, 1, 10)]
    assert rests == sorted(rests, reverse=True)
    assert rests[0] > 2 * rests[2]


def test_it_takes_no_rest_while_somebody_waits(monkeypatch: Any) -> None:
    machine = Machine(records)
    monkeypatch.setattr(pace, "time", machine)
    paced = Pace([], lambda: machine.calls)
    with paced.hurried():
        paced.rest()
    assert machine.slept == []
