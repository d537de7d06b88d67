"""
LangChain: vector stores, retrievers and tools of any provider, since all of them inherit from its classes.

``InMemoryVectorStore`` can be read and filled: from its dict, and by
exchanging it; nothing is embedded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from replaykit.adapters.plain_settings import NOT_PLAIN, fields_of, place_of, plain, settings_in, whole
from replaykit.adapters.reviving import reviving
from replaykit.model import StoredFrame
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER", "InMemoryFrames"]


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


# -- what its classes are ---------------------------------------------------------

_thaw = reviving(
    "langchain_core.documents.base.Document",
    "langchain_core.messages.tool.ToolMessage",
)

# What goes along with a call and does not change what it answers.
_OMITTED = (
    "config",
    "callbacks",
    "run_manager",
    "run_id",
    "run_name",
    "tags",
    "verbose",
    "color",
    "start_color",
)


_BASE_RETRIEVER = "langchain_core.retrievers.BaseRetriever"
_BASE_STORE = "langchain_core.vectorstores.base.VectorStore"

# What names, traces or reports a call.
_NO_SETTINGS = frozenset({"cache", "callbacks", "custom_get_token_ids", "metadata", "name", "tags", "verbose"})


def _settings_of_retriever(retriever: Any) -> dict[str, Any] | None:
    """Return the plain fields of a retriever, and those of the retrievers in it."""
    fields = ((name, value) for name, value in fields_of(retriever).items() if name not in _NO_SETTINGS)
    return settings_in(fields, _told)


def _told(name: str, value: Any) -> Any:
    is_asked = name == "search_kwargs" or "filter" in name
    return whole(value) if is_asked and value is not None else plain(value, _part)


def _part(value: Any) -> Any:
    bases = {f"{base.__module__}.{base.__qualname__}" for base in value.__class__.__mro__}
    found = None
    if _BASE_RETRIEVER in bases:
        found = _settings_of_retriever(value)
    elif _BASE_STORE in bases:
        found = place_of(value)
    return NOT_PLAIN if found is None else found


def _both(names: str, row: Operation) -> dict[str, Operation]:
    """Return *row* for each of *names* and for its coroutine, which has an ``a`` before it."""
    return {f"{prefix}{name}": row for name in names.split() for prefix in ("", "a")}


_SEARCHES = (
    "search similarity_search similarity_search_with_score similarity_search_with_relevance_scores "
    "similarity_search_by_vector similarity_search_with_score_by_vector max_marginal_relevance_search "
    "max_marginal_relevance_search_by_vector"
)

_VECTOR_STORE = MethodMap(
    operations={
        **_both("add_texts add_documents upsert", Operation(kind="put_many", ids="result")),
        **_both("delete", Operation(kind="delete", ids="arguments.ids")),
        **_both(_SEARCHES, Operation(kind="find", thaw=_thaw)),
        **_both("get_by_ids", Operation(kind="find", by_id=True, ids="arguments.ids", thaw=_thaw)),
    },
    derives="as_retriever",
    settings=place_of,
    essential="add_texts add_documents similarity_search delete get_by_ids",
    ignored="from_texts afrom_texts from_documents afrom_documents",
)

_RETRIEVER = MethodMap(
    operations={
        **_both(
            "invoke",
            Operation(kind="find", query="arguments.input", omits=_OMITTED, thaw=_thaw),
        ),
        **_both("get_relevant_documents", Operation(kind="find", omits=_OMITTED, thaw=_thaw)),
    },
    essential="invoke ainvoke",
    settings=_settings_of_retriever,
)

_TOOL = MethodMap(
    operations=_both("run invoke", Operation(kind="tool", named_by="name", omits=_OMITTED, thaw=_thaw)),
    ignored="args get_input_schema is_single_input tool_call_schema",
)

_RUNNABLE = MethodMap(
    composes=(
        "__or__ __ror__ pipe pick assign bind map as_tool with_config with_listeners with_alisteners with_types "
        "with_retry with_fallbacks batch abatch batch_as_completed abatch_as_completed stream astream transform "
        "atransform stream_events astream_events astream_log _astream_events_v1_v2 _astream_events_v3_unsupported"
    ),
    ignored=(
        "config_schema configurable_alternatives configurable_fields construct copy dict from_orm "
        "get_config_jsonschema get_graph get_input_jsonschema get_input_schema get_lc_namespace get_name "
        "get_output_jsonschema get_output_schema get_prompts is_lc_serializable json lc_id "
        "model_computed_fields model_construct model_copy model_dump model_dump_json model_fields "
        "model_json_schema model_parametrized_name model_post_init model_rebuild model_validate "
        "model_validate_json model_validate_strings parse_file parse_obj parse_raw schema schema_json to_json "
        "to_json_not_implemented update_forward_refs validate"
    ),
)

ADAPTER = Adapter(
    classes={
        _BASE_STORE: _VECTOR_STORE,
        "langchain_core.vectorstores.base.VectorStoreRetriever": MethodMap(
            operations=_both("add_documents", Operation(kind="put_many", ids="result")),
            settings=_settings_of_retriever,
        ),
        "langchain_core.vectorstores.in_memory.InMemoryVectorStore": MethodMap(
            frames=InMemoryFrames, ignored="dump load"
        ),
        _BASE_RETRIEVER: _RETRIEVER,
        "langchain_core.tools.base.BaseTool": _TOOL,
        "langchain_core.runnables.base.Runnable": _RUNNABLE,
    }
)
