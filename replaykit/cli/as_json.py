"""The machine's view: values of the model as JSON, by field names, bytes as hex."""

from __future__ import annotations

import datetime
import enum
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from uuid import UUID

import attrs

from replaykit.model import Checkpoint, ReplayAction, ReplaySession

__all__ = ["dump", "jsonable"]


def dump(value: Any) -> str:
    """Return *value* as indented JSON text."""
    return json.dumps(jsonable(value), indent=2, ensure_ascii=True)


def jsonable(value: Any) -> Any:
    """Return *value* as what JSON has: total, for any recorded value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if attrs.has(type(value)):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((jsonable(item) for item in value), key=str)
    if isinstance(value, Sequence):
        return [jsonable(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, (UUID, PurePath)):
        return str(value)
    if isinstance(value, enum.Enum):
        return jsonable(value.value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    return str(value)


def _fields(value: Any) -> dict[str, Any]:
    shown = {field.name: jsonable(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, ReplayAction):
        shown["action_type"] = {"name": value.action_type.name, **shown["action_type"]}
        shown |= {"kind": value.kind, "timestamp_secs": value.timestamp_secs, "duration_ms": value.duration_ms}
    elif isinstance(value, ReplaySession):
        shown |= {"created_secs": value.created_secs, "ended_secs": value.ended_secs}
    elif isinstance(value, Checkpoint):
        shown["timestamp_secs"] = value.timestamp_secs
    return shown
