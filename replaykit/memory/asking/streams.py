"""Answers in pieces, as the caller reads them: `AnswerStream` and `AsyncAnswerStream`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from replaykit.errors import UsageError
from replaykit.model import Answer

__all__ = ["AnswerStream", "AsyncAnswerStream"]


def _read(answer: Answer | None) -> Answer:
    if answer is None:
        raise UsageError("the answer is not there yet: read the stream to its end first")
    return answer


class AnswerStream:
    """
    An iterator of the pieces of an answer, and then the `Answer`.

    The call begins with the first piece.  Who leaves before the last one
    closes it (``with``, or `close`): the server is let go of, and the call is
    recorded as abandoned, with the pieces so far.
    """

    def __init__(self, items: Generator[Any, Any, Any]) -> None:
        self._items = items
        self._answer: Answer | None = None

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> str:
        for item in self._items:
            if not isinstance(item, Answer):
                piece: str = item
                return piece
            self._answer = item
        raise StopIteration

    @property
    def answer(self) -> Answer:
        """
        The whole answer.

        Raises:
            UsageError: The stream was not read to its end.
        """
        return _read(self._answer)

    def close(self) -> None:
        """Leave the rest; closing twice is fine."""
        self._items.close()

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncAnswerStream:
    """`AnswerStream` for ``async for`` and ``async with``."""

    def __init__(self, items: AsyncGenerator[Any, Any]) -> None:
        self._items = items
        self._answer: Answer | None = None

    def __aiter__(self) -> AsyncAnswerStream:
        return self

    async def __anext__(self) -> str:
        async for item in self._items:
            if not isinstance(item, Answer):
                piece: str = item
                return piece
            self._answer = item
        raise StopAsyncIteration

    @property
    def answer(self) -> Answer:
        """
        The whole answer.

        Raises:
            UsageError: The stream was not read to its end.
        """
        return _read(self._answer)

    async def aclose(self) -> None:
        """Leave the rest; closing twice is fine."""
        await self._items.aclose()

    async def __aenter__(self) -> AsyncAnswerStream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()
