"""The state hash names what a memory holds, however it came there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.memory import state_hash
from replaykit.memory.fields import checked

frames = st.tuples(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
texts = st.text(st.characters(), max_size=20)


def state_of(items):
    state = state_hash.EMPTY
    for frame_id, fields_hash in items:
        state = state_hash.add(state, state_hash.element(frame_id, fields_hash))
    return state


def lanes(state):
    return struct.unpack("<1024H", state_hash.to_bytes(state))


@given(st.data(), st.lists(frames, max_size=8))
def test_order_does_not_matter(data, items):
    shuffled = data.draw(st.permutations(items))

    assert state_of(items) == state_of(shuffled)


@given(st.lists(frames, max_size=6), frames)
def test_removing_undoes_adding(items, extra):
    before = state_of(items)
    item = state_hash.element(*extra)

    assert before == state_hash.remove(state_hash.add(before, item), item)


@given(frames, frames)
def test_lanes_are_added_and_removed_modulo_65536_without_touching_each_other(one, other):
    a, b = state_hash.element(*one), state_hash.element(*other)
    pairs = list(zip(lanes(a), lanes(b), strict=True))

    assert tuple((x + y) % 65536 for x, y in pairs) == lanes(state_hash.add(a, b))
    assert tuple((x - y) % 65536 for x, y in pairs) == lanes(state_hash.remove(a, b))


def test_full_lanes_wrap_around():
    full = state_hash.from_bytes(b"\xff" * state_hash.VECTOR_BYTES)
    one = state_hash.from_bytes(b"\x01\x00" * 1024)

    assert state_hash.add(full, one) == state_hash.EMPTY
    assert full == state_hash.remove(state_hash.EMPTY, one)


def test_the_empty_state_has_a_hash_of_its_own():
    assert len(state_hash.digest(state_hash.EMPTY)) == 32
    assert any(state_hash.digest(state_hash.EMPTY))


def test_the_same_content_counts_once_for_each_frame():
    """Two equal frames are neither one nor none."""
    digest = bytes(32)

    assert state_of([(1, digest)]) != state_of([(1, digest), (2, digest)])
    assert state_of([(1, digest), (1, digest)]) != state_hash.EMPTY


@given(st.lists(frames, max_size=3))
def test_stored_form_round_trips(items):
    state = state_of(items)

    assert state == state_hash.from_bytes(state_hash.to_bytes(state))


def test_a_stored_state_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError):
        state_hash.from_bytes(b"short")


def test_the_hash_is_pinned():
    """States are stored and recorded: a new version must compute the same."""
    state = state_hash.add(
        state_hash.element(1, checked("Paris", title="France", metadata={"b": 1, "a": [True, None]}).fields_hash()),
        state_hash.element(2, checked(b"\x00").fields_hash()),
    )

    assert state_hash.digest(state).hex() == PINNED


PINNED = "30f8192d2d7f10a6de68a4483d7f94eb80a6da14c327090e149070895978f8bf"


fields = st.builds(
    lambda content, title, uri, metadata: checked(content, title=title, uri=uri, metadata=metadata),
    texts | st.binary(max_size=20),
    st.none() | texts,
    st.none() | texts,
    st.dictionaries(st.sampled_from("abc"), st.integers() | texts.filter(str.isprintable), max_size=2),
)


@given(fields, fields)
def test_fields_have_equal_hashes_only_when_all_are_equal(one, other):
    same = one == other and type(one.content) is type(other.content)

    assert same == (one.fields_hash() == other.fields_hash())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (checked("a"), checked(b"a")),
        (checked("a", title="b"), checked("a", uri="b")),
        (checked("a", title=""), checked("a")),
        (checked("ab", title="c"), checked("a", title="bc")),
        (checked("a", metadata={"n": 1}), checked("a", metadata={"n": 1.0})),
        (checked("a", metadata={"n": 1}), checked("a", metadata={"n": True})),
        (checked("\ud800"), checked("\ufffd")),
    ],
)
def test_near_misses_have_different_hashes(one, other):
    assert one.fields_hash() != other.fields_hash()


def test_the_order_of_metadata_keys_does_not_matter():
    assert (
        checked("a", metadata={"x": 1, "y": 2}).fields_hash() == checked("a", metadata={"y": 2, "x": 1}).fields_hash()
    )
