"""Sessions of a recording as tests: found again, told apart, shared out."""

from __future__ import annotations

import os
import pickle
import re

import pytest

import replaykit
from replaykit.errors import SessionNotFoundError, StoreNotFoundError, UsageError
from replaykit.regression.annotations import annotation
from replaykit.regression.sessions import OpenRecordings, recorded_sessions


@replaykit.records("find")
def search(query):
    return [query]


@pytest.fixture
def recording(own_folder):
    with replaykit.Recorder("runs.rpk") as recorder:
        for number in range(6):
            with recorder.session("support chat" if number % 2 else f"b/\N{ROCKET}\n{number}", metadata={"n": number}):
                search(number)
    return own_folder / "runs.rpk"


def test_each_session_has_a_label_of_its_own(recording):
    found = recorded_sessions(recording, name="support chat")

    assert len({each.label for each in found}) == len(found) == 3
    assert all(re.fullmatch("support chat-[0-9a-f]{8}", each.label) for each in found)
    assert [each.label for each in recorded_sessions(recording)[1::2]] == [each.label for each in found]
    assert all("\n" not in each.label for each in recorded_sessions(recording))


def test_a_reference_opens_its_session_anywhere(recording, monkeypatch):
    reference = recorded_sessions("runs.rpk", where={"n": 3})[0]
    monkeypatch.chdir(os.sep)

    with pickle.loads(pickle.dumps(reference)).open() as session:
        assert (session.session_id, session.metadata["n"]) == (reference.session_id, 3)
        assert session.actions[0].output == [3]


def test_many_sessions_are_read_out_of_one_opening(recording):
    with OpenRecordings() as recordings:
        sessions = [recordings.session(each) for each in recorded_sessions(recording)]

        assert [session.actions[0].output for session in sessions] == [[number] for number in range(6)]


def test_shards_share_out_all_sessions_as_replay_all_does(recording):
    parts = [recorded_sessions(recording, shard=f"{number}/3") for number in (1, 2, 3)]

    assert sorted(each.label for part in parts for each in part) == sorted(
        each.label for each in recorded_sessions(recording)
    )
    report = replaykit.replay_all(recording, search, shard="2/3")
    assert list(report.results) == [each.session_id for each in parts[1]]


def test_no_session_is_an_error_that_names_the_path_and_the_filters(recording):
    with pytest.raises(UsageError, match=r"runs\.rpk has no session with name='chat', where=\{'n': 99\}"):
        recorded_sessions("runs.rpk", name="chat", where={"n": 99})


@pytest.mark.parametrize(
    ("path", "filters", "error"),
    [
        ("missing.rpk", {}, StoreNotFoundError),
        (3, {}, UsageError),
        ("runs.rpk", {"shard": "4/3"}, UsageError),
        ("runs.rpk", {"state": "broken"}, UsageError),
    ],
)
def test_bad_input_is_told(recording, path, filters, error):
    with pytest.raises(error):
        recorded_sessions(path, **filters)


def test_a_session_that_was_deleted_since_is_not_found(recording):
    reference = recorded_sessions(recording)[0]
    with replaykit.Recorder("runs.rpk") as recorder:
        recorder.delete_session(reference.session_id)

    with pytest.raises(SessionNotFoundError), reference.open():
        pass


def test_an_annotation_is_one_line_whatever_is_in_it():
    shown = annotation("tests/a,b.py", 3, "test: x", "100 %\r\n::error::forged")

    assert shown == "::error file=tests/a%2Cb.py,line=3,title=test%3A x::100 %25%0D%0A::error::forged"
