"""
Models behind a server that speaks OpenAI's chat completions, through the ``openai`` package.

An ask is one request: the package's own retries are switched off.  A client
lives as long as its ask, so it belongs to no event loop and keeps no
connection open.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from replaykit.errors import UsageError
from replaykit.memory.asking.completions import Completion, Streamed, whole
from replaykit.memory.asking.models import Hits
from replaykit.memory.asking.options import DEFAULT_TIMEOUT_S, ModelOptions
from replaykit.memory.asking.prompts import Prompt, prompt_for
from replaykit.memory.asking.provider_errors import Endpoint
from replaykit.model import Answer

__all__ = ["SERVERS", "OpenAICompatible"]

SERVERS: dict[str, str | None] = {
    "openai": None,
    "ollama": "http://localhost:11434/v1",
    "vllm": "http://localhost:8000/v1",
    "lmstudio": "http://localhost:1234/v1",
}
"""Where each provider's server is unless ``base_url`` says otherwise; None leaves it to the package."""

_OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "no-key-needed"
"""What is sent to a server of one's own: the package insists on a key."""


class OpenAICompatible:
    """
    One model of one server.

    Raises:
        UsageError: The ``openai`` package is not there, or no key for a server that needs one.
    """

    def __init__(
        self,
        provider: str,
        name: str,
        options: ModelOptions,
        *,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.provider = provider
        self.name = name
        self._options = options
        self._clock_ns = clock_ns
        self._package = _openai()
        self._trusted = _trusted()
        self._url = options.base_url or SERVERS[provider] or os.environ.get("OPENAI_BASE_URL")
        self._endpoint = Endpoint(
            provider=provider,
            model=name,
            url=self._url or _OPENAI_URL,
            timeout_s=options.timeout_s or DEFAULT_TIMEOUT_S,
            secret=self._key(),
        )

    # -- the four forms -----------------------------------------------------------

    def answer(self, question: str, hits: Hits) -> Answer:
        """
        Return the model's answer.

        Raises:
            ProviderError: There is none, or one that cannot be used.
        """
        prompt = prompt_for(question, hits, system=self._options.system)
        with self._endpoint.translating(), self._client() as client:
            response = client.chat.completions.create(**self._request(prompt))
        return self._answer(prompt, hits, whole(response, self._endpoint))

    async def answer_async(self, question: str, hits: Hits) -> Answer:
        """As `answer`."""
        prompt = prompt_for(question, hits, system=self._options.system)
        with self._endpoint.translating():
            async with self._client_async() as client:
                response = await client.chat.completions.create(**self._request(prompt))
        return self._answer(prompt, hits, whole(response, self._endpoint))

    def stream(self, question: str, hits: Hits) -> Iterator[str | Answer]:
        """
        Yield the answer in pieces as they come, and then as a whole.

        Raises:
            ProviderError: There is none, or the stream breaks before its end.
        """
        prompt = prompt_for(question, hits, system=self._options.system)
        streamed = Streamed(self._endpoint, self._clock_ns)
        with self._endpoint.translating():
            client = self._client()
        with client:
            with self._endpoint.translating():
                chunks = client.chat.completions.create(**self._streaming(prompt))
            with chunks:
                while (piece := self._next_piece(chunks, streamed)) is not None:
                    yield piece
        yield self._answer(prompt, hits, streamed.completion())

    async def stream_async(self, question: str, hits: Hits) -> AsyncIterator[str | Answer]:
        """As `stream`."""
        prompt = prompt_for(question, hits, system=self._options.system)
        streamed = Streamed(self._endpoint, self._clock_ns)
        with self._endpoint.translating():
            client = self._client_async()
        async with client:
            with self._endpoint.translating():
                chunks = await client.chat.completions.create(**self._streaming(prompt))
            async with chunks:
                while (piece := await self._next_piece_async(chunks, streamed)) is not None:
                    yield piece
        yield self._answer(prompt, hits, streamed.completion())

    def _next_piece(self, chunks: Any, streamed: Streamed) -> str | None:
        # Only the waiting is translated: what the consumer throws into the
        # stream between two pieces is not the server's doing.
        with self._endpoint.translating():
            for chunk in chunks:
                if piece := streamed.add(chunk):
                    return piece
        return None

    async def _next_piece_async(self, chunks: Any, streamed: Streamed) -> str | None:
        with self._endpoint.translating():
            async for chunk in chunks:
                if piece := streamed.add(chunk):
                    return piece
        return None

    # -- what is sent ---------------------------------------------------------------

    def _key(self) -> str:
        # The key of OpenAI is not for whoever listens at a local port.
        of_environment = os.environ.get("OPENAI_API_KEY") if self.provider == "openai" else _NO_KEY
        key = self._options.api_key or of_environment
        if key and not all("!" <= char <= "~" for char in key):
            raise UsageError("the API key has characters that no key has: was it read with its line break?")
        if not key and self._url is None:
            raise UsageError("openai needs a key: set OPENAI_API_KEY, give api_key=, or base_url= of your own server")
        return key or _NO_KEY

    def _client(self) -> Any:
        transport = self._package.DefaultHttpxClient(verify=self._trusted)
        return self._package.OpenAI(http_client=transport, **self._connecting())

    def _client_async(self) -> Any:
        transport = self._package.DefaultAsyncHttpxClient(verify=self._trusted)
        return self._package.AsyncOpenAI(http_client=transport, **self._connecting())

    def _connecting(self) -> dict[str, Any]:
        endpoint = self._endpoint
        return {
            "api_key": endpoint.secret,
            "base_url": endpoint.url,
            "timeout": endpoint.timeout_s,
            "max_retries": 0,
        }

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        # OpenAI has renamed it and refuses the old name for newer models;
        # other servers know the old one.
        length = "max_completion_tokens" if self._url is None else "max_tokens"
        request = {
            "model": self.name,
            "messages": prompt.messages,
            "temperature": self._options.temperature,
            length: self._options.max_tokens,
        }
        return {name: value for name, value in request.items() if value is not None}

    def _streaming(self, prompt: Prompt) -> dict[str, Any]:
        return {**self._request(prompt), "stream": True, "stream_options": {"include_usage": True}}

    def _answer(self, prompt: Prompt, hits: Hits, completion: Completion) -> Answer:
        return Answer(
            text=completion.text,
            provider=self.provider,
            model=self.name,
            frame_ids=prompt.frame_ids,
            hits=hits,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            first_token_ms=completion.first_token_ms,
        )


def _openai() -> Any:
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise UsageError(
            "this model needs the openai package: pip install 'replaykit-memory[llm]'. model='extractive' needs nothing"
        ) from error


@functools.cache
def _trusted() -> Any:
    """Return the TLS context that the package would make for each client: whom it trusts is its own affair."""
    # Once per process, since that takes a tenth of a second.  The package's
    # transport is httpx under one of two names: its client's base says which.
    try:
        base = _openai().DefaultHttpxClient.__mro__[-2]
        return sys.modules[base.__module__.partition(".")[0]].create_ssl_context()
    except (AttributeError, LookupError):
        # Another transport: each client makes its own, as usual.
        return True
