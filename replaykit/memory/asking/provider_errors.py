"""What the ``openai`` package raises, as `ProviderError`; no key gets into one."""

from __future__ import annotations

import http
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import attrs

from replaykit.errors import ProviderError

__all__ = ["Endpoint"]

_DETAIL_CHARS = 300
_SOON = frozenset({408, 409, 425, 429})
"""Besides those from 500: what may pass by itself."""

_NEXT = {
    401: "Check the key: api_key= or OPENAI_API_KEY.",
    403: "The key may not use this model.",
    404: "Is the model's name right, and is it on this server? Does base_url end as it should (mostly /v1)?",
    408: "Try again later.",
    429: "Too many requests, or no quota left: try again later.",
}


@attrs.frozen(kw_only=True)
class Endpoint:
    """A model on a server, as errors speak of it."""

    provider: str
    model: str
    url: str
    timeout_s: float
    secret: str = attrs.field(repr=False)

    def error(self, said: str, *, status: int | None = None, retryable: bool = False) -> ProviderError:
        """Return the error that says *said* of this model."""
        return ProviderError(f"{self.provider}:{self.model}: {said}", self.provider, self.model, status, retryable)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """
        Let only `ProviderError` out of what the package does.

        Its own exceptions are not chained: they carry the request, and with it the key.
        """
        try:
            yield
        except ProviderError:
            raise
        except Exception as error:
            # Of any kind: besides its own exceptions the package lets those
            # of its transport, its decoders and its models through.
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> ProviderError:
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._refused(error.status_code, self._line(_detail(error)))
        if isinstance(error, openai.APITimeoutError) or "Timeout" in type(error).__name__:
            said = f"no answer from {self._server()} for {self.timeout_s:g} s. timeout_s= allows more."
            return self.error(said, retryable=True)
        if isinstance(error, openai.APIConnectionError) or _is_transport(error):
            cause = self._line(_text(error.__cause__ or error))
            said = f"the connection to {self._server()} failed ({cause}). Is the server running?"
            return self.error(said, retryable=True)
        if type(error) is openai.APIError:
            return self.error(f"the server broke off: {self._line(_detail(error))}", retryable=True)
        return self.error(f"the server's answer is malformed ({self._line(_text(error))})")

    def _refused(self, status: int, detail: str) -> ProviderError:
        try:
            phrase = f" {http.HTTPStatus(status).phrase}"
        except ValueError:
            phrase = ""
        advice = _NEXT.get(status, "Try again later." if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else "")
        said = f"the server answered {status}{phrase}: {detail} {advice}".rstrip()
        retryable = status in _SOON or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        return self.error(said, status=status, retryable=retryable)

    def _server(self) -> str:
        """Return the address without what it may have of a password or a token."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _line(self, text: str) -> str:
        """Return the beginning of a foreign text in one line, without the key."""
        # Before it is cut: a part of the key would not be found any more.
        clean = text.replace(self.secret, "[key]")
        printable = "".join(char if char.isprintable() else " " for char in clean[: 4 * _DETAIL_CHARS])
        line = " ".join(printable.split())
        return line if len(line) <= _DETAIL_CHARS else line[: _DETAIL_CHARS - 1] + "…"


def _detail(error: Exception) -> str:
    """Return what the server says for itself."""
    body = getattr(error, "body", None)
    told = body.get("message") if isinstance(body, dict) else body
    return told if isinstance(told, str) and told else str(getattr(error, "message", error))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _is_transport(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0].startswith(("httpx", "httpcore"))
