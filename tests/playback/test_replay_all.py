"""Many sessions give one verdict: the same in any order, by any executor, in parts and after an interruption."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from uuid import uuid4
from xml.etree import ElementTree

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.errors import StoreNotFoundError, UsageError
from replaykit.playback.reports import github_annotations, junit_xml
from replaykit.suites.shards import in_shard

ROWS = {"fox": ["a", "b"], "dog": ["c"]}


@replaykit.records("find")
def search(query, k=5):
    return [{"id": each, "text": query} for each in ROWS[query]][:k]


def killed(query, k=5):
    """End the process that this runs in."""
    os._exit(3)


@pytest.fixture
def store(tmp_path):
    """Five sessions: one finds dogs, four find foxes."""
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        for number in range(5):
            with recorder.session(f"run {number}", metadata={"even": number % 2 == 0}):
                search("dog" if number == 3 else "fox")
    return tmp_path / "runs.rpk"


@pytest.fixture
def memory(tmp_path):
    """A memory with twenty sessions, each about a frame of its own."""
    path = tmp_path / "notes.mv"
    with replaykit.open(path) as mv:
        for number in range(1, 21):
            mv.put(f"a red fox{number}")
        for number in range(1, 21):
            with mv.session(f"run {number}"):
                mv.find(f"fox{number}", k=3)
                mv.ask(f"what is fox{number}?")
    return path


def spawned(count):
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def processes():
    """Give two processes, which take as long to start as a test takes."""
    with spawned(2) as executor:
        yield executor


def changed(memory):
    with replaykit.open(memory) as mv:
        mv.update(3, "a red wolf")
        mv.delete(9)
        mv.put("a red fox9")


def told(report):
    return [(*record.values(),) for record in map(str_values, report.to_records())]


def str_values(record):
    return {name: str(value) for name, value in record.items()}


def test_every_session_is_replayed_in_the_order_of_recording(store):
    seen = []
    report = replaykit.replay_all(store, search, progress=lambda *done: seen.append(done))

    assert report
    assert [result.name for result in report.results.values()] == [f"run {number}" for number in range(5)]
    assert (report.totals["sessions"], report.totals["passed"], report.totals["matched_actions"]) == (5, 5, 5)
    assert seen == [(number, 5) for number in range(1, 6)]


def test_only_sessions_that_match_are_replayed(store):
    with replaykit.load(store) as recording:
        report = replaykit.replay_all(recording, search, where={"even": False})
        assert [result.name for result in report.results.values()] == ["run 1", "run 3"]
        assert len(replaykit.replay_all(recording, search, name="run 2").results) == 1
        nothing = replaykit.replay_all(recording, search, name="none")

    assert (nothing.verdict, bool(nothing)) == ("nothing compared", False)


def test_a_new_divergence_fails_with_session_action_and_cause(memory):
    changed(memory)
    report = replaykit.replay_all(memory, memory)
    [first, *_] = report.to_records()

    assert (report.verdict, report.totals["failed"]) == ("failed", 2)
    assert (first["session"], first["at_sequence"]) == ("run 3", 0)
    assert first["cause"] == "frame 3 was updated at generation 21"
    assert "new divergences" in repr(report)


def test_nothing_is_written_by_a_replay_of_paths(memory):
    before = memory.read_bytes()

    assert replaykit.replay_all(memory, memory)
    assert memory.read_bytes() == before
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]


@pytest.mark.parametrize("base", ["now", "then", "live"])
def test_threads_and_processes_come_to_the_same_report(memory, processes, base):
    with replaykit.open(memory) as mv:
        for number in range(6):
            with mv.session("writing"):
                mv.find("red", k=3)
                mv.put(f"a red bird{number}")
                mv.find(f"bird{number}")
    changed(memory)
    alone = replaykit.replay_all(memory, memory, base=base)
    apart = replaykit.replay_all(memory, memory, base=base, executor=processes)
    with replaykit.open(memory) as mv:
        together = replaykit.replay_all(mv, mv, base=base, workers=8)

    assert (told(alone) == []) is (base == "then")
    assert told(alone) == told(apart) == told(together)
    assert list(alone.results) == list(apart.results) == list(together.results)
    assert alone.totals == apart.totals == together.totals


def test_an_executor_of_ones_own_stays_open(store):
    with ThreadPoolExecutor(2) as executor:
        assert replaykit.replay_all(store, search, executor=executor)
        assert executor.submit(lambda: 5).result() == 5


def test_what_a_process_cannot_take_is_told(store, processes):
    with replaykit.load(store) as recording, pytest.raises(UsageError, match="by their paths"):
        replaykit.replay_all(recording, search, executor=processes)
    with pytest.raises(UsageError, match="by their paths"):
        replaykit.replay_all(store, {"search": lambda query, k: []}, executor=processes)


def test_a_worker_that_dies_makes_errors_and_no_verdict(store):
    with spawned(1) as executor:
        report = replaykit.replay_all(store, {"search": killed}, executor=executor)

    assert report.verdict == "errored"
    assert len(report.results) == 5
    assert all("BrokenProcessPool" in result.error for result in report.results.values())


class Damaged:
    """A recording of which one session cannot be read."""

    def __init__(self, recording, name):
        self.list_sessions = recording.list_sessions
        self._recording, self._name = recording, name

    def get_session(self, which):
        session = self._recording.get_session(which)
        if session.name == self._name:
            raise OSError("the disk is gone")
        return session


def test_one_broken_session_does_not_stop_the_rest(store):
    with replaykit.load(store) as recording:
        report = replaykit.replay_all(Damaged(recording, "run 1"), search)
    results = list(report.results.values())
    [suite] = [
        each
        for each in ElementTree.fromstring(junit_xml(results).encode())
        if each.get("name") == str(results[1].session_id)
    ]

    assert (report.verdict, report.totals["passed"], report.totals["errored"]) == ("errored", 4, 1)
    assert results[1].error == "OSError: the disk is gone"
    assert (suite.get("tests"), suite.get("errors"), suite[0].get("name")) == ("1", "1", "can be replayed")
    assert github_annotations(results) == [f"::error title=session {results[1].session_id}::OSError: the disk is gone"]


# -- shards -------------------------------------------------------------------------


@given(st.lists(st.uuids(), max_size=30), st.integers(1, 9))
def test_shards_are_disjoint_and_cover_all(ids, count):
    for session_id in ids:
        assert sum(in_shard(session_id, number, count) for number in range(1, count + 1)) == 1


def test_shards_are_of_like_size():
    ids = [uuid4() for _ in range(4_000)]

    assert all(800 < sum(in_shard(each, number, 4) for each in ids) < 1_200 for number in range(1, 5))


def test_the_shards_of_a_recording_are_the_whole(memory):
    parts = [replaykit.replay_all(memory, memory, shard=f"{number}/3") for number in (1, 2, 3)]
    ids = [session_id for part in parts for session_id in part.results]

    assert sorted(ids) == sorted(replaykit.replay_all(memory, memory, dry_run=True).results)
    assert len(set(ids)) == 20


@pytest.mark.parametrize("shard", ["", "0/3", "4/3", "1", "1/0", "-1/3", "1/3/5", "a/b", "9" * 99 + "/1"])
def test_a_wrong_shard_is_refused(store, shard):
    with pytest.raises(UsageError, match="2/8"):
        replaykit.replay_all(store, search, shard=shard)


# -- baselines ----------------------------------------------------------------------


def test_known_divergences_are_accepted_and_new_ones_fail(store, tmp_path, monkeypatch):
    known = tmp_path / "known.json"
    monkeypatch.setitem(ROWS, "dog", ["x"])
    with pytest.raises(UsageError, match="write_baseline=True"):
        replaykit.replay_all(store, search, baseline=known)
    assert not known.exists()
    written = replaykit.replay_all(store, search, baseline=known, write_baseline=True)
    held = known.read_text()
    report = replaykit.replay_all(store, search, baseline=known)

    assert written
    assert report
    assert (report.totals["known_actions"], report.totals["matched_actions"], report.to_records()) == (1, 4, [])
    assert [item["where"] for item in json.loads(held)["divergences"]] == ["hits[0]", "hits[0]"]
    monkeypatch.setitem(ROWS, "fox", ["a"])
    report = replaykit.replay_all(store, search, baseline=known)
    assert (report.verdict, len(report.new_divergences), report.totals["known_actions"]) == ("failed", 4, 1)
    assert {record["divergence_type"] for record in report.to_records()} == {"hits_lost"}
    assert known.read_text() == held


def test_what_is_known_and_gone_is_told(store, tmp_path, monkeypatch):
    known = tmp_path / "known.json"
    with monkeypatch.context() as patched:
        patched.setitem(ROWS, "dog", ["x"])
        replaykit.replay_all(store, search, baseline=known, write_baseline=True)
    report = replaykit.replay_all(store, search, baseline=known)

    assert report
    assert [item.divergence_type for item in report.fixed] == ["hits_lost", "hits_new"]
    assert replaykit.replay_all(store, search, baseline=known, skip_finds=True).fixed == []
    assert replaykit.replay_all(store, search, baseline=known, write_baseline=True).fixed == []
    assert json.loads(known.read_text())["divergences"] == []


def test_shards_write_one_baseline_together(memory, tmp_path):
    changed(memory)
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    replaykit.replay_all(memory, memory, baseline=whole, write_baseline=True)
    for number in (1, 2):
        replaykit.replay_all(memory, memory, baseline=parts, write_baseline=True, shard=f"{number}/2")

    assert len(json.loads(whole.read_text())["divergences"]) > 3
    assert parts.read_text() == whole.read_text()
    assert replaykit.replay_all(memory, memory, baseline=parts)


def test_a_known_divergence_is_no_failure_in_reports(store, tmp_path, monkeypatch):
    monkeypatch.setitem(ROWS, "dog", ["x"])
    report = replaykit.replay_all(store, search, baseline=tmp_path / "known.json", write_baseline=True)
    results = list(report.results.values())
    suites = ElementTree.fromstring(junit_xml(results).encode())

    assert github_annotations(results) == []
    assert sum(int(suite.get("failures")) for suite in suites) == 0
    assert sum(int(suite.get("skipped")) for suite in suites) == 1
    assert results[3].known_divergences[0].divergence_type is replaykit.DivergenceType.HITS_LOST


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"[]",
        b'{"replaykit_baseline": 2, "divergences": []}',
        b'{"replaykit_baseline": 1}',
        b'{"replaykit_baseline": 1, "divergences": [5]}',
        b'{"replaykit_baseline": 1, "divergences": [{"session_id": "x", "at_sequence": 1}]}',
        b'{"replaykit_baseline": 1, "divergences": [{"session_id": 5, "at_sequence": "1"}]}',
        b"\xff\xfe",
    ],
)
def test_a_baseline_that_is_none_is_refused(store, tmp_path, content):
    known = tmp_path / "known.json"
    known.write_bytes(content)
    for writes in (False, True):
        with pytest.raises(UsageError, match=r"known\.json"):
            replaykit.replay_all(store, search, baseline=known, write_baseline=writes)

    assert known.read_bytes() == content


def test_stopping_at_a_known_divergence_would_hide_new_ones(store, tmp_path):
    with pytest.raises(UsageError, match="stop_on_mismatch"):
        replaykit.replay_all(
            store, search, baseline=tmp_path / "known.json", write_baseline=True, stop_on_mismatch=True
        )


# -- resuming -----------------------------------------------------------------------


class Interrupted(BaseException):
    """The run is ended from outside."""


def test_an_interrupted_run_goes_on_where_it_was(memory, tmp_path):
    changed(memory)
    done = tmp_path / "done.jsonl"

    def interrupt(count, total):
        if count == 7:
            raise Interrupted

    with pytest.raises(Interrupted):
        replaykit.replay_all(memory, memory, resume=done, progress=interrupt)
    done.write_bytes(done.read_bytes()[:-20])
    second = replaykit.replay_all(memory, memory, resume=done)
    third = replaykit.replay_all(memory, memory, resume=done)
    fresh = replaykit.replay_all(memory, memory)

    assert (second.resumed, third.resumed) == (6, 20)
    assert told(second) == told(third) == told(fresh) != []
    assert second.totals == third.totals == fresh.totals
    assert third.results == second.results


def test_other_options_or_another_state_are_another_run(memory, tmp_path):
    done = tmp_path / "done.jsonl"
    replaykit.replay_all(memory, memory, resume=done)

    assert replaykit.replay_all(memory, memory, resume=done, base="then").resumed == 0
    changed(memory)
    report = replaykit.replay_all(memory, memory, resume=done)
    assert (report.resumed, report.verdict) == (0, "failed")


def test_a_result_comes_back_from_the_file_as_it_was(memory, tmp_path):
    changed(memory)
    done = tmp_path / "done.jsonl"
    before = replaykit.replay_all(memory, memory, resume=done, generate_diff=True)
    after = replaykit.replay_all(memory, memory, resume=done, generate_diff=True)

    assert after.resumed == 20
    assert after.results == before.results


def test_errors_are_tried_again(store, tmp_path):
    done = tmp_path / "done.jsonl"
    with replaykit.load(store) as recording:
        replaykit.replay_all(Damaged(recording, "run 1"), search, resume=done)
        report = replaykit.replay_all(recording, search, resume=done)

    assert (report.resumed, report.verdict) == (4, "passed")


def test_a_file_of_something_else_is_left_as_it_is(store, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("my notes\n")
    with pytest.raises(UsageError, match="something else"):
        replaykit.replay_all(store, search, resume=other)

    assert other.read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("matched_actions", "1"),
        ("error", None),
        ("action_results", 5),
        ("action_results", [5]),
        ("divergences", [{"divergence_type": "none of ours", "frames": []}]),
        ("divergences", [{}]),
        ("session_id", "x"),
        ("unknown", 1),
    ],
)
def test_a_line_that_was_damaged_is_replayed_again(store, tmp_path, name, value):
    done = tmp_path / "done.jsonl"
    replaykit.replay_all(store, search, resume=done)
    lines = [json.loads(line) for line in done.read_text().splitlines()]
    lines[2]["result"][name] = value
    done.write_text("".join(json.dumps(line) + "\n" for line in [*lines, 5, [], {"session_id": 7}]) + "[" * 100_000)
    report = replaykit.replay_all(store, search, resume=done)

    assert (report.resumed, report.verdict) == (4, "passed")


def test_what_cannot_be_told_again_is_not_resumed(store, tmp_path):
    with pytest.raises(UsageError, match="by name"):
        replaykit.replay_all(
            store, search, resume=tmp_path / "done.jsonl", compare={"find": lambda recorded, seen: True}
        )


# -- arguments ----------------------------------------------------------------------


def test_wrong_arguments_are_refused_before_the_first_session(store, tmp_path):
    with pytest.raises(UsageError, match="not both"), ThreadPoolExecutor(1) as executor:
        replaykit.replay_all(store, search, workers=2, executor=executor)
    for workers in (0, -1, True, "2"):
        with pytest.raises(UsageError, match="at least 1"):
            replaykit.replay_all(store, search, workers=workers)
    with pytest.raises(UsageError, match="not on a int"):
        replaykit.replay_all(store, 5)
    with pytest.raises(UsageError, match="not a int"):
        replaykit.replay_all(5, search)
    with pytest.raises(UsageError, match="needs baseline"):
        replaykit.replay_all(store, search, write_baseline=True)
    with pytest.raises(StoreNotFoundError):
        replaykit.replay_all(tmp_path / "none.rpk", search)
    with pytest.raises(StoreNotFoundError):
        replaykit.replay_all(store, tmp_path / "none.mv")


def test_a_wrapped_object_and_a_recorder_are_recordings_too(tmp_path):
    class Shelf:
        def query(self, text):
            return [{"id": 1, "text": text}]

    shelf = replaykit.wrap(Shelf(), store=tmp_path / "runs.rpk", operations={"query": "find"})
    with shelf.session("one"):
        shelf.query("red")

    assert replaykit.replay_all(shelf, shelf)
    assert replaykit.replay_all(shelf, Shelf(), operations={"query": "find"})
    assert attrs.asdict(replaykit.replay_all(shelf, shelf, workers=2), recurse=False)["resumed"] == 0
