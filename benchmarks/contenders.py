"""The memories that ``memory.py`` compares, each used as its own manual says, and all without a network."""

from __future__ import annotations

import contextvars
import importlib.util
import os
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

import replaykit

# Read by the peers when they are imported.
os.environ |= {"MEMVID_TELEMETRY": "0", "ANONYMIZED_TELEMETRY": "False"}


class Opened(Protocol):
    """A fresh memory; whatever was put is found at once."""

    def put(self, text: str) -> None: ...

    def put_many(self, texts: Sequence[str]) -> None: ...

    def find(self, query: str) -> list[str]:
        """Return the texts, or their beginnings, of the best ten."""

    def count(self) -> int: ...

    def close(self) -> None: ...


@attrs.frozen
class Contender:
    """A memory by name; *at_once* is the longest list that its put_many is given."""

    name: str
    open: Callable[[Path], Opened]
    at_once: int = 10_000
    is_peer: bool = True


class _Replaykit:
    def __init__(self, folder: Path) -> None:
        self.memory = replaykit.open(folder / "notes.mv")

    def put(self, text: str) -> None:
        self.memory.put(text)

    def put_many(self, texts: Sequence[str]) -> None:
        self.memory.put_many(texts)

    def find(self, query: str) -> list[str]:
        return [hit.text for hit in self.memory.find(query)]

    def count(self) -> int:
        return len(self.memory)

    def close(self) -> None:
        self.memory.close()


class _Recorded(_Replaykit):
    """The same inside an open session, which takes in no call of the others."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._calls = 0
        # The other memory's calls are meant to run beside the session.
        warnings.simplefilter("ignore", replaykit.errors.ReplaykitWarning)
        self._session = self.memory.session("measured", adopt=False)
        self._context = contextvars.copy_context()
        self._context.run(self._session.__enter__)

    def put(self, text: str) -> None:
        self._calls += 1
        self._context.run(super().put, text)

    def put_many(self, texts: Sequence[str]) -> None:
        self._calls += 1
        self._context.run(super().put_many, texts)

    def find(self, query: str) -> list[str]:
        self._calls += 1
        return self._context.run(super().find, query)

    def close(self) -> None:
        self._context.run(self._session.__exit__, None, None, None)
        session = self._session.result
        assert session is not None
        kept, lost = len(session.actions), session.lost
        super().close()
        if lost or kept != self._calls:
            raise SystemExit(f"{kept} of {self._calls} actions were recorded, {lost} lost")


class _Memvid:
    def __init__(self, folder: Path) -> None:
        import memvid_sdk

        self._memory = memvid_sdk.create(str(folder / "notes.mv2"), enable_lex=True, enable_vec=False)

    def put(self, text: str) -> None:
        self._memory.put(text=text, title="", enable_embedding=False, auto_tag=False, extract_dates=False)

    def put_many(self, texts: Sequence[str]) -> None:
        self._memory.put_many([{"title": "", "label": "text", "text": text} for text in texts])

    def find(self, query: str) -> list[str]:
        found: dict[str, Any] = self._memory.find(query, k=10, mode="lex")
        return [hit["snippet"] for hit in found["hits"]]

    def count(self) -> int:
        return int(self._memory.stats()["frame_count"])

    def close(self) -> None:
        self._memory.close()


def _bag_of_words(text: str) -> list[float]:
    # A model would take milliseconds for each text; this costs next to nothing.
    vector = [0.0] * 64
    for word in text.lower().split():
        vector[zlib.crc32(word.encode()) % 64] += 1.0
    return vector


class _Chroma:
    def __init__(self, folder: Path) -> None:
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        self._texts = client.create_collection("texts", embedding_function=None)
        self._next = 0

    def put(self, text: str) -> None:
        self.put_many([text])

    def put_many(self, texts: Sequence[str]) -> None:
        ids = [str(number) for number in range(self._next, self._next + len(texts))]
        self._next += len(texts)
        self._texts.add(ids=ids, documents=list(texts), embeddings=[_bag_of_words(text) for text in texts])

    def find(self, query: str) -> list[str]:
        found = self._texts.query(query_embeddings=[_bag_of_words(query)], n_results=10)
        return list((found["documents"] or [[]])[0])

    def count(self) -> int:
        return int(self._texts.count())

    def close(self) -> None:
        return


def contenders() -> list[Contender]:
    """Return ours and those peers that are installed (``pip install -e '.[bench]'``)."""
    found = [
        Contender("replaykit", _Replaykit, is_peer=False),
        Contender("replaykit, recorded", _Recorded, is_peer=False),
    ]
    if importlib.util.find_spec("memvid_sdk"):
        found.append(Contender("memvid-sdk (words)", _Memvid))
    if importlib.util.find_spec("chromadb"):
        found.append(Contender("chromadb (vectors)", _Chroma, at_once=5_000))
    return found
