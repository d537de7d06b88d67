"""Recorded exceptions come back as their own class where it is built in, ours or declared."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import pytest

import replaykit
from replaykit.errors import RecordedError, UsageError
from replaykit.format.thaw import thaw
from replaykit.playback.rebuilding import error_of


class Plain(Exception):
    """Its arguments are those of its constructor."""


class Coded(Exception):
    """Its constructor sets what the arguments say."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


class Worded(Exception):
    """Its constructor takes something else than it hands on, and does something."""

    made = 0

    def __init__(self, code: int, reason: str) -> None:
        type(self).made += 1
        super().__init__(f"{reason} ({code})")


class Doubling(Exception):
    """Its constructor takes one argument and keeps another."""

    def __init__(self, text: str) -> None:
        super().__init__(text * 2)


class Missing(KeyError):
    """Of a built-in family."""


class Outer:
    """A home for a nested one."""

    class Inner(Exception):
        """Named by its qualified name."""


ERRORS = {
    "plain": Plain("a", 1),
    "coded": Coded(404, "gone"),
    "worded": Worded(3, "broken"),
    "doubling": Doubling("ab"),
    "missing": Missing("k"),
    "inner": Outer.Inner("x"),
    "exit": SystemExit(3),
    "group": ExceptionGroup("several", [ValueError("v"), Coded(1, "one")]),
}
DECLARED = [Plain, Coded, Worded, Doubling, Missing, Outer.Inner]


@replaykit.records("tool")
def fail(how: str) -> None:
    raise ERRORS[how]


@replaykit.records("tool", raises=(Coded, Plain))
def fail_as_said(how: str) -> None:
    raise ERRORS[how]


def failure_of(call: Any, how: str) -> BaseException:
    with pytest.raises(BaseException) as caught:
        call(how)
    return caught.value


def record(call: Any, how: str) -> None:
    with replaykit.session(store="runs.rpk"), contextlib.suppress(BaseException):
        call(how)


@pytest.mark.parametrize("how", ["plain", "coded", "worded", "doubling", "missing", "inner"])
def test_declared_classes_come_back_as_themselves(how: str) -> None:
    record(fail, how)

    with replaykit.play("runs.rpk", exceptions=DECLARED):
        error = failure_of(fail, how)

    expected = ERRORS[how]
    assert type(expected) is type(error)
    assert (expected.args, str(expected)) == (error.args, str(error))


def test_a_constructor_that_fits_sets_its_attributes() -> None:
    record(fail, "coded")

    with replaykit.play("runs.rpk", exceptions=[Coded]), pytest.raises(Coded) as caught:
        fail("coded")
    assert caught.value.code == 404


def test_a_constructor_that_does_not_fit_is_not_run() -> None:
    record(fail, "worded")
    before = Worded.made

    with replaykit.play("runs.rpk", exceptions=[Worded]), pytest.raises(Worded):
        fail("worded")
    assert before == Worded.made


def test_a_function_may_declare_what_it_raises() -> None:
    """By `raises=`, for itself only."""
    with replaykit.session(store="runs.rpk"):
        for call in (fail_as_said, fail):
            with contextlib.suppress(Coded):
                call("coded")

    with replaykit.play("runs.rpk"):
        assert type(failure_of(fail_as_said, "coded")) is Coded
        assert type(failure_of(fail, "coded")) is RecordedError


def test_a_row_may_declare_what_a_method_raises() -> None:
    class Store:
        def find(self, query: str) -> None:
            raise Coded(1, query)

    row = replaykit.Operation(kind="find", raises=Coded)
    store = replaykit.wrap(Store(), store="runs.rpk", operations={"find": row})
    record(store.find, "a")

    with replaykit.play("runs.rpk"):
        assert type(failure_of(store.find, "a")) is Coded


def test_a_class_of_the_same_name_elsewhere_is_another() -> None:
    """Only the qualified name counts, and nothing is imported on a recording's word."""
    record(fail, "plain")
    same_name = type("Plain", (Exception,), {"__module__": "elsewhere"})

    with replaykit.play("runs.rpk", exceptions=[same_name]):
        assert type(failure_of(fail, "plain")) is RecordedError


def test_built_in_exceptions_have_their_attributes() -> None:
    record(fail, "exit")

    with replaykit.play("runs.rpk"):
        error = failure_of(fail, "exit")
    assert isinstance(error, SystemExit)
    assert error.code == 3


def test_a_group_comes_back_with_its_members() -> None:
    record(fail, "group")

    with replaykit.play("runs.rpk", exceptions=[Coded]):
        error = failure_of(fail, "group")
    assert isinstance(error, ExceptionGroup)
    assert [ValueError, Coded] == [type(member) for member in error.exceptions]


# -- what an exception holds beside its arguments -----------------------------------------


class Filed(OSError):
    """Its constructor takes something else than it hands on."""

    def __init__(self, path: str) -> None:
        super().__init__(2, "gone", path)


class Client:
    """What has no stored form."""


def with_notes(error: BaseException, *notes: str) -> BaseException:
    for note in notes:
        error.add_note(note)
    return error


HOLDING = {
    "missing file": FileNotFoundError(2, "No such file or directory", "/no/such"),
    "two files": OSError(2, "No such file or directory", "/a", None, "/b"),
    "bytes": PermissionError(13, "Permission denied", b"/a"),
    "path": IsADirectoryError(21, "Is a directory", pathlib.Path("/a")),
    "descriptor": OSError(9, "Bad file descriptor", 7),
    "module": ModuleNotFoundError("No module named 'a.b'", name="a.b", path="/a.py"),
    "attribute": AttributeError("'str' object has no attribute 'b'", name="b", obj="a"),
    "name": NameError("name 'a' is not defined", name="a"),
    "notes": with_notes(ValueError("a"), "a hint", "another"),
    "inside": ExceptionGroup("g", [with_notes(FileNotFoundError(2, "gone", "/a"), "in a group")]),
}


def held(error: BaseException) -> dict[str, Any]:
    names = ("errno", "strerror", "filename", "filename2", "name", "path", "obj", "__notes__")
    found = {name: getattr(error, name, None) for name in names}
    members = error.exceptions if isinstance(error, ExceptionGroup) else ()
    return {**found, "text": str(error), "class": type(error), "members": [held(member) for member in members]}


@replaykit.records("tool")
def fail_holding(how: str) -> None:
    raise HOLDING[how]


@pytest.mark.parametrize("how", HOLDING)
def test_a_built_in_exception_holds_what_it_held(how: str) -> None:
    """File names, the names that were not found, notes."""
    record(fail_holding, how)

    with replaykit.play("runs.rpk"):
        error = failure_of(fail_holding, how)

    assert held(HOLDING[how]) == held(error)


def test_a_declared_subclass_holds_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is made past its constructor."""
    monkeypatch.setitem(HOLDING, "filed", with_notes(Filed("/a"), "a hint"))
    record(fail_holding, "filed")

    with replaykit.play("runs.rpk", exceptions=[Filed]):
        error = failure_of(fail_holding, "filed")

    assert held(HOLDING["filed"]) == held(error)


def test_an_object_that_cannot_be_kept_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception is as good as it was without it, and so is its action; neither is a document kept for it."""
    for obj in (Client(), "x" * 100_000):
        monkeypatch.setitem(HOLDING, "foreign", AttributeError("no", name="find", obj=obj))
        record(fail_holding, "foreign")

        with replaykit.play("runs.rpk") as player:
            error = failure_of(fail_holding, "foreign")
        assert isinstance(error, AttributeError)
        assert (error.name, error.obj) == ("find", None)
        assert player.session.actions[0].flags == frozenset()


def test_secrets_in_notes_and_names_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-proj-" + "aB3" * 20
    monkeypatch.setitem(HOLDING, "secret", with_notes(FileNotFoundError(2, "gone", f"/{key}"), f"with {key}"))
    record(fail_holding, "secret")

    with replaykit.play("runs.rpk"):
        error = failure_of(fail_holding, "secret")

    assert key not in repr(held(error))
    assert "redacted" in error.__notes__[0]


def test_an_exception_as_an_argument_is_known_by_its_arguments() -> None:
    """Notes are added on the way, and older recordings have none."""

    @replaykit.records("tool")
    def explain(error: Exception) -> str:
        return "so"

    with replaykit.session(store="runs.rpk"):
        explain(ValueError("a"))
    with replaykit.play("runs.rpk"):
        assert explain(with_notes(ValueError("a"), "later")) == "so"


@pytest.mark.parametrize("attributes", [None, 7, {"filename": 7, "notes": 3}, {"notes": [7, "a"]}])
def test_what_no_recorder_writes_of_it_is_read_all_the_same(attributes: Any) -> None:
    """A hostile or newer recording costs at most what it says there."""
    failure = thaw({"~t": "error", "~v": ["ValueError", "a", ["a"], attributes]})

    error = error_of(failure)

    assert (type(error), error.args) == (ValueError, ("a",))
    assert all(isinstance(note, str) for note in getattr(error, "__notes__", ()))


@pytest.mark.parametrize("given", [[3], ["ValueError"], [int]])
def test_what_is_no_exception_class_is_a_usage_error(given: Any) -> None:
    record(fail, "plain")

    with pytest.raises(UsageError, match="is no exception class"):
        replaykit.play("runs.rpk", exceptions=given)
    with pytest.raises(UsageError, match="is no exception class"):
        replaykit.records("tool", raises=given)
