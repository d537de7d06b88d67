"""kill -9 while a memory goes back: nothing acknowledged is lost, forks are whole or absent, and known."""

from __future__ import annotations

import glob
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.test_kill import Server
from effort import Figure

from replaykit.memory import state_hash
from replaykit.memory.engine import Engine
from replaykit.memory.history import hash_at
from replaykit.memory.schema import FOREVER

KILLS = 200
ROUNDS_PER_STORE = 20
LONGEST_S = {"fork": 0.03, "restore": 0.01, "prune": 0.006}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("pipes"))
    yield server
    server.close()


@pytest.mark.parametrize("does", ["fork", "restore", "prune"])
def test_a_kill_while_going_back_loses_nothing(
    does: str, server: Server, tmp_path: Path, effort: Callable[[int], int], figure: Figure
) -> None:
    """At random moments of it, each kind so often: the memory is sound and has every state that was acknowledged."""
    chance = random.Random(does)
    kills, inside, forks = effort(KILLS), 0, 0
    for kill in range(kills):
        store = f"{tmp_path}/{kill // ROUNDS_PER_STORE}.mv"
        victim = server.fork("rewind", store, does=does, seed=kill)
        said = heard_until_begun(victim, chance.randrange(1, 4))
        # Any moment of it will do: nothing is waited for.
        time.sleep(chance.random() * LONGEST_S[does])
        said += victim.kill()
        inside += "begun" in said[-1]
        with Engine(store) as engine:
            demand_states(engine, said)
            demand_sound(engine)
            forks += demand_forks(engine, store, said)
    figure("kill", f"{does}: {kills} kills, {inside} inside of it, {forks} forks, 0 lost, 0 wrong")


def heard_until_begun(victim: Any, times: int) -> list[dict[str, Any]]:
    said = []
    while sum("begun" in each for each in said) < times:
        said.append(victim.hear())
    return said


def demand_states(engine: Engine, said: list[dict[str, Any]]) -> None:
    """What was acknowledged is the memory's past, but for what a pruning was told that it may take."""
    pruned_to = [set(each["kept"]) for each in said if "kept" in each]
    states = [each for each in said if "hash" in each]
    assert engine.generation >= states[-1]["generation"]
    with engine._connection.reading() as connection:
        kept = {generation for (generation,) in connection.execute("SELECT generation FROM memory_generations")}
        for state in states:
            if state["generation"] in kept:
                assert state_hash.digest(hash_at(connection, state["generation"])).hex() == state["hash"]
            else:
                assert any(state["generation"] not in each for each in pruned_to)
    for each in pruned_to[-1:]:
        assert each <= kept
    for before, after in zip(said, said[1:], strict=False):
        assert "restored" not in before or after["hash"] == before["restored"]


def demand_sound(engine: Engine) -> None:
    with engine._connection.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").get == "ok"
        snapshot, digest = engine.snapshot(with_ids=False)
    with engine._connection.writing() as connection:
        connection.execute("INSERT INTO memory_index (memory_index, rank) VALUES ('integrity-check', 0)")
    total = state_hash.EMPTY
    with engine._connection.reading() as connection:
        for row in connection.execute(f"SELECT frame_id, fields_hash FROM memory_versions WHERE until = {FOREVER}"):
            total = state_hash.add(total, state_hash.element(*row))
    assert (state_hash.digest(total), len(engine)) == (digest, snapshot.frame_count)


def demand_forks(engine: Engine, store: str, said: list[dict[str, Any]]) -> int:
    """Each acknowledged fork is there; each that is there is whole, and its parent knows it."""
    there = sorted(glob.glob(f"{glob.escape(store)}.*.branch.mv"))
    acknowledged = {each["forked"]: each["at"] for each in said if "forked" in each}
    assert acknowledged.keys() <= set(there)
    known = {fork.memory_id: fork for fork in engine.lineage.forks}
    for path in there:
        with Engine(path) as branch:
            demand_sound(branch)
            lineage = branch.lineage
            assert known[lineage.memory_id].path == path
            state = branch.snapshot(with_ids=False)
            if path in acknowledged:
                at = acknowledged[path]
                assert (state[0].generation, state[1].hex()) == (at["generation"], at["hash"])
        os.unlink(path)
    left = glob.glob(f"{glob.escape(store)}.*.fork")
    assert len(left) <= 1
    for path in left:
        engine.fork(path[: -len(".fork") - 33]).close()
        assert not os.path.exists(path)
        os.unlink(path[: -len(".fork") - 33])
    return len(there)
