"""Objects of all kinds, ordinary and strange, and what tells whether they are packed in the general way and cheaply."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import datetime
import enum
import functools
import sys
import threading
import typing
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
import wrapt
from hypothesis import strategies as st

from replaykit.format import learnt, values
from replaykit.format.values import pack


@dataclasses.dataclass
class Row:
    a: Any
    b: Any = "b"


@dataclasses.dataclass(slots=True)
class SlottedRow:
    a: Any
    b: Any = "b"


@attrs.define
class AttrsRow:
    a: Any
    b: Any = "b"


Named = namedtuple("Named", "a b", defaults=("b",))


class Foreign:
    def __init__(self, a: Any) -> None:
        self.id = a


def calls_in(function: Callable[[], Any]) -> int:
    """Return how many of our functions of Python are called while *function* runs: a measure that is no clock."""
    seen = 0

    def count(frame: Any, event: str, _arg: Any) -> None:
        nonlocal seen
        # The collector may run finalisers of others.
        seen += event == "call" and "replaykit" in frame.f_globals.get("__name__", "")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return seen


@contextlib.contextmanager
def nothing_learnt() -> Iterator[None]:
    """Every class goes the general way meanwhile, and what the encoder refuses is taken apart to the last scalar."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(learnt, "_LEARNT", {})
        patched.setattr(learnt, "_is_steady", lambda cls: False)
        patched.setattr(values, "_packed", lambda content: None)
        yield


def packed_either_way(value: Any) -> tuple[bytes, bytes]:
    """Return *value* packed in the general way, and in the learnt one."""
    with nothing_learnt():
        general = pack(value)
    pack(value)
    return general, pack(value)


@dataclasses.dataclass
class WiderRow(Row):
    """Fields of two classes, and what is put beside them."""

    c: Any = None

    @functools.cached_property
    def beside(self) -> Any:
        return self.a


@dataclasses.dataclass(frozen=True)
class FrozenRow:
    a: Any
    b: Any = dataclasses.field(default="b", init=False)


@dataclasses.dataclass
class Both(SlottedRow):
    """Slots and a dictionary."""

    c: Any = 3


@dataclasses.dataclass(slots=True)
class WiderSlotted(SlottedRow):
    c: Any = 3


class MoreSlots(SlottedRow):
    __slots__ = ("more",)


@attrs.define(cache_hash=True, frozen=True)
class HashedRow:
    a: Any
    b: Any = "b"


@attrs.define(slots=False)
class AttrsInDict:
    a: Any
    _b: Any = "b"


class SubNamed(Named):
    """With a dictionary, unlike the named tuple itself."""


class Typed(typing.NamedTuple):
    a: Any
    b: Any = "b"


class WithSlotId:
    __slots__ = ("__dict__", "id")

    def __init__(self, a: Any) -> None:
        self.id = a


class Raising:
    """Properties that raise, and a class that lies."""

    id = property(lambda self: 1 / 0)
    __class__ = property(lambda self: dict)  # type: ignore[assignment]  # that is the point

    def __init__(self, a: Any) -> None:
        vars(self).update(frame_id=a)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __len__(self) -> int:
        raise RuntimeError("len")


class Naming(type):
    """A class that has another name each time."""

    current = "first"

    def __getattribute__(cls, name: str) -> Any:
        return Naming.current if name == "__qualname__" else type.__getattribute__(cls, name)


class Renamed(metaclass=Naming):
    def __init__(self, a: Any) -> None:
        self.id = a


class Posing(type):
    """Classes that equal each other."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Posing)

    def __hash__(cls) -> int:
        return 7


@dataclasses.dataclass
class PosingRow(metaclass=Posing):
    a: Any


class PosingObject(metaclass=Posing):
    def __init__(self, a: Any) -> None:
        self.id = a


class Unhashable(type):
    __hash__ = None  # type: ignore[assignment]  # that is the point


class UnhashableClass(metaclass=Unhashable):
    def __init__(self, a: Any) -> None:
        self.id = a


@dataclasses.dataclass
class AbstractRow(abc.ABC):
    a: Any


class Odd:
    """Its module is code of its own."""

    __module__ = property(lambda self: "m")  # type: ignore[assignment]  # that is the point

    def __init__(self, a: Any) -> None:
        self.id = a


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntFlag):
    HIGH = 4
    LOW = 1


class Key(enum.StrEnum):
    A = "a"


class Failed(ValueError):
    def __init__(self, a: Any) -> None:
        super().__init__(a)
        self.a = a


class Text(str):
    pass


class Likeness(str):
    """A text that says it equals any."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class OwnDict(dict[Any, Any]):
    pass


def keyed(key: Any) -> Callable[[Any], Any]:
    """Return what makes a row whose first field stands under a key that is not quite its name."""

    def make(a: Any) -> Any:
        row = Row(a)
        vars(row).clear()
        vars(row).update({key: a, "b": 1})
        return row

    return make


def changed(make: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def made(a: Any) -> Any:
        value = make(a)
        change(value)
        return value

    return made


def with_own_dict(a: Any) -> Any:
    row = Row(a)
    row.__dict__ = OwnDict(a=a, b=2)
    return row


def half_slotted(a: Any) -> Any:
    row = SlottedRow(a)
    del row.b
    return row


def redefined(a: Any) -> Any:
    """A class of the same name, made anew each time: its id may be that of the last one."""
    made = dataclasses.make_dataclass("Redefined", [(name, Any) for name in ("a", *(["b"] if type(a) is int else []))])
    return made(*([a, 1] if type(a) is int else [a]))


KINDS: list[Callable[[Any], Any]] = [
    Row, WiderRow, FrozenRow, SlottedRow, WiderSlotted, Both, MoreSlots, AttrsRow, HashedRow, AttrsInDict,
    Named, SubNamed, Typed, Foreign, WithSlotId, Raising, Renamed, PosingRow, PosingObject, UnhashableClass,
    AbstractRow, Odd, Failed, redefined, with_own_dict, half_slotted,
    lambda a: wrapt.ObjectProxy(a),
    lambda a: wrapt.ObjectProxy(Row(a)),
    changed(WiderRow, lambda row: row.beside),
    changed(Row, lambda row: setattr(row, "beside", 1)),
    changed(Row, lambda row: delattr(row, "a")),
    changed(Row, lambda row: vars(row).update(a=vars(row).pop("a"))),
    changed(Row, lambda row: setattr(row, "b", threading.Lock())),
    changed(Row, lambda row: setattr(row, "b", row)),
    changed(SlottedRow, lambda row: setattr(row, "b", [row])),
    changed(HashedRow, lambda row: hash(row) if isinstance(row.a, str) else None),
    changed(MoreSlots, lambda row: setattr(row, "more", 1)),
    changed(Both, lambda row: setattr(row, "beside", 1)),
    changed(SubNamed, lambda pair: setattr(pair, "beside", 1)),
    lambda a: tuple.__new__(Named, (a,)),
    keyed(Text("a")), keyed(Likeness("z")), keyed(Key.A), keyed("".join(["a"])), keyed(1),
    lambda a: (a, Colour.RED, Level.HIGH | Level.LOW, Key.A),
    lambda a: {1: Row(a)},
    lambda a: {"a": [Row(a), {(1, "x"), ("y",)}]},
]  # fmt: skip

plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.binary(max_size=4)
leaf_keys = (
    st.text(st.characters(codec=None, categories=None), max_size=2)
    | st.integers(0, 2**65)
    | st.sampled_from([Key.A, Text("t"), 1.5, None, True, datetime.date(2026, 1, 1)])
)
leaves = (
    plain
    | st.text(st.characters(codec=None, categories=None), max_size=6)
    | st.dates()
    | st.sampled_from([datetime.UTC, threading.Lock(), print, object(), Colour.RED, Text("t"), OwnDict(x=1)])
)


def values_of(kinds: list[Callable[[Any], Any]]) -> st.SearchStrategy[Any]:
    """Return objects of these kinds, also in each other and in whatever else holds values."""

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return (
            st.builds(lambda make, a: make(a), st.sampled_from(kinds), inner)
            | st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(leaf_keys, inner, max_size=3)
            | st.dictionaries(leaf_keys, plain, max_size=3)
            | st.frozensets(leaf_keys | st.tuples(leaf_keys, plain), max_size=3)
        )

    return around(st.recursive(leaves, around, max_leaves=6))
