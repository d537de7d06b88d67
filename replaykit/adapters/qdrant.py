"""
Qdrant: its client, synchronous and asynchronous, on a server, on disk or in memory.

What goes around the client is not recorded: ``http``, ``rest`` and the
``grpc_*`` properties hand out what is generated from Qdrant's interface.  Of
points that come from a generator only that they came is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

# The first argument is the collection's name: neither query, content nor id may be guessed.
_NOWHERE = "arguments.none"

# A vector is no query text; a text that the server embeds is one.
_QUERY = (
    "arguments.query_text | arguments.query_texts | arguments.query.nearest.text | arguments.query.nearest | "
    "arguments.query.text | arguments.query"
)


def _find(ids: str = "result.*.id", query: str = _NOWHERE, count: str | None = None) -> Operation:
    return Operation(kind="find", query=query, ids=ids, count=count)


def _written(kind: str, ids: str) -> Operation:
    return Operation(kind=kind, content=_NOWHERE, ids=ids)


def _batch_ids(arguments: Mapping[str, Any], _result: Any) -> list[Any]:
    """Return the ids of a batch of writes, each of which has one part: points, ids of points, or a filter."""
    found: list[Any] = []
    for write in arguments["update_operations"]:
        (part,) = vars(write).values()
        points = part.batch.ids if hasattr(part, "batch") else getattr(part, "points", None)
        found += [getattr(point, "id", point) for point in points or ()]
    return found


def _each(names: str, row: str | Operation) -> dict[str, str | Operation]:
    return dict.fromkeys(names.split(), row)


# Also those that releases before 1.16 had.
_FINDS = {
    **_each("query_points search recommend discover query", _find("result.points.*.id | result.*.id", _QUERY)),
    **_each(
        "query_batch_points search_batch recommend_batch discover_batch query_batch",
        _find("result.*.points.*.id | result.*.*.id", _QUERY),
    ),
    **_each("query_points_groups search_groups recommend_groups", _find("result.groups.*.hits.*.id", _QUERY)),
    "retrieve": Operation(kind="find", by_id=True, ids="arguments.ids"),
    "scroll": _find("result.0.*.id"),
    "count": _find(_NOWHERE, count="result.count"),
    "facet": _find(_NOWHERE),
    "search_matrix_offsets": _find("result.ids"),
    "search_matrix_pairs": _find(_NOWHERE),
}

_POINTS = "arguments.points.points | arguments.points"

_WRITES = {
    **_each("upsert upload_points", _written("put_many", "arguments.points.*.id | arguments.points.ids")),
    "upload_collection": _written("put_many", "arguments.ids"),
    "upload_records": _written("put_many", "arguments.records.*.id"),
    "add": _written("put_many", "result"),
    "delete": _written("delete", "arguments.points_selector.points | arguments.points_selector"),
    "clear_payload": _written("update", "arguments.points_selector.points | arguments.points_selector"),
    **_each("set_payload overwrite_payload delete_payload delete_vectors", _written("update", _POINTS)),
    "update_vectors": _written("update", "arguments.points.*.id"),
    # Writes of any kind, so it is of none.
    "batch_update_points": Operation(kind="tool", ids=_batch_ids),
}

_TOOLS = _each(
    "create_collection update_collection delete_collection recreate_collection get_collection get_collections "
    "collection_exists update_collection_aliases get_aliases get_collection_aliases create_payload_index "
    "delete_payload_index create_vector_name delete_vector_name create_snapshot delete_snapshot list_snapshots "
    "recover_snapshot create_full_snapshot delete_full_snapshot list_full_snapshots create_shard_snapshot "
    "delete_shard_snapshot list_shard_snapshots recover_shard_snapshot create_shard_key delete_shard_key "
    "list_shard_keys cluster_collection_update cluster_status cluster_telemetry collection_cluster_info "
    "get_optimizations recover_current_peer remove_peer info get_locks lock_storage unlock_storage migrate",
    "tool",
)

_CLIENT = MethodMap(
    operations={**_FINDS, **_WRITES, **_TOOLS},
    ignored=(
        "close get_embedding_size list_image_models list_late_interaction_multimodal_models "
        "list_late_interaction_text_models list_sparse_models list_text_models set_model set_sparse_model "
        "get_fastembed_vector_params get_fastembed_sparse_vector_params get_vector_field_name "
        "get_sparse_vector_field_name"
    ),
)

ADAPTER = Adapter(
    classes={
        "qdrant_client.qdrant_client.QdrantClient": _CLIENT,
        "qdrant_client.async_qdrant_client.AsyncQdrantClient": _CLIENT,
    }
)
