"""Which recording is whose, and recordings that are missing, damaged, foreign, or cannot be written."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

import replaykit
from replaykit.format.segment import HEAD, SegmentWriter
from replaykit.format.strict import encode_body

Run = Callable[..., pytest.RunResult]

PARIS = """
    import agent, pytest

    @pytest.mark.replaykit
    def test_one():
        assert agent.search("paris")
"""


def recordings(project: pytest.Pytester) -> list[str]:
    root = project.path
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.rpk"))


def test_each_test_has_exactly_one_file_beside_its_module(project: pytest.Pytester, run: Run) -> None:
    project.mkdir("sub")
    (project.path / "sub" / "test_one.py").write_text(
        "import agent\n\ndef test_one(replay_recording):\n    agent.search('sub')\n"
    )
    project.makepyfile(
        test_one="""
            import agent, pytest

            pytestmark = pytest.mark.replaykit

            def test_one():
                agent.search("one")

            @pytest.mark.parametrize("city", ["paris", "lyon"])
            def test_cities(city):
                agent.search(city)

            class TestNotes:
                def test_one(self):
                    agent.search("notes")

                class TestInner:
                    def test_one(self):
                        agent.search("inner")

            def test_that_asks_nothing():
                pass
        """
    )

    run("--import-mode=importlib", "-o", "pythonpath=.").assert_outcomes(passed=7)

    assert recordings(project) == [
        "recordings/test_one/TestNotes.TestInner.test_one.rpk",
        "recordings/test_one/TestNotes.test_one.rpk",
        "recordings/test_one/test_cities[lyon].rpk",
        "recordings/test_one/test_cities[paris].rpk",
        "recordings/test_one/test_one.rpk",
        "sub/recordings/test_one/test_one.rpk",
    ]


def test_a_mark_of_one_parameter_is_that_ones_alone(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_some="""
            import agent, pytest

            @pytest.mark.parametrize("city", [pytest.param("paris", marks=pytest.mark.replaykit), "lyon"])
            def test_cities(city):
                agent.search(city)
        """
    )

    assert run("--replay-mode=once").ret == 0

    assert recordings(project) == ["recordings/test_some/test_cities[paris].rpk"]


def test_marks_that_the_project_gives_and_recordings_asked_for_late_count(project: pytest.Pytester, run: Run) -> None:
    project.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            items[0].add_marker(pytest.mark.replaykit)
        """
    )
    project.makepyfile(
        test_late="""
            import agent

            def test_marked():
                agent.search("marked")

            def test_late(request):
                recording = request.getfixturevalue("replay_recording")
                agent.search("late")
                assert recording.recorded_count + recording.play_count == 1
        """
    )

    first, second = run("--replay-mode=once"), run("--replay-mode=none")

    assert (first.ret, second.ret) == (0, 0)
    assert recordings(project) == ["recordings/test_late/test_late.rpk", "recordings/test_late/test_marked.rpk"]


def test_names_are_never_paths(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_one="""
            import agent, pytest

            CITIES = ["../../etc", "a/b", "a_b", "A_B", "\\U0001f600", "", "x" * 300, ".hid", "con: <|>*?", "a\\x00b"]

            @pytest.mark.replaykit
            @pytest.mark.parametrize("city", CITIES, ids=[city or "nothing" for city in CITIES])
            def test_cities(city):
                agent.search(city)
        """
    )

    run().assert_outcomes(passed=10)
    found = recordings(project)
    run("--replay-mode=none").assert_outcomes(passed=10)

    assert len({path.casefold() for path in found}) == 10
    assert {os.path.dirname(path) for path in found} == {"recordings/test_one"}
    assert all(len(os.path.basename(path)) < 140 for path in found)


def test_a_recording_belongs_to_its_test(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_one=PARIS)
    run()
    old = project.path / "recordings" / "test_one" / "test_one.rpk"
    project.makepyfile(test_one=PARIS.replace("test_one", "test_renamed"))
    old.rename(old.with_name("test_renamed.rpk"))

    result = run()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*WrongRecordingError*is the recording of test_one.py::test_one, not of test_one.py::test_renamed*rewrite*"]
    )
    run("--replay-mode=rewrite").assert_outcomes(passed=1)
    run("--replay-mode=none").assert_outcomes(passed=1)


def test_a_recording_that_is_named_may_be_shared(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_one="""
            import agent, pytest

            @pytest.mark.replaykit("shared.rpk")
            def test_one():
                assert agent.search("paris")

            @pytest.mark.replaykit(path="shared.rpk", mode="none")
            def test_two():
                assert agent.search("paris")
        """
    )

    run().assert_outcomes(passed=2)

    assert recordings(project) == ["shared.rpk"]


SHARING = """
    import agent, os, pytest

    pytestmark = pytest.mark.replaykit(path="shared.rpk"{options})

    def test_one():
        assert agent.search("paris" + os.environ.get("MORE", ""))
        assert agent.search("rome")

    def test_two():
        assert agent.search("lyon" + os.environ.get("MORE", ""))
        assert agent.search("rome")
"""


@pytest.mark.parametrize("is_there", [True, False])
def test_tests_that_share_a_recording_can_be_recorded_anew(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """One after the other, in any order or alone: none destroys what another plays."""
    project.makepyfile(test_notes=SHARING.format(options=""))
    if is_there:
        run("--replay-mode=new_episodes").assert_outcomes(passed=2)
        monkeypatch.setenv("MORE", "!")

    run("--replay-mode=rewrite").assert_outcomes(passed=2)

    run("--replay-mode=none").assert_outcomes(passed=2)
    run("--replay-mode=rewrite", "-k", "two").assert_outcomes(passed=1, deselected=1)
    run("--replay-mode=none").assert_outcomes(passed=2)


def test_a_damaged_recording_that_tests_share_can_be_recorded_anew(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_notes=SHARING.format(options=""))
    run("--replay-mode=rewrite")
    path = project.path / "shared.rpk"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)

    run("--replay-mode=all").assert_outcomes(passed=2, errors=2)
    run("--replay-mode=rewrite").assert_outcomes(passed=2)

    run("--replay-mode=none").assert_outcomes(passed=2)


def test_what_a_miss_advises_mends_a_recording_that_tests_share(
    project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(test_notes=SHARING.format(options=""))
    for said in (
        "*there is no*shared.rpk*Record it: pytest --replay-mode=new_episodes*",
        "*--replay-mode=new_episodes) or record anew (*--replay-mode=rewrite); what others have in it stays*",
    ):
        result = run("--replay-mode=none")
        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines([said])
        run("--replay-mode=new_episodes").assert_outcomes(passed=2)
        run("--replay-mode=none").assert_outcomes(passed=2)
        monkeypatch.setenv("MORE", "!")


def test_tests_that_share_a_recording_have_one_redaction(project: pytest.Pytester, run: Run) -> None:
    """What others have in it was hidden by other rules: it is neither dropped nor mixed."""
    project.makepyfile(test_notes=SHARING.format(options=""))
    run("--replay-mode=rewrite")
    before = (project.path / "shared.rpk").read_bytes()
    project.makepyfile(test_notes=SHARING.format(options=", redact=('secrets', 'pii')").replace("paris", "ann@x.com"))

    result = run("--replay-mode=rewrite", "-k", "test_one")

    result.assert_outcomes(passed=1, errors=1, deselected=1)
    result.stdout.fnmatch_lines(["*shared.rpk was recorded with the redaction secrets*Remove the file*new_episodes*"])
    assert (project.path / "shared.rpk").read_bytes() == before
    (project.path / "shared.rpk").unlink()
    run("--replay-mode=new_episodes").assert_outcomes(passed=2)
    run("--replay-mode=none").assert_outcomes(passed=2)


def test_a_project_can_be_moved(project: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makepyfile(test_one=PARIS)
    run()
    moved = project.path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for name in ("agent.py", "test_one.py", "recordings"):
        (project.path / name).rename(moved / name)

    run("--replay-mode=none", str(moved)).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"", "none", "*NotAStoreError*it is empty*"),
        (b"nonsense, not a recording", "once", "*NotAStoreError*"),
        (b"nonsense, not a recording", "rewrite", "*NotAStoreError*"),
    ],
)
def test_a_file_that_is_no_recording_is_said_and_left_alone(
    project: pytest.Pytester, run: Run, content: bytes, mode: str, message: str
) -> None:
    project.makepyfile(test_one=PARIS)
    path = project.path / "recordings" / "test_one" / "test_one.rpk"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    result = run(f"--replay-mode={mode}")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message, "*get it back from version control, or remove it and record it again*"])
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", ["once", "new_episodes", "all", "rewrite"])
def test_an_empty_file_counts_as_none_where_one_may_be_written(project: pytest.Pytester, run: Run, mode: str) -> None:
    for options in ("", "('shared.rpk')"):
        project.makepyfile(test_one=PARIS.replace("mark.replaykit", f"mark.replaykit{options}"))
        run().assert_outcomes(passed=1)
        (path,) = project.path.rglob("*.rpk")
        whole = path.read_bytes()
        path.write_bytes(b"")

        run(f"--replay-mode={mode}").assert_outcomes(passed=1)

        assert path.read_bytes() == whole
        path.unlink()


@pytest.mark.parametrize("options", ["", "('shared.rpk')"])
def test_a_recording_that_is_cut_short_or_has_other_line_endings_is_damaged(
    project: pytest.Pytester, run: Run, options: str
) -> None:
    project.makepyfile(
        test_one=PARIS.replace("mark.replaykit", f"mark.replaykit{options}").replace("paris", "paris\\nrome")
    )
    run().assert_outcomes(passed=1)
    (path,) = project.path.rglob("*.rpk")
    whole = path.read_bytes()

    for damaged in (whole[:200], whole[: len(whole) // 2], whole.replace(b"\n", b"\r\n")):
        path.write_bytes(damaged)
        result = run("--replay-mode=none")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["DamagedError: *.rpk, byte 0: *", "Get it back from version control*rewrite"])
        result.stdout.no_fnmatch_line("*During handling*")
        result.stdout.no_fnmatch_line("*SessionNotFoundError*")

    run("--replay-mode=rewrite").assert_outcomes(passed=1)
    assert path.read_bytes() == whole


def test_a_recording_of_a_newer_release_is_said_and_left_alone(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_one=PARIS)
    path = project.path / "recordings" / "test_one" / "test_one.rpk"
    path.parent.mkdir(parents=True)
    writer = SegmentWriter(sync=b"syncsync", offset=0, previous=bytes(32), watermark=0)
    writer.add_magic()
    head = {"format": "replaykit", "major": 9, "minor": 0, "file": bytes(16), "t": 0, "must": [], "mustw": []}
    writer.add(HEAD, encode_body(head))
    newer = writer.take()
    path.write_bytes(newer)

    for mode in ("once", "none", "all", "rewrite"):
        result = run(f"--replay-mode={mode}")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*UnsupportedVersionError*Upgrade*"])

    assert path.read_bytes() == newer


def test_a_damaged_recording_is_said_and_can_be_recorded_again(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_one=PARIS)
    run()
    path = project.path / "recordings" / "test_one" / "test_one.rpk"
    whole = path.read_bytes()
    # Of its head, of what is known of its session, and of its call, which is read last.
    for at in (len(whole) // 2, whole.index(b"test_one.py::test_one"), whole.index(b"paris")):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)

        result = run()

        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["DamagedError: *test_one.rpk*", "Get it back from version control*rewrite"])
        assert path.read_bytes() == damaged
        run("--replay-mode=rewrite").assert_outcomes(passed=1)
        assert path.read_bytes() == whole


def test_a_read_only_checkout_plays_and_says_that_it_cannot_record(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_one=PARIS)
    run()
    folder = project.path / "recordings"
    path = folder / "test_one" / "test_one.rpk"
    if os.geteuid() == 0:
        # Root writes anywhere: a file where the folder should be stops it as well.
        folder.rename(project.path / "kept")
        folder.write_bytes(b"")
        result = run()
        folder.unlink()
        (project.path / "kept").rename(folder)
    else:
        before = path.read_bytes()
        path.unlink()
        path.parent.chmod(0o500)
        result = run()
        path.parent.chmod(0o700)
        path.write_bytes(before)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*recordings/test_one*"])

    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        run("--replay-mode=none").assert_outcomes(passed=1)
        run("--replay-mode=new_episodes").assert_outcomes(passed=1)
    finally:
        path.parent.chmod(0o700)


def test_a_secret_that_redaction_misses_is_not_written(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_one="""
            import agent, pytest

            @pytest.mark.replaykit(redact=())
            def test_one():
                agent.search("the key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD")
        """
    )

    result = run()

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*SecretFoundError*"])
    result.stdout.no_fnmatch_line("*E  *abcdefghijklmnopqrstuvwxyz0123456789ABCD*")
    assert recordings(project) == []


LARGE = """
    import pytest, replaykit

    @replaykit.records("find"{row})
    def give(size, text=""):
        return "x" * size

    @replaykit.records("find")
    def around():
        return len(give(11 << 20))

    @pytest.mark.replaykit{options}
    def test_large():
        assert {asked}
"""


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("give(11 << 20)", "*what call 0, give(), gave was cut*larger than 10 MiB*live=*'give'*"),
        ("give(1, 'x' * (11 << 20))", "*the arguments of call 0, give(), were cut*(text)*ignore=*'text'*"),
    ],
)
def test_a_call_that_was_cut_is_not_written(project: pytest.Pytester, run: Run, asked: str, message: str) -> None:
    project.makepyfile(test_large=LARGE.format(asked=asked, row="", options=""))

    result = run()

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*test_large.rpk was not written, since it could not be played: {message}"])
    assert recordings(project) == []


@pytest.mark.parametrize(
    ("asked", "row", "options"),
    [
        ("give(1, 'x' * (11 << 20))", "", "(ignore='text')"),
        ("give(1, 'x' * (11 << 20))", ", ignore='text'", ""),
        ("around()", "", ""),
    ],
)
def test_what_was_cut_and_does_not_count_is_no_harm(
    project: pytest.Pytester, run: Run, asked: str, row: str, options: str
) -> None:
    """A call within another is answered with that one."""
    project.makepyfile(test_large=LARGE.format(asked=asked, row=row, options=options))

    run().assert_outcomes(passed=1)

    run("--replay-mode=none").assert_outcomes(passed=1)


def test_a_secret_is_taken_out_and_the_test_plays_with_it(project: pytest.Pytester, run: Run) -> None:
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
    project.makepyfile(
        test_one=f"""
            import agent, pytest

            @pytest.mark.replaykit
            def test_one():
                agent.search("the key is {secret}")
        """
    )

    run().assert_outcomes(passed=1)
    run("--replay-mode=none").assert_outcomes(passed=1)

    (path,) = project.path.rglob("*.rpk")
    assert secret.encode() not in path.read_bytes()


def test_equal_runs_write_equal_bytes(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_one=PARIS)
    run()
    path = project.path / "recordings" / "test_one" / "test_one.rpk"
    before = path.read_bytes()
    path.unlink()

    run()

    assert path.read_bytes() == before


def test_what_the_test_says_of_itself_is_in_the_recording(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(
        test_one="""
            import agent

            def test_one(replay_session, replay_recording):
                assert replay_session.name == "test_one.py::test_one"
                replay_session.annotate(ticket="A-17")
                agent.search("paris")
                assert [action.name for action in replay_session.actions] == ["search"]
                assert replay_session.metadata["ticket"] == "A-17"
        """
    )

    run().assert_outcomes(passed=1)
    run("--replay-mode=none").assert_outcomes(passed=1)

    with replaykit.load(project.path / "recordings" / "test_one" / "test_one.rpk") as found:
        session = found.get_session("last")
    assert (session.name, dict(session.metadata)) == ("test_one.py::test_one", {"ticket": "A-17"})


@pytest.mark.parametrize("mode", ["new_episodes", "rewrite"])
def test_what_tests_say_of_a_recording_that_they_share_stays(project: pytest.Pytester, run: Run, mode: str) -> None:
    """As their calls do: what another says under a key of its own takes nothing away."""
    project.makepyfile(
        test_notes="""
            import agent, pytest

            @pytest.mark.replaykit("shared.rpk")
            @pytest.mark.parametrize("city", ["paris", "lyon"])
            def test_city(city, replay_session):
                replay_session.annotate(**{city: "said", "newest": city})
                agent.search(city)
        """
    )

    run(f"--replay-mode={mode}").assert_outcomes(passed=2)

    with replaykit.load(project.path / "shared.rpk") as found:
        assert found.get_session("last").metadata == {"paris": "said", "lyon": "said", "newest": "lyon"}


def test_recordings_have_a_folder_of_another_name(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile(test_one=PARIS)
    project.makeini("[pytest]\nreplaykit_recordings = cassettes")

    run()

    assert recordings(project) == ["cassettes/test_one/test_one.rpk"]
    project.makeini("[pytest]\nreplaykit_recordings = ../cassettes")
    run().stdout.fnmatch_lines(["*'../cassettes' is no name for the folder of recordings*"])


def test_recording_anew_hides_what_the_recording_has_hidden(project: pytest.Pytester, run: Run) -> None:
    source = """
        import agent, pytest

        @pytest.mark.replaykit{options}
        def test_one():
            agent.search("write to ann@example.com")
    """
    project.makepyfile(test_one=source.format(options='(redact=("secrets", "pii"))'))
    run().assert_outcomes(passed=1)
    (path,) = project.path.rglob("*.rpk")
    before = path.read_bytes()
    project.makepyfile(test_one=source.format(options=""))

    for mode in ("rewrite", "all", "none"):
        run(f"--replay-mode={mode}").assert_outcomes(passed=1)

    assert path.read_bytes() == before
    assert b"ann@example.com" not in before
