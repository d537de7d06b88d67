"""One ask in one of its four forms: find, then let the model answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Unpack

from replaykit.errors import UsageError
from replaykit.memory.asking.choosing import model_for
from replaykit.memory.asking.models import Hits, Model, ModelChoice, in_thread, nothing_found
from replaykit.memory.asking.options import AskOptions, separated
from replaykit.model import Answer, SearchResult

__all__ = ["Asking"]


class Asking:
    """
    One ask.

    *find* gives the hits; *last_generation* says of the calling thread which
    generation it has just read.  Without hits no model is called.  All forms
    raise `UsageError` for what cannot be asked, and what the model raises.
    """

    def __init__(self, find: Callable[..., SearchResult], last_generation: Callable[[], int]) -> None:
        self._find = find
        self._last_generation = last_generation
        self._read: int | None = None

    def generation(self) -> int:
        """Return the generation that the hits are of, however late it is asked for."""
        return self._last_generation() if self._read is None else self._read

    def ask(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Answer:
        """Return the answer."""
        chosen, hits = self._prepared(question, k, model, options)
        return chosen.answer(question, hits) if hits else nothing_found(chosen)

    def answer_from(
        self, hits: Hits, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Answer:
        """Return the answer from *hits* in place of those that a find would give."""
        chosen = model_for(model, separated(options)[1])
        return chosen.answer(question, hits) if hits else nothing_found(chosen)

    async def ask_async(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Answer:
        """Return the answer; the event loop goes on meanwhile."""
        chosen, hits = await in_thread(self._prepared, question, k, model, options)
        return await chosen.answer_async(question, hits) if hits else nothing_found(chosen)

    def ask_stream(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> Iterator[str | Answer]:
        """Yield the answer in pieces, and then as a whole."""
        chosen, hits = self._prepared(question, k, model, options)
        if hits:
            yield from chosen.stream(question, hits)
            return
        nothing = nothing_found(chosen)
        yield nothing.text
        yield nothing

    async def ask_stream_async(
        self, question: str, k: int = 6, *, model: ModelChoice = "extractive", **options: Unpack[AskOptions]
    ) -> AsyncIterator[str | Answer]:
        """Yield the answer in pieces, and then as a whole; the event loop goes on meanwhile."""
        chosen, hits = await in_thread(self._prepared, question, k, model, options)
        if not hits:
            nothing = nothing_found(chosen)
            yield nothing.text
            yield nothing
            return
        stream = chosen.stream_async(question, hits)
        try:
            async for item in stream:
                yield item
        finally:
            # Leaving early must let go of the server now, not when the
            # garbage collector comes by.
            await stream.aclose()

    def _prepared(self, question: object, k: int, choice: ModelChoice, options: AskOptions) -> tuple[Model, Hits]:
        if not isinstance(question, str):
            raise UsageError(f"question must be str, not {type(question).__name__}")
        search, for_model = separated(options)
        model = model_for(choice, for_model)
        hits = self._find(question, k, **search).hits
        # In the thread that has just read.
        self._read = self._last_generation()
        return model, hits
