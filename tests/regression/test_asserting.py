"""`assert_replays` passes what is the same and fails with what is not: where, what and what next."""

from __future__ import annotations

import pickle

import pytest

import replaykit
from replaykit import testing
from replaykit.errors import DivergenceError, StorageError, UsageError
from replaykit.regression.sessions import recorded_sessions

ROWS: dict[str, list[dict[str, object]]] = {}
HITS = [{"id": 1, "score": 0.5, "text": "one"}, {"id": 2, "score": 0.25, "text": "two"}]


@replaykit.records("find")
def search(query):
    if query == "offline":
        raise ROWS[query]
    return ROWS[query]


@replaykit.records("tool")
def send(text):
    return {"sent": text, "count": len(ROWS)}


def run(*queries):
    for query in queries:
        search(query)


@pytest.fixture
def recorded(monkeypatch):
    """Return a function that records a run into ``runs.rpk`` and gives the session."""
    monkeypatch.setitem(ROWS, "fox", HITS)
    monkeypatch.setitem(ROWS, "dog", [])

    def record(call=lambda: run("fox", "dog"), name="run", **options):
        with replaykit.session(name, store="runs.rpk", **options) as session:
            call()
        return session.result

    return record


def failure(*arguments, **options):
    with pytest.raises(DivergenceError) as caught:
        replaykit.assert_replays(*arguments, **options)
    assert isinstance(caught.value, AssertionError)
    assert not caught.value.result
    # What pytest shows ends at the line of the test.
    assert all(entry.ishidden(caught) for entry in caught.traceback[1:])
    return str(caught.value)


def test_what_agrees_passes_with_its_verdict(recorded):
    result = replaykit.assert_replays(recorded(), search)

    assert result.matched_actions == 2
    assert testing.assert_replays is replaykit.assert_replays


def test_the_first_line_says_which_session_and_what_comes_first(recorded, monkeypatch):
    session = recorded()
    monkeypatch.setitem(ROWS, "dog", HITS[:1])
    first, *_ = failure(session, search).splitlines()

    assert first == (
        f'session "run" ({str(session.session_id)[:8]}): 1 of 2 actions differs; '
        "first action 1: new frame 1; recorded 0 hits, now 1, overlap 0.00"
    )


def test_a_score_within_the_tolerance_passes_and_one_beyond_says_which_option(recorded, monkeypatch):
    session = recorded()
    monkeypatch.setitem(ROWS, "fox", [{**HITS[0], "score": 0.51}, HITS[1]])

    assert replaykit.assert_replays(session, search, tolerance=0.02)
    assert replaykit.assert_replays(session, search, options=replaykit.ReplayOptions(score_tolerance=0.02))
    assert failure(session, search, tolerance=0.005).splitlines()[-1] == "tolerance=X lets scores be off by X."
    with pytest.raises(UsageError, match="give one of them"):
        replaykit.assert_replays(session, search, tolerance=0.02, score_tolerance=0.02)


def test_what_a_baseline_knows_passes_and_what_is_new_does_not(recorded, monkeypatch):
    session = recorded()
    monkeypatch.setitem(ROWS, "fox", HITS[:1])
    replaykit.replay_all("runs.rpk", search, baseline="known.json", write_baseline=True)

    result = replaykit.assert_replays(session, search, baseline="known.json")
    assert (result.known_actions, result.matched_actions) == (1, 1)
    monkeypatch.setitem(ROWS, "dog", HITS[:1])
    shown = failure(session, search, baseline="known.json")
    assert "1 of 2 actions differs; first action 1" in shown
    assert "note: 1 action differs as the baseline says" in shown
    with pytest.raises(UsageError, match=r"baseline none\.json: .*write_baseline=True"):
        replaykit.assert_replays(session, search, baseline="none.json")
    with pytest.raises(UsageError, match="stop_on_mismatch"):
        replaykit.assert_replays(session, search, baseline="known.json", stop_on_mismatch=True)


def test_nothing_compared_fails_and_says_why(recorded):
    shown = failure(recorded(lambda: send("hello")), send)

    assert "nothing was compared: all of its calls were passed over" in shown
    assert "skipped: action 0: send may change something: allow='send' lets it run" in shown
    assert "the session has no calls" in failure(recorded(lambda: None), search)


def test_a_target_that_cannot_be_reached_is_no_divergence(recorded, monkeypatch):
    monkeypatch.setitem(ROWS, "offline", KeyError("then"))
    session = recorded(lambda: pytest.raises(KeyError, search, "offline"))
    monkeypatch.setitem(ROWS, "offline", ConnectionError("no route"))
    shown = failure(session, search)

    assert "1 of 1 action could not be run, first action 0: ConnectionError: no route" in shown
    assert "says nothing about the calls" in shown


def test_a_recording_that_is_not_whole_never_passes(recorded):
    shown = failure(recorded(capture="preview"), search)

    assert "nothing differs, but not all of it could be compared: the session kept no arguments and results" in shown


def test_what_cannot_be_compared_is_told_apart_from_what_differs(recorded, monkeypatch):
    monkeypatch.setitem(ROWS, "odd", [object()])
    session = recorded(lambda: run("odd", "fox"))
    shown = failure(session, search)

    assert "not all of it could be compared: 1 of 2 actions cannot be held against anything" in shown
    assert "not comparable: action 0: not all of its arguments and results could be kept" in shown
    monkeypatch.setitem(ROWS, "fox", [])
    assert "1 of 2 actions differs; first action 1: lost frames 1, 2;" in failure(session, search)


def test_a_path_stands_for_its_only_session(recorded):
    recorded()

    assert replaykit.assert_replays("runs.rpk", search)
    (reference,) = recorded_sessions("runs.rpk")
    assert replaykit.assert_replays(pickle.loads(pickle.dumps(reference)), search)
    recorded()
    with pytest.raises(UsageError, match=r"runs\.rpk has 2 sessions"):
        replaykit.assert_replays("runs.rpk", search)


def test_a_memory_may_be_given_by_its_path():
    with replaykit.open("notes.mv") as mv, mv.session("writing"):
        mv.put("a lamp")
        mv.find("lamp")

    assert replaykit.assert_replays("notes.mv", "notes.mv").matched_actions == 2


@pytest.mark.parametrize(
    ("session", "target", "error", "said"),
    [
        (3, search, UsageError, "not int: get_session"),
        ("missing.rpk", search, StorageError, "missing.rpk"),
        ("runs.rpk", 3, UsageError, "not on a int"),
        ("runs.rpk", "missing.mv", StorageError, "missing.mv"),
    ],
)
def test_bad_input_is_no_failed_assertion(recorded, session, target, error, said):
    recorded()
    with pytest.raises(error, match=said):
        replaykit.assert_replays(session, target)
