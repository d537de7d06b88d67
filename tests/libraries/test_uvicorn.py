"""Services of several processes under load: each request's calls in its own session, none lost, none foreign."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import replaykit

pytestmark = pytest.mark.libraries

ROOT = Path(replaykit.__file__).parent.parent

APP = """
import asyncio, sys
import replaykit
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from replaykit.asgi import RecordingMiddleware

app = FastAPI()
if "plain" not in __file__:
    app.add_middleware(RecordingMiddleware, store="runs/")


@replaykit.records("find")
def look(query, n):
    return [query]


@replaykit.records("ask")
async def ask(query):
    await asyncio.sleep(0)
    return await asyncio.to_thread(look, query, 0)


@app.get("/threads/{key}")
def in_a_thread(key: str, background: BackgroundTasks):
    background.add_task(look, key, 2)
    return [look(key, n) for n in range(2)]


@app.get("/tasks/{key}")
async def in_tasks(key: str):
    return await asyncio.gather(*(ask(key) for _ in range(3)))


@app.get("/streams/{key}")
async def streamed(key: str):
    async def pieces():
        for n in range(3):
            yield str(look(key, n))
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


@app.get("/errors/{key}")
async def failing(key: str):
    look(key, 0)
    raise LookupError(key)
"""

KINDS = {"threads": 3, "tasks": 6, "streams": 3, "errors": 1}
"""How many calls a request of each kind makes."""

REQUESTS = 600
WORKERS = 4


@contextmanager
def serving(folder: Path, module: str, *before: str) -> Iterator[int]:
    """Serve ``module:app`` by four processes; give the port once all of them are up, and end them."""
    (folder / f"{module}.py").write_text(APP)
    words = [
        "-m",
        "uvicorn",
        f"{module}:app",
        "--no-access-log",
        "--workers",
        str(WORKERS),
        "--port",
        "0",
        "--host",
        "127.0.0.1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *before, *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        port, started = 0, 0
        for line in server.stderr:
            found = re.search(r"running on http://127.0.0.1:(\d+)", line)
            port = int(found[1]) if found else port
            started += "startup complete" in line
            if port and started == WORKERS:
                break
        with ThreadPoolExecutor(1) as pool:
            # Read on: a full pipe would stop the servers.
            rest = pool.submit(server.stderr.read)
            try:
                yield port
            finally:
                server.send_signal(signal.SIGTERM)
                rest.result()


def load(port: int) -> list[str]:
    """Send all requests, sixteen at a time; return their paths."""
    kinds = list(KINDS)
    paths = [f"/{kinds[n % len(kinds)]}/{n}" for n in range(REQUESTS)]

    def fetch(path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    with ThreadPoolExecutor(16) as pool:
        statuses = Counter(pool.map(fetch, paths))
    assert statuses == {200: REQUESTS * 3 // 4, 500: REQUESTS // 4}
    return paths


def test_four_workers_keep_each_requests_calls_in_its_own_session(tmp_path: Path) -> None:
    with serving(tmp_path, "service") as port:
        paths = load(port)

    with replaykit.load(tmp_path / "runs") as recording:
        assert len(list((tmp_path / "runs").glob("*.rpk"))) == WORKERS
        found = [recording.get_session(each) for each in recording.list_sessions()]
        assert sorted(str(session.metadata["path"]) for session in found) == sorted(paths)
        for session in found:
            _, kind, key = str(session.metadata["path"]).split("/")
            assert session.name == f"GET /{kind}/{{key}}"
            assert session.metadata.get("status") == (None if kind == "errors" else 200)
            assert session.ended_by == ("exception" if kind == "errors" else "block")
            assert (session.state, session.lost, session.late) == ("sealed", 0, 0)
            assert [action.arguments["query"] for action in session.actions] == [key] * KINDS[kind]
        assert recording.verify()


def test_four_workers_of_a_service_that_knows_nothing_of_us(tmp_path: Path) -> None:
    """`replaykit run` has one session for each process, and every call in one of them."""
    with serving(tmp_path, "plain", "-m", "replaykit", "run", "-o", "runs/") as port:
        paths = load(port)

    with replaykit.load(tmp_path / "runs") as recording:
        found = [recording.get_session(each) for each in recording.list_sessions()]
        children = {session.name: session for session in found if "child" in session.metadata}
        (server,) = [session for session in found if session.name == "uvicorn"]
        assert set(children) <= {f"uvicorn[{n}]" for n in range(1, WORKERS + 1)}
        assert {session.parent_session for session in children.values()} == {server.session_id}
        calls = Counter(str(action.arguments["query"]) for session in children.values() for action in session.actions)
    assert calls == {path.split("/")[2]: KINDS[path.split("/")[1]] for path in paths}
