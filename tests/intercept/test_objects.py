"""A wrapped object stays the object it was; its memory operations are recorded."""

from __future__ import annotations

import asyncio
import collections.abc
import copy
import functools
import inspect
import os
import pickle
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import replaykit
from replaykit import ReplayAction, ReplaySession
from replaykit.errors import UsageError


class Client:
    """A memory as users have them."""

    region = "eu"

    def __init__(self, label: str = "a") -> None:
        self.label = label
        self.rows: dict[int, str] = {}
        self.closed = 0

    def put(self, content: str, *, title: str = "") -> int:
        """Store one."""
        self.rows[len(self.rows)] = content
        return len(self.rows) - 1

    def find(self, query: str, k: int = 5) -> list[dict[str, Any]]:
        """Find some."""
        return [{"id": key, "text": text} for key, text in self.rows.items() if query in text][:k]

    def where(self, **conditions: Any) -> Client:
        """Filter, fluently."""
        return self

    def delete(self, frame_id: int) -> Client:
        self.rows.pop(frame_id, None)
        return self

    def ask(self, question: str) -> Iterator[str]:
        """Answer in pieces."""
        got = yield "well"
        yield got or "nothing"

    @property
    def size(self) -> int:
        return len(self.rows)

    @size.setter
    def size(self, value: int) -> None:
        self.rows = dict.fromkeys(range(value), "")

    @property
    def itself(self) -> Client:
        return self

    @classmethod
    def update(cls, frame_id: int, content: str) -> str:
        return f"{cls.__name__} {frame_id}"

    @staticmethod
    def search(query: str, k: int = 3) -> str:
        return query * k

    def put_twice(self, content: str) -> None:
        self.put(content)
        self.put(content)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.closed += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Client) and self.label == other.label

    def __hash__(self) -> int:
        return hash(self.label)

    def __repr__(self) -> str:
        return f"Client({self.label!r})"


class AsyncClient:
    """An async memory."""

    def __init__(self) -> None:
        self.closed = False

    async def find(self, query: str) -> list[str]:
        await asyncio.sleep(0)
        return [query]

    async def delete(self, frame_id: int) -> AsyncClient:
        return self

    async def ask(self, question: str) -> AsyncIterator[Any]:
        try:
            for word in question.split():
                try:
                    got = yield word
                    if got is not None:
                        yield got
                except KeyError as error:
                    yield f"caught {error}"
        finally:
            self.closed = True

    def query(self, query: str) -> Any:
        """A plain method that hands out a coroutine."""
        return self.find(query)

    async def connect(self) -> AsyncClient:
        return self

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.closed = True

    def __aiter__(self) -> AsyncClient:
        return self

    async def __anext__(self) -> str:
        if self.closed:
            raise StopAsyncIteration
        self.closed = True
        return "item"

    def __await__(self) -> Iterator[Any]:
        yield from asyncio.sleep(0).__await__()
        return self  # type: ignore[return-value]


@pytest.fixture
def client() -> Any:
    return replaykit.wrap(Client(), store="runs.rpk")


def recorded(proxy: Any, call: Callable[[], Any]) -> list[ReplayAction]:
    """Run *call* in a session of *proxy* and return what was recorded."""
    with replaykit.recorder_of(proxy).session(adopt=True) as session:
        call()
    result = session.result
    assert isinstance(result, ReplaySession)
    return list(result.actions)


# -- identity ---------------------------------------------------------------------------


def test_it_is_an_instance_of_the_class(client: Any) -> None:
    """``isinstance``, ``__class__``, equality and hash see the target."""
    assert isinstance(client, Client)
    assert client.__class__ is Client
    assert client == Client("a")
    assert Client("a") == client
    assert client != Client("b")
    assert hash(client) == hash(Client("a"))
    assert {client: 1}[Client("a")] == 1
    assert client == replaykit.wrap(Client("a"), store="other.rpk")


def test_it_shows_what_the_target_shows(client: Any) -> None:
    """``repr``, ``str``, ``vars``, ``dir`` and documentation; ``dir`` has the session surface besides."""
    target = client.__wrapped__

    assert "Client('a')" == repr(client) == str(client) == f"{client}"
    assert vars(target) is vars(client)
    assert set(dir(target)) <= set(dir(client))
    assert {"session", "list_sessions"} <= set(dir(client))
    assert Client.__doc__ == client.__doc__


def test_attributes_are_the_targets(client: Any) -> None:
    """Reading, writing and deleting; properties and class attributes too."""
    client.label = "b"
    client.new = 3
    client.size = 2
    assert (client.__wrapped__.label, client.new, client.__wrapped__.size, client.region) == ("b", 3, 2, "eu")
    client.region = "us"
    assert (client.__wrapped__.region, Client.region) == ("us", "eu")

    del client.new

    assert not hasattr(client.__wrapped__, "new")
    with pytest.raises(AttributeError, match="'Client' object has no attribute 'missing'"):
        _ = client.missing
    with pytest.raises(AttributeError):
        del client.missing


def test_methods_look_like_the_targets(client: Any) -> None:
    """Name, documentation and signature, without self, of every kind of method."""
    for name in ("put", "find", "where", "delete", "ask", "update", "search", "put_twice"):
        ours, theirs = getattr(client, name), getattr(client.__wrapped__, name)
        assert inspect.signature(theirs) == inspect.signature(ours)
        assert (theirs.__name__, theirs.__doc__) == (ours.__name__, ours.__doc__)
        assert callable(ours)
        assert inspect.isgeneratorfunction(theirs) == inspect.isgeneratorfunction(ours)


def test_it_can_do_no_more_than_the_target(client: Any) -> None:
    """What the class cannot do, the proxy cannot do either."""
    assert not callable(client)
    assert not isinstance(client, collections.abc.Iterable)
    assert not isinstance(client, collections.abc.Awaitable)
    for attempt in (lambda: client(), lambda: list(client), lambda: len(client), lambda: client[0]):
        with pytest.raises(TypeError):
            attempt()
    assert client


class Everything:
    """Has every usual special method."""

    def __init__(self) -> None:
        self.items = [1, 2, 3]

    def find(self, query: str) -> str:
        return query

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[int]:
        return iter(self.items)

    def __contains__(self, item: object) -> bool:
        return item == "anything" or item in self.items

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __setitem__(self, index: int, value: int) -> None:
        self.items[index] = value

    def __delitem__(self, index: int) -> None:
        del self.items[index]

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        return args

    def __bool__(self) -> bool:
        return False

    def __fspath__(self) -> str:
        return "/x"

    def __add__(self, other: int) -> int:
        return len(self.items) + other

    def __lt__(self, other: object) -> bool:
        return True

    def __format__(self, spec: str) -> str:
        return f"<{spec}>"

    def __missing_protocol__(self) -> str:
        return "ours"


def test_special_methods_work() -> None:
    """The language finds them on the proxy's class."""
    proxy = replaykit.wrap(Everything(), store="runs.rpk")
    proxy[0] = 9
    del proxy[1]

    assert (len(proxy), list(proxy), "anything" in proxy, proxy[0], proxy[1:]) == (2, [9, 3], True, 9, [3])
    assert (proxy(1, 2), bool(proxy), os.fspath(proxy), proxy + 3, proxy < 1) == (
        (1, 2),
        False,
        "/x",
        5,
        True,
    )
    assert f"{proxy:x}" == "<x>"
    assert callable(proxy)
    assert list(reversed(proxy)) == [3, 9]  # type: ignore[call-overload]


class Rows:
    """Is iterated by its items: it has no ``__iter__``."""

    def __init__(self, *rows: str) -> None:
        self.rows = rows

    def find(self, query: str) -> str:
        return query

    def __getitem__(self, index: int) -> str:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)


class NotIterable(Rows):
    __iter__ = None


def test_an_object_without_iter_is_iterated_by_its_items() -> None:
    """As the target is, and it is no `Iterable` either; a class may have switched that off."""
    target = Rows("a", "b")
    proxy = replaykit.wrap(target, store="runs.rpk")

    assert list(target) == list(proxy) == [*proxy] == ["a", "b"]  # type: ignore[call-overload]
    first, second = proxy
    assert (first, second, proxy[1], "a" in proxy, list(reversed(proxy))) == ("a", "b", "b", True, ["b", "a"])  # type: ignore[call-overload]
    assert isinstance(target, collections.abc.Iterable) == isinstance(proxy, collections.abc.Iterable)
    with pytest.raises(TypeError):
        iter(replaykit.wrap(NotIterable(), store="other.rpk"))


def test_a_special_method_can_be_recorded() -> None:
    proxy = replaykit.wrap(Everything(), store="runs.rpk", operations={"__call__": "tool", "find": "find"})

    (action,) = recorded(proxy, lambda: proxy(1, 2))

    assert (action.name, action.arguments, action.output) == ("__call__", {"args": (1, 2)}, (1, 2))


# -- what is recorded -----------------------------------------------------------------------


def test_the_usual_names_are_recorded_without_a_map(client: Any) -> None:
    """Each as its kind, with arguments by name and defaults filled in."""

    def calls() -> None:
        client.put("text", title="t")
        client.find("te")
        client.search("x")
        client.update(0, "new")
        client.delete(0)
        list(client.ask("why"))

    actions = recorded(client, calls)

    assert [(action.kind, action.name, action.arguments) for action in actions] == [
        ("put", "put", {"content": "text", "title": "t"}),
        ("find", "find", {"query": "te", "k": 5}),
        ("find", "search", {"query": "x", "k": 3}),
        ("update", "update", {"frame_id": 0, "content": "new"}),
        ("delete", "delete", {"frame_id": 0}),
        ("ask", "ask", {"question": "why"}),
    ]
    assert actions[-1].output == ["well", "nothing"]


def test_calls_outside_of_a_session_just_run(client: Any) -> None:
    assert client.put("text") == 0
    assert client.list_sessions() == []


def test_calls_of_the_target_on_itself_are_its_own_affair(client: Any) -> None:
    """Only what the caller calls is seen."""
    assert recorded(client, lambda: client.put_twice("x")) == []


def test_the_result_is_the_very_object() -> None:
    kept = object()
    target = types.SimpleNamespace(find=lambda query: kept)
    proxy = replaykit.wrap(target, store="runs.rpk")

    with replaykit.recorder_of(proxy).session():
        assert proxy.find("x") is kept


def test_a_method_that_returns_self_hands_out_the_proxy(client: Any) -> None:
    """Recorded or not, or a property: else recording would stop without a word."""
    assert client.where(x=1) is client
    assert client.delete(0) is client
    assert client.itself is client

    actions = recorded(client, lambda: client.where(x=1).itself.delete(0).put("x"))

    assert [action.name for action in actions] == ["delete", "put"]


def test_a_with_block_gives_the_proxy(client: Any) -> None:
    with client as entered:
        assert entered is client
        assert [action.name for action in recorded(client, lambda: entered.put("x"))] == ["put"]
    assert client.closed == 1


def test_a_generator_is_driven_as_without_us(client: Any) -> None:
    def drive(generator: Any) -> list[Any]:
        return [next(generator), generator.send("sent"), list(generator)]

    assert drive(client.__wrapped__.ask("q")) == drive(client.ask("q"))
    (action,) = recorded(client, lambda: drive(client.ask("q")))
    assert action.output == ["well", "sent"]


def test_methods_set_on_the_instance_are_recorded_too() -> None:
    """Also those that replace a method of the class, before or after the wrapping."""
    target = Client()
    target.find = lambda query, k=5: ["own"]  # type: ignore[method-assign,assignment]
    proxy: Any = replaykit.wrap(target, store="runs.rpk")

    (first,) = recorded(proxy, lambda: proxy.find("x"))
    proxy.find = lambda query, k=5: ["newer"]
    (second,) = recorded(proxy, lambda: proxy.find("x"))

    assert (first.output, second.output) == (["own"], ["newer"])
    assert target.find("x") == ["newer"]
    del proxy.find
    assert [] == proxy.find("x") == target.find("x")


class Slotted:
    """Has no dictionary."""

    __slots__ = ("find", "label")

    def __init__(self) -> None:
        self.label = "s"
        self.find = lambda query: [query]

    def put(self, content: str) -> str:
        return content


def test_slots_work() -> None:
    """A callable in a slot is recorded as well."""
    proxy = replaykit.wrap(Slotted(), store="runs.rpk")
    proxy.label = "t"

    actions = recorded(proxy, lambda: (proxy.put("x"), proxy.find("y")))

    assert [action.output for action in actions] == ["x", ["y"]]
    assert proxy.label == "t"
    with pytest.raises(AttributeError):
        proxy.other = 1  # type: ignore[attr-defined]


class Partial:
    """Callables of other kinds."""

    def _look(self, how: str, query: str) -> str:
        return f"{how} {query}"

    find = functools.partialmethod(_look, "deep")

    @functools.cached_property
    def ask(self) -> Callable[[str], str]:
        return lambda question: question.upper()


def test_partial_methods_and_callable_properties_are_recorded() -> None:
    proxy = replaykit.wrap(Partial(), store="runs.rpk")

    actions = recorded(proxy, lambda: (proxy.find("x"), proxy.ask("y")))  # type: ignore[call-arg]

    assert [(action.name, action.output) for action in actions] == [("find", "deep x"), ("ask", "Y")]


class Dynamic:
    """Makes up its methods, and would call anything that is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def remote(*args: Any) -> Any:
            self.asked.append(name)
            return [name, *args]

        return remote


def test_made_up_methods_are_recorded_and_no_other_is_called() -> None:
    """An object that answers to every name is never asked for more than the caller asks."""
    proxy = replaykit.wrap(Dynamic(), store="runs.rpk", operations={"find": "find"})

    (action,) = recorded(proxy, lambda: (proxy.find("x"), proxy.other(1)))

    assert (action.output, proxy.asked) == (["find", "x"], ["find", "other"])


def test_a_dotted_operation_leads_through_attributes() -> None:
    """To any depth; what is handed out is the same proxy each time."""

    class Completions:
        def create(self, prompt: str) -> str:
            return prompt.upper()

    api = types.SimpleNamespace(chat=types.SimpleNamespace(completions=Completions(), other=1), label="api")
    proxy = replaykit.wrap(api, store="runs.rpk", operations={"chat.completions.create": "ask"})

    (action,) = recorded(proxy, lambda: proxy.chat.completions.create("hi"))

    assert (action.name, action.kind, action.output) == ("chat.completions.create", "ask", "HI")
    assert proxy.chat.completions is proxy.chat.completions
    assert isinstance(proxy.chat.completions, Completions)
    assert (proxy.chat.other, proxy.label) == (1, "api")
    api.chat.completions = types.SimpleNamespace(create=lambda prompt: "replaced")
    assert [item.output for item in recorded(proxy, lambda: proxy.chat.completions.create("hi"))] == ["replaced"]


def test_a_decorated_method_may_stand_in_a_wrapped_object() -> None:
    class Both:
        @replaykit.records("tool")
        def step(self, n: int) -> int:
            return n

        def find(self, query: str) -> int:
            return self.step(1)

    proxy = replaykit.wrap(Both(), store="runs.rpk")

    find, step = recorded(proxy, lambda: proxy.find("x"))

    assert (find.name, find.parent, step.name, step.parent) == ("find", None, "Both.step", 0)


# -- async --------------------------------------------------------------------------------------


def test_an_async_client_keeps_its_shapes() -> None:
    proxy = replaykit.wrap(AsyncClient(), store="runs.rpk")

    assert asyncio.iscoroutinefunction(proxy.find)
    assert inspect.isasyncgenfunction(proxy.ask)
    assert isinstance(proxy, collections.abc.Awaitable)
    assert isinstance(proxy, collections.abc.AsyncIterator)


def test_an_async_client_is_recorded() -> None:
    """Coroutines, async generators and plain methods that hand out a coroutine; self stays the proxy."""
    proxy: Any = replaykit.wrap(AsyncClient(), store="runs.rpk")

    async def calls() -> None:
        async with proxy as entered:
            assert entered is proxy
            assert await proxy.find("x") == ["x"]
            assert await proxy.query("y") == ["y"]
            assert await proxy.delete(1) is proxy
            assert await proxy.connect() is proxy
            assert [word async for word in proxy.ask("a b")] == ["a", "b"]
        assert proxy.closed

    actions = recorded(proxy, lambda: asyncio.run(calls()))

    assert [(action.name, action.output) for action in actions if action.name != "delete"] == [
        ("find", ["x"]),
        ("query", ["y"]),
        ("ask", ["a", "b"]),
    ]


def test_an_async_generator_method_is_driven_as_without_us() -> None:
    """Sent values and thrown exceptions reach it; leaving it cleans up at once."""

    async def drive(client: Any) -> list[Any]:
        items = client.ask("a b c")
        seen = [await items.asend(None), await items.asend("sent"), await items.asend(None)]
        seen.append(await items.athrow(KeyError("k")))
        await items.aclose()
        assert client.closed
        return seen

    proxy = replaykit.wrap(AsyncClient(), store="runs.rpk")
    expected = asyncio.run(drive(AsyncClient()))

    (action,) = recorded(proxy, lambda: asyncio.run(drive(proxy)))

    assert ["a", "sent", "b", "caught 'k'"] == expected == action.output


def test_awaiting_and_iterating_the_object_itself() -> None:
    """``await client`` and ``async for`` work; a client that awaits to itself stays wrapped."""
    proxy: Any = replaykit.wrap(AsyncClient(), store="runs.rpk")

    async def main() -> list[str]:
        assert await proxy is proxy
        return [item async for item in proxy]

    assert asyncio.run(main()) == ["item"]


# -- names: the target's own win ------------------------------------------------------------------


class Stateful:
    """Has names that the session surface has too."""

    def __init__(self) -> None:
        self.flush = "own attribute"

    def find(self, query: str) -> str:
        return query

    def session(self, name: str) -> str:
        return f"own session {name}"

    @property
    def list_sessions(self) -> str:
        return "own list"


def test_the_targets_own_names_win() -> None:
    """Methods, properties and attributes; ``recorder_of`` has the surface all the same."""
    proxy: Any = replaykit.wrap(Stateful(), store="runs.rpk")

    assert (proxy.session("x"), proxy.list_sessions, proxy.flush) == (
        "own session x",
        "own list",
        "own attribute",
    )
    with replaykit.recorder_of(proxy).session("ours"):
        proxy.find("x")
    assert [item.name for item in replaykit.recorder_of(proxy).list_sessions()] == ["ours"]
    assert proxy.get_session("last").name == "ours"


def test_a_wrapped_object_has_the_session_surface(client: Any) -> None:
    with client.session("by name") as session:
        client.put("x")
        assert client.is_recording
        assert client.active_session_id == session.id
    session_id = client.start_session()
    assert client.end_session().session_id == session_id
    assert [item.name for item in client.list_sessions()] == ["by name", None]


def test_recorder_of_refuses_what_is_not_recorded() -> None:
    with pytest.raises(UsageError, match="wrap it first"):
        replaykit.recorder_of(Client())


# -- wrapping again ---------------------------------------------------------------------------------


def test_wrapping_twice_gives_the_proxy_back(client: Any) -> None:
    recorder = replaykit.recorder_of(client)
    assert isinstance(recorder, replaykit.Recorder)

    assert replaykit.wrap(client) is client
    assert recorder.wrap(client) is client


def test_a_new_map_gives_a_new_proxy_of_the_same_target(client: Any) -> None:
    recorder = replaykit.recorder_of(client)
    assert isinstance(recorder, replaykit.Recorder)
    narrower = recorder.wrap(client, operations={"put": "put"})

    actions = recorded(narrower, lambda: (narrower.put("x"), narrower.find("x")))

    assert narrower.__wrapped__ is client.__wrapped__
    assert [action.name for action in actions] == ["put"]


def test_a_proxy_of_another_recorder_is_recorded_once(client: Any) -> None:
    """The new proxy records into its own store; the old one stays as it is."""
    other = replaykit.wrap(client, store="other.rpk")

    with client.session("old"), replaykit.recorder_of(other).session("new"):
        other.put("new")
        client.put("old")

    assert [action.arguments["content"] for action in other.get_session("last").actions] == ["new"]
    assert [action.arguments["content"] for action in client.get_session("last").actions] == ["old"]


# -- copies and pickles -------------------------------------------------------------------------------


def test_copies_are_recorded_by_the_same_recorder(client: Any) -> None:
    client.put("x")
    shallow, deep = copy.copy(client), copy.deepcopy(client)

    assert shallow.rows is client.rows
    assert deep.rows == client.rows
    assert deep.rows is not client.rows
    assert [item.name for item in recorded(client, lambda: (shallow.put("y"), deep.put("z")))] == [
        "put",
        "put",
    ]


PICKLED = """
class Notes:
    def __init__(self):
        self.rows = []
    def put(self, content):
        self.rows.append(content)
        return len(self.rows)
"""


def test_a_pickle_records_into_the_same_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Also where the pickle is opened in another folder."""
    import importlib
    import sys

    (tmp_path / "pickled_notes.py").write_text(PICKLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    notes = importlib.import_module("pickled_notes").Notes()
    proxy = replaykit.wrap(notes, store="runs/")
    data = pickle.dumps(proxy)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    again = pickle.loads(data)

    assert type(again.__wrapped__) is type(notes)
    assert [action.name for action in recorded(again, lambda: again.put("x"))] == ["put"]
    assert len(replaykit.load(tmp_path / "runs").list_sessions()) == 1
    del sys.modules["pickled_notes"]


def test_what_does_not_pickle_does_not_pickle_wrapped() -> None:
    """The error is Python's own."""
    target = types.SimpleNamespace(find=lambda query: query)

    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(replaykit.wrap(target, store="runs.rpk"))


# -- what cannot be wrapped ---------------------------------------------------------------------------


def test_an_object_without_the_usual_names_is_a_usage_error_that_shows_the_map() -> None:
    with pytest.raises(UsageError, match="Say what its methods mean: wrap"):
        replaykit.wrap(object(), store="runs.rpk")


@pytest.mark.parametrize("path", ["missing", "label", "rows.missing", "find.missing"])
def test_a_missing_method_is_a_usage_error_that_names_it(path: str) -> None:
    with pytest.raises(UsageError, match=f"has no method '{path}': give names that it has"):
        replaykit.wrap(Client(), store="runs.rpk", operations={path: "find"})


def test_an_unknown_kind_or_option_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown kind 'fnd'"):
        replaykit.wrap(Client(), store="runs.rpk", operations={"find": "fnd"})
    with pytest.raises(UsageError, match="unknown option 'durabilty'"):
        replaykit.wrap(Client(), store="runs.rpk", durabilty="os")


def test_a_class_is_refused_where_its_instances_would_go_unrecorded() -> None:
    with pytest.raises(UsageError, match="is a class and 'put' is a method of its instances: wrap an instance"):
        replaykit.wrap(Client, store="runs.rpk")


def test_a_class_may_be_wrapped_for_its_classmethods() -> None:
    proxy = replaykit.wrap(Client, store="runs.rpk", operations={"update": "update", "search": "find"})

    actions = recorded(proxy, lambda: (proxy.update(1, "x"), proxy.search("y")))

    assert [(item.name, item.output) for item in actions] == [("update", "Client 1"), ("search", "yyy")]
    assert isinstance(proxy("b"), Client)
    assert issubclass(Client, proxy)


def test_a_module_may_be_wrapped() -> None:
    """Its functions are recorded where they are called through the proxy."""
    module = types.ModuleType("my_memory")
    exec(
        "def find(query, k=2):\n    return [query] * k\nasync def ask(question): return question",
        module.__dict__,
    )
    proxy: Any = replaykit.wrap(module, store="runs.rpk")

    find, ask = recorded(proxy, lambda: (proxy.find("x"), asyncio.run(proxy.ask("y"))))

    assert (find.output, find.source, ask.output) == (["x", "x"], "my_memory", "y")
    assert asyncio.iscoroutinefunction(proxy.ask)
    assert proxy.find is proxy.find
    assert isinstance(proxy, types.ModuleType)


def test_a_memory_needs_no_wrapping() -> None:
    """It records its calls itself; a second recording around it would keep each of them twice."""
    with replaykit.open(":memory:") as memory:
        assert replaykit.wrap(memory) is memory
        with pytest.raises(replaykit.errors.UsageError, match="records its calls itself"):
            replaykit.wrap(memory, store="other.rpk")
