"""Asking a model's server through the real ``openai`` package; the server is in this process, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from libraries.chat_server import (
    PIECES,
    USAGE,
    ChatServer,
    chat_server,
    chunk,
    completion,
    event,
    json_reply,
    raw_reply,
    silent_reply,
    stream_reply,
    whole_stream,
)

import replaykit
from replaykit.errors import ProviderError, UsageError
from replaykit.memory.asking.completions import MAX_ANSWER_CHARS
from replaykit.memory.asking.models import NOTHING_FOUND
from replaykit.model import Answer

pytestmark = pytest.mark.libraries

QUESTION = "What is the capital of France?"
TEXT = "".join(PIECES)
KEY = "correct-horse-battery-staple"
WHOLE = ["ask", "ask_async"]
STREAMED = ["ask_stream", "ask_stream_async"]
FORMS = WHOLE + STREAMED


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, server or proxy of the machine that this runs on."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def mv() -> Iterator[replaykit.Memory]:
    with replaykit.open("notes.mv", store="runs.rpk", on_loss="raise") as memory:
        memory.put("Paris is the capital of France.", title="France")
        memory.put("Berlin is the capital of Germany.", title="Germany")
        yield memory


def asked(mv: replaykit.Memory, form: str, *args: Any, **kwargs: Any) -> tuple[list[str], Answer]:
    """Ask in one of the four forms; return the pieces, one of them where there are none, and the answer."""
    if form == "ask":
        answer = mv.ask(*args, **kwargs)
        return [answer.text], answer
    if form == "ask_stream":
        stream = mv.ask_stream(*args, **kwargs)
        return list(stream), stream.answer
    return asyncio.run(_asked_async(mv, form, *args, **kwargs))


async def _asked_async(mv: replaykit.Memory, form: str, *args: Any, **kwargs: Any) -> tuple[list[str], Answer]:
    if form == "ask_async":
        answer = await mv.ask_async(*args, **kwargs)
        return [answer.text], answer
    async with mv.ask_stream_async(*args, **kwargs) as stream:
        return [piece async for piece in stream], stream.answer


def failed(mv: replaykit.Memory, form: str, base_url: str, **options: Any) -> ProviderError:
    """Ask in vain; return the error, after a look at what was recorded of it."""
    with mv.session(), pytest.raises(ProviderError) as caught:
        asked(mv, form, QUESTION, model="openai:gpt", base_url=base_url, api_key=KEY, **options)
    error = caught.value
    (action,) = mv.get_session("last").actions
    assert (action.kind, action.name) == ("ask", form)
    assert action.error.type == "replaykit.errors.ProviderError"
    assert (action.error.message, action.error.args) == (str(error), error.args)
    assert (error.provider, error.model) == ("openai", "gpt")
    assert KEY not in "".join(traceback.format_exception(error))
    return error


# -- answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_names_its_model_frames_and_tokens(mv, server, form):
    with mv.session():
        pieces, answer = asked(mv, form, QUESTION, model="openai:gpt", base_url=server.url)

    assert pieces == (PIECES if form in STREAMED else [TEXT])
    assert (answer.text, answer.provider, answer.model) == (TEXT, "openai", "gpt")
    assert answer.frame_ids == tuple(hit.frame_id for hit in answer.hits) == (1, 2)
    assert (answer.prompt_tokens, answer.completion_tokens) == (USAGE["prompt_tokens"], USAGE["completion_tokens"])
    assert (answer.first_token_ms is not None) == (form in STREAMED)
    (action,) = mv.get_session("last").actions
    assert (action.kind, action.name, action.affected_frames) == ("ask", form, (1, 2))
    assert (action.action_type.provider, action.action_type.model) == ("openai", "gpt")
    if form in STREAMED:
        assert 0 < answer.first_token_ms <= action.duration_ns / 1e6


@pytest.mark.parametrize("form", FORMS)
def test_a_recording_answers_with_the_server_absent(mv, form):
    with chat_server() as server, mv.session():
        expected = asked(mv, form, QUESTION, model="openai:gpt", base_url=server.url, api_key=KEY)

    with replaykit.open("empty.mv") as empty, replaykit.play("runs.rpk") as player:
        assert asked(empty, form, QUESTION, model="openai:gpt") == expected
        assert player.all_played


@pytest.mark.parametrize("form", FORMS)
def test_the_request_has_the_sources_the_options_and_the_key(mv, server, form):
    options = {"temperature": 0, "max_tokens": 50, "system": "!"}
    asked(mv, form, QUESTION, model="openai:gpt", base_url=server.url, api_key=KEY, **options)

    ((path, headers, body),) = server.seen
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt", 0, 50)
    assert body["messages"][0] == {"role": "system", "content": "!"}
    assert "Paris is the capital of France." in body["messages"][1]["content"]
    assert body["messages"][1]["content"].endswith(f"\n\nQuestion: {QUESTION}")
    assert body.get("stream", False) == (form in STREAMED)


def test_options_that_are_not_given_are_not_sent(mv, server):
    mv.ask(QUESTION, model="openai:gpt", base_url=server.url)

    assert set(server.seen[0][2]) == {"model", "messages"}


@pytest.mark.parametrize("form", FORMS)
def test_without_hits_nothing_is_sent(mv, server, form):
    pieces, answer = asked(mv, form, "zebra?", model="openai:gpt", base_url=server.url)

    assert (pieces, server.seen) == ([NOTHING_FOUND], [])
    assert answer == Answer(text=NOTHING_FOUND, provider="openai", model="gpt")


def test_a_question_that_cannot_be_encoded_is_asked_all_the_same(mv, server):
    mv.ask("capital \ud800 \x00", model="openai:gpt", base_url=server.url)

    assert server.seen[0][2]["messages"][1]["content"].endswith("Question: capital ? \x00")


def test_a_server_that_does_not_count_tokens(mv, server):
    server.replies(json_reply(completion(usage=None)))
    answer = mv.ask(QUESTION, model="ollama:small", base_url=server.url)
    assert (answer.provider, answer.prompt_tokens, answer.completion_tokens) == ("ollama", None, None)

    server.replies(stream_reply([data for data in whole_stream() if b"prompt_tokens" not in data]))
    _, answer = asked(mv, "ask_stream", QUESTION, model="ollama:small", base_url=server.url)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == (TEXT, None, None)


def test_a_model_that_refuses_says_so_in_its_answer(mv, server):
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"}
    server.replies(json_reply(completion(choices=[choice])))

    assert mv.ask(QUESTION, model="openai:gpt", base_url=server.url).text == "No."


# -- servers and keys -------------------------------------------------------------------


def test_the_environment_says_where_the_server_is(mv, server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    mv.ask(QUESTION, model="openai:gpt")

    assert server.seen[0][1]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("provider", ["ollama", "vllm", "lmstudio"])
def test_a_local_server_is_not_sent_the_key_of_openai(mv, server, provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    mv.ask(QUESTION, model=f"{provider}:x:8b", base_url=server.url)

    assert KEY not in server.seen[0][1]["Authorization"]
    assert server.seen[0][2]["model"] == "x:8b"


def test_openai_without_a_key_is_refused_before_anything_is_sent(mv):
    with pytest.raises(UsageError, match="OPENAI_API_KEY.*api_key=.*base_url= of your own"):
        mv.ask(QUESTION, model="openai:gpt")


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}\u00e9"])
@pytest.mark.parametrize("form", FORMS)
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(mv, server, form, key, monkeypatch):
    """A line break at the end comes from the file that it was read from."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for options in ({"api_key": key}, {}):
        with pytest.raises(UsageError, match="the API key has characters that no key has") as caught:
            asked(mv, form, QUESTION, model="openai:gpt", base_url=server.url, **options)
        assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_key_is_shown_where_a_long_message_is_cut(mv, server, form):
    for padding in range(270, 301, 5):
        server.replies(json_reply({"error": {"message": "x" * padding + KEY}}, 401))
        assert KEY[:4] not in str(failed(mv, form, server.url))


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_not_in_the_recording(mv, server, form):
    with replaykit.open("bare.mv", store="bare.rpk", redact=()) as bare, bare.session():
        bare.put("Paris is the capital of France.")
        asked(bare, form, QUESTION, model="openai:gpt", base_url=server.url, api_key=KEY)

    with open("bare.rpk", "rb") as file:
        assert KEY.encode() not in file.read()
    with replaykit.load("bare.rpk") as recording:
        assert KEY not in repr([action.arguments for action in recording.get_session().actions])


# -- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("status", "retryable", "advice"),
    [
        (400, False, "Bad Request"),
        (401, False, "OPENAI_API_KEY"),
        (403, False, "may not"),
        (404, False, "model's name"),
        (429, True, "later"),
        (500, True, "later"),
        (503, True, "later"),
        (599, True, "later"),
    ],
)
def test_a_status_is_an_error_that_says_what_next(mv, server, form, status, retryable, advice):
    """And one request was made: nothing is tried again."""
    server.replies(json_reply({"error": {"message": f"no, not\n{KEY}", "type": "x"}}, status))

    error = failed(mv, form, server.url)

    assert (error.status, error.retryable) == (status, retryable)
    assert "no, not [key]" in str(error)
    assert advice in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize("form", FORMS)
def test_nobody_listens(mv, form):
    with chat_server() as gone:
        url = gone.url.replace("//", "//user:hunter2@")

    error = failed(mv, form, url)

    assert (error.status, error.retryable) == (None, True)
    assert f"the connection to {gone.url} failed" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_a_silent_server_is_waited_for_as_long_as_was_said(mv, server, form):
    server.replies(silent_reply)

    error = failed(mv, form, server.url, timeout_s=0.2)

    assert "for 0.2 s. timeout_s= allows more" in str(error)
    assert (error.status, error.retryable, len(server.seen)) == (None, True, 1)


MALFORMED = {
    "no JSON": raw_reply(b"{"),
    "a page": raw_reply(b"<html>hello</html>", content_type="text/html"),
    "nothing": raw_reply(b""),
    "no object": json_reply([1]),
    "null": json_reply(None),
    "no choices": json_reply({}),
    "empty choices": json_reply(completion(choices=[])),
    "choices of another kind": json_reply(completion(choices="abc")),
    "a choice of another kind": json_reply(completion(choices=[3])),
    "no message": json_reply(completion(choices=[{"finish_reason": "length"}])),
    "a content of another kind": json_reply(completion(choices=[{"message": {"content": 5}}])),
    "an empty content": json_reply(completion(choices=[{"message": {"content": ""}, "finish_reason": "length"}])),
    "no UTF-8": raw_reply(b'{"choices": "\xff\xfe"}'),
    "deep nesting": raw_reply(b"[" * 100_000),
}


@pytest.mark.parametrize("form", WHOLE)
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_answer_is_an_error(mv, server, form, kind):
    server.replies(MALFORMED[kind])

    error = failed(mv, form, server.url)

    assert (error.status, error.retryable) == (None, False)
    assert "answer" in str(error)


ODD_COUNTS = [True, -1, "many", 2**70, 1.5, [1]]


@pytest.mark.parametrize("count", ODD_COUNTS, ids=str)
def test_a_count_that_is_none_is_not_known(mv, server, count):
    server.replies(json_reply(completion(usage={"prompt_tokens": count, "completion_tokens": 3})))

    answer = mv.ask(QUESTION, model="openai:gpt", base_url=server.url)

    assert (answer.prompt_tokens, answer.completion_tokens) == (None, 3)


FIRST = event(chunk("Paris"))
BROKEN = {
    "the connection is cut": stream_reply([FIRST], is_whole=False),
    "the response ends": stream_reply([FIRST]),
    "done before the end": stream_reply([FIRST, event("[DONE]")]),
    "an error event": stream_reply([FIRST, event({"error": {"message": "out of memory", "code": 500}})]),
    "no JSON": stream_reply([FIRST, event("{")]),
    "an event of another kind": stream_reply([FIRST, event("[[1]]")]),
    "a page": stream_reply([FIRST, b"<html>\n\n"]),
    "no UTF-8": stream_reply([FIRST, b"data: \xff\xfe\n\n"]),
    "silence": stream_reply([FIRST], then=silent_reply),
}


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_stream_that_breaks_in_the_middle_is_an_error_with_the_pieces_so_far(mv, server, form, kind):
    server.replies(BROKEN[kind])

    error = failed(mv, form, server.url, timeout_s=0.5)

    (action,) = mv.get_session("last").actions
    assert action.output == ["Paris"]
    assert error.status is None
    with replaykit.open("empty.mv") as empty, replaykit.play("runs.rpk"):
        with pytest.raises(ProviderError) as caught:
            asked(empty, form, QUESTION, model="openai:gpt")
        assert caught.value.args == error.args


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    "events",
    [[], [event("[DONE]")], [event(chunk(finish="stop"))], [event(chunk(5, finish="stop"))], [event("null")]],  # type: ignore[arg-type]
    ids=["no event", "done", "no text", "a text of another kind", "null"],
)
def test_a_stream_without_text_is_an_error(mv, server, form, events):
    server.replies(stream_reply(events))

    assert failed(mv, form, server.url).status is None


@pytest.mark.parametrize("form", STREAMED)
def test_a_stream_that_does_not_end_is_broken_off(mv, server, form):
    many = event(chunk("x" * 500_000))
    server.replies(stream_reply([many] * (MAX_ANSWER_CHARS // 500_000 + 2), then=silent_reply))

    assert "the answer does not end" in str(failed(mv, form, server.url))


# -- leaving early --------------------------------------------------------------------------


def test_a_stream_that_is_left_lets_go_of_the_server(mv, server):
    """It would stay silent for ever."""
    server.replies(stream_reply([FIRST], then=silent_reply))
    with mv.session(), mv.ask_stream(QUESTION, model="openai:gpt", base_url=server.url) as stream:
        assert next(stream) == "Paris"

    (action,) = mv.get_session("last").actions
    assert (action.output, action.error) == (["Paris"], None)
    assert "abandoned" in action.flags


def test_an_async_stream_that_is_left_lets_go_of_the_server(mv, server):
    server.replies(stream_reply([FIRST], then=silent_reply))

    async def left() -> str:
        async with mv.ask_stream_async(QUESTION, model="openai:gpt", base_url=server.url) as stream:
            return await anext(stream)

    with mv.session():
        assert asyncio.run(left()) == "Paris"

    (action,) = mv.get_session("last").actions
    assert "abandoned" in action.flags


def test_an_ask_that_is_cancelled_is_recorded_as_such(mv, server):
    server.replies(silent_reply)

    async def cancelled() -> None:
        task = asyncio.ensure_future(mv.ask_async(QUESTION, model="openai:gpt", base_url=server.url))
        while not server.seen:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with mv.session():
        asyncio.run(cancelled())

    (action,) = mv.get_session("last").actions
    assert "cancelled" in action.flags


def test_asks_run_side_by_side_on_one_loop(mv, server):
    async def both() -> list[Answer]:
        asks = [mv.ask_async(QUESTION, model=f"openai:{name}", base_url=server.url) for name in "ab"]
        return await asyncio.gather(*asks)

    assert [answer.model for answer in asyncio.run(both())] == ["a", "b"]
