"""The adapters' contract on the real LangChain and Chroma, and what only they do."""

from __future__ import annotations

import os

# Chroma reports home by default; the tests run offline.
os.environ.update(ANONYMIZED_TELEMETRY="False")

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import chromadb
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import BaseTool, create_retriever_tool, tool
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.in_memory import InMemoryVectorStore

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.intercept.instrumenting import instrument_class, uninstrument_class
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [
    pytest.mark.libraries,
    # What the libraries themselves warn of is theirs.
    pytest.mark.filterwarnings("default"),
]


def vector_store() -> Any:
    return InMemoryVectorStore(DeterministicFakeEmbedding(size=8))


class TestVectorStore(AdapterContract):
    expected = (
        Expected("put_many", "add_texts", ids=("a", "b")),
        Expected("put_many", "add_documents", ids=("c",)),
        Expected("find", "similarity_search", query="Paris", ids=("c", "a"), arguments={"k": 2}),
        Expected("find", "similarity_search_with_score", query="Rome", ids=("a",), arguments={"k": 1}),
        Expected("find", "similarity_search_by_vector"),
        Expected("find", "max_marginal_relevance_search", query="Rome"),
        Expected("find", "search", query="Rome"),
        Expected("find", "get_by_ids", ids=("a", "nobody")),
        Expected("find", "invoke", query="Italy", ids=("c", "b")),
        Expected("put_many", "add_documents", ids=("d",)),
        Expected("delete", "delete", ids=("a",)),
    )
    expected_async = (
        Expected("put_many", "aadd_texts", ids=("a",)),
        Expected("put_many", "aadd_documents", ids=("b",)),
        Expected("find", "asimilarity_search", query="Paris"),
        Expected("find", "asimilarity_search_with_score", query="Rome", ids=("b",)),
        Expected("find", "ainvoke", query="Italy"),
        Expected("find", "aget_by_ids", ids=("b",)),
        Expected("delete", "adelete", ids=("a",)),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return vector_store

    def program(self, target: Any) -> list[Any]:
        retriever_of = target.as_retriever
        found = [
            target.add_texts(
                ["Paris is in France", "Rome is in Italy"], metadatas=[{"n": 1}, {"n": 2}], ids=["a", "b"]
            ),
            target.add_documents([Document(page_content="Berlin", id="c")]),
            target.similarity_search("Paris", k=2),
            target.similarity_search_with_score("Rome", k=1),
            target.similarity_search_by_vector([0.5] * 8, k=2),
            target.max_marginal_relevance_search("Rome", k=2),
            target.search("Rome", "similarity"),
            target.get_by_ids(["a", "nobody"]),
        ]
        retriever = retriever_of(search_kwargs={"k": 2})
        found += [retriever.invoke("Italy"), retriever.add_documents([Document(page_content="Oslo", id="d")])]
        return [*found, target.delete(["a"])]

    async def async_program(self, target: Any) -> list[Any]:
        return [
            await target.aadd_texts(["Paris"], ids=["a"]),
            await target.aadd_documents([Document(page_content="Rome", id="b")]),
            await target.asimilarity_search("Paris"),
            await target.asimilarity_search_with_score("Rome", k=1),
            await target.as_retriever().ainvoke("Italy"),
            await target.aget_by_ids(["b"]),
            await target.adelete(["a"]),
        ]


@tool
def multiply(a: int, b: int) -> int:
    """Multiply."""
    return a * b


class TestTool(AdapterContract):
    """A tool's calls have the tool's name; called with a model's tool call it answers with a message."""

    expected = (Expected("tool", "multiply"), Expected("tool", "multiply"), Expected("tool", "multiply"))
    expected_async = (Expected("tool", "multiply"),)

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return lambda: multiply

    def program(self, target: Any) -> list[Any]:
        call = {"name": "multiply", "args": {"a": 5, "b": 6}, "id": "call-1", "type": "tool_call"}
        return [target.invoke({"a": 2, "b": 3}), target.invoke(call), target.run({"a": 3, "b": 3})]

    async def async_program(self, target: Any) -> list[Any]:
        return [await target.ainvoke({"a": 2, "b": 3})]


class Words(BaseRetriever):
    """A retriever of a user's own."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [each for each in self.documents if query in each.page_content]


class TestRetriever(AdapterContract):
    """In chains, batches and streams: whatever it is made a part of calls what is recorded."""

    expected = tuple(Expected("find", "invoke", query=query) for query in ("a", "b", "c", "d!", "e", "f", "g", "h"))
    expected_async = tuple(Expected("find", "ainvoke", query=query) for query in "abc")

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return lambda: Words(documents=[Document(page_content="abcdefgh!", id="1", metadata={"at": (1, 2)})])

    def program(self, target: Any) -> list[Any]:
        texts = RunnableLambda(lambda documents: [each.page_content for each in documents])
        prompt = ChatPromptTemplate.from_template("{context} {question}")
        chain = RunnableParallel(context=target | texts, question=RunnablePassthrough()) | prompt
        return [
            target.invoke("a"),
            (target | texts).invoke("b"),
            target.pipe(texts).invoke("c"),
            (RunnableLambda(lambda query: query + "!") | target.with_config(tags=["t"])).invoke("d"),
            target.bind().with_retry().invoke("e"),
            target.batch(["f"]),
            list(target.stream("g")),
            chain.invoke("h").to_string(),
        ]

    async def async_program(self, target: Any) -> list[Any]:
        texts = RunnableLambda(lambda documents: [each.page_content for each in documents])
        return [
            await (target | texts).ainvoke("a"),
            await target.abatch(["b"]),
            [piece async for piece in target.astream("c")],
        ]


def test_a_proxy_passes_where_langchain_checks_types() -> None:
    """As a part of its own models, and as what a tool is made of."""
    with replaykit.Recorder(":memory:") as recorder:
        store, words = recorder.wrap(vector_store()), recorder.wrap(Words(documents=[Document(page_content="x")]))
        assert isinstance(store, VectorStore)
        assert isinstance(store.as_retriever(), BaseRetriever)
        assert isinstance(recorder.wrap(multiply), BaseTool)
        search = create_retriever_tool(words, "search", "Search the notes.")

        with recorder.session(adopt=True) as session:
            assert search.invoke("x") == "x"

        assert [action.name for action in session.result.actions] == ["invoke"]


def test_a_retriever_that_streams_its_events_is_recorded() -> None:
    """LangChain goes through private methods there, which have to stay on what is recorded."""
    words = replaykit.wrap(Words(documents=[Document(page_content="abc", id="1")]), store=":memory:")

    async def events() -> list[str]:
        return [event["event"] async for event in words.astream_events("a", version="v2")]

    with replaykit.recorder_of(words).session(adopt=True) as session:
        assert asyncio.run(events()) == ["on_retriever_start", "on_retriever_end"]

    assert [each.affected_frames for each in session.result.actions] == [("1",)]


def test_a_pydantic_object_records_on_itself() -> None:
    """Chains that were made before keep recording; the model is as it was afterwards."""
    words = Words(documents=[Document(page_content="abc", id="1")])
    chain = words | RunnableLambda(len)
    before = (dict(vars(Words)), words.model_dump())
    assert replaykit.instrument(words, store=":memory:") is words
    recorder = replaykit.recorder_of(words)

    with recorder.session() as session:
        assert (chain.invoke("a"), words.batch(["b"])[0][0].id) == (1, "1")
    with replaykit.play(session.result):
        assert (chain.invoke("a"), words.batch(["b"])[0][0].id) == (1, "1")

    assert [(each.name, each.action_type.query) for each in session.result.actions] == [
        ("invoke", "a"),
        ("invoke", "b"),
    ]
    replaykit.uninstrument(words)
    assert (dict(vars(Words)), words.model_dump()) == before


def test_every_vector_store_and_retriever_can_record() -> None:
    """Those of any provider, by their base class; a retriever's search is the child of its call."""
    maps = {cls: map_of(cls) for cls in (VectorStore, BaseRetriever, BaseTool)}
    for cls, known in maps.items():
        instrument_class(cls, known)
    try:
        with replaykit.Recorder(":memory:") as recorder, recorder.session() as session:
            store = vector_store()
            store.add_documents([Document(page_content="Paris", id="a")])
            (found,) = store.as_retriever().invoke("Paris")
            assert (found.page_content, multiply.invoke({"a": 2, "b": 2})) == ("Paris", 4)
            actions = list(recorder.get_session(session.id).actions)
    finally:
        for cls in maps:
            uninstrument_class(cls)

    assert [(each.kind, each.name, each.parent) for each in actions] == [
        ("put_many", "add_documents", None),
        ("find", "invoke", None),
        ("find", "similarity_search", 1),
        ("tool", "multiply", None),
    ]


def test_a_chroma_client_records_on_itself(chroma: Any) -> None:
    """And what it hands out; collections that nobody asked to record are not."""
    other = chroma.get_or_create_collection("other", embedding_function=None)
    replaykit.instrument(chroma, store=":memory:")
    with replaykit.recorder_of(chroma).session() as session:
        notes = chroma.get_or_create_collection("on-itself", embedding_function=None)
        notes.add(ids=["a"], embeddings=[[1.0]])
        assert (notes.count(), other.count()) == (1, 0)
    replaykit.uninstrument(chroma)
    for name in ("other", "on-itself"):
        chroma.delete_collection(name)

    assert [each.name for each in session.result.actions] == ["get_or_create_collection", "add", "count"]


# -- Chroma -----------------------------------------------------------------------------

_numbers = itertools.count()


@pytest.fixture(scope="module")
def chroma() -> Any:
    return chromadb.EphemeralClient(chromadb.config.Settings(anonymized_telemetry=False))


def plain(value: Any) -> Any:
    """Return a result of Chroma's with arrays as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


class TestChroma(AdapterContract):
    """From the client down: collections are handed out recorded, and stand without a server when played."""

    expected = (
        Expected("tool", "get_or_create_collection", arguments={"name": "notes"}),
        Expected("put_many", "add", ids=("a", "b")),
        Expected("find", "query", ids=("a",), arguments={"n_results": 1}),
        Expected("put_many", "upsert", ids=("c",)),
        Expected("find", "get", ids=("a",)),
        Expected("find", "get", ids=("a",)),
        Expected("find", "peek", ids=("a",)),
        Expected("find", "count", ids=()),
        Expected("update", "update", ids=("a",)),
        Expected("delete", "delete", ids=("b",)),
        Expected("tool", "get_collection"),
        Expected("find", "query", ids=("c", "a")),
        Expected("tool", "list_collections"),
        Expected("find", "count"),
        Expected("tool", "delete_collection"),
    )

    @pytest.fixture
    def fresh(self, chroma: Any) -> Callable[[], Any]:
        return lambda: chroma

    def program(self, target: Any) -> list[Any]:
        notes = target.get_or_create_collection("notes", embedding_function=None, metadata={"by": "us"})
        found = [
            (notes.name, notes.metadata),
            notes.add(
                ids=["a", "b"],
                embeddings=[[1.0, 2.0], [3.0, 4.0]],
                documents=["Paris", "Rome"],
                metadatas=[{"n": 1}, {"n": 2}],
            ),
            notes.query(query_embeddings=[[1.0, 2.0]], n_results=1),
            notes.upsert(ids=["c"], embeddings=[[5.0, 6.0]], documents=["Berlin"]),
            notes.get(ids=["a"]),
            notes.get(ids=["a"], include=["embeddings"]),
            notes.peek(1),
            notes.count(),
            notes.update(ids=["a"], documents=["Paris!"], embeddings=[[1.0, 2.5]]),
            notes.delete(ids=["b"]),
        ]
        again = target.get_collection("notes", embedding_function=None)
        found.append(again.query(query_embeddings=[[9.0, 2.0]], n_results=5))
        found.append([(each.name, each.count()) for each in target.list_collections()])
        target.delete_collection("notes")
        return found

    def shown(self, results: Any) -> Any:
        return plain(results)


def test_a_chroma_query_by_text_is_recorded_with_its_query(chroma: Any) -> None:
    class Embedding(chromadb.EmbeddingFunction):
        def __init__(self) -> None:
            pass

        @staticmethod
        def name() -> str:
            return "length"

        def __call__(self, input: list[str]) -> list[list[float]]:
            return [[float(len(text)), 1.0] for text in input]

    collection = chroma.create_collection(f"texts-{next(_numbers)}", embedding_function=Embedding())
    wrapped = replaykit.wrap(collection, store=":memory:")

    with wrapped.session() as session:
        wrapped.add(ids=["a"], documents=["Paris"])
        wrapped.query(query_texts=["capital", "city"], n_results=2)

    find = session.result.actions[1]
    assert (find.action_type.query, find.affected_frames) == ("capital\ncity", ("a", "a"))


class Served:
    """Chroma's asynchronous client on a local client: it speaks to a server otherwise."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._server, name)

        async def called(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return called


def test_chromas_asynchronous_client_is_recorded_and_plays(chroma: Any) -> None:
    from chromadb.api.async_client import AsyncClient

    def client() -> Any:
        made = AsyncClient.__new__(AsyncClient)
        made._server, made.tenant, made.database = Served(chroma._server), chroma.tenant, chroma.database
        return made

    async def program(target: Any) -> list[Any]:
        notes = await target.get_or_create_collection("async-notes", embedding_function=None)
        await notes.upsert(ids=["a"], embeddings=[[1.0, 2.0]], documents=["Paris"])
        found = await notes.query(query_embeddings=[[1.0, 2.0]], n_results=1)
        return [notes.name, plain(found), await notes.count()]

    expected = asyncio.run(program(client()))
    wrapped = replaykit.wrap(client(), store=":memory:")
    with replaykit.recorder_of(wrapped).session(adopt=True) as session:
        assert asyncio.run(program(wrapped)) == expected
    with replaykit.play(session.result) as player:
        assert asyncio.run(program(wrapped)) == expected

    assert player.all_played
    assert [(each.kind, each.name) for each in session.result.actions] == [
        ("tool", "get_or_create_collection"),
        ("put_many", "upsert"),
        ("find", "query"),
        ("find", "count"),
    ]
