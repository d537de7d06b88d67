"""``replaykit review`` shows what recordings would become, and does what it is told."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from regression.proposed import files_in, of_test, proposed

from replaykit.cli.commands import program

PARIS = ("paris", [{"id": 1, "text": "Paris is in France."}])
LYON = ("lyon", [{"id": 2, "text": "Lyon is on the Rhône."}])
NEXT = ("lyon", [{"id": 2, "text": "Lyon is on the Saône."}])


@pytest.fixture
def changed(own_folder: Path) -> Path:
    """Return a folder with a changed recording, a new one, and one that waits for nothing."""
    of_test(own_folder, [PARIS, LYON])
    proposed(own_folder, [PARIS, NEXT])
    proposed(own_folder, [PARIS], "test_new")
    of_test(own_folder, [PARIS], "test_settled")
    return own_folder


def review(*words: str) -> Result:
    return CliRunner().invoke(program, ["review", *words])


def test_without_a_terminal_all_is_shown_and_waits(changed: Path) -> None:
    before = files_in(changed)

    done = review()

    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "test_notes.py::test_find  recordings/test_notes/test_find.rpk  1 same, 1 differing",
        "~ search(query='lyon')",
        "    frame 2.text: Lyon is on the [-Rhône.-]{+Saône.+}",
        "test_notes.py::test_new  recordings/test_notes/test_new.rpk  new, 1 call",
        "+ search(query='paris')",
        "    gave [{'id': 1, 'text': 'Paris is in France.'}]",
        "2 wait",
    ]
    assert files_in(changed) == before


def test_what_would_change_beside_the_hits_is_shown(own_folder: Path) -> None:
    """It said that nothing differs, and the change could be accepted unseen."""
    hit = {"id": 1, "text": "Paris is in France."}
    of_test(own_folder, [("paris", {"hits": [hit], "total": 10, "took_ms": 3, "error": None})])
    proposed(own_folder, [("paris", {"hits": [hit], "total": 11, "took_ms": 4, "error": "index offline"})])

    done = review()

    assert done.stdout.splitlines() == [
        "test_notes.py::test_find  recordings/test_notes/test_find.rpk  1 differing",
        "~ search(query='paris')",
        "    result.error: None -> 'index offline'",
        "    result.total: 10 -> 11",
        "1 waits",
    ]


def test_a_list_has_a_line_each(changed: Path) -> None:
    done = review("--list", str(changed))

    assert done.exit_code == 1
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == [
        "test_notes.py::test_find",
        "test_notes.py::test_new",
    ]


@pytest.mark.parametrize(
    ("flag", "left"),
    [("--accept", ["test_find", "test_new", "test_settled"]), ("--reject", ["test_find", "test_settled"])],
)
def test_all_can_be_decided_at_once(changed: Path, flag: str, left: list[str]) -> None:
    done = review(flag)

    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"2 {flag[2:]}ed"
    assert files_in(changed) == [f"recordings/test_notes/{name}.rpk" for name in left]
    assert review().stdout.startswith("no recording waits")
    assert review().exit_code == 0


def test_paths_say_which(changed: Path) -> None:
    assert review("--accept", "recordings/test_notes/test_find.rpk").exit_code == 0

    assert "recordings/test_notes/test_new.new.rpk" in files_in(changed)


def test_json_has_all_and_says_what_was_done(changed: Path) -> None:
    shown = review("--json")
    done = json.loads(review("--json", "--reject").stdout)

    assert shown.exit_code == 1
    first, second = json.loads(shown.stdout)
    assert (first["identity"], first["is_new"], first["same"], first["differing"]) == (
        "test_notes.py::test_find",
        False,
        1,
        1,
    )
    assert (first["state"], second["is_new"], second["added"]) == ("waits", True, 1)
    assert [item["state"] for item in done] == ["rejected", "rejected"]


@pytest.mark.parametrize(
    "words", [("--accept", "--reject"), ("--list", "--accept"), ("--stale", "--accept"), ("missing",), ("notes.txt",)]
)
def test_wrong_usage_is_said(changed: Path, words: tuple[str, ...]) -> None:
    (changed / "notes.txt").touch()

    assert review(*words).exit_code == 2


def test_one_that_cannot_be_read_is_said_and_the_others_go_on(changed: Path) -> None:
    damaged = changed / "recordings/test_notes/test_find.new.rpk"
    damaged.write_bytes(damaged.read_bytes()[:-200])

    done = review("--accept")

    assert done.exit_code == 3
    assert done.stderr.startswith("replaykit: ")
    assert "test_find.new.rpk" in done.stderr
    assert done.stdout.splitlines()[-1] == "1 accepted, 1 cannot be reviewed"
    assert "recordings/test_notes/test_new.rpk" in files_in(changed)


def test_recordings_whose_module_is_gone_are_told_and_removed(changed: Path) -> None:
    (changed / "test_notes.py").touch()
    gone = of_test(changed / "old", [PARIS], module="test_gone.py")
    of_test(changed / "old", [PARIS], module="test_moved.py").rename(changed / "copy.rpk")

    shown = review("--stale")
    done = review("--stale", "--reject", "--json")

    assert (shown.exit_code, shown.stdout) == (
        1,
        f"stale  {gone.relative_to(changed)}\n1 recording whose module of tests is gone\n",
    )
    assert (done.exit_code, json.loads(done.stdout)) == (0, [{"path": str(gone), "state": "removed"}])
    assert not gone.parent.exists()
    assert len(files_in(changed)) == 5
    assert review("--stale").exit_code == 0


def test_on_a_terminal_each_is_asked_about(changed: Path) -> None:
    """In colour, and what was not asked about waits."""
    proposed(changed, [LYON], "test_zoo")
    controller, terminal = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "replaykit", "review"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
    )
    os.close(terminal)
    shown = b""
    for answer in (b"r\n", b"maybe\na\n", b"q\n"):
        while not shown.rstrip().endswith(b"(a, r, s, q):"):
            shown += os.read(controller, 4096)
        os.write(controller, answer)
        shown += b"\n"
    assert asked.wait(30) == 1
    os.close(controller)

    assert b"\x1b[32m{+Sa" in shown
    assert files_in(changed) == [
        f"recordings/test_notes/{name}.rpk" for name in ("test_find", "test_new", "test_settled", "test_zoo.new")
    ]
