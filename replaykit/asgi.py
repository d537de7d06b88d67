"""A session for each request that an ASGI application takes: `RecordingMiddleware`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from replaykit.errors import ReplaykitError
from replaykit.logs import get_logger
from replaykit.recording.handle import SessionHandle
from replaykit.wrapping import Recorder

__all__ = ["RecordingMiddleware"]

log = get_logger("asgi")

Connection = MutableMapping[str, Any]
"""What ASGI calls a scope."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Connection, Receive, Send], Awaitable[None]]

_LONGEST_PATH = 2000

_NESTED = 8
"""So deep are routes looked for in mounted applications."""


class RecordingMiddleware:
    """
    Records each HTTP request and each websocket of *app* as a session of its own, until *app* is done with it.

    Streamed responses and background tasks are part of it.  A session is
    named ``"GET /items/{item_id}"`` by its route, where the application has
    routes as Starlette and FastAPI do, else by its path; *name* is a callable
    that makes another name of an ASGI scope.  Its metadata are the method,
    the path and the status; neither query, headers nor bodies are kept.

    *store* is a directory for a service of several processes.  The *options*
    are those of `Settings`.  Errors of the application pass through.

    Raises:
        UsageError: An option is unknown or wrong.
    """

    def __init__(
        self,
        app: Application,
        *,
        store: str | os.PathLike[str] | None = None,
        name: Callable[[Connection], str] | None = None,
        **options: Any,
    ) -> None:
        self.app = app
        self.recorder = Recorder(store, **options)
        self._name = name

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] not in _RECORDED:
            await self._serve_unrecorded(scope, receive, send)
            return
        metadata = {"method": _method_of(scope), "path": _path_of(scope)}
        session = self.recorder.session(self._name_of(scope), metadata=metadata, adopt=False)
        with session:
            status = _Status(send)
            try:
                await self.app(scope, receive, status.send)
            finally:
                status.note(session)

    async def _serve_unrecorded(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            # A store that cannot be written is known before the first request.
            self.recorder.open_store()
        await self.app(scope, receive, send)

    def _name_of(self, scope: Connection) -> str:
        if self._name is not None:
            return self._name(scope)
        application = scope.get("app", self.app)
        route = _route_of(scope, getattr(application, "routes", ()), _NESTED)
        return f"{_method_of(scope)} {route or _path_of(scope)}"


_RECORDED = frozenset({"http", "websocket"})


def _method_of(scope: Connection) -> str:
    # A websocket has none.
    return str(scope.get("method") or scope["type"].upper())


def _path_of(scope: Connection) -> str:
    return str(scope.get("path", ""))[:_LONGEST_PATH]


def _route_of(scope: Connection, routes: Any, depth: int) -> str:
    """Return the path of the first of *routes* that takes all of *scope*, with its parameters by name; else ""."""
    for route in routes if isinstance(routes, Iterable) and depth else ():
        path, child = getattr(route, "path", None), _match(scope, route)
        if child is None or not isinstance(path, str):
            continue
        below = getattr(route, "routes", None)
        return path + (_route_of({**scope, **child}, below, depth - 1) if below else "")
    return ""


def _match(scope: Connection, route: Any) -> Mapping[str, Any] | None:
    """Return what *route* adds to *scope* where it takes it, None where it does not, or is no route at all."""
    try:
        match, child = route.matches(scope)
    except Exception:
        # Somebody's own kind of route: the path stands for it.
        return None
    return child if getattr(match, "name", "") == "FULL" and isinstance(child, Mapping) else None


class _Status:
    """Passes messages on and keeps the status that they tell."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status: int | None = None

    async def send(self, message: Message) -> None:
        """Send *message*."""
        kind = message.get("type")
        if kind == "http.response.start":
            self._status = message.get("status")
        elif kind == "websocket.accept" and self._status is None:
            self._status = _SWITCHING
        await self._send(message)

    def note(self, session: SessionHandle) -> None:
        """Keep the status with the session, if there is one."""
        if self._status is None:
            return
        try:
            session.annotate(status=self._status)
        except ReplaykitError as error:
            # The session is full, or its disk: the answer is on its way all the same.
            log.error("status_not_kept", error=str(error))


_SWITCHING = 101
