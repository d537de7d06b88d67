"""Recording on a module itself, and calls that a method's result makes when it is entered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import replaykit
from replaykit import MethodMap, Operation
from replaykit.errors import NoMatchError
from replaykit.intercept.instrumented_modules import instrument_module, uninstrument_module
from replaykit.intercept.instrumenting import instrument_class, uninstrument_class
from replaykit.intercept.shapes import run
from replaykit.model import ReplaySession

LIBRARY = """
def reopen(path, key=None):
    return create(path)

def create(path):
    if not path:
        raise ValueError("no path")
    return [path]

constant = 3
"""
ROWS = MethodMap(operations={"create": "tool", "reopen": Operation(kind="tool", omits=("key",)), "constant": "tool"})


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module, which is as it was after each test."""
    module = ModuleType("openinglib")
    exec(LIBRARY, vars(module))
    monkeypatch.setitem(sys.modules, "openinglib", module)
    before = dict(vars(module))
    instrument_module(module, ROWS)
    yield module
    uninstrument_module(module)
    assert vars(module) == before


def recorded(call: Callable[[], Any]) -> ReplaySession:
    with replaykit.session("openings", store=":memory:") as session:
        call()
    assert session.result is not None
    return session.result


def names(session: ReplaySession) -> list[tuple[str, Any]]:
    return [(action.name, action.parent) for action in session.actions]


def test_functions_of_a_module_are_recorded_and_played(library: Any) -> None:
    """What they call among each other is part of the call; others are left alone."""
    session = recorded(lambda: (library.create("a"), library.reopen("b", key="secret"), library.constant))

    assert names(session) == [("create", None), ("reopen", None)]
    assert session.actions[1].arguments == {"path": "b"}
    with replaykit.play(session), pytest.raises(NoMatchError):
        assert library.reopen("b") == ["b"]
        library.create("elsewhere")


def test_a_wrapped_module_is_recorded_once(library: Any) -> None:
    """Also where it was wrapped before."""
    wrapped = replaykit.wrap(library, operations={"reopen": "tool"})
    uninstrument_module(library)
    earlier = replaykit.wrap(library, operations={"reopen": "tool"})
    instrument_module(library, ROWS)

    for proxy in (wrapped, earlier):
        assert names(recorded(lambda: proxy.reopen("b"))) == [("reopen", None)]  # noqa: B023 - called here


def test_instrumenting_twice_records_once(library: Any) -> None:
    instrument_module(library, ROWS)

    assert names(recorded(lambda: library.create("a"))) == [("create", None)]


class Opening:
    """Asks when it is entered."""

    def __init__(self, request: Callable[[], Any]) -> None:
        self.request = request

    def __enter__(self) -> Any:
        return self.request()


class Server:
    def ask(self, question: str) -> str:
        return question.upper()

    def opening(self, question: str) -> Opening:
        answer = self.ask(question)
        return Opening(lambda: answer + self.ask("!"))


def planted(opening: Any, given: Any) -> bool:
    """Have the request of *opening* recorded."""
    request = opening.request
    opening.request = lambda: run(given, request, (), {})
    return True


@pytest.mark.parametrize("can_plant", [True, False])
def test_a_deferred_call_is_recorded_when_it_is_made(can_plant: bool) -> None:
    """It and what it asks is one call, in a play too; where it could not be planted it is counted."""
    plant = planted if can_plant else lambda _opening, _given: False
    row = Operation(kind="ask", name="chat.opening", deferred=plant)
    instrument_class(Server, MethodMap(operations={"ask": "ask", "opening": row}))
    try:
        session = recorded(lambda: Server().opening("hi").__enter__())
        with replaykit.play(session):
            opening = Server().opening("hi")
            assert not can_plant or opening.__enter__() == "HI!"
    finally:
        uninstrument_class(Server)

    assert names(session) == ([("chat.opening", None)] if can_plant else [("ask", None)])
    assert dict(session.uncovered) == ({} if can_plant else {"Server.opening": 1})
