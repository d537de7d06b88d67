"""
File layers that stand in for the disk: public test doubles for plug-in authors.

`MemoryFiles` is a disk in RAM that can be full, killed or lose its power.
The others wrap any layer: `FaultyFiles` fails an operation, `TracedFiles`
writes down what happens, `GuardedFiles` refuses to have synced bytes cut.
"""

from __future__ import annotations

from replaykit.testing.files.faulty import CHANGES, EVERYTHING, FaultyFiles
from replaykit.testing.files.guarded import GuardedFiles
from replaykit.testing.files.memory import SECTOR, MemoryFiles
from replaykit.testing.files.traced import Step, TracedFiles, repeat
from replaykit.testing.files.wrapping import WrappedFiles

__all__ = [
    "CHANGES",
    "EVERYTHING",
    "SECTOR",
    "FaultyFiles",
    "GuardedFiles",
    "MemoryFiles",
    "Step",
    "TracedFiles",
    "WrappedFiles",
    "repeat",
]
