"""Sequences are lined up by content: what one has more of is all that is left over."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from replaykit.playback import alignment
from replaykit.playback.alignment import align

ITEMS = st.lists(st.sampled_from("aabcd"), max_size=12)


@given(ITEMS, ITEMS)
def test_pairs_are_equal_rise_and_mirror(first, second):
    pairs = align(first, second)

    assert all(first[at] == second[its] for at, its in pairs)
    assert pairs == sorted(pairs)
    assert len({at for at, _ in pairs}) == len({its for _, its in pairs}) == len(pairs)
    assert align(second, first) == [(its, at) for at, its in pairs]


@given(ITEMS, st.integers(0, 12), st.sampled_from("aabcdX"))
def test_one_inserted_item_is_one_left_over(items, at, item):
    longer = [*items[:at], item, *items[at:]]

    assert len(align(items, longer)) == len(items)


def test_long_stretches_without_an_anchor_stay_bounded(monkeypatch):
    monkeypatch.setattr(alignment, "_MAX_COMPARED", 100)
    draw = random.Random(3)
    first = [draw.choice("ab") for _ in range(200)]
    second = first[:50] + ["c"] + first[50:]

    pairs = align(first, second)
    assert pairs == sorted(pairs)
    assert len(pairs) == 200
