"""The processes of a program: however they are started, each is recorded, and played, by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from running.programs import Program, script, write_library

import replaykit

# Many interpreters have to start: too slow for the light run.
pytestmark = pytest.mark.libraries

STARTS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from shelflib import Shelf

def work(text):
    Shelf().store(text)
    return Shelf().lookup(text)

def start(context, *texts):
    for text in texts:
        process = context.Process(target=show, args=(text,))
        process.start()
        process.join()

def show(text):
    print(work(text), flush=True)
    if text == "second":
        start(multiprocessing.get_context(sys.argv[1]), "its own")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    work("program")
    start(context, "first", "second")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        print(list(pool.map(work, ["pooled", "pooled too"])))
    Shelf().lookup("program")
"""

CHILDREN = {
    "program": ["program", "program", "program"],
    "agent.py[1]": ["first"] * 2,
    "agent.py[2]": ["second"] * 2,
    "agent.py[2.1]": ["its own"] * 2,
    "agent.py[3]": ["pooled", "pooled", "pooled too", "pooled too"],
}


def run(program: Program, tmp_path: Path, *options: str, **variables: str) -> str:
    outcome = program.run(tmp_path / "work", "-m", "replaykit", "run", *options, **variables)
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.out


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_every_process_is_recorded_and_played(method: str, tmp_path: Path) -> None:
    """Also those of a pool, and those that a child starts; the program's session is the parent of all."""
    write_library(tmp_path / "site")
    agent = script(STARTS, method)

    recorded = run(agent, tmp_path, "-o", "../runs/")
    with replaykit.load(tmp_path / "runs") as recording:
        sessions = [recording.get_session(each) for each in recording.list_sessions()]
        (program,) = [session for session in sessions if session.name == "agent.py"]
        texts = {
            "program" if session is program else session.name: [
                value for action in session.actions for value in action.arguments.values()
            ]
            for session in sessions
        }
    (tmp_path / "work" / "shelf.txt").unlink()
    played = run(agent, tmp_path, "-o", "../runs/", "--play", "agent.py", SHELF_IS_GONE="1")

    assert texts == CHILDREN
    assert {session.parent_session for session in sessions if session is not program} == {program.session_id}
    assert {(session.state, session.ended_by) for session in sessions} == {("sealed", "exit")}
    assert played == recorded
    assert not (tmp_path / "work" / "shelf.txt").exists()


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    """The calls of other processes run, and nothing is said about it."""
    write_library(tmp_path / "site")

    run(script(STARTS, "fork"), tmp_path, "-o", "../runs.rpk")

    with replaykit.load(tmp_path / "runs.rpk") as recording:
        (program,) = recording.list_sessions()
        assert program.action_count == 3
