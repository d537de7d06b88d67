"""Exit codes as the reference says them: 2 for what was not named right, 3 for what is missing or no memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.calling import called, recorded_store, run

import replaykit


@pytest.fixture
def store(tmp_path: Path) -> str:
    return recorded_store(tmp_path)


def test_what_is_missing_is_3_and_what_is_not_named_is_2(store: str) -> None:
    assert run("replay", "nosuch.rpk").exit_code == 3
    assert run("replay", "nosuch.mv").exit_code == 3
    assert run("replay", store).exit_code == 2
    Path("prog.py").write_text("print('never')")
    for played, code in (("nosuch", 2), ("last", 0)):
        child = called("run", "-o", store, "--play", played, "prog.py")
        assert (child.communicate(timeout=20), child.returncode)[1] == code


@pytest.mark.parametrize("name", ["empty.rpk", "empty.mv", "sessions.mv", "runs.rpk"])
def test_a_fork_is_of_a_memory(name: str, store: str, tmp_path: Path) -> None:
    """Nothing else becomes one by being asked."""
    (tmp_path / "empty.rpk").touch()
    (tmp_path / "empty.mv").touch()
    with replaykit.Recorder("sessions.mv") as recorder, recorder.session("s"):
        pass
    before = (tmp_path / name).read_bytes()

    assert run("fork", name, "new.mv").exit_code in (2, 3)
    assert (tmp_path / name).read_bytes() == before
    assert not (tmp_path / "new.mv").exists()
