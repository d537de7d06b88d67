"""Programs on the real Chroma and LangChain, run without a change to them."""

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


def run(program: Program, tmp_path: Path, *before: str) -> Outcome:
    """Run a program in a folder that holds no store."""
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    (tmp_path / "work").mkdir()
    return program.run(tmp_path / "work", *before)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (
            CHROMA,
            {"add": 1, "upsert": 1, "query": 1, "get": 1, "count": 2, "peek": 1, "delete": 1}
            | {"get_or_create_collection": 1, "get_collection": 2, "list_collections": 1},
        ),
        (LANGCHAIN, {"add_texts": 1, "invoke": 3, "ainvoke": 1, "word_count": 1, "similarity_search": 1}),
    ],
    ids=["chroma", "langchain"],
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
