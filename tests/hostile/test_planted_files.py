"""Links, devices, pipes and folders wherever we open or create a file; modes; descriptors; names."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hostile.forging import at_most_seconds
from hostile.samples import made

import replaykit
from replaykit.errors import ReplaykitError, StorageError, StoreFullError
from replaykit.storage.file_store import FileStore
from replaykit.storage.options import StoreOptions
from replaykit.storage.recovering import recover_into
from replaykit.testing.contracts import make_part

PRECIOUS = b"precious"


def planted_link(path: Path) -> None:
    target = path.parent / "precious"
    target.write_bytes(PRECIOUS)
    path.symlink_to(target)


def planted_loose_link(path: Path) -> None:
    path.symlink_to(path.parent / "not there")


def planted_hard_link(path: Path) -> None:
    target = path.parent / "precious"
    target.write_bytes(PRECIOUS)
    os.link(target, path)


def planted_pipe(path: Path) -> None:
    os.mkfifo(path)


def planted_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(PRECIOUS)


def planted_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def planted_socket(path: Path) -> None:
    import socket

    # A path may be longer than a socket's name may be.
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(before)


PLANTED = [
    planted_link,
    planted_loose_link,
    planted_hard_link,
    planted_pipe,
    planted_folder,
    planted_device,
    planted_socket,
]
planted = pytest.mark.parametrize("plant", PLANTED)


@pytest.fixture(autouse=True)
def never_hangs() -> Iterator[None]:
    with at_most_seconds(60):
        yield


def demand_untouched(folder: Path) -> None:
    target = folder / "precious"
    assert not target.exists() or target.read_bytes() == PRECIOUS
    assert not (folder / "not there").exists()
    for inside in folder.rglob("inside"):
        assert inside.read_bytes() == PRECIOUS


def record_one(location: Path | str, **options: object) -> None:
    with replaykit.Recorder(location, on_loss="raise", **options) as recorder, recorder.session("s") as session:
        session.record("tool", name="f", output="x")


@planted
@pytest.mark.parametrize("name", ["runs.rpk", "notes.mv"])
def test_no_store_is_opened_through_what_was_planted(plant: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    """For writing, reading, salvage and recovery: a typed error at once."""
    path = tmp_path / name
    plant(path)
    for use in (
        lambda: record_one(path),
        lambda: replaykit.load(path).list_sessions(),
        lambda: replaykit.load(path, recovery="salvage").list_sessions(),
        lambda: recover_into(path, tmp_path / "new.rpk"),
    ):
        # A folder is a store of another kind, and stays as it is but for what is recorded.
        with contextlib.suppress(ReplaykitError):
            use()
            assert plant is planted_folder
    demand_untouched(tmp_path)


@planted
def test_recovery_never_writes_to_what_was_planted(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """The target must not be there, in any form."""
    source = tmp_path / "source.rpk"
    source.write_bytes(made("sessions", tmp_path))
    plant(tmp_path / "new.rpk")
    with pytest.raises(ReplaykitError, match="exists"):
        recover_into(source, tmp_path / "new.rpk")
    demand_untouched(tmp_path)


@planted
def test_what_is_planted_as_a_live_log_is_left_and_costs_nothing(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """Reading and recording go on; what cannot be read as a log is passed over."""
    path = tmp_path / "runs.rpk"
    record_one(path)
    plant(tmp_path / f"runs.rpk.{uuid4().hex}.live")
    for recovery in ("prefix", "salvage"):
        with replaykit.load(path, recovery=recovery) as recording:
            # Another file's bytes are a log that is all damage: no more than that.
            names = [each.name for each in recording.list_sessions()]
            assert names == ["s"] or (plant is planted_hard_link and names == [None, "s"])
    record_one(path)
    recover_into(path, tmp_path / "new.rpk")
    demand_untouched(tmp_path)


@planted
def test_a_live_log_is_never_created_through_what_was_planted(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """The name may be guessed in time: it is refused."""
    store = FileStore(tmp_path / "runs.rpk")
    session_id = uuid4()
    plant(tmp_path / f"runs.rpk.{session_id.hex}.live")
    with pytest.raises(StorageError):
        store.create_log(session_id)
    store.close()
    demand_untouched(tmp_path)


@planted
def test_what_is_planted_as_a_leftover_stays_outside(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """Links are removed, what they lead to is not; a folder is a typed error or left."""
    path = tmp_path / "runs.rpk"
    record_one(path)
    plant(tmp_path / f"runs.rpk.{uuid4().hex}.compact")
    store = FileStore(path)
    with contextlib.suppress(StorageError):
        store.compact()
    assert store.verify()
    store.close()
    demand_untouched(tmp_path)


@planted
def test_what_is_planted_as_evidence_stays_outside(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """A long torn end is kept in a new file or not at all; then the store is as it was."""
    path = tmp_path / "runs.rpk"
    record_one(path)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\x88" + os.urandom(3 << 20))
    before = path.read_bytes()
    plant(tmp_path / f"runs.rpk.{size}.lost")
    try:
        FileStore(path).close()
    except StorageError:
        assert path.read_bytes() == before
    demand_untouched(tmp_path)


@planted
def test_what_is_planted_as_the_key_is_refused_at_once(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """No pipe is waited for, no link followed."""
    plant(tmp_path / "runs.rpk.key")
    with pytest.raises(ReplaykitError, match="secret"):
        record_one(tmp_path / "runs.rpk", capture="hash")
    demand_untouched(tmp_path)


@planted
def test_what_is_planted_in_a_directory_is_named_and_left(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """Recording, listing and salvage of the other files go on; a check names it."""
    folder = tmp_path / "runs"
    record_one(f"{folder}/")
    (name,) = [each.name for each in folder.glob("*.rpk")]
    plant(folder / "planted.rpk")
    record_one(f"{folder}/")
    if plant is planted_hard_link:
        return
    with replaykit.load(folder) as recording:
        assert len(recording.list_sessions()) == 2
        assert any("planted" in problem for problem in recording.verify().problems)
    with replaykit.load(folder, recovery="salvage") as recording:
        assert len(recording.list_sessions()) == 2
        assert any("planted" in problem for problem in recording.verify().problems)
    recover_into(folder, tmp_path / "new.rpk")
    demand_untouched(folder)
    assert (folder / name).exists()


# -- modes ---------------------------------------------------------------------------------


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def demand_private(folder: Path) -> None:
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path.name}: {mode:o}"


def test_every_file_is_private_after_every_operation(open_umask: None, tmp_path: Path) -> None:
    """Under umask 000: stores, logs, keys, copies, recovered files and evidence."""
    with replaykit.Recorder("runs.rpk", capture="hash") as recorder:
        with recorder.session("s") as session:
            session.record("tool", name="f", output="x")
            demand_private(tmp_path)
        recorder.delete_session("s")
    demand_private(tmp_path)
    record_one("folder/")
    record_one("notes.mv")
    demand_private(tmp_path)
    size = Path("runs.rpk").stat().st_size
    with open("runs.rpk", "ab") as file:
        file.write(b"\x88" + os.urandom(3 << 20))
    store = FileStore("runs.rpk")
    store.publish(make_part(UUID(int=1), [0]))
    assert Path(f"runs.rpk.{size}.lost").exists()
    demand_private(tmp_path)
    store.compact()
    demand_private(tmp_path)
    store.close()
    for source, target in (("runs.rpk", "a.rpk"), ("notes.mv", "b.mv"), ("folder", "c.rpk"), ("runs.rpk", "d/")):
        recover_into(source, target)
        demand_private(tmp_path)


def test_a_compaction_never_widens_a_mode(tmp_path: Path) -> None:
    """Also where somebody had opened the old file to others."""
    path = tmp_path / "runs.rpk"
    record_one(path)
    path.chmod(0o644)
    store = FileStore(path)
    store.compact()
    store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# -- descriptors, names, room -----------------------------------------------------------------


def test_no_program_that_we_start_inherits_a_descriptor(tmp_path: Path) -> None:
    """Store, live log, database, lock: none is there after an exec."""
    code = "import os\nfor fd in os.listdir('/proc/self/fd'):\n  try: print(os.readlink('/proc/self/fd/' + fd))\n"
    code += "  except OSError: pass"
    with replaykit.Recorder("runs.rpk") as file, replaykit.Recorder("folder/") as folder, replaykit.open("n.mv") as mv:
        with file.session() as a, folder.session(), mv.session():
            a.record("tool", name="f")
            mv.put("x")
            seen = subprocess.run(
                [sys.executable, "-c", code], close_fds=False, capture_output=True, text=True, check=True
            )
    assert str(tmp_path) not in seen.stdout


CONFUSABLE = ["s", "ѕ", "s\u200b", "\u202es", "S", "ｓ", "s\u0301", "ś"]


def test_look_alike_names_are_told_apart_by_id(tmp_path: Path) -> None:
    """A name selects exactly itself; a listing has the ids."""
    with replaykit.Recorder("runs.rpk") as recorder:
        ids = []
        for name in CONFUSABLE:
            with recorder.session(name) as session:
                session.record("tool", name="f")
            ids.append(session.id)
        listed = recorder.list_sessions()
        assert [each.session_id for each in listed] == ids
        for session_id, each in zip(ids, listed, strict=True):
            same = [other for other in listed if other.name == each.name]
            assert recorder.get_session(each.name).session_id == same[-1].session_id
            assert recorder.get_session(session_id).session_id == session_id


def test_the_terminal_gets_no_control_characters_of_a_recording(tmp_path: Path) -> None:
    """Names, texts and errors are escaped in listings and reports."""
    from click.testing import CliRunner

    from replaykit.cli.commands import program

    evil = "\x1b]0;pwned\x07\x1b[2J\u202e\u200b\x9b31m\r\nline"
    with replaykit.Recorder("runs.rpk") as recorder, recorder.session(evil, metadata={evil: evil}) as session:
        session.record("tool", name=evil, arguments={"x": evil}, output=evil)
        session.record("find", name="search", arguments={"query": evil}, output=[evil])
    for verb in (["list", "runs.rpk"], ["show", "runs.rpk", "last"], ["verify", "runs.rpk"]):
        shown = CliRunner().invoke(program, verb).output
        bad = [
            char for char in shown if char in "\x1b\x07\x9b\r\u202e\u200b" or (ord(char) < 32 and char not in "\n\t")
        ]
        assert not bad, f"{verb}: {bad!r}"


def test_a_bound_on_the_store_holds_at_its_border(tmp_path: Path) -> None:
    """The last session that fits is kept, the next is refused, and nothing of it is written."""
    path = tmp_path / "runs.rpk"
    store = FileStore(path)
    store.publish(make_part(UUID(int=1), range(3)))
    size = store.total_bytes()
    store.close()
    for limit in (size - 1, size, size + 1):
        bounded = FileStore(path, options=StoreOptions(max_bytes=limit))
        room = bounded.total_bytes() < limit
        if room:
            bounded.create_log(uuid4()).remove()
        else:
            with pytest.raises(StoreFullError):
                bounded.create_log(uuid4())
        assert [each.name for each in tmp_path.iterdir()] == ["runs.rpk"]
        bounded.close()


def test_looking_at_a_damaged_file_leaves_it_byte_for_byte(tmp_path: Path) -> None:
    """Load in every mode, verify, doctor and recover: its bytes, its time and its mode stay."""
    from click.testing import CliRunner

    from replaykit.cli.commands import program

    path = tmp_path / "damaged.rpk"
    data = bytearray(made("checkpoints", tmp_path))
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, (5, 5))
    for recovery in ("strict", "prefix", "salvage"):
        with contextlib.suppress(ReplaykitError), replaykit.load(path, recovery=recovery) as recording:
            recording.verify()
            recording.list_sessions()
    for verb in ("verify", "doctor", "list"):
        CliRunner().invoke(program, [verb, str(path)])
    recover_into(path, tmp_path / "new.rpk")
    assert path.read_bytes() == data
    assert path.stat().st_mtime == 5
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
