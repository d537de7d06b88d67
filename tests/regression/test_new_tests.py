"""From a session to a test: what is chosen and left out, what is refused, and what is never run."""

from __future__ import annotations

import ast
import datetime
import decimal
import os
import uuid
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.errors import PlaybackError, SecretFoundError, UsageError
from replaykit.format.values import pack
from replaykit.model import ReplaySession, Structured
from replaykit.regression.code_reading import CodeReader, Missing
from replaykit.regression.imports import Imports
from replaykit.regression.layout import WIDTH, flat, laid_out, text_lines
from replaykit.regression.literals import Literals
from replaykit.regression.new_tests import MOST_CALLS, new_test

MEMORY_TEST = "tests/test_notes.py"

Recorded = Callable[..., ReplaySession]


def session_of(calls: Callable[[Any], None], store: str = "runs.rpk", **options: Any) -> ReplaySession:
    """Record *calls* on a memory and return the session, as it is read from *store*."""
    with replaykit.open(":memory:", store=store, **options) as mv, mv.session("a day with notes"):
        calls(mv)
    return replaykit.load(store).get_session("last")


def two_finds(mv: Any) -> None:
    mv.put("Paris is the capital of France.")
    mv.find("capital", k=3)


# -- what is chosen and left out --------------------------------------------------------


def test_numbers_choose_actions_also_those_that_another_call_made() -> None:
    """Such a call is made by the test itself, and has no parent in the recording."""
    with replaykit.open(":memory:", store="runs.rpk") as mv:

        @replaykit.records("tool")
        def nested() -> None:
            two_finds(mv)

        with mv.session("nested"):
            nested()
    session = replaykit.load("runs.rpk").get_session("last")

    made = new_test(session, MEMORY_TEST, actions=[2])

    assert [(call.name, call.parent) for call in made.calls] == [("find", None)]
    assert 'memory.find("capital", k=3)' in made.source
    with pytest.raises(UsageError, match="no action 7"):
        new_test(session, MEMORY_TEST, actions=[7])
    with pytest.raises(UsageError, match="nested is defined inside another function"):
        new_test(session, MEMORY_TEST, folders=[os.path.join(os.path.dirname(__file__), "..")])


def test_what_no_test_can_make_is_left_out_and_named(tmp_path: Path) -> None:
    with replaykit.open(":memory:", store="runs.rpk") as mv, mv.session("mixed") as session:
        session.record("find", name="by_hand", arguments={"query": "x"}, output=[1])
        two_finds(mv)
        (tmp_path / "note.txt").write_text("a note")
        with pytest.raises(UsageError):
            mv.put_file(tmp_path / "note.txt", encoding="no such encoding")

    made = new_test(replaykit.load("runs.rpk").get_session("last"), MEMORY_TEST)

    assert [call.name for call in made.calls] == ["put", "find"]
    assert [(item.action, item.name) for item in made.left_out] == [(0, "by_hand"), (3, "put_file")]
    assert "# Left out, since no test can make them: by_hand, put_file" in made.source
    assert str(tmp_path) not in made.source


def test_code_is_read_and_not_run(tmp_path: Path) -> None:
    """Also where a module would end the process, and where its package would."""
    package = tmp_path / "package"
    package.mkdir()
    for name in ("__init__", "module"):
        (package / f"{name}.py").write_text(
            "import sys, replaykit\n\n@replaykit.records('find')\ndef search(query, *, k=5): ...\n\nsys.exit(3)\n"
        )

    found = CodeReader([str(tmp_path)]).function("package.module", "search")

    assert not isinstance(found, Missing)
    assert [(each.name, each.default) for each in found.parameters[1:]] == [("k", 5)]


@pytest.mark.parametrize(
    ("code", "name", "reason"),
    [
        ("def search(q): ...", "search", "does not decorate search with records"),
        ("import functools\n\n@functools.cache\ndef search(q): ...", "search", "does not decorate"),
        ("from other import records\n\n@records()\ndef search(q): ...", "search", "does not decorate"),
        ("def f():\n    @r.records()\n    def search(q): ...", "search", "inside another function"),
        ("x = 1", "search", "has no function search"),
        ("@property\n@r.records()\ndef search(q): ...", "search", "is not called like a function"),
        ("def broken(:", "search", "no module code is found"),
        ("\x00", "search", "no module code is found"),
    ],
)
def test_why_a_function_is_not_found(tmp_path: Path, code: str, name: str, reason: str) -> None:
    (tmp_path / "code.py").write_text(code)
    reader = CodeReader([str(tmp_path)])

    # The standard library has a module of this name: the project's comes first.
    found = reader.function("code", name)

    assert isinstance(found, Missing)
    assert reason in found.reason


@pytest.mark.parametrize(
    "code",
    [
        "@recorder.records()\ndef search(q): ...",
        "from replaykit import records as noted\n\n@noted\ndef search(q): ...",
        "import replaykit\nnoted = replaykit.records('find')\n\n@noted\ndef search(q): ...",
        "from .decorators import noted\n\n@noted(1)\ndef search(q): ...",
        "from package.decorators import noted as n\n\n@n(1)\ndef search(q): ...",
        "import replaykit\ndef _search(q): ...\nsearch = replaykit.records('find', name='search')(_search)",
        "import replaykit\nif True:\n    @replaykit.records('find', name='search')\n    def other(q): ...",
    ],
)
def test_what_decorates_may_be_made_of_records_and_imported(tmp_path: Path, code: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "decorators.py").write_text(
        "import replaykit\n\ndef noted(of):\n    def on(f):\n        return replaykit.records(of)(f)\n    return on\n"
    )
    (package / "module.py").write_text(code)

    found = CodeReader([str(tmp_path)]).function("package.module", "search")

    assert not isinstance(found, Missing)
    assert [each.name for each in found.parameters] == ["q"]


# -- values as source -------------------------------------------------------------------

_NAMES = {"datetime": datetime, "Decimal": decimal.Decimal, "UUID": uuid.UUID, "ZoneInfo": zoneinfo.ZoneInfo}
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC) | st.just(zoneinfo.ZoneInfo("Europe/Paris")))
    | st.timedeltas()
)
_HASHABLE = st.integers() | st.text() | st.binary()
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(_HASHABLE, inner, max_size=4)
        | st.sets(_HASHABLE, max_size=3)
        | st.frozensets(_HASHABLE, max_size=3)
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_a_literal_is_the_value_on_one_line_and_on_many(value: Any) -> None:
    node = Literals(Imports(), CodeReader([])).of(value)

    for source in (flat(node), laid_out(node, before=WIDTH - 1)):
        assert pack(eval(source, dict(_NAMES))) == pack(value)
        assert source.isprintable() or "\n" in source


@given(st.text(min_size=1))
def test_a_long_text_is_its_parts(text: str) -> None:
    assert ast.literal_eval("(" + "\n".join(text_lines(text)) + ")") == text


# -- what is refused --------------------------------------------------------------------


def refusal(
    error: type[Exception], words: str, session: ReplaySession, path: str = MEMORY_TEST, **options: Any
) -> None:
    before = sorted(os.walk("."))
    with pytest.raises(error, match=words):
        new_test(session, path, **options).write()
    assert sorted(os.walk(".")) == before


def test_sessions_that_no_test_can_be_made_of() -> None:
    refusal(PlaybackError, "cannot be played", session_of(two_finds, "hash.rpk", capture="hash"))
    refusal(UsageError, "has no calls", session_of(lambda mv: None, "empty.rpk"))
    many = session_of(lambda mv: [mv.find("x") for _ in range(MOST_CALLS + 1)], "many.rpk")  # type: ignore[func-returns-value]
    refusal(UsageError, "too many for one test", many)
    assert len(new_test(many, MEMORY_TEST, actions=range(MOST_CALLS)).calls) == MOST_CALLS
    with replaykit.open(":memory:", store="open.rpk") as mv, mv.session("open") as session:
        mv.find("x")
        refusal(UsageError, "still being recorded", mv.get_session(session.id))


def test_a_secret_that_is_left_is_not_written() -> None:
    def with_a_key(mv: Any) -> None:
        mv.find("log in with sk-proj-" + "a1B2c3D4" * 5)

    refusal(SecretFoundError, "arguments.query", session_of(with_a_key, redact=()), rules=())


def test_places_that_are_taken(tmp_path: Path) -> None:
    session = session_of(two_finds)
    new_test(session, MEMORY_TEST).write()
    Path("link.py").symlink_to(MEMORY_TEST)
    Path("folder.py").mkdir()
    Path("broken.py").write_text("def broken(:")

    refusal(UsageError, "exists and is not overwritten: add", session)
    refusal(UsageError, "there is a test_a_day_with_notes already", session, append=True)
    refusal(UsageError, "symlink", session, "link.py", append=True)
    refusal(UsageError, "a folder", session, "folder.py", append=True)
    refusal(UsageError, "is no Python", session, "broken.py", append=True)
    refusal(UsageError, "no file of tests", session, "tests/notes.txt")
    refusal(UsageError, "no name for a test", session, "test_b.py", name="a-b")
    Path(MEMORY_TEST).unlink()
    refusal(UsageError, "test_a_day_with_notes.rpk exists and is not overwritten", session)


def test_what_is_there_stays_when_a_test_is_added() -> None:
    """Text, mode and line ends; a file that has changed since is left alone, and no recording is left behind."""
    Path("test_own.py").write_bytes(b'"""Own."""\r\n\r\nimport os\r\n\r\n\r\ndef test_own():\r\n    assert os.name\r\n')
    os.chmod("test_own.py", 0o640)
    session = session_of(two_finds)
    made = new_test(session, "test_own.py", append=True)
    late = new_test(session, "test_own.py", append=True, name="late")

    made.write()

    text = Path("test_own.py").read_bytes().decode()
    assert text.startswith(
        '"""Own."""\r\n\r\nimport os\r\n\r\nimport pytest\r\nimport replaykit\r\n\r\n\r\ndef test_own'
    )
    assert text.count("\n") == text.count("\r\n")
    assert os.stat("test_own.py").st_mode & 0o777 == 0o640
    with pytest.raises(replaykit.errors.StorageError, match="has changed meanwhile"):
        late.write()
    assert Path("test_own.py").read_bytes().decode() == text
    assert [path.name for path in Path("recordings").rglob("*.rpk")] == ["test_a_day_with_notes.rpk"]


def test_nothing_recorded_becomes_code() -> None:
    """Names of arguments, sessions and operations are texts, whatever they hold."""
    evil = 'x=__import__("os").abort()'
    with replaykit.Recorder("runs.rpk") as recorder, recorder.session(f'""")\n{evil}\n\u202e"""'):

        class Anything:
            def find(self, **arguments: Any) -> Any:
                return [evil, '"""', "\u202e"] if arguments else Structured("a.B", {evil: 1, "class": 2})

        recorder.wrap(Anything()).find(**{evil: evil, "class": 1, "ﬁne": 2, "k": 3})
        recorder.wrap(Anything()).find()

    made = new_test(replaykit.load("runs.rpk").get_session("last"), "test_evil.py", folders=[])

    calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(made.source)) if isinstance(node, ast.Call)]
    assert sorted(calls) == ["anything.find", "anything.find", "replaykit.wrap"]
    assert "\u202e" not in made.source
