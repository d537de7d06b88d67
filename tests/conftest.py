"""What every test gets: a folder of its own, no REPLAYKIT_* settings, how much it is to do, a place for its figures."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import effort as share_of
from effort import is_long_run
from hypothesis import HealthCheck, settings

from replaykit.intercept.scope import CURRENT

# Hundreds of tests start programs, and each of them would compile all of the
# library anew: a quarter of the run's time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile(
    "replaykit",
    deadline=None,
    derandomize=not os.environ.get("REPLAYKIT_NIGHTLY"),
    max_examples=1000 if os.environ.get("REPLAYKIT_NIGHTLY") else 60 if os.environ.get("REPLAYKIT_EFFORT") else 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
settings.load_profile("replaykit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """
    Leave alone what is not of the light run.

    Importing ``tests/libraries`` needs the real libraries; ``tests/guarantees``
    takes long, and is run by name or with ``REPLAYKIT_EFFORT``; the sample
    project is one by itself, which tests run.
    """
    needs_libraries = collection_path.name == "libraries" and config.option.markexpr != "libraries"
    is_long = collection_path.name == "guarantees" and not is_long_run(config.args)
    return True if needs_libraries or is_long or collection_path.name == "sample_project" else None


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    Run in a folder of one's own, so that a default store never lands in the checkout, and in no session yet.

    What the environment says of settings and of CI is taken away: a test says
    itself what it means, and passes wherever it runs.
    """
    for name in [name for name in os.environ if name.startswith("REPLAYKIT_") and name != "REPLAYKIT_NIGHTLY"]:
        monkeypatch.delenv(name)
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    # A test that ended without ending its session leaves it in this context.
    CURRENT.set(None)
    # A library that configures logging may disable the loggers that were there, and silence all.
    level = logging.root.level
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("replaykit") and isinstance(logger, logging.Logger):
            logger.disabled = False
    yield tmp_path
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def effort() -> Callable[[int], int]:
    """
    Return how many of a nightly count this run is to do; at least one.

    A two hundredth in the light run, a tenth with ``REPLAYKIT_EFFORT=ci``, all of
    it with ``REPLAYKIT_NIGHTLY=1``.
    """
    return share_of


@pytest.fixture
def figure(record_property: Callable[[str, Any], None]) -> Callable[[str, str], None]:
    """Return ``figure(guarantee, text)``: the run's summary shows *text*, which says what was counted."""
    return lambda guarantee, text: record_property(_FIGURE, [guarantee, text])


_FIGURE = "figure"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the figures of all tests, whichever process ran them."""
    figures = {
        tuple(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _FIGURE
    }
    if not figures:
        return
    terminalreporter.section("figures")
    for guarantee, text in sorted(figures, key=lambda each: (len(each[0]), each)):
        terminalreporter.write_line(f"{guarantee:>4}: {text}")
