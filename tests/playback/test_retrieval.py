"""Rankings are compared by ids, order and scores; the measures are those of the literature."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.playback.hits import FoundHit
from replaykit.playback.retrieval import kendall_tau, rank_biased_overlap, retrieval_diff

IDS = st.integers(0, 9)
RANKINGS = st.lists(IDS, max_size=8)
DISTINCT = st.lists(IDS, max_size=8, unique=True)


def hits(*ids, scores=None):
    found = scores or [None] * len(ids)
    return [FoundHit(id=each, score=score) for each, score in zip(ids, found, strict=True)]


@given(RANKINGS)
def test_a_ranking_equals_itself(ids):
    diff = retrieval_diff(hits(*ids), hits(*ids))

    assert (diff.overlap, diff.tau) == (1.0, 1.0)
    assert math.isclose(diff.rbo, 1.0)
    assert (diff.lost, diff.new, diff.moved, diff.drifts) == ((), (), (), ())


@given(RANKINGS, RANKINGS)
def test_lost_and_new_mirror_each_other(ids, others):
    there, back = retrieval_diff(hits(*ids), hits(*others)), retrieval_diff(hits(*others), hits(*ids))

    assert (there.lost, there.new) == (back.new, back.lost)
    assert (there.overlap, len(there.moved)) == (back.overlap, len(back.moved))
    assert math.isclose(there.rbo, back.rbo)
    assert len(ids) - len(there.lost) == len(others) - len(there.new)


@given(DISTINCT, st.randoms(use_true_random=False))
def test_as_few_hits_moved_as_can_be(ids, random):
    seen = list(ids)
    random.shuffle(seen)
    diff = retrieval_diff(hits(*ids), hits(*seen))

    rising = max(
        len(kept)
        for size in range(len(ids) + 1)
        for kept in itertools.combinations(seen, size)
        if sorted(kept, key=ids.index) == list(kept)
    )
    assert len(diff.moved) == len(ids) - rising
    assert {move.id for move in diff.moved} <= set(ids)


def test_a_new_hit_on_top_moves_nothing():
    diff = retrieval_diff(hits(1, 2, 3), hits(9, 1, 2))

    assert (diff.lost, diff.new, diff.moved) == ((3,), (9,), ())
    assert diff.overlap == 2 / 3


def test_hits_of_equal_score_may_change_places_where_ties_are_free():
    recorded, seen = hits(1, 2, 3, scores=[2.0, 2.0, 1.0]), hits(2, 1, 3, scores=[2.0, 2.0, 1.0])

    assert len(retrieval_diff(recorded, seen).moved) == 1
    assert retrieval_diff(recorded, seen, order="ties").moved == ()
    assert len(retrieval_diff(recorded, hits(3, 1, 2, scores=[1.0, 2.0, 2.0]), order="ties").moved) == 1
    assert retrieval_diff(recorded, hits(3, 2, 1, scores=[1.0, 2.0, 2.0]), order="set").moved == ()


def test_a_repeated_hit_counts_each_time():
    diff = retrieval_diff(hits(3, 3), hits(3, 4))

    assert (diff.lost, diff.new) == ((3,), (4,))


def test_scores_drift_beyond_the_tolerance():
    recorded, seen = hits(1, 2, 3, scores=[3.0, 2.0, math.nan]), hits(1, 2, 3, scores=[3.0, 2.25, math.nan])

    assert [drift.id for drift in retrieval_diff(recorded, seen).drifts] == [2]
    assert retrieval_diff(recorded, seen, score_tolerance=0.25).drifts == ()
    assert retrieval_diff(recorded, seen, score_tolerance=0.25).largest_drift == 0.25


def test_a_score_that_is_gone_drifts_without_bound():
    [drift] = retrieval_diff(hits(1, scores=[1.0]), hits(1), score_tolerance=1e9).drifts

    assert (drift.recorded, drift.seen) == (1.0, None)


@given(st.permutations(range(7)))
def test_kendalls_tau_is_concordant_less_discordant_pairs(places):
    pairs = list(itertools.combinations(range(7), 2))
    concordant = sum(places[a] < places[b] for a, b in pairs)

    assert math.isclose(kendall_tau(places), (2 * concordant - len(pairs)) / len(pairs), abs_tol=1e-12)


@given(DISTINCT, DISTINCT)
def test_rank_biased_overlap_is_a_similarity(first, second):
    value = rank_biased_overlap(first, second)

    assert 0.0 <= value <= 1.0
    assert math.isclose(value, rank_biased_overlap(second, first))
    if not set(first) & set(second) and (first or second):
        assert value == 0.0


def rbo_of_equal_lengths(first, second, p):
    """Webber and others, equation 23: lists of one length."""
    agreement = [len(set(first[:d]) & set(second[:d])) / d for d in range(1, len(first) + 1)]
    end = len(first)
    return agreement[-1] * p**end + (1 - p) / p * sum(a * p**d for d, a in enumerate(agreement, 1))


@given(st.permutations("abcdefgh"), st.permutations("efghijkl"))
def test_rank_biased_overlap_of_lists_of_one_length(first, second):
    expected = rbo_of_equal_lengths(first, second, 0.9)

    assert math.isclose(rank_biased_overlap(first, second), expected, abs_tol=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_differences_at_the_top_count_more(p):
    at_top = rank_biased_overlap("abcdef", "xbcdef", persistence=p)
    at_end = rank_biased_overlap("abcdef", "abcdex", persistence=p)

    assert at_top < at_end < 1.0
