"""A process that is killed while it makes checkpoints of a wrapped store."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rewinding.stores import OPERATIONS, Notes

import replaykit
from replaykit import Recorder

_TESTS = Path(__file__).parent.parent
_ROOT = Path(replaykit.__file__).parent.parent


def killed(location: str, after: int) -> list[list[int]]:
    """Run a worker, kill it once it has acknowledged *after* checkpoints; return all that it acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (_ROOT, _TESTS)))}
    command = [sys.executable, str(_TESTS / "rewinding/worker.py"), location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stdout is not None
        lines = [worker.stdout.readline() for _ in range(after)]
        worker.kill()
        lines += worker.stdout.readlines()
    # The last line may be torn, and acknowledges nothing then.
    return [list(map(int, line.split())) for line in lines if line.endswith("\n")]


def first_text(round_: int) -> str:
    """Return what the worker's first note says after a round; each 50th changes nothing."""
    changed_in = round_ if round_ % 50 else round_ - 1
    return f"round {changed_in}" if changed_in > 0 else "first"


@pytest.mark.parametrize("location", ["runs.rpk", "runs/"])
def test_every_acknowledged_checkpoint_restores(location: str, effort: Callable[[int], int]) -> None:
    """With the content of its round, whenever the process was killed; the next one goes on in the same file."""
    chosen = random.Random(location)
    for _ in range(effort(100)):
        acknowledged = killed(location, chosen.randint(1, 60))
        notes = Notes()
        with Recorder(location) as recorder:
            recorder.wrap(notes, OPERATIONS, frames=True)
            checkpoints = recorder.get_session("killed").checkpoints
            for identity, round_ in (acknowledged[0], acknowledged[-1]):
                assert recorder.restore(checkpoints[identity]).is_exact
                assert (notes.items["k0"].text, len(notes.items)) == (first_text(round_), 50)
