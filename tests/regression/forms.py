"""Code that is recorded in every form there is, and sessions of it, for tests that are made of them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import replaykit

CODE = '''
"""Recorded in every form; what runs for real outside of a recording fails."""

import dataclasses
import enum

import replaykit

IS_THERE = False


def demand():
    if not IS_THERE:
        raise ConnectionError("nothing is there")


class QuotaError(Exception):
    pass


class Color(enum.Enum):
    RED = "r"


@dataclasses.dataclass
class Doc:
    id: int
    text: str


@dataclasses.dataclass
class Filter:
    lang: str
    years: tuple


class Client:
    pass


@replaykit.records("find")
def search(query: str, k: int = 2, *, where=None, color=Color.RED) -> list[dict]:
    demand()
    return [{"id": number, "text": f"{query} {number}"} for number in range(k)]


@replaykit.records("find")
def documents(query, /, *words, **more) -> list[Doc]:
    demand()
    return [Doc(1, query), Doc(2, "second")]


@replaykit.records("find")
async def asearch(query: str) -> dict:
    demand()
    return {"ids": [["a", "b"]], "documents": [["x" * 200, "y"]]}


@replaykit.records("tool")
def tokens(prompt):
    demand()
    yield "to"
    yield "kens"


@replaykit.records("tool")
async def atokens(prompt):
    demand()
    yield "to"
    raise QuotaError("of atokens")


@replaykit.records("tool")
def handed_out(prompt):
    demand()
    return atokens_of(prompt)


async def atokens_of(prompt):
    yield "handed"


@replaykit.records("tool")
def spend(amount, client, color=Color.RED):
    demand()
    if amount > 10:
        raise QuotaError(amount)
    if amount > 5:
        raise ValueError(f"{amount} (of 5) is too much")
    return None if amount else 0.5


@replaykit.records("tool", name="renamed")
def under_another_name(x):
    demand()
    return x


def _inner(x):
    demand()
    return {"deep": {"answer": "x" * 300, "score": 1.5}, "ok": True}


assigned = replaykit.records("tool")(_inner)


class Notes:
    def __init__(self, path):
        raise ConnectionError("no notes are opened in a test")

    @replaykit.records("find")
    def look(self, query, limit=3):
        demand()
        return ("a", "b")

    @classmethod
    @replaykit.records("tool")
    def count(cls, of):
        demand()
        return 12_345

    @staticmethod
    @replaykit.records("tool")
    def color(of) -> Color:
        demand()
        return Color.RED


class Plain:
    @replaykit.records("tool")
    def greet(self, name):
        demand()
        return f"hello {name}"


class Collection:
    def add(self, text, tags=(), ids=None):
        return 7

    def query(self, text, k=2):
        if not text:
            raise QuotaError("no text")
        return [f"{text} {number}" for number in range(k)]


class AsyncCollection:
    async def query(self, text, *, k=2, where=None):
        return [text] * k

    def many(self, *texts, **more):
        return len(texts)


def factory():
    @replaykit.records("tool")
    def nested(x):
        return x

    return nested
'''

LONG = "What does the contract say of notice periods?\nAnswer in two sentences, and " + "name the clause, " * 12


@contextmanager
def code_in(folder: Path, name: str) -> Iterator[Any]:
    """Give the code as the module *name*, which can be imported from *folder*; it is forgotten at the end."""
    (folder / f"{name}.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(name)
        module.IS_THERE = True
        yield module
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)


def functions(code: Any) -> None:
    """Plain functions, with every kind of parameter."""
    code.search("capital")
    code.search("river", 1, where={"lang": "en", "year": {"$gte": 2020}})
    code.search(LONG, where=code.Filter("en", (2020, 2021)))
    code.documents("word")
    code.documents("word", "and", "more", mode="x", **{"not a name": 1})
    code.under_another_name([1.5, float("inf"), b"bytes", {1, 2}, {"k": (None, True)}])
    code.assigned(1)
    client = code.Client()
    code.spend(0, client)
    code.spend(1, client)
    for amount in (7, 12):
        with contextlib.suppress(ValueError, code.QuotaError):
            code.spend(amount, client)


def methods(code: Any) -> None:
    """Methods of instances and of classes."""
    notes = object.__new__(code.Notes)
    notes.look("a", limit=5)
    code.Notes.count("b")
    code.Notes.color("c")
    code.Plain().greet("d")


def streams(code: Any) -> None:
    """Coroutines and generators of both kinds."""

    async def read() -> None:
        await code.asearch("x")
        with contextlib.suppress(code.QuotaError):
            [item async for item in code.atokens("z")]
        [item async for item in code.handed_out("h")]

    list(code.tokens("y"))
    asyncio.run(read())


def wrapped(code: Any) -> None:
    """Objects of a library that need not be there."""
    collection = replaykit.wrap(code.Collection(), operations={"add": "put", "query": "find"})
    collection.add("text")
    collection.query("capital", k=3)
    with contextlib.suppress(code.QuotaError):
        collection.query("")


def wrapped_async(code: Any) -> None:
    """An object whose methods are awaited."""
    collection = replaykit.wrap(code.AsyncCollection(), operations={"query": "find", "many": "tool"})
    asyncio.run(collection.query("capital", k=1))
    collection.many("a", "b", c=1)


def memory(code: Any) -> None:
    """The embedded memory."""
    with replaykit.open(":memory:") as mv:
        frame = mv.put("Paris is the capital of France.", title="France", metadata={"lang": "en"})
        mv.put_many(["a", {"content": "b", "title": "B"}])
        mv.find("capital", k=3)
        mv.ask("What is the capital of France?")
        list(mv.ask_stream("What is the capital of France?"))
        mv.get(frame)
        mv.update(frame, title=None)
        mv.restore(generation=1)
        asyncio.run(mv.ask_async("What is the capital?"))
        mv.delete(frame)
        with contextlib.suppress(replaykit.errors.FrameNotFoundError):
            mv.get(99)


FORMS: tuple[Callable[[Any], None], ...] = (functions, methods, streams, wrapped, wrapped_async, memory)


def record_all(code: Any, store: Path) -> None:
    """Record a session of each form, under its name."""
    with replaykit.Recorder(store) as recorder:
        for form in FORMS:
            with recorder.session(form.__name__):
                form(code)
