"""How deep the fault tests go: a hundredth in the light run, a tenth for ``REPLAYKIT_EFFORT=ci``, all of it nightly."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

_SHARE = 1 if os.environ.get("REPLAYKIT_NIGHTLY") else 10 if os.environ.get("REPLAYKIT_EFFORT") == "ci" else 100


@pytest.fixture
def effort() -> Callable[[int], int]:
    """Return how many of the nightly count this run is to do; at least one."""
    return lambda nightly: max(1, nightly // _SHARE)
