"""Each request of an ASGI application is a session of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.asgi import RecordingMiddleware
from replaykit.errors import StorageError


@replaykit.records("find")
async def look(query: str) -> list[str]:
    await asyncio.sleep(0)
    return [query]


class Match:
    """What Starlette's routes say: by its name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Route:
    """A route as Starlette has it: exact, or up to the parameter at its end; with routes it is a mount."""

    def __init__(self, path: str, routes: Any = None) -> None:
        self.path, self.routes = path, routes

    def matches(self, scope: dict[str, Any]) -> tuple[Match, dict[str, Any]]:
        fits = scope["path"].startswith(self.path.partition("{")[0])
        return Match("FULL" if fits else "NONE"), {"path": scope["path"].removeprefix(self.path)}


class Unusual:
    path = "/"


class App:
    """Looks twice, answers in two pieces and looks once more in the background."""

    routes = (Unusual(), Route("/items/{item_id}"), Route("/admin", [Route("/users/{name}")]))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = scope["path"]
        await look(query)
        if query == "/broken":
            raise LookupError(query)
        await send({"type": "http.response.start", "status": 201, "headers": []})
        for more in (True, False):
            await look(query)
            await send({"type": "http.response.body", "body": b"x", "more_body": more})
        await asyncio.create_task(look(query))  # type: ignore[arg-type]  # a coroutine, as before


async def receive() -> dict[str, Any]:
    return {"type": "http.request"}


async def requested(app: Any, path: str, /, **scope: Any) -> list[Any]:
    """Send a request to *app* and return the messages that it sends."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "query_string": b"key=secret", **scope}, receive, send)
    return sent


def sessions(app: RecordingMiddleware) -> list[replaykit.ReplaySession]:
    return [app.recorder.get_session(each) for each in app.recorder.list_sessions()]


def served(call: Callable[[RecordingMiddleware], Awaitable[Any]], app: Any = None, **options: Any) -> Any:
    """Serve *app* for *call*; return what that gives and the sessions."""
    middleware = RecordingMiddleware(App() if app is None else app, store="runs/", **options)

    async def serving() -> Any:
        return await call(middleware)

    result = asyncio.run(serving())
    found = sessions(middleware)
    middleware.recorder.close()
    return result, found


def test_requests_at_the_same_time_have_each_its_session() -> None:
    """With what a stream and a background task do; named by the route, without query, headers and body."""

    async def many(app: RecordingMiddleware) -> list[Any]:
        return await asyncio.gather(*(requested(app, f"/items/{n}") for n in range(20)))

    answers, found = served(many)

    assert answers == [asyncio.run(requested(App(), "/items/0"))] * 20
    assert sorted(session.metadata["path"] for session in found) == sorted(f"/items/{n}" for n in range(20))
    for session in found:
        assert session.name == "GET /items/{item_id}"
        assert dict(session.metadata) == {"method": "GET", "path": session.metadata["path"], "status": 201}
        assert [action.arguments["query"] for action in session.actions] == [session.metadata["path"]] * 4


@pytest.mark.parametrize(
    ("path", "name"),
    [("/items/1", "GET /items/{item_id}"), ("/admin/users/x", "GET /admin/users/{name}"), ("/other", "GET /other")],
)
def test_a_session_is_named_by_its_route(path: str, name: str) -> None:
    _, (session,) = served(lambda app: requested(app, path))

    assert session.name == name


def test_the_application_in_the_scope_has_the_routes() -> None:
    """So it is where the middleware stands inside the application."""
    _, (session,) = served(lambda app: requested(app, "/items/1", app=App()), app=lambda *args: App()(*args))

    assert session.name == "GET /items/{item_id}"


def test_another_name_can_be_given() -> None:
    _, (session,) = served(lambda app: requested(app, "/x"), name=lambda scope: scope["path"] * 2)

    assert session.name == "/x/x"


def test_an_error_passes_through_and_its_session_is_kept() -> None:
    async def failing(app: RecordingMiddleware) -> None:
        with pytest.raises(LookupError, match="/broken"):
            await requested(app, "/broken")

    _, (session,) = served(failing)

    assert (session.ended_by, len(session.actions)) == ("exception", 1)
    assert "status" not in session.metadata


def test_a_websocket_is_one_session() -> None:
    async def chat(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        for word in ("a", "b"):
            await look(word)
            await send({"type": "websocket.send", "text": word})

    async def connected(app: RecordingMiddleware) -> None:
        await requested(app, "/chat", type="websocket", method=None)

    _, (session,) = served(connected, app=chat)

    assert (session.metadata["status"], len(session.actions)) == (101, 2)


def test_the_lifespan_passes_and_tells_of_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    _, found = served(lambda middleware: middleware({"type": "lifespan"}, receive, receive), app=app)
    assert (seen, found) == (["lifespan"], [])
    (tmp_path / "taken").write_text("something else")
    with pytest.raises(StorageError):
        asyncio.run(RecordingMiddleware(app, store=tmp_path / "taken")({"type": "lifespan"}, receive, receive))  # type: ignore[arg-type]  # never called


def test_a_path_as_long_as_a_client_likes_is_served() -> None:
    answer, (session,) = served(lambda app: requested(app, "/" + "x" * 100_000))

    assert answer[0]["status"] == 201
    assert len(session.metadata["path"]) == 2000


def test_switched_off_it_only_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAYKIT_DISABLED", "1")

    answer, found = served(lambda app: requested(app, "/items/1"))

    assert (answer[0]["status"], found) == (201, [])
