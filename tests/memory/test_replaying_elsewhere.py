"""The same session on another memory: frames are told by what they hold, whatever their ids are there."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit import Agreement, ReplayOptions
from replaykit.errors import FrameNotFoundError, UsageError
from replaykit.model import ActionResult, ReplayResult
from replaykit.operations import Operation

TEXTS = ["a red fox", "a red dog runs", "the blue bird of the red hill", "green"]
ELSEWHERE = {"base": "live", "ids": "content"}


def filled(texts, before=0):
    """Return a memory that holds *texts*, with ids that begin after *before*."""
    mv = replaykit.open(":memory:")
    for number in range(before):
        mv.put(f"passing {number}")
    for number in range(before):
        mv.delete(number + 1)
    for text in texts:
        mv.put(text, title=text.title(), metadata={"length": len(text)})
    return mv


def recorded(mv, run):
    with mv.session("run") as session:
        run(mv)
    return session.result


def read(mv):
    [hit, *_] = mv.find("red", k=3)
    mv.find("bird hill", k=1)
    mv.get(hit.frame_id)
    mv.ask("what is the fox?")
    mv.find("nothing of it")


def test_equal_contents_under_other_ids_agree():
    with filled(TEXTS) as mv, filled(TEXTS, before=7) as other:
        session = recorded(mv, read)
        result = replaykit.replay(session, other, **ELSEWHERE)

        assert result, result.to_records()
        assert result.matched_actions == 5
        assert (result.agreement.overlap, result.agreement.rbo, result.agreement.tau) == (1.0, 1.0, 1.0)
        assert replaykit.replay(session, other, base="live").verdict == "failed"


@given(st.lists(st.sampled_from(TEXTS), max_size=8), st.integers(0, 3))
def test_any_texts_agree_with_themselves_elsewhere(texts, before):
    with filled(texts) as mv, filled(texts, before=before) as other:
        session = recorded(mv, lambda memory: [memory.find(word, k=4) for word in ("red", "fox green", "hill")])

        assert replaykit.replay(session, other, **ELSEWHERE), texts


def test_what_the_other_memory_holds_otherwise_is_told():
    with filled(TEXTS) as mv, filled(["a red fox", "a red cat runs", *TEXTS[2:]], before=7) as other:
        result = replaykit.replay(recorded(mv, lambda memory: memory.find("red")), other, **ELSEWHERE)
    lost, new = (item for item in result.divergences if item.divergence_type.value.startswith("hits_"))

    assert result.verdict == "failed"
    assert (lost.frames, new.frames, lost.cause) == ((2,), ("9 of the target",), "")
    assert (result.agreement.finds, round(result.agreement.overlap, 3)) == (1, 0.667)


def test_an_id_that_both_have_is_not_the_same_frame():
    with filled(TEXTS) as mv, filled(["zebra fox", *TEXTS]) as other:
        result = replaykit.replay(recorded(mv, lambda memory: memory.find("fox")), other, **ELSEWHERE)

    assert {item.divergence_type.value for item in result.divergences} >= {"hits_new"}
    assert "content_changed" not in {item.divergence_type.value for item in result.divergences}


def test_writes_with_leave_go_to_the_frames_of_the_other_memory():
    def write(mv):
        first = mv.put("a new wolf")
        mv.put_many(["one wolf", "two wolves"])
        mv.update(first, "an old wolf")
        mv.get(first)
        mv.delete(first)
        mv.find("wolf")

    with filled(TEXTS) as mv, filled(TEXTS, before=7) as other:
        session = recorded(mv, write)
        result = replaykit.replay(session, other, allow=["put", "put_many", "update", "delete"], **ELSEWHERE)

        assert [item.status for item in result.action_results] == ["matched"] * 6, result.to_records()
        assert sorted(frame.content for frame in other) == sorted(frame.content for frame in mv)


def test_a_frame_that_no_call_showed_is_not_guessed():
    def run(mv):
        mv.get(2)
        mv.delete(2)

    with filled(TEXTS) as mv, filled(["another dog", *TEXTS[2:]], before=7) as other:
        result = replaykit.replay(recorded(mv, run), other, **ELSEWHERE)

        assert [item.status for item in result.action_results] == ["not_comparable", "skipped"]
        assert "frame 2" in result.action_results[0].reason
        assert len(other) == 3


def test_functions_are_recognised_by_content_too(tmp_path):
    @replaykit.records("find")
    def search(query):
        return [{"id": 1, "text": query}, {"id": 2, "text": "more"}]

    with replaykit.session("run", store=tmp_path / "runs.rpk") as session:
        search("fox")

    def elsewhere(query):
        return [{"id": "x", "text": query}, {"id": "y", "text": "more"}]

    assert replaykit.replay(session.result, {"search": elsewhere}, ids="content")
    assert not replaykit.replay(session.result, {"search": elsewhere})


def test_the_past_is_told_by_ids_alone():
    with filled(TEXTS) as mv:
        recorded(mv, read)
        for base in ("now", "then"):
            with pytest.raises(UsageError, match="base='live'"):
                mv.replay("run", ids="content", base=base)
        with pytest.raises(UsageError, match="exact, content"):
            ReplayOptions(ids="names")


def test_agreement_has_means_and_percentiles():
    def result(number, **more):
        return ActionResult(
            sequence=number,
            action_type="FIND",
            status="matched",
            duration_ns=number,
            recorded_duration_ns=10 * number,
            **more,
        )

    results = [result(number, overlap=number / 20, rbo=0.5, tau=-1.0) for number in range(1, 21)]
    passed_over = ActionResult(sequence=21, action_type="FIND", status="skipped", recorded_duration_ns=10**9)
    session_id = uuid4()
    found = ReplayResult(session_id=session_id, total_actions=21, action_results=[*results, passed_over]).agreement

    assert (found.finds, found.calls) == (20, 20)
    assert (found.overlap, found.rbo, found.tau) == (0.525, 0.5, -1.0)
    assert (found.recorded_p50_ns, found.recorded_p95_ns, found.seen_p50_ns, found.seen_p95_ns) == (100, 190, 10, 19)
    assert ReplayResult(session_id=session_id, total_actions=0).agreement == Agreement()


def test_a_read_by_id_that_no_call_showed_goes_to_the_frame_with_that_content():
    with filled(TEXTS) as mv, filled(TEXTS, before=7) as other:
        session = recorded(mv, lambda memory: [memory.get(number) for number in (3, 1)])
        other.delete(8)
        result = replaykit.replay(session, other, **ELSEWHERE)

    assert [item.status for item in result.action_results] == ["matched", "not_comparable"]
    assert "frame 1 is not known" in result.action_results[1].reason
    assert result.verdict == "incomplete"


def test_a_read_that_failed_agrees_though_its_message_says_another_id():
    def run(mv):
        [hit] = mv.find("fox")
        mv.delete(hit.frame_id)
        with pytest.raises(FrameNotFoundError):
            mv.get(hit.frame_id)

    with filled(TEXTS) as mv, filled(TEXTS, before=7) as other:
        result = replaykit.replay(recorded(mv, run), other, score_tolerance=1, allow="delete", **ELSEWHERE)

    assert [item.status for item in result.action_results] == ["matched"] * 3, result.to_records()


class Shelf:
    """A store whose ids begin with its name."""

    def __init__(self, name, texts):
        self.items = {f"{name}{number}": text for number, text in enumerate(texts)}

    def search(self, query):
        return [{"id": key, "text": text} for key, text in self.items.items() if query in text]

    def fetch(self, ids):
        return [self.items.get(key) for key in ids]

    def read(self, name):
        return self.items.get(name)

    def remove(self, ids):
        for key in ids:
            del self.items[key]


SHELF = {
    "search": "find",
    "fetch": Operation(kind="find", by_id=True),
    "read": Operation(kind="find", by_id=True),
    "remove": "delete",
}


def test_stores_of_others_are_read_and_changed_by_the_ids_that_they_have(tmp_path):
    shelf = replaykit.wrap(Shelf("a", TEXTS), store=tmp_path / "runs.rpk", operations=SHELF)
    with shelf.session("run") as session:
        shelf.fetch(["a3"])
        shelf.read("a3")
        shelf.search("red")
        shelf.fetch(["a0", "a1"])
        shelf.read("a1")
        shelf.remove(["a1"])
        shelf.remove(["a3"])
    other = Shelf("b", TEXTS)
    result = replaykit.replay(session.result, other, operations=SHELF, ids="content", allow="delete")

    statuses = [item.status for item in result.action_results]
    assert statuses == ["not_comparable"] * 2 + ["matched"] * 4 + ["not_comparable"], result.to_records()
    assert list(other.items) == ["b0", "b2", "b3"]
