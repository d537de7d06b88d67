"""The command line: what people and machines see, exit codes, hostile text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program
from replaykit.plain_text import one_line, printable


def run(*words: str) -> Result:
    """Run ``replaykit`` with these words."""
    return CliRunner().invoke(program, list(words))


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with two sessions: ``first`` with a find and a failed tool, ``second`` with nothing."""
    path = str(tmp_path / "runs.rpk")

    @replaykit.records("find")
    def search(query: str, k: int = 2) -> list[dict[str, object]]:
        return [{"frame_id": number, "text": query} for number in range(k)]

    @replaykit.records
    def fail() -> None:
        raise ValueError("no luck")

    recorder = replaykit.Recorder(path)
    with recorder.session("first", metadata={"who": "me"}) as session:
        search("capital")
        with pytest.raises(ValueError, match="no luck"):
            fail()
        session.checkpoint()
    with recorder.session("second"):
        pass
    recorder.close()
    return path


def test_list_shows_each_session_on_a_line(store: str) -> None:
    """Ended sessions come in order of ending."""
    lines = run("list", store).output.splitlines()

    assert [line.split()[1] for line in lines[1:]] == ["first", "second"]


def test_list_as_json_is_an_array_of_summaries(store: str) -> None:
    """A machine reads field names of the model."""
    summaries = json.loads(run("list", store, "--json").output)

    assert [(item["name"], item["action_count"], item["state"]) for item in summaries] == [
        ("first", 3, "sealed"),
        ("second", 0, "sealed"),
    ]


@pytest.mark.parametrize(("words", "count"), [(["--name", "first"], 1), (["--state", "open"], 0)])
def test_list_filters(store: str, words: list[str], count: int) -> None:
    """Options select what they name."""
    assert len(json.loads(run("list", store, "--json", *words).output)) == count


def test_show_is_a_readable_table(store: str) -> None:
    """Each action has its number, kind, subject, hits and milliseconds."""
    shown = run("show", store, "first").output

    assert "FIND" in shown
    assert "capital" in shown
    assert "ValueError: no luck" in shown
    assert "CHECKPOINT" in shown


def test_show_selects_by_name_prefix_last_and_number(store: str) -> None:
    """``[STORE] [SESSION] [N]``, each of which may be left out."""
    whole = json.loads(run("show", store, "first", "--json").output)
    prefix = whole["session_id"][:8]

    assert json.loads(run("show", store, prefix, "--json").output) == whole
    assert json.loads(run("show", store, "--json").output)["name"] == "second"
    assert json.loads(run("show", store, "first", "0", "--json").output) == whole["actions"][0]


def test_show_json_has_the_models_fields(store: str) -> None:
    """Bytes are hex; the action's own fields stand under its type."""
    action = json.loads(run("show", store, "first", "0", "--json").output)

    assert action["action_type"] == {"name": "FIND", "query": "capital", "mode": "", "result_count": 2}
    assert action["arguments"] == {"query": "capital", "k": 2}
    assert action["affected_frames"] == [0, 1]
    assert len(bytes.fromhex(action["input_hash"])) == 32


def test_show_one_action_whole(store: str) -> None:
    """``show STORE SESSION N`` prints arguments and output."""
    shown = run("show", store, "first", "0").output

    assert "arguments:" in shown
    assert '"query": "capital"' in shown


def test_the_default_store_comes_from_the_environment(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without STORE, ``REPLAYKIT_STORE`` is read."""
    monkeypatch.setenv("REPLAYKIT_STORE", store)

    assert json.loads(run("show", "first", "--json").output)["name"] == "first"
    assert json.loads(run("show", "last", "--json").output)["name"] == "second"


def test_info_counts_and_measures(store: str) -> None:
    """Sizes and counts of the store."""
    facts = json.loads(run("info", store, "--json").output)

    assert (facts["sessions"], facts["actions"], facts["checkpoints"], facts["live_logs"]) == (2, 3, 1, 0)
    assert facts["bytes"] == os.path.getsize(store)


@pytest.mark.parametrize("verb", ["list", "show", "info"])
def test_reading_verbs_never_create_a_file(verb: str, tmp_path: Path) -> None:
    """A missing store is said to be missing, with exit code 3, and stays missing."""
    before = sorted(tmp_path.iterdir())
    result = run(verb, str(tmp_path / "nothing.rpk"))

    assert result.exit_code == 3
    assert "No store at" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("verb", ["list", "show", "info"])
def test_an_alien_file_is_refused_and_left(verb: str, tmp_path: Path) -> None:
    """Exit code 3, a sentence that says so, and not a byte changed."""
    alien = tmp_path / "alien.rpk"
    alien.write_bytes(b"not a recording at all, but longer than a head would be " * 4)
    before = alien.read_bytes()
    result = run(verb, str(alien))

    assert result.exit_code == 3
    assert "not a replaykit store" in result.stderr
    assert alien.read_bytes() == before


def test_an_unknown_session_is_a_usage_error(store: str) -> None:
    """Exit code 2, with the seed's words."""
    result = run("show", store, "third")

    assert result.exit_code == 2
    assert "Session third not found" in result.stderr


def test_an_unknown_action_is_a_usage_error(store: str) -> None:
    """Exit code 2."""
    assert run("show", store, "first", "99").exit_code == 2


def test_recorded_text_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escapes, bidi and zero-width characters are shown as what they are, in every view."""
    evil = "\x1b[31mred\x1b]0;title\x07 \u202etxet \u200b\r\nnext \x9b2J"
    path = str(tmp_path / "evil.rpk")
    recorder = replaykit.Recorder(path)

    @recorder.records("find")
    def search(query: str) -> list[str]:
        return [query]

    with recorder.session(evil, metadata={"note": evil}):
        search(evil)
    recorder.close()

    for words in (["list", path], ["show", path], ["show", path, "last", "0"], ["show", path, "last", "--json"]):
        shown = run(*words).output
        assert not set(shown) & set("\x1b\x07\x9b\u202e\u200b\r"), words


def test_a_name_in_brackets_is_no_markup(tmp_path: Path) -> None:
    """Recorded text never becomes colour or a link."""
    path = str(tmp_path / "markup.rpk")
    with replaykit.Recorder(path) as recorder, recorder.session("[b]x[/b] :ok:"):
        pass

    assert "[b]x[/b] :ok:" in run("list", path).output


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("a\tb\nc", "a\tb\nc"), ("\x1b[0m", "\\x1b[0m"), ("\u202e", "\\u202e"), ("é漢🐘", "é漢🐘")],
)
def test_printable(text: str, shown: str) -> None:
    """Letters of any script stay, hidden characters become escapes."""
    assert printable(text) == shown


def test_one_line_folds_and_cuts() -> None:
    """A table cell is one line."""
    assert one_line("a\n b\t c " + "x" * 100, 10) == "a b c xxx…"


# -- branches of a memory ---------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path) -> str:
    """A memory with two frames and a session ``first`` with a checkpoint after the first of them."""
    path = str(tmp_path / "notes.mv")
    with replaykit.open(path) as notes, notes.session("first") as session:
        notes.put("one")
        session.checkpoint()
        notes.put("two")
    return path


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ([], 2),
        (["--at", "1"], 1),
        (["--session", "first", "--at", "0"], 1),
        (["--at", "2999-01-01"], 2),
        (["--at", "1999-01-01T00:00:00+01:00"], 0),
    ],
)
def test_fork_makes_a_branch_of_what_was_meant(memory: str, options: list[str], frames: int) -> None:
    forked = run("fork", memory, "branch.mv", *options, "--json")

    assert forked.exit_code == 0
    said = json.loads(forked.output)
    with replaykit.open("branch.mv") as branch:
        assert (len(branch), branch.generation) == (said["frames"], said["generation"]) == (frames, frames)
        assert said["lineage"]["parent_path"] == memory


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["taken.mv"], 2, "exists"),
        (["branch.mv", "--at", "yesterday"], 2, "neither a generation nor a time"),
        (["branch.mv", "--at", "77"], 2, "There is no generation 77"),
        (["branch.mv", "--session", "first"], 2, "--session needs --at"),
        (["branch.mv", "--session", "first", "--at", "7"], 2, "Checkpoint 7 not found"),
        (["branch.mv", "--session", "nobody", "--at", "0"], 2, "not found"),
        (["nowhere/branch.mv"], 3, "make its folder first"),
    ],
)
def test_a_fork_that_cannot_be_leaves_everything_as_it_was(memory: str, words: list[str], code: int, says: str) -> None:
    Path("taken.mv").write_bytes(b"mine")

    failed = run("fork", memory, *words)

    assert failed.exit_code == code
    assert says in failed.stderr
    assert Path("taken.mv").read_bytes() == b"mine"
    assert not os.path.exists("branch.mv")


def test_what_is_no_memory_has_no_branch(store: str) -> None:
    assert run("fork", store, "branch.mv").exit_code == 3
    assert run("fork", "nothing.mv", "branch.mv").exit_code == 3
    assert not os.path.exists("branch.mv") and not os.path.exists("nothing.mv")


def test_info_shows_where_a_memory_comes_from(memory: str, store: str) -> None:
    """On both sides of a fork; a store without a memory has no lineage."""
    run("fork", memory, "branch.mv", "--at", "1")
    parent, branch = (json.loads(run("info", path, "--json").output)["lineage"] for path in (memory, "branch.mv"))

    assert (branch["parent_id"], branch["forked_at"]) == (parent["memory_id"], 1)
    assert [fork["memory_id"] for fork in parent["forks"]] == [branch["memory_id"]]
    assert json.loads(run("info", store, "--json").output)["lineage"] is None
    assert f"generation 1 of {memory} ({parent['memory_id']})" in run("info", "branch.mv").output
    assert branch["memory_id"] in run("info", memory).output


def test_what_was_called_and_not_recorded_is_shown() -> None:
    """A method that no map knows leaves a line in `show` and in `info`."""

    class Notes:
        def find(self, query: str) -> list[str]:
            return [query]

        def count(self) -> int:
            return 3

    notes = replaykit.wrap(Notes(), store="runs.rpk")
    with notes.session("a"):
        notes.find("x")
        assert [notes.count(), notes.count()] == [3, 3]
    replaykit.recorder_of(notes).close()

    assert "called and not recorded: Notes.count 2" in CliRunner().invoke(program, ["show", "runs.rpk"]).output
    facts = json.loads(CliRunner().invoke(program, ["info", "runs.rpk", "--json"]).output)
    assert list(facts["not_recorded"].values()) == [2]
    assert "Notes.count 2" in CliRunner().invoke(program, ["info", "runs.rpk"]).output
