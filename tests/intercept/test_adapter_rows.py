"""What a row or a map can say beyond kinds and places: asked before, taken over, errors, modules, what is gone."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

import replaykit
from replaykit import Adapter, MethodMap, Operation


class Full(Exception):
    """An exception of a library's own."""


class Box:
    """Numbers its items and says nothing of it."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def extend(self, items: list[str]) -> None:
        if len(self.items) + len(items) > 3:
            raise Full("no room")
        self.items.extend(items)

    def close(self) -> str:
        return "closed by itself"


def ids(_arguments: Any, _result: Any, before: tuple[Box, int] | None) -> list[int]:
    assert before is not None
    box, count = before
    return list(range(count, len(box.items)))


def rows(**more: Any) -> MethodMap:
    extend = Operation(kind="put_many", ids=ids, before=lambda box: (box, len(box.items)), **more)
    return MethodMap(operations={"extend": extend}, takes_over={"close": lambda self: f"{self.close.__self__ is self}"})


def test_what_is_asked_before_a_call_is_given_to_the_rows_callables() -> None:
    box = replaykit.wrap(Box(), store=":memory:", operations=rows())
    with replaykit.recorder_of(box).session() as session:
        box.extend(["a"])
        box.extend(["b", "c"])

    assert [each.affected_frames for each in session.result.actions] == [(0,), (1, 2)]


def test_an_object_that_cannot_be_asked_costs_the_call_nothing() -> None:
    def refuse(_box: Any) -> None:
        raise RuntimeError("not now")

    row = Operation(kind="put_many", ids=ids, before=refuse)
    box = replaykit.wrap(Box(), store=":memory:", operations={"extend": row})
    with replaykit.recorder_of(box).session() as session:
        box.extend(["a"])

    assert box.items == ["a"]
    assert [each.affected_frames for each in session.result.actions] == [()]


def test_what_is_taken_over_stands_in_the_place_of_the_objects_own() -> None:
    """Its self is the recorded object; the bare one keeps its own."""
    bare = Box()

    assert replaykit.wrap(bare, store=":memory:", operations=rows()).close() == "True"
    assert bare.close() == "closed by itself"


def test_a_librarys_exception_comes_back_as_itself() -> None:
    def thaw_error(failure: replaykit.Failure) -> Full | None:
        return Full(*failure.args) if failure.type.endswith(".Full") else None

    box = replaykit.wrap(Box(), store=":memory:", operations=rows(thaw_error=thaw_error))
    with replaykit.recorder_of(box).session() as session, pytest.raises(Full):
        box.extend(["a"] * 4)

    with replaykit.play(session.result), pytest.raises(Full, match="no room"):
        box.extend(["a"] * 4)


def test_a_modules_functions_hand_out_what_is_recorded() -> None:
    module = ModuleType("boxlib")
    module.open_box = lambda: Box()  # type: ignore[attr-defined]  # a module of this test's own
    adapter = Adapter(
        classes={f"{__name__}.Box": rows()},
        modules={
            "boxlib": MethodMap(operations={"open_box": Operation(kind="tool", derives=True, freeze=lambda _: None)})
        },
    )
    wrapped: Any = replaykit.wrap(module, store=":memory:", operations=adapter)
    with replaykit.recorder_of(wrapped).session() as session:
        wrapped.open_box().extend(["a"])

    assert [(each.kind, each.name) for each in session.result.actions] == [("tool", "open_box"), ("put_many", "extend")]


def test_a_method_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """If every release should have it; what is there is recorded."""
    known = MethodMap(operations={"extend": "put_many", "gone": "find", "new": "find"}, essential="extend gone")
    adapter = Adapter(classes={f"{__name__}.Box": known})
    with caplog.at_level("WARNING"):
        for _ in range(2):
            replaykit.wrap(Box(), store=":memory:", operations=adapter).extend(["a"])

    told = [record for record in caplog.records if record.getMessage() == "methods_not_there"]
    assert [record.methods for record in told] == [["gone"]]  # type: ignore[attr-defined]  # given as a key
