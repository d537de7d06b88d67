"""Programs that ask a server on 127.0.0.1 through the real OpenAI and Anthropic, run without a change to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from libraries import test_anthropic, test_openai
from libraries.chat_server import Reply, chat_server
from libraries.test_run_libraries import run
from running.programs import script

import replaykit

pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("error::RuntimeWarning")]

OPENAI = """
import asyncio, os, openai

given = {"base_url": os.environ["SERVER"], "api_key": "sk-correcthorsebatterystaple0123456789", "max_retries": 0}
HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

def texts(chunks):
    return "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)

client = openai.OpenAI(**given)
chat = client.chat.completions
print(chat.create(**HI).choices[0].message.content, texts(chat.create(**HI, stream=True)))
with chat.stream(**HI) as stream:
    print([each.type for each in stream], stream.get_final_completion().choices[0].message.content)
print(client.with_options(timeout=5).responses.create(model="m", input="Paris?").output_text)
with client.responses.stream(model="m", input="Rome?") as stream:
    print(stream.get_final_response().output_text)
print(client.embeddings.create(model="e", input=["x"], encoding_format="float").data[0].embedding)

async def main():
    client = openai.AsyncOpenAI(**given)
    chat = client.chat.completions
    print((await chat.create(**HI)).choices[0].message.content)
    print(texts([each async for each in await chat.create(**HI, stream=True)]))
    async with chat.stream(**HI) as stream:
        print([each.type async for each in stream], await stream.get_final_completion())
    async with client.responses.stream(model="m", input="Oslo?") as stream:
        print((await stream.get_final_response()).output_text)

asyncio.run(main())
chat.create(model="m", messages=[{"role": "user", "content": "fail"}])
"""
OPENAI_CALLS = {
    "chat.completions.create": 5,
    "chat.completions.stream": 2,
    "responses.create": 1,
    "responses.stream": 2,
    "embeddings.create": 1,
}

ANTHROPIC = """
import asyncio, os, anthropic

given = {"base_url": os.environ["SERVER"].removesuffix("/v1"), "api_key": "sk-ant-correcthorse", "max_retries": 0}
HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ASK = {**HI, "max_tokens": 10}

client = anthropic.Anthropic(**given)
print(client.messages.create(**ASK).content[0].text, [each.type for each in client.messages.create(**ASK, stream=True)])
with client.messages.stream(**ASK) as stream:
    print(list(stream.text_stream), stream.get_final_message().content)
with client.beta.messages.stream(**ASK) as stream:
    print([each.type for each in stream])
print(client.beta.messages.create(**ASK).content[0].text, client.messages.count_tokens(**HI).input_tokens)

async def main():
    client = anthropic.AsyncAnthropic(**given)
    print((await client.messages.create(**ASK)).content[0].text)
    print([each.type async for each in await client.messages.create(**ASK, stream=True)])
    for messages in (client.messages, client.beta.messages):
        async with messages.stream(**ASK) as stream:
            print([each async for each in stream.text_stream], (await stream.get_final_message()).content)

asyncio.run(main())
client.messages.create(model="m", max_tokens=10, messages=[{"role": "user", "content": "fail"}])
"""
ANTHROPIC_CALLS = {
    "messages.create": 5,
    "messages.stream": 2,
    "messages.count_tokens": 1,
    "beta.messages.create": 1,
    "beta.messages.stream": 2,
}


@pytest.mark.parametrize(
    ("text", "answer", "calls"),
    [(OPENAI, test_openai.answer, OPENAI_CALLS), (ANTHROPIC, test_anthropic.answer, ANTHROPIC_CALLS)],
    ids=["openai", "anthropic"],
)
def test_a_program_is_recorded_and_plays_with_its_server_gone(
    text: str, answer: Reply, calls: dict[str, int], tmp_path: Path
) -> None:
    """It shows the same in all three runs, its uncaught exception included, and each request is one action."""
    agent = script(text)

    with chat_server() as server:
        server.replies(answer)
        plain = run(agent, tmp_path, SERVER=server.url)
        asked = len(server.seen)
        recorded = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", SERVER=server.url)
    with replaykit.load(tmp_path / "runs") as recording:
        session = recording.get_session()
        found = Counter(action.name for action in session.actions)
    played = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", "--play", "last", SERVER=server.url)

    assert (recorded.status, recorded.out) == (plain.status, plain.out)
    assert recorded.err == plain.err
    assert found == calls and sum(calls.values()) == asked == len(server.seen) - asked
    assert (played.status, played.out) == (plain.status, plain.out)
    assert played.err.splitlines()[-1:] == plain.err.splitlines()[-1:]


@pytest.fixture
def instrumented() -> Iterator[None]:
    replaykit.instrument("openai", "anthropic")
    yield
    replaykit.uninstrument()


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("library", [test_openai, test_anthropic], ids=["openai", "anthropic"])
def test_a_wrapped_client_is_recorded_once_and_plays_like_a_bare_one(library: Any, is_async: bool) -> None:
    """Whichever of them was recorded answers both, with nothing sent and nothing left unawaited."""

    def run_on(client: Any) -> Any:
        return asyncio.run(library.async_program(client)) if is_async else library.program(client)

    client_of = library.async_client_of if is_async else library.client_of
    with chat_server() as server:
        server.replies(library.answer)
        with replaykit.session("bare", store=":memory:") as bare:
            expected = run_on(client_of(server.url))
        with replaykit.session("wrapped", store=":memory:") as wrapped:
            assert run_on(replaykit.wrap(client_of(server.url))) == expected
        asked = len(server.seen)

    names = [[action.name for action in session.result.actions] for session in (bare, wrapped)]
    assert names[0] == names[1] and len(names[0]) * 2 == asked
    for session in (bare, wrapped):
        for client in (client_of(server.url), replaykit.wrap(client_of(server.url))):
            with replaykit.play(session.result) as player:
                assert run_on(client) == expected
            assert player.all_played
