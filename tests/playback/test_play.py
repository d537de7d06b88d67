"""A play answers from the recording: the memory is absent and nothing is executed."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import pytest

import replaykit
from replaykit import ReplaySession
from replaykit.errors import NoMatchError, PlaybackError, RecordedError, SessionNotFoundError, UsageError


class Gone(AssertionError):
    """Something was executed in a play."""


class World:
    """What recorded functions touch; absent in a play."""

    absent = False
    touched = 0

    @classmethod
    def touch(cls) -> None:
        if cls.absent:
            raise Gone
        cls.touched += 1


@pytest.fixture(autouse=True)
def present() -> Iterator[None]:
    World.absent, World.touched = False, 0
    yield
    World.absent = False


@contextlib.contextmanager
def playing(recording: Any = "runs.rpk", session: Any = "last", **options: Any) -> Iterator[replaykit.Player]:
    """Play with the world absent."""
    World.absent = True
    try:
        with replaykit.play(recording, session, **options) as player:
            yield player
    finally:
        World.absent = False


def record(call: Callable[[], Any], name: str | None = None, **options: Any) -> ReplaySession:
    """Run *call* in a session of its own and return the session."""
    with replaykit.session(name, store="runs.rpk", **options) as session:
        call()
    assert isinstance(session.result, ReplaySession)
    return session.result


class Foreign(Exception):
    """An exception that a play does not import."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


@replaykit.records("find")
def search(query: str, k: int = 5) -> list[dict[str, Any]]:
    World.touch()
    return [{"id": number, "text": f"{query} {World.touched}"} for number in range(k)]


@replaykit.records("tool")
def fail(how: str) -> None:
    World.touch()
    errors: dict[str, BaseException] = {
        "value": ValueError("bad", 3),
        "key": KeyError("k"),
        "os": OSError(2, "No such file"),
        "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        "stop": StopIteration("x"),
        "exit": KeyboardInterrupt(),
        "ours": UsageError("ours"),
        "foreign": Foreign(3, "broken"),
    }
    raise errors[how]


@replaykit.records("tool")
async def fetch(url: str) -> str:
    World.touch()
    return url.upper()


@replaykit.records("tool")
def words(text: str) -> Iterator[str]:
    World.touch()
    for word in text.split():
        if word == "bad":
            raise ValueError("bad word")
        yield word


@replaykit.records("tool")
async def awords(text: str) -> AsyncIterator[str]:
    World.touch()
    for word in text.split():
        if word == "bad":
            raise ValueError("bad word")
        yield word


@replaykit.records("tool")
def later(url: str) -> Any:
    """A plain function that hands out a coroutine."""
    return fetch.__wrapped__(url)  # type: ignore[attr-defined]


@replaykit.records("tool")
def alater(text: str) -> Any:
    """A plain function that hands out an async generator."""
    return awords.__wrapped__(text)  # type: ignore[attr-defined]


@replaykit.records("tool")
def step(query: str) -> int:
    return len(search(query, 2)) + len(search(query + "!", 1))


async def collected(items: Any) -> list[Any]:
    seen: list[Any] = []
    try:
        async for item in items:
            seen.append(item)
    except ValueError as error:
        seen.append(str(error))
    return seen


# -- answers ---------------------------------------------------------------------------------


def test_a_function_answers_with_what_was_recorded() -> None:
    """Nothing runs, and all was played."""
    expected: list[Any] = []
    record(lambda: expected.append(search("a", k=2)))

    with playing() as player:
        assert expected[0] == search("a", k=2)

    assert (player.play_count, player.all_played, list(player.unused)) == (1, True, [])


def test_defaults_are_filled_in_before_matching() -> None:
    record(lambda: search("a"))

    with playing():
        assert len(search(k=5, query="a")) == 5


def test_all_shapes_are_answered() -> None:
    """Coroutines, generators, async generators, and plain functions that hand those out."""

    def calls() -> list[Any]:
        return [
            asyncio.run(fetch("x")),
            list(words("a b")),
            asyncio.run(collected(awords("a b"))),
            asyncio.run(_awaited(later, "y")),
            asyncio.run(collected(alater("c d"))),
        ]

    expected: list[Any] = []
    record(lambda: expected.extend(calls()))

    with playing() as player:
        assert expected == calls() == ["X", ["a", "b"], ["a", "b"], "Y", ["c", "d"]]
        assert player.all_played


async def _awaited(function: Callable[..., Any], *args: Any) -> Any:
    return await function(*args)


def test_a_failing_stream_gives_its_items_and_then_the_error() -> None:
    def calls() -> list[Any]:
        seen: list[Any] = []
        with contextlib.suppress(ValueError):
            for word in words("a bad"):
                seen.append(word)
        return [*seen, asyncio.run(collected(awords("b bad")))]

    record(calls)

    with playing() as player:
        assert calls() == ["a", ["b", "bad word"]]
        generator = words
        with pytest.raises(NoMatchError):
            list(generator("a bad"))
        assert player.all_played


def test_an_abandoned_stream_gives_the_items_that_were_taken() -> None:
    def first() -> str:
        items = words("a b c")
        word = next(items)
        items.close()  # type: ignore[attr-defined]
        return word

    record(first)

    with playing():
        assert first() == "a"


def test_who_reads_on_where_the_recorded_consumer_left_is_told() -> None:
    """A shorter stream must not be taken for all of it."""

    def first() -> str:
        items = words("a b c")
        return next(items)

    record(first)

    with playing():
        items = words("a b c")
        assert next(items) == "a"
        with pytest.raises(PlaybackError, match="left before its end"):
            next(items)


@replaykit.records("find")
def many(query: str) -> list[dict[str, Any]]:
    return [{"frame_id": number, "text": "t" * 50} for number in range(100)]


@replaykit.records("ask")
def long(query: str) -> str:
    return "long answer. " * 500


@replaykit.records("tool")
def long_words(query: str) -> Iterator[str]:
    for number in range(100):
        yield f"word {number} " * 3


@pytest.mark.parametrize("held", ["store", "session", "list"])
@pytest.mark.parametrize("ask", [many, long, lambda query: list(long_words(query))], ids=["list", "text", "stream"])
def test_a_result_of_which_only_the_head_was_kept_is_not_played(ask: Callable[[str], Any], held: str) -> None:
    """A tenth of an answer is no answer."""
    with contextlib.closing(replaykit.Recorder("cut.rpk", max_action_bytes=1000)) as recorder:
        with recorder.session("cut") as session:
            ask("a")
        stored = session.result
        assert {"cut", "unreplayable"} <= stored.actions[0].flags

        listed = attrs.evolve(stored, actions=tuple(stored.actions))
        with (
            replaykit.play({"store": "cut.rpk", "session": stored, "list": listed}[held]),
            pytest.raises(PlaybackError, match="only its head was kept"),
        ):
            ask("a")


@pytest.mark.parametrize(
    ("how", "cls", "args"),
    [
        ("value", ValueError, ("bad", 3)),
        ("key", KeyError, ("k",)),
        ("os", FileNotFoundError, (2, "No such file")),
        ("unicode", UnicodeDecodeError, ("utf-8", b"\xff", 0, 1, "invalid")),
        ("stop", StopIteration, ("x",)),
        ("exit", KeyboardInterrupt, ()),
        ("ours", UsageError, ("ours",)),
    ],
)
def test_recorded_errors_come_back_as_themselves(how: str, cls: type[BaseException], args: tuple[Any, ...]) -> None:
    """Built-in exceptions and ours."""
    with contextlib.suppress(BaseException):
        record(lambda: fail(how))

    with playing(), pytest.raises(cls) as caught:
        fail(how)

    assert type(caught.value) is cls
    assert args == (caught.value.args or ())


def test_a_foreign_error_comes_back_as_a_recorded_error() -> None:
    """Its class is not imported: the failure has type, message and arguments."""
    with contextlib.suppress(Foreign):
        record(lambda: fail("foreign"))

    with playing(), pytest.raises(RecordedError, match=r"Foreign: broken \(3\)") as caught:
        fail("foreign")

    assert caught.value.failure.type.endswith("Foreign")


def test_a_cancelled_call_is_cancelled_again() -> None:
    @replaykit.records("tool")
    async def wait() -> None:
        await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with contextlib.suppress(asyncio.CancelledError):
        record(lambda: asyncio.run(cancelled()))

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await wait()

    with playing():
        asyncio.run(main())


def test_calls_inside_an_answered_call_count_as_used() -> None:
    """They never run: their caller did not."""
    record(lambda: step("a"))

    with playing() as player:
        assert step("a") == 3
        assert (player.play_count, player.all_played) == (1, True)


# -- wrapped objects and the embedded memory -----------------------------------------------------


class Store:
    """A memory that can be absent."""

    def find(self, query: str, k: int = 3) -> list[str]:
        World.touch()
        return [query] * k

    async def ask(self, question: str) -> str:
        World.touch()
        return question[::-1]

    def delete(self, frame_id: int) -> Store:
        World.touch()
        return self


def test_a_wrapped_object_answers_with_the_memory_absent() -> None:
    proxy = replaykit.wrap(Store(), store="runs.rpk")
    with replaykit.recorder_of(proxy).session(adopt=True):
        proxy.find("a")
        asyncio.run(proxy.ask("why"))

    with playing():
        assert proxy.find("a") == ["a"] * 3
        assert asyncio.run(proxy.ask("why")) == "yhw"


def test_a_recording_of_one_object_answers_for_another_of_its_kind() -> None:
    """The player knows calls by kind, name and arguments."""
    proxy = replaykit.wrap(Store(), store="runs.rpk")
    with replaykit.recorder_of(proxy).session():
        proxy.find("a")
    other = replaykit.wrap(Store(), store="other.rpk")

    with playing():
        assert other.find("a") == ["a"] * 3


def test_the_embedded_memory_answers_from_a_recording(tmp_path: Path) -> None:
    """Hits, answers and frames come back as their own types; an empty memory stands in."""
    with replaykit.open("notes.mv", store="runs.rpk") as mv, mv.session():
        frame_id = mv.put("Paris is the capital of France.", title="France")
        hits, answer, frame = mv.find("capital"), mv.ask("What is the capital?"), mv.get(frame_id)

    with replaykit.open("empty.mv") as empty, playing():
        assert frame_id == empty.put("Paris is the capital of France.", title="France")
        assert (hits, answer, frame) == (
            empty.find("capital"),
            empty.ask("What is the capital?"),
            empty.get(frame_id),
        )
        assert type(empty.find).__name__ == "method"
    with replaykit.open("empty.mv") as empty:
        assert len(empty) == 0


# -- matching ---------------------------------------------------------------------------------------


def test_equal_calls_are_answered_first_in_first_out() -> None:
    expected: list[Any] = []
    record(lambda: expected.extend([search("a", 1), search("b", 1), search("a", 1)]))

    with playing():
        assert [expected[1], expected[0], expected[2]] == [search("b", 1), search("a", 1), search("a", 1)]
    assert expected[0] != expected[2]


@pytest.mark.parametrize(("on_repeat", "expected"), [("last", [0, 1, 1, 1, 1]), ("cycle", [0, 1, 0, 1, 0])])
def test_on_repeat_counts_per_key(on_repeat: Any, expected: list[int]) -> None:
    """Other keys do not move the turn."""
    recorded: list[Any] = []
    record(lambda: recorded.extend([search("a", 1), search("a", 1), search("b", 1)]))

    with playing(on_repeat=on_repeat) as player:
        got = []
        for _ in range(5):
            got.append(search("a", 1))
            search("b", 1)

    assert [recorded[index] for index in expected] == got
    assert (player.play_count, player.all_played) == (10, True)


def test_a_call_too_many_is_an_error_that_says_so() -> None:
    record(lambda: search("a", 1))

    with playing():
        search("a", 1)
        with pytest.raises(NoMatchError, match="all its recordings are used up"):
            search("a", 1)


def test_ignored_arguments_do_not_count() -> None:
    record(lambda: search("a", 1))

    with playing(ignore="k"):
        assert len(search("a", 4)) == 1
    with playing(ignore=["k", "query"]):
        assert len(search("zzz", 4)) == 1


def test_a_row_names_arguments_that_never_count() -> None:
    @replaykit.records("tool", ignore="request_id")
    def call(query: str, request_id: int) -> str:
        World.touch()
        return query

    record(lambda: call("a", 1))

    with playing():
        assert call("a", 2) == "a"


def test_match_on_says_what_counts() -> None:
    record(lambda: search("a", 1))

    with playing(match_on=["kind"]):
        assert len(search("b", 2)) == 1
    with playing(match_on="name"):
        assert len(search("b", 2)) == 1
    with pytest.raises(UsageError, match="give some of arguments, kind, name"):
        replaykit.play("runs.rpk", match_on=["argument"])


def test_live_functions_run_and_their_calls_are_answered() -> None:
    """By name or by kind; what runs is not missed as unused."""
    expected: list[Any] = []
    record(lambda: expected.append((step("a"), asyncio.run(fetch("x")))), adopt=True)

    for live in ("step", ["step"]):
        with playing(live=live) as player:
            assert step("a") == 3
            assert asyncio.run(fetch("x")) == "X"
        assert (player.play_count, player.all_played) == (3, True)
    with playing(live=["tool"]), pytest.raises(Gone):
        asyncio.run(fetch("x"))


def test_redacted_arguments_still_match() -> None:
    """A secret never reached the recording; the same call, secret and all, is answered."""
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"

    @replaykit.records("tool")
    def login(user: str, password: str, note: str) -> str:
        World.touch()
        return "in"

    session = record(lambda: login("ada", "hunter2 and more", f"key {secret}"))
    assert "hunter2" not in str(dict(session.actions[0].arguments))
    assert secret not in str(dict(session.actions[0].arguments))

    with playing():
        assert login("ada", "hunter2 and more", f"key {secret}") == "in"


def test_any_value_matches_itself() -> None:
    """Whatever the table of values has, also as part of a larger value."""
    import datetime
    import decimal
    import uuid

    @replaykit.records("tool")
    def take(value: Any) -> Any:
        World.touch()
        return value

    values = [
        (1, (2,)),
        {"a", "b"},
        decimal.Decimal("1.5"),
        uuid.UUID(int=3),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
        Colour.RED,
        Point(1, 2),
        Path("/x"),
        2**80,
        float("nan"),
        {1: "a", (1, 2): "b"},
        b"bytes",
        "\ud800",
    ]
    record(lambda: [take(value) for value in values])

    with playing() as player:
        for value in reversed(values):
            take(value)
    assert player.all_played


# -- misses -------------------------------------------------------------------------------------------


def test_a_miss_shows_the_nearest_calls_and_the_field_that_differs() -> None:
    record(lambda: [search("far", 1), search("near", 2), search("nearer", 3)])

    with playing(), pytest.raises(NoMatchError) as caught:
        search("nearer", 4)

    message = str(caught.value)
    assert "no recorded find answers search(query='nearer', k=4)" in message
    assert "nearest: action 2 search(query='nearer', k=3): k was 3, asked 4" in message
    assert caught.value.call == "search(query='nearer', k=4)"
    assert caught.value.nearest[0] == "search(query='nearer', k=3)"


def test_a_miss_says_where_in_an_argument_the_difference_lies() -> None:
    @replaykit.records("ask")
    def chat(messages: Any) -> str:
        World.touch()
        return "yes"

    long = "a word " * 100
    record(lambda: [chat([{"role": "user", "content": "hello"}]), chat({"model": {"top_p": 1}}), chat(f"{long}then")])

    def miss(asked: Any) -> str:
        with playing(), pytest.raises(NoMatchError) as caught:
            chat(asked)
        return str(caught.value).splitlines()[1]

    assert "action 0" in (first := miss([{"role": "user", "content": "goodbye"}]))
    assert "messages[0].content was 'hello', asked 'goodbye'" in first
    assert "messages.model.top_p was 1, asked 1.0" in miss({"model": {"top_p": 1.0}})
    assert "messages was 'then', asked 'now' (from character 700)" in miss(f"{long}now")


def test_the_nearest_calls_are_those_whose_texts_are_alike() -> None:
    record(lambda: [search(f"question {number}") for number in range(40)] + [search("the capital of France")])

    with playing(), pytest.raises(NoMatchError) as caught:
        search("the captial of France")

    assert caught.value.nearest[0] == "search(query='the capital of France', k=5)"


def test_a_miss_of_an_unknown_function_says_that_there_is_none() -> None:
    record(lambda: search("a", 1))

    with (
        playing(),
        pytest.raises(NoMatchError, match="the session has no call named 'fetch' and none of kind 'tool'"),
    ):
        asyncio.run(fetch("x"))


def test_a_miss_shows_no_secrets() -> None:
    """The message goes to logs."""
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
    record(lambda: search("a", 1))

    with playing(), pytest.raises(NoMatchError) as caught:
        search(secret, 1)

    assert secret not in str(caught.value)
    assert secret not in caught.value.call


# -- whose play is it? --------------------------------------------------------------------------------


def test_threads_and_tasks_without_a_player_use_the_only_one() -> None:
    record(lambda: [search(str(number), 1) for number in range(20)])

    with playing() as player, ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda number: search(str(number), 1), reversed(range(20))))) == 20
    assert player.all_played


def test_each_answer_is_given_once_whoever_asks() -> None:
    """Threads that ask for the same call get different recordings of it."""
    recorded: list[Any] = []
    record(lambda: recorded.extend(search("a", 1) for _ in range(40)))
    barrier = threading.Barrier(4)

    def ask() -> list[Any]:
        barrier.wait()
        return [search("a", 1) for _ in range(10)]

    with playing(), ThreadPoolExecutor(4) as pool:
        got = [answer for future in [pool.submit(ask) for _ in range(4)] for answer in future.result()]

    assert sorted(map(str, recorded)) == sorted(map(str, got))


def test_of_several_plays_each_context_uses_its_own() -> None:
    """A context in none of them is told so."""
    record(lambda: search("a", 1), name="one")
    record(lambda: search("a", 2), name="two")

    with playing(session="one"):
        with playing(session="two"):
            World.absent = True
            assert len(search("a", 2)) == 2
            with ThreadPoolExecutor(1) as pool, pytest.raises(PlaybackError, match="several plays are open"):
                pool.submit(search, "a", 1).result()
        World.absent = True
        assert len(search("a", 1)) == 1


def test_after_the_play_calls_run_again() -> None:
    """Also when the block is left by an exception."""
    record(lambda: search("a", 1))

    with contextlib.suppress(NoMatchError), playing():
        search("b", 1)

    assert len(search("b", 1)) == 1


def test_a_play_is_entered_once() -> None:
    record(lambda: search("a", 1))
    player = replaykit.play("runs.rpk")

    with player, pytest.raises(UsageError, match="make another one"):
        player.__enter__()


def test_a_play_is_an_async_block_too() -> None:
    record(lambda: search("a", 1))

    async def main() -> int:
        async with replaykit.play("runs.rpk") as player:
            search("a", 1)
            return player.play_count

    World.absent = True
    assert asyncio.run(main()) == 1


def test_sessions_inside_a_play_store_nothing() -> None:
    """The block works as ever; the store stays as it was."""
    record(lambda: search("a", 1))
    before = Path("runs.rpk").read_bytes()

    with playing():
        with replaykit.session("inside", store="runs.rpk") as session:
            search("a", 1)
            session.annotate(user="x")
        result = session.result
    assert result is not None
    assert list(result.actions) == []

    assert before == Path("runs.rpk").read_bytes()
    assert len(replaykit.load("runs.rpk").list_sessions()) == 1


# -- what can be played -------------------------------------------------------------------------------


def test_a_play_takes_a_path_a_recording_a_memory_or_a_session() -> None:
    session = record(lambda: search("a", 1), name="one")
    record(lambda: search("a", 2), name="two")
    with replaykit.Recorder("runs.rpk") as recorder, replaykit.load("runs.rpk") as loaded:
        for recording in (session, "runs.rpk", Path("runs.rpk"), loaded, recorder):
            with playing(recording, "one"):
                assert len(search("a", 1)) == 1
    with playing("runs.rpk", str(session.session_id)[:8]):
        assert len(search("a", 1)) == 1


def test_what_is_no_recording_is_a_usage_error() -> None:
    record(lambda: search("a", 1))

    with pytest.raises(UsageError, match="takes a path, a recording or a session, not int"):
        replaykit.play(3)
    with pytest.raises(SessionNotFoundError):
        replaykit.play("runs.rpk", "missing")
    with pytest.raises(UsageError, match="give error, last or cycle"):
        replaykit.play("runs.rpk", on_repeat="again")  # type: ignore[arg-type]


@pytest.mark.parametrize("capture", ["hash", "preview"])
def test_a_session_without_bodies_is_refused_with_the_reason(capture: str) -> None:
    record(lambda: search("a", 1), capture=capture)

    with pytest.raises(PlaybackError, match=f"capture='{capture}': arguments and results were not kept"):
        replaykit.play("runs.rpk")


CRASH = """
import os
import replaykit

@replaykit.records("find")
def search(query, k=5):
    return [query] * k

@replaykit.records("tool")
def last(query):
    os._exit(1)

session = replaykit.session("crashed", store="runs.rpk").__enter__()
search("a", 2)
search("b", 1)
last("x")
"""


def test_an_interrupted_session_plays_what_was_kept() -> None:
    """The process died: calls that had ended are answered."""
    subprocess.run([sys.executable, "-c", CRASH], check=False, cwd=".", env=_environment())

    with playing() as player:
        assert player.session.state == "interrupted"
        assert search("a", 2) == ["a", "a"]  # type: ignore[comparison-overlap]
        assert search("b", 1) == ["b"]  # type: ignore[comparison-overlap]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(replaykit.__file__).parent.parent)}


def test_a_call_that_never_ended_has_no_answer() -> None:
    """It is kept as unfinished; a play says so."""

    @replaykit.records("tool")
    async def endless() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        with replaykit.session(store="runs.rpk"):
            task = asyncio.create_task(endless())
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    with playing(), pytest.raises(PlaybackError, match="unfinished: it has no result"):
        asyncio.run(endless())


# -- results in their own types -------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@attrs.frozen
class Line:
    start: Point
    end: Point | None = None


class Pair(NamedTuple):
    left: Point
    right: str


Item = TypeVar("Item")


@dataclass
class Page(Generic[Item]):
    items: list[Item]


@dataclass
class Counted:
    """Its __init__ has side effects; a play must not run it."""

    count: int

    def __post_init__(self) -> None:
        World.touch()


@replaykit.records("tool")
def point() -> Point:
    return Point(1, 2)


@replaykit.records("tool")
def maybe(found: bool) -> Point | None:
    return Point(1) if found else None


@replaykit.records("tool")
def line() -> Line:
    return Line(Point(1), Point(2))


@replaykit.records("tool")
def pair() -> Pair:
    return Pair(Point(1), "r")


@replaykit.records("tool")
def many() -> dict[str, list[tuple[Point, Colour]]]:
    return {"a": [(Point(1), Colour.RED), (Point(2), Colour.BLUE)]}


@replaykit.records("tool")
def either(colour: bool) -> Point | Colour | str:
    return Colour.BLUE if colour else Point(3)


@replaykit.records("tool")
def rights() -> Right:
    return Right.READ | Right.WRITE


@replaykit.records("tool")
def pointset() -> set[Point]:
    return {Point(1), Point(2)}


@replaykit.records("tool")
def page() -> Page[str]:
    return Page(["a"])


@replaykit.records("tool")
def counted() -> Counted:
    return Counted(3)


@replaykit.records("tool")
def points() -> Iterator[Point]:
    yield Point(1)
    yield Point(2)


@replaykit.records("tool")
async def apoint() -> Point:
    return Point(5)


class Typed:
    def find(self, query: str) -> list[Point]:
        return [Point(len(query))]


@pytest.mark.parametrize(
    "call",
    [
        point,
        lambda: maybe(True),
        lambda: maybe(False),
        line,
        pair,
        many,
        lambda: either(True),
        lambda: either(False),
        rights,
        pointset,
        page,
        counted,
        lambda: list(points()),
        lambda: asyncio.run(apoint()),
        lambda: replaykit.wrap(Typed(), store="other.rpk").find("abc"),
    ],
)
def test_a_result_is_rebuilt_as_the_return_annotation_says(call: Callable[[], Any]) -> None:
    """Dataclasses, attrs, named tuples, enums, and those in lists, maps, unions and streams."""
    expected: list[Any] = []
    record(lambda: expected.append(call()), adopt=True)

    with playing():
        got = call()

    assert expected[0] == got
    assert type(expected[0]) is type(got)


def test_without_an_annotation_the_recorded_fields_are_there() -> None:
    """A stand-in: no class is imported on the word of a recording."""

    @replaykit.records("tool")
    def untyped():  # type: ignore[no-untyped-def]
        return Point(1, 2)

    record(lambda: untyped())

    with playing():
        got = untyped()
    assert isinstance(got, replaykit.Structured)
    assert (got.x, got.y) == (1, 2)


def test_an_annotation_that_no_longer_fits_leaves_the_stand_in() -> None:
    @replaykit.records("tool")
    def changed() -> Point:
        return Point(1)

    record(changed)
    changed.__wrapped__.__annotations__["return"] = Line  # type: ignore[attr-defined]

    with playing():
        assert isinstance(changed(), replaykit.Structured)


@pytest.mark.libraries
def test_pydantic_models_are_rebuilt() -> None:
    """Without running validators: what was recorded is what was there."""
    import pydantic

    class Model(pydantic.BaseModel):
        name: str
        point: Point

    @replaykit.records("tool")
    def model() -> list[Model]:
        return [Model(name="a", point=Point(1))]

    model.__wrapped__.__annotations__["return"] = list[Model]  # type: ignore[attr-defined]
    expected: list[Any] = []
    record(lambda: expected.append(model()))

    with playing():
        got = model()
    assert expected[0] == got
    assert type(got[0]) is Model
    assert json.loads(got[0].model_dump_json()) == {"name": "a", "point": {"x": 1, "y": 0}}
