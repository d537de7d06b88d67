"""The adapters' contract on the real LanceDB, in folders of its own, and what only it does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import pandas
import pyarrow
import pytest

import replaykit
from replaykit.testing.adapters import AdapterContract, Expected

pytestmark = [
    pytest.mark.libraries,
    # What the library itself warns of is its own.
    pytest.mark.filterwarnings("default"),
]

ROWS = [
    {"id": "a", "vector": [1.0, 0.0], "text": "Paris is in France"},
    {"id": "b", "vector": [0.0, 1.0], "text": "Rome is in Italy"},
    {"id": "c", "vector": [0.5, 0.5], "text": "Oslo is in Norway"},
]


def shown(value: Any) -> Any:
    """Return a result so that ``==`` says whether it is the same: reports of writes by what they say."""
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    if isinstance(value, pandas.DataFrame):
        return ("frame", shown(value.to_dict("records")), [str(each) for each in value.dtypes])
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items() if key not in ("timestamp", "metadata")}
    if type(value).__name__ in ("AddResult", "DeleteResult", "UpdateResult", "MergeResult", "Structured"):
        return value.version
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: str(tmp_path / f"lance-{next(numbers)}")


class TestLance(AdapterContract):
    """From the connection down; what is put together by steps is one call."""

    expected = (
        Expected("tool", "create_table", ids=("a", "b", "c"), arguments={"name": "notes"}),
        Expected("tool", "open_table"),
        Expected("tool", "__getitem__"),
        Expected("put_many", "add", ids=("d",)),
        Expected("find", "search.to_list", query="", ids=("a", "c"), arguments={"query": [1.0, 0.0], "limit": 2}),
        Expected("find", "search.to_arrow", query="", ids=("b",), arguments={"where": "id = 'b'", "select": ["id"]}),
        Expected("find", "search.to_pandas", query="", ids=("a",)),
        Expected("tool", "create_index"),
        Expected("find", "search.to_list", query="Italy", ids=("b",), arguments={"query_type": "fts"}),
        Expected("find", "take_offsets.to_list", query="", ids=("a",)),
        Expected("put_many", "merge_insert.execute", ids=("a", "e"), arguments={"when_matched_update_all": {}}),
        Expected("update", "update", ids=()),
        Expected("delete", "delete", ids=()),
        Expected("find", "count_rows", query="", ids=()),
        Expected("find", "__len__"),
        Expected("find", "head", ids=("c",)),
        Expected("find", "to_pandas"),
        Expected("tool", "list_versions"),
        Expected("tool", "checkout"),
        Expected("find", "count_rows"),
        Expected("tool", "checkout_latest"),
        Expected("tool", "create", arguments={"tag": "first"}),
        Expected("tool", "get_version"),
        Expected("tool", "list_tables"),
        Expected("tool", "__contains__"),
        Expected("tool", "drop_table"),
    )

    @pytest.fixture
    def fresh(self, folders: Callable[[], str]) -> Callable[[], Any]:
        return lambda: lancedb.connect(folders())

    def program(self, target: Any) -> list[Any]:
        created = target.create_table("notes", ROWS)
        notes = target.open_table("notes")
        again = target["notes"]
        return [
            (created.name, notes.name, again.name),
            notes.add([{"id": "d", "vector": [9.0, 9.0], "text": "Bonn is in Germany"}]),
            notes.search([1.0, 0.0]).limit(2).to_list(),
            notes.search().where("id = 'b'").select(["id"]).to_arrow(),
            notes.search([1.0, 0.0], vector_column_name="vector").distance_type("l2").limit(1).to_pandas(),
            created.create_index("text", config=lancedb.index.FTS()),
            created.search("Italy", query_type="fts").limit(2).to_list(),
            created.take_offsets([0]).to_list(),
            created.merge_insert("id")
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .execute([{"id": name, "vector": [1.0, 0.0], "text": name} for name in "ae"]),
            created.update(where="id = 'a'", values={"text": "Paris!"}),
            created.delete("id = 'b'"),
            created.count_rows(),
            len(created),
            created.head(1),
            created.to_pandas(),
            len(created.list_versions()),
            created.checkout(1),
            created.count_rows(),
            created.checkout_latest(),
            created.tags.create("first", 1),
            created.tags.get_version("first"),
            target.list_tables().tables,
            "notes" in target,
            target.drop_table("notes"),
        ]

    def shown(self, results: Any) -> Any:
        return shown(list(results))


class TestAsyncLance(AdapterContract):
    """Builders of coroutines, some of which begin with one."""

    expected = (
        Expected("tool", "create_table", ids=("a", "b", "c")),
        Expected("put_many", "add", ids=("d",)),
        Expected("tool", "create_index"),
        Expected("find", "vector_search.to_list", ids=("a", "c"), arguments={"limit": 2}),
        Expected("find", "search.to_arrow", query="", ids=("a",)),
        Expected("find", "query.to_pandas", query="Italy", ids=("b",), arguments={"nearest_to_text": "Italy"}),
        Expected("find", "query.to_list", query="", ids=("b",), arguments={"where": "id = 'b'"}),
        Expected("find", "query.to_list", query="", ids=("c",), arguments={"where": "id = 'c'"}),
        Expected("put_many", "merge_insert.execute", ids=("e",)),
        Expected("delete", "delete"),
        Expected("find", "count_rows"),
        Expected("tool", "schema"),
        Expected("tool", "list_tables"),
    )

    @pytest.fixture
    def fresh(self, folders: Callable[[], str]) -> Callable[[], Any]:
        return lambda: asyncio.run(lancedb.connect_async(folders()))

    def program(self, target: Any) -> list[Any]:
        return asyncio.run(self.awaited(target))

    async def awaited(self, target: Any) -> list[Any]:
        notes = await target.create_table("notes", ROWS)
        added = await notes.add([{"id": "d", "vector": [9.0, 9.0], "text": "Bonn is in Germany"}])
        await notes.create_index("text", config=lancedb.index.FTS())
        return [
            added,
            await notes.vector_search([1.0, 0.0]).limit(2).to_list(),
            await (await notes.search([1.0, 0.0])).limit(1).to_arrow(),
            await notes.query().nearest_to_text("Italy").limit(1).to_pandas(),
            *[await notes.query().where(f"id = '{name}'").to_list() for name in "bc"],
            await notes.merge_insert("id").when_not_matched_insert_all().execute([{**ROWS[0], "id": "e"}]),
            await notes.delete("id = 'b'"),
            await notes.count_rows(),
            await notes.schema(),
            (await target.list_tables()).tables,
        ]

    def shown(self, results: Any) -> Any:
        return shown(list(results))


@pytest.fixture
def notes(folders: Callable[[], str]) -> Any:
    return replaykit.wrap(lancedb.connect(folders()).create_table("notes", ROWS), store=":memory:")


def test_a_search_that_fails_is_recorded_and_fails_again(notes: Any) -> None:
    searches = (
        lambda: notes.search([1.0, 0.0]).where("no such column > 1").to_list(),
        lambda: notes.search([1.0]).limit(1).to_list(),
        lambda: notes.add([{"id": "z", "colour": "red"}]),
    )
    # The second fails before it is run: with its first method.
    with replaykit.recorder_of(notes).session() as session:
        failures = [fails(search) for search in searches]
    with replaykit.play(session.result):
        assert [fails(search)[1] for search in searches] == [text for _, text in failures]

    assert [(each.kind, each.name, each.affected_frames) for each in session.result.actions] == [
        ("find", "search.to_list", ()),
        ("find", "search", ()),
        ("put_many", "add", ("z",)),
    ]
    assert all(each.error is not None for each in session.result.actions)


def fails(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Exception) as failure:
        call()
    return type(failure.value).__name__, str(failure.value)


def test_a_builder_is_still_the_librarys(notes: Any) -> None:
    """What asks for its class or its own attributes gets them; a method that it lacks is lacking."""
    search = notes.search([1.0, 0.0])

    assert isinstance(search, lancedb.query.LanceVectorQueryBuilder)
    assert search.limit(2) is search
    assert search.to_query_object().limit == 2
    assert not hasattr(search, "phrase_query")


def test_batches_are_not_recorded_and_the_session_says_so(notes: Any) -> None:
    with replaykit.recorder_of(notes).session() as session:
        assert notes.search([1.0, 0.0]).limit(1).to_batches().read_all().num_rows == 1

    assert session.result.uncovered == {"LanceVectorQueryBuilder.to_batches": 1}
    assert len(session.result.actions) == 0


def test_data_frames_and_tables_keep_types_and_index(notes: Any) -> None:
    def found() -> tuple[Any, Any]:
        search = notes.search([1.0, 0.0]).limit(3)
        return search.to_arrow(), search.to_pandas()

    with replaykit.recorder_of(notes).session() as session:
        table, frame = found()
    with replaykit.play(session.result):
        played_table, played_frame = found()

    assert played_table.equals(table)
    assert played_table.schema == table.schema
    pandas.testing.assert_frame_equal(played_frame, frame)
    assert [row["id"] for row in session.result.actions[0].output["rows"]] == ["a", "c", "b"]


def test_a_recorded_search_plays_on_a_table_that_is_gone(folders: Callable[[], str]) -> None:
    connection = lancedb.connect(folders())
    notes = replaykit.wrap(connection.create_table("notes", ROWS), store=":memory:")
    with replaykit.recorder_of(notes).session() as session:
        found = notes.search([1.0, 0.0]).limit(1).to_list()
    connection.drop_table("notes")

    with replaykit.play(session.result):
        assert notes.search([1.0, 0.0]).limit(1).to_list() == found
        with pytest.raises(replaykit.errors.NoMatchError, match="limit"):
            notes.search([1.0, 0.0]).limit(2).to_list()


def test_wrapping_twice_is_wrapping_once(notes: Any) -> None:
    recorder = replaykit.recorder_of(notes)
    assert recorder.wrap(notes) is notes
    with replaykit.Recorder(":memory:") as another:
        twice = another.wrap(notes)
        with another.session() as session:
            twice.search([1.0, 0.0]).limit(1).to_list()
        assert [each.name for each in session.result.actions] == ["search.to_list"]


def test_rows_as_a_table_are_added_and_the_call_plays(notes: Any) -> None:
    """Of an Arrow table that is given only that it was one is recorded."""
    rows = pyarrow.table(
        {"id": ["t"], "vector": pyarrow.array([[1.0, 1.0]], pyarrow.list_(pyarrow.float32(), 2)), "text": ["x"]}
    )
    with replaykit.recorder_of(notes).session() as session:
        version = notes.add(rows).version
    with replaykit.play(session.result):
        assert notes.add(rows).version == version

    (action,) = session.result.actions
    assert (action.affected_frames, "unreplayable" in action.flags) == ((), True)
