"""A model that is a callable of the user's: ``(question, hits) -> str``, or one to await."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from replaykit.errors import UsageError
from replaykit.format.names import safe_name
from replaykit.intercept.shapes import shape_of
from replaykit.memory.asking.models import Hits, WholeAnswers, in_thread
from replaykit.model import Answer

__all__ = ["CallableModel", "name_of"]


def name_of(function: Any) -> str:
    """Return the name that stands for a callable: its own, or that of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return safe_name(name if isinstance(name, str) else type(function).__name__)


class CallableModel(WholeAnswers):
    """
    A callable under its own name; what it raises passes.

    Raises:
        UsageError: It gives no text, or has to be awaited where nothing awaits.
    """

    provider = "callable"

    def __init__(self, function: Any) -> None:
        self._function = function
        self.name = name_of(function)

    def answer(self, question: str, hits: Hits) -> Answer:
        """Call it here."""
        if shape_of(self._function) == "coroutine":
            raise self._must_be_awaited()
        text = self._function(question, hits)
        if inspect.iscoroutine(text):
            text.close()
        if inspect.isawaitable(text):
            raise self._must_be_awaited()
        return self._answered(text, hits)

    async def answer_async(self, question: str, hits: Hits) -> Answer:
        """Await it, or call it in a thread: it may take long, and the event loop goes on."""
        if shape_of(self._function) == "coroutine":
            text = await self._function(question, hits)
        else:
            text = await in_thread(self._function, question, hits)
        return self._answered(await text if inspect.isawaitable(text) else text, hits)

    def _must_be_awaited(self) -> UsageError:
        return UsageError(f"the model {self.name} is async: use ask_async or ask_stream_async")

    def _answered(self, text: object, hits: Hits) -> Answer:
        if not isinstance(text, str):
            raise UsageError(f"the model {self.name} returned {type(text).__name__}; it must return the answer as str")
        return Answer(
            text=text, provider=self.provider, model=self.name, frame_ids=tuple(hit.frame_id for hit in hits), hits=hits
        )
