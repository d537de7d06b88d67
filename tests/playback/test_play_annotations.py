"""A play gives back the classes that an annotation names: just those that were recorded, wherever they stand."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import pytest
from playback.played_values import played

import replaykit
from replaykit.model import Structured
from replaykit.playback.annotations import as_annotated, constructed

ROOT = Path(__file__).parents[2]

T = TypeVar("T")
S = TypeVar("S")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Word(enum.StrEnum):
    A = "a"


@dataclasses.dataclass(frozen=True)
class X:
    number: int


@dataclasses.dataclass(frozen=True)
class Y:
    number: Any


class First:
    @dataclasses.dataclass
    class Item:
        number: int


class Second:
    @dataclasses.dataclass
    class Item:
        number: int


class Money(namedtuple("Money", ["cents"])):
    __slots__ = ()

    def __new__(cls, euros: int) -> Money:
        return super().__new__(cls, euros * 100)


class Row(TypedDict, total=False):
    x: X
    by_colour: dict[Colour, list[Y]]


@dataclasses.dataclass
class Box(Generic[T]):
    inside: T
    more: list[T | None]


@dataclasses.dataclass
class Crate(Box[Y], Generic[T]):
    label: T


class Both(NamedTuple, Generic[T, S]):
    left: T
    right: S


class Boxed(TypedDict, Generic[T]):
    box: T


@dataclasses.dataclass
class Tree:
    value: Any
    children: list[Tree] | tuple[Tree, ...] | Sequence[Tree]


@pytest.mark.parametrize(
    ("value", "returns"),
    [
        (Second.Item(1), First.Item | Second.Item),
        ([First.Item(1), Second.Item(2)], list[First.Item | Second.Item]),
        (Money(5), Money),
        ({Colour.RED: 5}, dict[Colour, int]),
        ({Word.A: 5}, Mapping[Word, int]),
        ({X(1): Y(2)}, dict[X, Y]),
        ({(Colour.RED, 1): 5}, dict[tuple[Colour, int], int]),
        ({"x": X(1), "by_colour": {Colour.RED: [Y(1)]}}, Row),
        ([{"x": X(1)}], list[Row]),
        ([Y(1)], list[X] | list[Y]),
        ({"a": Y(1)}, dict[str, X] | dict[str, Y]),
        ([Y(1)], list[X] | Annotated[list[Y], "said"] | None),
        ([[Y(1)]], list[list[X]] | list[list[Y]]),
        ((Y(1), X(1)), tuple[X, Y] | tuple[Y, X]),
        (Box(X(1), [X(2), None]), Box[X]),
        (Box([X(1)], [[X(2)]]), Box[list[X]]),
        (Box(Box(X(1), []), []), Box[Box[X]]),
        (Crate(Y(1), [Y(2)], X(3)), Crate[X]),
        (Both(X(1), Y(2)), Both[X, Y]),
        ({"box": X(1)}, Boxed[X]),
    ],
    ids=str,
)
def test_what_was_recorded_comes_back(value: Any, returns: Any) -> None:
    """In unions, as keys, in typed maps, and where a type variable stands for the class."""
    back = played(value, returns)

    assert value == back
    assert type(value) is type(back)


def test_what_an_object_leaves_over_is_no_reason_against_its_branch() -> None:
    """Of an attribute that may be anything nothing is known."""
    (back,) = played([Y(X(1))], list[X] | list[Y])

    assert isinstance(back, Y)
    assert isinstance(back.number, Structured)


def test_a_class_of_the_same_name_is_another() -> None:
    """A nested class, or one of another module, is not what was recorded."""
    assert isinstance(played(Second.Item(1), First.Item), Structured)
    assert isinstance(as_annotated(X, Structured("elsewhere.X", {"number": 1})), Structured)
    assert as_annotated(X, Structured(f"{X.__module__}.X", {"number": 1})) == X(1)


@pytest.mark.parametrize("type_name", ["", ".", "X", ".X", 7, None])
def test_a_name_that_no_recorder_writes_is_no_class(type_name: Any) -> None:
    value = Structured(type_name, {"number": 1})

    assert as_annotated(X, value) is value


def test_a_named_tuple_takes_no_fields_that_it_has_not() -> None:
    """One that has got a field since has its default there."""
    longer = Structured(f"{Money.__module__}.Money", {"cents": 1, "more": 2})
    assert constructed(Money, longer) is longer
    assert constructed(NamedTuple("Pair", [("left", int)]), Structured("Pair", {"left": 1})) == (1,)


def test_keys_that_have_no_hash_any_more_stay_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Structured(f"{X.__module__}.X", {"number": 1})
    monkeypatch.setattr(X, "__hash__", None)

    assert list(as_annotated(dict[X, int], {key: 1})) == [key]
    assert as_annotated(set[X], {key}) == {key}


def test_a_union_that_takes_a_value_in_many_ways_is_tried_once_for_each_object() -> None:
    """Each level of a tree fits three branches, and leaves something over: that must not multiply."""
    value: Any = []
    for _ in range(15):
        value = [Structured(f"{Tree.__module__}.Tree", {"value": Structured("other.Thing", {}), "children": value})]

    (tree,) = as_annotated(list[Tree] | tuple[Tree, ...] | Sequence[Tree], value)

    depth = 1
    while tree.children:
        (tree,) = tree.children
        depth += 1
    assert depth == 15


SCRIPT = """
import dataclasses, sys
import replaykit

@dataclasses.dataclass
class Hit:
    text: str

@replaykit.records("find")
def find(query: str) -> list[Hit]:
    return [Hit(query)]

if __name__ == "__main__":
    if sys.argv[1] == "record":
        with replaykit.session(store="script.rpk"):
            find("a")
    else:
        with replaykit.play("script.rpk"):
            assert type(find("a")[0]) is Hit, find("a")
"""


def test_what_a_script_recorded_is_played_where_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other way round: the module is called ``__main__`` in one of both."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("played_script.py").write_text(SCRIPT)

    def run(*arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
        subprocess.run([sys.executable, *arguments], env=environment, check=True)

    run("played_script.py", "record")
    module = importlib.import_module("played_script")
    try:
        with replaykit.play("script.rpk"):
            assert module.find("a") == [module.Hit("a")]
        Path("script.rpk").unlink()
        with replaykit.session(store="script.rpk"):
            module.find("a")
        run("played_script.py", "play")
        run("-m", "played_script", "play")
    finally:
        del sys.modules["played_script"]


@pytest.mark.libraries
def test_generic_models_of_pydantic_come_back() -> None:
    import pydantic

    class Model(pydantic.BaseModel, Generic[T]):
        inside: T

    value = Model[X](inside=X(1))

    assert value == played(value, Model[X])
