"""kill -9 at any moment: what a call acknowledged is read back as it was, and nothing is invented."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.victims import Server
from effort import Figure

import replaykit
from replaykit.errors import LockedError, UsageError
from replaykit.storage.file_store import FileStore
from replaykit.storage.opening import open_store
from replaykit.storage.recovery import recover

Effort = Callable[[int], int]

ROUNDS_PER_STORE = 40
STORES = {"file": "runs.rpk", "directory": "runs/", "memory": "notes.mv"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("pipes"))
    yield server
    server.close()


# -- random moments ---------------------------------------------------------------


def opened(kind: str, store: str) -> Any:
    return replaykit.open(store) if kind == "memory" else replaykit.Recorder(store)


def token_of(action: Any) -> str:
    return next(iter(action.arguments.values())).split(" ")[0]


def output_of(action: Any) -> Any:
    """Return an action's output in the form in which the worker says it."""
    if action.kind == "find" and not isinstance(action.output, list):
        return list(action.affected_frames)
    return action.output


def demand_all(session: Any, said: list[dict[str, Any]], threads: int) -> None:
    """Each acknowledged call is there, once and as it was; besides them at most one call per thread."""
    assert session.state == "interrupted"
    actions = list(session.actions)
    kept = {token_of(action): action for action in actions}
    assert len(kept) == len(actions), "a call is there twice"
    for each in said:
        action = kept.pop(each["token"])
        assert (action.kind, output_of(action), action.error) == (each["kind"], each["said"], None)
        assert "unfinished" not in action.flags
    assert len(kept) <= threads
    sequences = [action.sequence for action in actions]
    holes = set(range(sequences[-1] + 1 if sequences else 0)) - set(sequences)
    assert sequences == sorted(sequences)
    # A hole is a call that began, was not announced, and whose end nobody saw.
    assert len(holes) + len(kept) <= threads


@pytest.mark.parametrize("durability", ["always", "group", "os"])
@pytest.mark.parametrize("kind", list(STORES))
def test_g1_an_acknowledged_action_survives_kill_9(
    kind: str, durability: str, server: Server, tmp_path: Path, effort: Effort, figure: Figure
) -> None:
    """Kills at random moments, one and several threads: nothing lost, nothing wrong, and the store opens."""
    chance = random.Random(f"{kind}/{durability}")
    kills = effort(1_120)
    acknowledged = 0
    for kill in range(kills):
        store = f"{tmp_path}/{kill // ROUNDS_PER_STORE}{STORES[kind]}"
        threads = chance.choice([1, 1, 4])
        victim = server.fork("record", store, kind=kind, threads=threads, name=f"{kill}", durability=durability)
        session_id = victim.hear()["session"]
        said = [victim.hear() for _ in range(chance.randrange(12))]
        said += victim.kill()
        recorder = opened(kind, store)
        try:
            demand_all(recorder.get_session(session_id), said, threads)
            assert len(recorder.list_sessions(state="interrupted")) == kill % ROUNDS_PER_STORE + 1
            if kind == "memory":
                demand_frames(recorder, said)
        finally:
            recorder.close()
        acknowledged += len(said)
    assert acknowledged > kills
    figure("G1", f"{kind}, {durability}: {kills} kills, {acknowledged} acknowledged, 0 lost, 0 wrong")


def demand_frames(memory: Any, said: list[dict[str, Any]]) -> None:
    for each in said:
        if each["kind"] == "put":
            assert memory.get(each["said"]).content.startswith(each["token"])


# -- chosen moments -----------------------------------------------------------------


def test_the_call_in_flight_is_kept_as_unfinished(server: Server, tmp_path: Path) -> None:
    """A tool is announced before it runs, so a kill inside of it leaves its name and its arguments."""
    store = tmp_path / "runs.rpk"
    victim = server.fork("hang", store)
    assert victim.hear() == {"inside": True}
    victim.kill()

    with replaykit.Recorder(store) as recorder:
        before, inside = recorder.get_session("hanging").actions
    assert (before.output, before.flags) == ({"said": "BEFORE", "length": 6}, frozenset())
    assert (inside.name, inside.output, "unfinished" in inside.flags) == ("wait_inside", None, True)
    assert "reader" in inside.arguments


def test_a_torn_last_record_costs_itself_only(server: Server, tmp_path: Path) -> None:
    store = tmp_path / "runs.rpk"
    victim = server.fork("tear", store)
    victim.rest()

    with replaykit.Recorder(store) as recorder:
        session = recorder.get_session("torn")
        assert [action.arguments for action in session.actions] == [{"text": "whole"}]
        assert session.state == "interrupted"
        assert recorder.store.verify()


def test_a_session_whose_end_was_written_is_sealed_by_the_recovery(server: Server, tmp_path: Path) -> None:
    """Between END and publishing only the log knows that the session ended well; that is enough."""
    store = tmp_path / "runs.rpk"
    victim = server.fork("end_only", store)
    session_id = victim.hear()["session"]
    assert victim.hear() == {"publishing": True}
    victim.kill()

    with replaykit.Recorder(store) as recorder:
        session = recorder.get_session(session_id)
        assert (session.state, session.ended_by, len(session.actions)) == ("sealed", "block", 1)


def test_a_kill_at_any_step_of_publishing_loses_nothing(server: Server, tmp_path: Path) -> None:
    """At each file operation from END to the removal of the log: the session is there once, whole and sealed."""
    at = 0
    while True:
        store = tmp_path / f"{at}.rpk"
        victim = server.fork("end", store, at=at)
        session_id = victim.hear()["session"]
        survived = {"survived": True} in victim.rest()
        with replaykit.Recorder(store) as recorder:
            [summary] = recorder.list_sessions()
            session = recorder.get_session(session_id)
            # Killed within END itself: nobody saw the end.
            assert session.state == ("interrupted" if at == 0 else "sealed")
            assert (summary.action_count, len(session.actions)) == (5, 5)
            assert [action.sequence for action in session.actions] == [0, 1, 2, 3, 4]
            assert recorder.store.logs() == [] or not list(recorder.store.logs())
        if survived:
            break
        at += 1
    assert at >= 4


def test_a_kill_at_any_step_of_the_recovery_loses_nothing(server: Server, tmp_path: Path) -> None:
    """A recovery that is killed is done again by the next one, with the same result."""
    at = 0
    while True:
        store = tmp_path / f"{at}.rpk"
        victim = server.fork("record", store, kind="file", threads=2, name="x", durability="os")
        session_id = victim.hear()["session"]
        said = [victim.hear() for _ in range(20)] + victim.kill()
        survived = {"survived": True} in server.fork("recover", store, at=at).rest()
        with replaykit.Recorder(store) as recorder:
            assert len(recorder.list_sessions()) == 1
            demand_all(recorder.get_session(session_id), said, threads=2)
        if survived:
            break
        at += 1
    assert at >= 3


def test_a_resumed_session_goes_on_behind_what_was_recorded(server: Server, tmp_path: Path) -> None:
    """Sequences continue, also when the resumed session is killed in its turn; an ended one is not resumed."""
    store = tmp_path / "runs.rpk"
    session_id, so_far = None, []
    for _ in range(3):
        victim = server.fork("record", store, kind="file", threads=1, name="long", durability="os", resume=session_id)
        session_id = victim.hear()["session"]
        heard = [victim.hear() for _ in range(7)] + victim.kill()
        # By place, since the worker says the same in each of its lives.
        expected = [*so_far, *(each["said"] for each in heard)]
        with replaykit.Recorder(store) as recorder:
            session = recorder.get_session(session_id)
            assert session.state == "interrupted"
            finished = [action for action in session.actions if "unfinished" not in action.flags]
            so_far = [action.output for action in finished]
            assert so_far[: len(expected)] == expected
            assert len(session.actions) - len(expected) <= 3

    with replaykit.Recorder(store) as recorder:
        before = len(recorder.get_session(session_id).actions)
        recorder.resume_session(session_id)
        with pytest.raises(UsageError, match="already active"):
            recorder.start_session()
        session = recorder.end_session()
        assert (session.state, len(session.actions)) == ("sealed", before)
        with pytest.raises(UsageError, match="was ended"):
            recorder.resume_session(session_id)


def test_the_log_of_a_living_writer_is_left_alone(server: Server, tmp_path: Path) -> None:
    """Whoever else opens the directory sees the session as open, and recovers it only once its writer is gone."""
    victim = server.fork("hold", f"{tmp_path}/runs/")
    session_id = victim.hear()["session"]
    assert victim.hear() == {"held": True}

    with replaykit.Recorder(f"{tmp_path}/runs/") as recorder:
        assert recover(recorder.store) == 0
        session = recorder.get_session(session_id)
        assert (session.state, len(session.actions)) == ("open", 1)
        with pytest.raises(UsageError, match="another process"):
            recorder.resume_session(session_id)
        victim.kill()
        assert recover(recorder.store) == 1
        assert recorder.get_session(session_id).state == "interrupted"


def test_a_store_file_has_one_writing_process(server: Server, tmp_path: Path) -> None:
    victim = server.fork("hold", tmp_path / "runs.rpk")
    victim.hear()
    with pytest.raises(LockedError):
        open_store(tmp_path / "runs.rpk")
    reader = FileStore(tmp_path / "runs.rpk", read_only=True)
    assert [log.has_writer() for log in reader.logs()] == [True]
    reader.close()
    victim.kill()
