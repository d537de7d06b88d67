"""LangChain's ``InMemoryVectorStore``: read from its dict and put back by exchanging it; nothing is embedded again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from replaykit.model import StoredFrame

__all__ = ["InMemoryFrames"]


class InMemoryFrames:
    """The content of an ``InMemoryVectorStore``: ids, texts, metadata and vectors come back as they were."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def frames(self) -> Iterator[StoredFrame]:
        """Yield the documents in the order in which they were added."""
        # Listed first: another thread may add one meanwhile.
        for document in list(self._store.store.values()):
            yield StoredFrame(
                id=document["id"],
                text=document["text"],
                metadata=document["metadata"],
                vector=document["vector"],
            )

    def restore(self, frames: Iterable[StoredFrame]) -> None:
        """Make the store hold exactly *frames*, all at once: when anything raises it is as it was."""
        self._store.store = {
            frame.id: {
                "id": frame.id,
                "vector": self._vector_of(frame),
                "text": frame.text,
                "metadata": dict(frame.metadata),
            }
            for frame in frames
        }

    def _vector_of(self, frame: StoredFrame) -> list[float]:
        if frame.vector is not None:
            return list(frame.vector)
        # It comes from a store that keeps its vectors to itself.
        (vector,) = self._store.embeddings.embed_documents([frame.text])
        return list(vector)
