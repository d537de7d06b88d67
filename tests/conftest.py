"""What every test gets: a folder of its own, no REPLAYKIT_* settings, no network telemetry of dependencies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "replaykit",
    deadline=None,
    derandomize=not os.environ.get("REPLAYKIT_NIGHTLY"),
    max_examples=1000 if os.environ.get("REPLAYKIT_NIGHTLY") else 60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
settings.load_profile("replaykit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave ``tests/libraries`` alone in the light run: importing it needs the real libraries."""
    return True if collection_path.name == "libraries" and config.option.markexpr != "libraries" else None


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run in a folder of one's own, so that a default store never lands in the checkout."""
    for name in [name for name in os.environ if name.startswith("REPLAYKIT_") and name != "REPLAYKIT_NIGHTLY"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
