"""Runs the command line, here or in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program

__all__ = ["called", "recorded_store", "run"]


def run(*words: str, told: str | None = None) -> Result:
    """Run ``replaykit`` here, with *told* on its input."""
    return CliRunner().invoke(program, list(words), input=told)


def called(*words: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start ``replaykit`` in a process of its own; *variables* are of its environment."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.Popen(
        [sys.executable, "-m", "replaykit", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def recorded_store(folder: Path) -> str:
    """Make a store with a session of three calls, and return its path."""
    path = str(folder / "runs.rpk")

    @replaykit.records("find")
    def search(query: str) -> list[str]:
        return [query]

    with replaykit.Recorder(path) as recorder, recorder.session("an elephant \N{ELEPHANT}"):
        for _ in range(3):
            search("where is the \N{ELEPHANT}?")
    return path
