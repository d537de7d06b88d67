"""
What ``peers.py`` asks of a recorder, and how the calls are counted that one has kept.

What would go to a vendor's server goes to a ``Sink``; arguments and results
are recorded whole wherever the library can.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs
from sink import arrived

import replaykit

# Whatever the environment says about exporters, projects and keys; and nobody reports that it was used.
for _name in list(os.environ):
    if _name.startswith(("OTEL_", "LANGSMITH_", "LANGCHAIN_", "LANGFUSE_", "LOGFIRE_", "MLFLOW_")):
        del os.environ[_name]
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MEMVID_TELEMETRY": "0"}
os.environ |= {"LANGSMITH_TRACING": "true", "LANGFUSE_MEDIA_UPLOAD_ENABLED": "false"}

OURS = "replaykit-memory"

Call = Callable[[str], Any]
Calls = Mapping[str, Call]
"""The recorded functions by the name of what is called; each takes a text."""


class Running:
    """A recorder that is set up; calls are recorded between `enter` and `drain`."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def enter(self) -> None:
        """Get ready for a run of calls."""

    def drain(self) -> None:
        """Return when everything recorded has been written or sent."""

    def close(self) -> None:
        """Let go of everything."""


@attrs.frozen(kw_only=True)
class Peer:
    """A recorder by name; *start* takes a folder of its own, a sink's address and the functions to record."""

    name: str
    distribution: str
    """Its name on the package index."""

    start: Callable[[Path, str, Calls], Running]
    count_kept: Callable[[Path], int] | None = None
    """Returns how many calls a folder holds whole; None for what keeps nothing."""

    workloads: tuple[str, ...] = ("find", "ask")
    is_bare: bool = False
    """Whether it is what the others of its workloads are held against."""

    trial_calls: int = 2_000
    """How many calls tell its bytes and CPU time."""

    @property
    def version(self) -> str | None:
        """Return the installed version, or None."""
        if self.distribution == OURS:
            return replaykit.__version__
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None


# -- what is kept -------------------------------------------------------------------

_CALL, _END = re.compile(rb"call-(\d+)"), re.compile(rb"end-(\d+)")


def whole_calls(bodies: Iterator[bytes]) -> int:
    """Return how many calls are there with both their argument and the end of their result."""
    asked: set[bytes] = set()
    ended: set[bytes] = set()
    for body in bodies:
        asked.update(_CALL.findall(body))
        ended.update(_END.findall(body))
    return len(asked & ended)


def in_files(pattern: str) -> Callable[[Path], int]:
    """Return what counts the whole calls in the files of a folder."""

    def counted(folder: Path) -> int:
        return whole_calls(path.read_bytes() for path in folder.glob(pattern))

    return counted


def in_sink(folder: Path) -> int:
    return whole_calls(arrived(folder / "sink"))
