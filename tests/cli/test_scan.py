"""``replaykit scan`` finds what was recorded without redaction and never prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program

KEY = "sk-proj-" + "a1B2c3D4" * 5
WORD = "zq1hunter"


@pytest.fixture
def raw(tmp_path: Path) -> str:
    """A store with secrets in every field of a session, and one session without any."""
    path = tmp_path / "raw.rpk"
    with replaykit.Recorder(path, redact=()) as recorder:
        with recorder.session(f"run {KEY}", metadata={"token": WORD, "user": "bob@example.com"}) as session:
            session.record("tool", name=f"call {KEY}", arguments={"password": WORD, "q": "x"}, output=[f"a {KEY}"])
            session.record("find", arguments={"query": f"pw {KEY}"}, error=ValueError(f"Bearer {WORD * 3}"))
            session.record("put", arguments={"content": "x"}, output=1, affected_frames=[KEY])
        with recorder.session("clean") as session:
            session.record("find", arguments={"query": "max_tokens=5"}, output=["The secret of good tea"])
    return str(path)


def test_each_field_is_searched_and_nothing_is_shown(raw: str) -> None:
    """Session, action, field and rule of each; the ends of a long key at most."""
    done = CliRunner().invoke(program, ["scan", raw, "--json"])
    found = json.loads(done.stdout)

    assert done.exit_code == 1
    assert (found["ok"], found["sessions"]) == (False, 2)
    assert len({item["session_id"] for item in found["findings"]}) == 1
    places = {(item["action"], item["field"], item["rule"]) for item in found["findings"]}
    assert places == {
        (None, "name", "openai"),
        (None, "metadata.token", "key"),
        (0, "name", "openai"),
        (0, "arguments.password", "key"),
        (0, "output", "openai"),
        (1, "arguments.query", "openai"),
        (1, "error", "bearer"),
        (2, "frames", "openai"),
    }
    assert {item["ends"] for item in found["findings"] if item["rule"] == "openai"} == {f"{KEY[:4]}...{KEY[-4:]}"}
    for text in (done.stdout, CliRunner().invoke(program, ["scan", raw]).output):
        assert KEY[8:30] not in text
        assert WORD not in text


def test_a_persons_data_is_found_where_it_is_asked_for(raw: str) -> None:
    """Only with --pii, and without showing an end of it."""
    done = CliRunner().invoke(program, ["scan", raw, "--pii"])

    assert "metadata.user  email  (15 bytes)" in done.output
    assert "bob" not in done.output
    assert "email" not in CliRunner().invoke(program, ["scan", raw]).output


def test_a_redacted_store_is_clean(tmp_path: Path) -> None:
    """Of a file, a directory and a memory's own sessions: exit code 0."""
    for name in ("runs.rpk", "runs/"):
        with replaykit.Recorder(f"{tmp_path}/{name}") as recorder, recorder.session(f"run {KEY}") as session:
            session.record("tool", name=KEY, arguments={"password": WORD}, output=KEY)
    with replaykit.open(tmp_path / "notes.mv") as mv, mv.session("run"):
        mv.put(f"the memory's own frames are not recordings: {KEY}")
        mv.find(KEY)

    for name in ("runs.rpk", "runs/", "notes.mv"):
        done = CliRunner().invoke(program, ["scan", f"{tmp_path}/{name}"])
        assert (done.exit_code, done.output.startswith("no secret found in 1 session of")) == (0, True), done.output


def test_recordings_of_tests_are_found_below_a_folder(tmp_path: Path) -> None:
    """Each module has a folder of its own: nothing found there must not read as if all had been looked at."""
    for module, redact in (("test_clean", ("secrets",)), ("test_leak", ()), ("deep/test_too", ())):
        folder = tmp_path / "recordings" / module
        folder.mkdir(parents=True)
        with (
            replaykit.Recorder(folder / "test_it.rpk", redact=redact) as recorder,
            recorder.session("a test") as session,
        ):
            session.record("tool", arguments={"q": KEY}, output="x")
    place = f"{tmp_path}/recordings/"

    done = CliRunner().invoke(program, ["scan", place])
    assert done.exit_code == 1, done.output
    assert "2 secrets in 2 of 3 sessions" in done.output
    assert f"{place}test_leak/:" in done.output
    found = json.loads(CliRunner().invoke(program, ["scan", place, "--json"]).stdout)
    assert {item["store"] for item in found["findings"]} == {f"{place}test_leak/", f"{place}deep/test_too/"}
    assert CliRunner().invoke(program, ["scan", f"{place}test_clean"]).exit_code == 0


def test_nothing_there_is_an_error_and_makes_no_file(tmp_path: Path) -> None:
    """Exit code 3, as for every reading verb."""
    assert CliRunner().invoke(program, ["scan", str(tmp_path / "none.rpk")]).exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_show_says_what_was_left_out_and_hidden(tmp_path: Path) -> None:
    """On one line, and only where there is something to say."""
    path = str(tmp_path / "runs.rpk")
    with replaykit.Recorder(path, exclude={"put"}, keep="on_failure") as recorder, recorder.session("run") as session:
        session.record("put", arguments={"content": "x"})
        session.record("find", arguments={"password": WORD, "query": KEY})
        session.keep()

    shown = CliRunner().invoke(program, ["show", path]).output
    assert "1 excluded; kept because: call; redacted: key 1, openai 1" in shown
