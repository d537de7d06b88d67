"""
What comes back from a chat completions server: text, tokens, and when it began.

The package does not check what a server sends against its own types, so
nothing is taken for granted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from replaykit.memory.asking.provider_errors import Endpoint

__all__ = ["MAX_ANSWER_CHARS", "Completion", "Streamed", "whole"]

MAX_ANSWER_CHARS = 4_000_000
"""A stream that goes on beyond this is broken off."""


@attrs.frozen(kw_only=True)
class Completion:
    """What a model wrote."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    first_token_ms: float | None = None


def whole(response: Any, endpoint: Endpoint) -> Completion:
    """
    Return what a response says.

    Raises:
        ProviderError: It has no text.
    """
    choice = _first_choice(response)
    message = getattr(choice, "message", None)
    text = _text(message, "content") or _text(message, "refusal")
    if not text:
        raise endpoint.error(f"the server's answer has no text{_reason(choice)}")
    return Completion(text=text, **_tokens(response))


class Streamed:
    """A stream as it comes in; the clock starts now."""

    def __init__(self, endpoint: Endpoint, clock_ns: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._clock_ns = clock_ns
        self._started_ns = clock_ns()
        self._first_token_ms: float | None = None
        self._pieces: list[str] = []
        self._length = 0
        self._last: Any = None
        self._tokens: dict[str, int | None] = {}

    def add(self, chunk: Any) -> str:
        """
        Take the next chunk; return its text, mostly a few characters, sometimes none.

        Raises:
            ProviderError: The answer is longer than any answer.
        """
        choice = _first_choice(chunk)
        if _text(choice, "finish_reason"):
            self._last = choice
        if getattr(chunk, "usage", None) is not None:
            self._tokens = _tokens(chunk)
        delta = getattr(choice, "delta", None)
        piece = _text(delta, "content") or _text(delta, "refusal")
        if piece:
            self._take(piece)
        return piece

    def _take(self, piece: str) -> None:
        if self._first_token_ms is None:
            self._first_token_ms = (self._clock_ns() - self._started_ns) / 1e6
        self._pieces.append(piece)
        self._length += len(piece)
        if self._length > MAX_ANSWER_CHARS:
            raise self._endpoint.error(f"the answer does not end: it is longer than {MAX_ANSWER_CHARS} characters")

    def completion(self) -> Completion:
        """
        Return all that came.

        Raises:
            ProviderError: The stream broke off before its end, or had no text.
        """
        if self._last is None:
            said = f"the stream broke off after {self._length} characters, before the answer's end"
            raise self._endpoint.error(said, retryable=True)
        if not self._pieces:
            raise self._endpoint.error(f"the server's answer has no text{_reason(self._last)}")
        return Completion(text="".join(self._pieces), first_token_ms=self._first_token_ms, **self._tokens)


def _first_choice(response: Any) -> Any:
    choices = getattr(response, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _text(holder: Any, name: str) -> str:
    value = getattr(holder, name, None)
    return value if isinstance(value, str) else ""


def _reason(choice: Any) -> str:
    reason = _text(choice, "finish_reason")
    return f" (it ended by {reason[:40]!r})" if reason else ""


def _tokens(response: Any) -> dict[str, int | None]:
    usage = getattr(response, "usage", None)
    return {name: _count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None
