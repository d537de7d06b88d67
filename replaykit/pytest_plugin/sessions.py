"""Tests that are recorded sessions: one per session of a store."""

from __future__ import annotations

import os
from typing import Any

import pytest

from replaykit.errors import ReplaykitError
from replaykit.regression.sessions import SessionReference, recorded_sessions

__all__ = ["parametrize"]


def parametrize(metafunc: pytest.Metafunc, mark: pytest.Mark) -> None:
    """Make one test of *metafunc* per session that *mark* names; where there is none collecting it fails."""
    if "replay_session" not in metafunc.fixturenames:
        pytest.fail(
            f"{metafunc.function.__name__} is marked replaykit_sessions and does not take the session: "
            "give it the argument replay_session",
            pytrace=False,
        )
    try:
        references = _references(metafunc, *mark.args, **mark.kwargs)
    except (ReplaykitError, TypeError) as error:
        pytest.fail(f"replaykit_sessions: {error}", pytrace=False)
    labels = [reference.label for reference in references]
    metafunc.parametrize("replay_session", references, indirect=True, ids=labels)


def _references(metafunc: pytest.Metafunc, path: str | os.PathLike[str], **options: Any) -> list[SessionReference]:
    shard = metafunc.config.getoption("replay_shard")
    if shard is not None:
        options["shard"] = shard
    beside = metafunc.definition.path.parent / path
    located = beside if beside.exists() else metafunc.config.rootpath / path
    return recorded_sessions(str(located), **options)
