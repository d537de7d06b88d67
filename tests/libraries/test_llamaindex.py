"""The adapter of LlamaIndex on the real library: its simple vector store and a model that repeats its prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import VectorStoreQuery

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [
    pytest.mark.libraries,
    # What the library itself warns of is its own.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(autouse=True)
def no_loop() -> None:
    """Have each coroutine run in a loop of its own: where there may be one, the library makes it and leaves it open."""
    asyncio.set_event_loop(None)


class Letters(BaseEmbedding):
    """Texts with the same letters are near to each other."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0, *(float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz")]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def index() -> Any:
    # Nodes are named at random otherwise.
    splitter = SentenceSplitter(id_func=lambda number, document: f"{document.id_}-{number}")
    return VectorStoreIndex([], embed_model=Letters(), transformations=[splitter])


def chat_memory() -> Any:
    # The usual one leaves a database open.
    return ChatMemoryBuffer.from_defaults(llm=MockLLM())


def document(name: str, text: str) -> Document:
    return Document(text=text, id_=name, metadata={"about": name})


class TestIndex(AdapterContract):
    """From the index down: what it hands out is recorded, and needs no store when played."""

    expected = (
        Expected("put", "insert", ids=("paris",)),
        Expected("put", "insert", ids=("rome",)),
        Expected("put_many", "insert_nodes", ids=("n1", "n2")),
        Expected("find", "retrieve", query="Paris in France", ids=("paris-0", "n2")),
        Expected("find", "retrieve", query="Rome", ids=("rome-0",)),
        Expected("ask", "query", query="Rome in Italy", ids=("rome-0", "n2")),
        Expected("find", "retrieve", query="Oslo", ids=("n1", "rome-0")),
        Expected("ask", "synthesize", query="Oslo", ids=("n1",)),
        Expected("ask", "chat", query="Berlin?", ids=("n2", "rome-0")),
        Expected("update", "update_ref_doc", ids=("paris",)),
        Expected("put_many", "refresh_ref_docs", ids=("paris", "rome")),
        Expected("delete", "delete_ref_doc", ids=("rome",)),
        Expected("delete", "delete_nodes", ids=("n1",)),
        Expected("find", "retrieve", query="Oslo", ids=("paris-0", "n2")),
    )
    expected_async = (
        Expected("put", "ainsert", ids=("paris",)),
        Expected("put_many", "ainsert_nodes", ids=("n1",)),
        Expected("find", "aretrieve", query="Paris in France", ids=("paris-0",)),
        Expected("ask", "aquery", query="Oslo", ids=("n1",)),
        Expected("ask", "achat", query="Oslo?", ids=("n1",)),
        Expected("update", "aupdate_ref_doc", ids=("paris",)),
        Expected("delete", "adelete_ref_doc", ids=("paris",)),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return index

    def program(self, target: Any) -> list[Any]:
        found = [
            target.insert(document("paris", "Paris is in France")),
            target.insert(document("rome", "Rome is in Italy")),
            target.insert_nodes([TextNode(text="Oslo", id_="n1"), TextNode(text="Berlin", id_="n2")]),
            target.as_retriever(similarity_top_k=2).retrieve("Paris in France"),
            target.as_retriever(similarity_top_k=1).retrieve(QueryBundle("Rome")),
        ]
        engine = target.as_query_engine(llm=MockLLM(), similarity_top_k=2)
        found.append(engine.query("Rome in Italy"))
        nodes = engine.retriever.retrieve(QueryBundle("Oslo"))
        found += [nodes, engine.synthesize(QueryBundle("Oslo"), nodes[:1])]
        return [
            *found,
            target.as_chat_engine(llm=MockLLM(), memory=chat_memory(), similarity_top_k=2).chat("Berlin?"),
            target.update_ref_doc(document("paris", "Paris is the capital of France")),
            target.refresh_ref_docs([document("paris", "Paris is the capital of France"), document("rome", "Roma")]),
            target.delete_ref_doc("rome", delete_from_docstore=True),
            target.delete_nodes(["n1"]),
            target.as_retriever(similarity_top_k=5).retrieve("Oslo"),
        ]

    async def async_program(self, target: Any) -> list[Any]:
        return [
            await target.ainsert(document("paris", "Paris is in France")),
            await target.ainsert_nodes([TextNode(text="Oslo", id_="n1")]),
            await target.as_retriever(similarity_top_k=1).aretrieve("Paris in France"),
            await target.as_query_engine(llm=MockLLM(), similarity_top_k=1).aquery("Oslo"),
            await target.as_chat_engine(llm=MockLLM(), memory=chat_memory(), similarity_top_k=1).achat("Oslo?"),
            await target.aupdate_ref_doc(document("paris", "Paris")),
            await target.adelete_ref_doc("paris"),
        ]


class TestVectorStore(AdapterContract):
    """The store below an index."""

    expected = (
        Expected("put_many", "add", ids=("a", "b")),
        Expected("find", "query", query="right", ids=("b",)),
        Expected("find", "get", ids=("a",)),
        Expected("delete", "delete_nodes", ids=("a",)),
        Expected("delete", "delete", ids=("book",)),
        Expected("delete", "clear", ids=()),
    )
    expected_async = (
        Expected("put_many", "async_add", ids=("a", "b")),
        Expected("find", "aquery", query="right", ids=("b",)),
        Expected("delete", "adelete_nodes", ids=("a",)),
        Expected("delete", "adelete", ids=("book",)),
        Expected("delete", "aclear", ids=()),
    )
    nodes = (TextNode(id_="a", text="up", embedding=[1.0, 0.0]), TextNode(id_="b", text="right", embedding=[0.0, 1.0]))
    query = VectorStoreQuery(query_embedding=[0.0, 1.0], query_str="right", similarity_top_k=1)

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return SimpleVectorStore

    def program(self, target: Any) -> list[Any]:
        return [
            target.add(list(self.nodes)),
            target.query(self.query),
            target.get("a"),
            target.delete_nodes(["a"]),
            target.delete("book"),
            target.clear(),
        ]

    async def async_program(self, target: Any) -> list[Any]:
        return [
            await target.async_add(list(self.nodes)),
            await target.aquery(self.query),
            await target.adelete_nodes(["a"]),
            await target.adelete("book"),
            await target.aclear(),
        ]


class TestDocumentStore(AdapterContract):
    """Where an index keeps its nodes."""

    expected = (
        Expected("put_many", "add_documents", ids=("a", "b")),
        Expected("find", "get_document", query="a", ids=("a",)),
        Expected("find", "get_nodes", ids=("a", "b")),
        Expected("find", "document_exists", query="c"),
        Expected("update", "set_document_hash", ids=("a",)),
        Expected("find", "get_all_document_hashes"),
        Expected("delete", "delete_document", ids=("a",)),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return SimpleDocumentStore

    def program(self, target: Any) -> list[Any]:
        return [
            target.add_documents([TextNode(id_="a", text="up"), document("b", "down")]),
            target.get_document("a"),
            target.get_nodes(["a", "b"]),
            target.document_exists("c"),
            target.set_document_hash("a", "0"),
            target.get_all_document_hashes(),
            target.delete_document("a"),
        ]


class TestChatMemory(AdapterContract):
    """What an agent is given as its memory."""

    expected = (
        Expected("put", "put", ids=()),
        Expected("put_many", "put_messages", ids=()),
        Expected("find", "get", query="tea", ids=()),
        Expected("find", "get_all", query=""),
        Expected("put_many", "set"),
        Expected("delete", "reset", ids=()),
    )
    expected_async = (
        Expected("put", "aput"),
        Expected("find", "aget", query="tea"),
        Expected("find", "aget_all"),
        Expected("delete", "areset"),
    )
    messages = (ChatMessage("I like tea"), ChatMessage("Noted", role=MessageRole.ASSISTANT))

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return chat_memory

    def program(self, target: Any) -> list[Any]:
        return [
            target.put(self.messages[0]),
            target.put_messages(list(self.messages)),
            target.get("tea"),
            target.get_all(),
            target.set(list(self.messages)),
            target.reset(),
        ]

    async def async_program(self, target: Any) -> list[Any]:
        return [
            await target.aput(self.messages[0]),
            await target.aget("tea"),
            await target.aget_all(),
            await target.areset(),
        ]


class Broken(BaseRetriever):
    """A retriever of a user's own, whose store is down."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        raise ConnectionError(f"no store for {query_bundle.query_str}")


def test_a_failed_retrieval_is_recorded_and_fails_again_when_played() -> None:
    """Also the asynchronous one."""
    retriever = replaykit.wrap(Broken(), store=":memory:")

    def program() -> None:
        with pytest.raises(ConnectionError, match="no store for Paris"):
            retriever.retrieve("Paris")
        with pytest.raises(ConnectionError, match="no store for Rome"):
            asyncio.run(retriever.aretrieve("Rome"))

    with replaykit.recorder_of(retriever).session(adopt=True) as session:
        program()
    with replaykit.play(session.result) as player:
        program()

    assert player.all_played
    assert [(each.name, each.action_type.query, each.error.type) for each in session.result.actions] == [
        ("retrieve", "Paris", "ConnectionError"),
        ("aretrieve", "Rome", "ConnectionError"),
    ]


def test_a_proxy_passes_where_llamaindex_takes_a_retriever() -> None:
    """In an engine or a tool that is made of it, its finds are recorded."""
    plain = index()
    plain.insert(document("paris", "Paris is in France"))
    retriever = replaykit.wrap(plain.as_retriever(), store=":memory:")
    assert isinstance(retriever, BaseRetriever)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    tool = RetrieverTool.from_defaults(retriever)

    with replaykit.recorder_of(retriever).session(adopt=True) as session:
        assert "Paris is in France" in str(engine.query("where?"))
        assert "Paris is in France" in str(tool.call("what?"))

    assert [(each.name, each.action_type.query, each.affected_frames) for each in session.result.actions] == [
        ("retrieve", "where?", ("paris-0",)),
        ("retrieve", "what?\n\n", ("paris-0",)),
    ]


def test_how_many_nodes_a_retriever_is_to_find_is_recorded() -> None:
    """It is no argument of the call, but set on the retriever."""
    wrapped = replaykit.wrap(index(), store=":memory:")
    with replaykit.recorder_of(wrapped).session() as session:
        retriever = wrapped.as_retriever(similarity_top_k=7)
        retriever.retrieve("a")
        retriever.similarity_top_k = 3
        retriever.retrieve("b")

    assert [each.k for each in session.result.actions] == [7, 3]


def test_a_chat_engine_remembers_through_a_recorded_memory() -> None:
    """Which passes where the library asks for one of its own."""
    plain = index()
    plain.insert(document("paris", "Paris is in France"))
    memory = replaykit.wrap(chat_memory(), store=":memory:")

    with replaykit.recorder_of(memory).session(adopt=True) as session:
        plain.as_chat_engine(llm=MockLLM(), memory=memory).chat("Paris?")

    puts = [each.action_type for each in session.result.actions if each.kind == "put"]
    assert len(puts) == 2
    assert {each.kind for each in session.result.actions} == {"put", "find"}


def test_the_table_is_of_this_release() -> None:
    """What it names is there: a method that is renamed would silently go unrecorded."""
    classes = (
        VectorStoreIndex,
        VectorIndexRetriever,
        BaseQueryEngine,
        RetrieverQueryEngine,
        BaseChatEngine,
        ChatMemoryBuffer,
        SimpleVectorStore,
        SimpleDocumentStore,
    )
    assert [
        (cls, name)
        for cls in classes
        for name in getattr(map_of(cls), "operations", {"": None})
        if not hasattr(cls, name)
    ] == []


def test_an_index_that_is_wrapped_twice_records_once() -> None:
    """By the same recorder it is the same proxy; by another one it is a proxy of the index itself."""
    with replaykit.Recorder(":memory:") as first, replaykit.Recorder(":memory:") as second:
        wrapped = first.wrap(index())
        assert first.wrap(wrapped) is wrapped
        again = second.wrap(wrapped)
        with first.session() as outer, second.session() as inner:
            again.insert_nodes([TextNode(id_="a", text="up")])
            again.as_retriever().retrieve("up")

        assert [each.name for each in inner.result.actions] == ["insert_nodes", "retrieve"]
        assert list(outer.result.actions) == []


def test_a_method_that_a_release_renamed_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program runs; the session says which calls it does not have."""
    monkeypatch.setattr(BaseRetriever, "look_up", BaseRetriever.retrieve, raising=False)
    monkeypatch.delattr(BaseRetriever, "retrieve")
    wrapped = replaykit.wrap(index(), store=":memory:")

    with replaykit.recorder_of(wrapped).session() as session:
        wrapped.insert_nodes([TextNode(id_="a", text="up")])
        found = [wrapped.as_retriever().look_up("up"), wrapped.as_retriever().look_up("up")]

    assert [[each.node_id for each in hits] for hits in found] == [["a"], ["a"]]
    assert dict(session.result.uncovered) == {"VectorIndexRetriever.look_up": 2}
    assert len([record for record in caplog.records if "look_up" in str(vars(record))]) == 1
