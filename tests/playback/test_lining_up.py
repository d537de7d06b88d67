"""Two sessions are lined up in windows: what only one has is left over, the rest stays paired."""

from __future__ import annotations

import random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.format.likeness import LIKENESS_BYTES
from replaykit.playback import lining_up
from replaykit.playback.lining_up import Side, line_up

ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=40)
"""What was asked, what came of it, and whether the bytes say so."""


def side_of(items, *, own: int) -> Side:
    """Return items of which those that are not told from their bytes have likenesses of their own."""

    def likeness(at, item):
        asked, outcome, is_told = item
        return f"{asked}{outcome}" if is_told else f"{own} {at}"

    said = [likeness(at, item).encode().ljust(LIKENESS_BYTES) for at, item in enumerate(items)]
    return Side(b"".join(said), lambda at: (items[at][0].encode(), repr(items[at][:2]).encode()))


@given(ITEMS, ITEMS, st.sampled_from([4, 8, 64]))
def test_pairs_rise_agree_in_what_was_asked_and_mirror(first, second, window):
    with patch.object(lining_up, "_WINDOW", window):
        pairs = line_up(side_of(first, own=1), side_of(second, own=2))
        turned = line_up(side_of(second, own=2), side_of(first, own=1))

    assert all(first[mine][0] == second[its][0] for mine, its in pairs)
    assert list(pairs) == sorted(pairs)
    assert len({mine for mine, _ in pairs}) == len({its for _, its in pairs}) == len(pairs)
    assert [(its, mine) for mine, its in pairs] == list(turned)
    equal = {pair: first[pair[0]][:2] == second[pair[1]][:2] for pair in pairs}
    assert equal == {
        (at + step, its + step): bool(count) for (at, its), count in pairs.stretches() for step in range(count or 1)
    }
    for items, side, ranges in ((first, 0, 0), (second, 1, 1)):
        left = [at for some in pairs.left_over((len(first), len(second)))[ranges] for at in some]
        assert sorted([*left, *(pair[side] for pair in pairs)]) == list(range(len(items)))


@pytest.mark.parametrize("extra", [1, 5, 50, 500])
@pytest.mark.parametrize("at", [0, 1, 700, 999])
def test_what_was_inserted_is_all_that_is_left_over(extra, at):
    """Also where it is longer than what is looked at together."""
    draw = random.Random(extra)
    items = [(draw.choice("abc"), draw.randrange(10**9), True) for _ in range(1000)]
    longer = [*items[:at], *[("x", number, True) for number in range(extra)], *items[at:]]
    with patch.object(lining_up, "_WINDOW", 64):
        pairs = line_up(side_of(items, own=1), side_of(longer, own=2))

    assert pairs.left_over((len(items), len(longer))) == ([], [range(at, at + extra)])


def test_different_sessions_are_gone_through_once():
    """However little they have in common, each action is looked at a few times."""
    looks = 0

    def recognise(at):
        nonlocal looks
        looks += 1
        return b"asked", b"%d" % at

    def likenesses(own):
        return b"".join((b"%d %d" % (own, at)).ljust(LIKENESS_BYTES) for at in range(3000))

    sides = Side(likenesses(1), recognise), Side(likenesses(2), lambda at: recognise(at + 10**6))
    with patch.object(lining_up, "_WINDOW", 64):
        pairs = line_up(*sides)
    assert list(pairs) == [(at, at) for at in range(3000)]
    assert looks <= 6 * 3000


def test_pairs_are_read_as_a_list_of_them_is():
    pairs = line_up(side_of([("a", 0, True), ("b", 0, True)], own=1), side_of([("a", 0, True), ("b", 1, True)], own=2))

    assert list(pairs) == [(0, 0), (1, 1)]
    assert (pairs[-1], pairs[:1], pairs[::-1], pairs[5:]) == ((1, 1), [(0, 0)], [(1, 1), (0, 0)], [])
    with pytest.raises(IndexError):
        pairs[2]
