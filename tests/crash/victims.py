"""Processes that are killed, and the one that they are forked from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["Server", "Victim"]

WORKER = Path(__file__).with_name("worker.py")


class Victim:
    """One forked child of the worker: what it says, line by line, and its end."""

    def __init__(self, process: subprocess.Popen[str], pipe: BinaryIO) -> None:
        assert process.stdout is not None
        self._answers = process.stdout
        self._pipe = pipe
        self.pid = int(self._answers.readline())

    def hear(self) -> dict[str, Any]:
        line = self._pipe.readline()
        assert line, "the child ended before it said what it should"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def kill(self) -> list[dict[str, Any]]:
        """Kill it now; return what it had said beyond what was heard."""
        os.kill(self.pid, signal.SIGKILL)
        return self.rest()

    def rest(self) -> list[dict[str, Any]]:
        """Return what it says until it is gone."""
        with self._pipe as pipe:
            lines = pipe.read().split(b"\n")
        self.status = int(self._answers.readline())
        # A line that the kill cut was never heard: it acknowledges nothing.
        return [json.loads(line) for line in lines[:-1]]


class Server:
    """The worker, from which victims are forked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._count = 0

    def fork(self, task: str, store: Path | str, **more: Any) -> Victim:
        self._count += 1
        pipe = self._folder / f"pipe{self._count}"
        os.mkfifo(pipe)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, "store": str(store), "pipe": str(pipe), **more}) + "\n")
        return Victim(self._process, open(pipe, "rb"))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
