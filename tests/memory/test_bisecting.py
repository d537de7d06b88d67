"""The write after which a find gives something else is found in few looks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.errors import CheckpointNotFoundError, UsageError


@pytest.fixture
def mv(tmp_path):
    with replaykit.open(tmp_path / "notes.mv") as memory:
        yield memory


@settings(max_examples=20)
@given(st.integers(2, 60), st.data())
def test_the_one_write_that_matters_is_found(writes, data):
    at = data.draw(st.integers(2, writes))
    with replaykit.open(":memory:") as mv:
        mv.put("a red fox")
        for number in range(2, writes + 1):
            if number == at:
                mv.update(1, "a white fox")
            else:
                mv.put(f"filler {number}")
        found = mv.bisect("fox", good=1)

    assert (found.generation, found.last_good, found.changes) == (at, at - 1, ("frame 1 was updated",))
    assert found.probes <= 2 + math.ceil(math.log2(writes))
    assert (found.before[0].text, found.after[0].text) == ("a red fox", "a white fox")


def test_the_action_that_made_it_is_named(mv):
    with mv.session("good") as session:
        mv.put("the capital is Rome")
        mv.find("capital")
    mv.put("nothing")
    with mv.session("bad") as bad:
        mv.find("nothing")
        mv.delete(1)
    mv.put("nothing more")
    found = mv.bisect(session.result.actions[1])

    assert (found.session_id, found.sequence, found.lost) == (bad.result.session_id, 1, (1,))


def test_a_write_that_no_session_has_is_found_all_the_same(mv):
    mv.put("fox")
    found = mv.bisect("fox")

    assert (found.generation, found.new, found.session_id) == (1, (1,), None)


def test_nothing_changes_by_looking(mv):
    mv.put("fox")
    before = (mv.generation, mv.snapshot())
    mv.bisect("fox")

    assert (mv.generation, mv.snapshot()) == before


def test_pruned_generations_are_passed_over(mv):
    for number in range(10):
        mv.put(f"fox {number}")
    mv.prune(keep_checkpoints=0, before=8)
    found = mv.bisect("fox", good=8)

    assert found.generation in (9, 10)
    with pytest.raises(CheckpointNotFoundError):
        mv.bisect("fox", good=3)


@pytest.mark.parametrize(
    "ends",
    [{"good": 1}, {"good": 2, "bad": 1}, {"good": 1, "bad": 1}],
)
def test_ends_that_tell_nothing_are_refused(mv, ends):
    mv.put("fox")
    mv.put("dog")

    with pytest.raises(UsageError):
        mv.bisect("fox", **ends)


def test_only_finds_can_be_looked_into(mv):
    with mv.session() as session:
        mv.put("fox")
    with pytest.raises(UsageError, match="not a find"):
        mv.bisect(session.result.actions[0])
