"""What calls asked is read without decoding whole entries, and is always what decoding them says."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.errors import DamagedError
from replaykit.format.asked import asked_by, asked_in
from replaykit.format.entry_blocks import encode_action
from replaykit.format.matching import match_key, stored_form, without
from replaykit.format.strict import decode_body

# Texts that hold what the reader looks for.
TRICKY = [
    "",
    "bin",
    "cout",
    "bin\x1b",
    "at\x1b",
    "cerr",
    "ak",
    "bfl",
    "dout",
    "doutb",
    "c",
    "cout\x81",
    "ünï",
    "x" * 300,
]
texts = st.sampled_from(TRICKY) | st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | texts | st.binary()
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=4
)
maps = st.dictionaries(texts | st.sampled_from(["in", "out", "fl", "i"]), values, max_size=4)


@st.composite
def entries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw actions, with fields in the order in which a recorder writes them."""
    found: list[dict[str, Any]] = []
    for sequence in range(draw(st.integers(1, 4))):
        entry: dict[str, Any] = {
            "i": sequence + 24_900,
            "k": draw(st.sampled_from(["find", "tool", "put", "novel"])),
            "nm": draw(texts),
            "src": draw(texts),
            "t": 1_700_000_000_000_000_000 + draw(st.integers(0, 2**40)),
            "d": draw(st.integers(0, 2**40)),
        }
        optional = {
            "p": st.integers(0, 2**20),
            "g": st.integers(0, 2**20),
            "f": st.lists(texts | st.integers(0, 9), max_size=3),
            "x": st.dictionaries(texts, texts, max_size=2),
            "ih": st.binary(min_size=32, max_size=32),
            "err": values,
            "in": maps,
            "out": values,
            "fl": st.lists(st.sampled_from(["stream", "async", "unreplayable"]), max_size=2),
        }
        for key, strategy in optional.items():
            if draw(st.booleans()):
                entry[key] = draw(strategy)
        found.append(entry)
    return found


@given(entries())
def test_what_is_cut_out_is_what_decoding_says(found: list[dict[str, Any]]) -> None:
    """Whatever texts, names and results hold."""
    raws = [encode_action(entry).raw for entry in found]

    read = list(asked_in(raws, found[0]["i"], mark=os.urandom(8)))

    assert len(raws) == len(read)
    for raw, asked in zip(raws, read, strict=True):
        assert asked is None or asked_by(decode_body(raw)) == asked


def test_a_plain_call_needs_no_decoding() -> None:
    """With and without a result, a parent and flags: this is what the speed comes from."""
    plain = {"i": 7, "k": "find", "nm": "search", "src": "m", "t": 1 << 60, "d": 5}
    said = {"x": {"query": "a"}, "in": {"query": "a", "k": 5}}
    found = [
        {**plain, **said, "out": ["a"]},
        {**plain, "i": 8, **said},
        {**plain, "i": 9, "p": 300, **said, "out": ["the cout of C++"], "fl": ["stream"]},
    ]

    read = list(asked_in([encode_action(entry).raw for entry in found], 7, mark=os.urandom(8)))

    assert [asked_by(entry) for entry in found] == read


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_left_to_the_decoder(data: bytes) -> None:
    head = encode_action({"i": 1, "k": "find", "nm": "n", "src": "s", "t": 1 << 60, "d": 1}).raw

    for raw in (data, b"\xa7" + head[1:] + data, b"\xa7" + head[1:] + b"\x62in" + data):
        assert len(list(asked_in([raw], 1, mark=b"12345678"))) == 1


@given(maps, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(arguments: dict[str, Any], chance: Any) -> None:
    items = list(arguments.items())
    chance.shuffle(items)

    assert match_key("find", "n", arguments) == match_key("find", "n", dict(items))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), ("a", b"a"), ([], {}), (0.0, -0.0)])
def test_values_of_other_types_differ(one: Any, other: Any) -> None:
    assert match_key("find", "n", {"a": one}) != match_key("find", "n", {"a": other})


def test_a_float_that_is_no_number_is_one_whatever_its_bits() -> None:
    negative = float("inf") - float("inf")
    keys = {match_key("find", "n", stored_form({"a": value})) for value in (float("nan"), negative, -negative)}

    assert len(keys) == 1


def test_arguments_are_left_out_also_where_one_is_named_like_a_mark() -> None:
    stored = stored_form({"~t": 1, "k": 2})

    assert stored_form({"~t": 1}) == without(stored, {"k"})
    assert without({"a": 1, "k": 2}, {"k"}) == {"a": 1}


def test_arguments_that_are_never_stored_are_damage() -> None:
    with pytest.raises(DamagedError, match="not as the format says"):
        match_key("find", "n", {1: 2})
