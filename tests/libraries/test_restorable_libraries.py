"""The contract of stores that can be put back, on LangChain's, Chroma's and memvid's; and a whole round with each."""

from __future__ import annotations

import os

# Both libraries report home by default; the tests run offline.
os.environ.update(ANONYMIZED_TELEMETRY="False", MEMVID_TELEMETRY="0", MEMVID_OFFLINE="1")

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromadb
import memvid_sdk
import pytest
from langchain_core.vectorstores.in_memory import InMemoryVectorStore

import replaykit
from replaykit import StoredFrame
from replaykit.adapters.chroma import ChromaFrames
from replaykit.adapters.langchain import InMemoryFrames
from replaykit.adapters.memvid import MemvidFrames
from replaykit.errors import RestoreError
from replaykit.protocols import Restorable
from replaykit.testing.restorables import SAMPLES, RestorableContract

pytestmark = [
    pytest.mark.libraries,
    # What the libraries themselves warn of is theirs.
    pytest.mark.filterwarnings("default"),
]


def embedded(text: str) -> list[float]:
    """Return three numbers that depend on *text* only."""
    number = int.from_bytes(text.encode()[-4:], "big")
    return [len(text) / 7, number % 1009 / 3, number % 31 + 1.0]


class Refusing:
    """An embedding that must not be asked: vectors come back, they are not made again."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("embedded again")

    def embed_query(self, text: str) -> list[float]:
        return embedded(text)


class Embedding(Refusing):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return list(map(embedded, texts))


class ChromaEmbedding(chromadb.EmbeddingFunction):
    def __init__(self) -> None:
        pass

    def __call__(self, input: list[str]) -> list[list[float]]:
        return list(map(embedded, input))

    @staticmethod
    def name() -> str:
        return "three-numbers"

    def get_config(self) -> dict[str, Any]:
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> ChromaEmbedding:
        return ChromaEmbedding()


@pytest.fixture(scope="module")
def chroma() -> Any:
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    return chromadb.EphemeralClient(settings)


_numbers = itertools.count()


def collection(client: Any) -> Any:
    return client.create_collection(f"notes-{next(_numbers)}", embedding_function=ChromaEmbedding())


def everything(store: Any) -> dict[str, Any]:
    """Return what a collection holds by id; vectors to three digits, since Chroma keeps single precision."""
    found = store.get(include=["documents", "metadatas", "embeddings"])
    vectors = [rounded(vector) for vector in found["embeddings"]]
    return dict(zip(found["ids"], zip(found["documents"], found["metadatas"], vectors, strict=True), strict=True))


def rounded(vector: Any) -> list[float]:
    return [round(float(number), 3) for number in vector]


class TestInMemoryVectorStore(RestorableContract):
    samples = tuple(
        StoredFrame(id=each.id, text=each.text, metadata=each.metadata, vector=embedded(str(each.text)))
        for each in SAMPLES
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Restorable]:
        return lambda: InMemoryFrames(InMemoryVectorStore(Refusing()))


class TestChroma(RestorableContract):
    samples = (
        *(
            StoredFrame(
                # Chroma keeps vectors in single precision.
                id=each.id,
                text=each.text,
                metadata=each.metadata,
                vector=(0.5, at, 1.0),
            )
            for at, each in enumerate(SAMPLES)
        ),
        StoredFrame(id="bare", uri="file:///x", vector=(0.25, 0.5, 0.75)),
    )

    @pytest.fixture
    def fresh(self, chroma: Any) -> Callable[[], Restorable]:
        return lambda: ChromaFrames(collection(chroma))


class TestMemvid(RestorableContract):
    keeps_ids = False
    samples = (
        StoredFrame(id=10, text="Paris is the capital of France.", title="France", metadata={"rank": 1, "by": ["x"]}),
        StoredFrame(id=11, text="Rome is the capital of Italy.", title="Italy", uri="doc://italy", metadata={"s": "1"}),
        StoredFrame(id=12, text="Zürich ist keine Hauptstadt, 東京 はそうです。", title="title: odd"),
    )

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Iterator[Callable[[], Restorable]]:
        made: list[Any] = []

        def fresh() -> Restorable:
            made.append(memvid_sdk.create(str(tmp_path / f"{len(made)}.mv2")))
            return MemvidFrames(made[-1])

        yield fresh
        for memory in made:
            memory.close()

    def shown(self, frame: StoredFrame) -> tuple[Any, ...]:
        own = {key: value for key, value in frame.metadata.items() if key != "memvid"}
        return frame.text, frame.title, frame.uri, own, frame.vector


# -- a whole round ----------------------------------------------------------------------


def test_langchain_comes_back_as_it_was() -> None:
    """Found by its type; ids, metadata and vectors as they were, so searches give what they gave."""
    store: Any = InMemoryVectorStore(Embedding())
    wrapped = replaykit.wrap(store, store=":memory:", operations={"add_texts": "put_many"}, frames=True)
    with wrapped.session() as session:
        ids = wrapped.add_texts(["Paris", "Rome, the city"], metadatas=[{"n": 1}, {"n": (2,)}])
        before = store.similarity_search_with_score("Rome", k=2)
        session.checkpoint()
        store.delete([ids[0]])
        store.add_texts(["Berlin"])
    (checkpoint,) = session.result.checkpoints
    fresh: Any = InMemoryVectorStore(Refusing())

    assert list(checkpoint.snapshot.frame_ids) == ids
    assert wrapped.restore(checkpoint).is_exact
    assert wrapped.restore(checkpoint, into=fresh).is_exact
    assert store.similarity_search_with_score("Rome", k=2) == before
    assert fresh.similarity_search_with_score("Rome", k=2) == before
    with wrapped.at(checkpoint) as memory:
        assert [hit.text for hit in memory.find("paris")] == ["Paris"]


def test_chroma_comes_back_as_it_was(chroma: Any) -> None:
    """In pages of 500: documents, metadata and embeddings, merged with nothing that was there."""
    store = collection(chroma)
    ids = [str(number) for number in range(1201)]
    wrapped = replaykit.wrap(store, store="runs/", operations={"add": "put_many", "query": "find"}, frames=True)
    with wrapped.session() as session:
        wrapped.add(
            ids=ids, documents=[f"text {each}" for each in ids], metadatas=[{"n": int(each), "f": 0.1} for each in ids]
        )
        before = everything(store)
        session.checkpoint()
        store.delete(ids=ids[:600])
        store.update(ids=["700"], metadatas=[{"more": "x"}], documents=["changed"])
        store.add(ids=["new"], documents=["new"])
    (checkpoint,) = session.result.checkpoints
    fresh = collection(chroma)

    assert sorted(checkpoint.snapshot.frame_ids) == sorted(ids)
    assert wrapped.restore(checkpoint).is_exact
    assert wrapped.restore(checkpoint, into=fresh).is_exact
    assert everything(store) == everything(fresh) == before
    assert before["700"] == ("text 700", {"n": 700, "f": 0.1}, rounded(embedded("text 700")))
    assert fresh.query(query_embeddings=[embedded("text 77")], n_results=1)["documents"] == [["text 77"]]
    assert [path.name for path in Path("runs").glob("frames-*.mv")] == [f"frames-{store.name}.mv"]
    replaykit.recorder_of(wrapped).close()


def test_chroma_that_refuses_is_put_back(chroma: Any) -> None:
    """A collection of another dimension takes nothing of it, and is empty as before."""
    store, other = collection(chroma), collection(chroma)
    other.add(ids=["x"], embeddings=[[1.0, 2.0]], documents=["two numbers"])
    other.delete(ids=["x"])
    wrapped = replaykit.wrap(store, store=":memory:", operations={"add": "put"}, frames=True)
    with wrapped.session() as session:
        wrapped.add(ids=["a"], documents=["three numbers"])
        session.checkpoint()

    with pytest.raises(RestoreError, match="it is empty as before"):
        wrapped.restore(session.result.checkpoints[0], into=other)


def test_memvid_comes_back_under_new_ids(tmp_path: Path) -> None:
    """What was not touched keeps its id; long texts, kinds, labels, tags and times come back."""
    store = memvid_sdk.create(str(tmp_path / "a.mv2"))
    wrapped = replaykit.wrap(store, store="runs.rpk", operations={"put": "put", "remove": "delete"}, frames=True)
    long = " ".join(f"Sentence number {number} about topic{number}." for number in range(200))
    with wrapped.session() as session:
        first = int(wrapped.put(text="Paris is in France.", title="France", label="a", labels=["b"], tags=["t"]))
        second = int(wrapped.put(text=long, title="Long", kind="note", track="x", timestamp=1_700_000_000))
        session.checkpoint()
        wrapped.remove(second)
        wrapped.put(text="Later.", title="Later")
    (checkpoint,) = session.result.checkpoints
    before = {frame.id: frame for frame in MemvidFrames(store).frames()}
    assert sorted(checkpoint.snapshot.frame_ids) == [first, second]

    done = wrapped.restore(checkpoint)

    after = {frame.id: frame for frame in MemvidFrames(store).frames()}
    assert list(done.new_ids) == [second]
    assert not done.is_exact
    assert after[first] == before[first]
    assert set(after) == {first, done.new_ids[second]}
    restored = after[done.new_ids[second]]
    assert (restored.text, restored.title) == (long, "Long")
    assert restored.metadata["memvid"] == {
        "kind": "note",
        "track": "x",
        "timestamp": 1_700_000_000,
        "labels": restored.metadata["memvid"]["labels"],
        **({"tags": tags} if (tags := restored.metadata["memvid"].get("tags")) else {}),
    }
    fresh = memvid_sdk.create(str(tmp_path / "b.mv2"))
    assert len(wrapped.restore(checkpoint, into=fresh).new_ids) == 2
    with replaykit.open(":memory:") as memory:
        wrapped.restore(checkpoint, into=memory)
        assert [hit.title for hit in memory.find("topic77")] == ["Long"]
    assert Path("runs.rpk.frames-a.mv2.mv").exists()
    replaykit.recorder_of(wrapped).close()
    store.close()
    fresh.close()
