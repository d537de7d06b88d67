"""Calls that ran at the same time take effect in another order than that in which they began."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

import replaykit
from replaykit.memory.memory import Memory
from replaykit.model import ReplaySession

SECONDS = 20


class Waiting:
    """An embedder that lets the first text that says "slow" wait until `go` is set."""

    name, dimension = "waiting", 2

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if any("slow" in text for text in texts):
            self.entered.set()
            assert self.go.wait(SECONDS)
        return [[float(len(text)), 1.0] for text in texts]


@pytest.fixture
def memory() -> Iterator[tuple[Memory, Waiting]]:
    embedder = Waiting()
    with replaykit.open(":memory:", embedder=embedder) as mv:
        yield mv, embedder


def overtaken(mv: Memory, embedder: Waiting) -> ReplaySession:
    """Record a put that another one, which began later, overtakes."""
    with mv.session("s") as session:
        mv.put("before")
        slow = threading.Thread(target=mv.put, args=("slow words",))
        slow.start()
        assert embedder.entered.wait(SECONDS)
        mv.put("quick words")
        mv.find("words", mode="lex")
        embedder.go.set()
        slow.join(SECONDS)
        mv.find("words", mode="lex")
        mv.update(2, "quick again")
        session.checkpoint()
    return session.result


def test_writes_run_again_by_their_generations(memory: tuple[Memory, Waiting]) -> None:
    """The recorded order of begin would give the frames each other's ids, and blame the code."""
    session = overtaken(*memory)
    assert [(action.kind, action.generation) for action in session.actions][1:4] == [
        ("put", 3),
        ("put", 2),
        ("find", 2),
    ]

    result = memory[0].replay(session, base="then")

    assert result, result.divergences
    assert [item.sequence for item in result.action_results] == list(range(7))
    assert memory[0].replay(session)


def test_where_something_differs_it_is_told_by_sequence(memory: tuple[Memory, Waiting]) -> None:
    """And with stop_on_mismatch it ends with the first that took effect."""
    session = overtaken(*memory)

    result = memory[0].replay(session, base="then", skip_puts=True)

    told = [item.at_sequence for item in result.divergences]
    assert told and told == sorted(told)
    stopped = memory[0].replay(session, base="then", skip_puts=True, stop_on_mismatch=True)
    assert stopped.mismatched_actions == 1


def test_threads_that_write_and_read_at_once_replay() -> None:
    """Many of them, whatever their order was."""
    with replaykit.open(":memory:") as mv:
        barrier = threading.Barrier(3)

        def work(number: int) -> None:
            barrier.wait(SECONDS)
            for step in range(8):
                mv.put(f"thread {number} step {step}")
                mv.find(f"thread {number}")

        with mv.session("s", adopt=True) as session:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        result = mv.replay(session.result, base="then")
        assert result.matched_actions == result.total_actions == 48, result.divergences
