"""The public door: what ``import replaykit`` promises."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit import errors

_EXPECTED = [
    "open",
    "wrap",
    "records",
    "session",
    "Recorder",
    "load",
    "play",
    "configure",
    "recorder_of",
    "Recording",
    "Player",
    "Memory",
    "Operation",
    "every",
    "on_error",
    "before",
    "any_of",
    "errors",
    "ReplaySession",
    "ReplayAction",
    "SessionSummary",
    "Checkpoint",
    "StateSnapshot",
    "StoredFrame",
    "Restoration",
    "Hit",
    "Frame",
    "SearchResult",
    "Answer",
    "Erasure",
    "Failure",
    "Put",
    "PutMany",
    "Find",
    "Ask",
    "Checkpointed",
    "Update",
    "Delete",
    "ToolCall",
    "Playable",
    "Structured",
    "Opaque",
    "Divergence",
    "DivergenceType",
    "SessionComparison",
    "ReplayManifest",
    "ReplayConfig",
    "ReplayOptions",
    "ReplayResult",
    "ReplayReport",
    "KnownDivergence",
    "Agreement",
    "HitChange",
    "FieldChange",
    "replay_all",
    "assert_replays",
    "ComparisonReport",
    "ComparisonSummary",
    "ModelResult",
    "Verification",
]


def _public_members(cls: type) -> list[tuple[str, Any]]:
    return [
        (name, member)
        for name, member in vars(cls).items()
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property))
    ]


@pytest.mark.parametrize("name", _EXPECTED)
def test_a_promised_name_is_there(name: str) -> None:
    """It is importable, listed, and says what it is for."""
    value = getattr(replaykit, name)

    assert name in replaykit.__all__
    assert name in dir(replaykit)
    assert inspect.getdoc(value)


def test_all_is_sorted_and_complete() -> None:
    """``__all__`` lists what loads on first use, each once, and nothing else."""
    assert sorted(replaykit.__all__) == list(replaykit.__all__)
    assert sorted({"__version__", "errors", *replaykit._WHERE}) == list(replaykit.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """The imports for checkers and the table that loads them say the same."""
    tree = ast.parse(Path(replaykit.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    seen.pop("errors")

    assert seen == replaykit._WHERE


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'sesion'"):
        _ = replaykit.sesion


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_is_documented_and_in_the_tree(name: str) -> None:
    """``except ReplaykitError`` catches all of them."""
    cls = getattr(errors, name)

    assert inspect.getdoc(cls)
    assert issubclass(cls, errors.ReplaykitError) or cls is errors.ReplaykitWarning


@pytest.mark.parametrize(
    "cls",
    [getattr(replaykit, name) for name in _EXPECTED if isinstance(getattr(replaykit, name), type)],
    ids=lambda cls: str(cls.__name__),
)
def test_every_public_method_says_what_it_promises(cls: type) -> None:
    undocumented = [name for name, member in _public_members(cls) if not inspect.getdoc(member)]

    assert undocumented == []


def test_the_session_surface_has_the_seeds_names() -> None:
    """On a recorder, a memory and a wrapped object alike."""
    surface = importlib.import_module("replaykit.surface").SessionSurface
    names = [
        "session",
        "start_session",
        "end_session",
        "active_session_id",
        "is_recording",
        "create_checkpoint",
        "list_sessions",
        "get_session",
        "delete_session",
        "resume_session",
    ]

    for cls in (surface, replaykit.Recorder, replaykit.Memory):
        assert [name for name in names if not hasattr(cls, name)] == []
    assert set(names) <= surface.surface_names
