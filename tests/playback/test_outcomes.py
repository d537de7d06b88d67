"""What came back as it was recorded is known by its packed bytes, with the verdict that taking it apart gives."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.format.values import Marker, pack, unpack
from replaykit.model import Answer, DivergenceType, Erasure, Find, Frame, Hit, ReplayAction, SearchResult, Tolerances
from replaykit.playback.hits import hits_of
from replaykit.playback.judging import judge, ranking
from replaykit.playback.outcomes import Outcome, as_recorded
from replaykit.playback.retrieval import retrieval_diff

HITS = st.builds(
    Hit,
    frame_id=st.integers(0, 9) | st.text(max_size=3),
    score=st.floats(),
    text=st.text(max_size=3),
    metadata=st.dictionaries(st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.floats(), max_size=2),
)
RESULTS = st.builds(SearchResult, st.lists(HITS, max_size=5).map(tuple))
RULES = st.builds(
    Tolerances, order=st.sampled_from(["exact", "ties", "set"]), ids=st.sampled_from(["exact", "content"])
)


def found(output):
    return ReplayAction(sequence=0, timestamp_ns=0, action_type=Find(query="x"), name="find", output=output)


@given(RESULTS, RULES)
def test_the_same_again_is_judged_as_if_it_was_taken_apart(result, rules):
    action = found(as_recorded(result))
    apart = Outcome(value=as_recorded(result))
    seen = Outcome(value=as_recorded(result, expected=action.output))

    assert seen.value is action.output
    assert apart.value is not action.output
    assert judge(action, seen, rules) == judge(action, apart, rules) == []
    whole = retrieval_diff(hits_of(action.output), hits_of(apart.value), order="set")
    assert ranking(action, seen, rules) == whole


def test_pieces_of_one_document_are_held_against_their_like():
    """A frame that is found twice, each time with another text, is no change of its content."""
    pieces = [{"id": "a", "text": "one"}, {"id": "a", "text": "two"}, {"id": "b", "text": "three"}]
    moved = [*pieces[:2], {"id": "b", "text": "four"}]

    [changed] = judge(found(pieces), Outcome(value=moved))
    assert (changed.divergence_type, changed.frames) == (DivergenceType.CONTENT_CHANGED, ("b",))


@pytest.mark.parametrize("other", [True, 1, 1.0, "1", b"1", None, math.nan, 2**70, [1], (1,), {"a": 1}])
def test_another_type_is_another_value(other):
    """Values that Python holds equal are told apart, as recordings do."""
    recorded = SearchResult((Hit(frame_id=1, metadata={"a": [0]}),))
    seen = as_recorded(SearchResult((Hit(frame_id=1, metadata={"a": other}),)), expected=recorded)

    assert seen is not recorded
    assert seen.hits[0].metadata["a"] is not recorded.hits[0].metadata["a"]


@pytest.mark.parametrize(
    "value",
    [
        Hit(frame_id=1),
        SearchResult((Hit(frame_id="a"),)),
        Answer(text="t", provider="p", model="m"),
        Frame(frame_id=1, content=b"x"),
        Erasure(frame_ids=(1, 2)),
    ],
)
def test_our_results_are_stored_as_any_attrs_class_is(value):
    cls = type(value)
    fields = {field.name: unpack(pack(getattr(value, field.name))) for field in attrs.fields(cls)}

    assert unpack(pack(value)) == [Marker(14), f"{cls.__module__}.{cls.__qualname__}", fields]
    assert list(unpack(pack(value))[2]) == list(fields)
