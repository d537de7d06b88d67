"""Recordings without pytest: a block, a decorated function, a `unittest.TestCase`."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import sys
import threading
import types
import unittest
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import NoMatchError, UsageError
from replaykit.regression.modes import chosen_mode, is_ci
from replaykit.regression.places import place_of
from replaykit.testing import RecordingMixin

RAN: list[str] = []


@replaykit.records("find")
def search(query: str) -> list[str]:
    RAN.append(query)
    return [query.upper()]


def careful(query: str) -> list[str]:
    try:
        return search(query)
    except Exception:
        return []


@pytest.fixture(autouse=True)
def on_nobodys_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    RAN.clear()


def asked(path: str) -> list[str]:
    with replaykit.load(path) as recording:
        return [action.arguments["query"] for action in recording.get_session("last").actions]


def test_a_block_records_once_and_plays_then() -> None:
    for _ in range(2):
        with replaykit.use_recording("recordings/paris.rpk") as recording:
            assert search("paris") == ["PARIS"]

    assert RAN == ["paris"]
    assert (recording.play_count, recording.recorded_count, recording.all_played) == (1, 0, True)


def test_a_path_needs_no_suffix() -> None:
    with replaykit.use_recording("paris"):
        search("paris")

    assert Path("paris.rpk").is_file()


def test_a_block_that_fails_writes_nothing() -> None:
    with pytest.raises(ValueError, match="no"), replaykit.use_recording("paris.rpk"):
        search("paris")
        raise ValueError("no")

    assert not Path("paris.rpk").exists()


def test_a_block_that_did_not_notice_a_miss_fails() -> None:
    with replaykit.use_recording("paris.rpk"):
        search("paris")

    with pytest.raises(NoMatchError, match="a call was not answered, and the test went on"):
        with replaykit.use_recording("paris.rpk"):
            careful("lyon")
    with replaykit.use_recording("paris.rpk", misses="allow"):
        careful("lyon")
    with pytest.raises(ZeroDivisionError), replaykit.use_recording("paris.rpk"):
        careful("lyon")
        1 / 0


def test_a_function_uses_it_at_each_call() -> None:
    @replaykit.use_recording("paris.rpk")
    def cities(*names: str) -> list[list[str]]:
        return [search(name) for name in names]

    assert cities("paris", "lyon") == [["PARIS"], ["LYON"]]
    assert cities("lyon", "paris") == [["LYON"], ["PARIS"]]
    assert RAN == ["paris", "lyon"]


def test_a_coroutine_uses_it_at_each_call_and_so_does_an_async_block() -> None:
    @replaykit.use_recording("paris.rpk")
    async def city(name: str) -> list[str]:
        return await asyncio.to_thread(search, name)

    async def main() -> list[str]:
        await city("paris")
        async with replaykit.use_recording("paris.rpk") as recording:
            assert search("paris") == ["PARIS"]
        assert recording.play_count == 1
        return await city("paris")

    assert asyncio.run(main()) == ["PARIS"]
    assert RAN == ["paris"]


def test_a_generator_uses_it_to_its_end() -> None:
    """What another calls meanwhile is not in its recording."""

    @replaykit.use_recording("paris.rpk")
    def cities(*names: str) -> Iterator[list[str]]:
        for name in names:
            yield search(name)

    @replaykit.use_recording("other.rpk", mode="new_episodes")
    def others() -> Iterator[list[str]]:
        yield search("oslo")
        yield search("kyiv")

    for _ in range(2):
        given = list(zip_longest(cities("paris", "lyon"), others()))
        assert given == [(["PARIS"], ["OSLO"]), (["LYON"], ["KYIV"])]
    assert RAN == ["paris", "oslo", "lyon", "kyiv"]
    assert inspect.isgeneratorfunction(cities)
    assert asked("paris.rpk") == ["paris", "lyon"]
    assert asked("other.rpk") == ["oslo", "kyiv"]


def test_an_asynchronous_generator_uses_it_to_its_end() -> None:
    @replaykit.use_recording("paris.rpk")
    async def cities(*names: str) -> AsyncIterator[list[str]]:
        for name in names:
            yield await asyncio.to_thread(search, name)

    async def main() -> list[list[str]]:
        return [city async for city in cities("paris", "lyon")]

    assert [asyncio.run(main()) for _ in range(2)] == [[["PARIS"], ["LYON"]]] * 2
    assert RAN == ["paris", "lyon"]
    assert inspect.isasyncgenfunction(cities)


def test_a_generator_that_is_left_writes_nothing() -> None:
    @replaykit.use_recording("paris.rpk")
    def cities() -> Iterator[list[str]]:
        yield search("paris")
        yield search("lyon")

    for _ in cities():
        break

    assert not Path("paris.rpk").exists()
    search("paris")
    assert RAN == ["paris", "paris"]


@pytest.mark.parametrize(
    ("decorated", "said"), [(unittest.TestCase, "RecordingMixin"), ("search", "functions, not a str")]
)
def test_what_is_no_function_is_refused(decorated: Any, said: str) -> None:
    """A class would become a function, and its tests would be no more."""
    with pytest.raises(UsageError, match=said):
        replaykit.use_recording("paris.rpk")(decorated)


def test_what_was_recorded_or_played_can_be_looked_at_after_the_block() -> None:
    counts = []
    for _ in range(2):
        with replaykit.use_recording("paris.rpk") as recording:
            search("paris")
        counts.append((recording.recorded_count, recording.play_count, len(recording.unused)))
        assert [action.arguments["query"] for action in recording.session.actions] == ["paris"]
        assert recording.session.actions[0].output == ["PARIS"]
    with pytest.raises(ValueError, match="no"), replaykit.use_recording("lyon.rpk") as recording:
        search("lyon")
        raise ValueError("no")

    assert counts == [(1, 0, 0), (0, 1, 0)]
    assert [action.arguments["query"] for action in recording.session.actions] == ["lyon"]


def test_blocks_inside_one_another_answer_from_the_inner_one() -> None:
    with replaykit.use_recording("outer.rpk"):
        search("a")
        with replaykit.use_recording("inner.rpk"):
            search("b")
        search("c")

    assert [asked("outer.rpk"), asked("inner.rpk")] == [["a", "c"], ["b"]]


async def in_two_tasks(names: str) -> None:
    """Have two blocks open at once, in tasks that take turns; each makes calls itself, in a thread and in a task."""
    barrier = asyncio.Barrier(2)

    async def one(name: str) -> None:
        await barrier.wait()
        async with replaykit.use_recording(f"{name}.rpk"):
            await barrier.wait()
            search(f"{name} 1")
            await asyncio.to_thread(search, f"{name} 2")
            await asyncio.create_task(asyncio.to_thread(search, f"{name} 3"))
            await barrier.wait()
        await barrier.wait()

    await asyncio.gather(*map(one, names))


def test_blocks_of_tasks_have_each_its_own_recording() -> None:
    asyncio.run(in_two_tasks("ab"))
    asyncio.run(in_two_tasks("ba"))

    assert [asked("a.rpk"), asked("b.rpk")] == [["a 1", "a 2", "a 3"], ["b 1", "b 2", "b 3"]]
    assert len(RAN) == 6


def test_blocks_of_threads_have_each_its_own_recording() -> None:
    def one(name: str) -> None:
        with replaykit.use_recording(f"{name}.rpk"):
            barrier.wait()
            search(f"{name} 1")
            barrier.wait()
            search(f"{name} 2")
            barrier.wait()

    for _ in range(2):
        barrier = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, "ab"))

    assert [asked("a.rpk"), asked("b.rpk")] == [["a 1", "a 2"], ["b 1", "b 2"]]
    assert len(RAN) == 4


def test_a_thread_that_is_in_no_block_has_the_last_one() -> None:
    with replaykit.use_recording("outer.rpk"), ThreadPoolExecutor(1) as pool:
        pool.submit(search, "a").result()
        with replaykit.use_recording("inner.rpk"):
            pool.submit(search, "b").result()
        pool.submit(search, "c").result()

    assert [asked("outer.rpk"), asked("inner.rpk")] == [["a", "c"], ["b"]]


def test_calls_after_a_block_run_for_real() -> None:
    """Also those of a task that was begun within it."""

    async def main() -> None:
        left = asyncio.Event()

        async def later() -> None:
            await left.wait()
            search("later")

        async with replaykit.use_recording("a.rpk"):
            task = asyncio.create_task(later())
            search("in")
        search("out")
        left.set()
        await task

    for _ in range(2):
        asyncio.run(main())

    assert RAN == ["in", "out", "later", "out", "later"]


def test_a_block_is_entered_again_once_it_is_left() -> None:
    block = replaykit.use_recording("a.rpk", mode="new_episodes")
    for query in "ab":
        with block:
            search(query)
            with pytest.raises(UsageError, match="make another one"), block:
                search("c")

    assert asked("a.rpk") == ["a", "b"]
    search("c")
    assert RAN == ["a", "b", "c"]


def test_the_environment_wins_over_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAYKIT_MODE", "none")

    with pytest.raises(NoMatchError, match="REPLAYKIT_MODE=new_episodes"), replaykit.use_recording("a.rpk", mode="all"):
        search("a")


@pytest.mark.parametrize("options", [{"mode": "sometimes"}, {"ignored": "x"}])
def test_a_wrong_option_is_said_before_anything_runs(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="give"):
        replaykit.use_recording("a.rpk", **options)


# -- unittest ---------------------------------------------------------------------


Cases = tuple[type[unittest.TestCase], ...]


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cases:
    """Return test cases as a user of `unittest` writes them, in a module that lies in a folder of its own."""

    class TestNotes(RecordingMixin, unittest.TestCase):
        def test_paris(self) -> None:
            self.assertEqual(search("paris"), ["PARIS"])

        def test_fails(self) -> None:
            search("fails")
            self.fail("as it should")

        def test_skipped(self) -> None:
            search("skipped")
            self.skipTest("as it should be")

        def tearDown(self) -> None:
            if "broken" in RAN:
                raise OSError("teardown")

        def test_broken(self) -> None:
            search("broken")

        def test_subtests(self) -> None:
            for number in range(2):
                with self.subTest(number=number):
                    search("subtests")
                    self.assertEqual(number, 0)

        def test_cleanup(self) -> None:
            search("cleanup")
            self.addCleanup(lambda: 1 / 0)

        @unittest.expectedFailure
        def test_expected(self) -> None:
            search("expected")
            self.fail("as expected")

        def test_cleans_up(self) -> None:
            self.addCleanup(search, "first")
            self.doCleanups()
            search("second")
            self.addCleanup(search, "third")

    class TestEarly(TestNotes):
        def setUp(self) -> None:
            self.addCleanup(lambda: 1 / 0)
            super().setUp()

    class TestSwallows(RecordingMixin, unittest.TestCase):
        def test_swallows(self) -> None:
            self.addCleanup(careful, os.environ.get("QUERY", "paris"))

    class TestAsync(RecordingMixin, unittest.IsolatedAsyncioTestCase):
        async def test_paris(self) -> None:
            self.assertEqual(await asyncio.to_thread(search, "paris"), ["PARIS"])

    module = types.ModuleType("test_notes")
    module.__file__ = str(tmp_path / "test_notes.py")
    monkeypatch.setitem(sys.modules, "test_notes", module)
    cases = TestNotes, TestAsync, TestEarly, TestSwallows
    for case in cases:
        case.__module__, case.__qualname__ = "test_notes", case.__name__
    return cases


def outcome(case: unittest.TestCase) -> unittest.TestResult:
    return unittest.TextTestRunner(stream=io.StringIO()).run(case)


def recordings(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.rpk"))


def test_a_test_case_has_a_recording_for_each_test_that_passes(cases: Cases, tmp_path: Path) -> None:
    notes, *_ = cases
    for name in ("test_paris", "test_fails", "test_skipped", "test_broken", "test_expected"):
        outcome(notes(name))

    assert recordings(tmp_path) == ["recordings/test_notes/TestNotes.test_paris.rpk"]
    RAN.clear()
    assert outcome(notes("test_paris")).wasSuccessful()
    assert RAN == []


def test_an_asynchronous_test_case_has_too(cases: Cases, tmp_path: Path) -> None:
    _, notes, *_ = cases
    for _ in range(2):
        assert outcome(notes("test_paris")).wasSuccessful()

    assert recordings(tmp_path) == ["recordings/test_notes/TestAsync.test_paris.rpk"]
    assert RAN == ["paris"]


def test_a_test_of_which_a_subtest_or_a_cleanup_fails_has_none(cases: Cases, tmp_path: Path) -> None:
    """Whether the cleanup is from before or after the recording began."""
    notes, _, early, _ = cases
    for case in (notes("test_subtests"), notes("test_cleanup"), early("test_paris")):
        result = outcome(case)
        assert not result.wasSuccessful()

    assert recordings(tmp_path) == []
    assert RAN == ["subtests", "subtests", "cleanup", "paris"]


def test_calls_of_cleanups_are_the_tests_also_where_it_runs_them_itself(cases: Cases, tmp_path: Path) -> None:
    for _ in range(2):
        assert outcome(cases[0]("test_cleans_up")).wasSuccessful()

    assert RAN == ["first", "second", "third"]


def test_a_miss_that_a_cleanup_swallows_is_an_error_of_the_test(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases[-1]
    assert outcome(case("test_swallows")).wasSuccessful()
    monkeypatch.setenv("QUERY", "lyon")

    ((_, error),) = outcome(case("test_swallows")).errors

    assert "a call was not answered, and the test went on" in error


# -- modes and places ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"), [("true", True), ("yes", True), ("FALSE", False), (" no ", False), ("", False)]
)
def test_a_build_server_is_one_that_says_so(said: str, meant: bool) -> None:
    assert is_ci({"CI": said}) is meant
    assert is_ci({"PATH": "/"}) is False


def test_the_first_mode_that_is_said_counts() -> None:
    assert chosen_mode(None, "", "all", "once") == "all"
    assert chosen_mode(None, None) == "once"


@pytest.mark.parametrize("folder", ["", ".", "..", "a/b", "/etc"])
def test_the_folder_of_recordings_is_a_plain_name(folder: str) -> None:
    with pytest.raises(UsageError, match="folder of recordings"):
        place_of("test_a.py", ["test_a"], folder=folder)
