"""Actions that hold the same are told from their bytes; whatever is not plain to see is left to the decoder."""

from __future__ import annotations

from typing import Any

import pytest

from replaykit.format.likeness import likenesses
from replaykit.format.strict import encode_body
from replaykit.model import MEMVID

ACTION: dict[str, Any] = {
    "i": 3, "k": "find", "nm": "search", "src": "notes", "t": 1_700_000_000_000_000_000, "d": 1_500,
    "x": {"query": "Rome"}, "in": {"query": "Rome"}, "out": [1, 2],
}  # fmt: skip


def likeness(**changes: Any) -> bytes | None:
    entry = {**ACTION, **changes}
    ordered = {key: entry[key] for key in ("i", "k", "nm", "src", "t", "d", "p", "g") if key in entry}
    (found,) = likenesses([encode_body({**ordered, **{key: entry[key] for key in entry if key not in ordered}})])
    return found


@pytest.mark.parametrize(
    "changes", [{"i": 70_000}, {"src": "elsewhere"}, {"t": 1_800_000_000_000_000_000}, {"d": 3}, {"p": 1}, {"g": 9}]
)
def test_when_and_where_does_not_count(changes: dict[str, Any]) -> None:
    assert likeness() == likeness(**changes) is not None


@pytest.mark.parametrize(
    "changes", [{"k": "tool"}, {"nm": "find"}, {"in": {"query": "Rom"}}, {"out": [1]}, {"out": None}, {"fl": ["cut"]}]
)
def test_what_was_asked_and_what_came_of_it_counts(changes: dict[str, Any]) -> None:
    assert None is not likeness() != likeness(**changes) is not None


@pytest.mark.parametrize("changes", [{"k": "checkpoint"}, {"k": "dance"}, {"src": MEMVID}, {"nm": 3}, {"t": 5}])
def test_the_rest_is_not_told(changes: dict[str, Any]) -> None:
    assert likeness(**changes) is None


def test_bytes_that_are_no_action_are_not_told() -> None:
    assert list(likenesses([b"", b"\xa1aa", b"\xff" * 40])) == [None, None, None]
