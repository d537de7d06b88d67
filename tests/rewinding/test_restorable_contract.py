"""The contract of stores that can be put back, on a plain one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rewinding.stores import Notes

from replaykit.testing.restorables import RestorableContract


class TestNotes(RestorableContract):
    @pytest.fixture
    def fresh(self) -> Callable[[], Notes]:
        return Notes
