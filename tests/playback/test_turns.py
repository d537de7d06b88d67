"""Recorded calls answer first in, first out per key, each once, whichever arguments count."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.playback import turns
from replaykit.playback.turns import Turns

KEYS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=12)
ALL, SOME = frozenset[str](), frozenset({"second"})


def keys_of(item):
    return {ALL: "".join(item).encode(), SOME: item[0].encode()}


@pytest.mark.parametrize("bits", [128, 1])
@given(recorded=KEYS, asked=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans())))
def test_the_first_that_waits_answers(bits, recorded, asked):
    """As a plain search says; also where the first halves of all digests were the same."""
    short = turns._short
    shorter = short if bits == 128 else lambda key: bytes(8) + short(key)[:8]
    with patch.object(turns, "_short", shorter):
        index, waiting = Turns("error"), dict(enumerate(recorded))
        for ignored in (ALL, SOME):
            index.add(ignored, [(keys_of(item)[ignored], at) for at, item in enumerate(recorded)])
        for first, second, is_whole in asked:
            ignored, key = (ALL, keys_of((first, second))[ALL]) if is_whole else (SOME, keys_of((first, second))[SOME])
            expected = next((at for at, item in waiting.items() if keys_of(item)[ignored] == key), None)
            assert index.peek(ignored, key) == expected == index.take(ignored, key)
            waiting.pop(expected, None)
