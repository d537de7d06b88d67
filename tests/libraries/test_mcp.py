"""The adapter of MCP on the real library: a server in this process, and one behind stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mcp
import pytest
from libraries.mcp_notes import notes_server

import replaykit
from replaykit.adapters.finding import map_of
from replaykit.errors import RecordedError
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [
    pytest.mark.libraries,
    # What the library itself warns of is its own.
    pytest.mark.filterwarnings("default"),
]

STDIO = mcp.StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_notes.py"))])


class TestClient(AdapterContract):
    """All that a program asks of a server; a tool that fails tells so in its result."""

    expected_async = (
        Expected("tool", "list_tools"),
        Expected("tool", "call_tool", arguments={"name": "remember", "arguments": {"name": "a", "text": "Paris"}}),
        Expected("tool", "call_tool", arguments={"name": "search", "arguments": {"word": "Par"}}),
        Expected("tool", "call_tool", arguments={"name": "forget", "arguments": {"name": "nobody"}}),
        Expected("find", "read_resource", query="notes://a", ids=("notes://a",)),
        Expected("find", "list_resources", query="", ids=("notes://all",)),
        Expected("tool", "list_resource_templates"),
        Expected("tool", "list_prompts"),
        Expected("tool", "get_prompt", arguments={"name": "ask", "arguments": {"word": "Rome"}}),
        Expected("tool", "call_tool", arguments={"name": "search"}),
        Expected("tool", "call_tool", arguments={"name": "forget", "arguments": {"name": "a"}}),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return lambda: mcp.Client(notes_server())

    async def async_program(self, target: Any) -> list[Any]:
        async with target as client:
            return [
                await client.list_tools(),
                await client.call_tool("remember", {"name": "a", "text": "Paris"}, progress_callback=ignore),
                await client.call_tool("search", {"word": "Par"}, read_timeout_seconds=60),
                await client.call_tool("forget", {"name": "nobody"}),
                await client.read_resource("notes://a"),
                await client.list_resources(),
                await client.list_resource_templates(),
                await client.list_prompts(),
                await client.get_prompt("ask", {"word": "Rome"}),
                await client.session.call_tool("search", {"word": "Par"}),
                await client.call_tool("forget", {"name": "a"}),
            ]


async def ignore(progress: float, total: float | None, message: str | None) -> None:
    """Take note of nothing."""


async def remembered(session: Any) -> list[Any]:
    """Use a session as a program does that made it."""
    return [
        await session.initialize(),
        (await session.list_tools()).tools[0].name,
        await session.call_tool("remember", {"name": "a", "text": "Paris"}),
        await session.call_tool("search", {"word": "Par"}),
        (await session.read_resource("notes://a")).contents[0].text,
    ]


async def served(recorder: replaykit.Recorder | None) -> list[Any]:
    """Run the program on a session with a server of its own."""
    async with mcp.stdio_client(STDIO) as (read, write), mcp.ClientSession(read, write) as session:
        return await remembered(session if recorder is None else recorder.wrap(session))


def test_a_session_over_stdio_plays_without_its_server() -> None:
    """No process is started for the play; results are the library's own objects."""
    bare = asyncio.run(served(None))
    with replaykit.Recorder(":memory:") as recorder:
        with recorder.session(adopt=True) as session:
            assert asyncio.run(served(recorder)) == bare
        with replaykit.play(session.result) as player:
            played = asyncio.run(remembered(recorder.wrap(None, like=mcp.ClientSession)))
        recorded = [(each.kind, each.name) for each in session.result.actions]

    assert played == bare
    assert [type(each) for each in played] == [type(each) for each in bare]
    assert player.all_played
    assert recorded == [
        ("tool", "initialize"),
        ("tool", "list_tools"),
        ("tool", "call_tool"),
        ("tool", "call_tool"),
        ("find", "read_resource"),
    ]


def test_the_calls_of_a_group_of_servers_are_recorded() -> None:
    """Those of the group, and those of a session that it hands out."""

    async def program() -> str:
        async with mcp.ClientSessionGroup() as group:
            wrapped = recorder.wrap(group)
            session = await wrapped.connect_to_server(STDIO)
            await wrapped.call_tool("remember", {"name": "a", "text": "Paris"})
            return (await session.call_tool("forget", {"name": "a"})).content[0].text

    with replaykit.Recorder(":memory:") as recorder:
        with recorder.session(adopt=True) as session:
            assert asyncio.run(program()) == "Paris"

        assert [each.arguments["name"] for each in session.result.actions] == ["remember", "forget"]


def test_an_error_of_the_server_is_recorded_and_comes_again_when_played() -> None:
    """That of a tool is a result; that of a resource is raised."""

    async def program(target: Any, error: type[Exception]) -> None:
        async with target as client:
            with pytest.raises(error, match="no note nobody"):
                await client.read_resource("notes://nobody")

    client = replaykit.wrap(mcp.Client(notes_server()), store=":memory:")
    with replaykit.recorder_of(client).session(adopt=True) as session:
        asyncio.run(program(client, mcp.MCPError))
    with replaykit.play(session.result) as player:
        asyncio.run(program(replaykit.wrap(mcp.Client(notes_server()), store=":memory:"), RecordedError))

    (action,) = session.result.actions
    assert (action.action_type.query, action.error.type) == ("notes://nobody", "mcp.shared.exceptions.MCPError")
    assert player.all_played


def test_a_client_that_is_wrapped_twice_records_once() -> None:
    """By the same recorder it is the same proxy; by another one it is a proxy of the client itself."""

    async def program(target: Any) -> None:
        async with target as client:
            await client.list_tools()

    with replaykit.Recorder(":memory:") as first, replaykit.Recorder(":memory:") as second:
        wrapped = first.wrap(mcp.Client(notes_server()))
        assert first.wrap(wrapped) is wrapped
        with first.session() as outer, second.session() as inner:
            asyncio.run(program(second.wrap(wrapped)))

        assert [each.name for each in inner.result.actions] == ["list_tools"]
        assert list(outer.result.actions) == []


def test_the_table_is_of_this_release() -> None:
    """What it names is there: a method that is renamed would silently go unrecorded."""
    classes = (mcp.ClientSession, mcp.Client, mcp.ClientSessionGroup)
    assert [
        (cls, name)
        for cls in classes
        for name in getattr(map_of(cls), "operations", {"": None})
        if not hasattr(cls, name)
    ] == []


def test_a_method_that_a_release_renamed_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The program runs; the session says which calls it does not have."""
    monkeypatch.setattr(mcp.Client, "use_tool", mcp.Client.call_tool, raising=False)
    monkeypatch.delattr(mcp.Client, "call_tool")

    async def program(target: Any) -> list[str]:
        async with target as client:
            results = [await client.use_tool("remember", {"name": name, "text": "x"}) for name in "ab"]
            return [each.content[0].text for each in results]

    client = replaykit.wrap(mcp.Client(notes_server()), store=":memory:")
    with replaykit.recorder_of(client).session(adopt=True) as session:
        assert asyncio.run(program(client)) == ["1 kept", "2 kept"]

    assert dict(session.result.uncovered) == {"Client.use_tool": 2}
    assert len([record for record in caplog.records if "use_tool" in str(vars(record))]) == 1
