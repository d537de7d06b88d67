"""What a log is gathered into: the quick way through many calls and the plain way through one agree."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaykit.format import records
from replaykit.format.entries import Opening
from replaykit.format.entry_blocks import encode_action
from replaykit.format.soundness import demand_sound_action
from replaykit.format.values import MAX_DEPTH, pack, plain, plain_of, unpack
from replaykit.storage.file_store import FileStore
from replaykit.storage.gathering import DECODED, ENCODED, collect
from replaykit.storage.live_log import LogReader, encode_opening
from replaykit.storage.log_files import MemoryLog
from replaykit.storage.pausing import SMALL_SLICE
from replaykit.storage.publish import Publisher
from replaykit.testing.files import MemoryFiles

SESSION = UUID(int=7)
KINDS = ("put", "put_many", "find", "ask", "update", "delete", "tool")

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=9) | st.just("~t")
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["id", "text", "query", "frame_id", "~t"]) | st.integers() | st.text(), inner)
    ),
    max_leaves=10,
)


ASCII = "the text that stands innermost, so that it is not short"
LIKE_HEADS = "字" * MAX_DEPTH
"""Packed it has as many bytes as there are levels that lists and maps begin with, too."""


INNERMOST = (ASCII, LIKE_HEADS, 100 * ASCII)
MANY = dict.fromkeys(map(str, range(16)))
LEVELS: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [1, inner],
    "map": lambda inner: {"a": inner},
    "long list": lambda inner: [*MANY, inner],
    "long map": lambda inner: {**MANY, "a": inner},
}
DEPTHS = range(MAX_DEPTH - 3, MAX_DEPTH + 4)


def nested(depth: int, *, of: str, innermost: str = ASCII) -> Any:
    value: Any = innermost
    for _ in range(depth):
        value = LEVELS[of](value)
    return value


deep = st.builds(
    nested, st.sampled_from(DEPTHS), of=st.sampled_from(["list", "map"]), innermost=st.sampled_from(INNERMOST)
)


def demand_same(value: Any) -> None:
    """Demand that value and notes are those of looking at each piece."""
    packed = pack(value)
    quick: set[str] = set()
    thorough: set[str] = set()

    assert repr(plain_of(packed, notes=quick)) == repr(plain(unpack(packed), notes=thorough))
    assert quick == thorough


@given(value=values | deep)
def test_what_needs_no_change_is_told_from_what_does(value: Any) -> None:
    """Whatever it is."""
    demand_same(value)


@pytest.mark.parametrize("of", LEVELS)
def test_what_is_too_deep_is_told_for_each_kind_of_level(of: str) -> None:
    """A packed list or map begins with one of several bytes."""
    for depth, innermost in product(DEPTHS, INNERMOST):
        demand_same(nested(depth, of=of, innermost=innermost))


@pytest.mark.parametrize("value", [{"~t": ASCII}, {"a": [{"b": ASCII, "~t": 1}]}, {"~": ASCII}, [ASCII + "~t"], ["~t"]])
def test_a_map_that_looks_like_a_typed_value_is_told(value: Any) -> None:
    """By the key that those have."""
    demand_same(value)


def log_of(*bodies: bytes) -> MemoryLog:
    log = MemoryLog(SESSION)
    opening = Opening(session_id=SESSION, name=None, created_ns=1)
    rows = [{"n": number, "row": {"kind": kind, "name": "f", "source": "m"}} for number, kind in enumerate(KINDS)]
    for body in (
        records.map_body(records.OPEN, encode_opening(opening)),
        *(records.map_body(records.DEFINE, row) for row in rows),
        *bodies,
    ):
        log.append(records.sealed(body))
    return log


def call(sequence: int, *, kind: str = "find", arguments: bytes = b"", result: bytes = b"", flags: int = 0) -> bytes:
    return records.action_body(
        records.ACTION, flags=flags, operation=KINDS.index(kind), sequence=sequence, parent=records.NO_NUMBER,
        time_ns=5, arguments=arguments, result=result,
    )  # fmt: skip


calls = st.lists(st.tuples(st.sampled_from(KINDS), values, values | deep, st.sampled_from([0, records.FAILED])))


@given(made=calls)
def test_encoded_together_they_are_what_each_is_alone_with_all_checks(made: list[tuple[str, Any, Any, int]]) -> None:
    """So nothing is written that no reader takes, although it is not looked at again."""
    log = log_of(
        *(
            call(number, kind=kind, arguments=pack({"query": asked, "content": asked}), result=pack(given), flags=flags)
            for number, (kind, asked, given, flags) in enumerate(made)
        )
    )

    together, _, gaps, _ = collect(LogReader(log), form=ENCODED)
    alone, *_ = collect(LogReader(log), form=DECODED)

    assert (gaps, len(alone)) == ([], len(made))
    for entry in alone:
        demand_sound_action(entry)
    checked = [encode_action(entry) for entry in alone]
    assert [(each.raw, each.blobs) for each in together] == [  # type: ignore[attr-defined]  # encoded ones
        (each.raw, each.blobs) for each in checked
    ]
    assert [dict(each) for each in together] == [dict(each) for each in checked]


@pytest.mark.parametrize("form", [DECODED, ENCODED])
def test_a_call_that_makes_no_sense_costs_none_beside_it(form: Any) -> None:
    """Its bytes are kept as a gap."""
    log = log_of(*(call(number, result=b"\xc1" if number == 3 else pack("fine")) for number in range(20)))

    actions, _, gaps, _ = collect(LogReader(log), form=form)

    assert [each["i"] for each in actions] == [number for number in range(20) if number != 3]
    assert [b"\xc1" in gap.data for gap in gaps] == [True]


@pytest.mark.parametrize("form", [DECODED, ENCODED])
def test_a_finished_call_counts_more_than_the_same_one_noted_as_unfinished(form: Any) -> None:
    """Whichever of the two comes first."""
    log = log_of(
        *(call(0, flags=records.UNFINISHED), call(0, result=pack("done"))),
        *(call(1, result=pack("done")), call(1, flags=records.UNFINISHED)),
    )

    actions, *_ = collect(LogReader(log), form=form)

    assert [entry.get("fl", []) for entry in actions] == [[], []]


class Interrupted(Exception):
    """What a pause may end with: a signal's handler runs in it."""


def test_an_interrupt_in_the_middle_of_gathering_costs_no_action(tmp_path: Any) -> None:
    """The next attempt begins anew."""
    log = log_of(*(call(number, result=pack("fine")) for number in range(50)))
    store = FileStore(tmp_path / "runs.rpk")
    pauses: list[int] = []

    def pause() -> int:
        pauses.append(1)
        if len(pauses) == 3:
            raise Interrupted
        return SMALL_SLICE

    publisher = Publisher(store, log, pause=pause)
    with pytest.raises(Interrupted):
        publisher.publish(final=True)

    assert publisher.publish(final=True)
    assert list(store.read(SESSION).sequences) == list(range(50))
    store.close()


def test_a_row_without_names_makes_gaps_of_its_calls() -> None:
    """Hostile logs: what an action says is checked once, where its row is read."""
    for row in ({"kind": 1, "name": "f", "source": "m"}, {"kind": "find", "name": "f"}):
        log = MemoryLog(SESSION)
        log.append(records.sealed(records.map_body(records.DEFINE, {"n": 2, "row": row})))
        log.append(records.sealed(call(0)))

        actions, _, gaps, _ = collect(LogReader(log))
        assert (actions, len(gaps)) == ([], 1)


def test_a_call_takes_few_steps_in_python() -> None:
    """Counted, since times differ from machine to machine: 120 functions a call were half of the background's work."""
    hits = [{"frame_id": number, "score": 0.5, "title": "a title", "text": "some words"} for number in range(5)]
    asked, count = pack({"query": "the capital", "k": 5}), 400
    log = log_of(*(call(number, arguments=asked, result=pack(hits)) for number in range(count)))
    publisher = Publisher(FileStore("runs.rpk", files=MemoryFiles()), log)
    entered = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(profile)
    try:
        publisher.publish(final=True)
    finally:
        sys.setprofile(None)

    assert count < entered < 60 * count
