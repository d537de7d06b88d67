"""What answers a question from hits: the `Model` protocol, and what those share that have no pieces to give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from replaykit.model import Answer, Hit

__all__ = ["NOTHING_FOUND", "Hits", "Model", "ModelChoice", "WholeAnswers", "in_thread", "nothing_found"]

NOTHING_FOUND = "No relevant frames were found for this question."
"""The answer when nothing in the memory speaks to the question."""

Hits = tuple[Hit, ...]

ModelChoice = str | Callable[[str, Hits], Any]
"""A model as the caller names it: ``extractive``, ``openai:NAME``, or a callable ``(question, hits) -> str``."""


class Model(Protocol):
    """
    Answers from hits; there is at least one.

    A stream gives pieces of the text and, last, the `Answer` with all of it.
    """

    @property
    def provider(self) -> str:
        """Who answers."""

    @property
    def name(self) -> str:
        """Which of the provider's models."""

    def answer(self, question: str, hits: Hits) -> Answer:
        """Return the answer."""

    async def answer_async(self, question: str, hits: Hits) -> Answer:
        """Return the answer."""

    def stream(self, question: str, hits: Hits) -> Iterator[str | Answer]:
        """Yield the answer in pieces, and then as a whole."""

    def stream_async(self, question: str, hits: Hits) -> AsyncIterator[str | Answer]:
        """Yield the answer in pieces, and then as a whole."""


class WholeAnswers(ABC):
    """A model whose answer comes at once: its stream is one piece."""

    @abstractmethod
    def answer(self, question: str, hits: Hits) -> Answer:
        """Return the answer."""

    async def answer_async(self, question: str, hits: Hits) -> Answer:
        """Return the answer."""
        return self.answer(question, hits)

    def stream(self, question: str, hits: Hits) -> Iterator[str | Answer]:
        """Yield the text of the answer, and then the answer."""
        answer = self.answer(question, hits)
        yield answer.text
        yield answer

    async def stream_async(self, question: str, hits: Hits) -> AsyncIterator[str | Answer]:
        """Yield the text of the answer, and then the answer."""
        answer = await self.answer_async(question, hits)
        yield answer.text
        yield answer


def nothing_found(model: Model) -> Answer:
    """Return what is said in *model*'s place where there are no hits to ask it about."""
    return Answer(text=NOTHING_FOUND, provider=model.provider, model=model.name)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call *function* in a thread, in a copy of this context, and let the event loop go on."""
    # Here, since most memories never see an event loop.
    import asyncio

    return await asyncio.to_thread(function, *args)
