"""kill -9 while a memory is written: each call is there as a whole or not at all, and what returned is there."""

from __future__ import annotations

import random
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from crash.victims import Server
from effort import Figure

from replaykit.memory.engine import Engine
from replaykit.memory.state_hash import EMPTY, add, element

FRAMES = 60
GENERATIONS = 1 + FRAMES // 3
LONGEST_S = {"put": 0.002, "update": 0.002, "delete": 0.002, "erase": 0.03}
"""How long after a call has returned the kill comes at the latest: about what the next one takes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("pipes"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a memory of many frames, of which every third was updated before."""
    path = tmp_path_factory.mktemp("filled") / "notes.mv"
    with Engine(str(path)) as engine:
        engine.put_many([f"qq{number}z put" for number in range(1, FRAMES + 1)])
        for number in range(1, FRAMES + 1, 3):
            engine.update(number, f"qq{number}z updated before")
    return path


def demand_sound(path: Path) -> None:
    """SQLite finds nothing wrong, and the sums are those of the live frames."""
    database = apsw.Connection(str(path))
    assert database.execute("PRAGMA integrity_check").get == "ok"
    state = EMPTY
    for row in database.execute(f"SELECT frame_id, fields_hash FROM memory_versions WHERE until = {2**63 - 1}"):
        state = add(state, element(*row))
    assert database.execute("SELECT frames_hash FROM memory_state").get == state.to_bytes(2048, "little")
    database.close()


def demand_found(engine: Engine) -> None:
    """The index holds the live frames, all their words and no others."""
    for number in range(1, FRAMES + 20):
        expected = [number] if number in engine else []
        assert [hit.frame_id for hit in engine.find(f"qq{number}z")] == expected


def demand_done(engine: Engine, path: Path, kind: str, number: int) -> None:
    if kind in ("put", "update"):
        assert engine.get(number).content == f"qq{number}z {kind}"
    else:
        assert number not in engine
    if kind == "erase":
        assert f"qq{number}z".encode() not in path.read_bytes()


@pytest.mark.parametrize("kind", list(LONGEST_S))
def test_a_write_that_is_killed_is_whole_or_absent(
    kind: str, server: Server, filled: Path, tmp_path: Path, effort: Callable[[int], int], figure: Figure
) -> None:
    """Kills at random moments: nothing acknowledged is lost, the call in flight is done or not, the file is sound."""
    chance = random.Random(kind)
    first = FRAMES + 1 if kind == "put" else 1
    kills, acknowledged, unheard = 2 * effort(100), 0, 0
    for kill in range(kills):
        path = tmp_path / f"{kill}.mv"
        shutil.copy(filled, path)
        victim = server.fork("write", path, kind=kind, first=first, recorded=kill % 2 == 1)
        victim.hear()
        said = [victim.hear() for _ in range(chance.randrange(5))]
        # Not to wait for anything: the moment is what the chance is about.
        select.select([], [], [], chance.random() * LONGEST_S[kind])
        said += victim.kill()
        with Engine(str(path)) as engine:
            done = engine.generation - GENERATIONS
            assert done - len(said) in (0, 1)
            for number in range(first, first + done):
                demand_done(engine, path, kind, number)
            demand_found(engine)
            assert engine.put("after") == 1 + FRAMES + (done if kind == "put" else 0)
        demand_sound(path)
        acknowledged, unheard = acknowledged + len(said), unheard + done - len(said)
    figure("G1", f"{kind}: {kills} kills, {acknowledged} acknowledged, {unheard} done unheard, 0 lost, 0 torn")
