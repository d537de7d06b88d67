"""What is given wrongly is a usage error of ours, not an error of a class inside."""

from __future__ import annotations

import pytest

import replaykit


def test_wrong_arguments_are_usage_errors() -> None:
    """Not errors of a class inside."""
    with replaykit.open(":memory:") as mv:
        with mv.session("s"):
            mv.put("one")
        for find in (None, 7, b"one"):
            with pytest.raises(replaykit.errors.UsageError, match="a query or a recorded find"):
                mv.bisect(find)  # type: ignore[arg-type]  # that is what is asked
        for replay in (lambda: mv.replay("s", foo=1), lambda: replaykit.replay(mv.get_session(), mv, foo=1)):
            with pytest.raises(replaykit.errors.UsageError, match="unknown option 'foo'"):
                replay()
