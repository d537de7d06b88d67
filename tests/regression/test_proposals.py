"""New versions of recordings: which there are, what each changes, and what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from regression.proposed import files_in, of_test, proposed, recorded

import replaykit
from replaykit.errors import NotAStoreError, ReplaykitError, StorageError, UsageError, WrongRecordingError
from replaykit.regression import searching
from replaykit.regression.places import place_at, place_of
from replaykit.regression.proposals import accept, change_of, reject
from replaykit.regression.searching import proposals_below

PARIS = ("paris", [{"id": 1, "text": "Paris is in France."}])
LYON = ("lyon", [{"id": 2, "text": "Lyon is on the Rhône."}])


def spoilt(data: bytes) -> bytes:
    """Return *data* with one byte changed in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


# -- which there are --------------------------------------------------------------


def test_proposals_are_found_below_folders_but_not_where_projects_have_no_tests(tmp_path: Path) -> None:
    """Hidden folders, virtual environments and symlinks are passed over."""
    wanted = proposed(tmp_path / "tests" / "unit", [PARIS])
    of_test(tmp_path / "tests" / "unit", [PARIS], "test_other")
    for passed_over in (".tox", "node_modules", "venv"):
        proposed(tmp_path / passed_over, [PARIS])
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (wanted.parent / "test_link.new.rpk").symlink_to(wanted)

    assert proposals_below([str(tmp_path)]) == [str(wanted)]


@pytest.mark.parametrize(
    "named", ["tests", "tests/test_notes.py", "tests/recordings/test_notes/test_find.rpk", "tests/recordings"]
)
def test_a_proposal_is_found_by_folder_module_and_recording(own_folder: Path, named: str) -> None:
    wanted = proposed(own_folder / "tests", [PARIS])

    assert proposals_below([named, str(wanted)]) == [str(wanted)]


def test_a_path_that_has_no_recordings_is_a_usage_error(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_folder / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"notes\.txt has no recordings"):
        proposals_below(["notes.txt"])

    monkeypatch.setattr(searching, "MOST_FOLDERS", 3)
    (own_folder / "a/b/c/d").mkdir(parents=True)
    with pytest.raises(UsageError, match="more than 3 folders"):
        proposals_below(["."])


# -- what changes -----------------------------------------------------------------


def test_what_went_came_and_gave_something_else_is_told_in_the_order_of_the_calls(tmp_path: Path) -> None:
    of_test(tmp_path, [PARIS, ("rome", []), LYON, ("oslo", [{"id": 9}])])
    now = [{"id": 3, "text": "Lyon."}]
    path = proposed(tmp_path, [PARIS, ("lima", ["none"]), ("lyon", now), ("oslo", [{"id": 9}])])

    change = change_of(str(path))

    assert (change.identity, change.is_new, change.note) == ("test_notes.py::test_find", False, "")
    assert (change.diff.same, change.diff.differing, change.diff.removed, change.diff.added) == (2, 1, 1, 1)
    assert list(change.diff.lines) == [
        "- search(query='rome')",
        "    gave []",
        "+ search(query='lima')",
        "    gave ['none']",
        "~ search(query='lyon')",
        "    lost   frame 2  rank 1  Lyon is on the Rhône.",
        "    new    frame 3  rank 1  Lyon.",
    ]


def test_of_a_new_recording_all_is_told_within_bounds(tmp_path: Path) -> None:
    path = proposed(tmp_path, [(f"\x1b[2Jcity {number}", "x" * 5_000) for number in range(60)])

    change = change_of(str(path))

    assert (change.is_new, change.diff.added) == (True, 60)
    assert change.diff.lines[-1] == "and 10 more calls"
    assert max(map(len, change.diff.lines)) < 200
    assert all(line.isprintable() for line in change.diff.lines)


def test_what_is_no_call_is_told_as_well(tmp_path: Path) -> None:
    place = place_of(tmp_path / "test_notes.py", ["test_find"])
    recorded(place.path, place.identity, [PARIS], ticket="A-1")
    path = recorded(place.path.replace(".rpk", ".new.rpk"), place.identity, [PARIS], ticket="A-2")

    assert list(change_of(str(path)).diff.lines) == ["~ metadata.ticket: 'A-1' -> 'A-2'"]


@pytest.mark.parametrize(
    "names",
    [
        ["test_find[a::b]"],
        ["TestNotes", "test_find[x/y]"],
        ["test_find[\N{GRINNING FACE}]"],
        ["TestNotes", "new"],
        ["test_find[" + "x" * 300 + "]"],
    ],
)
def test_a_test_of_any_name_has_proposals(tmp_path: Path, names: list[str]) -> None:
    change = change_of(str(proposed(tmp_path, [PARIS], *names)))

    assert change.identity[:200] == "::".join(["test_notes.py", *names])[:200]
    accept(change)
    assert files_in(tmp_path) == [os.path.relpath(place_of(tmp_path / "test_notes.py", names).path, tmp_path)]


def test_a_proposal_of_another_test_is_refused(tmp_path: Path) -> None:
    """By where it lies, so that a recording of a renamed test can be replaced."""
    moved = proposed(tmp_path, [PARIS]).rename(tmp_path / "recordings/test_notes/test_other.new.rpk")
    with pytest.raises(WrongRecordingError, match=r"test_other\.new\.rpk is the recording of test_notes.py::test_find"):
        change_of(str(moved))

    path = proposed(tmp_path, [PARIS])
    of_test(tmp_path, [PARIS], "test_old").rename(tmp_path / "recordings/test_notes/test_find.rpk")
    change = change_of(str(path))
    assert change.note == "the recording that is there is that of test_notes.py::test_old"
    accept(change)


def test_a_recording_that_is_named_has_a_proposal_of_that_name(tmp_path: Path) -> None:
    shared = recorded(tmp_path / "shared.new.rpk", "shared", [PARIS])
    foreign = recorded(tmp_path / "other.new.rpk", "shared", [PARIS])

    assert change_of(str(shared)).is_new
    with pytest.raises(WrongRecordingError):
        change_of(str(foreign))
    with pytest.raises(UsageError, match="waits for a review"):
        place_at(shared)


# -- what cannot be reviewed ------------------------------------------------------


def test_a_damaged_proposal_is_an_error_and_a_damaged_recording_is_replaced(tmp_path: Path) -> None:
    """As is an empty one: that is how to mend it."""
    recording, path = of_test(tmp_path, [LYON]), proposed(tmp_path, [PARIS])
    whole = path.read_bytes()
    path.write_bytes(spoilt(whole))
    with pytest.raises(StorageError):
        change_of(str(path))

    path.write_bytes(whole)
    recording.write_bytes(spoilt(recording.read_bytes()))
    change = change_of(str(path))
    assert change.note.startswith("the recording that is there is damaged")
    accept(change)
    assert recording.read_bytes() == whole

    path.write_bytes(whole)
    recording.unlink()
    with replaykit.Recorder(recording) as recorder:
        with recorder.session("gone"):
            pass
        recorder.delete_session("gone")
    for empty in (recording.read_bytes(), b""):
        path.write_bytes(whole)
        recording.write_bytes(empty)
        change = change_of(str(path))
        assert change.note == "the recording that is there is empty"
        accept(change)
        assert recording.read_bytes() == whole


def test_what_is_no_recording_of_a_test_is_neither_shown_nor_replaced(tmp_path: Path) -> None:
    path = proposed(tmp_path, [PARIS])
    recording = tmp_path / "recordings/test_notes/test_find.rpk"
    for content in (b"!", b"not a recording"):
        recording.write_bytes(content)
        with pytest.raises(NotAStoreError):
            change_of(str(path))
    recording.unlink()
    os.mkfifo(recording)
    with pytest.raises(NotAStoreError):
        change_of(str(path))
    recording.unlink()
    recording.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAStoreError):
        change_of(str(path))


# -- deciding ---------------------------------------------------------------------


def test_an_accepted_proposal_is_the_recording_and_a_rejected_one_is_gone(tmp_path: Path) -> None:
    old = of_test(tmp_path, [PARIS]).read_bytes()
    path = proposed(tmp_path, [LYON])
    new = path.read_bytes()
    reject(change_of(str(path)))
    assert files_in(tmp_path) == ["recordings/test_notes/test_find.rpk"]
    recording = tmp_path / files_in(tmp_path)[0]
    assert recording.read_bytes() == old

    proposed(tmp_path, [LYON])
    accept(change_of(str(path)))

    assert files_in(tmp_path) == ["recordings/test_notes/test_find.rpk"]
    assert recording.read_bytes() == new


@pytest.mark.parametrize("changes", ["recording", "proposal", "appears"])
def test_only_what_was_shown_is_accepted(tmp_path: Path, changes: str) -> None:
    if changes != "appears":
        of_test(tmp_path, [PARIS])
    path = proposed(tmp_path, [LYON])
    change = change_of(str(path))
    write = proposed if changes == "proposal" else of_test
    changed = write(tmp_path, [PARIS, LYON])
    before = changed.read_bytes()

    with pytest.raises(ReplaykitError, match="review it again"):
        accept(change)

    assert changed.read_bytes() == before
    assert path.exists()
