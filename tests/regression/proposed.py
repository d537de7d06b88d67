"""Recordings of tests, and proposals beside them, as `pytest --replay-update` writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import replaykit
from replaykit.regression.places import place_of, proposal_path
from replaykit.regression.writing import recording_bytes, write_recording

Calls = Sequence[tuple[str, Any]]
"""Of each call what was asked and what it gave."""


def recorded(path: str | Path, identity: str, calls: Calls, **metadata: Any) -> Path:
    """Write the recording of the test *identity* to *path* and return that."""
    with replaykit.Recorder(":memory:", on_loss="raise") as recorder:
        with recorder.session("whatever") as session:
            for query, output in calls:
                session.record("find", name="search", arguments={"query": query}, output=output)
        write_recording(str(path), recording_bytes(identity, [(session.result, None)], metadata=metadata))
    return Path(path)


def of_test(folder: Path, calls: Calls, *names: str, module: str = "test_notes.py") -> Path:
    """Write the recording of a test of *module* in *folder*."""
    place = place_of(folder / module, names or ["test_find"])
    return recorded(place.path, place.identity, calls)


def proposed(folder: Path, calls: Calls, *names: str, module: str = "test_notes.py") -> Path:
    """Write the proposal for a test of *module* in *folder*."""
    place = place_of(folder / module, names or ["test_find"])
    return recorded(proposal_path(place.path), place.identity, calls)


def files_in(folder: Path) -> list[str]:
    """Return the names of recordings and proposals below *folder*."""
    return sorted(os.path.relpath(path, folder) for path in folder.rglob("*.rpk"))
