"""Anthropic's client, also the asynchronous one and those of its subclasses: what is asked of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from replaykit.adapters.model_clients import Library, TypeOf, asked_when_entered, entering
from replaykit.operations import Adapter, MethodMap, Operation

__all__ = ["ADAPTER"]

_ANTHROPIC = Library("anthropic")


def _type(data: Mapping[str, Any]) -> str:
    return "types.Message" if data.get("type") == "message" else "types.RawMessageStreamEvent"


def _beta_type(data: Mapping[str, Any]) -> str:
    return "types.beta.BetaMessage" if data.get("type") == "message" else "types.beta.BetaRawMessageStreamEvent"


def _count_type(_data: Mapping[str, Any]) -> str:
    return "types.MessageTokensCount"


_TYPES: dict[str, TypeOf] = {"messages": _type, "beta.messages": _beta_type}
# It is asked of the server, so that a play has to answer it.
_COUNT = _ANTHROPIC.calls(_count_type)


def _asks(resource: str, *, is_async: bool) -> Operation:
    return _ANTHROPIC.asks(_TYPES[resource], "arguments.messages.-1.content", is_async=is_async)


def _client(*, is_async: bool) -> MethodMap:
    asks = {
        f"{resource}.{method}": _asks(resource, is_async=is_async)
        for resource in _TYPES
        for method in ("create", "stream")
    }
    return MethodMap(
        operations={**asks, "messages.count_tokens": _COUNT},
        derives="with_options copy",
        ignored="close is_closed platform_headers",
        essential="messages.create messages.stream",
        takes_over={name: entering("stream") for name in asks if name.endswith(".stream")},
    )


def _resource(resource: str, *, is_async: bool = False) -> MethodMap:
    """Return the map of a resource's own class; its calls have the names that a client's have."""
    asks = _asks(resource, is_async=is_async)
    rows = {"create": asks, "stream": attrs.evolve(asks, deferred=asked_when_entered)}
    if resource == "messages":
        rows["count_tokens"] = _COUNT
    return MethodMap(operations={name: attrs.evolve(row, name=f"{resource}.{name}") for name, row in rows.items()})


_BETA = "anthropic.resources.beta.messages.messages"

ADAPTER = Adapter(
    classes={
        "anthropic.Anthropic": _client(is_async=False),
        "anthropic.AsyncAnthropic": _client(is_async=True),
        "anthropic.resources.messages.messages.Messages": _resource("messages"),
        "anthropic.resources.messages.messages.AsyncMessages": _resource("messages", is_async=True),
        f"{_BETA}.Messages": _resource("beta.messages"),
        f"{_BETA}.AsyncMessages": _resource("beta.messages", is_async=True),
    },
)
