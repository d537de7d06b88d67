"""What a result says of its call and not of what was found: how long it took, and which request it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import attrs

from replaykit.model import Structured

__all__ = ["without_measured", "without_times"]

_UNITS = "(?:ns|us|ms|s|secs|seconds)"
_TIME = re.compile(rf"(?:took|elapsed|latency)(?:_{_UNITS})?")
_MEASURES = frozenset({"stats", "timing", "timings", "metrics"})
_MEASURED_TIME = re.compile(rf".+_{_UNITS}")

# Beside hits only: a record that is found by itself may have a duration, which is what was looked for.
_ENVELOPES = frozenset({*_MEASURES, "meta", "metadata", "search_metadata"})
_SHARES = "(?:total|server|search|query|request|response|processing|execution|retrieval|embedding|rerank)"
_SHARE_OF_TIME = re.compile(rf"(?:{_SHARES}_)*(?:took|elapsed|latency|duration|time)(?:_taken)?(?:_{_UNITS})?")
_OF_THE_REQUEST = re.compile(rf"(?:{_SHARES}_)?timings?(?:_{_UNITS})?|(?:request|trace|query)_u?id|response_metadata")
_AMOUNT = re.compile(rf"\d+(?:\.\d+)?\s*{_UNITS}?")
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def without_times(kind: str, value: Any) -> Any:
    """
    Return what a find or ask gave without how long it took; what other kinds gave is returned as it is.

    Left out of a map or an object are ``took``, ``elapsed``, ``latency``
    (``took_ms``, ...), and of its ``stats``, ``timings`` or ``metrics``
    whatever is named by a unit of time.
    """
    if kind not in ("find", "ask"):
        return value
    if isinstance(value, Structured):
        return attrs.evolve(value, fields=without_times(kind, value.fields))
    if not isinstance(value, Mapping):
        return value
    return {key: _without_times_in(key, item) for key, item in value.items() if not _matches(_TIME, key)}


def _without_times_in(name: Any, value: Any) -> Any:
    if name not in _MEASURES or not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if not (_matches(_TIME, key) or _matches(_MEASURED_TIME, key))}


def without_measured(beside: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what stands *beside* hits without what differs from call to call.

    Beyond what `without_times` leaves out: times under the names that search
    engines have for them, and ids of the request, also in a map about the
    response (``meta``, ``stats``, ...).
    """
    kept: Mapping[str, Any] = without_times("find", beside)
    return {
        name: _without_measured_in(item) if name in _ENVELOPES else item
        for name, item in kept.items()
        if not _is_of_the_call(name, item)
    }


def _without_measured_in(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if not (_matches(_TIME, key) or _is_of_the_call(key, item))}


def _is_of_the_call(name: Any, value: Any) -> bool:
    if not isinstance(name, str):
        return False
    spelled = _HUMPS.sub("_", name).lower()
    if _matches(_SHARE_OF_TIME, spelled):
        return _is_amount(value)
    # Rerankers number their responses so.
    return _matches(_OF_THE_REQUEST, spelled) or (spelled == "id" and _is_unique(value))


def _is_amount(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or is_number or (isinstance(value, str) and _matches(_AMOUNT, value))


def _is_unique(value: Any) -> bool:
    if isinstance(value, UUID):
        return True
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _matches(pattern: re.Pattern[str], name: Any) -> bool:
    return isinstance(name, str) and pattern.fullmatch(name) is not None
