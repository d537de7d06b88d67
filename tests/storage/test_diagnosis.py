"""Diagnosing a store: each thing that can be wrong has its finding, and nothing is touched by looking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import apsw
import pytest

import replaykit
from replaykit.errors import NotAStoreError, StoreNotFoundError
from replaykit.format.block import block_size
from replaykit.format.entries import Sealing
from replaykit.format.segment import ACTS, MAGIC, start_segment
from replaykit.format.strict import encode_body
from replaykit.model import Diagnosis, Finding
from replaykit.storage.diagnosis import diagnose
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.recovery import recover
from replaykit.storage.segment_file import SegmentFile, open_file
from replaykit.storage.sqlite_store import SqliteStore
from replaykit.testing.contracts import make_part


def filled(path: Path, sessions: int = 3) -> list[Any]:
    """Write a store file of some sessions with three actions each, and close it."""
    ids = [uuid4() for _ in range(sessions)]
    store = FileStore(path)
    for number, session_id in enumerate(ids):
        store.publish(make_part(session_id, range(3), name=f"session {number}"))
    store.close()
    return ids


def flipped(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def offset_of(path: Path, kind: int) -> int:
    """Return where the first block of a kind begins."""
    segment = SegmentFile(open_file(SystemFiles(), str(path)))
    return next(item.offset for item in segment.scan(12, segment.size()) if getattr(item, "kind", None) == kind)


def everything(folder: Path) -> Mapping[str, Any]:
    """Return all names below *folder* with what they hold and their modes."""
    return {str(path): (path.stat().st_mode, *content(path)) for path in sorted(folder.rglob("*"))}


def content(path: Path) -> tuple[Any, ...]:
    """Return bytes and time; of SQLite's shared memory only its size, since every reader notes its locks there."""
    if path.is_dir() or path.name.endswith("-shm"):
        return (path.stat().st_size,)
    return path.stat().st_mtime_ns, path.read_bytes()


def findings(diagnosis: Diagnosis, severity: str) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.severity == severity]


def only(diagnosis: Diagnosis, severity: str) -> Finding:
    (finding,) = findings(diagnosis, severity)
    return finding


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.rpk"


KILLED = """
    import os, signal, replaykit
    replaykit.Recorder({store!r}).start_session("killed")

    @replaykit.records("put")
    def put(content):
        if content == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    put("one")
    put("two")
    put("die")
"""


def killed(folder: Path, store: str) -> None:
    """Have a process record two calls into *store* and be killed in the third."""
    source = textwrap.dedent(KILLED.format(store=store))
    done = subprocess.run([sys.executable, "-c", source], cwd=folder, timeout=60)
    assert done.returncode == -signal.SIGKILL


# -- nothing wrong ------------------------------------------------------------------


def test_a_store_that_is_well_has_notes_only(path: Path) -> None:
    """True, and the bytes are accounted for."""
    ids = filled(path)
    diagnosis = diagnose(path)

    assert diagnosis
    assert diagnosis.worst == "note"
    assert [finding.what for finding in diagnosis.findings] == ["by default nothing bounds its size"]
    assert (diagnosis.usage.files, diagnosis.usage.bytes) == (1, path.stat().st_size)
    assert set(diagnosis.usage.by_session) == set(ids)
    assert 0 < sum(diagnosis.usage.by_session.values()) <= path.stat().st_size


def test_progress_ends_at_the_total(path: Path) -> None:
    """What is done never falls."""
    filled(path)
    told: list[tuple[int, int]] = []
    diagnose(path, progress=lambda done, total: told.append((done, total)))

    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


# -- damage -------------------------------------------------------------------------


def test_a_torn_end_is_a_warning_with_its_range(path: Path) -> None:
    """The next writer deals with it; what is whole is not called damaged."""
    filled(path)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\x88\x48 and then nothing")
    found = only(diagnose(path), "warning")

    assert found.where == f"{path}, bytes {size} to {path.stat().st_size}"
    assert "torn end" in found.what
    assert "next writer" in found.next_step


def test_a_hole_in_the_last_commit_is_torn_up_to_the_end(path: Path) -> None:
    """No later block promised it: what follows the hole is as unsynced as the hole."""
    store = FileStore(path)
    store.publish(make_part(uuid4(), range(3)))
    before = store.size()
    store.publish(make_part(uuid4(), range(3)))
    # Copied before the close, which says that all of it was synced.
    path.with_name("crashed.rpk").write_bytes(path.read_bytes())
    store.close()
    crashed = path.with_name("crashed.rpk")
    crashed.chmod(0o600)
    flipped(crashed, before + 100)

    assert only(diagnose(crashed), "warning").where == f"{crashed}, bytes {before} to {crashed.stat().st_size}"


def test_damage_has_its_range_and_says_what_is_missing(path: Path) -> None:
    """A byte below the watermark: the block, the session that lacks it, and how to save the rest."""
    filled(path)
    at = offset_of(path, ACTS)
    flipped(path, at + 60)
    diagnosis = diagnose(path)

    assert diagnosis.worst == "damage"
    ranges, session = findings(diagnosis, "damage")
    assert ranges.where.startswith(f"{path}, bytes {at} to ")
    assert "checksum" in ranges.what
    assert ranges.next_step == f"replaykit recover {path} -o NEW"
    assert session.where.endswith("session 0")
    assert session.what == "3 action(s) are missing"


def test_many_ranges_are_counted_and_not_all_listed(path: Path) -> None:
    """A store that is damaged everywhere gives an answer that people can read."""
    filled(path, sessions=40)
    segment = SegmentFile(open_file(SystemFiles(), str(path)))
    places = [item.offset for item in segment.scan(12, segment.size()) if getattr(item, "kind", None) == ACTS]
    data = bytearray(path.read_bytes())
    for at in places:
        data[at + 60] ^= 1
    path.write_bytes(data)
    damage = findings(diagnose(path), "damage")

    assert len([finding for finding in damage if finding.what.startswith("damaged: ")]) == 20
    assert "20 more ranges are damaged" in [finding.what for finding in damage]
    assert "20 more sessions are not whole: 60 action(s) are missing" in [finding.what for finding in damage]
    assert len(damage) == 42


def test_a_damaged_head_is_unreadable_and_can_be_recovered(path: Path) -> None:
    """No reader opens it; that is not the end of what is in it."""
    filled(path)
    flipped(path, 3)
    found = only(diagnose(path), "unreadable")

    assert "3 session(s) in it can be recovered" in found.what
    assert found.next_step == f"replaykit recover {path} -o NEW"


def test_a_newer_format_is_unreadable_here(path: Path) -> None:
    """It is not damaged: an upgrade reads it."""
    segment = start_segment(sync=bytes(8), file_id=bytes(16), created_ns=1, writer="later")
    data = segment.take().replace(encode_body({"major": 1})[1:], encode_body({"major": 9})[1:])
    head = data[12:-5]
    path.write_bytes(data[:12] + head + b"\x44" + zlib.crc32(head).to_bytes(4, "big"))
    path.chmod(0o600)
    found = only(diagnose(path), "unreadable")

    assert "format version 9" in found.what
    assert "upgrade" in found.next_step


@pytest.mark.parametrize("where", ["in a block", "where a block begins"])
def test_damage_in_a_memorys_file_is_found(tmp_path: Path, where: str) -> None:
    """A part that does not check, and the session that it belonged to."""
    path = tmp_path / "notes.mv"
    with replaykit.open(str(path)) as mv, mv.session("in a memory"):
        mv.put("Paris")
    connection = apsw.Connection(str(path))
    body: Any = connection.execute("SELECT body FROM replaykit_part").get
    damaged = bytearray(body)
    second = len(MAGIC) + (block_size(body, len(MAGIC)) or 0)
    damaged[second + (0 if where == "where a block begins" else 40)] ^= 1
    connection.execute("UPDATE replaykit_part SET body = ?", (bytes(damaged),))
    connection.close()
    diagnosis = diagnose(path)

    assert diagnosis.worst == "damage"
    assert "part 1" in findings(diagnosis, "damage")[0].what


@pytest.mark.parametrize("content", [b"", b"not a store " * 50])
def test_a_file_that_is_no_store_is_an_error(path: Path, content: bytes) -> None:
    """By itself there is nothing to say of it but that."""
    path.write_bytes(content)

    with pytest.raises(NotAStoreError):
        diagnose(path)
    assert path.read_bytes() == content


def test_nothing_is_not_found(path: Path) -> None:
    """And nothing is made."""
    with pytest.raises(StoreNotFoundError):
        diagnose(path)
    assert not path.exists()


# -- what stands beside -------------------------------------------------------------


def test_an_abandoned_log_is_a_warning_that_says_what_it_holds(tmp_path: Path, path: Path) -> None:
    """Its actions, the call that never ended, a torn record, and who publishes them."""
    killed(tmp_path, "runs.rpk")
    (log,) = tmp_path.glob("*.live")
    with log.open("ab") as file:
        file.write(b"rkL1 torn")
    diagnosis = diagnose(path)
    found = only(diagnosis, "warning")

    assert found.where == str(log)
    assert "abandoned" in found.what
    assert "2 action(s), 1 call(s) without an end, 1 torn record(s)" in found.what
    assert "the next writer publishes them" in found.next_step
    assert (diagnosis.usage.live_logs, diagnosis.usage.live_log_bytes) == (1, log.stat().st_size)


def test_a_living_writer_is_a_note(path: Path) -> None:
    """A session that is being recorded is nothing to be done, nor is what is just being appended."""
    with replaykit.Recorder(path) as recorder, recorder.session() as session:
        session.record("tool", name="one")
        with path.open("ab") as file:
            file.write(b"\x88\x48 half of an append")
        diagnosis = diagnose(path)
        os.truncate(path, path.stat().st_size - len(b"\x88\x48 half of an append"))

    assert diagnosis
    told = [finding.what for finding in findings(diagnosis, "note")]
    assert "a living process records this session: 1 action(s) so far" in told
    assert any("a living writer is appending" in what for what in told)


def test_a_log_that_is_published_is_a_note(tmp_path: Path, path: Path) -> None:
    """A writer died between publishing and removing: nothing is missing."""
    killed(tmp_path, "runs.rpk")
    (log,) = tmp_path.glob("*.live")
    held = log.read_bytes()
    store = FileStore(path)
    assert recover(store) == 1
    store.close()
    assert not log.exists()
    log.write_bytes(held)
    log.chmod(0o600)
    diagnosis = diagnose(path)

    assert diagnosis
    assert any(finding.what.startswith("all of it is published") for finding in diagnosis.findings)


def test_a_log_that_cannot_be_read_is_named(path: Path, tmp_path: Path) -> None:
    """A planted link is not followed and hides nothing else."""
    filled(path)
    (tmp_path / "secret").write_text("secret")
    log = tmp_path / f"runs.rpk.{uuid4().hex}.live"
    log.symlink_to(tmp_path / "secret")
    found = only(diagnose(path), "warning")

    assert found.where == str(log)
    assert "cannot be read" in found.what


def test_what_a_killed_compaction_left_is_a_warning(path: Path) -> None:
    """The store is as it was; other names that end alike are not taken for it."""
    filled(path)
    left = path.with_name(f"runs.rpk.{'0' * 32}.compact")
    left.write_bytes(b"half a copy")
    left.chmod(0o600)
    path.with_name("my.compact").write_bytes(b"somebody's own")
    found = only(diagnose(path), "warning")

    assert found.where == str(left)
    assert "11 bytes" in found.what


def test_evidence_is_a_note_with_its_size(path: Path) -> None:
    """What a recovery kept is named until somebody removes it."""
    filled(path)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\x88\x48" + os.urandom(3 << 20))
    FileStore(path).close()
    diagnosis = diagnose(path)

    (kept,) = path.parent.glob("*.lost")
    assert diagnosis
    assert f"{kept.stat().st_size} bytes of a torn end" in "".join(finding.what for finding in diagnosis.findings)
    assert any("1 torn end(s) of earlier crashes" in finding.what for finding in diagnosis.findings)
    assert diagnosis.usage.evidence_bytes == kept.stat().st_size > size


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_files_that_others_may_use_are_warnings(path: Path, mode: int) -> None:
    """Recordings are private."""
    filled(path)
    path.chmod(mode)
    found = only(diagnose(path), "warning")

    assert f"{mode:04o}" in found.what
    assert found.next_step == f"chmod 600 {path}"


def test_hard_links_are_a_warning(path: Path, tmp_path: Path) -> None:
    """Nothing writes to a file that has another name."""
    filled(path)
    os.link(path, tmp_path / "other")

    assert "2 names (hard links)" in only(diagnose(path), "warning").what


# -- sessions -----------------------------------------------------------------------


def test_what_was_lost_or_late_is_noted_with_its_session(path: Path) -> None:
    """It cannot be brought back, so there is nothing to do; it is said all the same."""
    store = FileStore(path)
    part = make_part(uuid4(), range(3), name="unlucky")
    sealing = Sealing(state="sealed", ended_ns=2, lost=4, late=1)
    store.publish(type(part)(number=0, opening=part.opening, actions=part.actions, sealing=sealing))
    store.close()
    diagnosis = diagnose(path)

    assert diagnosis
    told = [(finding.where.split()[-1], finding.what) for finding in diagnosis.findings]
    assert ("unlucky", "4 action(s) could not be kept when they were recorded") in told
    assert ("unlucky", "1 call(s) began after its end and are not in it") in told


def test_bytes_of_deleted_sessions_are_dead(path: Path) -> None:
    """Roughly what a compaction gives back, with how to get it."""
    store = FileStore(path)
    kept, deleted = uuid4(), uuid4()
    store.publish(make_part(kept, range(3)))
    before = store.size()
    store.publish(make_part(deleted, range(400), text=os.urandom(10_000).hex()))
    written = store.size() - before
    store.delete(deleted)
    store.close()
    diagnosis = diagnose(path)

    assert diagnosis
    assert set(diagnosis.usage.by_session) == {kept}
    assert written <= diagnosis.usage.dead_bytes <= written + 1000
    assert any("deleted" in finding.what and "compact" in finding.next_step for finding in diagnosis.findings)


def test_free_pages_of_a_memorys_file_are_dead(tmp_path: Path) -> None:
    """SQLite keeps them until it is vacuumed."""
    path = tmp_path / "notes.mv"
    store = SqliteStore(path)
    deleted = uuid4()
    store.publish(make_part(deleted, range(400), text=os.urandom(20_000).hex()))
    store.delete(deleted)
    store.close()

    assert diagnose(path).usage.dead_bytes > 20_000


# -- directories --------------------------------------------------------------------


def test_each_file_of_a_directory_is_looked_at(tmp_path: Path) -> None:
    """Damage in one, a file that is no store, an open directory: all are said, and what is well is counted."""
    folder = tmp_path / "runs"
    folder.mkdir(0o700)
    filled(folder / "a.rpk")
    filled(folder / "b.rpk")
    flipped(folder / "b.rpk", offset_of(folder / "b.rpk", ACTS) + 60)
    (folder / "c.rpk").write_bytes(b"somebody's notes")
    (folder / "c.rpk").chmod(0o600)
    (folder / "d.txt").write_bytes(b"not ours by name")
    folder.chmod(0o777)
    diagnosis = diagnose(folder)

    assert [finding.where for finding in findings(diagnosis, "warning")] == [str(folder), str(folder / "c.rpk")]
    assert findings(diagnosis, "damage")[0].where.startswith(str(folder / "b.rpk"))
    assert diagnosis.usage.files == 3
    assert len(diagnosis.usage.by_session) >= 5


def test_an_unreadable_file_of_a_directory_hides_nothing_else(tmp_path: Path) -> None:
    """The others and the live logs are still looked at."""
    folder = tmp_path / "runs"
    folder.mkdir(0o700)
    filled(folder / "a.rpk")
    flipped(folder / "a.rpk", 20)
    filled(folder / "b.rpk")
    killed(tmp_path, "runs/")
    diagnosis = diagnose(folder)

    assert only(diagnosis, "unreadable").where == str(folder / "a.rpk")
    assert "abandoned" in only(diagnosis, "warning").what


# -- nothing is touched ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "directory", "memory"])
def test_looking_changes_not_a_byte_nor_a_name(kind: str, tmp_path: Path) -> None:
    """A damaged store with an abandoned log: content, modes, times and the listing stay as they were."""
    store = {"file": "runs.rpk", "directory": "runs/", "memory": "notes.mv"}[kind]
    if kind == "memory":
        replaykit.open(str(tmp_path / store)).close()
    elif kind == "directory":
        (tmp_path / store).mkdir(0o700)
        filled(tmp_path / store / "a.rpk")
        flipped(tmp_path / store / "a.rpk", offset_of(tmp_path / store / "a.rpk", ACTS) + 60)
    else:
        filled(tmp_path / store)
    killed(tmp_path, store)
    if kind == "file":
        flipped(tmp_path / store, offset_of(tmp_path / store, ACTS) + 60)
        with (tmp_path / store).open("ab") as file:
            file.write(b"\x88\x48 torn")
    before = everything(tmp_path)

    assert not diagnose(str(tmp_path / store))
    assert everything(tmp_path) == before
