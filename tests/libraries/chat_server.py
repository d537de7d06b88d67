"""A server on 127.0.0.1 that speaks OpenAI's chat completions, as far as an ask needs them, and errs on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

__all__ = [
    "PIECES",
    "USAGE",
    "ChatServer",
    "Reply",
    "chat_server",
    "chunk",
    "completion",
    "event",
    "json_reply",
    "raw_reply",
    "silent_reply",
    "stream_reply",
    "whole_stream",
]

PIECES = ["Paris is ", "the capital", " [1]."]
USAGE = {"prompt_tokens": 57, "completion_tokens": 9, "total_tokens": 66}

Reply = Callable[["_Handler", dict[str, Any]], None]
"""Answers one request, whose body is given."""


def completion(**changes: Any) -> dict[str, Any]:
    """Return a whole answer, with *changes* to it."""
    message = {"role": "assistant", "content": "".join(PIECES)}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        **changes,
    }


def chunk(content: str | None = None, *, finish: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return one chunk of a stream."""
    delta = {} if content is None else {"content": content}
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **changes,
    }


def event(data: Any) -> bytes:
    """Return one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


def whole_stream() -> list[bytes]:
    """Return the events of an answer from its first piece to its end."""
    pieces = [event(chunk(piece)) for piece in PIECES]
    end = [chunk(finish="stop"), chunk(choices=[], usage=USAGE), "[DONE]"]
    return [event(chunk("")), *pieces, *map(event, end)]


def json_reply(data: Any, status: int = 200) -> Reply:
    """Reply with *data* as JSON."""
    return raw_reply(json.dumps(data).encode(), status=status)


def raw_reply(body: bytes, *, status: int = 200, content_type: str = "application/json") -> Reply:
    """Reply with *body* as it is."""

    def reply(handler: _Handler, _request: dict[str, Any]) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def stream_reply(events: list[bytes], *, is_whole: bool = True, then: Reply | None = None) -> Reply:
    """Reply with *events*; unless *is_whole* the connection ends in the middle of the response."""

    def reply(handler: _Handler, request: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for data in events:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            handler.wfile.flush()
        if then is not None:
            then(handler, request)
        if is_whole:
            handler.wfile.write(b"0\r\n\r\n")

    return reply


def silent_reply(handler: _Handler, _request: dict[str, Any]) -> None:
    """Say nothing until the server is closed."""
    handler.server.closing.wait()


def _usual(handler: _Handler, request: dict[str, Any]) -> None:
    (stream_reply(whole_stream()) if request.get("stream") else json_reply(completion()))(handler, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = threading.Event()
        self.seen: list[tuple[str, Message, dict[str, Any]]] = []
        self.reply: Reply = _usual

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever leaves early is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers, body))
        self.server.reply(self, body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@attrs.frozen
class ChatServer:
    """The server as a test sees it."""

    _server: _Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def seen(self) -> list[tuple[str, Message, dict[str, Any]]]:
        """Path, headers and body of each request."""
        return self._server.seen

    def replies(self, reply: Reply) -> None:
        """Have *reply* answer from now on."""
        self._server.reply = reply


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Serve while the block runs; then the port is closed."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ChatServer(server)
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
