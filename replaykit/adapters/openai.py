"""
OpenAI's client, also the asynchronous one and those of its subclasses (Azure's): what is asked of models.

Embeddings are recorded, too, although they are no operation of a memory: a
play must not call the server for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from replaykit.adapters.model_clients import Library, TypeOf, asked_when_entered, entering
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

_OPENAI = Library("openai")


def _chat_type(data: Mapping[str, Any]) -> str:
    is_chunk = data.get("object") == "chat.completion.chunk"
    return "types.chat.ChatCompletionChunk" if is_chunk else "types.chat.ChatCompletion"


def _response_type(data: Mapping[str, Any]) -> str:
    return "types.responses.Response" if data.get("object") == "response" else "types.responses.ResponseStreamEvent"


def _embedding_type(_data: Mapping[str, Any]) -> str:
    return "types.CreateEmbeddingResponse"


_QUERY = {"chat.completions": "arguments.messages.-1.content", "responses": "arguments.input"}
_TYPES: dict[str, TypeOf] = {"chat.completions": _chat_type, "responses": _response_type}
_EMBEDDINGS = _OPENAI.calls(_embedding_type)


def _asks(resource: str, *, is_async: bool) -> Operation:
    return _OPENAI.asks(_TYPES[resource], _QUERY[resource], is_async=is_async)


def _client(*, is_async: bool) -> MethodMap:
    asks = {
        f"{resource}.{method}": _asks(resource, is_async=is_async)
        for resource in _QUERY
        for method in ("create", "stream")
    }
    return MethodMap(
        operations={**asks, "embeddings.create": _EMBEDDINGS},
        derives="with_options copy",
        ignored="close is_closed platform_headers",
        essential="chat.completions.create chat.completions.stream responses.create embeddings.create",
        takes_over={name: entering("stream") for name in asks if name.endswith(".stream")},
    )


def _resource(resource: str, *, is_async: bool = False) -> MethodMap:
    """Return the map of a resource's own class; its calls have the names that a client's have."""
    row = attrs.evolve(_asks(resource, is_async=is_async), name=f"{resource}.create")
    entered = attrs.evolve(row, name=f"{resource}.stream", deferred=asked_when_entered)
    return MethodMap(operations={"create": row, "stream": entered})


_EMBEDDING_RESOURCE = MethodMap(operations={"create": attrs.evolve(_EMBEDDINGS, name="embeddings.create")})

ADAPTER = Adapter(
    classes={
        "openai.OpenAI": _client(is_async=False),
        "openai.AsyncOpenAI": _client(is_async=True),
        "openai.resources.chat.completions.completions.Completions": _resource("chat.completions"),
        "openai.resources.chat.completions.completions.AsyncCompletions": _resource("chat.completions", is_async=True),
        "openai.resources.responses.responses.Responses": _resource("responses"),
        "openai.resources.responses.responses.AsyncResponses": _resource("responses", is_async=True),
        "openai.resources.embeddings.Embeddings": _EMBEDDING_RESOURCE,
        "openai.resources.embeddings.AsyncEmbeddings": _EMBEDDING_RESOURCE,
    },
)
