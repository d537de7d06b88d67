"""
LlamaIndex: indices and what they hand out, that is retrievers, query and chat engines, vector and document stores.

Frames are nodes, under their own ids; only what writes or deletes a whole
document names that.  The memories of chats are known, too; messages have no
ids.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from replaykit.adapters.plain_settings import NOT_PLAIN, fields_of, place_of, plain, settings_in, whole
from replaykit.adapters.reviving import reviving
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

_SCHEMA = "llama_index.core.schema"

_thaw = reviving(
    *(
        f"{_SCHEMA}.{name}"
        for name in (
            "Document",
            "ImageDocument",
            "ImageNode",
            "IndexNode",
            "MediaResource",
            "Node",
            "NodeRelationship",
            "NodeWithScore",
            "ObjectType",
            "RelatedNodeInfo",
            "TextNode",
        )
    ),
    *(
        f"llama_index.core.base.llms.types.{name}"
        for name in (
            "AudioBlock",
            "ChatMessage",
            "DocumentBlock",
            "ImageBlock",
            "MessageRole",
            "TextBlock",
            "ThinkingBlock",
            "ToolCallBlock",
            "VideoBlock",
        )
    ),
    "llama_index.core.base.response.schema.PydanticResponse",
    "llama_index.core.base.response.schema.Response",
    "llama_index.core.chat_engine.types.AgentChatResponse",
    "llama_index.core.storage.docstore.types.RefDocInfo",
    "llama_index.core.tools.types.ToolOutput",
    "llama_index.core.vector_stores.types.VectorStoreQueryResult",
)


_NOWHERE = "result.none"


def _both(names: str, row: Operation, prefix: str = "a") -> dict[str, Operation]:
    """Return *row* for each of *names* and for its coroutine, which has *prefix* before it."""
    return {f"{before}{name}": row for name in names.split() for before in ("", prefix)}


# A question comes as words or, in a bundle, with its embedding.
_QUESTION = "arguments.str_or_query_bundle.query_str | arguments.str_or_query_bundle"
_BUNDLE = "arguments.query_bundle.query_str"


# -- what belongs to a call of the object itself -------------------------------------

_BASE_RETRIEVER = "llama_index.core.base.base_retriever.BaseRetriever"
_BASE_QUERY_ENGINE = "llama_index.core.base.base_query_engine.BaseQueryEngine"
_BASE_CHAT_ENGINE = "llama_index.core.chat_engine.types.BaseChatEngine"
_PARTS = frozenset({_BASE_RETRIEVER, _BASE_QUERY_ENGINE, _BASE_CHAT_ENGINE})
_SYNTHESIZER = "llama_index.core.response_synthesizers.base.BaseSynthesizer"
_POSTPROCESSOR = "llama_index.core.postprocessor.types.BaseNodePostprocessor"

# How it runs, what was said to it, and ids: those of an index's nodes are random.
_NO_SETTINGS = frozenset(
    {"callback_manager", "chat_history", "index_id", "node_ids", "object_map", "objects", "use_async", "verbose"}
)
_ASKED = frozenset({"doc_ids", "filters", "prefix_messages", "vector_store_kwargs"})


def _settings(target: Any) -> dict[str, Any] | None:
    """
    Return what a retriever or an engine was made with, as far as that are plain values, and so of those in it.

    Those are the parameters of its class that it keeps under their names:
    what else it has may change from call to call.
    """
    held = {**getattr(target, "__dict__", {}), **fields_of(target)}
    kept = {name: held.get(f"_{name}", held.get(name, NOT_PLAIN)) for name in _parameters_of(target.__class__)}
    if "filters" in kept and held.get("_kwargs"):
        kept["vector_store_kwargs"] = held["_kwargs"]
    return settings_in(kept.items(), _told)


@functools.lru_cache(maxsize=256)
def _parameters_of(cls: type) -> tuple[str, ...]:
    made = (vars(base).get("__init__") for base in cls.__mro__)
    taken = (list(inspect.signature(each).parameters.values())[1:] for each in made if inspect.isfunction(each))
    named = (each.name for parameters in taken for each in parameters if each.kind not in _MANY)
    names = dict.fromkeys((*getattr(cls, "model_fields", ()), *named))
    return tuple(name for name in names if name not in _NO_SETTINGS)


_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _told(name: str, value: Any) -> Any:
    if name in _ASKED and value is not NOT_PLAIN:
        return whole(value)
    return plain(value, _part)


def _part(value: Any) -> Any:
    cls = value.__class__
    bases = {f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__}
    found: Any = None
    if bases & _PARTS:
        found = _settings(value)
    elif _SYNTHESIZER in bases:
        found = cls.__name__
    elif _POSTPROCESSOR in bases:
        fields = {name: item for name, item in fields_of(value).items() if name not in _NO_SETTINGS}
        found = {"class": cls.__name__, **(settings_in(fields.items(), _told) or {})}
    return NOT_PLAIN if found is None else found


# -- what is written ----------------------------------------------------------------


def _document(kind: str) -> Operation:
    return Operation(kind=kind, content="arguments.document.text_resource.text", ids="arguments.document.id_")


def _delete(argument: str) -> Operation:
    return Operation(kind="delete", ids=f"arguments.{argument}")


_REFRESH = Operation(kind="put_many", ids="arguments.documents.*.id_")

_INDEX = MethodMap(
    operations={
        **_both("insert", _document("put")),
        **_both("insert_nodes", Operation(kind="put_many", ids="arguments.nodes.*.id_")),
        "update": _document("update"),
        **_both("update_ref_doc", _document("update")),
        "refresh": _REFRESH,
        **_both("refresh_ref_docs", _REFRESH),
        "delete": _delete("doc_id"),
        **_both("delete_ref_doc", _delete("ref_doc_id")),
        **_both("delete_nodes", _delete("node_ids")),
    },
    derives="as_retriever as_query_engine as_chat_engine vector_store docstore",
    ignored="from_documents from_vector_store set_index_id",
)

# -- what is read -------------------------------------------------------------------

_PROMPTS = "get_prompts update_prompts"

_NODES_FOUND = "result.*.node.id_"
_SOURCES = "result.source_nodes.*.node.id_"


_RETRIEVER = MethodMap(
    operations=_both(
        "retrieve",
        Operation(kind="find", query=_QUESTION, k="arguments.self.similarity_top_k", ids=_NODES_FOUND, thaw=_thaw),
    ),
    ignored=_PROMPTS,
    settings=_settings,
)

_RETRIEVE = Operation(kind="find", query=_BUNDLE, ids=_NODES_FOUND, thaw=_thaw)

_QUERY_ENGINE = MethodMap(
    operations={
        **_both("query", Operation(kind="ask", query=_QUESTION, ids=_SOURCES, thaw=_thaw)),
        "retrieve": _RETRIEVE,
        **_both("synthesize", Operation(kind="ask", query=_BUNDLE, ids=_SOURCES, thaw=_thaw)),
    },
    ignored=_PROMPTS,
    settings=_settings,
)

_RETRIEVER_ENGINE = MethodMap(
    operations={"aretrieve": _RETRIEVE},
    derives="retriever with_retriever",
    ignored="from_args",
    settings=_settings,
)

_CHAT_ENGINE = MethodMap(
    operations=_both("chat stream_chat", Operation(kind="ask", query="arguments.message", ids=_SOURCES, thaw=_thaw)),
    composes="chat_repl streaming_chat_repl",
    ignored=f"from_defaults reset {_PROMPTS}",
    settings=_settings,
)

# -- where it is kept ---------------------------------------------------------------


def _by_id(argument: str) -> Operation:
    return Operation(kind="find", by_id=True, ids=f"arguments.{argument}", thaw=_thaw)


_COMPONENT = (
    "class_name construct copy custom_model_dump dict from_dict from_json from_orm json model_construct model_copy "
    "model_dump model_dump_json model_json_schema model_parametrized_name model_post_init model_rebuild "
    "model_validate model_validate_json model_validate_strings parse_file parse_obj parse_raw schema schema_json "
    "to_dict to_json update_forward_refs validate"
)

_VECTOR_STORE = MethodMap(
    operations={
        **dict.fromkeys(("add", "async_add"), Operation(kind="put_many", ids="result")),
        **_both(
            "query",
            Operation(
                kind="find",
                query="arguments.query.query_str",
                k="arguments.query.similarity_top_k",
                mode="arguments.query.mode",
                ids="result.ids",
                thaw=_thaw,
            ),
        ),
        **_both("get_nodes", _by_id("node_ids")),
        **_both("delete", _delete("ref_doc_id")),
        **_both("delete_nodes", _delete("node_ids")),
        **_both("clear", Operation(kind="delete", ids=_NOWHERE)),
    },
    ignored=f"persist from_persist_dir from_persist_path from_namespaced_persist_dir from_params {_COMPONENT}",
    settings=place_of,
)


_DOCUMENT_STORE = MethodMap(
    operations={
        **dict.fromkeys(
            ("add_documents", "async_add_documents"), Operation(kind="put_many", ids="arguments.docs.*.id_")
        ),
        **_both("get_document document_exists get_document_hash", _by_id("doc_id")),
        **_both("get_node", _by_id("node_id")),
        **_both("get_nodes", _by_id("node_ids")),
        **_both("get_node_dict", _by_id("node_id_dict.*")),
        **_both("get_ref_doc_info", _by_id("ref_doc_id")),
        **_both("get_all_ref_doc_info get_all_document_hashes", Operation(kind="find", ids=_NOWHERE, thaw=_thaw)),
        **_both("delete_document", _delete("doc_id")),
        **_both("delete_ref_doc", _delete("ref_doc_id")),
        **_both("set_document_hash", Operation(kind="update", ids="arguments.doc_id")),
        **_both("set_document_hashes", Operation(kind="update", ids=_NOWHERE)),
    },
    ignored="persist from_dict from_persist_dir from_persist_path to_dict",
)

_CHAT_MEMORY = MethodMap(
    operations={
        **_both("put", Operation(kind="put", content="arguments.message.blocks.0.text", ids=_NOWHERE)),
        **_both("put_messages set", Operation(kind="put_many", ids=_NOWHERE)),
        **_both("get", Operation(kind="find", query="arguments.input", ids=_NOWHERE, thaw=_thaw)),
        **_both("get_all", Operation(kind="find", query="arguments.none", ids=_NOWHERE, thaw=_thaw)),
        **_both("reset", Operation(kind="delete", ids=_NOWHERE)),
    },
    ignored=f"from_defaults from_string to_string {_COMPONENT}",
)

ADAPTER = Adapter(
    classes={
        "llama_index.core.indices.base.BaseIndex": _INDEX,
        _BASE_RETRIEVER: _RETRIEVER,
        _BASE_QUERY_ENGINE: _QUERY_ENGINE,
        "llama_index.core.query_engine.retriever_query_engine.RetrieverQueryEngine": _RETRIEVER_ENGINE,
        _BASE_CHAT_ENGINE: _CHAT_ENGINE,
        "llama_index.core.memory.types.BaseMemory": _CHAT_MEMORY,
        "llama_index.core.vector_stores.types.BasePydanticVectorStore": _VECTOR_STORE,
        "llama_index.core.vector_stores.simple.SimpleVectorStore": MethodMap(operations={"get": _by_id("text_id")}),
        "llama_index.core.storage.docstore.types.BaseDocumentStore": _DOCUMENT_STORE,
        "llama_index.core.storage.docstore.keyval_docstore.KVDocumentStore": MethodMap(
            operations=_both("ref_doc_exists", _by_id("ref_doc_id"))
        ),
    }
)
