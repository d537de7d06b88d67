"""The adapters' contract on the real Qdrant client, in memory, and what only it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

import replaykit
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [
    pytest.mark.libraries,
    # What the library itself warns of is its own.
    pytest.mark.filterwarnings("default"),
]

UUID = "00000000-0000-0000-0000-000000000007"


def point(number: int | str, vector: list[float], **payload: Any) -> models.PointStruct:
    return models.PointStruct(id=number, vector=vector, payload=payload)


def filled(target: Any) -> Any:
    target.create_collection("notes", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    target.upsert(
        "notes", [point(1, [1.0, 0.0], city="Paris"), point(2, [0.0, 1.0], city="Rome"), point(UUID, [0.5, 0.5])]
    )
    return target


class TestQdrant(AdapterContract):
    """Ids are numbers and UUIDs; vectors are lists, arrays and batches."""

    expected = (
        Expected("tool", "create_collection", arguments={"collection_name": "notes"}),
        Expected("put_many", "upsert", ids=(1, 2, UUID)),
        Expected("tool", "collection_exists"),
        Expected("put_many", "upsert", ids=(3, 4)),
        Expected("put_many", "upload_points", ids=(5,)),
        Expected("put_many", "upload_collection", ids=(6,)),
        Expected("find", "query_points", query="", ids=(1, UUID), arguments={"limit": 2}),
        Expected("find", "query_points", query="", ids=(1,)),
        Expected("find", "query_points", query=UUID, ids=(1,)),
        Expected("find", "query_batch_points", query="", ids=(1, 2)),
        Expected("find", "query_points_groups", query="", ids=(1, 2)),
        Expected("find", "retrieve", query="1, 9", ids=(1, 9)),
        Expected("find", "scroll", query="", ids=(1, 2), arguments={"limit": 2}),
        Expected("find", "count", query="", ids=()),
        Expected("find", "facet", query="", ids=()),
        Expected("update", "set_payload", ids=(1,)),
        Expected("update", "overwrite_payload", ids=()),
        Expected("update", "update_vectors", ids=(2,)),
        Expected("update", "delete_payload", ids=(1,)),
        Expected("update", "clear_payload", ids=(5,)),
        Expected("tool", "batch_update_points", ids=(7, 5, 2)),
        Expected("delete", "delete", ids=(3,)),
        Expected("delete", "delete", ids=(4,)),
        Expected("delete", "delete", ids=()),
        Expected("find", "scroll", ids=(2, 6, 7, UUID)),
        Expected("tool", "get_collection"),
        Expected("tool", "get_collections"),
        Expected("tool", "delete_collection"),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return lambda: QdrantClient(":memory:")

    def program(self, target: Any) -> list[Any]:
        filled(target)
        paris = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchValue(value="Paris"))])
        return [
            target.collection_exists("notes"),
            target.upsert("notes", models.Batch(ids=[3, 4], vectors=[[0.1, 0.1], [0.1, 0.2]])),
            target.upload_points("notes", [point(5, [0.2, 0.0], n=5)]),
            target.upload_collection("notes", vectors=[[0.0, 0.2]], ids=[6], payload=[{"city": "Oslo"}]),
            target.query_points("notes", query=[1.0, 0.5], limit=2),
            target.query_points("notes", query=numpy.array([1.0, 0.5]), query_filter=paris, with_vectors=True),
            target.query_points("notes", query=UUID, limit=1),
            target.query_batch_points(
                "notes", [models.QueryRequest(query=vector, limit=1) for vector in ([1.0, 0.0], [0.0, 1.0])]
            ),
            target.query_points_groups("notes", group_by="city", query=[1.0, 0.5], limit=2),
            target.retrieve("notes", [1, 9]),
            target.scroll("notes", limit=2),
            target.count("notes"),
            target.facet("notes", "city"),
            target.set_payload("notes", {"n": 1}, [1]),
            target.overwrite_payload("notes", {"city": "Paris"}, paris),
            target.update_vectors("notes", [models.PointVectors(id=2, vector=[0.0, 2.0])]),
            target.delete_payload("notes", ["n"], models.PointIdsList(points=[1])),
            target.clear_payload("notes", [5]),
            target.batch_update_points(
                "notes",
                [
                    models.UpsertOperation(upsert=models.PointsList(points=[point(7, [1.0, 1.0])])),
                    models.DeleteOperation(delete=models.PointIdsList(points=[5])),
                    models.SetPayloadOperation(set_payload=models.SetPayload(payload={"n": 2}, points=[2])),
                ],
            ),
            target.delete("notes", [3]),
            target.delete("notes", models.PointIdsList(points=[4])),
            target.delete("notes", models.FilterSelector(filter=paris)),
            target.scroll("notes", with_vectors=True),
            target.get_collection("notes"),
            target.get_collections(),
            target.delete_collection("notes"),
        ]


class TestAsyncQdrant(AdapterContract):
    """The asynchronous client, whose uploads are no coroutines."""

    expected = (
        Expected("tool", "create_collection"),
        Expected("put_many", "upsert", ids=(1, UUID)),
        Expected("put_many", "upload_points", ids=(2,)),
        Expected("find", "query_points", query="", ids=(1,), arguments={"limit": 1}),
        Expected("find", "retrieve", ids=(2,)),
        Expected("find", "scroll", ids=(1, 2, UUID)),
        Expected("find", "count"),
        Expected("update", "set_payload", ids=(1,)),
        Expected("delete", "delete", ids=(1,)),
        Expected("tool", "get_collection"),
    )

    @pytest.fixture
    def fresh(self) -> Callable[[], Any]:
        return lambda: AsyncQdrantClient(":memory:")

    def program(self, target: Any) -> list[Any]:
        return asyncio.run(self.awaited(target))

    async def awaited(self, target: Any) -> list[Any]:
        vectors = models.VectorParams(size=2, distance=models.Distance.DOT)
        return [
            await target.create_collection("notes", vectors_config=vectors),
            await target.upsert("notes", [point(1, [1.0, 0.0]), point(UUID, [0.5, 0.5])]),
            target.upload_points("notes", [point(2, [0.0, 1.0])]),
            await target.query_points("notes", query=[1.0, 0.0], limit=1),
            await target.retrieve("notes", [2]),
            await target.scroll("notes"),
            await target.count("notes"),
            await target.set_payload("notes", {"n": 1}, [1]),
            await target.delete("notes", [1]),
            await target.get_collection("notes"),
        ]


def test_a_call_that_fails_is_recorded_and_fails_again() -> None:
    client = replaykit.wrap(filled(QdrantClient(":memory:")), store=":memory:")
    calls = {
        "no such collection": lambda: client.query_points("nowhere", query=[1.0, 0.0]),
        "another size": lambda: client.upsert("notes", [point(9, [1.0])]),
        "a column for one of two": lambda: client.delete("nowhere", [1]),
    }
    with replaykit.recorder_of(client).session() as session:
        failures = [fails(call) for call in calls.values()]

    assert [(each.kind, each.affected_frames) for each in session.result.actions] == [
        ("find", ()),
        ("put_many", (9,)),
        ("delete", (1,)),
    ]
    assert [each.error is not None for each in session.result.actions] == [True] * 3
    with replaykit.play(session.result):
        assert [fails(call) for call in calls.values()] == failures


def fails(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Exception) as failure:
        call()
    return type(failure.value).__name__, str(failure.value)


def test_the_text_that_is_to_be_embedded_is_the_query() -> None:
    """Here by nobody, so that the call fails; it is recorded all the same."""
    client = replaykit.wrap(filled(QdrantClient(":memory:")), store=":memory:")
    text = models.Document(text="capital of France", model="no-model-here")

    with replaykit.recorder_of(client).session() as session:
        for query in (text, models.NearestQuery(nearest=text)):
            fails(lambda query=query: client.query_points("notes", query=query))

    assert [each.action_type.query for each in session.result.actions] == ["capital of France"] * 2


def test_points_from_a_generator_are_stored_and_the_call_plays() -> None:
    """What a generator gives is not looked at: it is the client's to take."""
    client = replaykit.wrap(filled(QdrantClient(":memory:")), store=":memory:")

    def upload() -> Any:
        client.upload_points("notes", (point(number, [1.0, 1.0]) for number in (8, 9)))
        return client.retrieve("notes", [8, 9])

    with replaykit.recorder_of(client).session() as session:
        assert [each.id for each in upload()] == [8, 9]
    with replaykit.play(session.result) as player:
        assert [each.id for each in upload()] == [8, 9]

    assert player.all_played
    assert session.result.actions[0].affected_frames == ()


def test_a_recording_plays_on_a_client_that_is_closed() -> None:
    client = QdrantClient(":memory:")
    wrapped = replaykit.wrap(filled(client), store=":memory:")
    with replaykit.recorder_of(wrapped).session() as session:
        found = wrapped.query_points("notes", query=[1.0, 0.0])
    client.close()

    with replaykit.play(session.result):
        assert wrapped.query_points("notes", query=[1.0, 0.0]) == found
    with pytest.raises(RuntimeError, match="closed"):
        wrapped.query_points("notes", query=[1.0, 0.0])


class Renamed(QdrantClient):
    """A release in which a method has another name."""

    query_points: Any = None

    def find_points(self, *args: Any, **kwargs: Any) -> Any:
        return QdrantClient.query_points(self, *args, **kwargs)


def test_a_release_with_other_methods_runs_and_one_warning_says_what_is_not_recorded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = replaykit.wrap(filled(Renamed(":memory:")), store=":memory:")

    with replaykit.recorder_of(client).session() as session:
        assert client.count("notes").count == 3
        assert [client.find_points("notes", query=[1.0, 0.0], limit=1).points[0].id for _ in range(2)] == [1, 1]

    assert [each.name for each in session.result.actions] == ["count"]
    assert session.result.uncovered == {"Renamed.find_points": 2}
    (warning,) = [each for each in caplog.records if each.name.startswith("replaykit")]
    assert (warning.getMessage(), warning.calls) == ("calls_uncovered", "Renamed.find_points 2")


def test_wrapping_twice_is_wrapping_once() -> None:
    client = QdrantClient(":memory:")
    with replaykit.Recorder(":memory:") as recorder, replaykit.Recorder(":memory:") as another:
        wrapped = recorder.wrap(client)
        assert recorder.wrap(wrapped) is wrapped
        twice = another.wrap(wrapped)
        with another.session() as session:
            twice.get_collections()
        assert [each.name for each in session.result.actions] == ["get_collections"]


def test_instrumented_a_call_is_one_action() -> None:
    """What the client is made of has the same methods; recorded too, each call was there twice."""
    replaykit.instrument("qdrant_client")
    try:
        with replaykit.Recorder(":memory:") as recorder:
            with recorder.session() as session:
                filled(QdrantClient(":memory:"))
                asyncio.run(AsyncQdrantClient(":memory:").get_collections())
            names = [each.name for each in session.result.actions]
    finally:
        replaykit.uninstrument()

    assert names == ["create_collection", "upsert", "get_collections"]
