"""What is learnt of a class once: its instances have the bytes of the general way, for far fewer calls."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from format.kinds_of_objects import (
    KINDS,
    AttrsRow,
    Foreign,
    Named,
    Naming,
    Renamed,
    Row,
    SlottedRow,
    calls_in,
    packed_either_way,
    values_of,
)
from hypothesis import given

from replaykit.format import learnt
from replaykit.format.values import pack, unpack


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (Row, 3),
        (SlottedRow, 4),
        (AttrsRow, 4),
        (Named, 3),
        (Foreign, 4),
        (lambda a: (a, 1), 3),
    ],
    ids=["dataclass", "slots", "attrs", "named tuple", "object", "tuple"],
)
def test_an_instance_costs_a_few_calls(make: Callable[..., Any], most: int) -> None:
    """Once its class is known: it was twenty to thirty."""

    def rows(count: int) -> list[Any]:
        return [make(number) for number in range(count)]

    few, many = rows(10), rows(110)
    pack(few)

    each = (calls_in(lambda: pack(many)) - calls_in(lambda: pack(few))) / 100

    assert each <= most


@pytest.mark.parametrize(
    "odd", ["\ud800", {1: 2}, {("a", 1)}], ids=["a lone surrogate", "a key that is no text", "a set of tuples"]
)
def test_what_is_plain_beside_an_odd_value_is_not_taken_apart(odd: Any) -> None:
    """Maps and lists of scalars are packed at once, however many they hold."""
    hits = [dict.fromkeys(map(str, range(50)), 1.5) for _ in range(100)]

    assert calls_in(lambda: pack([*hits, odd])) < 10 * len(hits)


def test_a_map_of_numbers_is_packed_at_once() -> None:
    """Its keys are no text, so it becomes pairs; a table of scores may have ten thousand of them."""
    scores = {number: 0.5 for number in range(1000)}
    pack(scores)

    assert calls_in(lambda: pack(scores)) < 100


# -- the same bytes ----------------------------------------------------------------


@given(value=values_of(KINDS))
def test_any_object_is_packed_as_in_the_general_way(value: Any) -> None:
    """Byte for byte, whatever is unusual about it or its class."""
    general, quick = packed_either_way(value)

    assert quick == general


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("a", [1, "x", "\ud800", [{"k": (1,)}], threading.Lock()], ids=lambda a: type(a).__name__)
def test_each_kind_is_packed_as_in_the_general_way(make: Callable[[Any], Any], a: Any) -> None:
    """Alone, and beside others of its class."""
    value = make(a)
    for each in (value, [value, value], {"x": [value]}, {1: value}):
        general, quick = packed_either_way(each)
        assert quick == general


@pytest.mark.parametrize("depth", [10, 31, 32, 33, 64, 200])
@pytest.mark.parametrize("make", [Row, SlottedRow, Named, lambda a: (a,)])
def test_deep_objects_are_cut_as_in_the_general_way(make: Callable[[Any], Any], depth: int) -> None:
    """At the same level, by the same marker."""
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    for each in (value, {1: value}):
        general, quick = packed_either_way(each)
        assert quick == general


@pytest.mark.parametrize("decorate", [dataclasses.dataclass, attrs.define(slots=False)], ids=["dataclass", "attrs"])
def test_a_class_that_gets_fields_later_is_asked_again(decorate: Callable[[type], type]) -> None:
    """Its first instance was an object that is not looked into."""

    class Late:
        id: int
        text: str = "x"

    early: Any = Late()
    early.id = 1
    assert len(unpack(pack(early))) == 3

    made: Any = decorate(Late)
    general, quick = packed_either_way([early, made(2)])

    assert made is Late
    assert quick == general
    assert unpack(quick)[1][2] == {"id": 2, "text": "x"}


def test_a_class_with_code_for_its_name_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before."""
    value = Renamed(1)
    names = []
    for name in ("first", "second"):
        monkeypatch.setattr(Naming, "current", name)
        names.append(unpack(pack(value))[1].rpartition(".")[2])

    assert names == ["first", "second"]


# -- what is kept of classes --------------------------------------------------------


def test_no_class_is_kept_for_ever() -> None:
    """Programs that make classes as they go free them: so many are known at most."""

    def made() -> Any:
        return dataclasses.make_dataclass("Made", ["a"])

    first = made()
    pack(first(1))
    seen = weakref.ref(first)
    del first
    for _ in range(learnt.MOST_CLASSES + 1):
        pack(made()(1))
    gc.collect()

    assert len(learnt._LEARNT) <= learnt.MOST_CLASSES
    assert seen() is None


def test_threads_learn_and_forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits, and each gets the form of its own class."""
    monkeypatch.setattr(learnt, "MOST_CLASSES", 3)
    start, wrong = threading.Barrier(4), []

    def work(name: str) -> None:
        start.wait()
        for number in range(300):
            made = dataclasses.make_dataclass(f"{name}{number}", [name])
            form = unpack(pack([made(number), Row(number), (number,)]))
            if (form[0][2], form[1][2]) != ({name: number}, {"a": number, "b": "b"}):
                wrong.append(form)

    threads = [threading.Thread(target=work, args=(f"n{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
