"""What a look at a memory's file finds of its frames, and what it says that it did not look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

import replaykit
from replaykit.cli.commands import program
from replaykit.errors import DamagedError
from replaykit.loading import diagnosed
from replaykit.memory.checking import NOT_CHECKED, check_frames

TEXT = "UNIQUE text about the capital of France"


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """Return a memory of three frames, one of them with an older version, and one session."""
    path = tmp_path / "notes.mv"
    with replaykit.open(path) as mv:
        first = mv.put(TEXT, title="France", metadata={"n": 1})
        with mv.session("s"):
            mv.put("Lyon is on the Rhône.")
            mv.put(b"\x00\x01bytes", title="a picture")
        mv.update(first, TEXT + ", as it is now")
    return path


def changed(path: Path, before: bytes, after: bytes) -> None:
    """Write *after* over *before*, of the same length, wherever it stands in the file."""
    data = path.read_bytes()
    assert before in data and len(before) == len(after)
    path.write_bytes(data.replace(before, after))


def with_row(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def test_a_whole_memory_says_what_was_checked_and_what_not(memory: Path) -> None:
    """Never that every byte is accounted for: times, vectors and the index have no hash."""
    with replaykit.load(memory) as recording:
        verification = recording.verify()
    assert verification and (verification.frames, verification.versions) == (3, 1)
    assert verification.unchecked == NOT_CHECKED

    said = CliRunner().invoke(program, ["verify", str(memory)]).output
    assert "every byte of the sessions accounted for; 3 frames and 1 older version checked by hash" in said
    assert "not checked: when frames were written" in said
    assert "every byte is accounted for" not in CliRunner().invoke(program, ["info", str(memory)]).output


@pytest.mark.parametrize("verb", ["verify", "doctor"])
def test_a_flipped_bit_in_a_text_is_damage(memory: Path, verb: str) -> None:
    """One letter is another one, and nothing of SQLite's own notices."""
    changed(memory, b"UNIQUE text", b"UNIQUE tezt")

    with replaykit.load(memory) as recording:
        assert recording.list_sessions()[0].action_count == 2
    told = CliRunner().invoke(program, [verb, str(memory)])
    assert told.exit_code == 1
    assert "frame 1: what it holds does not agree with its hash" in told.output
    assert "an older version (1) of frame 1" in told.output
    assert "damaged" in CliRunner().invoke(program, ["info", str(memory)]).output
    with pytest.raises(DamagedError):
        replaykit.load(memory, recovery="strict")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM memory_versions WHERE frame_id = 2", "it has 2 frames, and says 3"),
        ("UPDATE memory_state SET frames_hash = zeroblob(2048)", "do not agree with the hash of its state"),
        ("UPDATE memory_versions SET title = 'Spain' WHERE version_id = 4", "frame 1: what it holds"),
        ("UPDATE memory_versions SET metadata = x'00' WHERE version_id = 4", "the metadata of a frame is no text"),
        ("DELETE FROM memory_contents WHERE content_id = 2", "frame 2: its content is not there"),
        ("INSERT INTO memory_index (rowid, title, body) VALUES (9, 'x', 'y')", "its search index has other frames"),
    ],
)
def test_what_does_not_belong_together_is_damage(memory: Path, statement: str, said: str) -> None:
    """A row less, a sum, a field, a content, an index of other frames."""
    with_row(memory, statement)

    check = check_frames(str(memory))
    assert check is not None and check.problems
    assert said in check.problems[0]


def test_a_page_that_sqlite_cannot_read_is_damage(memory: Path) -> None:
    """Also where the rows are found all the same."""
    data = bytearray(memory.read_bytes())
    index = data.index(b"\x0a", 4096)
    for page in range(4096, len(data), 4096):
        if data[page] == 0x0A:
            index = page
            break
    data[index + 3 : index + 5] = b"\x00\x00"
    memory.write_bytes(data)

    check = check_frames(str(memory))
    assert check is not None and any("the database" in problem for problem in check.problems)
    assert diagnosed(str(memory)).worst == "damage"


def test_depth_bytes_leaves_the_frames_out_and_says_so(memory: Path) -> None:
    """It is for whoever copies many recordings."""
    changed(memory, b"UNIQUE text", b"UNIQUE tezt")

    with replaykit.load(memory) as recording:
        verification = recording.verify(depth="bytes")
    assert verification and verification.frames is None
    assert verification.unchecked and "frames" in verification.unchecked[0]


def test_many_damaged_frames_are_counted(tmp_path: Path) -> None:
    """The first ones are told one by one, in bounded memory."""
    path = tmp_path / "many.mv"
    with replaykit.open(path) as mv:
        mv.put_many([f"text {n}" for n in range(60)])
    with_row(path, "UPDATE memory_versions SET title = 'x'")

    check = check_frames(str(path))
    assert check is not None
    assert len(check.problems) == 21 and "40 more" in check.problems[-1]


def test_verifying_tells_how_far_it_is(memory: Path) -> None:
    """From nothing to all, never back."""
    told: list[float] = []
    with replaykit.load(memory) as recording:
        recording.verify(progress=lambda done, total: told.append(done / total))

    assert told == sorted(told) and told[-1] == 1


def test_what_holds_no_memory_is_no_memory(tmp_path: Path) -> None:
    """A store of sessions in such a file has no frames to check."""
    path = tmp_path / "sessions.mv"
    with replaykit.Recorder(path) as recorder, recorder.session("s"):
        pass

    assert check_frames(str(path)) is None
    with replaykit.load(path) as recording:
        assert recording.verify().unchecked == ()


def test_a_writer_at_work_is_no_damage(memory: Path) -> None:
    """All is read in one transaction."""
    with replaykit.open(memory) as mv:
        written: list[int] = []
        check: Callable[[int, int], None] = lambda done, total: written.append(mv.put("meanwhile"))  # noqa: E731
        found = check_frames(str(memory), progress=check)
        assert written and found is not None and found.problems == ()
