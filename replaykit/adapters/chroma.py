"""
Chroma: clients and their collections, also the asynchronous ones.

A collection can be read and filled: in pages, and by deleting and adding
what differs; nothing is embedded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import attrs

from replaykit.adapters.differences import difference
from replaykit.model import FrameId, StoredFrame
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER", "ChromaFrames"]

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


# -- what its classes are ---------------------------------------------------------

_MODEL_FIELDS = ("id", "name", "metadata", "tenant", "database", "configuration_json")


def _collection_fields(value: Any) -> Any:
    """Return what is stored of a collection, or of each in a list: what it is, not what it holds."""
    if isinstance(value, (list, tuple)):
        return [_collection_fields(item) for item in value]
    return {name: getattr(value, name) for name in _MODEL_FIELDS}


def _collection_of(value: Any) -> Any:
    """Return a collection with no server behind it: a play answers its recorded calls."""
    from chromadb.api.models.Collection import Collection

    return _detached(value, Collection)


def _async_collection_of(value: Any) -> Any:
    from chromadb.api.models.AsyncCollection import AsyncCollection

    return _detached(value, AsyncCollection)


def _detached(value: Any, collection: Any) -> Any:
    from chromadb.types import Collection as Model

    if isinstance(value, list):
        return [_detached(item, collection) for item in value]
    fields = {name: value[name] for name in _MODEL_FIELDS}
    model: Any = Model(**fields, serialized_schema=None, dimension=None)
    return collection(client=None, model=model, embedding_function=None)


def _client(collection_of: Any) -> MethodMap:
    # What computes embeddings and loads data is the program's; it does not
    # tell one collection from another.
    row = Operation(
        kind="tool",
        derives=True,
        freeze=_collection_fields,
        thaw=collection_of,
        omits=("embedding_function", "data_loader"),
    )
    collections = "create_collection get_collection get_collection_by_id get_or_create_collection list_collections"
    return MethodMap(
        operations={
            **dict.fromkeys(collections.split(), row),
            **dict.fromkeys(("count_collections", "delete_collection", "reset"), "tool"),
        },
        ignored=(
            "clear_system_cache close from_system get_max_batch_size get_settings get_user_identity get_version "
            "heartbeat set_database set_tenant create from_system_async"
        ),
        essential="create_collection get_collection get_or_create_collection",
    )


def _collection(collection_of: Any) -> MethodMap:
    fork = Operation(kind="tool", derives=True, freeze=_collection_fields, thaw=collection_of)
    read = Operation(kind="find", ids="result.ids")
    return MethodMap(
        operations={
            **dict.fromkeys(("add", "upsert"), Operation(kind="put_many", ids="arguments.ids")),
            "update": Operation(kind="update", ids="arguments.ids"),
            "delete": Operation(kind="delete", ids="arguments.ids"),
            "query": Operation(kind="find", query="arguments.query_texts", k="arguments.n_results", ids="result.ids"),
            "search": read,
            "get": read,
            "peek": read,
            "count": Operation(kind="find", count="result", ids="result.none"),
            "modify": "tool",
            "fork": fork,
        },
        # Its id is another one in each run.
        settings="name",
        ignored="fork_count get_indexing_status attach_function get_attached_function detach_function",
        essential="add upsert update delete query get count",
        frames=ChromaFrames,
    )


ADAPTER = Adapter(
    classes={
        "chromadb.api.client.Client": _client(_collection_of),
        "chromadb.api.async_client.AsyncClient": _client(_async_collection_of),
        "chromadb.api.models.Collection.Collection": _collection(_collection_of),
        "chromadb.api.models.AsyncCollection.AsyncCollection": attrs.evolve(
            _collection(_async_collection_of), frames=None
        ),
    }
)
