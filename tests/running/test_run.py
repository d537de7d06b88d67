"""``replaykit run``: what is recorded, and that a program plays without its store."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner
from running.programs import ROOT, USES_LIBRARY, Outcome, Program, script, write_library

import replaykit
from replaykit.cli.commands import program
from replaykit.errors import PlaybackError
from replaykit.intercept import scope
from replaykit.intercept.tracebacks import leave_no_frame
from replaykit.running import launching
from replaykit.running.ambient import AmbientRecording, Position
from replaykit.running.children import Children, Task, begin
from replaykit.running.launching import status_of
from replaykit.running.order import Order

LAUNCHER = str(ROOT / "replaykit/running/program.py")

FORKS = (
    USES_LIBRARY
    + "import shelflib\ntry:\n    shelf.store('')\nexcept shelflib.EmptyError as error:\n    print(repr(error))\n"
    + "import atexit\natexit.register(lambda: shelf.lookup('atexit'))\n"
    + "import os\nif os.fork() == 0:\n    print(shelf.lookup('some'), flush=True)\n    sys.exit()\nos.wait()\n"
)


@pytest.fixture(autouse=True)
def library(tmp_path: Path) -> None:
    write_library(tmp_path / "site")


def run(program: Program, tmp_path: Path, play: str = "", **variables: str) -> Outcome:
    """Run a program as the command line does once it has read its words."""
    order = Order(store=f"{tmp_path}/runs/", play=play)
    return program.run(tmp_path / "work", LAUNCHER, order.encode(), **variables)


def test_a_program_and_its_child_are_recorded_and_play_without_their_store(tmp_path: Path) -> None:
    """Each process in its own session; played, both show the same, the library's exceptions too, and record nothing."""
    agent = script(FORKS, "--key", "sk-proj-" + "a1B2" * 12)

    recorded = run(agent, tmp_path)
    with replaykit.load(tmp_path / "runs") as recording:
        child, parent = map(recording.get_session, recording.list_sessions())
    (tmp_path / "work" / "shelf.txt").unlink()
    played = run(agent, tmp_path, "last", SHELF_IS_GONE="1")

    assert recorded.status == 0
    assert played == recorded
    assert [action.name for action in parent.actions] == ["store", "lookup", "lookup", "store", "lookup"]
    assert (parent.name, parent.metadata["exit_status"], parent.metadata["python"][:2]) == ("agent.py", "0", "3.")
    assert parent.metadata["argv"][:2] == ["agent.py", "--key"]
    assert "sk-proj" not in json.dumps(parent.metadata)
    assert (child.name, child.parent_session, len(child.actions)) == ("agent.py[1]", parent.session_id, 2)
    assert not (tmp_path / "work" / "shelf.txt").exists()
    assert len(replaykit.load(tmp_path / "runs").list_sessions()) == 2


def test_a_script_that_is_not_there_is_wrong_usage() -> None:
    missing = CliRunner().invoke(program, ["run", "nothing_here.py"])

    assert (missing.exit_code, "replaykit run -m nothing_here.py" in missing.output) == (2, True)


def test_a_store_that_cannot_be_used_is_said_before_the_program_runs(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("something else")

    refused = run(script("print('it ran')"), tmp_path)

    assert (refused.status, refused.out) == (3, "")
    assert "runs" in refused.err
    assert (tmp_path / "runs").read_text() == "something else"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "0"),
        (SystemExit(), "0"),
        (SystemExit(True), "1"),
        (SystemExit(-1), "255"),
        (SystemExit(256), "0"),
        (SystemExit("text"), "1"),
        (ValueError(), "1"),
        (KeyboardInterrupt(), "130"),
    ],
)
def test_the_exit_status_is_what_a_shell_shows(error: BaseException | None, status: str) -> None:
    assert status_of(error) == status


def test_the_first_calls_of_a_child_wait_for_its_session() -> None:
    """Other threads too, while it is being opened: they are not left unrecorded."""
    seen = []

    def redact(path: tuple[str | int, ...], value: Any) -> Any:
        # Called for the metadata, while the session is being opened.
        thread = Thread(target=lambda: seen.append(scope.handler_for(None)))
        thread.start()
        thread.join()
        return value

    position = Position(name="agent.py", child="1")
    recording = AmbientRecording("runs/", {"redact": redact}, position, {"child": "1"})
    recording.begin_later()
    look("x")
    recording.end()

    assert seen
    assert None not in seen
    with replaykit.load("runs/") as stored:
        assert [action.arguments for action in stored.get_session("agent.py[1]").actions] == [{"query": "x"}]


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query]


def test_a_process_whose_session_cannot_be_opened_goes_on(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("something else")
    recording = AmbientRecording("taken", {}, Position(name="agent.py", child="1"), {})
    recording.begin_later()

    assert [look("x"), look("y")] == [["x"], ["y"]]
    recording.end()


def test_what_cannot_be_handed_to_a_new_process_costs_its_recording_only() -> None:
    """Neither an option that does not pickle nor an order that makes no sense ends the program's process."""
    from multiprocessing import spawn

    original = spawn.get_preparation_data
    task = Task(location="runs/", position=Position(name="agent.py"), options={"redact": lambda path, value: value})
    children = Children(lambda: task)
    children.follow()
    try:
        assert spawn.get_preparation_data("Process-1")["replaykit"] is None
        assert "replaykit" not in spawn.get_preparation_data("ignore")
    finally:
        children.leave()

    begin(b"no order", "Process-1")
    assert spawn.get_preparation_data is original


@pytest.mark.parametrize(("error", "is_shown"), [(PlaybackError("x"), False), (TypeError("x"), True)])
def test_an_error_of_our_own_shows_where_it_is(error: Exception, is_shown: bool) -> None:
    """Only what is meant for the user comes without our frames."""
    with pytest.raises(type(error)) as caught:
        exec(compile("raise error", launching.__file__, "exec"), {"error": error})
    ours = caught.tb
    while ours.tb_frame.f_code.co_filename != launching.__file__:
        ours = ours.tb_next  # type: ignore[assignment]  # it is there
    error.__traceback__ = ours

    leave_no_frame(error)

    assert (error.__traceback__ is not None) == is_shown
