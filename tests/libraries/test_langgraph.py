"""The adapters' contract on the real LangGraph: its store, alone and in a graph, and a checkpointer's thread."""

from __future__ import annotations

import os

# LangGraph's tracing reports home where a key for it is set; the tests run offline.
os.environ.update(LANGSMITH_TRACING="false")

import asyncio
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore, GetOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

import replaykit
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [
    pytest.mark.libraries,
    # What the library itself warns of is its own.
    pytest.mark.filterwarnings("default"),
]

USER = ("users", "1")


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(text.count(letter)) for letter in "aeiou"] for text in texts]


def plain(value: Any) -> Any:
    """Return a result without the times at which its items were written."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    if not hasattr(value, "namespace"):
        return value
    return (type(value), value.namespace, value.key, value.value, getattr(value, "score", None))


class TestStore(AdapterContract):
    """A frame is named by its key; with an index its search has scores."""

    expected = (
        Expected("put", "put", ids=("food",), arguments={"namespace": USER, "index": None}),
        Expected("put", "put", ids=("city",)),
        Expected("find", "get", query="food", ids=("food",)),
        Expected("find", "get", query="nothing", ids=()),
        Expected("find", "search", query="Oslo", ids=("city",), arguments={"limit": 1}),
        Expected("find", "search", query="", ids=("food",), arguments={"filter": {"likes": "pizza"}}),
        Expected("find", "list_namespaces", query="", ids=()),
        Expected("tool", "batch", ids=("city", "new")),
        Expected("delete", "delete", ids=("food",)),
        Expected("find", "search", query="", ids=("city", "new")),
    )
    expected_async = (
        Expected("put", "aput", ids=("food",)),
        Expected("find", "aget", ids=("food",)),
        Expected("find", "asearch", query="pizza", ids=("food",)),
        Expected("find", "alist_namespaces"),
        Expected("tool", "abatch", ids=("food",)),
        Expected("delete", "adelete", ids=("food",)),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return lambda: InMemoryStore(index={"dims": 5, "embed": embed})

    def program(self, target: Any) -> list[Any]:
        return [
            target.put(USER, "food", {"likes": "pizza"}),
            target.put(USER, "city", {"lives": "Oslo"}),
            target.get(USER, "food"),
            target.get(USER, "nothing"),
            target.search(("users",), query="Oslo", limit=1),
            target.search(USER, filter={"likes": "pizza"}),
            target.list_namespaces(prefix=("users",)),
            target.batch([GetOp(USER, "city"), PutOp(USER, "new", {"a": 1}), SearchOp(USER, limit=1)]),
            target.delete(USER, "food"),
            target.search(USER),
        ]

    async def async_program(self, target: Any) -> list[Any]:
        return [
            await target.aput(USER, "food", {"likes": "pizza"}),
            await target.aget(USER, "food"),
            await target.asearch(USER, query="pizza"),
            await target.alist_namespaces(),
            await target.abatch([GetOp(USER, "food")]),
            await target.adelete(USER, "food"),
        ]

    def shown(self, results: Any) -> Any:
        return plain(list(results))


def test_items_come_back_whole() -> None:
    """With their times, as objects of LangGraph's own class."""
    store = replaykit.wrap(InMemoryStore(), store=":memory:")
    with replaykit.recorder_of(store).session() as session:
        store.put(USER, "food", {"likes": "pizza"})
        found = [store.get(USER, "food"), *store.search(USER)]

    bare = replaykit.wrap(InMemoryStore(), store=":memory:")
    with replaykit.play(session.result):
        bare.put(USER, "food", {"likes": "pizza"})
        assert [bare.get(USER, "food"), *bare.search(USER)] == found
    assert not any("unreplayable" in each.flags for each in session.result.actions)


def test_a_call_that_fails_is_recorded_and_fails_again() -> None:
    store = replaykit.wrap(InMemoryStore(), store=":memory:")
    with replaykit.recorder_of(store).session() as session, pytest.raises(ValueError, match="[Nn]amespace") as failure:
        store.put((), "k", {"a": 1})

    (action,) = session.result.actions
    assert (action.kind, action.affected_frames, action.error is not None) == ("put", ("k",), True)
    with replaykit.play(session.result), pytest.raises(Exception, match="[Nn]amespace") as again:
        store.put((), "k", {"a": 1})
    assert str(failure.value) in str(again.value)


def test_a_search_is_replayed_and_what_it_lost_is_said() -> None:
    store = replaykit.wrap(InMemoryStore(), store=":memory:")
    store.put(USER, "food", {"likes": "pizza"})
    store.put(USER, "city", {"lives": "Oslo"})
    with replaykit.recorder_of(store).session() as session:
        store.search(USER)

    assert replaykit.replay(session.result, store, base="live").is_success
    store.delete(USER, "food")
    (lost,) = replaykit.replay(session.result, store, base="live").divergences
    assert "food" in f"{lost.details} {lost.original_preview}"


class Renamed(InMemoryStore):
    """A release in which a method has another name."""

    search: Any = None

    def look_up(self, *args: Any, **kwargs: Any) -> Any:
        return InMemoryStore.search(self, *args, **kwargs)


def test_a_release_with_other_methods_runs_and_one_warning_says_what_is_not_recorded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = replaykit.wrap(Renamed(), store=":memory:")

    with replaykit.recorder_of(store).session() as session:
        store.put(USER, "food", {"likes": "pizza"})
        assert [each.key for each in store.look_up(USER)] == ["food"]

    assert [each.name for each in session.result.actions] == ["put"]
    (warning,) = [each for each in caplog.records if each.name.startswith("replaykit")]
    assert (warning.getMessage(), warning.calls) == ("calls_uncovered", "Renamed.look_up 1")


# -- in a graph ---------------------------------------------------------------------------


class State(TypedDict, total=False):
    question: str
    answer: str


def graph_of(store: Any, checkpointer: Any) -> Any:
    def remember(state: State, runtime: Runtime) -> State:
        runtime.store.put(USER, "last", {"question": state["question"]})
        return {}

    def recall(state: State, runtime: Runtime) -> State:
        return {"answer": " ".join(item.value["question"] for item in runtime.store.search(USER))}

    builder = StateGraph(State)
    builder.add_node("remember", remember)
    builder.add_node("recall", recall)
    builder.add_edge(START, "remember")
    builder.add_edge("remember", "recall")
    builder.add_edge("recall", END)
    return builder.compile(store=store, checkpointer=checkpointer)


def asked(graph: Any, thread: str) -> Any:
    return graph.invoke({"question": "why?"}, {"configurable": {"thread_id": thread}})


def test_a_graph_is_recorded_with_its_thread_and_plays() -> None:
    """Its store's calls are the actions; checkpoints are kept as before, and are no actions."""
    recorder = replaykit.Recorder(":memory:")
    store, saver = recorder.wrap(InMemoryStore()), recorder.wrap(InMemorySaver())
    assert isinstance(store, BaseStore)
    saver = saver.with_allowlist([("app.state", "Answer")])

    with recorder.session(adopt=True) as session:
        answer = asked(graph_of(store, saver), "thread-7")
    with replaykit.play(session.result) as player:
        played = asked(graph_of(recorder.wrap(InMemoryStore()), recorder.wrap(InMemorySaver())), "thread-8")

    assert answer == played == {"question": "why?", "answer": "why?"}
    assert [each.name for each in session.result.actions] == ["put", "search"]
    assert session.result.metadata == {"thread_id": "thread-7"}
    assert dict(session.result.uncovered) == {}
    assert player.all_played
    assert saver.get_tuple({"configurable": {"thread_id": "thread-7"}}).checkpoint["channel_values"]["answer"] == "why?"
    recorder.close()


def test_several_threads_are_a_list_and_the_users_word_stays() -> None:
    recorder = replaykit.Recorder(":memory:")
    graph = graph_of(recorder.wrap(InMemoryStore()), recorder.wrap(InMemorySaver()))

    async def later() -> Any:
        return await graph.ainvoke({"question": "why?"}, {"configurable": {"thread_id": "c"}})

    with recorder.session(adopt=True) as session:
        asked(graph, "a"), asked(graph, "b"), asked(graph, "a"), asyncio.run(later())
    with recorder.session(adopt=True, metadata={"thread_id": "mine"}) as other:
        asked(graph, "a")

    assert session.result.metadata == {"thread_id": ["a", "b", "c"]}
    assert other.result.metadata == {"thread_id": "mine"}
    recorder.close()
