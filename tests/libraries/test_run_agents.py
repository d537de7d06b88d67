"""Programs on the real Mem0 and MCP, which ask servers, run without a change to them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from libraries.chat_server import chat_server
from libraries.test_run_libraries import run
from running.programs import script

import replaykit

pytestmark = pytest.mark.libraries

MEM0 = """
import asyncio, os

os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR="settings")
import mem0

def config(name):
    model = {"openai_base_url": os.environ["SERVER"], "api_key": "local", "model": "m"}
    qdrant = {"path": f"store/{name}", "embedding_model_dims": 27, "on_disk": True}
    return {
        "vector_store": {"provider": "qdrant", "config": qdrant},
        "llm": {"provider": "openai", "config": model},
        "embedder": {"provider": "openai", "config": {**model, "embedding_dims": 27}},
        "history_db_path": f"store/{name}.db",
    }

os.mkdir("store")
memory = mem0.Memory.from_config(config("one"))
added = memory.add("I live in Paris", user_id="u")["results"]
print([each["memory"] for each in added], memory.get(added[0]["id"])["memory"])
print([each["memory"] for each in memory.search("Paris", filters={"user_id": "u"}, top_k=1)["results"]])
memory.update(added[0]["id"], "Lives in Rome")
print([each["memory"] for each in memory.get_all(filters={"user_id": "u"})["results"]])
print(len(memory.history(added[0]["id"])))
memory.delete(added[0]["id"])
print(memory.get_all(filters={"user_id": "u"})["results"])

async def main():
    memory = mem0.AsyncMemory.from_config(config("two"))
    await memory.add("I live in Paris", user_id="u")
    print([each["memory"] for each in (await memory.search("Paris", filters={"user_id": "u"}))["results"]])

asyncio.run(main())
memory.vector_store.client.close()
"""

MCP = """
import asyncio, os, sys
import mcp
from mcp.client.stdio import StdioServerParameters, stdio_client

async def main():
    server = StdioServerParameters(command=sys.executable, args=[os.environ["NOTES"]])
    async with stdio_client(server) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        print([tool.name for tool in (await session.list_tools()).tools])
        print((await session.call_tool("remember", {"name": "a", "text": "Paris"})).content[0].text)
        print((await session.read_resource("notes://a")).contents[0].text)
        print((await session.call_tool("forget", {"name": "a"})).is_error)

asyncio.run(main())
"""


def calls_of(store: Path) -> Counter[str]:
    """Return how often the program called what, by name."""
    with replaykit.load(store) as recording:
        return Counter(action.name for action in recording.get_session().actions if action.parent is None)


def test_mem0_plays_with_store_and_server_gone(tmp_path: Path) -> None:
    """Its memories have random ids, which are those of the recording; making a memory asks its vector store, too."""
    from libraries import test_mem0

    agent = script(MEM0)
    with chat_server() as server:
        server.replies(test_mem0.answer)
        plain = run(agent, tmp_path, SERVER=server.url)
        recorded = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", SERVER=server.url)
    played = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", "--play", "last", SERVER=server.url)

    assert plain.status == 0 and recorded == plain
    assert (played.status, played.out) == (0, plain.out)
    found = calls_of(tmp_path / "runs")
    mem0_calls = {"add": 2, "get": 1, "search": 2, "update": 1, "get_all": 2, "history": 1, "delete": 1}
    assert found == mem0_calls | {"get_collections": 2, "create_collection": 2}


def test_mcp_plays_with_its_server_gone(tmp_path: Path) -> None:
    """The program starts the server itself, so that a process comes up in the play, too: it finds no server to run."""
    agent, notes = script(MCP), Path(__file__).with_name("mcp_notes.py")
    plain = run(agent, tmp_path, NOTES=str(notes))
    recorded = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", NOTES=str(notes))
    played = run(agent, tmp_path, "-m", "replaykit", "run", "-o", "../runs/", "--play", "last", NOTES="gone.py")

    assert plain.status == 0 and recorded == plain
    assert (played.status, played.out) == (0, plain.out)
    assert calls_of(tmp_path / "runs") == {"initialize": 1, "list_tools": 1, "call_tool": 2, "read_resource": 1}
