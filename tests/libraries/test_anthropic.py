"""The adapter for Anthropic's client on the real package; the server is in this process, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from libraries.chat_server import ChatServer, chat_server, json_reply, stream_reply

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.intercept.instrumenting import instrument_class, uninstrument_class
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("default")]

KEY = "sk-ant-correcthorsebatterystaple0123456789"
USAGE = {"input_tokens": 5, "output_tokens": 2}


def message(content: list[dict[str, Any]], stop_reason: str | None = "end_turn") -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "served",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": USAGE,
    }


EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": message([], None)},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Par"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "is."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
    {"type": "message_stop"},
]


def event(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode()


def answer(handler: Any, request: dict[str, Any]) -> None:
    """Answer as the endpoint that was asked does."""
    if "count_tokens" in handler.path:
        reply = json_reply({"input_tokens": 5})
    elif request.get("tools"):
        use = {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"word": "x"}}
        reply = json_reply(message([use], "tool_use"))
    elif "fail" in str(request["messages"]):
        reply = json_reply({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, status=429)
    elif request.get("stream"):
        reply = stream_reply([event(each) for each in EVENTS])
    else:
        reply = json_reply(message([{"type": "text", "text": "Paris."}]))
    reply(handler, request)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        running.replies(answer)
        yield running


def client_of(url: str) -> Any:
    return anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key=KEY, max_retries=0)


def async_client_of(url: str) -> Any:
    return anthropic.AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key=KEY, max_retries=0)


def asking(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": content}], **more}


PARTS = [{"type": "text", "text": "in"}, {"type": "text", "text": "parts"}]
RESULT = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a result"}]
TOOLS = [{"name": "lookup", "description": "Look up.", "input_schema": {"type": "object", "properties": {}}}]
EXPECTED = (
    Expected("ask", "messages.create", query="hi", ids=(), arguments={"model": "m", "system": "Be brief."}),
    Expected("ask", "messages.create", query="in\nparts"),
    Expected("ask", "messages.create", query="a result"),
    Expected("ask", "messages.create", query="x", arguments={"stream": True}),
    Expected("ask", "messages.create", query="tools", arguments={"tools": TOOLS}),
    Expected("ask", "messages.create", query="left early"),
    Expected("ask", "messages.create", query="fail"),
    Expected("ask", "messages.stream", query="entered"),
    Expected("ask", "messages.stream", query="text only"),
    Expected("ask", "messages.create", query="derived"),
    Expected("ask", "beta.messages.create", query="beta"),
    Expected("tool", "messages.count_tokens"),
)


def program(client: Any) -> list[Any]:
    messages = client.messages
    found = [
        messages.create(**asking("hi", system="Be brief.", extra_headers={"x-key": KEY})),
        messages.create(**asking(PARTS)),
        messages.create(**asking(RESULT)),
        list(messages.create(**asking("x"), stream=True)),
        messages.create(**asking("tools", tools=TOOLS)),
    ]
    with messages.create(**asking("left early"), stream=True) as stream:
        found.append(next(stream))
    with pytest.raises(anthropic.RateLimitError) as caught:
        messages.create(**asking("fail"))
    found.append((str(caught.value), caught.value.status_code, caught.value.body))
    with messages.stream(**asking("entered")) as stream:
        found += [[each.type for each in stream], stream.get_final_message()]
    with messages.stream(**asking("text only")) as stream:
        found.append(list(stream.text_stream))
    found += [
        client.with_options(timeout=5).messages.create(**asking("derived")),
        client.beta.messages.create(**asking("beta")),
        messages.count_tokens(model="m", messages=[{"role": "user", "content": "hi"}]),
    ]
    return found


async def async_program(client: Any) -> list[Any]:
    messages = client.messages
    found = [
        await messages.create(**asking("hi", system="Be brief.", extra_headers={"x-key": KEY})),
        await messages.create(**asking(PARTS)),
        await messages.create(**asking(RESULT)),
        [each async for each in await messages.create(**asking("x"), stream=True)],
        await messages.create(**asking("tools", tools=TOOLS)),
    ]
    async with await messages.create(**asking("left early"), stream=True) as stream:
        found.append(await anext(aiter(stream)))
    with pytest.raises(anthropic.RateLimitError) as caught:
        await messages.create(**asking("fail"))
    found.append((str(caught.value), caught.value.status_code, caught.value.body))
    async with messages.stream(**asking("entered")) as stream:
        found += [[each.type async for each in stream], await stream.get_final_message()]
    async with messages.stream(**asking("text only")) as stream:
        found.append([each async for each in stream.text_stream])
    found += [
        await client.with_options(timeout=5).messages.create(**asking("derived")),
        await client.beta.messages.create(**asking("beta")),
        await messages.count_tokens(model="m", messages=[{"role": "user", "content": "hi"}]),
    ]
    return found


class TestClient(AdapterContract):
    """Answers, streams in both of their forms, tool calls, failures; clients that are derived."""

    expected = EXPECTED

    @pytest.fixture
    def fresh(self, server: ChatServer) -> Callable[[], Any]:
        return lambda: client_of(server.url)

    def program(self, target: Any) -> list[Any]:
        return program(target)


class TestAsyncClient(AdapterContract):
    expected_async = EXPECTED

    @pytest.fixture
    def fresh(self, server: ChatServer) -> Callable[[], Any]:
        return lambda: async_client_of(server.url)

    async def async_program(self, target: Any) -> list[Any]:
        return await async_program(target)


@pytest.mark.parametrize("run", [program, lambda client: asyncio.run(async_program(client))], ids=["sync", "async"])
def test_it_plays_with_the_server_gone(run: Callable[[Any], list[Any]]) -> None:
    """Nothing is sent, every result is equal, and nothing is left unawaited; no key is in the recording."""
    client_for = client_of if run is program else async_client_of
    with chat_server() as server:
        server.replies(answer)
        client = replaykit.wrap(client_for(server.url), store="runs.rpk")
        with replaykit.recorder_of(client).session(adopt=True) as session:
            expected = run(client)
        sent = len(server.seen)

    with warnings.catch_warnings(), replaykit.play(session.result) as player:
        warnings.simplefilter("error", RuntimeWarning)
        assert run(client) == expected

    assert player.all_played and player.play_count == sent == len(session.result.actions)
    assert session.result.playable
    replaykit.recorder_of(client).close()
    with replaykit.load("runs.rpk") as stored:
        assert KEY not in repr([(each.arguments, each.output) for each in stored.get_session().actions])
    assert KEY.encode() not in Path("runs.rpk").read_bytes()


def test_a_stream_that_breaks_off_is_kept_as_far_as_it_came(server: ChatServer) -> None:
    """And breaks off at the same place, in the same way, when it is played."""

    def read(client: Any) -> tuple[list[Any], str]:
        items: list[Any] = []
        with (
            pytest.raises(anthropic.APIError) as caught,
            client.messages.stream(**asking("hi")) as stream,
        ):
            items.extend(each for each in stream.text_stream)
        return items, type(caught.value).__name__

    error = {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}
    server.replies(stream_reply([*map(event, EVENTS[:4]), event(error)]))
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    with replaykit.recorder_of(client).session() as session:
        expected = read(client)
    with replaykit.play(session.result):
        assert read(client) == expected

    (action,) = session.result.actions
    assert len(action.output) == 4 and action.error is not None


def test_recorded_asks_run_again_on_a_client(server: ChatServer) -> None:
    """Whole ones and streams; another answer is told."""
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    with replaykit.recorder_of(client).session() as session:
        client.messages.create(**asking("hi"))
        list(client.messages.create(**asking("hi"), stream=True))

    assert replaykit.replay(session.result, client, base="live").verdict == "passed"
    server.replies(json_reply(message([{"type": "text", "text": "Lyon."}])))
    other = replaykit.replay(session.result, client, base="live")
    assert other.action_results[0].status == "mismatched"


def test_what_is_not_recorded_is_counted(server: ChatServer) -> None:
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    with replaykit.recorder_of(client).session() as session:
        client.messages.parse(**asking("hi"))

    assert dict(session.result.uncovered) == {"Messages.parse": 1}


def test_its_classes_record_where_no_client_is_wrapped(server: ChatServer) -> None:
    """What an agent's framework makes for itself, say."""
    from anthropic.resources.messages.messages import Messages

    known = map_of(Messages)
    assert known is not None
    instrument_class(Messages, known)
    try:
        with replaykit.session("every client", store=":memory:") as session:
            client_of(server.url).messages.create(**asking("hi"))
    finally:
        uninstrument_class(Messages)

    assert [(each.kind, each.name) for each in session.result.actions] == [("ask", "messages.create")]
