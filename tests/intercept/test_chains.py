"""A call that a builder collects is recorded and played as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import replaykit
from replaykit.errors import NoMatchError
from replaykit.intercept.instrumenting import InstrumentedMethod, instrument_class, uninstrument_class
from replaykit.operations import Chain, MethodMap, Operation


class Search:
    """A builder as libraries have them; *narrow* makes another one."""

    def __init__(self, table: Table, query: str, words: tuple[str, ...] = ()) -> None:
        self.table, self.query, self.words, self.most = table, query, words, 10

    def limit(self, most: int) -> Search:
        if most < 0:
            raise ValueError("a negative limit")
        self.most = most
        return self

    def only(self, *words: str, **more: Any) -> Search:
        self.words += words
        return self

    def narrow(self, word: str) -> Search:
        return Search(self.table, self.query, (*self.words, word))

    def to_list(self, upper: bool = False) -> list[dict[str, Any]]:
        self.table.asked += 1
        found = [row for row in self.table.rows if self.query in row and all(word in row for word in self.words)]
        return [{"id": self.table.rows.index(row), "text": row.upper() if upper else row} for row in found][: self.most]

    async def to_list_later(self) -> list[dict[str, Any]]:
        return self.to_list()

    def plan(self) -> str:
        return f"scan for {self.query}"


class Table:
    def __init__(self, *rows: str) -> None:
        self.rows, self.asked = list(rows), 0

    def search(self, query: str, mode: str = "words") -> Search:
        if not query:
            raise ValueError("nothing to look for")
        return Search(self, query)

    async def search_later(self, query: str) -> Search:
        return self.search(query)


FIND = Operation(kind="find", k="arguments.limit")
CHAIN = Chain(ends={"to_list": FIND, "to_list_later": FIND}, steps="limit only", forks="narrow")
MAP = MethodMap(chains={"search": CHAIN, "search_later": CHAIN})


@pytest.fixture
def table() -> Any:
    return replaykit.wrap(Table("a b c", "a b", "a"), store=":memory:", operations=MAP)


def recorded(table: Any, program: Callable[[], Any]) -> tuple[Any, replaykit.ReplaySession]:
    with replaykit.recorder_of(table).session(adopt=True) as session:
        result = program()
    return result, session.result


def ids(found: list[dict[str, Any]]) -> list[int]:
    return [each["id"] for each in found]


def test_a_call_in_steps_is_one_action(table: Any) -> None:
    """Named by its first and its last method, with what all of them were given."""
    result, session = recorded(table, lambda: table.search("a").only("b", "c", how="all").limit(2).to_list(upper=True))

    (action,) = session.actions
    assert result == [{"id": 0, "text": "A B C"}]
    assert (action.kind, action.name, action.affected_frames) == ("find", "search.to_list", (0,))
    assert (action.action_type.query, action.action_type.result_count) == ("a", 1)
    assert action.arguments == {
        "query": "a",
        "mode": "words",
        "only": {"args": ["b", "c"], "how": "all"},
        "limit": 2,
        "to_list": {"upper": True},
    }


def test_a_play_runs_nothing_of_the_builder(table: Any) -> None:
    def program() -> Any:
        search = table.search("a")
        search.limit(2)
        return search.to_list(), search.only().only("b").to_list()

    result, session = recorded(table, program)
    asked = table.asked
    with replaykit.play(session) as player:
        assert program() == result
        with pytest.raises(NoMatchError, match=r"search\.to_list"):
            table.search("a").limit(3).to_list()

    assert player.all_played
    assert table.asked == asked
    assert session.actions[1].arguments["only"] == {}
    assert session.actions[1].arguments["only_2"] == "b"


def test_another_builder_leaves_the_first_as_it_was(table: Any) -> None:
    def program() -> Any:
        search = table.search("a")
        return ids(search.narrow("c").to_list()), ids(search.narrow("b").to_list()), ids(search.to_list())

    result, session = recorded(table, program)
    with replaykit.play(session):
        assert program() == result == ([0], [0, 1], [0, 1, 2])


def test_coroutines_begin_and_end_calls(table: Any) -> None:
    async def program() -> Any:
        later = await (await table.search_later("a")).limit(1).to_list_later()
        return later, await table.search("b").to_list_later()

    result, session = recorded(table, lambda: asyncio.run(program()))
    with replaykit.play(session):
        assert asyncio.run(program()) == result

    assert [each.name for each in session.actions] == ["search_later.to_list_later", "search.to_list_later"]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("search", lambda table: table.search("")),
        ("search.limit", lambda table: table.search("a").limit(-1)),
        ("search.to_list", lambda table: table.search("a").to_list(nonsense=1)),
        ("search_later", lambda table: asyncio.run(table.search_later(""))),
    ],
)
def test_a_step_that_fails_is_recorded_and_fails_again(table: Any, name: str, call: Callable[[Any], Any]) -> None:
    """Where it failed: at once, not when the call would have run."""

    def program() -> None:
        with pytest.raises((ValueError, TypeError)):
            call(table)

    _, session = recorded(table, program)
    with replaykit.play(session) as player:
        program()

    (action,) = session.actions
    assert (action.name, player.all_played) == (name, True)
    assert action.error is not None


def test_calls_that_are_let_run_in_a_play_run(table: Any) -> None:
    """By kind from the first method on, by name the whole of it."""

    async def later() -> Any:
        return await (await table.search_later("a")).limit(1).to_list_later()

    _, session = recorded(table, lambda: None)
    for live in ("find", ("search.to_list", "search_later.to_list_later")):
        with replaykit.play(session, live=live):
            assert ids(table.search("a").limit(2).narrow("b").to_list()) == [0, 1]
            assert ids(asyncio.run(later())) == [0]


def test_a_call_that_began_before_a_play_is_answered_in_it(table: Any) -> None:
    result, session = recorded(table, lambda: table.search("a").to_list())
    search = table.search("a")

    with replaykit.play(session):
        assert search.to_list() == result


def test_what_is_no_part_of_the_call_is_the_builders(table: Any) -> None:
    """Counted where it may matter; what the builder lacks is lacking; outside of a session all of it just works."""
    search = table.search("a")
    _, session = recorded(table, lambda: search.plan())

    assert dict(session.uncovered) == {"Search.plan": 1}
    assert isinstance(search, Search)
    assert search.most == 10
    assert not hasattr(search, "no_such_step")
    assert "limit" in repr(search.limit(1))
    assert ids(search.to_list()) == [0]


def test_an_unmapped_method_replaces_what_the_adapter_says_of_it() -> None:
    """A map of one's own, for the method that begins."""
    table = replaykit.wrap(Table("a"), store=":memory:", operations={"search": "find"})

    _, session = recorded(table, lambda: table.search("a").to_list())

    assert [each.name for each in session.actions] == ["search"]


def test_a_replay_makes_the_call_again(table: Any) -> None:
    """With all its steps, also twice the same one; what it finds otherwise is told."""

    async def later() -> Any:
        return await (await table.search_later("a")).to_list_later()

    def program() -> None:
        table.search("a", mode="all").only("b").only("c", how="all").narrow("a").limit(5).to_list(upper=True)
        table.search("a").limit(2).to_list()
        asyncio.run(later())

    _, session = recorded(table, program)
    assert replaykit.replay(session, table, base="live").matched_actions == 3

    table.rows.insert(0, "a new one")
    assert replaykit.replay(session, table, base="live").mismatched_actions == 3


def test_a_call_in_steps_is_answered_without_a_target(table: Any) -> None:
    """Where its class is given, which says what the first method takes."""
    result, session = recorded(table, lambda: table.search("a").limit(1).to_list())
    absent = replaykit.wrap(None, store=":memory:", operations=MAP, like=Table)

    with replaykit.play(session):
        assert absent.search("a").limit(1).to_list() == result


def test_what_a_play_does_not_have_runs_and_is_recorded(table: Any) -> None:
    """Its builder is made then."""
    _, session = recorded(table, lambda: table.search("a").limit(1).to_list())
    with replaykit.recorder_of(table).session() as more:
        with replaykit.play(session, record_missing=more):
            assert ids(table.search("a").limit(1).to_list()) == [0]
            assert ids(table.search("a").limit(2).to_list()) == [0, 1]

    assert [each.arguments["limit"] for each in more.result.actions] == [2]


@pytest.mark.parametrize("is_whole_class", [False, True])
def test_a_call_is_one_action_on_the_object_itself(is_whole_class: bool) -> None:
    """Or on all objects of its class; what it calls on itself, or outside of a session, is its library's own."""

    class Counting(Table):
        def search(self, query: str, mode: str = "words") -> Search:
            # As libraries do whose classes are all recorded.
            self.inner.count(query) if self.inner else None
            return super().search(query, mode)

        inner: Any = None

        def count(self, query: str) -> int:
            return len(self.search(query).to_list())

        async def count_later(self, query: str) -> int:
            return len((await self.search_later(query)).to_list())

    methods = MethodMap(operations={"count": "find"}, chains=MAP.chains)
    table: Any = Counting("a b c", "a b")
    if is_whole_class:
        instrument_class(Counting, methods)
    else:
        replaykit.instrument(table, store=":memory:", operations=methods)
    table.inner = Counting("a")
    recorder = replaykit.Recorder(":memory:") if is_whole_class else replaykit.recorder_of(table)

    def program() -> Any:
        found = table.search("a").limit(1).to_list(), table.count("b"), asyncio.run(later())
        with pytest.raises(ValueError, match="nothing to look for"):
            table.search("")
        return found

    async def later() -> Any:
        return (await table.search_later("b")).to_list()

    assert type(table.search("a")) is Search
    with recorder.session(adopt=True) as session:
        result = program()
    asked = table.asked
    with replaykit.play(session.result) as player:
        assert program() == result

    assert [action.name for action in session.result.actions if action.parent is None] == [
        "search.to_list",
        "count",
        "search_later.to_list",
        "search",
    ]
    assert (player.all_played, table.asked) == (True, asked)
    if is_whole_class:
        uninstrument_class(Counting)
    else:
        replaykit.uninstrument(table)
    assert not isinstance(vars(Counting)["search"], InstrumentedMethod)
