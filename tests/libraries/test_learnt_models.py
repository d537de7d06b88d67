"""What is learnt of a pydantic model's class: its instances have the bytes of the general way, for far fewer calls."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from format.kinds_of_objects import OwnDict, calls_in, changed, packed_either_way, values_of
from hypothesis import given

from replaykit.format.values import pack, unpack

pytestmark = pytest.mark.libraries


class Model(pydantic.BaseModel):
    a: Any
    b: Any = "b"


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


def later_fields(a: Any) -> Any:
    """A model that gets a field after it was learnt."""

    class Late(pydantic.BaseModel):
        a: Any

    first = Late(a=1)
    pack(first)
    Late.model_fields["b"] = pydantic.fields.FieldInfo(annotation=Any, default=2)
    Late.model_rebuild(force=True)
    return [first, Late(a=a)]


MODELS: list[Callable[[Any], Any]] = [
    Root, later_fields,
    lambda a: Model(a=a),
    lambda a: Model(b=1, a=a),
    lambda a: Model.model_construct(b=a),
    lambda a: Model.model_construct(_fields_set=set(), a=a),
    lambda a: Model.model_construct(_fields_set={1, "a"}, a=a),
    lambda a: Model.__new__(Model),
    changed(lambda a: Model(a=a), lambda model: vars(model).update(beside=1)),
    changed(lambda a: Model(a=a), lambda model: vars(model).pop("a")),
    changed(lambda a: Model(a=a), lambda model: object.__setattr__(model, "__pydantic_fields_set__", frozenset())),
    changed(lambda a: Model(a=a), lambda model: object.__setattr__(model, "__pydantic_extra__", OwnDict(x=1))),
    changed(lambda a: Model(a=a), lambda model: object.__delattr__(model, "__pydantic_private__")),
    lambda a: Open(a=a),
    lambda a: Open(a=a, b=2, more=a),
    lambda a: Private(a=a),
    lambda a: Aliased(b=a),
    lambda a: Aliased(b=a, a=1),
    changed(lambda a: Private(a=a), lambda model: setattr(model, "_hidden", threading.Lock())),
]  # fmt: skip


@pytest.mark.parametrize("given_fields", [{}, {"b": 2}], ids=["one field set", "all set"])
def test_a_model_costs_a_few_calls(given_fields: dict[str, Any]) -> None:
    """Once its class is known: it was more than thirty."""
    few, many = ([Model(a=number, **given_fields) for number in range(count)] for count in (10, 110))
    pack(few)

    each = (calls_in(lambda: pack(many)) - calls_in(lambda: pack(few))) / 100

    assert each <= 3


@given(value=values_of(MODELS))
def test_any_model_is_packed_as_in_the_general_way(value: Any) -> None:
    """Byte for byte, whatever is unusual about it."""
    general, quick = packed_either_way(value)

    assert quick == general


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("a", [1, "\ud800", [{"k": (1,)}], threading.Lock()], ids=lambda a: type(a).__name__)
def test_each_kind_of_model_is_packed_as_in_the_general_way(make: Callable[[Any], Any], a: Any) -> None:
    """Alone, and beside others of its class."""
    value = make(a)
    for each in (value, [value, value], {"x": [value]}, {1: value}):
        general, quick = packed_either_way(each)
        assert quick == general


def test_a_model_is_recorded_between_two_changes_of_another_thread() -> None:
    """All fields are of one moment."""
    names = [f"field_{number}" for number in range(300)]
    fields: dict[str, Any] = dict.fromkeys(names, (int, 0))
    wide = pydantic.create_model("Wide", **fields)()
    start, is_over = threading.Barrier(2), threading.Event()

    def change() -> None:
        start.wait()
        number = 0
        while not is_over.is_set():
            number += 1
            vars(wide).update(dict.fromkeys(names, number))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        start.wait()
        seen = {len(set(unpack(pack(wide))[2].values())) for _ in range(1000)}
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval)

    assert seen == {1}
