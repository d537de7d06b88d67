"""What `recover` copies of a damaged memory: every frame that can be read, and it says how many of how many."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner, Result

import replaykit
from replaykit.cli.commands import program
from replaykit.errors import CheckpointNotFoundError
from replaykit.loading import recovered
from replaykit.memory.checking import check_frames

PUTS = 300
PAGE = 4096


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a memory of 300 frames, each put by itself, with one update, one deletion and two sessions."""
    path = tmp_path / "d.mv"
    with replaykit.open(path) as mv:
        with mv.session("first") as session:
            for n in range(PUTS):
                mv.put(f"UNIQ{n} some text here about Paris " * 5, title=f"title {n}", metadata={"n": n})
            session.checkpoint()
        with mv.session("second"):
            mv.update(7, "Lyon is on the Rhône.")
            mv.delete(9)
            mv.find("paris")
    return path


def recover(path: Path, target: str, *more: str) -> Result:
    return CliRunner().invoke(program, ["recover", str(path), "-o", target, *more])


def pages_of(path: Path, table: str) -> Sequence[int]:
    """Return the numbers of the leaf pages of a table, from 0."""
    connection = apsw.Connection(str(path))
    sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
    try:
        return [number - 1 for (number,) in connection.execute(sql, (table,))]
    finally:
        connection.close()


def overwrite(path: Path, page: int, data: bytes = b"\xff" * PAGE) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(data)


def contents(path: str | Path) -> dict[int, object]:
    with replaykit.open(path, read_only=True) as mv:
        return {frame.frame_id: frame.content for frame in mv}


def test_a_whole_memory_is_copied_whole(damaged: Path, tmp_path: Path) -> None:
    """All frames under their ids, all states, the same identity, and it goes on as it would have."""
    said = recover(damaged, "new.mv")

    assert said.exit_code == 0, said.output
    assert "2 of 2 sessions whole, 299 frames." in said.output
    assert contents("new.mv") == contents(damaged)
    with replaykit.open("new.mv") as new, replaykit.open(damaged) as old:
        assert (new.generation, new.lineage.memory_id) == (old.generation, old.lineage.memory_id)
        assert new.snapshot() == old.snapshot()
        (checkpoint,) = new.get_session("first").checkpoints
        assert new.at(checkpoint).get(9).title == "title 8"
        assert len(new.at(generation=100)) == 100
        assert [hit.frame_id for hit in new.find("paris", 5)] == [hit.frame_id for hit in old.find("paris", 5)]
        assert new.replay("second")
        assert new.put("next") == PUTS + 1


def test_a_memory_that_nobody_recorded_is_not_damaged(tmp_path: Path) -> None:
    """It has no tables of sessions, and every frame comes along."""
    path = tmp_path / "plain.mv"
    with replaykit.open(path) as mv:
        mv.put_many(["Paris", "Lyon"])

    said = recover(path, "new.mv")
    assert said.exit_code == 0, said.output
    assert "no such table" not in said.output
    assert contents("new.mv") == {1: "Paris", 2: "Lyon"}


@pytest.mark.parametrize("table", ["memory_versions", "memory_contents"])
def test_what_lies_around_a_damaged_page_is_copied(table: str, damaged: Path, tmp_path: Path) -> None:
    """Rows before it and behind it; what is lost is counted, named and makes a new generation."""
    before = contents(damaged)
    pages = pages_of(damaged, table)
    overwrite(damaged, pages[len(pages) // 2])
    untouched = damaged.read_bytes()

    said = recover(damaged, "new.mv", "--json")

    assert said.exit_code == 3
    told = json.loads(said.output)["memory"]
    rescued = contents("new.mv")
    assert 0 < told["lost_frames"] < 60
    assert told["frames"] + told["lost_frames"] == len(before)
    assert len(rescued) == told["frames"]
    assert rescued.items() <= before.items()
    assert damaged.read_bytes() == untouched
    check = check_frames("new.mv")
    assert check is not None and not check.problems
    with replaykit.open("new.mv") as new:
        assert new.generation == PUTS + 3
        assert len(new.find("paris", 400)) == len(rescued) - (7 in rescued)
        with pytest.raises(CheckpointNotFoundError):
            new.at(generation=PUTS + 2)
        assert new.put("next") == PUTS + 1


def test_a_flipped_bit_costs_that_frame(damaged: Path) -> None:
    """It is named, and the text as it is now stays in the damaged file."""
    data = damaged.read_bytes()
    connection = apsw.Connection(str(damaged))
    connection.execute("UPDATE memory_contents SET content = replace(content, 'UNIQ150 ', 'UNIQ15p ')")
    connection.close()
    assert data != damaged.read_bytes()

    said = recover(damaged, "new.mv")

    assert said.exit_code == 3
    assert "frame 151: what it holds does not agree with its hash" in said.output
    assert "298 of 299 frames" in said.output
    assert 151 not in contents("new.mv")
    with replaykit.open("new.mv") as new:
        assert len(new.at(generation=150)) == 150
        with pytest.raises(CheckpointNotFoundError):
            new.at(generation=151)


def test_a_lost_older_version_costs_the_states_that_had_it(damaged: Path) -> None:
    """The present is whole, and so is what came before and after."""
    connection = apsw.Connection(str(damaged))
    connection.execute("UPDATE memory_versions SET title = 'x' WHERE frame_id = 7 AND until = ?", (PUTS + 1,))
    connection.close()

    result = recovered(damaged, "new.mv")

    assert not result and result.memory is not None
    assert (result.memory.frames, result.memory.lost_frames, result.memory.lost_versions) == (299, 0, 1)
    with replaykit.open("new.mv") as new:
        assert new.generation == PUTS + 2
        assert len(new.at(generation=6)) == 6 and len(new.at(generation=PUTS + 1)) == PUTS
        with pytest.raises(CheckpointNotFoundError):
            new.at(generation=7)


def test_a_memory_without_its_state_is_rescued_all_the_same(damaged: Path) -> None:
    """What it says of itself is made anew from the frames."""
    before = contents(damaged)
    overwrite(damaged, pages_of(damaged, "memory_state")[0])

    said = recover(damaged, "new.mv")

    assert said.exit_code == 3
    assert contents("new.mv") == before


@pytest.mark.parametrize("target", ["new.rpk", "new/"])
def test_a_store_of_sessions_says_that_frames_were_not_copied(target: str, damaged: Path) -> None:
    """In text and in JSON, with the exit code of a loss; and nothing there looks like a memory."""
    said = recover(damaged, target)
    assert said.exit_code == 3
    assert "sessions only: 299 frames not copied" in said.output

    told = json.loads(recover(damaged, f"2{target}", "--json").output)
    assert told["ok"] is False and told["memory"]["lost_frames"] == 299
    assert len(replaykit.load(target).list_sessions()) == 2


def test_tables_of_somebody_else_are_not_read(damaged: Path) -> None:
    """Then the new file holds no memory: a rescued one it is not."""
    connection = apsw.Connection(str(damaged))
    connection.execute("ALTER TABLE memory_contents ADD COLUMN more")
    connection.close()

    said = recover(damaged, "new.mv")

    assert said.exit_code == 3 and "no frame was copied" in said.output
    assert check_frames("new.mv") is None


def test_every_damaged_page_leaves_a_memory_that_checks(damaged: Path, tmp_path: Path) -> None:
    """Whichever page it is, the command ends with a line and what it made is whole in itself."""
    whole = damaged.read_bytes()
    count = len(whole) // PAGE
    for page in range(1, count, max(1, count // 6)):
        overwrite(damaged, page)
        target = f"new{page}.mv"
        said = recover(damaged, target)
        assert said.exit_code in (0, 1, 3), said.output
        assert said.exception is None or isinstance(said.exception, SystemExit), said.output
        if os.path.exists(target):
            check = check_frames(target)
            assert check is None or not check.problems
        damaged.write_bytes(whole)


def test_vectors_lineage_and_erasures_come_along(tmp_path: Path) -> None:
    """A memory is more than its frames."""

    class Letters:
        name, dimension = "letters", 2

        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            return [[float(text.count("a")), float(len(text))] for text in texts]

    path = tmp_path / "v.mv"
    with replaykit.open(path, embedder=Letters()) as mv:
        mv.put_many(["abba", "beta", "secret"])
        mv.fork("fork.mv").close()
        mv.erase(3)
        mv.prune()

    assert recover(path, "new.mv").exit_code == 0
    with replaykit.open("new.mv", embedder=Letters()) as new, replaykit.open(path, embedder=Letters()) as old:
        assert new.vectors == old.vectors and new.vectors.stored == 2
        assert new.lineage == old.lineage and len(new.lineage.forks) == 1
        assert new.put("next") == 4
        assert [hit.frame_id for hit in new.find("abba", mode="vec")][0] == 1
