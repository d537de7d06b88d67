"""
The recorders that ``peers.py`` compares: replaykit, the tracers, and what records no functions, beside what it records.
"""

from __future__ import annotations

import contextlib
import functools
import json
import urllib.request
from functools import cache, partial
from pathlib import Path
from typing import Any

from actions import make_actions
from running import OURS, Call, Calls, Peer, Running, in_files, in_sink, whole_calls
from tracers import Langfuse, Langsmith, Logfire, Mlflow, OpenTelemetry, kept_by_mlflow

import replaykit

__all__ = ["PEERS", "fetch_from", "notes"]

# -- none, and ours --------------------------------------------------------------------


def bare(folder: Path, url: str, calls: Calls) -> Running:
    return Running(calls)


def plain_wrapper(folder: Path, url: str, calls: Calls) -> Running:
    def wrapped(function: Call) -> Call:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return call

    return Running({name: wrapped(function) for name, function in calls.items()})


def _decorated(calls: Calls) -> Calls:
    return {name: replaykit.records("ask" if name == "ask" else "find")(function) for name, function in calls.items()}


def idle(folder: Path, url: str, calls: Calls) -> Running:
    return Running(_decorated(calls))


class Ours(Running):
    """A session per run of calls, with everything on: redaction, arguments, results, kill-safe."""

    def __init__(self, folder: Path, url: str, calls: Calls) -> None:
        super().__init__(_decorated(calls))
        self._recorder = replaykit.Recorder(folder / "runs.rpk")
        self._block: Any = None

    def enter(self) -> None:
        self._block = self._recorder.session("measured")
        self._block.__enter__()

    def drain(self) -> None:
        self._block.__exit__(None, None, None)
        self._recorder.flush()

    def close(self) -> None:
        lost = sum(summary.lost for summary in self._recorder.list_sessions())
        self._recorder.close()
        assert lost == 0, f"{lost} actions were lost"


def actions_kept_by_us(folder: Path) -> int:
    """Return how many calls are there, the first session of a trial apart: it only warms up."""
    with replaykit.Recorder(folder / "runs.rpk") as recorder:
        return sum(summary.action_count for summary in recorder.list_sessions()[1:])


def kept_by_us(folder: Path) -> int:
    with replaykit.Recorder(folder / "runs.rpk") as recorder:
        sessions = [recorder.get_session(summary.session_id) for summary in recorder.list_sessions()]
        bodies = (json.dumps([each.arguments, each.output]).encode() for found in sessions for each in found.actions)
        return whole_calls(bodies)


# -- recorders of their own calls ----------------------------------------------------------


def fetch_from(url: str) -> Call:
    """Return a function that fetches JSON from the sink."""

    def fetch(name: str) -> Any:
        with urllib.request.urlopen(f"{url}/{name}") as answer:
            return json.load(answer)

    return fetch


class Vcr(Running):
    """HTTP calls, in a cassette for each run of calls; the cassette is written at its end."""

    def __init__(self, folder: Path, url: str, calls: Calls) -> None:
        import vcr

        self._recorder, self._folder, self._count = vcr.VCR(record_mode="all"), folder, 0
        self._cassette: Any = None
        super().__init__(calls)

    def enter(self) -> None:
        self._count += 1
        self._cassette = self._recorder.use_cassette(str(self._folder / f"{self._count}.yaml"))
        self._cassette.__enter__()

    def drain(self) -> None:
        self._cassette.__exit__(None, None, None)


@cache
def notes() -> list[str]:
    """Return the texts of a small memory."""
    return [action.arguments["content"] for action in make_actions(80) if action.kind == "put"]


class Memvid(Running):
    """A memory of memvid's whose finds are the calls; *records* puts them into a session of its own."""

    def __init__(self, folder: Path, url: str, calls: Calls, *, records: bool = True) -> None:
        import memvid_sdk

        self._memory = memvid_sdk.create(str(folder / "notes.mv2"), enable_lex=True, enable_vec=False)
        self._memory.put_many([{"title": "a note", "label": "text", "text": text} for text in notes()])
        self._memory.seal()
        self._records = records
        super().__init__({"memvid find": self._find})

    def _find(self, query: str) -> Any:
        return self._memory.find(query, k=5, mode="lex")

    def enter(self) -> None:
        if self._records:
            self._memory.session_start("measured")

    def drain(self) -> None:
        if self._records:
            self._memory.session_end()
            self._memory.seal()

    def close(self) -> None:
        self._memory.close()


def kept_by_memvid(folder: Path) -> int:
    import memvid_sdk

    memory = memvid_sdk.use("basic", str(folder / "notes.mv2"), mode="open", enable_lex=True)
    with contextlib.closing(memory):
        # The first one of a trial only warms up.
        return sum(int(session["action_count"]) for session in memory.session_list()[1:])


def ours_around_memvid(folder: Path, url: str, calls: Calls) -> Running:
    """Return our recording of the finds of such a memory."""
    memory = Memvid(folder, url, calls, records=False)
    running = Ours(folder, url, memory.calls)
    close = running.close

    def close_both() -> None:
        close()
        memory.close()

    running.close = close_both  # type: ignore[method-assign]  # the memory goes with its recorder
    return running


# -- all of them ---------------------------------------------------------------------------


_OURS: dict[str, Any] = {"distribution": OURS}
_SPANS: dict[str, Any] = {"distribution": "opentelemetry-sdk", "count_kept": in_files("*.jsonl")}
_TRACES: dict[str, Any] = {"distribution": "mlflow", "count_kept": kept_by_mlflow, "trial_calls": 60}
_GETS: dict[str, Any] = {"workloads": ("GET",), "trial_calls": 200}
_MEMORY: dict[str, Any] = {"distribution": "memvid-sdk", "workloads": ("memvid find",), "trial_calls": 200}

_ALL = (
    Peer(name="bare", **_OURS, start=bare, workloads=("find", "ask", "GET"), is_bare=True),
    Peer(name="a wrapper that does nothing", **_OURS, start=plain_wrapper),
    Peer(name="replaykit, not recording", **_OURS, start=idle),
    Peer(name="replaykit", **_OURS, start=Ours, count_kept=kept_by_us),
    Peer(name="OpenTelemetry, batch", **_SPANS, start=partial(OpenTelemetry, is_batched=True)),
    Peer(name="OpenTelemetry, simple", **_SPANS, start=partial(OpenTelemetry, is_batched=False)),
    Peer(name="langfuse", distribution="langfuse", start=Langfuse, count_kept=in_sink),
    Peer(name="langsmith", distribution="langsmith", start=Langsmith, count_kept=in_sink),
    Peer(name="logfire", distribution="logfire", start=Logfire, count_kept=in_files("*.jsonl")),
    Peer(name="mlflow, async", **_TRACES, start=partial(Mlflow, is_async=True)),
    Peer(name="mlflow, sync", **_TRACES, start=partial(Mlflow, is_async=False)),
    Peer(name="replaykit, of a GET", **_OURS, **_GETS, start=Ours, count_kept=kept_by_us),
    Peer(name="vcrpy, of a GET", distribution="vcrpy", **_GETS, start=Vcr, count_kept=in_files("*.yaml")),
    Peer(name="memvid-sdk without a session", **_MEMORY, start=partial(Memvid, records=False), is_bare=True),
    Peer(name="memvid-sdk, its own session", **_MEMORY, start=Memvid, count_kept=kept_by_memvid),
    Peer(name="replaykit, of memvid-sdk", **_MEMORY, start=ours_around_memvid, count_kept=actions_kept_by_us),
)
PEERS = {peer.name: peer for peer in _ALL}
"""The recorders by name, in the order of the tables."""
