"""A test's recording is the same bytes for the same calls, and is written whole or not at all."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from regression import noting
from regression.noting import IDENTITY, Clock, session_in

import replaykit
from replaykit.errors import (
    LockedError,
    NotAStoreError,
    PlaybackError,
    ReadOnlyError,
    SecretFoundError,
    StorageError,
    UsageError,
)
from replaykit.format.segment import read_head
from replaykit.model import ReplaySession
from replaykit.protocols import Store
from replaykit.regression.replacing import one_at_a_time
from replaykit.regression.writing import id_of_test, is_of_test, recording_bytes, same_calls, write_recording
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.files import SystemFiles
from replaykit.storage.opening import open_store
from replaykit.testing.contracts import make_part
from replaykit.testing.files import FaultyFiles

KEY = "sk-proj-" + "a1B2c3D4" * 5


@pytest.fixture(scope="module")
def session() -> Iterator[ReplaySession]:
    """Every shape of call, from a store in RAM."""
    with session_in(":memory:") as session:
        yield session


@pytest.fixture(scope="module")
def data(session: ReplaySession) -> bytes:
    return recording_bytes(IDENTITY, [(session, None)])


def loaded(path: Path, data: bytes) -> replaykit.Recording:
    write_recording(path, data)
    return replaykit.load(path, recovery="strict")


Recorded = Callable[..., ReplaySession]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Return what makes a session in RAM of calls that are recorded by hand, each as query and output."""
    with ExitStack() as recorders:

        def record(*calls: tuple[str, Any], **settings: Any) -> ReplaySession:
            recorder = recorders.enter_context(replaykit.Recorder(":memory:", **settings))
            with recorder.session("by hand") as session:
                for query, output in calls:
                    session.record("find", name="search", arguments={"query": query}, output=output)
            return session.result

        yield record


def published(store: Store, entries: Iterable[dict[str, Any]]) -> ReplaySession:
    """Return a session of *entries* that is put into *store* without a recorder."""
    numbered = [{**entry, "i": number, "t": number} for number, entry in enumerate(entries)]
    part = attrs.evolve(make_part(uuid4()), actions=numbered)
    store.publish(part)
    return Catalogue(store).get_session(part.opening.session_id)


# -- equal calls, equal bytes ---------------------------------------------------------


@pytest.mark.parametrize("store", ["runs.rpk", "runs/", "notes.mv"])
def test_the_kind_of_store_and_the_clock_do_not_show(tmp_path: Path, data: bytes, store: str) -> None:
    """Recorded a hundred years later, by a machine a thousand times slower."""
    with session_in(f"{tmp_path}/{store}", Clock(4_900_000_000 * 10**9, 10**9)) as later:
        assert recording_bytes(IDENTITY, [(later, None)]) == data


def test_a_recording_recorded_again_is_itself(tmp_path: Path, session: ReplaySession, data: bytes) -> None:
    """Normalising a second time changes nothing, also from its two halves."""
    with loaded(tmp_path / "a.rpk", data) as recording:
        again = recording.get_session("last")
        count = len(again.actions)

        assert recording_bytes(IDENTITY, [(again, None)]) == data
        halves = [(again, range(3)), (session, range(4, count + 1))]
        assert recording_bytes(IDENTITY, halves) == data


def test_the_identity_shows_in_name_and_id(session: ReplaySession, data: bytes) -> None:
    """Another test has another file, though it makes the same calls."""
    other = recording_bytes("test_notes.py::test_other", [(session, None)])

    assert read_head(other).file_id != read_head(data).file_id
    assert id_of_test(IDENTITY) != id_of_test("test_notes.py::test_other")
    # Recordings in repositories have it: it never changes.
    assert id_of_test(IDENTITY).hex == "7e2fcbcc7b115055aab4c41b6d3b0943"


@given(st.text(min_size=1))
def test_any_text_is_an_identity(identity: str) -> None:
    """Slashes, emoji, lone surrogates, very long ones."""
    assert recording_bytes(identity, []) == recording_bytes(identity, [])


def test_the_mark_of_a_file_depends_on_what_is_in_it(recorded: Recorded) -> None:
    """So nothing that is recorded can hold what looks like a block of its own file."""
    marks = {read_head(recording_bytes("t", [(recorded((query, 1)), None)])).sync for query in "ab"}

    assert len(marks) == 2


# -- what is in it --------------------------------------------------------------------


def test_everything_but_the_run_is_kept(tmp_path: Path, session: ReplaySession, data: bytes) -> None:
    """Arguments, outputs, errors, flags, frames, hashes, previews and parents; it verifies."""
    with loaded(tmp_path / "a.rpk", data) as recording:
        assert recording.verify()
        again = recording.get_session("last")
        before = [action for action in session.actions if action.kind != "checkpoint"]

        assert (again.name, again.session_id, again.state) == (IDENTITY, id_of_test(IDENTITY), "sealed")
        assert (again.created_secs, again.checkpoints, again.metadata) == (946684800, [], {})
        assert (again.memory_id, again.start_generation, again.redaction) == (None, None, session.redaction)
        assert is_of_test(again)
        assert not is_of_test(session)
        assert [action.sequence for action in again.actions] == list(range(len(before)))
        assert {(action.duration_ns, action.generation) for action in again.actions} == {(0, None)}
        for old, new in zip(before, again.actions, strict=True):
            for field in ("kind", "name", "source", "arguments", "output", "error", "flags", "affected_frames",
                          "input_hash", "output_hash", "input_preview", "output_preview", "action_type"):  # fmt: skip
                assert getattr(new, field) == getattr(old, field)
            assert new.parent == (None if old.parent is None else old.parent - 1)
        assert any(action.parent is not None for action in again.actions)
        assert any("unfinished" in action.flags for action in again.actions)


def test_a_changed_byte_is_damage(tmp_path: Path, data: bytes) -> None:
    """Never a shorter recording: the file was whole when it got its name."""
    path = tmp_path / "a.rpk"
    for at in range(40, len(data), len(data) // 30):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(StorageError):
            replaykit.load(path, recovery="strict")
        with suppress(StorageError), replaykit.load(path) as recording:
            assert recording_bytes(IDENTITY, [(recording.get_session("last"), None)]) == data


def test_it_plays(tmp_path: Path, data: bytes) -> None:
    """All of it, with errors, streams and what was unfinished."""
    write_recording(tmp_path / "a.rpk", data)

    with replaykit.play(tmp_path / "a.rpk") as player:
        noting.search("paris")
        assert len(noting.answer("Where is Paris?")) > 40_000
        assert noting.price("12.50")[1] == {"EUR", "USD", "CHF"}
        assert list(noting.words("a b")) == ["a", "b"]
        asyncio.run(noting._later())
        with pytest.raises(ValueError, match="no price"):
            noting.price("free")
        with pytest.raises(PlaybackError, match="unfinished"):
            list(noting.words("c d"))
    assert player.all_played


def test_only_the_tests_own_metadata_are_kept(tmp_path: Path, session: ReplaySession) -> None:
    """What the recorder noted of the run is left out; the order does not matter."""
    given = {"b": 1, "a": (2,), "replaykit.account": {"redacted": {"key": 3}}}
    both = [recording_bytes("t", [(session, None)], metadata=each) for each in (given, dict(reversed(given.items())))]

    with loaded(tmp_path / "a.rpk", both[0]) as recording:
        assert recording.get_session("last").metadata == {"a": (2,), "b": 1}
    assert both[0] == both[1]


def test_chosen_actions_come_in_the_order_that_is_given(
    tmp_path: Path, session: ReplaySession, recorded: Recorded
) -> None:
    """Of several sources one after the other; a call goes with the one that made it."""
    (child,) = [action for action in session.actions if action.parent is not None]
    wanted = [(session, [4, child.sequence, 1]), (recorded(("x", 1)), None), (session, [child.parent, child.sequence])]

    with loaded(tmp_path / "a.rpk", recording_bytes("t", wanted)) as recording:
        found = [(action.name, action.parent) for action in recording.get_session("last").actions]
    names = {action.sequence: action.name for action in session.actions}
    assert found == [(names[4], None), (names[1], None), ("search", None), ("answer", None), (child.name, 3)]


def test_a_test_without_calls_has_a_recording(tmp_path: Path) -> None:
    """It says that none are made."""
    with loaded(tmp_path / "a.rpk", recording_bytes("t", [])) as recording:
        assert recording.verify()
        assert len(recording.get_session("last").actions) == 0


@pytest.mark.parametrize("wanted", [[0, 99], [1, 1], [-1], [3, 2]])
def test_sequences_that_make_no_session_are_refused(session: ReplaySession, wanted: list[int]) -> None:
    """Unknown ones, one twice, a child before the call that made it."""
    assert session.actions[3].parent == 2
    with pytest.raises(UsageError, match="no action|twice|must come before"):
        recording_bytes("t", [(session, wanted)])


def test_sources_must_be_playable_together(session: ReplaySession, recorded: Recorded) -> None:
    """One redaction, whole bodies, from a store of ours; and the test has a name."""
    for sources, why in (
        ([(session, None), (recorded(("x", 1), redact=()), None)], "different redaction"),
        ([(recorded(("x", 1), capture="hash"), None)], "capture='hash'"),
        ([(ReplaySession(session_id=id_of_test("x"), name=None, created_ns=0, ended_ns=0, actions=[]), None)], "store"),
    ):
        with pytest.raises(UsageError, match=why):
            recording_bytes("t", sources)
    with pytest.raises(UsageError, match="name"):
        recording_bytes("", [])


def test_what_a_source_lacks_is_said(tmp_path: Path) -> None:
    """An interrupted session with a hole: a child without its parent is no call of the test's."""
    with closing(open_store(tmp_path / "cut.rpk")) as store:
        part = make_part(id_of_test("cut"), [0, 2, 5], state="interrupted")
        part.actions[2]["p"] = 1
        store.publish(attrs.evolve(part, sealing=attrs.evolve(part.sealing, lost=1)))
    with replaykit.load(tmp_path / "cut.rpk") as cut:
        data = recording_bytes("t", [(cut.get_session("last"), None)])
    with loaded(tmp_path / "a.rpk", data) as recording:
        again = recording.get_session("last")
        assert (again.state, again.lost, again.playable.verdict) == ("sealed", 1, "partly")
        assert [action.sequence for action in again.actions] == [0, 1]


# -- secrets --------------------------------------------------------------------------


def test_a_secret_is_found_wherever_it_stands() -> None:
    """Says where and by which rule, never what; also what was recorded without redaction."""
    with replaykit.Recorder(":memory:", redact=()) as recorder:
        with recorder.session("raw") as session:
            session.record("find", arguments={"query": "fine"}, output=[1])
            session.record("find", arguments={"query": f"pw {KEY}"})
            session.record("tool", name="t", output={"deep": [KEY]})
            session.record("tool", name="t", error=ValueError(f"no {KEY}"))
            session.record("tool", name=f"call {KEY}")

        for wanted, field in ((1, "arguments.query"), (2, "output"), (3, "error"), (4, "name")):
            with pytest.raises(SecretFoundError) as caught:
                recording_bytes("t", [(session.result, [0, wanted])])
            assert (caught.value.action, caught.value.field, caught.value.rule) == (1, field, "openai")
            assert KEY[8:20] not in str(caught.value)
        assert recording_bytes("t", [(session.result, [0])])


@pytest.mark.parametrize("where", ["name", "metadata.token"])
def test_a_secret_in_name_or_metadata_is_found(where: str) -> None:
    """A parameter of a test is a name like any other."""
    identity, metadata = (f"test_x[{KEY}]", {}) if where == "name" else ("test_x", {"token": "hunter2!zq"})

    with pytest.raises(SecretFoundError, match=rf"the session's {where}.*nothing was written") as caught:
        recording_bytes(identity, [], metadata=metadata)
    assert caught.value.action is None
    assert "hunter" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_what_was_redacted_is_no_secret(recorded: Recorded) -> None:
    """The same calls, recorded as usual; nor is a person's data that nobody asked to hide."""
    assert recording_bytes("t", [(recorded((f"pw {KEY}", KEY), ("bob@example.com", 1)), None)])


# -- the file -------------------------------------------------------------------------


def test_folders_are_made_and_the_file_is_private(tmp_path: Path, data: bytes) -> None:
    """Nothing else is left beside it."""
    path = tmp_path / "recordings" / "test_notes" / "a.rpk"

    write_recording(path, b"")
    write_recording(path, data)

    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_goes_on_with_the_old_recording(tmp_path: Path, data: bytes) -> None:
    """It is replaced, not written over."""
    path = tmp_path / "a.rpk"
    with loaded(path, data) as recording:
        before = recording.get_session("last")
        write_recording(path, recording_bytes("t", []))

        assert len(list(before.actions)) == len(before.actions) > 0


def test_equal_bytes_are_not_written_again(tmp_path: Path, data: bytes) -> None:
    """Time and inode stay: nothing for git to look at."""
    path = tmp_path / "a.rpk"
    write_recording(path, data)
    before = path.stat()

    write_recording(path, data)

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_is_no_recording_is_left_as_it_is(tmp_path: Path, data: bytes) -> None:
    """A symlink, a text, a folder."""
    (tmp_path / "target.rpk").write_bytes(data)
    (tmp_path / "link.rpk").symlink_to("target.rpk")
    (tmp_path / "text.rpk").write_text("notes")
    (tmp_path / "folder.rpk").mkdir()

    for name in ("link.rpk", "text.rpk", "folder.rpk"):
        with pytest.raises(NotAStoreError, match=name):
            write_recording(tmp_path / name, recording_bytes("t", []))
    with pytest.raises(StorageError, match="text.rpk/a.rpk"):
        write_recording(tmp_path / "text.rpk" / "a.rpk", data)
    assert (tmp_path / "target.rpk").read_bytes() == data
    assert (tmp_path / "text.rpk").read_text() == "notes"


def test_a_store_that_is_being_written_is_left_alone(tmp_path: Path, data: bytes) -> None:
    """Its recorder would lose the file under it."""
    with replaykit.Recorder(tmp_path / "a.rpk") as recorder, recorder.session("open"), pytest.raises(LockedError):
        write_recording(tmp_path / "a.rpk", data)


def test_a_read_only_file_is_not_replaced(tmp_path: Path, data: bytes) -> None:
    """As version controls leave it that lock files: its folder would let us."""
    path = tmp_path / "a.rpk"
    write_recording(path, data)
    path.chmod(0o444)

    write_recording(path, data)
    with pytest.raises(ReadOnlyError, match="read-only"):
        write_recording(path, recording_bytes("t", []))
    assert path.read_bytes() == data


@pytest.mark.parametrize("number", range(5))
def test_a_failed_write_changes_nothing(tmp_path: Path, data: bytes, number: int) -> None:
    """Whichever step fails, the old recording is there and no draft; the last step is only the sync of the name."""
    path = tmp_path / "a.rpk"
    write_recording(path, data)
    new = recording_bytes("t", [])
    files = FaultyFiles(SystemFiles(), fail_at=number, error=errno.ENOSPC)

    if number == 4:
        with pytest.raises(StorageError, match="No space left"):
            write_recording(path, new, files=files)
    else:
        with pytest.raises(StorageError, match="a.rpk.*No space left"):
            write_recording(path, new, files=files)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_checkout_says_which_mode_to_use(tmp_path: Path, data: bytes) -> None:
    """And equal bytes need no write at all."""
    path = tmp_path / "a.rpk"
    write_recording(path, data)
    files = FaultyFiles(SystemFiles(), fail_at=0, error=errno.EROFS)

    write_recording(path, data, files=files)
    with pytest.raises(ReadOnlyError, match=r"a\.rpk.*--replay-mode=none"):
        write_recording(path, recording_bytes("t", []), files=files)


def test_one_writer_at_a_time_in_a_folder(tmp_path: Path) -> None:
    """Who waits for another in vain is told; what the block leaves in the folder is nothing."""
    path = f"{tmp_path}/new/a.rpk"

    with (
        one_at_a_time(path),
        pytest.raises(LockedError, match=r"a\.rpk") as caught,
        one_at_a_time(path, wait_s=0.02),
    ):
        pytest.fail("two are in it")
    with one_at_a_time(path, wait_s=0):
        pass

    assert "for 0.02 seconds" in caught.value.__notes__[0]
    assert list((tmp_path / "new").iterdir()) == []


def test_who_waits_for_another_writer_comes_after_it(tmp_path: Path) -> None:
    path, order = f"{tmp_path}/a.rpk", []

    def write() -> None:
        with one_at_a_time(path):
            order.append("second")

    with one_at_a_time(path):
        waiting = Thread(target=write)
        waiting.start()
        waiting.join(0.05)
        order.append("first")
    waiting.join(20)

    assert order == ["first", "second"]


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("notes")

    with pytest.raises(StorageError, match=r"text/a\.rpk"), one_at_a_time(f"{tmp_path}/text/a.rpk"):
        pytest.fail("there is no such folder")


# -- comparing ------------------------------------------------------------------------

_CALL = st.fixed_dictionaries(
    {
        "k": st.sampled_from(["find", "tool"]),
        "in": st.sampled_from([{"query": "a", "k": 1}, {"k": 1, "query": "a"}, {"query": "b", "k": 1}]),
        "out": st.sampled_from([1, 1.5, [1], {"x": 1, "y": [2]}]),
        "d": st.integers(0, 9),
    }
)
_CALLS = st.lists(_CALL, max_size=5)


def _content(calls: list[dict[str, Any]]) -> list[str]:
    return sorted(repr((call["k"], sorted(call["in"].items()), call["out"])) for call in calls)


@given(_CALLS, st.randoms(use_true_random=False))
def test_the_order_of_calls_does_not_count(calls: list[dict[str, Any]], random: Any) -> None:
    shuffled = random.sample(calls, len(calls))

    with closing(open_store(":memory:")) as store:
        assert same_calls(published(store, calls), published(store, shuffled))


@given(_CALLS, _CALLS)
def test_sessions_have_the_same_calls_or_not(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """As often, with the same results; how long they took does not count."""
    with closing(open_store(":memory:")) as store:
        same = same_calls(published(store, one), published(store, other))

    assert same is (_content(one) == _content(other))


def test_hashes_count_where_they_are_all_there_is() -> None:
    """Of bodies that were cut or not kept; else they follow from what is there, stated or not."""
    stated: dict[str, Any] = {"k": "tool", "ih": b"a" * 32, "ip": "x", "x": {"args_hash": b"a" * 32}}
    other = {**stated, "ih": b"b" * 32, "x": {"args_hash": b"b" * 32}}
    kept = {"in": {"query": "a"}}

    with closing(open_store(":memory:")) as store:
        for more, same in (({}, False), ({**kept, "in_n": 9}, False), (kept, True)):
            assert same_calls(published(store, [stated | more]), published(store, [other | more])) is same


def test_what_a_call_made_counts(tmp_path: Path, session: ReplaySession, data: bytes) -> None:
    """The calls inside it are its own, not the test's."""
    with loaded(tmp_path / "a.rpk", data) as recording:
        again = recording.get_session("last")
        assert same_calls(session, again)
        (child,) = [action for action in again.actions if action.parent is not None]
        others = [action.sequence for action in again.actions if action is not child]
        without = recording_bytes(IDENTITY, [(again, [n for n in others if n != child.sequence])])

    with loaded(tmp_path / "b.rpk", without) as recording:
        assert not same_calls(session, recording.get_session("last"))
