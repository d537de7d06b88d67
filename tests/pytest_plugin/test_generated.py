"""Tests that are made of recorded sessions run and pass at once, offline, for every form that a call can have."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from regression.forms import CODE, FORMS, code_in, record_all

import replaykit
from replaykit.errors import RedactionError
from replaykit.regression.new_tests import NewTest, new_test

Run = Callable[..., pytest.RunResult]
MODULE = "code_of_every_form"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a session of each form."""
    folder = tmp_path_factory.mktemp("recorded")
    with code_in(folder, MODULE) as code:
        record_all(code, folder / "runs.rpk")
    return folder / "runs.rpk"


@pytest.fixture
def sessions(project: pytest.Pytester, recorded: Path) -> Iterator[replaykit.Recording]:
    """The recorded sessions; their code is beside the project's tests."""
    (project.path / f"{MODULE}.py").write_text(CODE)
    with replaykit.load(recorded) as recording:
        yield recording


def made_of(sessions: replaykit.Recording, path: str, *forms: str) -> list[NewTest]:
    """Write a test of each of *forms* into one file."""
    made = []
    for form in forms:
        made.append(new_test(sessions.get_session(form), path, append=True))
        made[-1].write()
    return made


def test_each_form_of_call_plays_in_a_test_of_its_own(
    project: pytest.Pytester, sessions: replaykit.Recording, run: Run
) -> None:
    """The code's own functions would fail: nothing of them runs."""
    made = made_of(sessions, "tests/test_forms.py", *(form.__name__ for form in FORMS))

    result = run("tests", "--replay-mode=none", "-o", "pythonpath=.")

    result.assert_outcomes(passed=len(FORMS))
    calls = sum(len(each.calls) for each in made)
    result.stdout.fnmatch_lines([f"replaykit: {calls} played, 0 recorded, 0 unused"])
    assert [each.left_out for each in made] == [()] * len(FORMS)
    assert not (project.path / ".replaykit").exists()


def test_a_made_test_fails_where_the_answer_is_another(
    project: pytest.Pytester, sessions: replaykit.Recording, run: Run
) -> None:
    made_of(sessions, "test_one.py", "methods")
    text = (project.path / "test_one.py").read_text()
    (project.path / "test_one.py").write_text(text.replace("limit=5", "limit=6").replace("hello d", "hello e"))

    result = run("--replay-mode=none", "-o", "pythonpath=.")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*limit was 5, asked 6*"])


def test_the_same_session_gives_the_same_bytes(project: pytest.Pytester, sessions: replaykit.Recording) -> None:
    (first,) = made_of(sessions, "a/test_one.py", "functions")
    (second,) = made_of(sessions, "b/test_one.py", "functions")

    assert (first.source, first.recording) == (second.source, second.recording)


def test_formatters_and_import_sorters_leave_it_alone(project: pytest.Pytester, sessions: replaykit.Recording) -> None:
    ruff = pytest.importorskip("ruff").find_ruff_bin()
    made_of(sessions, "test_forms.py", *(form.__name__ for form in FORMS))

    for width in ("88", "120"):
        for command in (["format", "--check"], ["check", "--select=E,F,I,B,UP,SIM,PT"]):
            words = [ruff, *command, "--isolated", "--no-cache", f"--line-length={width}", "test_forms.py"]
            done = subprocess.run(words, cwd=project.path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout


def test_what_was_redacted_plays(project: pytest.Pytester, run: Run) -> None:
    """By the rules of the recording, and by more of them when the test is made."""
    with code_in(project.path, MODULE) as code, replaykit.Recorder("raw.rpk", redact=()) as recorder:
        with recorder.session("mail to bob@example.com", metadata={"user": "bob@example.com"}):
            code.search("mail bob@example.com the key sk-proj-" + "a1B2c3D4" * 5, where={"password": "zq1hunter"})
    with replaykit.load("raw.rpk") as recording:
        made = new_test(recording.get_session("last"), "test_mail.py")
        with pytest.raises(RedactionError, match="rule set"):
            new_test(recording.get_session("last"), "test_mail.py", rules=("secret",))
    made.write()

    run("--replay-mode=none", "-o", "pythonpath=.").assert_outcomes(passed=1)

    for secret in (b"bob@example.com", b"a1B2c3D4", b"zq1hunter"):
        assert secret not in made.source.encode()
        assert secret not in made.recording
        assert secret not in repr((made, made.contents, made.session_name, made.recording_text)).encode()
    assert made.name == "test_mail_to_redacted_email"
    assert made.contents.redacted_now == made.contents.redacted == {"email": 3, "openai": 3, "key": 1}
    assert made.contents.dropped_metadata == ("replaykit.account", "user") or made.contents.dropped_metadata == (
        "user",
    )
