"""Bodies: plain values only, and nothing that an attacker would like."""

from __future__ import annotations

import contextlib
import os
import tracemalloc
from collections.abc import Iterable, Sequence
from typing import Any

import cbor2
import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

from replaykit.errors import DamagedError, UsageError
from replaykit.format.strict import decode_body, decode_map, decode_maps, encode_body

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(st.characters(codec="utf-8"))
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text("abcé"), inner), max_leaves=20)


@given(st.dictionaries(st.text("abcé"), VALUES))
def test_any_plain_map_comes_back_equal_and_in_order(body: dict[str, Any]) -> None:
    """Types and the order of keys included."""
    back = decode_body(encode_body(body))
    assert body == back
    assert repr(body) == repr(back)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_map_or_a_typed_error(data: bytes) -> None:
    """No foreign exception leaves the decoder."""
    with contextlib.suppress(DamagedError):
        assert isinstance(decode_body(data), dict)


def _in_map(item: bytes) -> bytes:
    return b"\xa1\x61x" + item


HOSTILE = {
    "a tag": _in_map(b"\xd9\xff\xff\x01"),
    "a date": _in_map(cbor2.dumps(cbor2.CBORTag(1, 0))),
    "a regular expression": _in_map(b"\xd8\x23\x63abc"),
    "a decimal without end": _in_map(b"\xc4\x82\x1b\x00\x00\x00\xe8\xd4\xa5\x0f\xff\x01"),
    "a big integer": _in_map(b"\xc2\x49" + b"\xff" * 9),
    "a negative integer beyond 64 bits": _in_map(b"\x3b" + b"\xff" * 8),
    "a list that contains itself": _in_map(b"\xd8\x1c\x81\xd8\x1d\x00"),
    "string references": _in_map(b"\xd9\x01\x00\x82\x63abc\xd8\x19\x00"),
    "undefined": _in_map(b"\xf7"),
    "a simple value": _in_map(b"\xe0"),
    "an indefinite list": _in_map(b"\x9f\xff"),
    "an indefinite text": _in_map(b"\x7f\x61a\xff"),
    "a repeated key": b"\xa2\x61x\x01\x61x\x02",
    "a key that is bytes": b"\xa1\x41x\x01",
    "a key that is an integer": b"\xa1\x01\x01",
    "bytes after the end": b"\xa0\x00",
    "no map": b"\x80",
    "nothing": b"",
    "text that is no UTF-8": _in_map(b"\x62\xed\xa0"),
    "a surrogate": _in_map(b"\x63\xed\xa0\x80"),
    "a list that claims 2^62 items": _in_map(b"\x9b\x40" + bytes(7)),
    "a map that claims 2^62 items": _in_map(b"\xbb\x40" + bytes(7)),
    "bytes that claim 2^62": _in_map(b"\x5b\x40" + bytes(7)),
    "100,000 lists": _in_map(b"\x81" * 100_000 + b"\x00"),
    "100,000 maps": b"\xa1\x61x" * 100_000 + b"\x00",
    "100,000 tags": _in_map(b"\xd8\x18" * 100_000 + b"\x00"),
    "colliding keys": b"\xb9\x4e\x20" + b"".join(cbor2.dumps(k * (2**61 - 1)) + b"\x00" for k in range(8)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_refused_at_once(data: bytes) -> None:
    """With a typed error, before what they claim is allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            decode_body(data)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def _all_or_nothing(maps: Iterable[dict[str, Any]]) -> str | None:
    try:
        return repr(list(maps))
    except DamagedError:
        return None


def _demand_the_same(bodies: Sequence[bytes]) -> None:
    expected = _all_or_nothing(decode_map(body) for body in bodies)
    assert expected == _all_or_nothing(decode_maps(bodies, mark=os.urandom(8)))


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_among_many_a_hostile_body_is_refused_as_it_is_alone(data: bytes) -> None:
    """Wherever it stands."""
    good = [encode_body({"a": number}) for number in range(150)]
    _demand_the_same([*good, data, *good])


@settings(max_examples=effort(600))
@given(st.lists(st.dictionaries(st.text("abcé"), VALUES), min_size=1, max_size=8), st.data())
def test_bodies_that_end_in_another_place_are_refused(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    """Though together they are the same bytes: a body is one map, exactly."""
    encoded = [encode_body(body) for body in bodies]
    assert repr(bodies) == _all_or_nothing(decode_maps(encoded, mark=os.urandom(8)))
    whole = b"".join(encoded)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=len(bodies) - 1, max_size=len(bodies) - 1)))
    edges = [0, *cuts, len(whole)]
    _demand_the_same([whole[start:stop] for start, stop in zip(edges, edges[1:], strict=False)])


def test_a_body_that_swallows_what_parts_it_from_the_next_is_refused() -> None:
    """It makes up for that with a mark of its own, which is another one."""
    mark = b"\x48" + bytes(8)
    inner = b"\xa1\x61x\x58" + bytes((len(mark) + 1,))
    _demand_the_same([b"\xa0" + mark + inner, b"x"])
    _demand_the_same([b"\xa0" + mark + b"\xa0", b""])


def test_many_large_and_deep_bodies_are_read_like_small_ones() -> None:
    """Whatever cannot be decoded together is decoded alone."""
    deep: Any = 1
    for _ in range(65):
        deep = [deep]
    _demand_the_same([encode_body({"x": value}) for value in (1, deep, "x" * 5000, bytes(70_000), 2)])


@pytest.mark.parametrize("value", [object(), 2**64, -(2**63) - 1, {1: 2}, {b"x": 1}, {1, 2}, 1j, "\ud800"])
def test_what_no_reader_accepts_is_not_written(value: Any) -> None:
    """The error names the caller's value, before anything is stored."""
    with pytest.raises(UsageError):
        encode_body({"x": [value]})


def test_sixty_six_levels_are_written_and_read() -> None:
    """What the table of values makes of depth 64 fits; far more is refused both ways."""
    value: Any = 1
    for _ in range(65):
        value = [value]
    assert {"x": value} == decode_body(encode_body({"x": value}))
    for _ in range(10):
        value = [value]
    with pytest.raises(UsageError):
        encode_body({"x": value})
