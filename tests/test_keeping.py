"""Choosing what to keep: sampling, include and exclude, limits, keep on failure."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import RecordingError, UsageError
from replaykit.model import ReplaySession
from replaykit.recording.choosing import is_sampled
from replaykit.settings import Settings

SECRET = "sk-" + "a1b2" * 8


@replaykit.records("find")
def search(query: str) -> str:
    if query == "bad":
        raise KeyError(query)
    return f"about {query}"


@replaykit.records("tool")
def secret_search(query: str) -> str:
    return search(query)


@replaykit.records("put")
def note(content: str) -> None:
    return None


def in_block(*queries: str, store: Any = ":memory:", **options: Any) -> tuple[replaykit.Recorder, ReplaySession | None]:
    """Search for *queries* in one block; a failed search leaves it."""
    recorder = replaykit.Recorder(store, **options)
    session = recorder.session("run")
    try:
        with session:
            for query in queries:
                search(query)
    except KeyError:
        pass
    return recorder, session.result


def queries_of(session: ReplaySession) -> list[str]:
    return [action.arguments["query"] for action in session.actions]


# -- sampling -------------------------------------------------------------------


def test_the_id_decides_which_sessions_are_sampled() -> None:
    """The same id always gives the same answer, a larger share holds a smaller one, and shares come out right."""
    ids = [uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128)) for number in range(4000)]
    tenth, half = ({item for item in ids if is_sampled(item, share)} for share in (0.1, 0.5))

    assert tenth < half
    assert (360 < len(tenth) < 440, 1900 < len(half) < 2100) == (True, True)
    assert not any(is_sampled(item, 0.0) for item in ids)
    assert all(is_sampled(item, 1.0) for item in ids)


def test_a_sampled_session_says_its_share() -> None:
    """The others leave nothing, not even a name, and are counted."""
    recorder = replaykit.Recorder(":memory:", sample_rate=0.5)
    for _ in range(24):
        with recorder.session():
            search("x")

    kept = recorder.list_sessions()
    assert 0 < len(kept) < 24
    assert recorder.stats()["unsampled"] == 24 - len(kept)
    assert {recorder.get_session(item).sample_rate for item in kept} == {0.5}
    assert all(is_sampled(item.session_id, 0.5) for item in kept)


# -- include and exclude ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kept", "excluded"),
    [
        ({"include": {"find"}}, ["search", "search"], 2),
        ({"exclude": {"tool", "note"}}, ["search", "search"], 2),
        ({"exclude": "secret_search"}, ["search", "search", "note"], 1),
        ({"include": {"find", "put"}, "exclude": {"search"}}, ["note"], 3),
    ],
)
def test_excluded_calls_run_and_are_counted(options: dict[str, Any], kept: list[str], excluded: int) -> None:
    """What they call is recorded all the same; no number is missing."""
    recorder = replaykit.Recorder(":memory:", **options)
    with recorder.session() as session:
        assert search("a") == "about a"
        assert secret_search("b") == "about b"
        note("c")

    assert session.result is not None
    assert [action.name for action in session.result.actions] == kept
    assert [action.sequence for action in session.result.actions] == list(range(len(kept)))
    assert (session.result.excluded, session.result.lost, session.result.dropped) == (excluded, 0, 0)
    assert session.result.playable.reasons == (f"{excluded} call(s) were excluded by choice",)


# -- limits -----------------------------------------------------------------------


def test_a_large_body_is_cut_and_its_hash_stays(tmp_path: Path) -> None:
    """Hash, length and preview are those of the whole; no byte beyond the limit is on the disk, now or before."""
    long = "begin " + "x" * 5000 + " the end"
    whole = in_block(long)[1]
    recorder, cut = in_block("short", long, store=tmp_path / "runs.rpk", max_action_bytes=1000)
    assert whole is not None
    assert cut is not None

    short, action = cut.actions
    assert "cut" not in short.flags
    assert short.output == "about short"
    assert {"cut", "unreplayable"} <= action.flags
    assert (action.input_hash, action.output_hash) == (whole.actions[0].input_hash, whole.actions[0].output_hash)
    assert action.output_preview == whole.actions[0].output_preview
    assert len(action.arguments["query"]) + len(action.output) <= 1000
    recorder.close()
    assert b"the end" not in (tmp_path / "runs.rpk").read_bytes()


def test_no_announced_argument_beyond_the_limit_is_logged(tmp_path: Path) -> None:
    """A call that may change something is logged before it runs, and cut then too."""
    recorder = replaykit.Recorder(tmp_path / "runs.rpk", max_action_bytes=1000)
    with recorder.session() as session:
        note("x" * 5000 + " the end")
        logs = [path.read_bytes() for path in tmp_path.glob("*.live")]
        note("short")

    assert [b"the end" in data for data in logs] == [False]
    assert session.result is not None
    long, short = session.result.actions
    assert ("cut" in long.flags, short.arguments) == (True, {"content": "short"})


def test_a_session_is_sealed_once_it_has_logged_enough() -> None:
    """Later calls run, and count as late; leaving the block does not raise."""
    _, result = in_block(*["x" * 500] * 10, max_session_bytes=3000)

    assert result is not None
    assert result.ended_by == "limit"
    assert 1 < len(result.actions) < 10
    assert len(result.actions) + result.late == 10
    assert result.lost == 0


# -- keep on failure ----------------------------------------------------------------


def test_a_session_without_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """Not a byte and not a name in the store, only a count."""
    recorder, result = in_block("a", SECRET, store=tmp_path / "runs.rpk", keep="on_failure")

    assert result is None
    assert recorder.list_sessions() == []
    assert recorder.stats()["unkept"] == 1
    recorder.close()
    assert b"about" not in (tmp_path / "runs.rpk").read_bytes()


def slow(call: Any) -> bool:
    return bool(call.kind == "find" and call.result == "about c" and call.arguments == {"query": "c"})


@pytest.mark.parametrize(
    ("options", "queries", "because"),
    [
        ({}, ["a", "bad"], "error"),
        ({"slow_ms": 1e-6}, ["a", "b"], "slow"),
        ({"keep_if": slow}, ["a", "b", "c", "d"], "wanted"),
    ],
)
def test_what_makes_a_session_worth_keeping(options: dict[str, Any], queries: list[str], because: str) -> None:
    """All of it is kept then: what was before and what comes after."""
    _, result = in_block(*queries, keep="on_failure", **options)

    assert result is not None
    assert queries_of(result) == queries
    assert (result.kept_because, result.dropped, result.lost) == (because, 0, 0)
    assert result.playable.verdict == "yes"


def raised(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        search("a")
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [(ValueError("x"), True), (SystemExit(1), True), (SystemExit(0), False), (GeneratorExit(), False)],
)
def test_an_exception_that_leaves_the_block_keeps_it(error: BaseException, is_kept: bool) -> None:
    """But neither the end of a generator nor that of the program."""
    recorder = replaykit.Recorder(":memory:", keep="on_failure")
    session = recorder.session()
    with pytest.raises(type(error)), session:
        raised(error)()

    assert (session.result is not None) == is_kept
    assert not is_kept or recorder.get_session("last").kept_because == "exception"


def test_the_ring_is_bounded_and_what_it_dropped_is_counted() -> None:
    """By bytes; dropped by choice is not lost, and a redacted secret never was in it."""
    recorder = replaykit.Recorder(":memory:", keep="on_failure", keep_bytes=4096)
    with recorder.session() as session:
        for number in range(100):
            search(f"{number} {'x' * 100} {SECRET}")
        active = recorder._engine.active()
        assert active is not None
        held = b"".join([*active.live._always, *active.live._latest])  # type: ignore[attr-defined]  # its ring
        session.keep()
        search("after")

    assert len(held) <= 4096
    assert SECRET.encode()[3:] not in held
    result = session.result
    assert result is not None
    assert (result.kept_because, result.lost) == ("call", 0)
    assert 0 < result.dropped < 100
    assert result.dropped + len(result.actions) == 101
    assert [action.sequence for action in result.actions] == list(range(result.dropped, 101))
    assert result.playable.reasons == (f"{result.dropped} call(s) were dropped by choice",)
    assert result.redactions == {"openai": 200}


def test_the_call_that_failed_is_there_however_small_the_ring() -> None:
    """It goes into the store at once, with its whole arguments."""
    _, result = in_block("a" * 5000, "b" * 5000, "bad", keep="on_failure", keep_bytes=1000)

    assert result is not None
    assert queries_of(result) == ["bad"]
    assert result.dropped == 2


def test_calls_recorded_by_hand_need_no_room_for_their_names() -> None:
    """Thousands of them fit through a small ring; only new names take room that stays."""
    recorder = replaykit.Recorder(":memory:", keep="on_failure", keep_bytes=2000)
    with recorder.session() as session:
        for number in range(3000):
            session.record("tool", name="step", arguments={"n": number}, affected_frames=[number])
        session.keep()

    assert session.result is not None
    assert session.result.lost == 0
    assert session.result.actions[-1].affected_frames == (2999,)


def test_a_ring_too_small_for_anything_says_so() -> None:
    """What does not fit into keep_bytes at all is lost, not kept silently half."""
    with pytest.raises(RecordingError, match="keep_bytes"):
        in_block("bad", keep="on_failure", keep_bytes=10, on_loss="raise")
        in_block("a", keep="on_failure", keep_bytes=10, on_loss="raise")


def test_a_share_is_recorded_and_the_rest_only_if_it_fails() -> None:
    """``sample_rate`` with ``keep="on_failure"``."""
    recorder = replaykit.Recorder(":memory:", sample_rate=0.5, keep="on_failure")
    for number in range(40):
        with recorder.session(f"fine {number}"):
            search("x")
    failing = recorder.session("failed")
    with pytest.raises(KeyError), failing:
        search("bad")

    fine = [item for item in recorder.list_sessions() if item.name != "failed"]
    assert 0 < len(fine) < 40
    assert failing.result is not None
    assert recorder.stats()["unkept"] == 40 - len(fine)


def test_metadata_and_checkpoints_are_kept_with_it() -> None:
    """As they are in any session."""
    with replaykit.open(":memory:", keep="on_failure") as mv:
        session = mv.session("run", metadata={"user": "ada"})
        with pytest.raises(ValueError, match="x"), session:
            mv.put("Paris")
            session.checkpoint()
            session.annotate(step=2)
            raise ValueError("x")

        assert session.result is not None
        assert {key: session.result.metadata[key] for key in ("user", "step")} == {"user": "ada", "step": 2}
        assert len(session.result.checkpoints) == 1
        put, checkpoint = session.result.actions
        assert (put.kind, put.arguments["content"], checkpoint.kind) == ("put", "Paris", "checkpoint")
        assert put.flags == frozenset()


def test_threads_keep_one_session_together() -> None:
    """Eight threads call and all fail at once: one move, nothing lost, nothing twice."""
    recorder = replaykit.Recorder(":memory:", keep="on_failure")
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        for step in range(50):
            search(f"{number}.{step}")
        barrier.wait()
        with pytest.raises(KeyError):
            search("bad")
        search(f"{number}.after")

    with recorder.session() as session:
        threads = [threading.Thread(target=session.carry(work), args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert session.result is not None
    assert len(session.result.actions) == 8 * 52
    assert (session.result.lost, session.result.dropped) == (0, 0)


@pytest.mark.parametrize("asked", [{"slow_ms": 5}, {"keep_if": slow}, {"keep_signal": signal.SIGUSR2}])
def test_a_reason_to_keep_needs_something_to_decide(asked: dict[str, Any]) -> None:
    """Asked for alone it would do nothing: that is refused."""
    with pytest.raises(UsageError, match="on_failure"):
        replaykit.Recorder(":memory:", **asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep": "never"},
        {"keep_bytes": 0},
        {"keep_if": 5, "keep": "on_failure"},
        {"include": 5},
        {"exclude": [5]},
        {"max_action_bytes": -1},
        {"max_session_bytes": 1.5},
    ],
)
def test_wrong_choices_are_refused(wrong: dict[str, Any]) -> None:
    """Before anything is recorded, with the name of the option."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        replaykit.Recorder(":memory:", **wrong)


def test_a_predicate_that_raises_harms_nobody() -> None:
    """It counts as not wanted, and is warned about once."""

    def broken(_call: Any) -> bool:
        raise ValueError("zq1secret")

    with pytest.warns(replaykit.errors.ReplaykitWarning, match="keep_if= raised ValueError") as caught:
        _, result = in_block("a", "b", keep="on_failure", keep_if=broken)

    assert result is None
    assert len(caught) == 1
    assert "zq1secret" not in str(caught[0].message)


def test_a_signal_keeps_what_is_open() -> None:
    """Also of an agent that hangs; the handler that was there runs as well, and comes back."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _frame: seen.append(number))
    try:
        recorder = replaykit.Recorder(":memory:", keep="on_failure", keep_signal=signal.SIGUSR2)
        with recorder.session() as session:
            search("a")
            os.kill(os.getpid(), signal.SIGUSR2)
            deadline = time.monotonic() + 30
            while not recorder.list_sessions() and time.monotonic() < deadline:
                continue
        assert session.result is not None
        assert (session.result.kept_because, queries_of(session.result)) == ("signal", ["a"])
        recorder.close()
        os.kill(os.getpid(), signal.SIGUSR2)
        assert seen == [signal.SIGUSR2] * 2
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_the_recorders_own_key_is_not_the_users() -> None:
    """What a session says about itself cannot be forged by accident."""
    own = {"replaykit.account": {"dropped": 5}}
    with pytest.raises(UsageError, match=r"replaykit\."), replaykit.Recorder(":memory:").session(metadata=own):
        pass


@pytest.mark.parametrize("options", [{"exclude": {"find"}}, {"keep": "on_failure", "slow_ms": 5.0, "keep_bytes": 100}])
def test_every_door_takes_the_options(tmp_path: Path, options: dict[str, Any]) -> None:
    """open, wrap, Recorder, session and configure."""

    class Store:
        def find(self, query: str) -> list[str]:
            return [query]

    Settings.of(options)
    replaykit.open(":memory:", **options).close()
    replaykit.wrap(Store(), store=":memory:", **options)
    replaykit.configure(store=":memory:", **options)
    try:
        with replaykit.session("run") as session:
            search("a")
        with replaykit.session("run", store=tmp_path / "x.rpk", **options):
            search("a")
    finally:
        replaykit.configure()
    result = session.result
    assert result is None or list(result.actions) == []


def test_a_store_that_is_gone_when_a_session_fails_harms_nobody(tmp_path: Path) -> None:
    """The call fails as it does without a recorder; what could not be kept is lost and told."""
    home = tmp_path / "runs"
    home.mkdir()
    recorder = replaykit.Recorder(home / "runs.rpk", keep="on_failure", on_loss="ignore")
    session = recorder.session()
    with pytest.raises(KeyError), session:
        search("a")
        shutil.rmtree(home)
        search("bad")

    assert session.result is None
    assert recorder.stats()["lost"] > 0
