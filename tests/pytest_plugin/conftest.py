"""A project whose tests play recordings, for pytest to run within pytest."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from replaykit.redactors import make_redactor

# What a run within a run imports it forgets, and the next imports it again.
_NEEDED = [
    "apsw",
    "google_crc32c",
    "ormsgpack",
    "replaykit.adapters.finding",
    "replaykit.cli.commands",
    "replaykit.memory.memory",
    "replaykit.pytest_plugin.run",
    "replaykit.pytest_plugin.sessions",
    "replaykit.regression.asserting",
    "replaykit.wrapping",
]
for _module in _NEEDED:
    importlib.import_module(_module)
make_redactor(("secrets",)).prepare()

AGENT = '''
"""The code under test: what it runs for real is in RAN."""

import os

import replaykit

RAN = []


@replaykit.records("find")
def search(query: str, k: int = 2) -> list[dict]:
    RAN.append(query)
    if os.environ.get("OFFLINE"):
        raise ConnectionError("there is no store here")
    version = os.environ.get("ANSWER", "")
    return [{"id": number, "text": f"{query} {number}{version}"} for number in range(k)]


@replaykit.records("tool")
def fetch(url: str) -> str:
    RAN.append(url)
    return search(url)[0]["text"]
'''


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project with an agent to test, on no build server."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    pytester.makepyfile(agent=AGENT)
    return pytester


@pytest.fixture
def run(project: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Return what runs the project's tests in this process."""

    def run_here(*arguments: str) -> pytest.RunResult:
        return project.runpytest_inprocess("-p", "no:xdist", "-p", "no:randomly", *arguments)

    return run_here
