"""Asks as they are recorded: four rows of kind ask, whose arguments hold no key."""

from __future__ import annotations

from typing import Any

import attrs

from replaykit.intercept.binding import Binder, binder_of
from replaykit.intercept.recorded import Recorded
from replaykit.intercept.shapes import RUNNERS
from replaykit.memory.asking.asking import Asking
from replaykit.memory.asking.callables import name_of
from replaykit.operations import Operation

__all__ = ["recorded_asks", "run_ask"]

_SHAPES = {
    "ask": "plain",
    "ask_async": "coroutine",
    "ask_stream": "generator",
    "ask_stream_async": "async_generator",
}

# Where a model runs and how long it is waited for changes no answer: what was
# recorded with a server plays without one.
_IGNORED = ("base_url", "timeout_s")

_STREAMED_IDS = "result.*.hits.*.frame_id"
"""Where a stream's frames are: in the answer, which is its last item."""


def recorded_asks(memory: Any, source: str) -> dict[str, Recorded]:
    """Return what records each form of *memory*'s asks."""
    return {name: Recorded(_row(name, source), memory, bind=_shown(_binder(name))) for name in _SHAPES}


def run_ask(recorded: Recorded, asking: Asking, *args: Any, **kwargs: Any) -> Any:
    """Run *asking* in the form that *recorded* is of, and have it recorded with the generation that it read."""
    name = recorded.operation.name
    of_this_ask = attrs.evolve(recorded, generation=asking.generation)
    return RUNNERS[_SHAPES[name]](of_this_ask, getattr(asking, name), args, kwargs)


def _row(name: str, source: str) -> Operation:
    ids = _STREAMED_IDS if "stream" in name else None
    return Operation(kind="ask", name=name, source=source, ids=ids, ignore=_IGNORED)


def _binder(name: str) -> Binder:
    return binder_of(getattr(Asking, name), skip_first=True)


def _shown(bind: Binder) -> Binder:
    """Bind without the key and without what was not given; a callable is its name."""

    def bind_shown(*args: Any, **kwargs: Any) -> dict[str, Any]:
        kwargs.pop("api_key", None)
        shown = {name: value for name, value in bind(*args, **kwargs).items() if value is not None}
        model = shown.get("model")
        if callable(model):
            shown["model"] = name_of(model)
        return shown

    return bind_shown
