"""What others may change while it is packed: the encoder is in C, and asks Python about what it does not know."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest

import replaykit
from replaykit.format.encoding import encoder
from replaykit.format.values import pack, plain_of


@dataclasses.dataclass
class Row:
    """A value that the encoder asks Python about."""

    text: str
    more: Any = None


class Clearing(Exception):
    """An error that empties what it stands in when it is described: the worst that the code of others may do."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held = held

    def __str__(self) -> str:
        self.held.clear()
        return "cleared"


def list_of_itself() -> list[Any]:
    held: list[Any] = []
    held.extend((Clearing(held), *(str(number) * 5 for number in range(1000))))
    return held


def map_of_itself() -> dict[str, Any]:
    held: dict[str, Any] = {}
    held.update(first=Clearing(held), **{f"k{number}": str(number) * 5 for number in range(1000)})
    return held


def deep_inside() -> dict[str, Any]:
    return {"a": [{"b": Row("x", {"c": list_of_itself()})}, (map_of_itself(),)]}


@pytest.mark.parametrize("make", [list_of_itself, map_of_itself, deep_inside])
def test_what_is_emptied_while_it_is_packed_is_packed_as_it_was(make: Callable[[], Any]) -> None:
    """Freed memory is not read, and as many items follow as were announced."""
    # In a process of its own: it ended by a segmentation fault.
    program = f"""
        from tests.format import test_encoding as here
        here.demand_whole(here.{make.__name__}())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, cwd=__file__.rsplit("/tests/", 1)[0],
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def demand_whole(value: Any) -> None:
    shown = repr(plain_of(pack(value), notes=set()))
    assert "999999999999" in shown, shown[:300]
    assert "cleared" in shown, shown[:300]


@pytest.mark.parametrize("kind", ["list", "map"])
def test_a_thread_that_changes_what_is_recorded_costs_no_action(kind: str) -> None:
    """A history that one thread trims and a table that it updates, while another records calls with them."""
    shared: Any = [Row(f"{number}") for number in range(100)]
    if kind == "map":
        shared = {f"k{number}": row for number, row in enumerate(shared)}
    is_over = threading.Event()

    def change() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            if kind == "list":
                shared.append(Row("more"))
                if len(shared) > 150:
                    del shared[:100]
            else:
                shared.pop(next(iter(shared)))
                shared[f"n{number}"] = Row("new")

    @replaykit.records("tool")
    def act(state: Any) -> Any:
        return state

    before, thread = sys.getswitchinterval(), threading.Thread(target=change)
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        with replaykit.session("shared", store=":memory:") as session:
            for _ in range(60):
                act(shared)
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(before)
    stored = session.result
    assert (len(stored.actions), stored.lost, bool(stored.playable)) == (60, 0, True)
    assert all(len(action.arguments["state"]) >= 49 for action in stored.actions)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, "x", b"y", None, True]}, [[[]]], "x", 2**64 - 1, -(2**63)])
def test_plain_values_are_packed_without_a_call_back(value: Any) -> None:
    """All of it in one step, in which nothing else runs."""
    encode, options = encoder()
    assert encode(value, None, options) == pack(value)


@pytest.mark.parametrize("value", [(1,), {1: 2}, Row("x"), 2**64, "\ud800", {1, 2}, type("Text", (str,), {})("x")])
def test_anything_else_is_refused_without_a_call_back(value: Any) -> None:
    """Values that the encoder has a form of its own for would lose their types."""
    encode, options = encoder()
    with pytest.raises(TypeError):
        encode(value, None, options)
