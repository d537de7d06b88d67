"""
What is done of a long replay, in a file of JSON lines: one per session, appended as it is finished.

A later run takes over what was found with equal options, on the same state of
the target, for a session that has not grown since; all else runs again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import UsageError
from replaykit.model import (
    ActionResult,
    Divergence,
    DivergenceType,
    ReplayOptions,
    ReplayResult,
    SessionSummary,
)
from replaykit.model.verdicts import divergence_record

__all__ = ["Finished"]

_HEADER = {"replaykit_resume": 1}


class Finished:
    """
    The finished sessions in the file at *path*, which is made if need be.

    *target* says what the calls run on, as far as that can be told.

    Raises:
        UsageError: The file is something else, or the options hold a function
            that has no name to tell it by.
    """

    def __init__(self, path: str | os.PathLike[str], options: ReplayOptions, target: str) -> None:
        self._path = Path(path)
        self._options = options
        self._key = json.dumps([_options_key(options), target], sort_keys=True)
        self._lines = self._read()

    def result_of(self, summary: SessionSummary) -> ReplayResult | None:
        """Return what an earlier run found of the session; None where that does not hold any more."""
        line = self._lines.get(str(summary.session_id))
        if line is None or line.get("of") != [self._key, *_state_of(summary)]:
            return None
        try:
            return _result(summary.session_id, line["result"], self._options)
        except (AttributeError, KeyError, TypeError, ValueError):
            # A line that was damaged is one that is not there.
            return None

    def append(self, summary: SessionSummary, result: ReplayResult) -> None:
        """Keep a result, unless something failed that may not fail the next time."""
        if result.error or result.errored_actions:
            return
        of = [self._key, *_state_of(summary)]
        line = {"session_id": str(summary.session_id), "of": of, "result": _record(result)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self) -> dict[str, dict[str, Any]]:
        raw = self._path.read_bytes() if self._path.exists() else b""
        if not raw:
            self._path.write_text(json.dumps(_HEADER) + "\n", encoding="utf-8")
            return {}
        lines = [_parsed(line) for line in raw.split(b"\n")]
        if lines[0] != _HEADER:
            raise UsageError(f"resume={os.fspath(self._path)!r}: that file is something else")
        if not raw.endswith(b"\n"):
            # A killed run left half a line: what follows begins a new one.
            with self._path.open("ab") as file:
                file.write(b"\n")
        return {line["session_id"]: line for line in lines if isinstance(line.get("session_id"), str)}


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _state_of(summary: SessionSummary) -> list[Any]:
    return [summary.state, summary.action_count]


def _options_key(options: ReplayOptions) -> dict[str, Any]:
    return {field.name: _named(getattr(options, field.name)) for field in attrs.fields(ReplayOptions)}


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _named(item) for name, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    name = getattr(value, "__qualname__", "<")
    if "<" in name:
        raise UsageError("resume= needs options that can be told again: give functions by name, not lambdas or objects")
    return f"{value.__module__}.{name}"


# -- results as JSON ------------------------------------------------------------------


def _record(result: ReplayResult) -> dict[str, Any]:
    kept = attrs.asdict(result, recurse=False, filter=_is_own)
    actions = [
        attrs.asdict(item, recurse=False) | {"divergences": [divergence_record(each) for each in item.divergences]}
        for item in result.action_results
    ]
    return kept | {"action_results": actions, "divergences": [divergence_record(each) for each in result.divergences]}


def _is_own(attribute: Any, _value: Any) -> bool:
    return attribute.name not in ("session_id", "options", "known_divergences")


def _result(session_id: UUID, record: Mapping[str, Any], options: ReplayOptions) -> ReplayResult:
    counts = [value for name, value in record.items() if name.endswith(("_actions", "_ns"))]
    if any(type(count) is not int for count in counts) or not isinstance(record["error"], str):
        raise ValueError("no result of ours")
    fields: dict[str, Any] = {
        "action_results": tuple(map(_action_result, record["action_results"])),
        "divergences": tuple(map(_divergence, record["divergences"])),
    }
    fields |= {name: tuple(record[name]) for name in ("incomplete", "notes")}
    return ReplayResult(session_id=session_id, options=options, **{**record, **fields})


def _action_result(record: Mapping[str, Any]) -> ActionResult:
    return ActionResult(**{**record, "divergences": tuple(map(_divergence, record["divergences"]))})


def _divergence(record: Mapping[str, Any]) -> Divergence:
    found = {"divergence_type": DivergenceType(record["divergence_type"]), "frames": tuple(record["frames"])}
    return Divergence(**{**record, **found})
