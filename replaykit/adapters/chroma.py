"""Chroma collections: read in pages, put back by deleting and adding what differs; nothing is embedded again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from replaykit.adapters.differences import difference
from replaykit.model import FrameId, StoredFrame

__all__ = ["ChromaFrames"]

_PAGE = 500
_PARTS = ("documents", "metadatas", "embeddings", "uris")


class ChromaFrames:
    """
    The content of a Chroma collection: ids, documents, metadata, uris and embeddings come back as they were.

    What other clients write while it is read or filled may be missed or kept.
    """

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    @property
    def name(self) -> str:
        """The collection's name."""
        return str(self._collection.name)

    def frames(self) -> Iterator[StoredFrame]:
        """Yield the records as the collection lists them."""
        offset = 0
        while True:
            page = self._collection.get(limit=_PAGE, offset=offset, include=list(_PARTS))
            yield from _frames_of(page)
            if len(page["ids"]) < _PAGE:
                return
            offset += _PAGE

    def restore(self, frames: Iterable[StoredFrame]) -> None:
        """Make the collection hold exactly *frames*; records that are the same are not touched."""
        # An upsert would merge a record's metadata with what it had.
        changes = difference(self.frames(), frames)
        for ids in _pages(changes.going):
            self._collection.delete(ids=list(ids))
        # Chroma takes a column for all records of a call or for none of them.
        for has_vector in (True, False):
            coming = [frame for frame in changes.coming if (frame.vector is not None) == has_vector]
            for page in _pages(coming):
                self._collection.add(**_records_of(page))


def _frames_of(page: Any) -> Iterator[StoredFrame]:
    columns = [repeat(None) if page[part] is None else page[part] for part in _PARTS]
    for frame_id, document, metadata, vector, uri in zip(page["ids"], *columns, strict=False):
        yield StoredFrame(id=frame_id, text=document, metadata=metadata, vector=vector, uri=uri)


def _records_of(frames: Sequence[StoredFrame]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {
        "documents": [frame.text for frame in frames],
        "metadatas": [dict(frame.metadata) or None for frame in frames],
        "embeddings": [None if frame.vector is None else list(frame.vector) for frame in frames],
        "uris": [frame.uri for frame in frames],
    }
    given = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return {"ids": [frame.id for frame in frames], **given}


def _pages(items: Sequence[Any] | Sequence[FrameId]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), _PAGE):
        yield items[begin : begin + _PAGE]
