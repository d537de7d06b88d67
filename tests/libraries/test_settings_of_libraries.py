"""What each library's objects were made with is part of their calls: what another one was asked answers none."""

from __future__ import annotations

import os

os.environ.update(ANONYMIZED_TELEMETRY="False", IS_TESTING="1")

import asyncio
import gc
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromadb
import lancedb
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores.in_memory import InMemoryVectorStore
from llama_index.core import Document as Page
from llama_index.core import MockEmbedding, QueryBundle, SummaryIndex, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever as LlamaRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters

import replaykit
from replaykit.errors import NoMatchError

pytestmark = [
    pytest.mark.libraries,
    # What the libraries themselves warn of is theirs.
    pytest.mark.filterwarnings("default"),
]

Program = Callable[[Any], Any]
Made = Callable[[], Any]


def recorded(made: Made, program: Program) -> Any:
    recorder = replaykit.Recorder(":memory:")
    with recorder.session(adopt=True) as session:
        program(recorder.wrap(made()))
    return session.result


def settings_of(session: Any) -> Any:
    return session.actions[-1].arguments.get("self")


def demand_told_apart(made: Made, program: Program, *others: Program) -> Any:
    """Record *program* on what *made* gives, twice the same, and play it; none of *others* is answered."""
    session = recorded(made, program)
    again = recorded(made, program)
    # Nothing in it is of one run alone.
    assert [each.arguments.get("self") for each in session.actions] == [
        each.arguments.get("self") for each in again.actions
    ]
    with replaykit.play(session) as player:
        program(replaykit.wrap(made(), store=":memory:"))
    assert player.all_played
    for other in others:
        with replaykit.play(session), pytest.raises(NoMatchError, match="self"):
            other(replaykit.wrap(made(), store=":memory:"))
    return settings_of(session)


# -- LangChain ----------------------------------------------------------------------------


def store() -> Any:
    made = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    made.add_documents([Document(id=str(number), page_content=f"text {number}") for number in range(6)])
    return made


def retrieving(method: str = "invoke", **options: Any) -> Program:
    def program(target: Any) -> Any:
        found = getattr(target.as_retriever(**options), method)("capital")
        return asyncio.run(found) if method == "ainvoke" else found

    return program


@pytest.mark.parametrize("method", ["invoke", "ainvoke"])
def test_langchains_retrievers_are_told_by_how_they_search(method: str) -> None:
    found = demand_told_apart(
        store,
        retrieving(method, search_kwargs={"k": 4}),
        retrieving(method, search_kwargs={"k": 1}),
        retrieving(method),
        retrieving(method, search_type="mmr", search_kwargs={"k": 4}),
        retrieving(method, search_kwargs={"k": 4, "filter": {"year": 2024}}),
    )
    assert found == {"search_type": "similarity", "search_kwargs": {"k": 4}}


def test_a_function_that_filters_is_no_value() -> None:
    demand_told_apart(
        store,
        retrieving(search_kwargs={"k": 4, "filter": lambda _document: True}),
        retrieving(search_kwargs={"k": 1, "filter": lambda _document: True}),
    )


class Words(BaseRetriever):
    """A retriever of a user's own, with fields of many kinds."""

    documents: list[Document] = [Document(page_content="abc")]
    most: int = 2
    region: str | None = None
    api_key: str = "not to be seen"
    folder: str = "/tmp/somewhere"
    url: str = "http://localhost:12345"
    weights: tuple[float, ...] = (0.5, 1.0)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [each for each in self.documents if query in each.page_content][: self.most]


class Within(BaseRetriever):
    """A retriever that asks another one."""

    base_retriever: BaseRetriever

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.base_retriever.invoke(query)


def test_other_retrievers_are_told_by_their_plain_fields() -> None:
    """Not by what differs from run to run; what stands within a retriever counts."""

    def asked(made: BaseRetriever) -> Program:
        return lambda _: replaykit.recorder_of(_).wrap(made).invoke("a")

    words = Words(name="n", tags=["t"], metadata={"m": 1})
    found = demand_told_apart(lambda: words, asked(words), asked(Words(most=1)), asked(Words(region="eu")))
    assert found == {"most": 2, "weights": [0.5, 1.0]}
    within = Within(base_retriever=words)
    found = demand_told_apart(lambda: words, asked(within), asked(Within(base_retriever=Words(most=1))))
    assert found == {"base_retriever": {"most": 2, "weights": [0.5, 1.0]}}


class Named(InMemoryVectorStore):
    """Has its texts in a collection, as stores with a server do."""

    def __init__(self, collection_name: str) -> None:
        super().__init__(DeterministicFakeEmbedding(size=8))
        self._collection_name = collection_name


def test_langchains_stores_are_told_by_the_names_of_their_collections() -> None:
    def asked(name: str, question: Program) -> Program:
        return lambda target: question(replaykit.recorder_of(target).wrap(Named(name)))

    questions: tuple[Program, ...] = (lambda it: it.similarity_search("x"), lambda it: it.as_retriever().invoke("x"))
    for question in questions:
        demand_told_apart(store, asked("public", question), asked("private", question))


def test_instrumented_retrievers_have_their_settings_too() -> None:
    replaykit.instrument("langchain_core")
    try:
        recorder = replaykit.Recorder(":memory:")
        with recorder.session() as session:
            retrieving(search_kwargs={"k": 4})(store())
        with replaykit.play(session.result):
            retrieving(search_kwargs={"k": 4})(InMemoryVectorStore(DeterministicFakeEmbedding(size=8)))
            with pytest.raises(NoMatchError, match=r"self\.search_kwargs\.k was 4, asked 1"):
                retrieving(search_kwargs={"k": 1})(InMemoryVectorStore(DeterministicFakeEmbedding(size=8)))
    finally:
        replaykit.uninstrument("langchain_core")


# -- Chroma and LanceDB ---------------------------------------------------------------------


def client() -> Any:
    made = chromadb.EphemeralClient(chromadb.config.Settings(anonymized_telemetry=False))
    for each in made.list_collections():
        made.delete_collection(each.name)
    return made


def in_chroma(chosen: str) -> Program:
    def program(target: Any) -> Any:
        found = {name: target.get_or_create_collection(name, embedding_function=None) for name in ("public", "private")}
        found["public"].upsert(ids=["p1"], documents=["hello"], embeddings=[[1.0, 0.0]])
        found["private"].upsert(ids=["s1"], documents=["salaries"], embeddings=[[1.0, 0.0]])
        return found[chosen].query(query_embeddings=[[1.0, 0.0]], n_results=1)

    return program


def test_a_collection_of_chromas_does_not_answer_for_another() -> None:
    found = demand_told_apart(client, in_chroma("public"), in_chroma("private"))
    assert found == {"name": "public"}


_folders = itertools.count()


def in_lance(chosen: str, question: Program) -> Program:
    def program(database: Any) -> Any:
        tables = {
            name: database.create_table(name, [{"id": 1, "vector": [1.0, 0.0]}], mode="overwrite") for name in "ab"
        }
        return question(tables[chosen])

    return program


@pytest.mark.parametrize(
    "question",
    [lambda table: table.search([1.0, 0.0]).limit(2).to_list(), lambda table: table.count_rows()],
    ids=["search", "count_rows"],
)
def test_a_table_of_lances_does_not_answer_for_another(tmp_path: Path, question: Program) -> None:
    found = demand_told_apart(
        lambda: lancedb.connect(str(tmp_path / str(next(_folders)))), in_lance("a", question), in_lance("b", question)
    )
    assert found == {"name": "a"}


def test_nor_does_an_asynchronous_one(tmp_path: Path) -> None:
    def asked(chosen: str) -> Program:
        async def program(database: Any) -> Any:
            tables = {
                name: await database.create_table(name, [{"id": 1, "vector": [1.0, 0.0]}], mode="overwrite")
                for name in "ab"
            }
            await tables[chosen].count_rows()
            return await (await tables[chosen].search([1.0, 0.0])).limit(1).to_list()

        return lambda database: asyncio.run(program(database))

    def made() -> Any:
        return asyncio.run(lancedb.connect_async(str(tmp_path / str(next(_folders)))))

    assert demand_told_apart(made, asked("a"), asked("b")) == {"name": "a"}


# -- LlamaIndex -----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from llama_index.core import Settings

    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=4))
    monkeypatch.setattr(Settings, "_llm", MockLLM(max_tokens=5))
    yield
    # A chat's memory leaves connections behind: their warnings belong here, not to whichever test is next.
    gc.collect()


def index() -> Any:
    return VectorStoreIndex.from_documents(
        [Page(text=f"t {number}", id_=str(number), metadata={"y": number}) for number in range(4)]
    )


def filters(year: int) -> Any:
    return MetadataFilters(filters=[ExactMatchFilter(key="y", value=year)])


def retriever(**options: Any) -> Program:
    return lambda target: target.as_retriever(**options).retrieve("x")


def query_engine(**options: Any) -> Program:
    return lambda target: target.as_query_engine(**options).query("x")


def chat_engine(**options: Any) -> Program:
    return lambda target: target.as_chat_engine(**options).chat("x")


def test_llamaindexs_retrievers_are_told_by_how_they_search() -> None:
    found = demand_told_apart(
        index,
        retriever(similarity_top_k=2),
        retriever(similarity_top_k=3),
        retriever(filters=filters(1)),
        retriever(doc_ids=["1"]),
        retriever(similarity_top_k=2, alpha=0.5),
        retriever(similarity_top_k=2, vector_store_kwargs={"ef": 5}),
    )
    assert found == {"similarity_top_k": 2, "vector_store_query_mode": "default"}
    demand_told_apart(index, retriever(filters=filters(1)), retriever(filters=filters(2)), retriever())
    demand_told_apart(
        lambda: SummaryIndex.from_documents([Page(text="t", id_="1")]),
        retriever(retriever_mode="embedding", similarity_top_k=1),
        retriever(retriever_mode="embedding", similarity_top_k=2),
    )


def test_llamaindexs_query_engines_are_told_by_what_is_in_them() -> None:
    found = demand_told_apart(
        index,
        query_engine(),
        query_engine(similarity_top_k=1),
        query_engine(response_mode="refine"),
        query_engine(response_mode="no_text"),
        query_engine(filters=filters(1)),
        query_engine(node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=0.9)]),
    )
    assert found == {
        "retriever": {"similarity_top_k": 2, "vector_store_query_mode": "default"},
        "response_synthesizer": "CompactAndRefine",
        "node_postprocessors": [],
    }


@pytest.mark.parametrize("mode", ["context", "condense_question", "condense_plus_context", "simple"])
def test_llamaindexs_chat_engines_are_told_by_what_is_in_them(mode: str) -> None:
    others = [] if mode == "simple" else [chat_engine(chat_mode=mode, similarity_top_k=1)]
    if mode != "condense_question":
        others.append(chat_engine(chat_mode=mode, system_prompt="be rude"))
    demand_told_apart(index, chat_engine(chat_mode=mode), *others)


class Mine(LlamaRetriever):
    """A retriever of a user's own, which counts its calls."""

    def __init__(self, most: int = 1, api_key: str = "not to be seen") -> None:
        self._most = most
        self.api_key = api_key
        self.calls = 0
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.calls += 1
        return [NodeWithScore(node=TextNode(id_="1", text="a"), score=1.0)] * self._most


def test_a_retriever_of_ones_own_is_told_by_what_it_was_made_with() -> None:
    def twice(target: Any) -> Any:
        return [target.retrieve("x"), target.retrieve("x")]

    session = recorded(Mine, twice)
    assert [each.arguments["self"] for each in session.actions] == [{"most": 1}] * 2
    with replaykit.play(session), pytest.raises(NoMatchError):
        twice(replaykit.wrap(Mine(most=2), store=":memory:"))
    with replaykit.play(session):
        twice(replaykit.wrap(Mine(), store=":memory:"))


def test_a_wrapped_retriever_within_an_engine_counts_as_itself() -> None:
    def engine(target: Any) -> Any:
        return RetrieverQueryEngine.from_args(target.as_retriever(similarity_top_k=2))

    recorder = replaykit.Recorder(":memory:")
    with recorder.session() as session:
        recorder.wrap(engine(recorder.wrap(index()))).query("x")
    with replaykit.play(session.result):
        replaykit.wrap(engine(index()), store=":memory:").query("x")


def test_retrievers_within_a_retriever_count() -> None:
    def fused(most: int) -> Made:
        return lambda: QueryFusionRetriever([Mine(most), Mine(1)], num_queries=1, use_async=False)

    session = recorded(fused(1), lambda target: target.retrieve("x"))
    assert settings_of(session)["retrievers"] == [{"most": 1}, {"most": 1}]
    with replaykit.play(session), pytest.raises(NoMatchError):
        replaykit.wrap(fused(2)(), store=":memory:").retrieve("x")
    with replaykit.play(session):
        replaykit.wrap(fused(1)(), store=":memory:").retrieve("x")
