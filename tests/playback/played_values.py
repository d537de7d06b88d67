"""Records a value and plays it."""

from __future__ import annotations

from typing import Any

import replaykit

__all__ = ["played"]


def played(value: Any, returns: Any) -> Any:
    """Record a function that returns *value* and is annotated so; return what a play of it gives."""

    def function() -> Any:
        return value

    function.__annotations__["return"] = returns
    recorded = replaykit.records("tool")(function)
    with replaykit.session(store=":memory:") as session:
        recorded()
    assert session.result is not None
    with replaykit.play(session.result):
        return recorded()
