"""
LangGraph: stores of any provider, since all of them inherit from ``BaseStore``, and the thread of a checkpointer.

A frame's id is the key of an item, without its namespace.  What a checkpointer
keeps is not recorded, since a graph runs in a play, too; whose thread it is,
is in the session's metadata as ``thread_id``.
"""

from __future__ import annotations

from typing import Any

from replaykit.adapters.reviving import reviving
from replaykit.model import Structured
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

_ITEMS = ("langgraph.store.base.Item", "langgraph.store.base.SearchItem")
_FIELDS = ("namespace", "key", "value", "created_at", "updated_at", "score")
_thaw = reviving(*_ITEMS)


def _stored(result: Any) -> Any:
    """Return what is stored of a result: of each item its fields, as its class has none that are known to be its."""
    if isinstance(result, list):
        return [_stored(item) for item in result]
    name = f"{type(result).__module__}.{type(result).__qualname__}"
    if name not in _ITEMS:
        return result
    return Structured(name, {field: getattr(result, field) for field in _FIELDS if hasattr(result, field)})


def _both(name: str, row: Operation) -> dict[str, Operation]:
    """Return *row* for the method *name* and for its coroutine, which has an ``a`` before it."""
    return {name: row, f"a{name}": row}


# That no time to live is given is told by an object, which cannot be recorded.
_OMITTED = ("ttl",)
_NOWHERE = "arguments.none"

_STORE = MethodMap(
    operations={
        **_both("put", Operation(kind="put", content="arguments.value", ids="arguments.key", omits=_OMITTED)),
        **_both("get", Operation(kind="find", by_id=True, ids="arguments.key", freeze=_stored, thaw=_thaw)),
        **_both(
            "search", Operation(kind="find", query="arguments.query", ids="result.*.key", freeze=_stored, thaw=_thaw)
        ),
        **_both("delete", Operation(kind="delete", content=_NOWHERE, ids="arguments.key")),
        **_both("list_namespaces", Operation(kind="find", query=_NOWHERE, ids=_NOWHERE)),
        # Reads and writes in one call, so it is of no one kind.
        **_both(
            "batch",
            Operation(kind="tool", ids="arguments.ops.*.key | result.*.*.key", freeze=_stored, thaw=_thaw),
        ),
        **dict.fromkeys(("setup", "sweep_ttl"), Operation(kind="tool")),
    },
    ignored="from_conn_string start_ttl_sweeper stop_ttl_sweeper",
)

_WITH_A_THREAD = ("get", "get_tuple", "list", "put", "put_writes")
_THREAD = {"thread_id": "config.configurable.thread_id"}

_CHECKPOINTER = MethodMap(
    notes={f"{prefix}{name}": _THREAD for name in _WITH_A_THREAD for prefix in ("", "a")},
    composes="with_allowlist",
    ignored=(
        "from_conn_string setup get_next_version copy_thread acopy_thread delete_thread adelete_thread "
        "delete_for_runs adelete_for_runs prune aprune get_delta_channel_history aget_delta_channel_history"
    ),
)

ADAPTER = Adapter(
    classes={
        "langgraph.store.base.BaseStore": _STORE,
        "langgraph.checkpoint.base.BaseCheckpointSaver": _CHECKPOINTER,
    }
)
