"""
What of an object's own values can be part of its calls: those that are the same in every run.

That are plain values.  An address, a path, a random id or a key says where
something is, or whose it is, and not what is asked of it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["NOT_PLAIN", "fields_of", "place_of", "plain", "settings_in", "whole"]

NOT_PLAIN = object()
"""Instead of a value: it has no plain form, or another one in each run."""

Part = Callable[[Any], Any]
"""Returns what is told of an object that is part of another, `NOT_PLAIN` for nothing."""

_MOST_ITEMS = 100
"""What has more is what is searched, not how."""

_OF_ONE_RUN = re.compile(
    r"(?:/|~|[A-Za-z]:[\\/])\S*|\w+://.*|[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.DOTALL | re.IGNORECASE
)
_SECRET = re.compile(r"api_?key|secret|password|passwd|credential|(?:^|_)token$", re.IGNORECASE)

_PLACES = ("collection_name", "index_name", "table_name", "namespace")


def settings_in(values: Iterable[tuple[str, Any]], told: Callable[[str, Any], Any]) -> dict[str, Any] | None:
    """
    Return what *told* says of named *values*, without what it says nothing of; None where it says nothing of any.

    That a value is None is left out: a release may bring new ones that are.
    """
    found = {name: told(name, value) for name, value in values if not _SECRET.search(name)}
    said = {name: value for name, value in found.items() if value is not NOT_PLAIN}
    return {name: value for name, value in said.items() if value is not None} if said else None


def plain(value: Any, part: Part = lambda _value: NOT_PLAIN) -> Any:
    """Return *value* as plain values, `NOT_PLAIN` where it is none; *part* is asked of objects."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, str):
        return NOT_PLAIN if _OF_ONE_RUN.fullmatch(value) else str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        items = [plain(item, part) for item in value] if len(value) <= _MOST_ITEMS else [NOT_PLAIN]
        return NOT_PLAIN if any(item is NOT_PLAIN for item in items) else items
    if isinstance(value, dict):
        named = ((str(name), item) for name, item in value.items()) if len(value) <= _MOST_ITEMS else ()
        found = settings_in(named, lambda _name, item: plain(item, part))
        return NOT_PLAIN if found is None and value else found or {}
    return part(value)


def whole(value: Any) -> Any:
    """Return what somebody asks a search for (a filter, say) as plain values, all of it: an object by its fields."""
    if isinstance(value, enum.Enum):
        return whole(value.value)
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, (list, tuple)):
        return [whole(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): whole(item) for name, item in value.items()}
    fields = fields_of(value)
    if fields:
        return {name: whole(item) for name, item in fields.items() if item is not None}
    # Two functions cannot be told apart: that there is one can.
    return "<function>" if callable(value) else f"<{type(value).__name__}>"


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a pydantic model, with their values; none of anything else."""
    names = getattr(value.__class__, "model_fields", ())
    # Not by asking for them: a proxy might count that as a call.
    held = getattr(value, "__dict__", {})
    return {name: held[name] for name in names if name in held}


def place_of(store: Any) -> dict[str, Any] | None:
    """Return what a vector store's collection, index or table is called; None where it does not say."""
    held = getattr(store, "__dict__", {})
    named = ((name, held.get(name, held.get(f"_{name}"))) for name in _PLACES)
    found = {name: value for name, value in named if isinstance(value, str) and plain(value) is not NOT_PLAIN}
    return found or None
