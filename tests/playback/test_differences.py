"""Where two values differ is told by path and by words, in bounded time, and calls are shown as one writes them."""

from __future__ import annotations

import time

import attrs

from replaykit.model import Structured
from replaykit.playback.differences import call_text, differences, word_diff


@attrs.frozen
class Row:
    name: str


def test_texts_of_the_same_words_over_and_over_are_compared_in_bounded_time():
    """Every equal pair of words was looked at again and again: it took four seconds."""
    began = time.process_time()

    assert word_diff("a b " * 300, "b " + "a b c " * 200).startswith("[-a-] b a b {+c+} a b")
    assert time.process_time() - began < 1


def test_the_texts_at_a_place_are_found_through_maps_lists_and_objects():
    def value(text):
        return {"rows": [Row("same"), Structured("mod.Row", {"name": [text]})], 3: Row(text)}

    found = differences(value("a b"), value("a c"))

    assert {item.where: item.texts for item in found} == {"[3].name": ("a b", "a c"), "rows[1].name[0]": ("a b", "a c")}
    assert [item.texts for item in differences([1, "a"], [1, "a", "b"])] == [None]


def test_a_call_is_shown_briefly_whatever_is_in_it():
    assert call_text("find", {"query": "x", "k": 5, "where": {"a": 1}}) == "find(query='x', k=5, where=<dict>)"
    shown = call_text("f", {"n": 10**5_000, "t": "word " * 100})
    assert shown == f"f(n=<int>, t='{('word ' * 100)[:56]}...)"
