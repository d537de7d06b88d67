"""What the tests of this folder get: a recorder that says what it loses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import replaykit


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Any]:
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        yield recorder
