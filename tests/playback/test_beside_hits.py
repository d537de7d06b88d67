"""What a find gives beside its hits counts as its hits do; what is never the same twice does not."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

import replaykit
from replaykit import DivergenceType as Kind
from replaykit.model import Structured

HIT = {"id": 1, "text": "red", "score": 0.5}

DIFFERING = {
    "how many there are": ({"hits": [HIT], "total": 10}, {"hits": [HIT], "total": 11}, "result.total"),
    "in a bad state": ({"results": [HIT], "degraded": False}, {"results": [HIT], "degraded": True}, "result.degraded"),
    "an error": ({"hits": [], "error": None}, {"hits": [], "error": "index offline"}, "result.error"),
    "an answer": ({"hits": [HIT], "answer": "yes"}, {"hits": [HIT], "answer": "no"}, "result.answer"),
    "an answer to no hits": ({"hits": [], "answer": "yes"}, {"hits": [], "answer": "no"}, "result.answer"),
    "more to come": ({"hits": [HIT], "next": "c1"}, {"hits": [HIT], "next": None}, "result.next"),
    "another list": ({"hits": [1], "sources": [2]}, {"hits": [1], "sources": [3]}, "result.sources[0]"),
    "counts of facets": ({"hits": [1], "facets": {"a": 1}}, {"hits": [1], "facets": {"a": 2}}, "result.facets.a"),
    "a member that went": ({"hits": [1], "note": "x"}, {"hits": [1]}, "result.note"),
    "a member that came": ({"hits": [1]}, {"hits": [1], "note": "x"}, "result.note"),
    "a member of a list's other form": ([HIT], {"hits": [HIT], "error": "offline"}, "result.error"),
    "a duration of a hit": ([{"id": 1, "duration": 3}], [{"id": 1, "duration": 4}], "frame 1.duration"),
    "a duration that was found by itself": (
        {"title": "a", "duration": 3},
        {"title": "a", "duration": 4},
        "result.duration",
    ),
    "facets that are named as times are": (
        {"hits": [1], "facets": {"duration": 3}},
        {"hits": [1], "facets": {"duration": 4}},
        "result.facets.duration",
    ),
    "what the measures hold beside times": (
        {"hits": [1], "stats": {"took_ms": 1, "scanned": 7}},
        {"hits": [1], "stats": {"took_ms": 2, "scanned": 8}},
        "result.stats.scanned",
    ),
    "an object's field": (
        Structured("a.Found", {"points": [HIT], "total": 10}),
        Structured("a.Found", {"points": [HIT], "total": 11}),
        "result.total",
    ),
    "a column": ({"ids": ["a"], "titles": ["x"]}, {"ids": ["a"], "titles": ["y"]}, "frame a.titles"),
    "embeddings": (
        {"ids": ["a"], "embeddings": [[1.0]]},
        {"ids": ["a"], "embeddings": [[2.0]]},
        "frame a.embeddings[0]",
    ),
    "embeddings of a query": (
        {"ids": [["a", "b"]], "embeddings": [[[1.0], [2.0]]], "documents": None},
        {"ids": [["a", "b"]], "embeddings": [[[1.0], [3.0]]], "documents": None},
        "frame b.embeddings[0]",
    ),
    "scores that are no numbers": (
        {"ids": ["a"], "scores": ["low"]},
        {"ids": ["a"], "scores": ["high"]},
        "frame a.scores",
    ),
    "distances and scores": (
        {"ids": ["a"], "distances": [0.5], "scores": [2.0]},
        {"ids": ["a"], "distances": [0.5], "scores": [3.0]},
        "frame a.scores",
    ),
    "a list that is no column": (
        {"ids": ["a", "b"], "documents": ["x"]},
        {"ids": ["a", "b"], "documents": ["y"]},
        "result.documents[0]",
    ),
    "an id of what was found in": ({"id": "a", "documents": [HIT]}, {"id": "b", "documents": [HIT]}, "result.id"),
    "what stands beside columns": ({"ids": ["a"], "error": None}, {"ids": ["a"], "error": "offline"}, "result.error"),
    "ids that are none": ({"ids": [[None]]}, {"ids": [[None, None]]}, "result.ids[0][1]"),
    "which query found it": ({"ids": [["a", "b"], []]}, {"ids": [["a"], ["b"]]}, "ids[0][1]"),
    "queries that changed places": ({"ids": [["a"], ["b"]]}, {"ids": [["b"], ["a"]]}, "ids[0][0]"),
    "how many queries": ({"ids": [["a"], []]}, {"ids": [["a"]]}, "ids"),
}

SAME = {
    "elasticsearch": ({"hits": [HIT], "took": 3}, {"hits": [HIT], "took": 4}),
    "meilisearch": (
        {"hits": [HIT], "processingTimeMs": 1, "requestUid": "0199", "estimatedTotalHits": 1},
        {"hits": [HIT], "processingTimeMs": 2, "requestUid": "01aa", "estimatedTotalHits": 1},
    ),
    "typesense": ({"hits": [HIT], "found": 1, "search_time_ms": 0}, {"hits": [HIT], "found": 1, "search_time_ms": 2}),
    "algolia": (
        {"hits": [HIT], "processingTimeMS": 1, "processingTimingsMS": {"total": 1}, "serverTimeMS": 1, "queryID": "a"},
        {"hits": [HIT], "processingTimeMS": 2, "processingTimingsMS": {"total": 2}, "serverTimeMS": 2, "queryID": "b"},
    ),
    "tavily": (
        {"results": [HIT], "response_time": 1.67, "request_id": "a"},
        {"results": [HIT], "response_time": "1.2", "request_id": "b"},
    ),
    "exa": (
        {"results": [HIT], "requestId": "a", "searchTime": 10},
        {"results": [HIT], "requestId": "b", "searchTime": 9},
    ),
    "pinecone": (
        Structured("pinecone.QueryResponse", {"matches": [HIT], "_response_info": {"raw_headers": {"date": "1"}}}),
        Structured("pinecone.QueryResponse", {"matches": [HIT], "_response_info": {"raw_headers": {"date": "2"}}}),
    ),
    "qdrant": ({"points": [HIT], "status": "ok", "time": 0.002}, {"points": [HIT], "status": "ok", "time": 0.001}),
    "one's own": (
        {
            "hits": [1],
            "elapsed_ms": 3,
            "latency": 1.5,
            "duration": 2,
            "time_ms": 9,
            "meta": {"took": 1, "trace_id": "a"},
        },
        {
            "hits": [1],
            "elapsed_ms": 4,
            "latency": 2.5,
            "duration": 3,
            "time_ms": 8,
            "meta": {"took": 2, "trace_id": "b"},
        },
    ),
    "chroma": (
        {"ids": ["a", "b"], "embeddings": None, "documents": ["x", "y"], "included": ["documents", "metadatas"]},
        {"ids": ["a", "b"], "embeddings": None, "documents": ["x", "y"], "included": ["documents", "metadatas"]},
    ),
    "the order of members": ({"hits": [1], "a": 1, "b": 2}, {"b": 2, "hits": [1], "a": 1}),
    "names that are no text": (
        Structured("a.Found", {1: 2, None: 3, "hits": [1]}),
        Structured("a.Found", {None: 3, 1: 2, "hits": [1]}),
    ),
    "an id of each response": (
        {"results": [HIT], "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf", "meta": {"api_version": 2}},
        {"results": [HIT], "id": "8c14c80d-c3eb-4519-9487-85c93edd09cf", "meta": {"api_version": 2}},
    ),
    "no hit": ({"ids": [], "documents": []}, {"ids": [], "documents": []}),
    "nothing beside": ([HIT], {"hits": [HIT]}),
}


def replayed(was: Any, now: Any, *, kind: str = "find", **options: Any) -> replaykit.ReplayResult:
    return replaykit.replay(recorded(was, kind=kind), {"search": lambda query: now}, **options)


def recorded(gave: Any, *, kind: str = "find") -> replaykit.ReplaySession:
    with replaykit.Recorder(":memory:") as recorder:
        with recorder.session("run") as session:
            session.record(kind, name="search", arguments={"query": "q"}, output=gave)
        return attrs.evolve(session.result, actions=tuple(session.result.actions))


@pytest.mark.parametrize("kind", ["find", "ask"])
@pytest.mark.parametrize(("was", "now", "where"), DIFFERING.values(), ids=DIFFERING)
def test_a_replay_tells_what_differs_beside_the_hits(was: Any, now: Any, where: str, kind: str) -> None:
    assert replayed(was, was, kind=kind)
    result = replayed(was, now, kind=kind)

    assert result.verdict == "failed"
    assert where in [item.where for item in result.divergences], result.to_records()
    assert replayed(now, was, kind=kind).verdict == "failed"


@pytest.mark.parametrize("kind", ["find", "ask"])
@pytest.mark.parametrize(("was", "now", "where"), DIFFERING.values(), ids=DIFFERING)
def test_a_comparison_of_sessions_tells_it_too(was: Any, now: Any, where: str, kind: str) -> None:
    first, second = recorded(was, kind=kind), recorded(now, kind=kind)

    assert replaykit.compare(first, recorded(was, kind=kind)).is_identical
    assert where in [item.where for item in replaykit.compare(first, second).differing_actions]
    assert not replaykit.compare(second, first).is_identical


@pytest.mark.parametrize("kind", ["find", "ask"])
@pytest.mark.parametrize(("was", "now"), SAME.values(), ids=SAME)
def test_what_is_never_the_same_twice_is_no_difference(was: Any, now: Any, kind: str) -> None:
    result = replayed(was, now, kind=kind)

    assert result, result.to_records()
    assert replaykit.compare(recorded(was, kind=kind), recorded(now, kind=kind)).is_identical


def test_it_is_said_which_member_was_what_and_is_what():
    [one] = replayed({"hits": [HIT], "total": 10}, {"hits": [HIT], "total": 11}).divergences
    assert (one.divergence_type, one.details) == (Kind.OUTPUT_MISMATCH, "result.total was 10, is 11")
    assert (one.original_preview, one.replay_preview) == ("10", "11")

    [gone] = replayed({"hits": [1], "note": "x"}, {"hits": [1]}).divergences
    assert gone.details == "result.note was 'x', is nothing"

    [two] = replayed({"hits": [], "a": 1, "b": 2}, {"hits": [], "a": 3, "b": 4}).divergences
    assert two.details == "result.a was 1, is 3, and 1 more place"
    assert [change.where for change in two.changes] == ["result.a", "result.b"]


def test_what_is_said_of_large_members_is_short_and_names_them():
    was = {"hits": [1], "context": ["word " * 100_000], "total": 1}
    now = {"hits": [1], "context": ["words " * 100_000], "total": 1}
    [found] = replayed(was, now).divergences

    assert found.where == "result.context"
    assert len(found.details) < 400


def test_numbers_beside_hits_have_the_tolerance_of_scores():
    was = {"hits": [HIT], "max_score": 0.5, "stats": {"mean": [0.5, 1]}, "total": 10}
    near = {"hits": [{**HIT, "score": 0.54}], "max_score": 0.54, "stats": {"mean": [0.46, 1]}, "total": 10}

    assert replayed(was, near, score_tolerance=0.05)
    assert replaykit.compare(recorded(was), recorded(near), score_tolerance=0.05).is_identical
    assert replayed(was, near, score_tolerance=0.01).verdict == "failed"
    # What is counted has no tolerance, and neither has what is no number.
    assert replayed(was, {**was, "total": 11}, score_tolerance=5).verdict == "failed"
    assert replayed(was, {**was, "max_score": math.nan}, score_tolerance=5).verdict == "failed"
    assert replayed(was, {**was, "max_score": True}, score_tolerance=5).verdict == "failed"
    assert replayed(was, {**was, "max_score": 10**400}, score_tolerance=5).verdict == "failed"


def test_hits_are_compared_without_the_rest_where_that_is_asked_for():
    was, now = {"hits": [HIT], "total": 10}, {"hits": [HIT], "total": 11}

    assert replayed(was, now, compare={"find": "frames"})
    assert replayed(was, now, compare={"find": lambda then, seen: then["hits"] == seen["hits"]})


def test_hits_of_several_queries_are_told_by_their_query():
    [lost, new] = replayed({"ids": [["a", "b"], []]}, {"ids": [["a"], ["b"]]}).divergences

    assert (lost.divergence_type, new.divergence_type) == (Kind.HITS_LOST, Kind.HITS_NEW)
    assert lost.details == "lost frame b (query 1); recorded 2 hits, now 2, overlap 0.50"
    assert (new.where, new.frames) == ("ids[1][0]", ("b",))
    assert [(change.query, change.seen_rank) for change in new.changes] == [(2, 1)]

    moved = replayed({"ids": [["x"], ["a", "b"]]}, {"ids": [["x"], ["b", "a"]]}).first_divergence
    assert (moved.divergence_type, moved.where) == (Kind.HITS_MOVED, "ids[1][1]")
    assert moved.details.startswith("moved: frame b (query 2) from 2 to 1")


def test_a_query_that_finds_more_says_nothing_of_the_others():
    [new] = replayed({"ids": [["a"], ["c", "d"]]}, {"ids": [["a", "b"], ["c", "d"]]}).divergences

    assert (new.divergence_type, new.frames) == (Kind.HITS_NEW, ("b",))


def test_columns_are_held_against_rows_and_an_empty_result():
    """With no hit the columns are empty, or there are none."""
    full = {"ids": ["a"], "documents": ["x"], "embeddings": [[1.0]], "included": ["documents"]}
    none = {"ids": [], "documents": [], "embeddings": [], "included": ["documents"]}

    [lost] = replayed(full, none).divergences
    assert (lost.divergence_type, lost.frames) == (Kind.HITS_LOST, ("a",))
    assert replayed(full, [{"id": "a", "text": "x", "embeddings": [1.0], "included": 1}]).verdict == "failed"


@pytest.mark.libraries
def test_arrays_are_columns_too():
    import numpy

    was = {"ids": ["a", "b"], "embeddings": numpy.array([[1.0, 2.0], [3.0, 4.0]])}
    now = {"ids": ["a", "b"], "embeddings": numpy.array([[1.0, 2.0], [3.0, 5.0]])}

    assert replayed(was, {**was, "embeddings": was["embeddings"].copy()})
    [found] = replayed(was, now).divergences
    assert (found.divergence_type, found.frames) == (Kind.CONTENT_CHANGED, ("b",))
