"""How much of a count a run goes through: a two hundredth, a tenth for CI, all of it by night."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

__all__ = ["Figure", "effort", "is_long_run", "sampled", "some_of"]

Figure = Callable[[str, str], None]
"""What the fixture ``figure`` gives: ``figure(guarantee, text)``."""

# Read when the tests are collected: each test runs without such settings.
_SHARE = 1 if os.environ.get("REPLAYKIT_NIGHTLY") else 10 if os.environ.get("REPLAYKIT_EFFORT") == "ci" else 200


def effort(nightly: int) -> int:
    """Return how many of *nightly* cases this run takes, at least one."""
    return max(1, nightly // _SHARE)


def sampled(population: Sequence[int], nightly: int, always: Sequence[int] = ()) -> list[int]:
    """Return *always* and so many others of *population*, ascending; the same ones in every run of one size."""
    count = min(len(population), effort(nightly))
    return sorted({*always, *random.Random(5).sample(population, count)})


def some_of(cases: Sequence[str]) -> Sequence[str]:
    """Return each sixth of *cases* in the light run, else all of them."""
    return cases if _SHARE < 200 else cases[::6]


def is_long_run(arguments: Sequence[str]) -> bool:
    """Return whether ``tests/guarantees`` is asked for: by name, or with more effort than the light run's."""
    return _SHARE < 200 or any("guarantees" in argument for argument in arguments)
