"""A play gives back the object that was recorded: with all that it held, of its own class, made by none of its code."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import attrs
import pytest
from playback.played_values import played

import replaykit
from replaykit.format.thaw import thaw
from replaykit.format.values import pack, plain_of
from replaykit.model import Structured
from replaykit.playback.objects import object_with
from replaykit.playback.outcomes import are_alike


@pytest.fixture
def pydantic() -> Any:
    import pydantic

    return pydantic


def flags_of(value: Any) -> set[str]:
    notes: set[str] = set()
    plain_of(pack(value), notes=notes)
    return notes


def stood_in(value: Any) -> Structured:
    """Return what an untyped play gives."""
    found = thaw(plain_of(pack(value), notes=set()))
    assert isinstance(found, Structured)
    return found


# -- what an object holds beside its fields ---------------------------------------------


made_by_code: list[str] = []


@dataclasses.dataclass
class Text:
    words: str

    def __post_init__(self) -> None:
        made_by_code.append("__post_init__")
        self._split = self.words.split()

    @cached_property
    def length(self) -> int:
        return len(self.words)


class Base:
    __slots__ = ("_cache",)


@dataclasses.dataclass(slots=True)
class Slotted(Base):
    number: int


@attrs.define(slots=False)
class Plain:
    number: int


class Named(NamedTuple):
    left: int


class Noted(Named):
    note: str


def with_slot() -> Slotted:
    made = Slotted(1)
    made._cache = [1]
    return made


def with_attribute(made: Any) -> Any:
    made.note = "kept"
    return made


@pytest.mark.parametrize(
    ("make", "held"),
    [
        (lambda: Text("a b"), lambda value: (value, value._split)),
        (with_slot, lambda value: (value, value._cache)),
        (lambda: with_attribute(Plain(1)), lambda value: (value, value.note)),
        (lambda: with_attribute(Noted(1)), lambda value: (value, value.note)),
    ],
    ids=["dataclass", "slot", "attrs", "named tuple"],
)
def test_what_an_object_holds_beside_its_fields_comes_back(make: Callable[[], Any], held: Callable[[Any], Any]) -> None:
    """What a ``__post_init__`` or a caller has put there, in a dictionary or a slot."""
    value = make()

    back = played(value, type(value))

    assert held(value) == held(back)
    assert type(value) is type(back)
    assert flags_of(value) == set()


def test_a_cached_property_is_no_property_of_the_class_alone() -> None:
    """What was worked out is there, and is not worked out again."""
    value = Text("a b")
    assert value.length == 3

    assert vars(value) == vars(played(value, Text))


def test_no_code_of_the_class_makes_what_is_played() -> None:
    value = Text("a b")
    made_by_code.clear()

    played(value, Text)

    assert made_by_code == []


def test_what_cannot_be_kept_beside_the_fields_is_left_out() -> None:
    """A lock has no stored form, and counts in no comparison: a replay of the call is as good as without it."""
    value = Text("a b")
    value._lock = threading.Lock()  # type: ignore[attr-defined]  # that is the point
    value._words = ["a", "b"]

    assert flags_of(value) == set()
    assert vars(played(value, Text)).keys() == vars(value).keys() - {"_lock"}


def test_secrets_beside_the_fields_are_redacted() -> None:
    value = Text("a b")
    value._password = "hunter2-is-hidden"  # type: ignore[attr-defined]  # that is the point

    back = played(value, Text)

    assert back._password == "[redacted:key]"


def test_a_hash_that_attrs_keeps_is_not_recorded() -> None:
    """In another process it is another one."""

    @attrs.frozen(cache_hash=True)
    class Hashed:
        word: str

    value = Hashed("a")
    hash(value)

    assert stood_in(value).beside_fields == {}


def test_what_is_beside_the_fields_tells_no_calls_apart() -> None:
    """Equal objects need not share their caches, nor does an older recording have them."""

    @replaykit.records("find")
    def find(text: Text) -> int:
        return 1

    with replaykit.session(store=":memory:") as session:
        find(Text("a b"))
    other = Text("a b")
    other._split = ["something", "else"]
    with replaykit.play(session.result):
        assert find(other) == 1
    assert are_alike([Text("a b")], [other])
    assert not are_alike([Text("a b")], [Text("b")])


def test_a_stand_in_that_is_recorded_again_holds_it_still() -> None:
    """What was played without a class is as good as what was recorded first."""
    first = stood_in(Text("a b"))

    assert first.beside_fields == {"attributes": {"_split": ["a", "b"]}}
    assert pack(first) == pack(Text("a b"))
    assert copy.deepcopy(first).beside_fields == first.beside_fields


@pytest.mark.parametrize("beside", [None, 7, {"attributes": 7}, {"~t": "dict", "~v": [[1, 2]]}, {"set": 7}])
def test_what_no_recorder_writes_there_is_read_all_the_same(beside: Any) -> None:
    """A hostile or newer recording costs at most what it says there."""
    stored = {"~t": "struct", "~v": [f"{Plain.__module__}.Plain", {"number": 1}, beside]}

    found = thaw(stored)

    assert found.fields == {"number": 1}
    assert object_with(Plain, found.fields, {}) == Plain(1)


# -- pydantic models --------------------------------------------------------------------


@pytest.fixture
def models(pydantic: Any) -> Iterator[Any]:
    """The classes of one module that has pydantic."""

    class Message(pydantic.BaseModel):  # type: ignore[misc]  # imported where it is installed
        model_config = pydantic.ConfigDict(extra="allow")
        role: str = "user"
        name: str = "n"

    class Private(pydantic.BaseModel):  # type: ignore[misc]
        number: int
        _seen: int = pydantic.PrivateAttr(0)

        def model_post_init(self, context: Any) -> None:
            self._seen += 1
            self.number += 1

    class Swapped(pydantic.BaseModel):  # type: ignore[misc]
        first: int = pydantic.Field(alias="second")
        second: int = pydantic.Field(alias="first")

    class Shadowed(pydantic.BaseModel):  # type: ignore[misc]
        model_config = pydantic.ConfigDict(extra="allow")
        number: int = pydantic.Field(alias="n")

    class Everything:
        message, private, swapped, shadowed = Message, Private, Swapped, Shadowed
        listed = pydantic.RootModel[list[int]]

    yield Everything


@pytest.mark.libraries
@pytest.mark.libraries
def test_what_a_model_was_given_beyond_its_fields_comes_back(models: Any) -> None:
    """As a field of the stand-in, and as itself in the model."""
    value = models.message(role="assistant", reasoning="because", usage={"tokens": 3})

    back = played(value, models.message)

    assert stood_in(value).reasoning == "because"
    assert value == back
    assert (back.reasoning, back.model_extra) == ("because", value.model_extra)


@pytest.mark.libraries
@pytest.mark.libraries
def test_a_model_knows_which_fields_it_was_given(models: Any) -> None:
    for value in (models.message(), models.message(role="a"), models.message(role="a", name="b", more=1)):
        back = played(value, models.message)
        assert value.model_fields_set == back.model_fields_set
        assert value.model_dump(exclude_unset=True) == back.model_dump(exclude_unset=True)


@pytest.mark.libraries
@pytest.mark.libraries
def test_the_name_of_a_field_is_no_secret(pydantic: Any) -> None:
    """Of what a model was given only values are redacted."""

    class Settings(pydantic.BaseModel):  # type: ignore[misc]  # imported where it is installed
        api_key: str | None = None
        model: str | None = None
        more: int = 1

    value = Settings(api_key=None, model="m")

    assert played(value, Settings).model_fields_set == {"api_key", "model"}


@pytest.mark.libraries
@pytest.mark.libraries
def test_private_attributes_of_a_model_come_back(models: Any) -> None:
    """And what a class does at the end of its making is not done again."""
    value = models.private(number=1)
    value._seen = 7

    back = played(value, models.private)

    assert (back.number, back._seen) == (2, 7)
    assert value == back


@pytest.mark.libraries
@pytest.mark.libraries
def test_a_model_of_an_older_recording_has_its_private_attributes_as_when_it_is_new(models: Any) -> None:
    back = object_with(models.private, {"number": 2}, {})

    assert (back.number, back._seen, back.model_fields_set) == (2, 1, {"number"})


@pytest.mark.libraries
@pytest.mark.libraries
def test_fields_whose_aliases_name_each_other_are_not_swapped(models: Any) -> None:
    value = models.swapped(first=1, second=2)

    assert value == played(value, models.swapped)


@pytest.mark.libraries
@pytest.mark.libraries
def test_what_is_named_like_a_field_with_an_alias_comes_back_beside_it(models: Any) -> None:
    value = models.shadowed(n=1, number=2)
    assert value.model_extra == {"number": 2}

    back = played(value, models.shadowed)

    assert (back.__dict__, back.model_extra) == ({"number": 1}, {"number": 2})


@pytest.mark.libraries
@pytest.mark.libraries
def test_a_model_of_one_value_comes_back(models: Any) -> None:
    value = models.listed([1, 2])

    back = played(value, models.listed)

    assert value == back
    assert vars(value) == vars(back)


@pytest.mark.libraries
@pytest.mark.libraries
def test_a_model_that_was_made_without_a_field_comes_back_without_it(models: Any) -> None:
    """As clients make them of answers that lack something."""
    value = models.swapped.model_construct(first=1)

    back = played(value, models.swapped)

    assert vars(value) == vars(back)
    assert value.model_fields_set == back.model_fields_set


@pytest.mark.libraries
@pytest.mark.libraries
def test_equal_models_are_one_argument_whatever_they_were_given(models: Any) -> None:
    """But not if they hold something else."""
    assert are_alike([models.message()], [models.message(role="user")])
    assert not are_alike([models.message()], [models.message(more=1)])
