"""The fast search gives exactly what scoring every frame gives: ids, order and scores."""

from __future__ import annotations

import math

import apsw
import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

from replaykit.memory.counts import PhraseCounts
from replaykit.memory.engine import Engine
from replaykit.memory.ranking import Costs, terms_of, top
from replaykit.memory.schema import load_state
from replaykit.memory.script import spaced
from replaykit.memory.search import words

VOCABULARY = ["a", "the", "of", "run", "running", "fox", "den", "read_file", "東京", "é"]
TEXTS = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)
# Short lists make few ties and few common words: both kinds of memories are needed.
CORPORA = st.lists(TEXTS, min_size=1, max_size=40) | st.lists(st.sampled_from(["a fox", "the den", "a"]), min_size=1)
QUERIES = st.lists(st.sampled_from([*VOCABULARY, "absent"]), min_size=1, max_size=6).map(" ".join)
ALL_COSTS = [
    Costs(),
    Costs(few_rows=0),
    Costs(few_rows=0, long_list=0, lookup=0),
    Costs(few_rows=0, long_list=0, lookup=10**9),
    Costs(few_rows=2, few_matches=0, long_list=3, lookup=3, skip=1),
    Costs(few_rows=0, few_matches=0, visit=10**9),
    Costs(few_rows=2, few_matches=9, visit=10**9, screen=0, count=0),
    Costs(visit=0),
]


def every_frame_scored(connection, query, k, frame_count, passes=None):
    """Rank as the first version did: SQLite's own bm25(), each word apart, weighted and summed."""
    count = "SELECT count(*) FROM memory_index WHERE memory_index MATCH ?"
    scores = "SELECT rowid AS frame_id, -bm25(memory_index) * ? AS score FROM memory_index WHERE memory_index MATCH ?"
    bindings = []
    for word in words(query):
        phrase = f'"{spaced(word).strip()}"'
        found = connection.execute(count, (phrase,)).get
        if found:
            odds = (frame_count - found + 0.5) / (found + 0.5)
            bindings += [math.log1p(odds) / max(math.log(odds), 1e-6), phrase]
    if not bindings:
        return []
    parts = " UNION ALL ".join([scores] * (len(bindings) // 2))
    rows = connection.execute(
        f"WITH scored AS MATERIALIZED ({parts}) SELECT frame_id, round(sum(score), 9) AS total FROM scored "
        "GROUP BY frame_id ORDER BY total DESC, frame_id",
        bindings,
    )
    return [(frame_id, score) for frame_id, score in rows if passes is None or passes(frame_id)][:k]


def fast(connection, query, k, costs, passes=None):
    state = load_state(connection)
    phrases = [f'"{spaced(word).strip()}"' for word in words(query)]
    terms = terms_of(phrases, PhraseCounts().of(connection, phrases, state), state.frame_count)
    return [(hit.frame_id, hit.score) for hit in top(connection, terms, k, passes=passes, costs=costs)]


@settings(max_examples=effort(6_000))
@given(corpus=CORPORA, query=QUERIES, k=st.integers(1, 12), costs=st.sampled_from(ALL_COSTS), odd=st.booleans())
def test_the_best_frames_are_those_of_scoring_all(corpus, query, k, costs, odd):
    passes = (lambda frame_id: frame_id % 2 == 1) if odd else None
    with Engine(":memory:") as memory:
        memory.put_many({"content": text, "title": text[:5]} for text in corpus)
        with memory._reading() as connection:
            expected = every_frame_scored(connection, query, k, len(corpus), passes)

            assert expected == fast(connection, query, k, costs, passes)


@pytest.mark.parametrize("costs", ALL_COSTS)
def test_the_best_of_many_frames_are_those_of_scoring_all(costs):
    """Enough frames that combinations of words are ruled out."""
    with Engine(":memory:") as memory:
        memory.put_many(
            " ".join(word for step, word in enumerate(VOCABULARY[:7], 1) if number * 7919 % (step * 3 + 1) < 2) * 2
            for number in range(3_000)
        )
        with memory._reading() as connection:
            for query in ("a fox den", "the run", "fox", "of the running fox", "a the of run fox den absent"):
                for k in (1, 10, 2_000):
                    assert every_frame_scored(connection, query, k, 3_000) == fast(connection, query, k, costs)


# -- counts -----------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.sampled_from(["put", "update", "delete", "many"]), TEXTS, st.integers(0, 5)), max_size=8)


@given(steps=STEPS)
def test_kept_counts_are_those_of_a_fresh_count(steps):
    """After any writes in between."""
    phrases = [f'"{spaced(word).strip()}"' for word in words(" ".join([*VOCABULARY, "absent"]))]
    kept = PhraseCounts()
    with Engine(":memory:") as memory:
        live = memory.put_many(["the fox", "a den"])
        for kind, text, which in steps:
            if kind == "put":
                live.append(memory.put(text))
            elif kind == "many":
                live += memory.put_many([text] * 3)
            elif live and kind == "update":
                memory.update(live[which % len(live)], text)
            elif live:
                memory.delete(live.pop(which % len(live)))
            with memory._reading() as connection:
                counted = [
                    connection.execute("SELECT count(*) FROM memory_index WHERE memory_index MATCH ?", (phrase,)).get
                    for phrase in phrases
                ]
                assert counted == kept.of(connection, phrases, load_state(connection))


def test_a_find_inside_a_put_many_counts_what_is_in_so_far():
    with Engine(":memory:") as memory:
        memory.put("fox")
        memory.find("fox")

        def items():
            yield "fox"
            assert [hit.frame_id for hit in memory.find("fox")] == [1, 2]
            yield "fox"

        memory.put_many(items())
        assert [hit.frame_id for hit in memory.find("fox")] == [1, 2, 3]
        with pytest.raises(ZeroDivisionError):
            memory.put_many("fox" if number else 1 / 0 for number in (2, 1, 0))
        assert [hit.frame_id for hit in memory.find("fox")] == [1, 2, 3]


def test_a_memory_that_another_process_writes_is_counted_anew(tmp_path):
    path = str(tmp_path / "notes.mv")
    with Engine(path) as one, Engine(path, read_only=True) as other:
        one.put("fox")
        assert len(other.find("fox")) == 1
        one.put("fox den")
        one.update(1, "den")

        with one._reading() as connection:
            expected = every_frame_scored(connection, "fox den", 10, 2)
        assert expected == [(hit.frame_id, hit.score) for hit in other.find("fox den")]


def test_a_connection_that_was_not_prepared_counts_as_well():
    """The list of terms saves time only."""
    with Engine(":memory:") as memory:
        memory.put_many(["the fox", "the den"])
        with memory._reading() as connection:
            expected = PhraseCounts().of(connection, ['"the"', '"fox"'], load_state(connection))
            connection.execute("DROP TABLE temp.replaykit_terms")
            assert expected == PhraseCounts().of(connection, ['"the"', '"fox"'], load_state(connection)) == [2, 1]
            assert isinstance(connection, apsw.Connection)
