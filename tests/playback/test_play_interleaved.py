"""What was recorded side by side plays side by side, in whatever order calls begin and end."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import Any

import pytest

import replaykit

THREADS = 8
CALLS = 12


@replaykit.records("find")
def search(query: str, k: int = 1) -> list[str]:
    return [f"{query} {number}" for number in range(k)]


@replaykit.records("tool")
async def fetch(url: str, turns: list[int]) -> str:
    # As many turns of the loop as it is told: so completion is shuffled, and
    # nobody waits for a clock.
    for _ in range(turns[0]):
        await asyncio.sleep(0)
    return url.upper()


def in_threads(plans: list[list[tuple[str, int]]]) -> list[list[Any]]:
    """Run each plan on a thread without context, all of them at once; return what came back."""
    barrier = threading.Barrier(len(plans))
    seen: list[list[Any]] = [[] for _ in plans]

    def run(number: int) -> None:
        barrier.wait()
        seen[number].extend(search(query, k) for query, k in plans[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(plans))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_eight_threads_get_what_they_got(seed: int) -> None:
    """Each its own answers, in another interleaving, in another order and on other threads."""
    chance = random.Random(seed)
    plans = [
        [(f"{thread}.{chance.randrange(CALLS)}", chance.randrange(3)) for _ in range(CALLS)]
        for thread in range(THREADS)
    ]
    with replaykit.session(store="runs.rpk", adopt=True):
        expected = in_threads(plans)

    order = list(range(THREADS))
    chance.shuffle(order)
    with replaykit.play("runs.rpk") as player:
        played = in_threads([plans[thread] for thread in order])
        assert [expected[thread] for thread in order] == played
        assert player.all_played
        assert player.play_count == THREADS * CALLS


@pytest.mark.parametrize("seed", range(3))
def test_gathered_tasks_get_what_they_got(seed: int) -> None:
    """Although they complete in another order than in the recording."""
    chance = random.Random(seed)
    turns = [[chance.randrange(20)] for _ in range(30)]

    async def gathered(order: list[int]) -> list[str]:
        answers = await asyncio.gather(*(fetch(f"u{number}", turns[number]) for number in order))
        return [answers[order.index(number)] for number in range(len(turns))]

    with replaykit.session(store="runs.rpk", adopt=True):
        expected = asyncio.run(gathered(list(range(len(turns)))))

    order = list(range(len(turns)))
    chance.shuffle(order)
    with replaykit.play("runs.rpk") as player:
        assert expected == asyncio.run(gathered(order))
        assert player.all_played


def test_equal_calls_of_all_threads_share_the_recorded_answers_once_each() -> None:
    turn = iter(range(THREADS * CALLS))

    @replaykit.records("tool")
    def draw() -> int:
        return next(turn)

    def draw_all() -> list[int]:
        barrier = threading.Barrier(THREADS)
        drawn: list[int] = []

        def run() -> None:
            barrier.wait()
            for _ in range(CALLS):
                drawn.append(draw())

        threads = [threading.Thread(target=run) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return drawn

    with replaykit.session(store="runs.rpk", adopt=True):
        expected = draw_all()

    with replaykit.play("runs.rpk"):
        assert Counter(expected) == Counter(draw_all())
