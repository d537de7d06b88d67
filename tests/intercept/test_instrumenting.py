"""Recording on an object or a class itself: what it records, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import replaykit
from replaykit import MethodMap, Operation
from replaykit.errors import UsageError
from replaykit.intercept.instrumenting import instrument_class, uninstrument_class


class Notes:
    """A memory that calls itself."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def put(self, content: str) -> int:
        self.rows.append(content)
        return len(self.rows) - 1

    def find(self, query: str) -> list[str]:
        return [row for row in self.rows if query in row]

    def ask(self, question: str) -> list[str]:
        return self.find(question)

    def put_many(self, contents: list[str]) -> list[int]:
        return [self.put(content) for content in contents]


class Loud(Notes):
    """Overrides a method and calls the inherited one."""

    def find(self, query: str) -> list[str]:
        return [row.upper() for row in super().find(query)]


class Async(Notes):
    async def find(self, query: str) -> list[str]:  # type: ignore[override]
        await asyncio.sleep(0)
        return [await self.search(query)]

    async def search(self, query: str) -> str:
        return query

    async def ask(self, question: str) -> AsyncIterator[str]:  # type: ignore[override]
        yield await self.search(question)
        yield "end"


class Streaming(Notes):
    def ask(self, question: str) -> Iterator[str]:  # type: ignore[override]
        yield from self.find(question)
        yield "end"


class Slotted:
    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[str] = []

    def find(self, query: str) -> list[str]:
        return [query]


def recorded(target: Any, call: Callable[[], Any]) -> list[tuple[str, Any]]:
    """Run *call* in a session of *target* and return names and parents of what was recorded."""
    with replaykit.recorder_of(target).session(adopt=True) as session:
        call()
    assert session.result is not None
    return [(action.name, action.parent) for action in session.result.actions]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """After each test the classes are as they were."""
    classes = (Notes, Loud, Async, Streaming, Slotted)
    before = [members(cls) for cls in classes]
    yield
    assert [members(cls) for cls in classes] == before


def members(cls: type) -> dict[str, Any]:
    """Return what a class defines, without what `copyreg` notes on it."""
    return {name: item for name, item in vars(cls).items() if name != "__slotnames__"}


@pytest.mark.parametrize("cls", [Notes, Loud, Slotted])
def test_the_object_itself_is_recorded(cls: Any) -> None:
    """It stays the very object, of the very class; another one of the class is not recorded."""
    notes, other = cls(), cls()

    assert replaykit.instrument(notes, store="runs.rpk") is notes

    assert type(notes) is cls
    assert recorded(notes, lambda: (notes.find("x"), other.find("y"))) == [("find", None)]
    assert inspect.signature(notes.find) == inspect.signature(cls().find)
    replaykit.uninstrument(notes)
    with pytest.raises(UsageError, match="wrap it first"):
        replaykit.recorder_of(notes)


def test_what_it_calls_on_itself_is_no_action() -> None:
    """Neither another method of it, nor an inherited one that it overrides."""
    notes = replaykit.instrument(Loud(), store="runs.rpk")

    assert recorded(notes, lambda: (notes.put_many(["a"]), notes.ask("a"), notes.find("a"))) == [
        ("put_many", None),
        ("ask", None),
        ("find", None),
    ]
    replaykit.uninstrument(notes)


def test_calls_of_another_object_inside_are_children() -> None:
    inner = replaykit.instrument(Notes(), store="runs.rpk")

    class Outer(Notes):
        def find(self, query: str) -> list[str]:
            return inner.find(query)

    outer = replaykit.recorder_of(inner).instrument(Outer())

    assert recorded(inner, lambda: outer.find("x")) == [("find", None), ("find", 0)]
    replaykit.uninstrument(outer)
    replaykit.uninstrument(inner)


def test_coroutines_and_streams_are_recorded_whole() -> None:
    """What happens on the object itself in their steps is part of them; what their consumer does is not."""
    notes, stream = replaykit.instrument(Async(), store="runs.rpk"), replaykit.instrument(Streaming(), store="b.rpk")
    stream.rows.append("xy")

    async def calls() -> None:
        assert asyncio.iscoroutinefunction(notes.find)
        assert await notes.find("x") == ["x"]
        assert [item async for item in notes.ask("y")] == ["y", "end"]

    def consume() -> None:
        for _ in stream.ask("x"):
            stream.find("y")

    assert recorded(notes, lambda: asyncio.run(calls())) == [("find", None), ("ask", None)]
    assert recorded(stream, consume) == [("ask", None), ("find", None), ("find", None)]
    replaykit.uninstrument(notes)
    replaykit.uninstrument(stream)


def test_it_plays() -> None:
    notes = replaykit.instrument(Notes(), store="runs.rpk")
    notes.put("some text")
    with replaykit.recorder_of(notes).session() as session:
        notes.find("some")
    notes.rows.clear()

    with replaykit.play(session.result) as player:
        assert notes.find("some") == ["some text"]

    assert player.all_played
    replaykit.uninstrument(notes)


def test_dotted_rows_and_what_is_handed_out_are_recorded_on_themselves() -> None:
    class Shop:
        def __init__(self) -> None:
            self.notes = Notes()

    shop = replaykit.instrument(Shop(), store="runs.rpk", operations={"notes.find": "find"})

    assert recorded(shop, lambda: shop.notes.find("x")) == [("notes.find", None)]
    replaykit.uninstrument(shop)
    assert not isinstance(vars(Notes)["find"], replaykit.intercept.instrumenting.InstrumentedMethod)


def test_several_objects_of_a_class_each_have_their_recorder() -> None:
    """Ending with one leaves the other; instrumenting twice records once, into the newer store."""
    first, second = replaykit.instrument(Notes(), store="a.rpk"), replaykit.instrument(Notes(), store="b.rpk")
    assert replaykit.recorder_of(first) is not replaykit.recorder_of(second)

    replaykit.uninstrument(first)
    replaykit.instrument(second, store="c.rpk")

    assert recorded(second, lambda: (first.find("x"), second.find("y"))) == [("find", None)]
    assert repr(replaykit.recorder_of(second)).endswith("c.rpk>")
    replaykit.uninstrument(second)
    with pytest.raises(UsageError, match="was not instrumented"):
        replaykit.uninstrument(second)


def test_an_object_that_is_gone_is_forgotten() -> None:
    notes: Any = replaykit.instrument(Notes(), store="runs.rpk")
    method: Any = vars(Notes)["find"]
    assert len(method._self_objects) == 1

    del notes
    gc.collect()

    assert len(method._self_objects) == 0
    last = replaykit.instrument(Notes(), store="runs.rpk")
    replaykit.uninstrument(last)


def test_copies_and_pickles_are_plain_objects() -> None:
    """They are objects of the class that nobody asked to record."""
    notes = replaykit.instrument(Notes(), store="runs.rpk")

    others = [copy.copy(notes), copy.deepcopy(notes), pickle.loads(pickle.dumps(notes))]

    assert recorded(notes, lambda: [each.find("x") for each in others]) == []
    replaykit.uninstrument(notes)


def test_what_cannot_be_changed_is_refused() -> None:
    with pytest.raises(UsageError, match="use replaykit.wrap"):
        replaykit.instrument({}, store="runs.rpk", operations={"get": "find"})
    with pytest.raises(UsageError, match="recorded already"):
        replaykit.instrument(replaykit.wrap(Notes(), store="runs.rpk"))


# -- classes ----------------------------------------------------------------------------

ROWS = MethodMap(operations={"find": "find", "put": Operation(kind="put"), "ask": "ask"})


@pytest.fixture
def everywhere() -> Iterator[replaykit.Recorder]:
    """Every `Notes` is recorded by whatever session is open."""
    instrument_class(Notes, ROWS)
    with replaykit.Recorder(":memory:") as recorder:
        yield recorder
    uninstrument_class(Notes)


def names(recorder: replaykit.Recorder, call: Callable[[], Any]) -> list[tuple[str, str, Any]]:
    with recorder.session(adopt=True) as session:
        call()
    assert session.result is not None
    return [(action.name, action.source.rpartition(".")[2], action.parent) for action in session.result.actions]


def test_every_object_of_a_class_is_recorded(everywhere: replaykit.Recorder) -> None:
    """Those of its subclasses too, each call once, under the name of its own class."""
    assert names(everywhere, lambda: (Notes().find("x"), Loud().find("y"), Loud().ask("z"))) == [
        ("find", "Notes", None),
        ("find", "Loud", None),
        ("ask", "Loud", None),
    ]


def test_subclasses_that_come_later_are_recorded(everywhere: replaykit.Recorder) -> None:
    class Later(Loud):
        def __init_subclass__(cls, label: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.label = label  # type: ignore[attr-defined]

        def find(self, query: str) -> list[str]:
            return super().find(query)

    class Latest(Later, label="latest"):
        def find(self, query: str) -> list[str]:
            return super().find(query)

    assert Latest.label == "latest"  # type: ignore[attr-defined]
    assert [name for name, _, parent in names(everywhere, lambda: Latest().find("x")) if parent is None] == ["find"]
    assert len(names(everywhere, lambda: Latest().find("x"))) == 1


def test_an_object_and_its_class_can_both_be_recorded(everywhere: replaykit.Recorder) -> None:
    """Each call once: the object's own recorder has it."""
    notes = replaykit.instrument(Notes(), store="own.rpk")

    assert recorded(notes, lambda: notes.find("x")) == [("find", None)]
    assert names(everywhere, lambda: notes.find("x")) == [("find", "Notes", None)]
    replaykit.uninstrument(notes)
    assert names(everywhere, lambda: notes.find("x")) == [("find", "Notes", None)]


def test_a_wrapped_object_of_such_a_class_is_recorded_once(everywhere: replaykit.Recorder) -> None:
    proxy = everywhere.wrap(Notes())

    assert names(everywhere, lambda: proxy.find("x")) == [("find", "Notes", None)]
