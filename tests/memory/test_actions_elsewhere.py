"""An action means a state of the memory that it was recorded on, and of the forks of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program
from replaykit.errors import CheckpointNotFoundError
from replaykit.memory.memory import Memory
from replaykit.model import ReplayAction

WAYS: dict[str, Callable[[Memory, ReplayAction], Any]] = {
    "at": lambda mv, action: mv.at(action),
    "fork": lambda mv, action: mv.fork(":memory:", at=action),
    "restore": lambda mv, action: mv.restore(action),
    "prune": lambda mv, action: mv.prune(before=action),
    "bisect": lambda mv, action: mv.bisect("one", bad=action),
}


def recorded(mv: Memory, *texts: str) -> list[ReplayAction]:
    """Put each text and look for it."""
    with mv.session("s") as session:
        for text in texts:
            mv.put(text)
            mv.find(text)
    return list(session.result.actions)


@pytest.fixture
def two() -> Iterator[tuple[Memory, Memory]]:
    """Return two memories, written in turns."""
    with replaykit.open("one.mv") as one, replaykit.open("other.mv") as other:
        yield one, other


@pytest.mark.parametrize("way", WAYS)
def test_an_action_of_another_memory_is_refused(way: str, two: tuple[Memory, Memory]) -> None:
    """Whichever was written first, and although both have a generation of that number."""
    one, other = two
    actions = recorded(one, "one")
    others = recorded(other, "two", "three")
    recorded(one, "four", "five")

    with pytest.raises(CheckpointNotFoundError, match="of another memory"):
        WAYS[way](one, others[0])
    with pytest.raises(CheckpointNotFoundError, match="of another memory"):
        WAYS[way](other, actions[0])


def test_a_read_from_before_the_generation_was_made_is_refused(two: tuple[Memory, Memory]) -> None:
    """It cannot have been seen."""
    one, other = two
    read = recorded(one, "one")[1]
    recorded(other, "two")

    with pytest.raises(CheckpointNotFoundError, match="of another memory"):
        other.at(read)


def test_where_the_store_has_the_session_reads_are_told_too() -> None:
    """Two memories whose sessions are kept together."""
    one = replaykit.open("one.mv", store="runs.rpk")
    other = replaykit.open("other.mv", store="runs.rpk")
    recorded(one, "one")
    read = recorded(other, "two")[1]

    with pytest.raises(CheckpointNotFoundError, match="generation=1 goes there all the same"):
        one.at(read)
    assert len(other.at(read)) == len(one.at(generation=1)) == 1
    one.close()
    other.close()


def test_every_action_of_its_own_is_accepted() -> None:
    """Writes that change nothing, failed calls, calls of views and of one transaction, before and after a fork."""
    with replaykit.open("m.mv") as mv:
        with mv.session("s") as session:
            first = mv.put("one")
            mv.put("one", dedupe=True)
            mv.put_many(["two", "three"])
            mv.put_many([])
            mv.update(first, title="t")
            with pytest.raises(replaykit.errors.FrameNotFoundError):
                mv.delete(99)
            mv.restore(generation=1)
            mv.restore(generation=1)
            mv.at(generation=1).find("one")
            mv.ask("one")
            mv.delete(first)
            mv.erase(first)
        actions = list(session.result.actions)
        with mv.fork("f.mv") as fork:
            for action in actions:
                assert mv.at(action).generation == fork.at(action).generation == action.generation
            later = recorded(mv, "later")
            recorded(fork, "in the fork")
            with pytest.raises(CheckpointNotFoundError, match="of another memory"):
                fork.at(later[0])


def test_a_clock_that_went_back_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then times say nothing."""
    with replaykit.open("m.mv") as mv:
        mv._frames._time_ns = lambda: 2**62
        mv.put("from the future")
        mv._frames._time_ns = lambda: 10**18
        put, find = recorded(mv, "one")
        assert len(mv.at(put)) == len(mv.at(find)) == 2


def test_bisecting_a_find_of_another_memory_is_refused(tmp_path: Path) -> None:
    """From a shell too: its store has the sessions of two memories."""
    with replaykit.open("one.mv", store="runs.rpk") as one:
        recorded(one, "one", "two")
    with replaykit.open("other.mv", store="one.mv") as other:
        recorded(other, "three")

    said = CliRunner().invoke(program, ["bisect", "one.mv", "s", "1"])
    assert said.exit_code == 2 and "of another memory" in said.output
