"""The adapter for memvid-sdk on the real library: what is recorded, what plays, and its own ``session_*`` names."""

from __future__ import annotations

import os

# The library reports home by default; the tests run offline.
os.environ.update(MEMVID_TELEMETRY="0", MEMVID_OFFLINE="1")

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import memvid_sdk
import pytest

import replaykit
from replaykit.adapters import maps
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [pytest.mark.libraries, pytest.mark.filterwarnings("default")]

_numbers = itertools.count()
_VOLATILE = {"took_ms", "created_at", "timestamp", "stats", "size_bytes", "path", "last_enrichment"}


def here(name: str) -> str:
    """Return a path that stays one when the test is over: memvid writes when an object goes."""
    return str(Path(name).absolute())


def fresh_memory(kind: str = "basic") -> Any:
    return memvid_sdk.create(here(f"m{next(_numbers)}.mv2"), kind=kind, enable_vec=True)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model's key and no memvid's of the machine that this runs on."""
    for name in ("GEMINI", "OPENAI", "ANTHROPIC", "CLAUDE", "GROQ", "XAI", "MISTRAL", "MEMVID"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty memory, recorded."""
    found = replaykit.wrap(fresh_memory(), store="runs.rpk")
    yield found
    replaykit.recorder_of(found).close()
    found.close()


VECTORS = [[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.5, 0.0]]


class Embedder:
    """Four numbers for each text."""

    provider, model_name, dimension = "test", "lengths", 4

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[0.0, 0.0, 1.0, float(len(text))] for text in texts]


def texts(*contents: str) -> list[dict[str, str]]:
    return [{"title": f"t{at}", "label": "x", "text": content} for at, content in enumerate(contents)]


def refusal(call: Callable[..., Any], *args: Any) -> tuple[str, str, Any]:
    """Return what is raised, as a program sees it."""
    with pytest.raises(Exception) as caught:
        call(*args)
    return type(caught.value).__name__, str(caught.value), getattr(caught.value, "code", None)


def steady(value: Any) -> Any:
    """Return a result of memvid's without what differs from run to run."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, (list, tuple)):
        return type(value)(map(steady, value))
    return value


class TestMemory(AdapterContract):
    """Removes, failed finds, many puts and finds by meaning are recorded; one ask is one action; frames are frames."""

    LONG = "A long sentence about lighthouses. " * 300

    expected = (
        Expected("put", "put", ids=(0,)),
        Expected("put_many", "put_many", ids=(1, 2)),
        Expected("tool", "enable_vec"),
        Expected("put_many", "put_many", ids=(3, 4)),
        Expected("put_many", "put_many", ids=(5,), arguments={"embeddings": None}),
        Expected("put", "correct", ids=(6,)),
        Expected("put_many", "correct_many", ids=(7,)),
        Expected("put", "put"),
        Expected("find", "find", query="Paris", ids=(0,), arguments={"k": 3}),
        Expected("find", "find", query="", ids=()),
        Expected("find", "find", query="zebra", ids=()),
        Expected("find", "find", query="a vector", ids=(3, 4), arguments={"mode": "sem"}),
        Expected("ask", "ask", query="Where is Oslo?", ids=(2,)),
        Expected("ask", "ask", query="Oslo", ids=(2,), arguments={"context_only": True}),
        Expected("delete", "remove", ids=(1,)),
        Expected("delete", "remove", ids=(1,)),
        Expected("delete", "remove", ids=(99,)),
        Expected("find", "timeline"),
        Expected("find", "frame", ids=(0,)),
        Expected("find", "blob", ids=(0,)),
        Expected("tool", "add_memory_cards"),
        Expected("find", "state", query="Alice", ids=(2,)),
        Expected("find", "memories"),
        Expected("find", "memory_entities"),
        Expected("tool", "stats"),
        Expected("tool", "commit"),
        Expected("tool", "seal"),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return fresh_memory

    def program(self, target: Any) -> list[Any]:
        found = [
            target.put(text="Paris is the capital of France.", title="France"),
            target.put_many(texts("Rome is the capital of Italy.", "Oslo is the capital of Norway.")),
            target.enable_vec(),
            target.put_many(texts("a vector", "another vector"), embeddings=VECTORS),
            target.put_many(texts("embedded"), embedder=Embedder()),
            target.correct("Ben is tall."),
            target.correct_many([{"statement": "Ann is taller."}]),
            target.put({"title": "Lighthouses", "label": "x", "text": self.LONG}),
            target.find("Paris", k=3),
            refusal(target.find, ""),
            target.find("zebra"),
            target.find("a vector", mode="sem", query_embedding=VECTORS[0]),
            target.ask("Where is Oslo?"),
            target.ask("Oslo", context_only=True),
            target.remove("1"),
            refusal(target.remove, 1),
            refusal(target.remove, 99),
            len(target.timeline()),
            target.frame("mv2://frames/0"),
            target.blob("mv2://frames/0"),
            target.add_memory_cards([{"entity": "Alice", "slot": "home", "value": "Oslo", "source_frame_id": 2}]),
            target.state("Alice"),
            target.memories(),
            target.memory_entities(),
            target.stats()["frame_count"],
            target.commit(),
            target.seal(),
        ]
        assert not target.closed
        target.close()
        return [*found, target.closed]

    def shown(self, results: Any) -> Any:
        return steady(list(results))


def test_a_long_documents_frames_are_those_of_its_chunks_too(memory: Any) -> None:
    """A find gives chunks: they lead to the put that made them."""
    with memory.session() as session:
        memory.put(text=TestMemory.LONG, title="Lighthouses")
        memory.put_many(texts("Rome", TestMemory.LONG, "Oslo"))
    put, many = session.result.actions
    timeline = {entry["frame_id"]: entry["child_frames"] for entry in memory.timeline()}

    assert put.affected_frames == (0, *timeline[0])
    parents = [frame for frame in timeline if frame != 0]
    assert set(many.affected_frames) == {*parents, *(child for parent in parents for child in timeline[parent])}
    assert many.action_type.count == 3


def test_an_asks_frames_are_all_that_it_stands_on(memory: Any) -> None:
    """Also those that its ``hits`` leave out; the searches that memvid makes for it are part of it."""
    memory.put(text="Paris is the capital of France.", title="France")
    memory.put(text="France exports wine.", title="Wine")
    with memory.session() as session:
        answer = memory.ask("What is the capital of France?")

    (ask,) = session.result.actions
    assert set(ask.affected_frames) == {each["frame_id"] for each in answer["context_fragments"]}


# -- tools, and the module ------------------------------------------------------------------


def test_tools_that_call_the_core_are_recorded_and_play() -> None:
    """Each of their calls is one action, with its query and frames; the bare memory's tools stay as they are."""
    recorder = replaykit.Recorder(":memory:")
    module = recorder.wrap(memvid_sdk)

    def program() -> list[Any]:
        memory = module.create(here("tools.mv2"), kind="openai")
        memory.put(text="Rome is the capital of Italy.", title="Italy")
        functions = memory.functions
        assert functions is memory.functions
        assert [tool["function"]["name"] for tool in memory.tools] == list(functions)
        return [
            memory.path,
            functions["memvid_find"]("Rome", top_k=2),
            functions["memvid_ask"]("What is the capital of Italy?"),
            refusal(functions["memvid_put"], "title", "label", "text"),
            memory.close(),
        ]

    bare = memvid_sdk.create(here("bare.mv2"), kind="openai").functions
    with recorder.session() as session:
        program()

    assert [(each.kind, each.name, each.affected_frames, each.parent) for each in session.result.actions] == [
        ("tool", "create", (), None),
        ("put", "put", (0,), None),
        ("find", "find", (), None),
        ("ask", "ask", (), None),
        ("put", "put", (), None),
    ]
    find = session.result.actions[2]
    assert (find.action_type.query, find.arguments["k"]) == ("Rome", 2)
    assert dict(session.result.uncovered) == {}
    assert type(bare["memvid_find"].__closure__[0].cell_contents).__name__ == "_MemvidCore"
    recorder.close()


def test_langchains_tools_of_a_memory_are_recorded() -> None:
    """They are LangChain's own objects, with a recorded core below."""
    from langchain_core.tools import BaseTool

    memory = replaykit.wrap(fresh_memory("langchain"), store=":memory:")
    memory.put(text="Rome is the capital of Italy.", title="Italy")
    with replaykit.recorder_of(memory).session(adopt=True) as session:
        find = next(tool for tool in memory.tools if tool.name == "memvid_find")
        assert type(find).__mro__[-2] is not object and isinstance(find, BaseTool)
        assert "Rome" in find.invoke({"query": "Rome", "top_k": 1})

    assert [(each.kind, each.affected_frames) for each in session.result.actions] == [("find", (0,))]


def test_a_memory_that_the_module_opens_plays_without_a_file(tmp_path: Path) -> None:
    """Nothing is created, and no key is in the recording."""
    module = replaykit.wrap(memvid_sdk, store="runs.rpk")

    def program() -> list[Any]:
        with module.create(here("a.mv2"), apikey={"anthropic": "correct-horse-battery"}) as memory:
            memory.put(text="Rome is the capital of Italy.", title="Italy")
            return [memory.path, steady(memory.find("Rome"))]

    with replaykit.recorder_of(module).session() as session:
        expected = program()
    Path("a.mv2").unlink()
    with replaykit.play(session.result) as player:
        assert program() == expected

    assert player.all_played
    assert not Path("a.mv2").exists()
    replaykit.recorder_of(module).close()
    assert b"correct-horse" not in Path("runs.rpk").read_bytes()


def test_a_release_without_a_method_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And the program runs on what there is."""
    maps._warn_of.cache_clear()

    class Older(memvid_sdk.Memvid):  # type: ignore[misc]  # the library has no types
        state = None

    def opened() -> Any:
        made = fresh_memory()
        return Older(kind="basic", core=made._core, attachments={})

    with caplog.at_level("WARNING"):
        first, second = (replaykit.wrap(opened(), store=":memory:") for _ in range(2))
    with first.session() as session:
        first.put(text="Rome", title="Italy")
    assert second.put(text="Rome", title="Italy") == "0"

    assert [each.name for each in session.result.actions] == ["put"]
    told = [record for record in caplog.records if "methods_not_there" in record.getMessage()]
    assert [record.methods for record in told] == [["state"]]  # type: ignore[attr-defined]  # given as a key


def test_a_memory_records_on_itself() -> None:
    """With the same frames; its own `session_*` stay memvid's."""
    memory = fresh_memory()
    replaykit.instrument(memory, store=":memory:")
    with replaykit.recorder_of(memory).session() as session:
        memory.session_start("theirs")
        memory.put(text="Rome", title="Italy")
        memory.put_many(texts("Oslo", "Bern"))
        memory.ask("Where is Oslo?")
        memory.session_end()
    replaykit.uninstrument(memory)

    assert [(each.name, each.affected_frames) for each in session.result.actions] == [
        ("put", (0,)),
        ("put_many", (1, 2)),
        ("ask", (1,)),
    ]
    assert [item["name"] for item in memory.session_list()] == ["theirs"]


def test_wrapping_twice_records_once(memory: Any) -> None:
    assert replaykit.wrap(memory) is memory
    again = replaykit.recorder_of(memory).wrap(memory)
    with memory.session() as session:
        again.put(text="Rome", title="Italy")
    assert len(session.result.actions) == 1


# -- its own names for sessions ---------------------------------------------------------------


def seeds_program(memory: Any) -> list[Any]:
    """A program as one writes it for memvid-sdk; what differs from run to run is left out."""

    def summary(item: dict[str, Any]) -> tuple[Any, ...]:
        assert set(item) - {"origin"} == {
            "session_id", "name", "action_count", "checkpoint_count", "created_secs", "ended_secs",
        }  # fmt: skip
        return item["name"], item["checkpoint_count"], item["ended_secs"] >= item["created_secs"]

    told = [refusal(memory.session_end), refusal(memory.session_checkpoint)]
    first = memory.session_start("first")
    told += [refusal(memory.session_start), [item["name"] for item in memory.session_list()]]
    memory.put(text="Paris is the capital of France.", title="France")
    memory.find("capital", k=3)
    told += [memory.session_checkpoint(), summary(memory.session_end())]
    second = memory.session_start()
    memory.find("Paris")
    told += [summary(memory.session_end()), [summary(item) for item in memory.session_list()]]
    result = memory.session_replay(second)
    told.append({name: result[name] for name in ("total_actions", "matched_actions", "success", "audit_mode")})
    told.append([(item["sequence"], item["action_type"], item["matched"]) for item in result["action_results"]])
    unknown = "00000000-0000-4000-8000-000000000000"
    told += [refusal(memory.session_replay, unknown)[:2], refusal(memory.session_delete, unknown)]
    told += [refusal(memory.session_replay, "no id")[0], memory.session_delete(first)]
    told.append([summary(item) for item in memory.session_list()])
    memory.commit()
    memory.close()
    return [*told, refusal(memory.session_list), refusal(memory.session_start)]


def test_a_program_that_uses_them_runs_unchanged(memory: Any) -> None:
    """Same shapes, same texts, same errors; nothing is recorded by memvid, and ours is there afterwards."""
    bare = seeds_program(fresh_memory())
    path = memory.path

    assert seeds_program(memory) == bare
    assert memvid_sdk.use("basic", path).session_list() == []
    assert [item.action_count for item in replaykit.recorder_of(memory).list_sessions()] == [1]


def old_sessions(path: str) -> list[str]:
    """Have memvid record two sessions in a new memory; return their ids."""
    memory = memvid_sdk.create(path)
    ids = []
    for name in ("old", "older"):
        ids.append(memory.session_start(name))
        memory.put(text=f"{name}: Paris is the capital of France.", title="France")
        memory.find("capital")
        memory.session_end()
    memory.seal()
    memory.close()
    return ids


def test_sessions_of_memvids_own_are_listed_with_their_origin() -> None:
    """They can be replayed and deleted; ours stand behind them."""
    old, older = old_sessions(here("a.mv2"))
    memory = replaykit.wrap(memvid_sdk.use("basic", here("a.mv2")), store="runs.rpk")
    memory.session_start("new")
    memory.find("capital")
    new = memory.session_end()["session_id"]

    listed = [(item["session_id"], item["origin"]) for item in memory.session_list()]
    assert listed == [(old, "memvid"), (older, "memvid"), (new, "replaykit")]
    result = memory.session_replay(older)
    assert (result["success"], result["matched_actions"], result["skipped_actions"]) == (True, 1, 1)

    memory.session_delete(old)
    memory.close()
    replaykit.recorder_of(memory).close()
    again = replaykit.wrap(memvid_sdk.use("basic", here("a.mv2")), store="runs.rpk")
    assert [item["session_id"] for item in again.session_list()] == [older, new]
    again.close()


def test_a_replay_notices_what_memvids_own_does_not(memory: Any) -> None:
    """A document that went, and other documents in the place of those that were found."""
    session_id = memory.session_start()
    memory.put(text="The harbour lamp one.", title="one")
    memory.put(text="The harbour lamp two.", title="two")
    memory.find("lamp", k=2)
    memory.session_end()
    assert memory.session_replay(session_id)["success"]

    memory.remove(0)
    memory.put(text="The lamp lamp lamp lamp lamp.", title="three")
    result = memory.session_replay(session_id)

    assert [item["matched"] for item in result["action_results"]] == [False, True, False]
    assert "Frame 0 is not there any more" in result["action_results"][0]["diff"]


def test_a_session_that_is_not_ended_is_kept() -> None:
    """memvid drops it when the memory is closed."""
    with replaykit.wrap(fresh_memory(), store="runs.rpk") as memory:
        memory.session_start("not ended")
        memory.put(text="Rome", title="Italy")

    (summary,) = replaykit.recorder_of(memory).list_sessions()
    assert (summary.name, summary.state, summary.action_count) == ("not ended", "sealed", 1)


def test_memories_that_share_a_store_do_not_list_each_others_sessions() -> None:
    recorder = replaykit.Recorder("runs.rpk")
    one, other = recorder.wrap(fresh_memory()), recorder.wrap(fresh_memory())
    for memory in (one, other):
        memory.session_start(memory.path)
        memory.session_end()

    assert [[item["name"] for item in memory.session_list()] for memory in (one, other)] == [[one.path], [other.path]]
    recorder.close()


@pytest.mark.parametrize("removed", range(4))
@pytest.mark.parametrize("added", range(4))
def test_a_recording_survives_what_destroys_memvids_own(removed: int, added: int) -> None:
    """Frames go, frames come, the memory is committed and opened again: both sessions are there and are replayed."""
    memory = replaykit.wrap(memvid_sdk.create(here("a.mv2")), store="runs.rpk")
    memory.put_many(texts(*(f"Document {number} about harbours." for number in range(5))))
    ids = [memory.session_start("first")]
    memory.find("harbours", k=5)
    memory.session_end()
    for frame in range(removed):
        memory.remove(frame)
    for number in range(added):
        memory.put(text=os.urandom(2000).hex(), title=f"noise {number}")
    memory.commit()
    memory.close()
    replaykit.recorder_of(memory).close()

    again = replaykit.wrap(memvid_sdk.use("basic", here("a.mv2")), store="runs.rpk")
    ids.append(again.session_start("second"))
    again.find("harbours", k=5)
    again.session_end()

    assert [item["session_id"] for item in again.session_list()] == ids
    assert again.session_replay(ids[1])["success"]
    assert again.session_replay(ids[0])["success"] is (removed == 0 and added == 0)
    again.close()
    replaykit.recorder_of(again).close()
