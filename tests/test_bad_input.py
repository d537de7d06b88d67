"""
Bad input: the caller's result is unharmed, or a typed error says what to do; nothing recorded is lost.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import (
    RecordingError,
    RedactionError,
    ReplaykitError,
    ReplaykitWarning,
    SessionNotFoundError,
    UsageError,
)
from replaykit.format.names import safe_name

ODD_TEXTS = {
    "empty": "",
    "space": " ",
    "c++": "c++",
    "operators": "NOT AND",
    "quotes": '"unclosed OR (',
    "star": "* - ^ col:x",
    "emoji": "😀 🏳️‍🌈",
    "surrogate": "lone \ud800 half",
    "nul": "nul\x00inside",
    "controls": "\x1b[31m\x07\r\n\u2028\u202e",
    "path": "../../etc/hosts",
    "sql": "'; DROP TABLE frames; --",
    "long": "word " * 5000,
}
odd_text = pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)


@pytest.fixture(params=[":memory:", "notes.mv"])
def mv(request: pytest.FixtureRequest) -> Iterator[replaykit.Memory]:
    """A memory in RAM and one in a file; losing an action fails the test."""
    with replaykit.open(request.param, on_loss="raise") as memory:
        yield memory


@pytest.fixture
def recorder() -> Iterator[replaykit.Recorder]:
    """A recorder into a file; losing an action fails the test."""
    with replaykit.Recorder("runs.rpk", on_loss="raise") as opened:
        yield opened


def actions_of(session: Any) -> list[replaykit.ReplayAction]:
    assert session.result is not None
    return list(session.result.actions)


# -- odd texts -----------------------------------------------------------------------


@odd_text
def test_any_text_is_a_content_or_refused_in_words(mv: replaykit.Memory, text: str) -> None:
    """What comes back is what was put; a text that cannot be stored is a typed error, recorded as one."""
    with mv.session() as session:
        try:
            frame_id = mv.put(text, title="t")
        except ReplaykitError:
            assert actions_of_open(mv)[0].error is not None
        else:
            assert mv.get(frame_id).content == text
    actions = actions_of(session)
    assert actions[0].kind == "put"
    assert actions[0].arguments["content"] == text


def actions_of_open(memory: replaykit.Memory) -> list[replaykit.ReplayAction]:
    """Read the session that is still being recorded."""
    assert memory.active_session_id is not None
    return list(memory.get_session(memory.active_session_id).actions)


@odd_text
def test_any_text_is_a_query(mv: replaykit.Memory, text: str) -> None:
    """Find and ask never trip over it, and record it as it was."""
    mv.put("c++ is not and never was a word of SQL 😀")
    with mv.session() as session:
        found, answer = mv.find(text), mv.ask(text)

    for action, output in zip(actions_of(session), (found, answer), strict=True):
        assert action.error is None
        assert action.arguments.get("query", action.arguments.get("question")) == text
        assert action.output == output


@odd_text
def test_any_text_is_an_argument(recorder: replaykit.Recorder, text: str) -> None:
    """As value, key, item and result of a recorded function."""

    @replaykit.records("tool")
    def echo(value: str, table: dict[str, Any]) -> Any:
        return [value, table]

    with recorder.session() as session:
        assert echo(text, {text: text}) == [text, {text: text}]

    action = actions_of(session)[0]
    assert action.arguments == {"value": text, "table": {text: text}}
    assert action.output == [text, {text: text}]


@odd_text
@pytest.mark.parametrize("store", ["runs.rpk", "runs/", ":memory:"])
def test_a_name_is_never_a_path(store: str, text: str) -> None:
    """A session may be called anything; no file but the store's own appears anywhere."""
    folder = Path("inside")
    folder.mkdir()
    location = store if store == ":memory:" else str(folder / store) + ("/" if store.endswith("/") else "")
    with replaykit.Recorder(location) as recorder:
        with recorder.session(text, metadata={"note": text}) as session:
            session.record("tool", name=text, arguments={"x": text})

        assert session.result.metadata["note"] == text
        assert session.result.name == safe_name(text)
        assert recorder.get_session(session.id).actions[0].arguments == {"x": text}

    assert [path.name for path in Path(".").iterdir()] == ["inside"]
    assert all(path.name.startswith("runs") for path in folder.iterdir())


def test_a_function_with_an_odd_name_is_recorded(recorder: replaykit.Recorder) -> None:
    """Names come from user code as well."""
    row = replaykit.Operation(kind="tool", name="../\x00\ud800", source="\udfff")
    with recorder.session() as session:
        assert session.record(row, arguments={"a": 1}) == 0
        assert session.record("tool", name="after") == 1

    assert [action.arguments for action in actions_of(session)] == [{"a": 1}, {}]


# -- wrong calls ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda mv: mv.put(5),
        lambda mv: mv.put("x", metadata={"o": object()}),
        lambda mv: mv.put("x", metadata=[1]),
        lambda mv: mv.put_many(["a", object()]),
        lambda mv: mv.find(None),
        lambda mv: mv.find("x", k=-1),
        lambda mv: mv.find("x", mode="psychic"),
        lambda mv: mv.ask("x", model="nobody"),
        lambda mv: mv.update(99, "x"),
        lambda mv: mv.delete("one"),
        lambda mv: mv.get(10**30),
    ],
)
def test_a_wrong_call_is_a_typed_error_and_recorded(mv: replaykit.Memory, call: Callable[[Any], Any]) -> None:
    """The session goes on, and what was recorded before stays."""
    with mv.session() as session:
        mv.put("before")
        with pytest.raises(UsageError) as caught:
            call(mv)
        mv.put("after")

    before, wrong, after = actions_of(session)
    assert len(str(caught.value)) > 10
    assert (before.error, after.error) == (None, None)
    assert wrong.error is not None and wrong.error.message == str(caught.value)


def test_a_call_that_does_not_fit_is_the_targets_own_error(recorder: replaykit.Recorder) -> None:
    """The TypeError that Python gives, recorded with what was passed."""

    @replaykit.records("find")
    def search(query: str) -> None: ...

    with recorder.session() as session, pytest.raises(TypeError, match="unexpected keyword"):
        search("q", wrong=1)  # type: ignore[call-arg]  # wrong on purpose

    assert actions_of(session)[0].error.type == "TypeError"


def test_a_generator_that_raises_gives_its_items_and_its_error(recorder: replaykit.Recorder) -> None:
    """To the consumer and to the recording."""

    @replaykit.records("tool")
    def rows() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    got = []
    with recorder.session() as session, pytest.raises(ValueError, match="torn"):
        for row in rows():
            got.append(row)

    action = actions_of(session)[0]
    assert (got, action.output, action.error.message) == ([1], [1], "torn")


def test_an_abandoned_generator_is_closed_and_kept(recorder: replaykit.Recorder) -> None:
    """Its own cleanup runs; the items so far are there."""
    cleaned = []

    @replaykit.records("tool")
    def rows() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            cleaned.append(True)

    with recorder.session() as session:
        for row in rows():
            if row == 2:
                break
        gc.collect()

    action = actions_of(session)[0]
    assert cleaned == [True]
    assert action.output == [0, 1, 2]
    assert "abandoned" in action.flags


# -- wrong sessions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata",
    [{"big": "x" * 100_000}, {1: "a"}, {("a",): 1}, {"\ud800": 1}, [("a", 1)], "text", 5],
    ids=["large", "number key", "tuple key", "surrogate key", "pairs", "text", "number"],
)
def test_metadata_that_cannot_be_kept_is_refused(mv: replaykit.Memory, metadata: Any) -> None:
    """Before anything is opened; the message says what metadata is. Annotating is refused alike."""
    with mv.session("kept") as kept:
        mv.put("x")
        if isinstance(metadata, dict) and all(isinstance(key, str) for key in metadata):
            with pytest.raises(UsageError, match="metadata"):
                kept.annotate(**metadata)
    with pytest.raises((UsageError, TypeError, ValueError)), mv.session(metadata=metadata):
        pass

    assert [item.name for item in mv.list_sessions()] == ["kept"]
    assert kept.result.metadata == {}


def test_odd_metadata_is_kept_as_far_as_it_goes(mv: replaykit.Memory) -> None:
    """Values by the table; a foreign object becomes a marker."""
    loop: list[Any] = []
    loop.append(loop)
    with mv.session(metadata={"o": object(), "loop": loop, "t": (1, 2)}) as session:
        session.annotate(deep=[[[[1]]]])

    kept = session.result.metadata
    assert (kept["t"], kept["deep"]) == ((1, 2), [[[[1]]]])
    assert isinstance(kept["o"], replaykit.Opaque)


@pytest.mark.parametrize("name", [5, b"bytes", ["list"], object()])
def test_a_name_that_is_no_text_is_refused(mv: replaykit.Memory, name: Any) -> None:
    """With what a name is; nothing is opened."""
    with pytest.raises(UsageError, match="name is a text"):
        mv.start_session(name)

    assert (mv.is_recording, mv.list_sessions()) == (False, [])


@pytest.mark.parametrize("which", [5, None, b"last", ["last"]])
def test_what_names_no_session_is_refused(mv: replaykit.Memory, which: Any) -> None:
    """A UUID, a text, a summary or a session."""
    for use in (mv.get_session, mv.delete_session):
        with pytest.raises(UsageError):
            use(which)


@pytest.mark.parametrize("which", ["", "last", "../x", "\x00", "\ud800", "abc", "12345678-1234"])
def test_a_text_that_names_no_session_is_not_found(mv: replaykit.Memory, which: str) -> None:
    """The same error whatever it looks like."""
    with pytest.raises(SessionNotFoundError):
        mv.get_session(which)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stroe": "x"}, "stroe"),
        ({"capture": "all"}, "full, preview, hash"),
        ({"durability": "fast"}, "always, group, os"),
        ({"on_loss": "panic"}, "warn, raise, ignore"),
        ({"sample_rate": 2}, "between 0.0 and 1.0"),
        ({"sample_rate": "half"}, "between 0.0 and 1.0"),
        ({"redact": 5}, "redact"),
        ({"metadata": 5}, "metadata"),
        ({"auto_checkpoint": "often"}, "every"),
        ({"capture": ["full"]}, "full, preview, hash"),
    ],
)
def test_a_wrong_option_says_what_to_give(options: dict[str, Any], named: str) -> None:
    """For each way to give it; no file is made."""
    for use in (
        lambda: replaykit.open("notes.mv", **options),
        lambda: replaykit.Recorder("runs.rpk", **options),
        lambda: replaykit.configure(**options),
    ):
        with pytest.raises(UsageError, match=named):
            use()

    assert list(Path(".").iterdir()) == []


@pytest.mark.parametrize("redact", ["secretz", ("secrets", "nothing"), (5,)])
def test_an_unknown_rule_set_says_which_are_known(redact: Any) -> None:
    """A recording that was to be redacted is never made without."""
    with pytest.raises(RedactionError, match="secrets"):
        replaykit.Recorder("runs.rpk", redact=redact)


@pytest.mark.parametrize("kind", ["search", "", "checkpoint", "PUT"])
def test_an_unknown_kind_lists_the_known_ones(recorder: replaykit.Recorder, kind: str) -> None:
    """By hand, as a decorator, as a row, in a map; what was recorded before stays."""

    class Store:
        def search(self) -> None: ...

    with recorder.session() as session:
        session.record("tool", name="kept")
        for use in (
            lambda: session.record(kind),
            lambda: replaykit.records(kind),
            lambda: replaykit.Operation(kind=kind),
            lambda: recorder.wrap(Store(), {"search": kind}),
        ):
            with pytest.raises(UsageError, match="put_many"):
                use()

    assert [action.name for action in actions_of(session)] == ["kept"]


def test_recording_by_hand_into_an_ended_session_is_an_error(recorder: replaykit.Recorder) -> None:
    """Typed; the session is as it was."""
    with recorder.session() as session:
        session.record("tool", name="kept")

    for use in (lambda: session.record("tool"), session.checkpoint, lambda: session.annotate(a=1)):
        with pytest.raises(replaykit.errors.NoActiveSessionError, match="^No active session"):
            use()
    assert len(actions_of(session)) == 1


# -- redactors ----------------------------------------------------------------------------


def failing(path: tuple[str | int, ...], value: Any) -> Any:
    raise RuntimeError(f"cannot redact {value}")


def wrong(path: tuple[str | int, ...], value: Any) -> Any:
    return object()


def picky(path: tuple[str | int, ...], value: Any) -> Any:
    if value == "poison":
        raise RuntimeError("poison")
    return value


@pytest.mark.parametrize("redactor", [failing, wrong])
@pytest.mark.parametrize("capture", ["full", "preview", "hash"])
def test_a_failing_redactor_drops_the_payload_never_the_call(redactor: Any, capture: str) -> None:
    """The caller gets its result; the action is there without a byte of what could not be redacted."""
    secret = "nobody may read this"

    @replaykit.records("find")
    def search(query: str) -> str:
        return secret + query

    with replaykit.Recorder("runs.rpk", redact=redactor, capture=capture, on_loss="ignore") as recorder:
        with recorder.session() as session:
            assert search(secret) == secret + secret
            live = b"".join(path.read_bytes() for path in Path(".").iterdir())

        action = actions_of(session)[0]
        assert (action.kind, action.error) == ("find", None)
        assert "unreplayable" in action.flags
        assert session.result.lost > 0
        assert secret not in repr((action.arguments, action.output, action.action_type, action.input_preview))
    assert secret.encode() not in live + Path("runs.rpk").read_bytes()


def test_a_failing_redactor_is_reported_at_the_end() -> None:
    """As lost payloads: a warning by default, an error when asked for."""
    for on_loss, expected in (("warn", ReplaykitWarning), ("raise", RecordingError)):
        with replaykit.Recorder(f"{on_loss}.rpk", redact=failing, on_loss=on_loss) as recorder:
            with pytest.raises(expected, match="could not be kept"), recorder.session() as session:
                session.record("tool", name="f", arguments={"x": "y"})
            assert len(actions_of(session)) == 1


def test_only_the_payload_that_fails_is_dropped() -> None:
    """The calls before and after it are whole."""
    with replaykit.Recorder("runs.rpk", redact=picky, on_loss="ignore") as recorder:
        with recorder.session() as session:
            for word in ("before", "poison", "after"):
                session.record("tool", name="f", arguments={"word": word}, output="result")

        before, dropped, after = actions_of(session)
        assert (before.arguments, after.arguments) == ({"word": "before"}, {"word": "after"})
        assert "poison" not in repr(dict(dropped.arguments))
        assert dropped.output == "result"


def test_an_error_that_cannot_be_redacted_is_kept_without_its_words() -> None:
    """The exception reaches the caller as it is."""

    @replaykit.records("tool")
    def fail() -> None:
        raise LookupError("poison")

    with replaykit.Recorder("runs.rpk", redact=picky, on_loss="ignore") as recorder:
        with recorder.session() as session, pytest.raises(LookupError, match="poison"):
            fail()

        action = actions_of(session)[0]
        assert action.error is not None
        assert "poison" not in repr(action.error)


# -- environment -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["REPLAYKIT_CAPTURE", "REPLAYKIT_REDACT"])
def test_a_wrong_environment_is_an_error_not_a_guess(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A typing mistake must not mean less privacy."""
    monkeypatch.setenv(name, "hsah")

    with pytest.raises(ReplaykitError, match="hsah"):
        replaykit.Recorder("runs.rpk")


def test_nothing_of_this_warns_or_prints(mv: replaykit.Memory, capfd: pytest.CaptureFixture[str]) -> None:
    """A recording of odd calls is as silent as any."""
    with warnings.catch_warnings(record=True) as caught, mv.session():
        mv.put("\x00")
        mv.find("NOT AND")

    assert caught == []
    assert capfd.readouterr() == ("", "")


def test_a_memvid_memory_given_to_open_says_what_to_do(tmp_path: Path) -> None:
    """It is wrapped, not opened; no byte of it changes."""
    path = tmp_path / "memory.mv2"
    path.write_bytes(b"MV2\x00\x01\x02" + bytes(1000))
    before = path.read_bytes()

    with pytest.raises(replaykit.errors.NotAStoreError, match=r"replaykit\.wrap"):
        replaykit.open(path)
    assert path.read_bytes() == before
