"""
memvid-sdk: its memories, what their tools call, and the functions of the module that open them.

``wrap(memory)`` records a memory's calls; its ``session_*`` names are ours
then.  ``wrap(memvid_sdk)`` has ``use`` and ``create`` hand out memories that
are recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import attrs

from replaykit.adapters import memvid_sessions, memvid_tools
from replaykit.adapters.memvid_errors import recorded_error
from replaykit.adapters.memvid_frames import MemvidFrames
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER", "MemvidFrames"]

_OWN_URI = "mv2://frames/"


# -- which frames a call was about ----------------------------------------------------


@attrs.frozen
class _Growth:
    """How many frames a memory had before a call, and has now; those of a long document's chunks count."""

    core: Any
    count: int

    @classmethod
    def of(cls, memory: Any) -> _Growth:
        core = getattr(memory, "_core", memory)
        return cls(core, core.stats()["frame_count"])

    def added(self) -> list[int]:
        """Return the frames that came since; frames are numbered in the order in which they come."""
        return list(range(self.count, self.core.stats()["frame_count"]))


def _put_ids(_arguments: Mapping[str, Any], result: Any, growth: _Growth | None) -> list[int]:
    # Another thread's frames may have come meanwhile; the document's own is first in any case.
    frame_id = int(result)
    return [frame_id, *(each for each in (growth.added() if growth else ()) if each > frame_id)]


def _added_ids(_arguments: Mapping[str, Any], _result: Any, growth: _Growth | None) -> list[int]:
    # What it returns are numbers of memvid's log, not of frames.
    return growth.added() if growth is not None else []


def _removed_id(arguments: Mapping[str, Any], _result: Any) -> int:
    return int(arguments["frame_id"])


def _frame_id(_arguments: Mapping[str, Any], result: Any) -> int:
    return int(result["id"])


def _blob_id(arguments: Mapping[str, Any], _result: Any) -> Any:
    uri = arguments["uri"]
    with contextlib.suppress(ValueError):
        return int(uri.removeprefix(_OWN_URI))
    return uri


def _find_mode(arguments: Mapping[str, Any], result: Any) -> Any:
    return arguments.get("mode") or result["engine"]


def _length(_arguments: Mapping[str, Any], result: Any, *_growth: Any) -> int:
    return len(result)


# -- a memory ---------------------------------------------------------------------------

# Objects that embed and keys say nothing of what is asked; an object cannot be compared in a play.
_OMITTED = ("embedder", "api_key")

_PUT = Operation(kind="put", content="arguments.text|arguments.title.text", ids=_put_ids, before=_Growth.of)
_PUT_MANY = Operation(kind="put_many", ids=_added_ids, count=_length, before=_Growth.of, omits=_OMITTED)
_PUT_FILES = attrs.evolve(_PUT_MANY, count="result.frames_added")
_FACTS = Operation(kind="find", query="arguments.entity", ids="result.none")
_FIND = Operation(kind="find", query="arguments.query", k="arguments.k", mode=_find_mode, omits=_OMITTED)
_ASK = Operation(kind="ask", query="arguments.question", ids=memvid_tools.ask_ids, omits=_OMITTED)

_ADMINISTRATION = (
    "add_memory_cards apply_ticket commit commit_parallel current_ticket doctor enable_lex enable_vec enrich "
    "get_capacity get_memory_binding rebuild_time_index seal stats sync_tickets unbind_memory verify"
)

_OPERATIONS = {
    "put": _PUT,
    "correct": attrs.evolve(_PUT, content="arguments.statement"),
    "put_many": _PUT_MANY,
    "correct_many": _PUT_MANY,
    **dict.fromkeys(("put_file", "put_files"), _PUT_FILES),
    "put_pdf_tables": attrs.evolve(_PUT_MANY, count=None),
    "remove": Operation(kind="delete", ids=_removed_id),
    "find": _FIND,
    "ask": _ASK,
    "timeline": Operation(kind="find", query="arguments.none", ids="result.*.frame_id"),
    "state": attrs.evolve(_FACTS, ids="result.slots.*.source_frame_id"),
    "memories": attrs.evolve(_FACTS, ids="result.cards.*.source_frame_id", count="result.count"),
    **dict.fromkeys(("export_facts", "memories_stats", "memory_entities", "list_tables"), _FACTS),
    "get_table": attrs.evolve(_FACTS, query="arguments.table_id"),
    "frame": Operation(kind="find", by_id=True, ids=_frame_id),
    "blob": Operation(kind="find", by_id=True, ids=_blob_id),
    **dict.fromkeys(_ADMINISTRATION.split(), Operation(kind="tool", omits=("api_key", "ticket"))),
}

_MEMORY = MethodMap(
    operations={name: attrs.evolve(row, thaw_error=recorded_error) for name, row in _OPERATIONS.items()},
    essential=_OPERATIONS.keys(),
    takes_over={
        "session_start": memvid_sessions.session_start,
        "session_end": memvid_sessions.session_end,
        "session_list": memvid_sessions.session_list,
        "session_replay": memvid_sessions.session_replay,
        "session_delete": memvid_sessions.session_delete,
        "session_checkpoint": memvid_sessions.session_checkpoint,
        "close": memvid_sessions.close,
        "__exit__": memvid_sessions.leave,
        "tools": memvid_tools.tools,
        "functions": memvid_tools.functions,
        "nodes": memvid_tools.nodes,
        "as_query_engine": memvid_tools.as_query_engine,
    },
    frames=MemvidFrames,
)


# -- the module -------------------------------------------------------------------------


class _Absent:
    """What stands below a memory that a play handed out: there is no file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def path(self) -> str:
        """Return what the recorded one said."""
        return self._path

    def close(self) -> None:
        """There is nothing to close."""


def _described(memory: Any) -> dict[str, str]:
    return {"kind": memory._kind, "path": memory.path}


def _memory_of(described: Any) -> Any:
    """Return a memory with no file behind it: a play answers its recorded calls."""
    from memvid_sdk import Memvid

    return Memvid(kind=described["kind"], core=_Absent(described["path"]), attachments={})


_OPEN = Operation(
    kind="tool",
    derives=True,
    freeze=_described,
    thaw=_memory_of,
    thaw_error=recorded_error,
    omits=("apikey", "api_key", "memvid_api_key"),
)

_MODULE = MethodMap(
    operations=dict.fromkeys(("use", "create"), _OPEN),
    ignored=(
        "acl_context_from_scope acl_metadata_from_scope configure flush_analytics format_error_with_suggestion "
        "get_acl_scope_from_api_key get_config get_error_suggestion info is_telemetry_enabled lock lock_nudge lock_who "
        "reset_config resolve_memory unlock validate_config verify_single_file"
    ),
)

ADAPTER = Adapter(classes={"memvid_sdk.Memvid": _MEMORY}, modules={"memvid_sdk": _MODULE})
