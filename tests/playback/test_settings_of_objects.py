"""What an object was made with is part of its calls: two of one class do not answer for each other."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit import Adapter, Chain, MethodMap, Operation
from replaykit.errors import NoMatchError
from replaykit.intercept.instrumenting import instrument_class, uninstrument_class
from replaykit.operations import StreamForm
from replaykit.regression.new_tests import new_test


class Shelf:
    """Holds notes under a name; what it finds depends on how it was made."""

    def __init__(self, name: str, k: int = 2) -> None:
        self.name = name
        self._k = k

    def find(self, query: str) -> list[str]:
        return [f"{self.name}/{query}"] * self._k

    async def afind(self, query: str) -> list[str]:
        return self.find(query)

    def each(self, query: str) -> Iterator[str]:
        yield from self.find(query)

    async def aeach(self, query: str) -> AsyncIterator[str]:
        for item in self.find(query):
            yield item

    def count(self) -> int:
        return self._k

    def search(self, query: str) -> Search:
        return Search(self, query)


class Search:
    """A call that is put together."""

    def __init__(self, shelf: Shelf, query: str) -> None:
        self.shelf, self.query, self.most = shelf, query, 9

    def limit(self, most: int) -> Search:
        if most < 0:
            raise ValueError("negative")
        self.most = most
        return self

    def to_list(self) -> list[str]:
        return self.shelf.find(self.query)[: self.most]


def awaited(shelf: Any) -> Any:
    return asyncio.run(shelf.afind("a"))


def listed(shelf: Any) -> Any:
    return list(shelf.each("a"))


def listed_later(shelf: Any) -> Any:
    async def read() -> list[str]:
        return [item async for item in shelf.aeach("a")]

    return asyncio.run(read())


CALLS: dict[str, Callable[[Any], Any]] = {
    "find": lambda shelf: shelf.find("a"),
    "afind": awaited,
    "each": listed,
    "aeach": listed_later,
}

SETTINGS: dict[str, Any] = {
    "names": "name _k",
    "a callable": lambda shelf: {"name": shelf.name, "k": shelf._k},
}


def rows(settings: Any = "name") -> dict[str, Operation]:
    return dict.fromkeys(CALLS, Operation(kind="find", settings=settings))


@contextmanager
def wrapped(settings: Any) -> Iterator[Callable[[Shelf], Any]]:
    with replaykit.Recorder(":memory:") as recorder:
        yield lambda shelf: recorder.wrap(shelf, rows(settings))


@contextmanager
def instrumented(settings: Any) -> Iterator[Callable[[Shelf], Any]]:
    made: list[Shelf] = []

    def record(shelf: Shelf) -> Shelf:
        made.append(replaykit.instrument(shelf, store=":memory:", operations=rows(settings)))
        return shelf

    yield record
    for shelf in made:
        replaykit.uninstrument(shelf)


@contextmanager
def instrumented_class(settings: Any) -> Iterator[Callable[[Shelf], Any]]:
    instrument_class(Shelf, MethodMap(operations=dict.fromkeys(CALLS, "find"), settings=settings))
    yield lambda shelf: shelf
    uninstrument_class(Shelf)


WAYS: dict[str, Any] = {"wrap": wrapped, "instrument": instrumented, "a class": instrumented_class}


@pytest.fixture(params=[(way, name) for way in WAYS for name in SETTINGS], ids="-".join)
def recorded(request: pytest.FixtureRequest) -> Iterator[Callable[[Shelf], Any]]:
    """Returns what records a shelf, in each of the ways and with settings of each form."""
    way, name = request.param
    with WAYS[way](SETTINGS[name]) as record:
        yield record


@pytest.mark.parametrize("call", CALLS)
def test_another_object_is_not_answered(recorded: Callable[[Shelf], Any], call: str) -> None:
    """One of another name is not, nor is one of other settings; the same is."""
    public = recorded(Shelf("public"))
    with recorder_of(public).session(adopt=True) as session:
        expected = CALLS[call](public)
    assert [each.arguments for each in session.result.actions] == [{"query": "a", "self": {"name": "public", "k": 2}}]

    for other in (Shelf("private"), Shelf("public", k=1)):
        with replaykit.play(session.result), pytest.raises(NoMatchError, match=r"self\.(name|k) was"):
            CALLS[call](recorded(other))
    with replaykit.play(session.result) as player:
        assert CALLS[call](recorded(Shelf("public"))) == expected
    assert player.all_played


def recorder_of(shelf: Any) -> Any:
    """Return the recorder of *shelf*; any records the objects of a class that is instrumented."""
    try:
        return replaykit.recorder_of(shelf)
    except replaykit.errors.UsageError:
        return replaykit.Recorder(":memory:")


# -- one wrapped object ------------------------------------------------------------------


def wrap(shelf: Shelf, settings: Any = "name", kind: str = "find", **more: Any) -> Any:
    row = Operation(kind=kind, settings=settings, **more)
    return replaykit.wrap(shelf, store=":memory:", operations={"find": row, "count": row})


def asked(settings: Any, *shelves: Shelf) -> Any:
    """Return the session in which each of *shelves* was asked once."""
    recorder = replaykit.Recorder(":memory:")
    with recorder.session() as session:
        for shelf in shelves:
            recorder.wrap(shelf, {"find": Operation(kind="find", settings=settings)}).find("a")
    return session.result


def test_a_miss_names_the_object_that_was_asked() -> None:
    session = asked("name", Shelf("public"))

    with replaykit.play(session), pytest.raises(NoMatchError) as miss:
        wrap(Shelf("private")).find("a")

    assert "answers find(query='a', self={'name': 'private'})" in str(miss.value)
    assert "nearest: action 0 find(query='a', self={'name': 'public'}): self.name was 'public', asked 'private'" in str(
        miss.value
    )


def test_ignore_leaves_the_object_out() -> None:
    session = asked("name", Shelf("public"))

    with replaykit.play(session, ignore={"self"}):
        assert wrap(Shelf("private")).find("a") == ["public/a", "public/a"]
    with replaykit.play(session):
        assert wrap(Shelf("private"), ignore=("self",)).find("a") == ["public/a", "public/a"]


def test_each_of_two_objects_gets_its_own_answer_in_any_order() -> None:
    session = asked("name", Shelf("public"), Shelf("private"))

    with replaykit.play(session) as player:
        assert wrap(Shelf("private")).find("a") == ["private/a", "private/a"]
        assert wrap(Shelf("public")).find("a") == ["public/a", "public/a"]
    assert player.all_played


def test_a_recording_that_says_nothing_of_the_object_answers() -> None:
    """So play recordings from before; what says something is asked first."""
    session = asked(None, Shelf("public"))
    assert [each.arguments for each in session.actions] == [{"query": "a"}]
    with replaykit.play(session):
        assert wrap(Shelf("private")).find("a") == ["public/a", "public/a"]

    both = replaykit.Recorder(":memory:")
    with both.session() as mixed:
        both.wrap(Shelf("old"), {"find": "find"}).find("a")
        both.wrap(Shelf("new"), {"find": Operation(kind="find", settings="name")}).find("a")
    with replaykit.play(mixed.result):
        assert wrap(Shelf("new")).find("a") == ["new/a", "new/a"]
        assert wrap(Shelf("new")).find("a") == ["old/a", "old/a"]
        with pytest.raises(NoMatchError):
            wrap(Shelf("new")).find("a")


@pytest.mark.parametrize("like", [None, Shelf])
def test_where_the_object_is_absent_its_settings_do_not_count(like: type[Shelf] | None) -> None:
    """Nobody knows them there: calls are answered in their recorded order."""
    session = asked("name", Shelf("public"), Shelf("private"))
    absent: Any = replaykit.wrap(
        None, like=like, store=":memory:", operations={"find": Operation(kind="find", settings="name")}
    )

    with replaykit.play(session) as player:
        assert absent.find("a") == ["public/a", "public/a"]
        assert absent.find(query="a") == ["private/a", "private/a"]
        with pytest.raises(NoMatchError) as miss:
            absent.find("b")
    assert player.all_played
    assert "self was" not in str(miss.value)


class Half:
    """Stands for a shelf and has no name."""

    def find(self, query: str) -> list[str]:
        raise NotImplementedError


def test_a_stand_in_without_such_attributes_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    session = asked("name _k", Shelf("public"))
    half: Any = Half()

    half = replaykit.wrap(half, store=":memory:", operations={"find": Operation(kind="find", settings="name _k")})
    with replaykit.play(session), caplog.at_level(logging.WARNING):
        assert half.find("a") == ["public/a", "public/a"]
    assert "settings_not_read" in caplog.text


def test_settings_that_cannot_be_read_cost_the_call_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The agent sees nothing of it, and the log says it once."""

    def refuse(_shelf: Any) -> Any:
        raise RuntimeError("secret text")

    with caplog.at_level(logging.WARNING):
        session = asked(refuse, Shelf("public"), Shelf("public"))

    assert [each.arguments for each in session.actions] == [{"query": "a"}] * 2
    assert caplog.text.count("settings_not_read") == 1
    assert "secret text" not in caplog.text


@pytest.mark.parametrize("given", [None, "public", 3, ["name"]])
def test_what_is_no_map_is_nothing(given: Any) -> None:
    assert [each.arguments for each in asked(lambda _: given, Shelf("a")).actions] == [{"query": "a"}]


def test_an_empty_map_says_something() -> None:
    """An object without settings is another than one that has some."""
    session = asked(lambda _: {"filter": "x"}, Shelf("public"))

    with replaykit.play(session), pytest.raises(NoMatchError):
        wrap(Shelf("public"), lambda _: {}).find("a")


def test_a_secret_within_settings_is_redacted_and_matches() -> None:
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2
    session = asked(lambda shelf: {"name": shelf.name, "api_key": key}, Shelf("public"))

    assert key not in str(session.actions[0].arguments)
    assert session.actions[0].arguments["self"]["name"] == "public"
    with replaykit.play(session):
        assert wrap(Shelf("public"), lambda shelf: {"name": shelf.name, "api_key": key}).find("a")


def test_settings_are_neither_query_nor_id_nor_content() -> None:
    shelf = wrap(Shelf("public"))
    with replaykit.recorder_of(shelf).session() as session:
        shelf.count()
    (count,) = session.result.actions
    assert (count.arguments, count.action_type.query) == ({"self": {"name": "public"}}, "")

    for kind in ("put", "delete", "update"):
        shelf = wrap(Shelf("public"), lambda _: {"name": "public"}, kind)
        with replaykit.recorder_of(shelf).session() as session:
            shelf.count()
        (action,) = session.result.actions
        assert action.arguments == {"self": {"name": "public"}}
        assert "public" not in action.affected_frames


def test_a_place_may_be_in_the_settings() -> None:
    shelf = wrap(Shelf("public"), mode="arguments.self.name")
    with replaykit.recorder_of(shelf).session() as session:
        shelf.find("a")

    assert session.result.actions[0].action_type.mode == "public"


class Pieces:
    """A library's own stream."""

    def __init__(self, items: Iterator[str]) -> None:
        self._iterator = items

    def close(self) -> None:
        """Nothing is open."""


class Streamer:
    """Gives such a stream."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ask(self, query: str) -> Pieces:
        return Pieces(letter for letter in self.name)


def test_a_stream_object_has_settings_too() -> None:
    row = Operation(kind="ask", settings="name", stream=StreamForm(iterator="_iterator", stand_in=Pieces))

    def wrapped(name: str) -> Any:
        return replaykit.wrap(Streamer(name), store=":memory:", operations={"ask": row})

    streamer = wrapped("ab")
    with replaykit.recorder_of(streamer).session() as session:
        assert list(streamer.ask("x")._iterator) == ["a", "b"]
    (action,) = session.result.actions
    assert (action.arguments, action.output) == ({"query": "x", "self": {"name": "ab"}}, ["a", "b"])
    with replaykit.play(session.result):
        with pytest.raises(NoMatchError):
            wrapped("cd").ask("x")
        assert list(wrapped("ab").ask("x")._iterator) == ["a", "b"]


class Counted:
    """Says how much it holds by a recorded method."""

    @replaykit.records(Operation(kind="find", settings=lambda it: {"size": it.size(), "count": it.count()}))
    def size(self) -> int:
        return 3

    def count(self) -> int:
        return 4


def test_settings_may_ask_what_is_recorded_itself() -> None:
    """What they ask of their object is no call of its own, and does not go round in circles."""
    settings = {"size": 3, "count": 4}
    with replaykit.Recorder(":memory:").session() as session:
        assert Counted().size() == 3
    assert [each.arguments for each in session.result.actions] == [{"self": settings}]
    with replaykit.play(session.result) as player:
        assert Counted().size() == 3
    assert player.all_played

    row = Operation(kind="find", settings=lambda it: {"count": it.count()})
    counted = replaykit.instrument(Counted(), store=":memory:", operations={"count": row})
    with replaykit.recorder_of(counted).session() as session:
        assert counted.count() == 4
    assert [each.arguments for each in session.result.actions] == [{"self": {"count": 4}}]
    with replaykit.play(session.result) as player:
        assert counted.count() == 4
    assert player.all_played
    replaykit.uninstrument(counted)


# -- maps, adapters, functions, chains ----------------------------------------------------


def test_a_map_says_it_once_and_rows_have_their_own() -> None:
    methods = MethodMap(
        operations={
            "find": "find",
            "count": Operation(kind="find", settings="_k"),
            "afind": Operation(kind="find", settings=""),
        },
        settings="name",
    )
    shelf = replaykit.wrap(Shelf("public"), store=":memory:", operations=methods)
    with replaykit.recorder_of(shelf).session(adopt=True) as session:
        shelf.find("a")
        shelf.count()
        asyncio.run(shelf.afind("a"))

    assert [each.arguments.get("self") for each in session.result.actions] == [{"name": "public"}, {"k": 2}, None]


class Deep(Shelf):
    """A shelf of another class."""


def test_a_subclass_has_what_its_base_says_unless_it_says_more() -> None:
    home = f"{Shelf.__module__}.Shelf", f"{Deep.__module__}.Deep"
    base = MethodMap(operations={"find": "find"}, settings="name")
    for more, expected in (
        (MethodMap(), {"name": "a"}),
        (MethodMap(settings="name _k"), {"name": "a", "k": 2}),
    ):
        adapter = Adapter(classes={home[0]: base, home[1]: more})
        shelf = replaykit.wrap(Deep("a"), store=":memory:", operations=adapter)
        with replaykit.recorder_of(shelf).session() as session:
            shelf.find("x")
        assert session.result.actions[0].arguments["self"] == expected


class Decorated:
    """Records its own method."""

    name = "nobody"

    def __init__(self, name: str) -> None:
        self.name = name

    @replaykit.records("find", settings="name")
    def find(self, query: str) -> str:
        return f"{self.name}/{query}"

    @property
    @replaykit.records("find", settings="name")
    def size(self) -> int:
        return len(self.name)

    @replaykit.records("find", settings="name")
    async def afind(self, query: str) -> str:
        return self.name


@replaykit.records("find", settings="name")
def free(query: str) -> str:
    """Has no object."""
    return query


def test_a_decorated_method_has_settings_too() -> None:
    """Below a property as well; a function has no object that could be asked."""
    with replaykit.Recorder(":memory:").session(adopt=True) as session:
        Decorated("public").find("a")
        assert Decorated("public").size == 6
        asyncio.run(Decorated("public").afind("a"))
        free("a")

    assert [each.arguments for each in session.result.actions] == [
        {"query": "a", "self": {"name": "public"}},
        {"self": {"name": "public"}},
        {"query": "a", "self": {"name": "public"}},
        {"query": "a"},
    ]
    with replaykit.play(session.result):
        with pytest.raises(NoMatchError):
            Decorated("private").find("a")
        assert Decorated("public").find("a") == "public/a"


CHAINED = MethodMap(
    chains={"search": Chain(ends={"to_list": "find"}, steps=("limit",))},
    settings="name",
)


def test_a_call_that_a_builder_collects_has_the_settings_of_what_begins_it() -> None:
    def chained(shelf: Shelf) -> Any:
        return replaykit.wrap(shelf, store=":memory:", operations=CHAINED)

    shelf = chained(Shelf("public"))
    with replaykit.recorder_of(shelf).session() as session:
        assert shelf.search("a").limit(1).to_list() == ["public/a"]
        with pytest.raises(ValueError, match="negative"):
            shelf.search("a").limit(-1)

    assert [each.arguments["self"] for each in session.result.actions] == [{"name": "public"}] * 2
    with replaykit.play(session.result) as player:
        with pytest.raises(NoMatchError):
            chained(Shelf("private")).search("a").limit(1).to_list()
        assert chained(Shelf("public")).search("a").limit(1).to_list() == ["public/a"]
        with pytest.raises(ValueError, match="negative"):
            chained(Shelf("public")).search("a").limit(-1)
    assert player.all_played
    # A replay makes the call again; a step alone it cannot.
    assert replaykit.replay(session.result, chained(Shelf("public"))).matched_actions == 1


def test_a_method_that_takes_self_as_a_keyword_keeps_it() -> None:
    class Bag:
        name = "bag"

        def put(self, /, **fields: Any) -> None:
            assert fields

    bag: Any = replaykit.wrap(Bag(), store=":memory:", operations={"put": Operation(kind="put", settings="name")})
    with replaykit.recorder_of(bag).session() as session:
        bag.put(self=1, other=2)

    assert session.result.actions[0].arguments == {"self": 1, "other": 2}


# -- the same call again -------------------------------------------------------------------


def test_a_replay_runs_the_call_without_the_settings() -> None:
    """That the target was made otherwise is seen in what it gives."""
    session = asked("name", Shelf("public"))

    assert replaykit.replay(session, Shelf("public"), operations={"find": "find"})
    assert replaykit.replay(session, wrap(Shelf("public")))
    assert replaykit.replay(session, {"find": lambda query: [f"public/{query}"] * 2})
    assert replaykit.replay(session, {"find": lambda **fields: [f"public/{fields['query']}"] * len(fields) * 2})
    assert replaykit.replay(session, wrap(Shelf("private"))).verdict == "failed"


def test_what_redaction_took_from_the_settings_is_no_doubt_about_a_replay() -> None:
    key = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2
    session = asked(lambda _: {"api_key": key}, Shelf("public"))

    assert replaykit.replay(session, wrap(Shelf("private"))).verdict == "failed"


MODULE = '''"""Notes."""

import replaykit
from replaykit import Operation


class Notes:
    """Notes of somebody."""

    name = "nobody"

    def __init__(self, name: str) -> None:
        self.name = name

    @replaykit.records(Operation(kind="find", settings="name"))
    def find(self, query: str) -> list[str]:
        return [f"{self.name}/{query}"]


class Plain:
    """Is wrapped."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find(self, query: str, k: int = 1) -> list[str]:
        return [f"{self.name}/{query}"] * k

    async def afind(self, query: str, k: int = 1) -> list[str]:
        return self.find(query, k)
'''


def test_a_new_test_makes_the_call_without_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it plays is answered: of a method, of wrapped objects, of coroutines."""
    (tmp_path / "somebodys_notes.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import somebodys_notes as notes  # type: ignore[import-not-found]  # written above

    row = Operation(kind="find", settings="name")
    for number, program in enumerate(
        (
            lambda recorder: notes.Notes("a").find("x"),
            lambda recorder: [recorder.wrap(notes.Plain(name), {"find": row}).find("x") for name in "ab"],
            lambda recorder: [
                asyncio.run(recorder.wrap(notes.Plain(name), {"afind": row}).afind("x")) for name in "ab"
            ],
        )
    ):
        recorder = replaykit.Recorder(":memory:")
        with recorder.session("looking", adopt=True) as session:
            program(recorder)
        made = new_test(session.result, str(tmp_path / f"test_made_{number}.py"), folders=[str(tmp_path)])
        assert "self=" not in made.source
        assert "'name': 'a'" in str(made.calls[0].arguments["self"])

        namespace: dict[str, Any] = {}
        exec(compile(made.source, made.path, "exec"), namespace)
        test = namespace["test_looking"]
        (mark,) = test.pytestmark
        with replaykit.play(session.result, **mark.kwargs) as player:
            assert inspect.isfunction(test)
            test()
        assert player.all_played
