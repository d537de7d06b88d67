"""A session as plain text is complete, the same each time, and made for a difference line by line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from importers.samples import sample
from regression.noting import IDENTITY, session_in

import replaykit
from replaykit.cli.commands import program
from replaykit.format.strict import encode_value
from replaykit.format.values import MAX_DEPTH
from replaykit.model import ReplaySession
from replaykit.regression.text import text_of_session
from replaykit.regression.value_lines import field_lines
from replaykit.regression.writing import recording_bytes, write_recording
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.opening import open_store
from replaykit.testing.contracts import make_part

EXPECTED = """\
session "test_notes.py::test_x"
  redaction: secrets/3
  metadata:
    user: "ann"

* find search of by hand
  about: result_count=1
  arguments:
    query: "paris"
    top: 2
  frames: [7]
  output:
    - frame_id: 7
      text: |
        Paris is
        the capital.
      rank: !decimal "1.5"

* tool shout of by hand
  error: !error "ValueError"
    - "too loud"
    - ["too loud"]
"""


def shown(*words: str) -> Result:
    return CliRunner().invoke(program, ["show", "--text", *words])


def lines_of(value: Any) -> list[str]:
    return list(field_lines("x:", value))


@pytest.fixture
def small(tmp_path: Path) -> str:
    """The recording of a test with two calls."""
    hit = {"frame_id": 7, "text": "Paris is\nthe capital.", "rank": Decimal("1.5")}
    with replaykit.Recorder(":memory:") as recorder:
        with recorder.session("x") as session:
            session.record(
                "find", name="search", arguments={"query": "paris", "top": 2}, output=[hit], affected_frames=[7]
            )
            session.record("tool", name="shout", error=ValueError("too loud"))
        data = recording_bytes("test_notes.py::test_x", [(session.result, None)], metadata={"user": "ann"})
    write_recording(tmp_path / "small.rpk", data)
    return str(tmp_path / "small.rpk")


def published(store: Any, entries: list[dict[str, Any]], name: str = "made") -> ReplaySession:
    part = make_part(uuid4(), name=name)
    store.publish(attrs.evolve(part, actions=entries))
    return Catalogue(store).get_session(part.opening.session_id)


# -- values ---------------------------------------------------------------------------

_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.binary(max_size=40)
    | st.text(st.sampled_from('a \\"|-:\n\t\x1b.{,'), max_size=8) | st.text(st.sampled_from("ab. "), min_size=95)
)  # fmt: skip
_KEYS = st.sampled_from(["a", "b c", "~t", "~v", "", "-"])
_TYPED = st.fixed_dictionaries({"~t": st.sampled_from(["tuple", "set", "struct", "error", "dict", "uuid", 'odd "x'])})
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_KEYS, inner, max_size=3)
        | st.tuples(_TYPED, st.lists(inner, max_size=3)).map(lambda pair: {**pair[0], "~v": pair[1]})
    ),
    max_leaves=8,
)


@given(_VALUES, _VALUES)
def test_different_values_have_different_lines(one: Any, other: Any) -> None:
    """So a change of a recording is never invisible."""
    assert (lines_of(one) == lines_of(other)) is (encode_value(one) == encode_value(other))


@given(_VALUES)
def test_lines_hold_nothing_that_steers_a_terminal(value: Any) -> None:
    for line in lines_of(value):
        assert line.replace("\t", "").isprintable()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"~t": "x", "~v": [[1, 2]]}, {"~t": "x", "~v": [1, 2]}),
        ({"~t": "x", "~v": ["c", [1, 2]]}, {"~t": "x", "~v": ["c", 1, 2]}),
        ({"~t": "x", "~v": ["c"]}, {"~t": 'x "c"', "~v": []}),
        ("a\\x1b", "a\x1b"),
        ("a\n", "a\n\n"),
        ("x " * 60, "x " * 60 + "\\"),
        (b"", "bytes"),
        ([1] * 200, [1.0] * 200),
    ],
)
def test_what_looks_alike_is_told_apart(one: Any, other: Any) -> None:
    assert lines_of(one) != lines_of(other)


def test_a_long_text_is_cut_where_its_sentences_end() -> None:
    """So a changed word is one changed line, however long the text is."""
    text = "".join(f"This is sentence {number} of a long answer. " for number in range(20))
    before, after = lines_of(text), lines_of(text.replace("sentence 9 ", "the very long sentence number nine "))

    assert len(before) == len(after) > 20
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert max(map(len, lines_of("x" * 1000))) < 110


def test_a_vector_is_rows_of_numbers() -> None:
    """A list of numbers is neither one endless line nor a line each."""
    lines = lines_of([number / 8 for number in range(768)])

    assert (lines[0], len(lines)) == ("x: 768 numbers", 97)


def test_the_deepest_value_is_shown() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = {"a": value}

    assert lines_of(value)[-1].strip() == "a: 1"


# -- sessions -------------------------------------------------------------------------


def test_all_of_a_tests_recording_and_nothing_of_the_run(small: str) -> None:
    """No ids, no times, no numbers: they would differ without a reason, or move."""
    done = shown(small)

    assert done.exit_code == 0
    assert done.stdout == EXPECTED


def test_calls_within_calls_are_indented(tmp_path: Path) -> None:
    """Every shape of call, with what it made below it."""
    with session_in(":memory:") as session:
        write_recording(tmp_path / "a.rpk", recording_bytes(IDENTITY, [(session, None)]))
    with replaykit.load(tmp_path / "a.rpk") as recording:
        lines = list(text_of_session(recording.get_session("last")))

    assert [line for line in lines if line.lstrip().startswith("* ")] == [
        "* find search of regression.noting",
        "* ask answer of regression.noting",
        "  * find search of regression.noting",
        "* tool price of regression.noting",
        "* tool words of regression.noting [stream]",
        "* find search_later of regression.noting",
        "* tool words_later of regression.noting [stream]",
        "* tool price of regression.noting",
        "* tool words of regression.noting [stream, unfinished]",
    ]
    assert lines.count("    Paris is in France. \\") == 1998


def test_calls_of_threads_stand_with_the_call_that_made_them(tmp_path: Path) -> None:
    """Whatever began in between; one without its parent says so."""
    parents = [None, None, 0, 1, 0, 2, 99, 6]
    entries = [
        {"i": number, "k": "tool", "nm": f"call {number}", "t": 1, "d": 0, **({} if parent is None else {"p": parent})}
        for number, parent in enumerate(parents)
    ]
    with closing(open_store(str(tmp_path / "t.rpk"))) as store:
        lines = list(text_of_session(published(store, entries)))

    calls = [line.replace("* tool call ", "") for line in lines if "* tool" in line]
    assert calls == ["0", "  2", "    5", "  4", "1", "  3", "6", "  7"]
    assert sum("made by action 99, which is not here" in line for line in lines) == 1


def test_a_chain_without_end_stays_readable(tmp_path: Path) -> None:
    """Hundreds of calls within calls: no recursion, no megabytes of indent."""
    entries = [{"i": number, "k": "tool", "t": 1, "d": 0, "p": number - 1} for number in range(300)]
    with closing(open_store(str(tmp_path / "t.rpk"))) as store:
        lines = list(text_of_session(published(store, entries)))

    assert max(map(len, lines)) < 150
    assert any(line.endswith("(depth 299)") for line in lines)


def test_another_session_says_when_and_which(tmp_path: Path) -> None:
    """Id, times and numbers, checkpoints too; the same text each time."""
    path = str(tmp_path / "runs.rpk")
    with session_in(path) as session:
        sessions = str(session.session_id)

    first = shown(path)

    assert f"  id: {sessions}" in first.stdout
    assert "  number 2, began after 0." in first.stdout
    assert "checkpoint 0 after action 0" in first.stdout
    assert shown(path).stdout == first.stdout


def test_all_sessions_or_the_one_that_is_named(tmp_path: Path) -> None:
    """Or one action with what it made."""
    path = str(tmp_path / "runs.rpk")
    with replaykit.Recorder(path) as recorder:
        for name in ("monday", "tuesday"):
            with recorder.session(name) as session:
                session.record("tool", name=f"on {name}", arguments={"x": 1})
                session.record("tool", name="other")

    assert [line for line in shown(path).stdout.splitlines() if line.startswith("session")] == [
        'session "monday"',
        'session "tuesday"',
    ]
    assert "monday" not in shown(path, "tuesday").stdout
    assert shown(path, "monday", "0").stdout.startswith("* tool on monday of by hand\n")
    assert "other" not in shown(path, "monday", "0").stdout
    assert shown(path, "--json").exit_code == 2


@pytest.mark.parametrize("kind", ["open session", "preview", "memvid", "empty"])
def test_any_store_has_a_text(tmp_path: Path, kind: str) -> None:
    """Also what cannot be played: what is kept of it is shown."""
    path = str(tmp_path / ("old.mv2" if kind == "memvid" else "runs.rpk"))
    if kind == "memvid":
        Path(path).write_bytes(sample("01"))
        assert 'preview of input: "alpha beta gamma recorded"' in shown(path).stdout
        return
    with replaykit.Recorder(path, capture="preview" if kind == "preview" else "full") as recorder:
        if kind == "empty":
            with recorder.session("x"):
                pass
            recorder.delete_session("x")
            assert shown(path).stdout == "no sessions\n"
            return
        with recorder.session("x") as session:
            session.record("find", name="search", arguments={"query": "paris"}, output="found")
            if kind == "open session":
                assert 'query: "paris"' in shown(path).stdout
    if kind == "preview":
        assert 'about: query="paris"' in shown(path).stdout
        assert 'preview of output: "found"' in shown(path).stdout


# -- as a textconv --------------------------------------------------------------------


def test_any_name_and_a_folder_that_takes_no_writes(tmp_path: Path, small: str) -> None:
    """Git hands a temporary copy; nothing is created beside it."""
    folder = tmp_path / "read only"
    folder.mkdir()
    (folder / "abc_small").write_bytes(Path(small).read_bytes())
    folder.chmod(0o500)

    assert shown(str(folder / "abc_small")).stdout == EXPECTED
    assert [path.name for path in folder.iterdir()] == ["abc_small"]


@pytest.mark.parametrize("how", ["missing", "text", "damaged", "newer", "cut"])
def test_what_cannot_be_read_is_exit_code_3(tmp_path: Path, small: str, how: str) -> None:
    """And one line that says why."""
    path, data = tmp_path / "bad.rpk", Path(small).read_bytes()
    if how != "missing":
        at = data.index(b"frame_id")
        newer = data.replace(b"emajor\x01", b"emajor\x02", 1)
        path.write_bytes(
            {"text": b"notes", "damaged": data[:at] + b"F" + data[at + 1 :], "newer": newer, "cut": data[:60]}[how]
        )

    done = shown(str(path))

    assert done.exit_code == 3
    assert done.stderr.startswith("replaykit: ")
    assert "Traceback" not in done.output


def test_git_diff_shows_what_changed(tmp_path: Path, small: str) -> None:
    """With the settings of docs/how-to/git.md, on a file that git takes for binary otherwise."""
    page = (Path(__file__).parents[2] / "docs/how-to/git.md").read_text()
    (attributes,) = [line for line in page.splitlines() if line.startswith("*.rpk ")]
    settings = [shlex.split(line)[-2:] for line in page.splitlines() if line.startswith("$ git config")]
    assert "diff.replaykit.textconv" in dict(settings)
    environment = {**os.environ, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
                   "PYTHONPATH": str(Path(replaykit.__file__).parents[1]), "GIT_PAGER": "cat"}  # fmt: skip

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=tmp_path / "repo", env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    repository = tmp_path / "repo"
    recording = repository / "recordings" / "test_notes" / "test_x[a b].rpk"
    recording.parent.mkdir(parents=True)
    git("init", "-q")
    for name, value in settings:
        git("config", name, value.replace("replaykit ", f"{sys.executable} -m replaykit ", 1))
    (repository / ".gitattributes").write_text(attributes + "\n")
    recording.write_bytes(Path(small).read_bytes())
    git("add", ".")
    git("-c", "user.name=ann", "-c", "user.email=ann@example.com", "commit", "-qm", "record")
    with replaykit.load(small) as loaded:
        session = loaded.get_session("last")
        data = recording_bytes("test_notes.py::test_x", [(session, [0])], metadata=session.metadata)
    write_recording(recording, data)

    difference = git("diff")

    assert "@@ * find search of by hand" in difference
    assert "-* tool shout of by hand" in difference
    assert '-    - "too loud"' in difference
    assert "+" not in "".join(line[:1] for line in difference.splitlines() if not line.startswith("+++"))
    assert "binary: set" in git("check-attr", "-a", str(recording))
    assert "GIT binary patch" in git("diff", "--binary", "--no-textconv")
