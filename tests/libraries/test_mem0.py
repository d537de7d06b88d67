"""The adapter of Mem0 on the real library: Qdrant on disk, and a server on 127.0.0.1 for model and embedder."""

from __future__ import annotations

import os
import tempfile

# Mem0 reports home by default, and keeps its settings in the user's folder.
os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=tempfile.mkdtemp(prefix="mem0-"))

import atexit
import itertools
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mem0
import mem0.memory.main
import mem0.memory.telemetry
import pytest
from libraries.chat_server import ChatServer, chat_server, completion, json_reply

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.errors import RecordedError
from replaykit.testing.adapters import AdapterContract, Expected

atexit.register(shutil.rmtree, os.environ["MEM0_DIR"], ignore_errors=True)

pytestmark = [
    pytest.mark.libraries,
    # What the library itself warns of is its own.
    pytest.mark.filterwarnings("default"),
]

USER = {"user_id": "u"}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def embedded(text: str) -> list[float]:
    """Texts with the same letters are near to each other."""
    return [1.0, *(float(text.lower().count(letter)) for letter in _LETTERS)]


def answer(handler: Any, request: dict[str, Any]) -> None:
    """Reply as an embedder, or as a model that finds one fact in whatever it is told."""
    if handler.path.endswith("/embeddings"):
        data = [
            {"object": "embedding", "index": index, "embedding": embedded(text)}
            for index, text in enumerate(request["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        json_reply({"object": "list", "model": "e", "usage": usage, "data": data})(handler, request)
        return
    fact = {"id": "0", "text": "Lives in Paris", "attributed_to": "user"}
    message = {"role": "assistant", "content": json.dumps({"memory": [fact]})}
    json_reply(completion(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))(handler, request)


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        running.replies(answer)
        yield running


@pytest.fixture
def memory_of(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return ``memory_of(cls)``: an empty memory, whose frames have the ids that those of the last one had."""
    assert not mem0.memory.telemetry.MEM0_TELEMETRY
    opened = []

    def made(cls: type = mem0.Memory) -> Any:
        folder = tmp_path / f"memory-{len(opened)}"
        numbers = itertools.count(1)
        monkeypatch.setattr(
            mem0.memory.main, "uuid", SimpleNamespace(**{**vars(uuid), "uuid4": lambda: uuid.UUID(int=next(numbers))})
        )
        model = {"openai_base_url": server.url, "api_key": "local", "model": "m"}
        qdrant = {"path": str(folder / "qdrant"), "embedding_model_dims": 27, "on_disk": True}
        config = {
            "vector_store": {"provider": "qdrant", "config": qdrant},
            "llm": {"provider": "openai", "config": model},
            "embedder": {"provider": "openai", "config": {**model, "embedding_dims": 27}},
            "history_db_path": str(folder / "history.db"),
        }
        folder.mkdir()
        opened.append(cls.from_config(config))
        return opened[-1]

    yield made
    for memory in opened:
        memory.vector_store.client.close()
        memory.close()


def frame(number: int) -> str:
    return str(uuid.UUID(int=number))


def timeless(value: Any) -> Any:
    """Return a result without what differs from run to run."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in ("created_at", "updated_at", "id")}
    return [timeless(item) for item in value] if isinstance(value, list) else value


class TestMemory(AdapterContract):
    """Everything that a program does with a memory, with the model and without."""

    expected = (
        Expected("put_many", "add", ids=(frame(1),), arguments=USER),
        Expected("put_many", "add", ids=(frame(2), frame(3))),
        Expected("find", "search", query="Paris", ids=(frame(1),), arguments={"top_k": 1}),
        Expected("find", "get", query=frame(1), ids=(frame(1),)),
        Expected("find", "get", ids=()),
        Expected("find", "get_all", query="", ids=(frame(1), frame(2))),
        Expected("update", "update", ids=(frame(1),), arguments={"text": "Lives in Rome", "expiration_date": None}),
        Expected("find", "history", ids=(frame(1),)),
        Expected("delete", "delete", ids=(frame(1),)),
        Expected("delete", "delete_all", ids=()),
        Expected("delete", "reset", ids=()),
    )

    @pytest.fixture
    def fresh(self, memory_of: Callable[..., Any]) -> Callable[[], Any]:
        return memory_of

    def program(self, target: Any) -> list[Any]:
        messages = [{"role": "user", "content": "I like tea"}, {"role": "assistant", "content": "Noted"}]
        added = target.add("I live in Paris", user_id="u")
        paris = added["results"][0]["id"]
        return [
            added,
            target.add(messages, user_id="u", infer=False),
            target.search("Paris", filters=USER, top_k=1),
            target.get(paris),
            target.get(frame(99)),
            target.get_all(filters=USER, top_k=2),
            target.update(paris, text="Lives in Rome"),
            target.history(paris),
            target.delete(paris),
            target.delete_all(user_id="u"),
            target.reset(),
        ]

    def shown(self, results: Any) -> Any:
        return timeless(results)


class TestAsyncMemory(AdapterContract):
    """The same by coroutines."""

    expected_async = (
        Expected("put_many", "add", ids=(frame(1),), arguments=USER),
        Expected("find", "search", query="Paris", ids=(frame(1),), arguments={"top_k": 1}),
        Expected("find", "get", query=frame(1), ids=(frame(1),)),
        Expected("find", "get_all", query="", ids=(frame(1),)),
        Expected("update", "update", ids=(frame(1),)),
        Expected("find", "history", ids=(frame(1),)),
        Expected("delete", "delete", ids=(frame(1),)),
        Expected("delete", "delete_all", ids=()),
    )

    @pytest.fixture
    def fresh(self, memory_of: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: memory_of(mem0.AsyncMemory)

    async def async_program(self, target: Any) -> list[Any]:
        added = await target.add("I live in Paris", user_id="u")
        paris = added["results"][0]["id"]
        return [
            added,
            await target.search("Paris", filters=USER, top_k=1),
            await target.get(paris),
            await target.get_all(filters=USER),
            await target.update(paris, text="Lives in Rome"),
            await target.history(paris),
            await target.delete(paris),
            await target.delete_all(user_id="u"),
        ]

    def shown(self, results: Any) -> Any:
        return timeless(results)


class _Service(BaseHTTPRequestHandler):
    """Mem0's service that has one memory."""

    def reply(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        memory = {"id": "a", "memory": "Lives in Paris", "org_id": "o", "project_id": "p"}
        body = json.dumps({"results": [memory]} if self.path.startswith("/v3/") else memory).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = reply

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class TestClient(AdapterContract):
    """The service's client: the same words."""

    expected = (
        Expected("put_many", "add", ids=("a",), arguments=USER),
        Expected("find", "search", query="Paris", ids=("a",), arguments={"filters": USER}),
        Expected("find", "get_all", query="", ids=("a",)),
        Expected("find", "get", ids=("a",)),
        Expected("update", "update", ids=("a",), arguments={"text": "Lives in Rome"}),
        Expected("update", "batch_update", ids=("a", "b")),
        Expected("delete", "batch_delete", ids=("a", "b")),
        Expected("delete", "delete", ids=("a",)),
        Expected("delete", "delete_all", ids=()),
        Expected("find", "users", ids=()),
    )

    @pytest.fixture
    def fresh(self, service: str) -> Callable[[], Any]:
        return lambda: mem0.MemoryClient(api_key="m0-local", host=service)

    def program(self, target: Any) -> list[Any]:
        return [
            target.add("I live in Paris", user_id="u"),
            target.search("Paris", filters=USER),
            target.get_all(filters=USER),
            target.get("a"),
            target.update("a", text="Lives in Rome"),
            target.batch_update([{"memory_id": "a", "text": "x"}, {"memory_id": "b", "text": "y"}]),
            target.batch_delete([{"memory_id": "a"}, {"memory_id": "b"}]),
            target.delete("a"),
            target.delete_all(user_id="u"),
            target.users(),
        ]


class TestAsyncClient(AdapterContract):
    """The same by coroutines."""

    expected_async = (
        Expected("put_many", "add", ids=("a",), arguments=USER),
        Expected("find", "search", query="Paris", ids=("a",)),
        Expected("delete", "delete", ids=("a",)),
    )

    @pytest.fixture
    def fresh(self, service: str) -> Callable[[], Any]:
        return lambda: mem0.AsyncMemoryClient(api_key="m0-local", host=service)

    async def async_program(self, target: Any) -> list[Any]:
        async with target as client:
            return [
                await client.add("I live in Paris", user_id="u"),
                await client.search("Paris", filters=USER),
                await client.delete("a"),
            ]


def test_a_model_that_is_down_is_recorded_and_fails_again_when_played(
    memory_of: Callable[..., Any], server: ChatServer
) -> None:
    """With what was to be added; a delete of what is not there, too."""
    memory = replaykit.wrap(memory_of(), store=":memory:")
    server.replies(json_reply({"error": {"message": "overloaded"}}, status=400))
    try:
        with replaykit.recorder_of(memory).session() as session:
            with pytest.raises(Exception, match="overloaded"):
                memory.add("I live in Paris", user_id="u")
            with pytest.raises(ValueError, match="not found"):
                memory.delete(frame(7))
    finally:
        server.replies(answer)

    add, delete = session.result.actions
    assert (add.kind, add.action_type.name, add.arguments["messages"]) == ("put_many", "PUT_MANY", "I live in Paris")
    assert (delete.error.type, delete.affected_frames) == ("ValueError", (frame(7),))
    with replaykit.play(session.result) as player:
        with pytest.raises(RecordedError, match="overloaded"):
            memory.add("I live in Paris", user_id="u")
        with pytest.raises(ValueError, match="not found"):
            memory.delete(frame(7))
    assert player.all_played


def test_a_recording_plays_without_any_memory(memory_of: Callable[..., Any]) -> None:
    """Neither store nor model nor key; an update is whole, though its day was not given."""
    with replaykit.Recorder(":memory:") as recorder:
        memory = recorder.wrap(memory_of())
        with recorder.session() as session:
            added = memory.add("Tea", user_id="u", infer=False)
            memory.update(frame(1), text="Coffee")
        assert session.result.playable.verdict == "yes"

        nothing = recorder.wrap(None, like=mem0.Memory)
        with replaykit.play(session.result) as player:
            assert nothing.add("Tea", user_id="u", infer=False) == added
            assert nothing.update(frame(1), text="Coffee")
        assert player.all_played


def test_a_memory_that_is_wrapped_twice_records_once(memory_of: Callable[..., Any]) -> None:
    """By the same recorder it is the same proxy; by another one it is a proxy of the memory itself."""
    with replaykit.Recorder(":memory:") as first, replaykit.Recorder(":memory:") as second:
        wrapped = first.wrap(memory_of())
        assert first.wrap(wrapped) is wrapped
        again = second.wrap(wrapped)
        with first.session() as outer, second.session() as inner:
            again.get_all(filters=USER)

        assert [each.name for each in inner.result.actions] == ["get_all"]
        assert list(outer.result.actions) == []


def test_the_table_is_of_this_release() -> None:
    """What it names is there: a method that is renamed would silently go unrecorded."""
    classes = (mem0.Memory, mem0.AsyncMemory, mem0.MemoryClient, mem0.AsyncMemoryClient)
    assert [
        (cls, name)
        for cls in classes
        for name in getattr(map_of(cls), "operations", {"": None})
        if not hasattr(cls, name)
    ] == []


def test_a_method_that_a_release_renamed_is_told_once(
    memory_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program runs; the session says which calls it does not have."""
    monkeypatch.setattr(mem0.Memory, "recall", mem0.Memory.search, raising=False)
    monkeypatch.delattr(mem0.Memory, "search")
    memory = replaykit.wrap(memory_of(), store=":memory:")

    with replaykit.recorder_of(memory).session() as session:
        memory.add("Tea", user_id="u", infer=False)
        found = [memory.recall("Tea", filters=USER), memory.recall("Tea", filters=USER)]

    assert [[each["memory"] for each in hits["results"]] for hits in found] == [["Tea"], ["Tea"]]
    assert dict(session.result.uncovered) == {"Memory.recall": 2}
    assert len([record for record in caplog.records if "recall" in str(vars(record))]) == 1
