"""What a type checker sees: this file is checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

import replaykit
from replaykit import (
    Answer,
    Checkpoint,
    Erasure,
    Lineage,
    Memory,
    Player,
    Pruning,
    Recorder,
    Recording,
    ReplayAction,
    ReplayResult,
    ReplaySession,
    Restoration,
    SearchResult,
    SessionSummary,
    StoredFrame,
    testing,
)
from replaykit.asgi import Application, RecordingMiddleware
from replaykit.protocols import Rewindable


class Client:
    def find(self, query: str, k: int = 5) -> list[str]:
        return [query] * k


@replaykit.records("find")
def search(query: str, k: int = 5) -> list[str]:
    return [query] * k


@replaykit.records
def bare(query: str) -> int:
    return len(query)


@replaykit.records("find", ids="result.*.key", ignore=["k"])
async def fetch(query: str) -> bytes:
    return query.encode()


@replaykit.records()
def items(count: int) -> Iterator[int]:
    yield from range(count)


@replaykit.records("ask")
async def aitems(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


class Agent:
    @replaykit.records("tool")
    def method(self, x: int) -> str:
        return str(x)

    @replaykit.records("tool")
    async def amethod(self, x: int) -> str:
        return str(x)

    @classmethod
    @replaykit.records("tool")
    def below(cls, x: int) -> Agent:
        return cls()

    @replaykit.records("tool")
    @classmethod
    def above(cls, x: int) -> Agent:
        return cls()

    @staticmethod
    @replaykit.records("tool")
    def static_below(x: int) -> str:
        return str(x)

    @replaykit.records("tool")
    @staticmethod
    def static_above(x: int) -> str:
        return str(x)


def functions_keep_their_signature(agent: Agent) -> None:
    assert_type(search("a", k=3), list[str])
    assert_type(bare("a"), int)
    assert_type(items(3), Iterator[int])
    assert_type(aitems(3), AsyncIterator[int])
    assert_type(agent.method(1), str)
    assert_type(Agent.below(1), Agent)
    assert_type(Agent.above(1), Agent)
    assert_type(Agent.static_below(1), str)
    assert_type(Agent.static_above(1), str)
    search(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bare()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    agent.method("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def coroutines_keep_their_result(agent: Agent) -> None:
    assert_type(await fetch("a"), bytes)
    assert_type(await agent.amethod(1), str)
    async for number in aitems(3):
        assert_type(number, int)


def objects_keep_their_type(client: Client, recorder: Recorder) -> None:
    assert_type(replaykit.wrap(client, store="runs.rpk"), Client)
    assert_type(recorder.wrap(client, operations={"find": "find"}), Client)
    assert_type(replaykit.wrap(client).find("a"), list[str])
    assert_type(replaykit.recorder_of(client).is_recording, bool)
    assert_type(replaykit.recorder_of(client), Recorder)
    assert_type(recorder.records("find")(search)("a"), list[str])
    assert_type(recorder.records(bare)("a"), int)


class Keeper(Client):
    def frames(self) -> list[StoredFrame]:
        return [StoredFrame(id="a", text="b", vector=(0.5,))]

    def restore(self, frames: Iterable[StoredFrame]) -> None:
        assert_type([frame.id for frame in frames], list[int | str])


def checkpoints_restore(recorder: Recorder, client: Client, keeper: Keeper, checkpoint: Checkpoint) -> None:
    assert_type(replaykit.wrap(keeper, frames=True), Keeper)
    assert_type(recorder.wrap(client, frames=keeper), Client)
    assert_type(recorder.at(checkpoint), Memory)
    assert_type(recorder.restore(checkpoint, into=keeper), Restoration)
    recorder.wrap(client, frames=client)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def sessions_are_typed(recorder: Recorder, carried: Callable[[int], str]) -> None:
    with replaykit.session("name", store="runs.rpk", metadata={"user": 1}) as session:
        assert_type(session.id, UUID | None)
        assert_type(session.checkpoint(), int)
        assert_type(session.carry(carried)(3), str)
    assert_type(session.result, ReplaySession | None)
    assert_type(recorder.start_session("name"), UUID)
    assert_type(recorder.end_session(), ReplaySession)
    assert_type(recorder.get_session("last"), ReplaySession)
    assert_type(recorder.get_session("last").actions[0], ReplayAction)
    assert_type(recorder.list_sessions(name="x"), list[SessionSummary])
    assert_type(recorder.active_session_id, UUID | None)
    assert_type(recorder.session("again")(search)("a"), list[str])


async def sessions_are_async_too(recorder: Recorder) -> None:
    async with recorder.session("name") as session:
        session.annotate(user="x")
    async with replaykit.play("runs.rpk") as player:
        assert_type(player, Player)


def a_memory_is_typed() -> None:
    assert_type(replaykit.recorder_of(replaykit.open(":memory:")), Memory)
    with replaykit.open("notes.mv") as mv:
        assert_type(mv, Memory)
        assert_type(mv.put("x", dedupe=True), int)
        assert_type(mv.put_file("x.txt", encoding=None), int)
        assert_type(mv.put_many(["x", {"content": b"x"}], progress=print), list[int])
        assert_type(mv.erase([1, 2]), Erasure)
        assert_type(mv.get(1).content_hash, bytes)
        assert_type(mv.find("x"), SearchResult)
        assert_type(mv.ask("x"), Answer)
        assert_type(mv.ask("x", model="ollama:small", temperature=0), Answer)
        assert_type(mv.ask("x", model=lambda question, hits: question + hits[0].text), Answer)
        mv.ask("x", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        for piece in mv.ask_stream("x"):
            assert_type(piece, str)
        assert_type(mv.ask_stream("x").answer, Answer)
        assert_type(mv.get_session("last"), ReplaySession)


def a_memory_can_be_gone_back_in(mv: Memory, checkpoint: Checkpoint, action: ReplayAction, when: datetime) -> None:
    for moment in (checkpoint, action, when, 3):
        assert_type(mv.at(moment), Memory)
        assert_type(mv.restore(moment), int)
        with mv.fork("branch.mv", at=moment) as branch:
            assert_type(branch, Memory)
    assert_type(mv.prune(keep_checkpoints=[checkpoint], before=when), Pruning)
    assert_type(mv.prune(keep_checkpoints=5).bytes, int)
    assert_type(mv.lineage, Lineage)
    rewindable: Rewindable = mv
    rewindable.fork("branch.mv", at=checkpoint)
    mv.at("yesterday")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def asks_are_async_too(mv: Memory) -> None:
    assert_type(await mv.ask_async("x"), Answer)
    async with mv.ask_stream_async("x", k=3) as stream:
        async for piece in stream:
            assert_type(piece, str)
    assert_type(stream.answer, Answer)


def recordings_are_typed() -> None:
    with replaykit.load("runs.rpk") as recording:
        assert_type(recording, Recording)
        assert_type(recording.get_session(), ReplaySession)
    with replaykit.play("runs.rpk", on_repeat="last") as player:
        assert_type(player.play_count, int)
        assert_type(player.all_played, bool)
    replaykit.play("runs.rpk", on_repeat="again")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_session_is_asserted_to_replay(session: ReplaySession, mv: Memory) -> None:
    assert_type(replaykit.assert_replays(session, mv, tolerance=0.01, order="ties"), ReplayResult)
    assert_type(testing.assert_replays("runs.rpk", [search], allow="search").matched_actions, int)
    replaykit.assert_replays(3, mv)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Shelf: ...


def libraries_and_objects_are_instrumented(shelf: Shelf) -> None:
    assert_type(replaykit.instrument(shelf, store="runs/"), Shelf)
    replaykit.instrument()
    replaykit.instrument("chromadb", "langchain_core", store="runs/", durability="os")
    replaykit.uninstrument("chromadb")
    replaykit.uninstrument(shelf)
    replaykit.uninstrument()
    replaykit.instrument("chromadb", shelf)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def an_asgi_application_is_one_with_the_middleware(connection: dict[str, Any], receive: Any, send: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    recording: Application = RecordingMiddleware(app, store="runs/", name=lambda scope: str(scope["path"]))
    await recording(connection, receive, send)
