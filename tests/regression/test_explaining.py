"""What a failed replay shows to people: every kind of difference, readable, bounded and harmless."""

from __future__ import annotations

import re

import pytest

import replaykit
from replaykit import FieldChange, HitChange
from replaykit.regression.asserting import failure_message
from replaykit.regression.explaining import explained, headline

GIVEN: dict[str, object] = {}


@replaykit.records("find")
def search(query):
    return GIVEN[query]


@replaykit.records("ask")
def ask(question):
    return GIVEN[question]


@replaykit.records("tool")
def tool(name):
    value = GIVEN[name]
    if isinstance(value, Exception):
        raise value
    return value


def explained_change(function, then, now, monkeypatch, **options):
    """Record *function* as it gives *then*, replay it as it gives *now*; return the explanation."""
    monkeypatch.setitem(GIVEN, "x", then)
    with replaykit.session("run", store="runs.rpk") as session:
        function("x")
    monkeypatch.setitem(GIVEN, "x", now)
    return explained(replaykit.replay(session.result, function, allow="tool", **options))


def hit(number, text="", score=None):
    return {"id": number, "text": text} | ({} if score is None else {"score": score})


THEN = [hit(1, "red lamp", 0.9), hit(2, "blue lamp", 0.8), hit(3, "old lamp", 0.7)]


@pytest.mark.parametrize(
    ("function", "then", "now", "lines"),
    [
        (
            search,
            THEN,
            [THEN[0], hit(7, "a ship", 0.85)],
            [
                "action 0: search(query='x')  (3 hits then, 2 now)",
                "    lost   frame 2  rank 2, score 0.8  blue lamp",
                "    lost   frame 3  rank 3, score 0.7  old lamp",
                "    new    frame 7  rank 2, score 0.85  a ship",
            ],
        ),
        (search, THEN, [THEN[2], *THEN[:2]], ["    moved  frame 3  from rank 3 to 1  old lamp"]),
        (
            search,
            THEN,
            [hit(1, "red lamp", 0.95), hit(2, "blue lamp"), THEN[2]],
            [
                "    score  frame 1  0.9 -> 0.95 (+0.05)  red lamp",
                "    score  frame 2  0.8 -> none  blue lamp",
            ],
        ),
        (
            search,
            THEN,
            [hit(1, "red lamp", 0.9), hit(2, "blue ship", 0.8), hit(3, "new lamp", 0.7)],
            ["    frame 2.text: blue [-lamp-]{+ship+}", "    frame 3.text: [-old-] {+new+} lamp"],
        ),
        (ask, "It is Rome, I think.", "It is Paris, I think.", ["    result: It is [-Rome,-] {+Paris,+} I think."]),
        (ask, "one\ntwo", "one\nthree", ["    result:", "        one", "        [-two-]{+three+}"]),
        (
            tool,
            {"rows": [1, {"name": "a b", "n": 1}]},
            {"rows": [2, {"name": "a c", "n": 1.0}]},
            ["    result.rows[0]: 1 -> 2", "    result.rows[1].n: 1 -> 1.0", "    result.rows[1].name: a [-b-]{+c+}"],
        ),
        (tool, [1, 2], [1], ["    recorded 2 items, now 1 item", "    result[1]: 2 -> nothing"]),
        (tool, 3, ValueError("bad"), ["    recorded success, now ValueError: bad"]),
    ],
    ids=["lost and new", "moved", "scores", "contents", "text", "lines", "fields", "fewer items", "error"],
)
def test_each_kind_of_difference_is_shown(function, then, now, lines, monkeypatch):
    shown = explained_change(function, then, now, monkeypatch).splitlines()

    assert shown[-len(lines) :] == lines


def test_an_answer_of_a_memory_is_told_by_words_with_its_cause():
    with replaykit.open(":memory:") as mv:
        mv.put("Paris is the capital of France.")
        with mv.session("asking"):
            mv.ask("What is the capital of France?")
        mv.update(1, "Lyon is the capital of France.")
        shown = explained(mv.replay("last"))

    assert "    answer.text: [-Paris-] {+Lyon+} is the capital of France." in shown
    assert "    likely cause: frame 1 was updated at generation 2" in shown


def test_nothing_is_explained_where_all_agreed(monkeypatch):
    assert explained_change(search, THEN, THEN, monkeypatch) == ""


def test_many_differences_are_counted_not_shown(monkeypatch):
    monkeypatch.setitem(GIVEN, "x", [hit(number, "word " * 200) for number in range(200)])
    with replaykit.session("run", store="runs.rpk") as session:
        for _ in range(7):
            search("x")
    monkeypatch.setitem(GIVEN, "x", [hit(number, "term " * 200) for number in range(100, 400)])
    result = replaykit.replay(session.result, search)
    shown = failure_message(result)

    assert "action 4: " in shown
    assert "action 5: " not in shown
    assert "and 2 more actions that differ" in shown
    assert [shown.count(f"    and {count} more like this") for count in (95, 195)] == [10, 5]
    assert len(shown) < 30_000
    assert result.divergences[0].changed == 100
    assert len(result.divergences[0].changes) == 5


def test_a_write_of_many_frames_is_shown_by_the_first_ones():
    with replaykit.open(":memory:") as mv:
        with mv.session("writing"):
            mv.put_many([f"text {number}" for number in range(30)])
        for number in range(1, 31):
            mv.delete(number)
        shown = explained(mv.replay("last")).splitlines()

    assert shown[1:3] == ["    frame 1 is gone", "    frame 2 is gone"]
    assert "    and 20 more divergences" in shown
    assert len(shown) < 40


def test_recorded_text_steers_no_terminal_and_passes_for_no_line_of_ours(monkeypatch):
    evil = "a\x1b[2J\r\u202eb\naction 9: find()\nnote: fine"
    monkeypatch.setitem(GIVEN, evil, [hit("i\nd", evil)])
    with replaykit.session(evil, store="runs.rpk") as session:
        search(evil)
        ask(evil)
    monkeypatch.setitem(GIVEN, evil, [hit("i\nd", evil[::-1])])
    result = replaykit.replay(session.result, [search, ask])
    shown = f"{headline(result)}\n{explained(result)}"

    assert all(char.isprintable() or char == "\n" for char in shown)
    ours = [line for line in shown.splitlines() if not line.startswith(" ")]
    assert [re.match(r"session|action \d", line)[0] for line in ours] == ["session", "action 0", "action 1"]


def test_the_facts_are_there_for_programs_too(monkeypatch):
    monkeypatch.setitem(GIVEN, "x", THEN)
    with replaykit.session("run", store="runs.rpk") as session:
        search("x")
        tool("x")
    monkeypatch.setitem(GIVEN, "x", THEN[:2])
    result = replaykit.replay(session.result, [search, tool], allow="tool")
    lost, fewer = result.divergences

    assert lost.changes == (HitChange(change="lost", frame=3, recorded_rank=3, recorded_score=0.7, holds="old lamp"),)
    assert [type(each) for each in fewer.changes] == [FieldChange]
    assert "changes" not in result.to_records()[0]
    found = result.action_results[0]
    assert (found.recorded_count, found.seen_count, found.call) == (3, 2, "search(query='x')")
