"""Programs on the real libraries, run without a change to them."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from running.programs import Outcome, Program, script

import replaykit

pytestmark = pytest.mark.libraries

CHROMA = """
import os
os.environ["ANONYMIZED_TELEMETRY"] = "False"
import chromadb

client = chromadb.PersistentClient("store")
notes = client.get_or_create_collection("notes", embedding_function=None)
notes.add(ids=["a", "b"], documents=["Paris", "Rome"], embeddings=[[1.0, 0.0], [0.0, 1.0]])
notes.upsert(ids=["c"], documents=["Oslo"], embeddings=[[1.0, 1.0]], metadatas=[{"n": 1}])
print(notes.query(query_embeddings=[[1.0, 0.1]], n_results=2))
print(notes.get(ids=["c"]), notes.count(), client.get_collection("notes", embedding_function=None).peek())
notes.delete(ids=["a"])
print(notes.count(), [each.name for each in client.list_collections()])
client.get_collection("nobody")
"""

LANGCHAIN = """
import asyncio
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore

store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))

@tool
def word_count(text: str) -> int:
    "Count the words of a text."
    return len(text.split())

print(store.add_texts(["Paris", "Rome", "Oslo"], ids=["a", "b", "c"]))
chain = store.as_retriever(search_kwargs={"k": 2}) | RunnableLambda(lambda found: [each.id for each in found])
print(chain.invoke("Rome"), asyncio.run(chain.ainvoke("Paris")), chain.batch(["Rome", "Oslo"]))
print(word_count.invoke({"text": "two words"}), store.similarity_search("Rome", k=1))
"""

LANCEDB = """
import lancedb

table = lancedb.connect("store").create_table("notes", [{"id": 1, "text": "Paris", "vector": [1.0, 0.0]}])
table.add([{"id": 2, "text": "Rome", "vector": [0.0, 1.0]}])
print(table.search([1.0, 0.1]).limit(1).to_list(), table.count_rows())
table.delete("id = 1")
print([row["text"] for row in lancedb.connect("store").open_table("notes").search([1.0, 0.1]).to_list()])
"""

QDRANT = """
from qdrant_client import QdrantClient, models

client = QdrantClient(path="store")
client.create_collection("notes", models.VectorParams(size=2, distance=models.Distance.DOT))
client.upsert("notes", [models.PointStruct(id=1, vector=[1.0, 0.0], payload={"text": "Paris"})])
client.upsert("notes", [models.PointStruct(id=2, vector=[0.0, 1.0], payload={"text": "Rome"})])
print(client.query_points("notes", [1.0, 0.1], limit=1).points, client.count("notes").count)
client.delete("notes", [1])
print([point.payload for point in client.retrieve("notes", [1, 2])], client.scroll("notes")[0])
client.close()
"""

LANGGRAPH = """
import asyncio
from langgraph.store.memory import InMemoryStore

store = InMemoryStore()
store.put(("users", "1"), "likes", {"text": "Rome"})
print(store.get(("users", "1"), "likes").value, [item.key for item in store.search(("users",))])
print(asyncio.run(store.aget(("users", "1"), "nothing")))
store.delete(("users", "1"), "likes")
print(store.search(("users",)))
"""


MEMVID = """
import os

os.environ.update(MEMVID_TELEMETRY="0", MEMVID_OFFLINE="1")
import memvid_sdk
from memvid_sdk import use
memory = memvid_sdk.create("notes.mv2", enable_vec=False, enable_lex=True)
print(memory.put(title="France", label="geo", metadata={}, text="Paris is the capital of France."))
print(len(memory.put_many([{"title": "Italy", "label": "geo", "text": "Rome is the capital of Italy."}])))
# Which of two that fit as well comes first is another in each process.
print(sorted(hit["title"] for hit in memory.find("capital", k=2)["hits"]))
print(memory.ask("capital of France", context_only=True)["question"])
print(len(memory.timeline()), memory.stats()["frame_count"])
memory.close()
with use("basic", "notes.mv2", mode="open") as again:
    print([hit["title"] for hit in again.find("Rome")["hits"]], again.path.endswith("notes.mv2"))
    again.remove(0)
use("basic", "nothing.mv2", mode="open")
"""

LLAMA_INDEX = """
import asyncio
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter

class Letters(BaseEmbedding):
    def _get_text_embedding(self, text):
        return [1.0, *(float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz")]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)

splitter = SentenceSplitter(id_func=lambda number, document: f"{document.id_}-{number}")
index = VectorStoreIndex([], embed_model=Letters(), transformations=[splitter])
for name, text in {"paris": "Paris is in France", "rome": "Rome is in Italy"}.items():
    index.insert(Document(text=text, id_=name))
retriever = index.as_retriever(similarity_top_k=1)
print([each.node.id_ for each in retriever.retrieve("Rome")])
print([each.node.id_ for each in asyncio.run(retriever.aretrieve("Paris"))])
engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=1)
answer = engine.query("Rome in Italy")
print(answer.response, [each.node.id_ for each in answer.source_nodes])
chat = index.as_chat_engine(llm=MockLLM(), chat_mode="context", memory=ChatMemoryBuffer.from_defaults(llm=MockLLM()))
print(chat.chat("Paris?").response)
index.delete_ref_doc("rome", delete_from_docstore=True)
print([each.node.id_ for each in retriever.retrieve("Rome")])
"""


def run(program: Program, tmp_path: Path, *before: str, **variables: str) -> Outcome:
    """Run a program in a folder that holds no store."""
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    (tmp_path / "work").mkdir()
    return program.run(tmp_path / "work", *before, **variables)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (
            CHROMA,
            {"add": 1, "upsert": 1, "query": 1, "get": 1, "count": 2, "peek": 1, "delete": 1}
            | {"get_or_create_collection": 1, "get_collection": 2, "list_collections": 1},
        ),
        (
            LANCEDB,
            {"create_table": 1, "open_table": 1, "add": 1, "delete": 1, "count_rows": 1, "search.to_list": 2},
        ),
        (
            QDRANT,
            {
                "create_collection": 1,
                "upsert": 2,
                "query_points": 1,
                "count": 1,
                "delete": 1,
                "retrieve": 1,
                "scroll": 1,
            },
        ),
        (LANGGRAPH, {"put": 1, "get": 1, "aget": 1, "search": 2, "delete": 1}),
        (LANGCHAIN, {"add_texts": 1, "invoke": 3, "ainvoke": 1, "word_count": 1, "similarity_search": 1}),
        (
            MEMVID,
            {"create": 1, "use": 2, "put": 1, "put_many": 1, "find": 2, "ask": 1}
            | {"timeline": 1, "stats": 1, "remove": 1},
        ),
        (LLAMA_INDEX, {"insert": 2, "retrieve": 2, "aretrieve": 1, "query": 1, "chat": 1, "delete_ref_doc": 1}),
    ],
    ids=["chroma", "lancedb", "qdrant", "langgraph", "langchain", "memvid", "llama-index"],
)
def test_a_program_is_recorded_and_plays_with_its_store_gone(text: str, calls: dict[str, int], tmp_path: Path) -> None:
    """It shows the same in all three runs, its uncaught exception included."""
    agent = script(text)

    plain = run(agent, tmp_path)
    recorded = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/")
    with replaykit.load(tmp_path / "runs") as recording:
        session = recording.get_session()
        found = Counter(action.name for action in session.actions if action.parent is None)
    played = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", "--play", "last")

    assert recorded == plain
    assert found == calls
    assert (played.status, played.out) == (plain.status, plain.out)
    assert played.err.splitlines()[-1:] == plain.err.splitlines()[-1:]
    assert os.listdir(tmp_path / "runs")
