"""What is learnt of a class once: its instances have the bytes of the general way, for far fewer calls."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import datetime
import enum
import functools
import gc
import sys
import threading
import typing
import weakref
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pydantic
import pytest
import wrapt
from hypothesis import given
from hypothesis import strategies as st

from replaykit.format import learnt, values
from replaykit.format.values import pack, unpack


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


class Model(pydantic.BaseModel):
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


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (Row, 3),
        (SlottedRow, 4),
        (AttrsRow, 4),
        (Model, 3),
        (lambda a: Model(a=a, b=2), 3),
        (Named, 3),
        (Foreign, 4),
        (lambda a: (a, 1), 3),
    ],
    ids=["dataclass", "slots", "attrs", "pydantic", "pydantic, all set", "named tuple", "object", "tuple"],
)
def test_an_instance_costs_a_few_calls(make: Callable[..., Any], most: int) -> None:
    """Once its class is known: it was twenty to thirty."""

    def rows(count: int) -> list[Any]:
        return [make(a=number) if make is Model else make(number) for number in range(count)]

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


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: Any
    b: Any = "b"


class Private(pydantic.BaseModel):
    a: Any
    b: Any = "b"
    _hidden: Any = pydantic.PrivateAttr(default=1)


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", populate_by_name=True)
    a: Any = pydantic.Field(alias="b")
    b: Any = pydantic.Field(default="b", alias="c")


class Root(pydantic.RootModel[Any]):
    pass


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


def later_fields(a: Any) -> Any:
    """A model that gets a field after it was learnt."""

    class Late(pydantic.BaseModel):
        a: Any

    first = Late(a=1)
    pack(first)
    Late.model_fields["b"] = pydantic.fields.FieldInfo(annotation=Any, default=2)
    Late.model_rebuild(force=True)
    return [first, Late(a=a)]


MAKERS: list[Callable[[Any], Any]] = [
    Row, WiderRow, FrozenRow, SlottedRow, WiderSlotted, Both, MoreSlots, AttrsRow, HashedRow, AttrsInDict,
    Named, SubNamed, Typed, Foreign, WithSlotId, Raising, Renamed, PosingRow, PosingObject, UnhashableClass,
    AbstractRow, Odd, Failed, Root, redefined, later_fields, with_own_dict, half_slotted,
    lambda a: wrapt.ObjectProxy(a),
    lambda a: wrapt.ObjectProxy(Row(a)),
    lambda a: Model(a=a),
    lambda a: Model(b=1, a=a),
    lambda a: Model.model_construct(b=a),
    lambda a: Model.model_construct(_fields_set=set(), a=a),
    lambda a: Model.model_construct(_fields_set={1, "a"}, a=a),
    lambda a: Model.__new__(Model),
    lambda a: Open(a=a),
    lambda a: Open(a=a, b=2, more=a),
    lambda a: Private(a=a),
    lambda a: Aliased(b=a),
    lambda a: Aliased(b=a, a=1),
    changed(lambda a: Private(a=a), lambda model: setattr(model, "_hidden", threading.Lock())),
    changed(lambda a: Model(a=a), lambda model: vars(model).update(beside=1)),
    changed(lambda a: Model(a=a), lambda model: vars(model).pop("a")),
    changed(lambda a: Model(a=a), lambda model: object.__setattr__(model, "__pydantic_fields_set__", frozenset())),
    changed(lambda a: Model(a=a), lambda model: object.__setattr__(model, "__pydantic_extra__", OwnDict(x=1))),
    changed(lambda a: Model(a=a), lambda model: object.__delattr__(model, "__pydantic_private__")),
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


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.builds(lambda make, a: make(a), st.sampled_from(MAKERS), inner)
        | st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(leaf_keys, inner, max_size=3)
        | st.dictionaries(leaf_keys, plain, max_size=3)
        | st.frozensets(leaf_keys | st.tuples(leaf_keys, plain), max_size=3)
    )


@given(value=around(st.recursive(leaves, around, max_leaves=6)))
def test_any_object_is_packed_as_in_the_general_way(value: Any) -> None:
    """Byte for byte, whatever is unusual about it or its class."""
    general, quick = packed_either_way(value)

    assert quick == general


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("a", [1, "x", "\ud800", [{"k": (1,)}], threading.Lock()], ids=repr)
def test_each_kind_is_packed_as_in_the_general_way(make: Callable[[Any], Any], a: Any) -> None:
    """Alone, and beside others of its class."""
    value = make(a)
    for each in (value, [value, value], {"x": [value]}, {1: value}):
        general, quick = packed_either_way(each)
        assert quick == general


@pytest.mark.parametrize("depth", [10, 31, 32, 33, 64, 200])
@pytest.mark.parametrize("make", [Row, SlottedRow, lambda a: Model.model_construct(a=a), Named, lambda a: (a,)])
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
