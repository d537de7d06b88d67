"""
What a power loss can leave behind at every step of a program: a public generator of test states.

After ALICE and CrashMonkey: the steps come from `TracedFiles`, and each state
is a `MemoryFiles`, ready to be opened by what should survive it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.testing.files import MemoryFiles, Step, repeat

__all__ = ["CrashState", "crash_states"]


@attrs.frozen(kw_only=True)
class CrashState:
    """
    One disk that a power loss may leave.

    Attributes:
        at: So many steps had happened.
        said: What the program had said to the outside by then.
        synced: How many bytes of each file had been synced by then; for `GuardedFiles`.
        files: The disk.
    """

    at: int
    said: Sequence[Any]
    synced: Mapping[str, int]
    files: MemoryFiles


def crash_states(
    steps: Sequence[Step],
    *,
    seed: int,
    each: int = 8,
    start: MemoryFiles | None = None,
    powersafe_overwrite: bool = True,
) -> Iterator[CrashState]:
    """
    Yield *each* states per prefix of *steps*, and one where nothing was left to sync.

    The disk is as *start* before the first step, else empty.  Equal arguments
    give equal states.  See `MemoryFiles.after_power_loss` for what may be lost.
    """
    disk = MemoryFiles() if start is None else start.after_kill()
    said: list[Any] = []
    for at, step in enumerate(steps, 1):
        repeat([step], disk)
        if step.what == "said":
            said.append(step.said)
        # What was said without a change of the disk only asks for more.
        if at < len(steps) and steps[at].what == "said":
            continue
        for number in range(1 if disk.is_settled else each):
            chance = random.Random(f"{seed}/{at}/{number}")  # noqa: S311 - repeatable, no secret
            files = disk.after_power_loss(chance, powersafe_overwrite=powersafe_overwrite)
            yield CrashState(at=at, said=tuple(said), synced=disk.synced, files=files)
