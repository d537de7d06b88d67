"""The adapter for OpenAI's client on the real package; the server is in this process, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from libraries.chat_server import ChatServer, chat_server, completion, event, json_reply, stream_reply, whole_stream

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.intercept.instrumenting import instrument_class, uninstrument_class
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("default")]

KEY = "sk-correcthorsebatterystaple0123456789"
HI = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "in parts"}]}]
CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"word": "x"}'}}
RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "served",
    "status": "completed",
    "output": [
        {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Paris.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "output": [], "status": "in_progress"}},
    {"type": "response.completed", "sequence_number": 1, "response": RESPONSE},
]
EMBEDDINGS = {
    "object": "list",
    "model": "served",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


def answer(handler: Any, request: dict[str, Any]) -> None:
    """Answer as the endpoint that was asked does."""
    is_stream = bool(request.get("stream"))
    if handler.path.endswith("/embeddings"):
        reply = json_reply(EMBEDDINGS)
    elif handler.path.endswith("/responses"):
        reply = stream_reply([event(each) for each in EVENTS]) if is_stream else json_reply(RESPONSE)
    elif request.get("tools"):
        message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        reply = json_reply(completion(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))
    elif "fail" in str(request["messages"]):
        reply = json_reply({"error": {"message": "slow down", "code": "rate"}}, status=429)
    else:
        reply = stream_reply(whole_stream()) if is_stream else json_reply(completion())
    reply(handler, request)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        running.replies(answer)
        yield running


def client_of(url: str) -> Any:
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)


def async_client_of(url: str) -> Any:
    return openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}]
CHAT, RESPONSES = "chat.completions", "responses"
EXPECTED = (
    Expected("ask", f"{CHAT}.create", query="hi", ids=(), arguments={"model": "m", "temperature": 0.5}),
    Expected("ask", f"{CHAT}.create", query="in parts"),
    Expected("ask", f"{CHAT}.create", query="x", arguments={"stream": True}),
    Expected("ask", f"{CHAT}.create", query="tools", arguments={"tools": TOOLS}),
    Expected("ask", f"{CHAT}.create", query="left early"),
    Expected("ask", f"{CHAT}.create", query="fail"),
    Expected("ask", f"{CHAT}.stream", query="entered"),
    Expected("ask", f"{CHAT}.create", query="derived"),
    Expected("ask", f"{RESPONSES}.create", query="capital of France?"),
    Expected("ask", f"{RESPONSES}.create", query="capital of France?", arguments={"stream": True}),
    Expected("ask", f"{RESPONSES}.stream", query="capital of France?"),
    Expected("tool", "embeddings.create", arguments={"input": ["x"]}),
)


def program(client: Any) -> list[Any]:
    chat, responses = client.chat.completions, client.responses
    found = [
        chat.create(model="m", messages=HI, temperature=0.5, top_p=openai.NOT_GIVEN, extra_headers={"x-key": KEY}),
        chat.create(model="m", messages=PARTS),
        list(chat.create(model="m", messages=user("x"), stream=True)),
        chat.create(model="m", messages=user("tools"), tools=TOOLS),
    ]
    with chat.create(model="m", messages=user("left early"), stream=True) as stream:
        found.append(next(stream))
    with pytest.raises(openai.RateLimitError) as caught:
        chat.create(model="m", messages=user("fail"))
    found.append((str(caught.value), caught.value.status_code))
    with chat.stream(model="m", messages=user("entered")) as stream:
        found += [[each.type for each in stream], stream.get_final_completion()]
    found += [
        client.with_options(timeout=5).chat.completions.create(model="m", messages=user("derived")),
        responses.create(model="m", input="capital of France?"),
        list(responses.create(model="m", input="capital of France?", stream=True)),
    ]
    with responses.stream(model="m", input="capital of France?") as stream:
        found.append(stream.get_final_response().output_text)
    return [*found, client.embeddings.create(model="e", input=["x"], encoding_format="float")]


async def async_program(client: Any) -> list[Any]:
    chat, responses = client.chat.completions, client.responses
    found = [
        await chat.create(model="m", messages=HI, temperature=0.5),
        await chat.create(model="m", messages=PARTS),
        [each async for each in await chat.create(model="m", messages=user("x"), stream=True)],
        await chat.create(model="m", messages=user("tools"), tools=TOOLS),
    ]
    async with await chat.create(model="m", messages=user("left early"), stream=True) as stream:
        found.append(await anext(aiter(stream)))
    with pytest.raises(openai.RateLimitError) as caught:
        await chat.create(model="m", messages=user("fail"))
    found.append((str(caught.value), caught.value.status_code))
    async with chat.stream(model="m", messages=user("entered")) as stream:
        found += [[each.type async for each in stream], await stream.get_final_completion()]
    found += [
        await client.with_options(timeout=5).chat.completions.create(model="m", messages=user("derived")),
        await responses.create(model="m", input="capital of France?"),
        [each async for each in await responses.create(model="m", input="capital of France?", stream=True)],
    ]
    async with responses.stream(model="m", input="capital of France?") as stream:
        found.append((await stream.get_final_response()).output_text)
    return [*found, await client.embeddings.create(model="e", input=["x"], encoding_format="float")]


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
        with pytest.raises(openai.APIError) as caught:
            items.extend(each for each in client.chat.completions.create(model="m", messages=HI, stream=True))
        return items, type(caught.value).__name__

    server.replies(stream_reply(whole_stream()[:2] + [event({"error": {"message": "overloaded"}})]))
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    with replaykit.recorder_of(client).session() as session:
        expected = read(client)
    with replaykit.play(session.result):
        assert read(client) == expected

    (action,) = session.result.actions
    assert len(action.output) == 2 and action.error is not None


def test_recorded_asks_run_again_on_a_client(server: ChatServer) -> None:
    """Whole ones and streams; another answer is told."""
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    with replaykit.recorder_of(client).session() as session:
        client.chat.completions.create(model="m", messages=HI)
        list(client.chat.completions.create(model="m", messages=HI, stream=True))
        with client.chat.completions.stream(model="m", messages=HI) as stream:
            stream.until_done()

    same = replaykit.replay(session.result, client, base="live")
    assert [item.status for item in same.action_results] == ["matched", "matched", "not_comparable"]
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Lyon"}, "finish_reason": "stop"}]
    server.replies(json_reply(completion(choices=choices)))
    other = replaykit.replay(session.result, client, base="live")
    assert other.action_results[0].status == "mismatched"


def test_what_is_not_recorded_is_counted(server: ChatServer) -> None:
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    with replaykit.recorder_of(client).session() as session:
        client.chat.completions.parse(model="m", messages=HI)

    assert dict(session.result.uncovered) == {"Completions.parse": 1}


def test_wrapping_twice_records_once(server: ChatServer) -> None:
    client = replaykit.wrap(client_of(server.url), store=":memory:")
    assert replaykit.wrap(client) is client
    again = replaykit.recorder_of(client).wrap(client)
    with replaykit.recorder_of(client).session() as session:
        again.chat.completions.create(model="m", messages=HI)
    assert len(session.result.actions) == 1


def test_its_classes_record_where_no_client_is_wrapped(server: ChatServer) -> None:
    """What an agent's framework makes for itself, say; what `stream` asks through `create` is its own."""
    from openai.resources.chat.completions.completions import Completions

    known = map_of(Completions)
    assert known is not None
    instrument_class(Completions, known)
    try:
        with replaykit.session("every client", store=":memory:") as session:
            client = client_of(server.url)
            client.chat.completions.create(model="m", messages=HI)
            with client.chat.completions.stream(model="m", messages=HI) as stream:
                stream.until_done()
    finally:
        uninstrument_class(Completions)

    assert [(each.name, "stream" in each.flags) for each in session.result.actions] == [
        ("chat.completions.create", False),
        ("chat.completions.stream", True),
    ]
