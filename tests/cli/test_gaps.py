"""Records of a killed process's log that are damaged: whatever looks at the session says that they are."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program
from replaykit.format import records
from replaykit.format.records import MAGIC, PREFIX

CALLS = 300
FLIPPED = 100

VICTIM = f"""
    import os, signal, sys
    import replaykit

    @replaykit.records("find")
    def search(query):
        return [1]

    recorder = replaykit.Recorder(sys.argv[1])
    with recorder.session("hole"):
        for number in range({CALLS}):
            search(str(number))
        os.kill(os.getpid(), signal.SIGKILL)
"""


def run(*words: object) -> Result:
    """Run ``replaykit`` with these words."""
    return CliRunner().invoke(program, [str(word) for word in words])


def parsed(*words: object) -> Any:
    return json.loads(run(*words, "--json").stdout)


def killed(path: Path) -> Path:
    """Have a process killed that records into *path*; return its live log."""
    root = str(Path(replaykit.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(VICTIM), str(path)], env={"PYTHONPATH": root}, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL
    (log,) = path.parent.glob("*.live")
    return log


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a killed session in whose log bytes in the middle have changed."""
    path = tmp_path / "runs.rpk"
    log = killed(path)
    data = bytearray(log.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + FLIPPED):
        data[at] ^= 0xFF
    log.write_bytes(data)
    return path


def missing_in(store: Path) -> list[int]:
    shown = parsed("show", store, "hole")
    return sorted(set(range(CALLS)) - {action["sequence"] for action in shown["actions"]})


def demand_told(store: Path) -> None:
    """What lists, shows and sums up the session says where records are damaged."""
    lacking = missing_in(store)
    (listed,) = parsed("list", store)
    shown, words = parsed("show", store, "hole"), run("show", store, "hole", "--limit", CALLS).stdout
    facts = parsed("info", store)

    assert lacking
    assert (listed["gaps"], shown["gaps"], facts["gaps"]) == (1, 1, 1)
    assert "1 gap" in run("list", store).stdout
    assert "1 gap" in words
    (line,) = [line for line in words.splitlines() if "missing" in line and "gap" not in line]
    assert f"{lacking[0]} to {lacking[-1]} are missing" in line
    assert "gaps: 1" in run("show", store, "hole", "--text").stdout
    assert shown["playable"]["verdict"] == "partly"
    assert "damaged" in " ".join(shown["playable"]["reasons"])
    assert facts["health"] == "attention"


def test_a_gap_in_an_abandoned_log_is_told_by_every_reader(store: Path) -> None:
    """Before anybody has published it: also by ``verify``, which looks at logs that nobody writes."""
    demand_told(store)
    verified, diagnosed = run("verify", store), run("doctor", store)

    assert verified.exit_code == 1
    assert ".live, byte " in verified.stdout
    assert diagnosed.exit_code == 1
    assert "1 damaged record(s)" in " ".join(diagnosed.stdout.split())


def test_a_gap_is_told_once_its_session_is_published(store: Path) -> None:
    """And after each rewriting of the file: a warning of ``doctor``, and beside the verdict of ``verify``."""
    for _ in range(2):
        assert run("compact", store).exit_code == 0
        demand_told(store)
        diagnosis = parsed("doctor", store)
        (finding,) = [each for each in diagnosis["findings"] if each["severity"] == "warning"]

        assert "1 gap" in finding["what"]
        assert (run("doctor", store).exit_code, diagnosis["worst"]) == (1, "warning")
        assert parsed("verify", store)["gaps"] == 1
        assert "1 gap" in run("verify", store).stdout


def test_a_gap_is_told_by_tail(store: Path) -> None:
    """With how the session ended, in the words of ``list``; as JSON on a line of its own, after the actions."""
    for _ in range(2):
        said, (listed,) = run("tail", store, "hole"), parsed("list", store)
        last = json.loads(run("tail", store, "hole", "--json").stdout.splitlines()[-1])

        assert said.exit_code == 0
        assert f"interrupted, 1 gap  {CALLS - len(missing_in(store))} actions" in said.stderr
        assert last == {"session_id": listed["session_id"], "state": "interrupted", "lost": 0, "gaps": 1}
        assert run("compact", store).exit_code == 0


def test_a_gap_is_told_by_the_verdict_of_a_replay(store: Path) -> None:
    """Also of a session that was resumed and has ended: all that is there agrees, and yet it does not pass."""

    @replaykit.records("find")
    def search(query: str) -> list[int]:
        return [1]

    with replaykit.Recorder(store) as recorder:
        recorder.resume_session("hole")
        search("resumed")
        recorder.end_session()
    with replaykit.load(store) as recording:
        session = recording.get_session("hole")
        result = replaykit.replay(session, search)

    assert (session.state, session.gaps) == ("sealed", 1)
    assert (result.verdict, result.mismatched_actions) == ("incomplete", 0)
    assert list(result.incomplete) == ["1 gap: records of its log were damaged"]

    memory = store.parent / "notes.mv"
    replaykit.open(memory).close()
    one, every = (("replay", store, which, "--on", memory, "--base", "live") for which in ("hole", "--all"))
    assert "note: 1 gap: records of its log were damaged" in run(*one).stdout
    assert "note: 1 gap: records of its log were damaged" in run(*every).stdout
    assert parsed(*one)["incomplete"] == list(result.incomplete)
    assert parsed(*every)["sessions"][0]["incomplete"] == list(result.incomplete)


def test_a_session_with_a_gap_is_not_recovered_whole(store: Path, tmp_path: Path) -> None:
    """Exit code 3: out of the log, and out of the store that it was published in."""
    for number in range(2):
        target = tmp_path / f"saved{number}.rpk"
        said = run("recover", store, "-o", target)

        assert said.exit_code == 3
        assert "0 of 1 session whole" in said.stdout
        assert "1 gap" in said.stdout
        demand_told(target)
        run("compact", store)


def test_a_torn_end_is_no_gap(tmp_path: Path) -> None:
    """The call whose record was cut short by the kill was never acknowledged."""
    store = tmp_path / "runs.rpk"
    log = killed(store)
    log.write_bytes(log.read_bytes()[:-3])

    assert run("verify", store).exit_code == 0
    assert (parsed("list", store)[0]["gaps"], missing_in(store)) == (0, [CALLS - 1])
    assert run("recover", store, "-o", tmp_path / "saved.rpk").exit_code == 0
    assert run("compact", store).exit_code == 0
    assert parsed("list", store)[0]["gaps"] == 0
    assert run("doctor", store).exit_code == 0


def test_a_log_that_is_being_written_is_not_looked_at(tmp_path: Path) -> None:
    """``verify`` says so."""
    store = tmp_path / "runs.rpk"
    with replaykit.Recorder(store) as recorder, recorder.session("open"):
        assert "1 live log not looked at" in run("verify", store).stdout
        assert parsed("verify", store)["live_logs"] == 1

    assert parsed("verify", store)["live_logs"] == 0


def senseless_record(sequence: int) -> bytes:
    """Return a record whose checksum is right, of a call of operation 0 whose arguments are none."""
    body = records.action_body(
        records.ACTION, flags=0, operation=0, sequence=sequence, parent=-1, time_ns=1, arguments=b"\xff\xff"
    )
    return PREFIX.pack(MAGIC, len(body), records.checksum()(0, body)) + body


def test_a_record_that_this_process_wrote_without_sense_counts_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Found when it is published: in the session's count and the recorder's, and in the log once."""

    @replaykit.records("find")
    def search(query: str) -> list[int]:
        return [1]

    with caplog.at_level("ERROR", logger="replaykit"), replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        with recorder.session("own") as session:
            search("Paris")
            assert session._active is not None
            session._active.live.append(senseless_record(1) + senseless_record(2))
        assert session.result is not None
        found, counted = session.result, recorder.stats()["lost"]

    assert (found.lost, found.gaps, found.playable.verdict, counted) == (2, 2, "partly", 2)
    assert sum("action_lost" in record.getMessage() for record in caplog.records) == 1
