"""
Calls of a test, however they are made: what users of HTTP recorders complain about, as tests.

Repeated calls, threads, tasks, streams, fixtures that tests share, sessions of
the code under test, misses that nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


Twice = Callable[[str], pytest.RunResult]


@pytest.fixture
def twice(project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch) -> Twice:
    """Return what records the one test of a source, then plays it with the store gone: both runs pass."""

    def record_and_play(source: str) -> pytest.RunResult:
        project.makepyfile(test_calls=source)
        run("--replay-mode=once").assert_outcomes(passed=1)
        monkeypatch.setenv("OFFLINE", "1")
        result = run("--replay-mode=none")
        result.assert_outcomes(passed=1)
        return result

    return record_and_play


def test_a_repeated_call_gets_its_own_answer_each_time(twice: Twice) -> None:
    twice(
        """
            import itertools, pytest, replaykit

            counter = itertools.count()

            @replaykit.records("tool")
            def poll(job):
                return next(counter)

            @pytest.mark.replaykit
            def test_polls():
                assert [poll("a"), poll("a"), poll("a")] == [0, 1, 2]
        """,
    )


@pytest.mark.parametrize(("on_repeat", "answers"), [("last", "0 1 1 1"), ("cycle", "0 1 0 1")])
def test_one_call_more_than_recorded_is_what_the_mark_says(
    project: pytest.Pytester, run: Run, on_repeat: str, answers: str
) -> None:
    project.makepyfile(
        test_calls=f"""
            import itertools, os, pytest, replaykit

            counter = itertools.count()

            @replaykit.records("tool")
            def poll(job):
                return next(counter)

            @pytest.mark.replaykit(on_repeat="{on_repeat}")
            def test_polls(replay_recording):
                times = 2 if replay_recording.is_recording else 4
                print("answers", *[poll("a") for _ in range(times)])
        """
    )
    run("--replay-mode=once").assert_outcomes(passed=1)

    run("-s", "--replay-mode=none").stdout.fnmatch_lines([f"*answers {answers}*"])


def test_one_call_more_than_recorded_is_an_error_unless_it_is_said(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_calls="""
            import agent, pytest

            @pytest.mark.replaykit
            def test_repeats(replay_recording):
                for _ in range(1 if replay_recording.is_recording else 2):
                    agent.search("a")
        """
    )
    run("--replay-mode=once").assert_outcomes(passed=1)

    result = run("--replay-mode=none")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*this call is recorded, and all its recordings are used up (on_repeat=*"])


def test_calls_of_threads_are_the_tests_in_any_order(twice: Twice) -> None:
    twice(
        """
            import agent, pytest, random, threading
            from concurrent.futures import ThreadPoolExecutor

            @pytest.mark.replaykit
            def test_threads(replay_recording):
                queries = [f"q{number}" for number in range(40)]
                random.shuffle(queries)
                with ThreadPoolExecutor(8) as pool:
                    answers = dict(zip(queries, pool.map(agent.search, queries)))
                assert all(answers[query][0]["text"] == f"{query} 0" for query in queries)
                assert replay_recording.is_recording or replay_recording.play_count == 40
                assert replay_recording.all_played
        """,
    )


def test_calls_of_tasks_and_their_threads_are_the_tests(twice: Twice) -> None:
    twice(
        """
            import agent, asyncio, pytest, replaykit

            @replaykit.records("find")
            async def lookup(query):
                await asyncio.sleep(0)
                return await asyncio.to_thread(agent.search, query)

            @pytest.mark.replaykit
            def test_tasks():
                async def main():
                    return await asyncio.gather(*(lookup(str(number)) for number in range(20)))

                assert [hits[0]["text"] for hits in asyncio.run(main())] == [f"{number} 0" for number in range(20)]
        """,
    )


def test_a_stream_of_events_plays_item_by_item(twice: Twice) -> None:
    """Server-sent events end when the reader leaves; VCR reads them to an end that never comes."""
    twice(
        """
            import asyncio, os, pytest, replaykit

            @replaykit.records("tool")
            async def events(url):
                number = 0
                while not os.environ.get("OFFLINE"):
                    await asyncio.sleep(0)
                    yield {"event": "message", "id": number}
                    number += 1

            async def first(count):
                found = []
                async for event in events("/sse"):
                    found.append(event["id"])
                    if len(found) == count:
                        return found

            @pytest.mark.replaykit
            def test_events():
                assert asyncio.run(first(3)) == [0, 1, 2]
        """,
    )


def test_an_error_of_the_store_is_played_as_well(twice: Twice) -> None:
    twice(
        """
            import pytest, replaykit

            @replaykit.records("find")
            def broken(query):
                raise TimeoutError("the store is asleep")

            @pytest.mark.replaykit
            def test_error():
                with pytest.raises(TimeoutError, match="asleep"):
                    broken("a")
        """,
    )


def test_sessions_of_the_code_under_test_do_no_harm(twice: Twice) -> None:
    twice(
        """
            import agent, pytest, replaykit

            @replaykit.session("request", store="requests.rpk")
            def handle(query):
                return agent.fetch(query)

            @pytest.mark.replaykit
            def test_requests(replay_recording):
                with replaykit.session("outer", store="runs.rpk") as session:
                    session.annotate(user="u1")
                    assert handle("a") == "a 0"
                assert session.result.name == "outer"
                assert handle("b") == "b 0"
                recorded = [action.name for action in replay_recording.session.actions if action.parent is None]
                assert recorded == ["fetch", "fetch"]
        """,
    )


def test_the_embedded_memory_is_played_too(twice: Twice) -> None:
    result = twice(
        """
            import pytest, replaykit

            @pytest.fixture
            def memory():
                with replaykit.open(":memory:") as memory:
                    memory.put("Paris is the capital of France.", title="France")
                    yield memory

            @pytest.mark.replaykit
            def test_capital(memory):
                assert memory.find("capital")[0].title == "France"
                assert "Paris" in memory.ask("What is the capital of France?").text
        """,
    )
    result.stdout.fnmatch_lines(["replaykit: 3 played, 0 recorded, 0 unused"])


def test_a_wrapped_object_without_its_library(twice: Twice) -> None:
    twice(
        """
            import os, pytest, replaykit

            @pytest.fixture
            def collection(replay_recording):
                if not replay_recording.is_recording:
                    return replaykit.wrap(None, operations={"query": "find"})

                class Collection:
                    def query(self, text, n=2):
                        return {"ids": [text] * n}

                return replaykit.wrap(Collection(), operations={"query": "find"})

            @pytest.mark.replaykit
            def test_collection(collection):
                assert collection.query(text="a", n=3) == {"ids": ["a", "a", "a"]}
        """,
    )


def test_a_fixture_that_tests_share_makes_no_calls(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_calls="""
            import agent, pytest

            @pytest.fixture(scope="module")
            def warm():
                return agent.search("warm")

            @pytest.mark.replaykit
            def test_shared(warm):
                agent.search("a")
        """
    )

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*search() is called by the fixture warm of scope module, which several tests share*"])


CLOSING = """
    import agent, pytest

    @pytest.fixture(scope="module", params={params})
    def store(request):
        yield
        agent.search("closing")
        print("closed", agent.RAN)

    @pytest.mark.replaykit{options}
    def test_shared(store):
        agent.search("a")
"""


@pytest.mark.parametrize("params", ["[1]", "[1, 2]"])
def test_a_fixture_that_tests_share_makes_no_calls_when_it_is_torn_down(
    project: pytest.Pytester, run: Run, params: str
) -> None:
    """Between two tests, too, where the recording of the one is closed and that of the other is open."""
    project.makepyfile(test_calls=CLOSING.format(params=params, options=""))

    for mode in ("once", "none"):
        result = run("-s", f"--replay-mode={mode}")

        assert result.parseoutcomes()["errors"] == 1
        result.stdout.fnmatch_lines(["*search() is called by the fixture store of scope module, which several*"])
        result.stdout.no_fnmatch_line("*closed*")


def test_a_fixture_that_tests_share_may_make_calls_that_are_live(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_calls=CLOSING.format(params="[1]", options="(live=['search'])"))

    result = run("-s", "--replay-mode=none")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*closed*'a', 'closing'*"])


def test_a_fixture_of_tests_without_recordings_is_torn_down_as_ever(project: pytest.Pytester, run: Run) -> None:
    """Also where a test that has one happens to be the last."""
    project.makepyfile(
        test_calls="""
            import agent, pytest

            @pytest.fixture(scope="module")
            def store():
                yield
                agent.search("closing")
                print("closed")

            def test_plain(store):
                pass

            @pytest.mark.replaykit
            def test_recorded():
                pass
        """
    )

    result = run("-s", "--replay-mode=none")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*closed*"])


def test_a_miss_that_a_fixture_swallows_when_it_is_torn_down_is_an_error(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import agent, os, pytest

        @pytest.fixture
        def locked():
            yield
            try:
                agent.fetch(os.environ.get("LOCK", "lock 1"))
            except Exception:
                pass

        @pytest.mark.replaykit{options}
        def test_locked(locked):
            assert agent.search("a")
    """
    project.makepyfile(test_calls=source.format(options=""))
    run("--replay-mode=once").assert_outcomes(passed=1)
    monkeypatch.setenv("LOCK", "lock 2")

    result = run("--replay-mode=none")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*a call was not answered, and the test went on*", "*url was 'lock 1', asked*"])
    project.makepyfile(test_calls=source.format(options="(misses='allow')"))
    run("--replay-mode=none").assert_outcomes(passed=1)


def test_a_miss_that_the_code_swallows_fails_the_test(project: pytest.Pytester, run: Run) -> None:
    source = """
        import agent, pytest

        def careful(query):
            try:
                return agent.search(query)
            except Exception:
                return []

        @pytest.mark.replaykit{options}
        def test_careful(replay_recording):
            assert careful("a")
            careful("a" if replay_recording.is_recording else "b")
    """
    project.makepyfile(test_calls=source.format(options=""))
    run("--replay-mode=once").assert_outcomes(passed=1)

    result = run("--replay-mode=none")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a call was not answered, and the test went on*", "*query was 'a', asked 'b'*"])
    project.makepyfile(test_calls=source.format(options="(misses='allow')"))
    run("--replay-mode=none").assert_outcomes(passed=1)


def test_a_miss_shows_the_line_of_the_test_and_no_frame_of_ours(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_calls="""
            import agent, pytest

            @pytest.mark.replaykit
            def test_miss():
                agent.search("a")
        """
    )

    result = run("--replay-mode=none")

    result.stdout.fnmatch_lines([">*agent.search(*", "test_calls.py:5: NoMatchError"])
    result.stdout.no_fnmatch_line("*replaykit/playback*")


FILTERS = """
    import pytest, replaykit

    class Filter:
        def __init__(self, city):
            self.accepts = lambda text: text == city

    class Known:
        def __init__(self, number):
            self.id = number

    @replaykit.records("find"{row})
    def search(query, where=None):
        return query

    @pytest.mark.replaykit{options}
    def test_filters():
        search("a")
        search("b", where={where})
        search("c", where={where})
"""


@pytest.mark.parametrize("where", ["Filter('paris')", "[{'not': Filter('paris')}]"])
def test_calls_that_any_object_of_a_class_would_match_are_told(project: pytest.Pytester, run: Run, where: str) -> None:
    project.makepyfile(test_filters=FILTERS.format(where=where, row="", options=""))

    result = run()

    result.stdout.fnmatch_lines(
        [
            "  2 recorded calls were given what has no stored form, and any other object of that class matches: "
            "search(where=Filter) (2)"
        ]
    )
    run().stdout.no_fnmatch_line("*no stored form*")


@pytest.mark.parametrize(
    ("where", "row", "options"),
    [
        ("lambda text: True", "", "(ignore='where')"),
        ("lambda text: True", ", ignore='where'", ""),
        ("['paris', 1, None]", "", ""),
        ("Known(1)", "", ""),
    ],
)
def test_arguments_that_do_not_count_or_have_a_stored_form_are_not_told(
    project: pytest.Pytester, run: Run, where: str, row: str, options: str
) -> None:
    project.makepyfile(test_filters=FILTERS.format(where=where, row=row, options=options))

    result = run()

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*no stored form*")


def test_objects_that_have_an_id_are_told_apart_by_it(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_filters=FILTERS.format(where="Known(1)", row="", options=""))
    run("--replay-mode=once").assert_outcomes(passed=1)
    project.makepyfile(test_filters=FILTERS.format(where="Known(2)", row="", options=""))

    run("--replay-mode=none").assert_outcomes(failed=1)


def test_tests_without_a_recording_run_as_ever(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_calls="""
            import agent, replaykit

            def test_plain():
                with replaykit.session("own", store="own.rpk") as session:
                    agent.search("a")
                assert [action.name for action in session.result.actions] == ["search"]
        """
    )

    result = run("--replay-mode=none")

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*replaykit: *")
