"""A library's adapter says what its methods mean, what they hand out and what they are not."""

from __future__ import annotations

import asyncio
import gc
import importlib
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.errors import UsageError
from replaykit.operations import MethodMap, Operation
from replaykit.testing.adapters import AdapterContract, Expected

LIBRARY = """
class Client:
    '''Hands out shelves.'''

    def __init__(self):
        self.shelves = {}
        self.main = Shelf('main')

    def open_shelf(self, name):
        return self.shelves.setdefault(name, Shelf(name))

    def all_shelves(self):
        return list(self.shelves.values())

    async def aopen_shelf(self, name):
        return self.open_shelf(name)

    def find_shelf(self, name):
        return self.shelves[name]

    def version(self):
        return '1'

    def compact(self):
        return 'done'


class Shelf:
    def __init__(self, name):
        self.name = name
        self.rows = {}
        self.api = Api(self)

    def store(self, key, text, callback=None):
        self.rows[key] = Row(key, text)
        return key

    def lookup(self, word, limit=3):
        return [row for row in self.rows.values() if word in row.text][:limit]

    def stream(self, word):
        yield from self.lookup(word)

    def run(self, words):
        return len(words)

    def __or__(self, other):
        return Chain(self, other)

    def __eq__(self, other):
        return self.rows.keys() == other.rows.keys()

    __hash__ = None


class Api:
    def __init__(self, shelf):
        self.shelf = shelf

    def lookup(self, word):
        return self.shelf.lookup(word)


class Chain:
    def __init__(self, *steps):
        self.steps = steps

    def lookup(self, word):
        return [step.lookup(word) for step in self.steps]


class Row:
    def __init__(self, key, text):
        self.key = key
        self.text = text

    def __eq__(self, other):
        return isinstance(other, Row) and (self.key, self.text) == (other.key, other.text)

    __hash__ = None
"""

ADAPTER = """
from replaykit.operations import Adapter, MethodMap, Operation


def freeze(value):
    return [freeze(item) for item in value] if isinstance(value, list) else {'id': value.key, 'text': value.text}


def thaw(value):
    from shelflib import Row

    return [thaw(item) for item in value] if isinstance(value, list) else Row(value['id'], value['text'])


def shelf_of(value):
    from shelflib import Shelf

    return Shelf(value)


row = Operation(kind='find', query='arguments.word', k='arguments.limit', freeze=freeze, thaw=thaw)

ADAPTER = Adapter(classes={
    'shelflib.Client': MethodMap(
        operations={'find_shelf': Operation(kind='tool', derives=True, freeze=lambda s: s.name, thaw=shelf_of)},
        derives='open_shelf all_shelves aopen_shelf main',
        ignored='version',
    ),
    'shelflib.Shelf': MethodMap(
        operations={
            'store': Operation(kind='put', content='arguments.text', omits=('callback',)),
            'lookup': row,
            'stream': row,
            'api.lookup': row,
            'run': Operation(kind='tool', named_by='name'),
        },
        composes='__or__',
    ),
})
"""


@pytest.fixture
def shelflib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A library and, in a distribution of its own, its adapter."""
    site = tmp_path / "site"
    metadata = site / "shelf_adapter-1.dist-info"
    metadata.mkdir(parents=True)
    (site / "shelflib.py").write_text(LIBRARY)
    (site / "shelf_adapter.py").write_text(ADAPTER)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-adapter\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[replaykit.adapters]\nshelflib = shelf_adapter:ADAPTER\n")
    monkeypatch.syspath_prepend(str(site))
    yield importlib.import_module("shelflib")
    for name in ("shelflib", "shelf_adapter"):
        sys.modules.pop(name, None)


def recorded(proxy: Any, call: Callable[[], Any]) -> replaykit.ReplaySession:
    """Run *call* in a session of *proxy* and return what was recorded."""
    with replaykit.recorder_of(proxy).session(adopt=True) as session:
        call()
    assert session.result is not None
    return session.result


def test_a_third_partys_adapter_is_found_by_the_librarys_name(shelflib: Any) -> None:
    """Kinds, queries, ids and k are where its rows say; what it omits is not recorded."""
    shelf = replaykit.wrap(shelflib.Shelf("a"), store="runs.rpk")

    put, find = recorded(
        shelf, lambda: (shelf.store("k", "some text", callback=print), shelf.lookup("some", 2))
    ).actions

    assert (put.kind, put.arguments, put.affected_frames) == ("put", {"key": "k", "text": "some text"}, ("k",))
    assert (find.kind, find.action_type.query, find.arguments["limit"], find.affected_frames) == (
        "find",
        "some",
        2,
        ("k",),
    )


def test_a_users_subclass_is_known_by_its_base(shelflib: Any) -> None:
    class Mine(shelflib.Shelf):
        def lookup(self, word: str, limit: int = 3) -> Any:
            return super().lookup(word, limit)

    shelf: Any = replaykit.wrap(Mine("a"), store="runs.rpk")

    (action,) = recorded(shelf, lambda: shelf.lookup("x")).actions

    assert (action.kind, action.name) == ("find", "lookup")


def test_what_is_handed_out_is_recorded_too(shelflib: Any) -> None:
    """By methods, coroutines, in lists, by attributes and by recorded methods; the very object is behind it."""
    client = replaykit.wrap(shelflib.Client(), store="runs.rpk")

    def calls() -> None:
        shelf = client.open_shelf("a")
        assert isinstance(shelf, shelflib.Shelf)
        assert shelf.__wrapped__ is client.__wrapped__.shelves["a"]
        shelf.store("1", "one")
        client.all_shelves()[0].store("2", "two")
        asyncio.run(client.aopen_shelf("a")).store("3", "three")
        client.find_shelf("a").store("4", "four")
        client.main.store("5", "five")

    actions = recorded(client, calls).actions

    assert [(action.name, action.affected_frames) for action in actions] == [
        *(("store", (str(number),)) for number in (1, 2, 3)),
        ("find_shelf", ()),
        *(("store", (str(number),)) for number in (4, 5)),
    ]
    assert client.main is client.main


def test_what_it_is_made_a_part_of_goes_on_recording(shelflib: Any) -> None:
    """``proxy | other`` calls the proxy, not what it stands for."""
    shelf = replaykit.wrap(shelflib.Shelf("a"), store="runs.rpk")

    actions = recorded(shelf, lambda: (shelf | shelf).lookup("x")).actions

    assert [action.name for action in actions] == ["lookup", "lookup"]


def test_rows_can_lead_through_attributes_and_be_named_by_the_object(shelflib: Any) -> None:
    shelf = replaykit.wrap(shelflib.Shelf("shelf a"), store="runs.rpk")

    actions = recorded(shelf, lambda: (shelf.api.lookup("x"), shelf.run(["x"]))).actions

    assert [(action.name, action.kind) for action in actions] == [("api.lookup", "find"), ("shelf a", "tool")]


@pytest.mark.parametrize("record", [replaykit.wrap, replaykit.instrument])
def test_a_place_can_be_an_attribute_of_the_object(record: Any) -> None:
    """As it is when the call ends, of the object that is called; a call that fails is recorded without."""

    class Pager:
        def __init__(self, size: int) -> None:
            self.size = size

        def look_up(self, word: str) -> list[int]:
            if not word:
                raise ValueError("no word")
            return [1]

    rows = {"look_up": Operation(kind="find", k="self.size")}
    small, large = (record(Pager(size), store=":memory:", operations=rows) for size in (2, 9))
    with replaykit.session(store=":memory:") as session:
        small.look_up("a")
        large.look_up("a")
        small.size = 3
        small.look_up("a")
        with pytest.raises(ValueError, match="no word"):
            small.look_up("")

    assert [action.k for action in session.result.actions] == [2, 9, 3, None]


def test_what_a_row_looks_at_lives_no_longer_for_it() -> None:
    """An object that is recorded on itself goes when nobody else has it."""

    class Pager:
        size = 2

        def look_up(self, word: str) -> list[int]:
            return [1]

    pager = replaykit.instrument(
        Pager(), store=":memory:", operations={"look_up": Operation(kind="find", k="self.size")}
    )
    gone = weakref.ref(pager)
    with replaykit.session(store=":memory:"):
        pager.look_up("a")
    del pager
    gc.collect()

    assert gone() is None


def test_results_are_thawed_when_they_are_played(shelflib: Any) -> None:
    """Also the items of a stream, and what a recorded method hands out, with nothing in the store."""

    def program(client: Any) -> list[Any]:
        shelf = client.find_shelf("a")
        return [shelf.lookup("one"), list(shelf.stream("one")), shelf.run("ab")]

    target = shelflib.Client()
    target.open_shelf("a").store("1", "one")
    client = replaykit.wrap(target, store="runs.rpk")
    expected = program(target)
    session = recorded(client, lambda: program(client))

    with replaykit.play(session) as player:
        assert program(replaykit.wrap(shelflib.Client(), store="other.rpk")) == expected

    assert player.all_played
    assert session.actions[1].output == [{"id": "1", "text": "one"}]


def test_calls_that_no_map_knows_are_counted(shelflib: Any) -> None:
    """With the session and, while it is played, by the player; what is known to be no operation does not count."""
    client = replaykit.wrap(shelflib.Client(), store="runs.rpk")

    def calls() -> None:
        client.version()
        client.open_shelf("a")
        assert [client.compact(), client.compact()] == ["done", "done"]

    session = recorded(client, calls)
    client.compact()

    assert session.uncovered == {"Client.compact": 2}
    with replaykit.play(session) as player:
        client.compact()
    assert player.uncovered == {"Client.compact": 1}
    assert recorded(client, client.version).uncovered == {}


def test_made_up_methods_count_when_they_are_handed_out() -> None:
    """They stay the very objects that they are."""

    class Remote:
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return print

    remote: Any = replaykit.wrap(Remote(), store="runs.rpk", operations={"find": "find"})

    session = recorded(remote, lambda: (remote.other is print) and remote.other())

    assert session.uncovered == {f"{Remote.__name__}.other": 2}


def test_the_count_of_names_is_bounded() -> None:
    """An object that makes up names does not fill the session's metadata."""

    class Remote:
        def __getattr__(self, name: str) -> Any:
            return print

    remote: Any = replaykit.wrap(Remote(), store="runs.rpk", operations={"find": "find"})

    session = recorded(remote, lambda: [getattr(remote, f"method_{number}") for number in range(1000)])

    assert sum(session.uncovered.values()) == 1000
    assert len(session.uncovered) <= 201


def test_a_given_map_replaces_the_adapters(shelflib: Any) -> None:
    shelf = replaykit.wrap(shelflib.Shelf("a"), store="runs.rpk", operations={"store": "put"})

    session = recorded(shelf, lambda: (shelf.store("k", "t"), shelf.lookup("t")))

    assert [action.name for action in session.actions] == ["store"]
    assert session.uncovered == {"Shelf.lookup": 1}


def test_a_pickled_proxy_finds_the_adapter_again(shelflib: Any) -> None:
    shelf = replaykit.wrap(shelflib.Shelf("a"), store="runs/")

    again = pickle.loads(pickle.dumps(shelf))

    assert [action.name for action in recorded(again, lambda: again.lookup("x")).actions] == ["lookup"]


@pytest.mark.parametrize("adapter", ["raise OSError('broken')", "ADAPTER = 3", "missing = 1"])
def test_an_adapter_that_cannot_be_loaded_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    """The object is recorded by the usual names, as without it."""
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (tmp_path / "broken_adapter.py").write_text(adapter)
    (tmp_path / "brokenlib.py").write_text("class Notes:\n    def find(self, query): return [query]\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[replaykit.adapters]\nbrokenlib = broken_adapter:ADAPTER\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    notes = replaykit.wrap(importlib.import_module("brokenlib").Notes(), store="runs.rpk")
    for name in ("brokenlib", "broken_adapter"):
        sys.modules.pop(name, None)

    assert [action.name for action in recorded(notes, lambda: notes.find("x")).actions] == ["find"]


def test_maps_of_bases_add_up() -> None:
    """The nearer class has the last word on a name."""
    base = MethodMap(operations={"a": "put", "b": "find"}, ignored="c d", composes="__or__")
    near = MethodMap(operations={"c": "tool"}, ignored="b", derives="e")

    found = near.over(base)

    assert found.operations == {"a": "put", "c": "tool"}
    assert (found.ignored, found.derives, found.composes) == ({"b", "d"}, {"e"}, {"__or__"})


def test_no_adapter_is_looked_for_behind_the_standard_library() -> None:
    assert map_of(dict) is None


def test_a_row_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown kind"):
        Operation(kind="fetch")


class TestContract(AdapterContract):
    """The contract itself, on an adapter that keeps it."""

    expected = (
        Expected("put", "store", ids=("1",), arguments={"text": "one"}),
        Expected("tool", "find_shelf"),
        Expected("find", "lookup", query="one", ids=("1",), arguments={"limit": 2}),
    )
    expected_async = (Expected("put", "store", ids=("1",)),)

    @pytest.fixture
    def fresh(self, shelflib: Any) -> Callable[[], Any]:
        return lambda: shelflib.Client()

    def program(self, target: Any) -> list[Any]:
        stored = target.open_shelf("a").store("1", "one")
        return [stored, target.find_shelf("a").lookup("one", 2)]

    async def async_program(self, target: Any) -> list[Any]:
        return [(await target.aopen_shelf("a")).store("1", "one")]


@pytest.mark.parametrize(
    "broken",
    [
        "ADAPTER.classes['shelflib.Shelf'].operations.pop('lookup')",
        "ADAPTER.classes['shelflib.Shelf'].operations['lookup'] = 'put'",
        "object.__setattr__(row, 'thaw', None)",
        "object.__setattr__(row, 'query', 'arguments.limit')",
    ],
)
def test_the_contract_finds_what_an_adapter_lacks(shelflib: Any, broken: str) -> None:
    """A method that is not recorded, a wrong kind, a result that does not come back, a query from the wrong place."""
    exec(broken, vars(importlib.import_module("shelf_adapter")))
    contract = TestContract()

    with pytest.raises((AssertionError, replaykit.errors.PlaybackError)):
        contract.test_each_operation_is_recorded(shelflib.Client)
        contract.test_it_plays_with_the_store_gone(shelflib.Client)
