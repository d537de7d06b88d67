"""
Mem0: its memories and the clients of its service, also the asynchronous ones.

What a model makes of the messages that are added is part of the call: a play
asks no model.
"""

from __future__ import annotations

from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

# The service had answered with a bare list; neither a user's id nor a filter is a query, an id or a content.
_RESULTS = "result.results.*.id | result.*.id"
_NONE = "arguments.none"


def _tools(names: str) -> dict[str, str | Operation]:
    return dict.fromkeys(names.split(), "tool")


_OPERATIONS: dict[str, str | Operation] = {
    "add": Operation(kind="put_many", content="arguments.messages", ids=_RESULTS),
    "search": Operation(kind="find", query="arguments.query", k="arguments.top_k | arguments.limit", ids=_RESULTS),
    "get_all": Operation(kind="find", query=_NONE, k="arguments.top_k | arguments.limit", ids=_RESULTS),
    **dict.fromkeys(("get", "history"), Operation(kind="find", by_id=True, ids="arguments.memory_id")),
    "update": Operation(kind="update", content="arguments.text | arguments.data", ids="arguments.memory_id"),
    "delete": Operation(kind="delete", ids="arguments.memory_id"),
    # Which ones went is not told.
    **dict.fromkeys(("delete_all", "reset"), Operation(kind="delete", ids=_NONE)),
}

_MEMORY = MethodMap(operations=_OPERATIONS, ignored="close from_config")

_CLIENT = MethodMap(
    operations={
        **_OPERATIONS,
        "batch_update": Operation(kind="update", content=_NONE, ids="arguments.memories.*.memory_id"),
        "batch_delete": Operation(kind="delete", ids="arguments.memories.*.memory_id"),
        "users": Operation(kind="find", query=_NONE, ids=_NONE),
        "delete_users": Operation(kind="delete", ids=_NONE),
        **_tools(
            "create_memory_export create_webhook delete_webhook feedback generate_profile get_memory_export "
            "get_profile get_profile_job get_profile_settings get_project get_summary get_webhooks "
            "sample_profiles update_profile_settings update_project update_webhook"
        ),
    }
)

ADAPTER = Adapter(
    classes={
        "mem0.memory.main.Memory": _MEMORY,
        "mem0.memory.main.AsyncMemory": _MEMORY,
        "mem0.client.main.MemoryClient": _CLIENT,
        "mem0.client.main.AsyncMemoryClient": _CLIENT,
    }
)
