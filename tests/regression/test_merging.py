"""What a new recording leaves of an old one, by its calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import replaykit
from replaykit.model import ReplaySession
from replaykit.regression.normalising import has_calls, not_made_again, not_recorded_since


@replaykit.records("find")
def search(query: str) -> list[str]:
    return [query]


@replaykit.records("tool")
def fetch(query: str) -> list[str]:
    return search(query)


@pytest.fixture
def recorder() -> Iterator[replaykit.Recorder]:
    with replaykit.Recorder(":memory:") as recorder:
        yield recorder


def session(recorder: replaykit.Recorder, *calls: tuple[object, str]) -> ReplaySession:
    with recorder.session("calls") as recorded:
        for call, query in calls:
            call(query)  # type: ignore[operator]
    return recorded.result


def test_a_call_within_another_is_none_by_itself(recorder: replaykit.Recorder) -> None:
    """Else what one test searches would be dropped because another fetches it."""
    old = session(recorder, (search, "paris"), (fetch, "lyon"))
    new = session(recorder, (fetch, "paris"))

    assert not_made_again(old, new) == [0, 1, 2]
    assert not_made_again(old, session(recorder, (search, "paris"))) == [1, 2]


def test_calls_are_there_as_often_as_they_are_made(recorder: replaykit.Recorder) -> None:
    one, twice = session(recorder, (search, "paris")), session(recorder, (search, "paris"), (search, "paris"))

    assert has_calls(twice, one)
    assert not has_calls(one, twice)
    assert not has_calls(session(recorder, (fetch, "paris")), one)


def test_what_others_have_recorded_meanwhile_is_not_recorded_twice(recorder: replaykit.Recorder) -> None:
    """As if the test had begun after them: each of their calls answers one of its own, with all that it made."""
    before = session(recorder, (search, "paris"))
    old = session(recorder, (search, "paris"), (search, "rome"), (fetch, "lyon"))
    new = session(recorder, (search, "paris"), (search, "rome"), (search, "rome"), (fetch, "lyon"), (fetch, "nice"))

    assert not_recorded_since(before, old, new) == [0, 2, 5, 6]
    assert not_recorded_since(None, old, new) == [2, 5, 6]
    assert not_recorded_since(old, old, new) == list(range(7))
    assert not_recorded_since(old, before, new) == list(range(7))
