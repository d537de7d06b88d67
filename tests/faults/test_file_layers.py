"""The disks that stand in for the system's: alike where they must be, and worse where they are asked to."""

from __future__ import annotations

import errno
import os
import random
import stat
from pathlib import Path

import pytest

from replaykit.protocols import FileLayer
from replaykit.storage.files import SystemFiles
from replaykit.testing.crash_states import crash_states
from replaykit.testing.files import (
    EVERYTHING,
    SECTOR,
    FaultyFiles,
    GuardedFiles,
    MemoryFiles,
    Step,
    TracedFiles,
    repeat,
)


@pytest.fixture(params=["system", "memory", "wrapped"])
def layer(request: pytest.FixtureRequest) -> FileLayer:
    if request.param == "system":
        return SystemFiles()
    return MemoryFiles() if request.param == "memory" else FaultyFiles(TracedFiles(GuardedFiles(MemoryFiles())))


# -- what all disks do ----------------------------------------------------------------


def test_bytes_are_appended_cut_and_read_back(layer: FileLayer, tmp_path: Path) -> None:
    handle = layer.open(f"{tmp_path}/a", write=True, create=True)
    assert layer.append(handle, b"hello ") == 6
    assert layer.append(handle, b"world") == 5
    assert (layer.size(handle), layer.pread(handle, 100, 6)) == (11, b"world")
    layer.sync(handle)
    layer.append(handle, b"!!")
    layer.truncate(handle, 11)
    assert layer.pread(handle, 100, 0) == b"hello world"
    layer.allocate(handle, 1 << 16)
    assert layer.size(handle) == 11
    layer.close(handle)


def test_a_new_file_is_new_and_an_old_one_is_there(layer: FileLayer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        layer.open(f"{tmp_path}/a", write=True, create=False)
    layer.close(layer.open(f"{tmp_path}/a", write=True, create=True))
    with pytest.raises(FileExistsError):
        layer.open(f"{tmp_path}/a", write=True, create=True)
    reader = layer.open(f"{tmp_path}/a", write=False, create=False)
    with pytest.raises(OSError) as caught:
        layer.append(reader, b"x")
    assert caught.value.errno == errno.EBADF
    layer.close(reader)
    with pytest.raises(OSError) as caught:
        layer.size(reader)
    assert caught.value.errno == errno.EBADF


def test_a_lock_belongs_to_an_open_not_to_a_process(layer: FileLayer, tmp_path: Path) -> None:
    """A second open of this process is refused; closing another handle frees nothing."""
    first = layer.open(f"{tmp_path}/a", write=True, create=True)
    second, third = (layer.open(f"{tmp_path}/a", write=False, create=False) for _ in range(2))
    assert layer.lock(first)
    assert layer.lock(first)
    assert not layer.lock(second)
    assert not layer.lock(second, shared=True)
    layer.close(third)
    assert not layer.lock(second, shared=True)
    layer.close(first)
    assert layer.lock(second, shared=True)
    fourth = layer.open(f"{tmp_path}/a", write=True, create=False)
    assert layer.lock(fourth, shared=True)
    assert not layer.lock(fourth)
    layer.close(second)
    assert layer.lock(fourth)
    layer.close(fourth)


def test_names_lead_to_files(layer: FileLayer, tmp_path: Path) -> None:
    a, b = (layer.open(f"{tmp_path}/{name}", write=True, create=True) for name in "ab")
    layer.append(a, b"a")
    assert sorted(layer.names(str(tmp_path))) == ["a", "b"]
    assert layer.names(f"{tmp_path}/none") == []
    layer.rename(f"{tmp_path}/a", f"{tmp_path}/b")
    assert (layer.leads_to(f"{tmp_path}/b", a), layer.leads_to(f"{tmp_path}/b", b)) == (True, False)
    assert not layer.leads_to(f"{tmp_path}/a", a)
    layer.remove(f"{tmp_path}/b")
    assert (layer.names(str(tmp_path)), layer.pread(a, 9, 0)) == ([], b"a")
    with pytest.raises(FileNotFoundError):
        layer.remove(f"{tmp_path}/b")
    layer.sync_directory(str(tmp_path))
    for handle in (a, b, layer.reserve(str(tmp_path), 4096)):
        layer.close(handle)


def test_files_are_private(tmp_path: Path) -> None:
    real, double = SystemFiles(), MemoryFiles()
    for files in (real, double):
        files.close(files.open(f"{tmp_path}/a", write=True, create=True))
    assert double.mode(f"{tmp_path}/a") == stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o600


# -- a full disk --------------------------------------------------------------------------


def test_a_full_disk_takes_a_part_then_nothing() -> None:
    disk = MemoryFiles(10)
    handle = disk.open("a", write=True, create=True)
    assert (disk.append(handle, b"1234567"), disk.append(handle, b"89abcde"), disk.free) == (7, 3, 0)
    with pytest.raises(OSError) as caught:
        disk.append(handle, b"x")
    assert caught.value.errno == errno.ENOSPC
    disk.truncate(handle, 4)
    assert (disk.append(handle, b"xy"), disk.contents("a")) == (2, b"1234xy")


def test_room_that_is_allocated_or_reserved_is_nobody_elses() -> None:
    disk = MemoryFiles(100)
    a, b = (disk.open(name, write=True, create=True) for name in "ab")
    disk.allocate(a, 60)
    disk.allocate(b, 60)
    held = disk.reserve("", 30)
    with pytest.raises(OSError):
        disk.reserve("", 20)
    assert (disk.free, disk.append(b, bytes(50)), disk.append(a, bytes(50))) == (10, 10, 50)
    disk.close(held)
    assert disk.append(b, bytes(50)) == 30
    disk.remove("a")
    assert disk.free == 0
    disk.close(a)
    assert disk.free == 60


# -- a disk that fails ---------------------------------------------------------------------


def test_each_operation_can_be_made_to_fail_once_or_for_ever() -> None:
    def outcomes(mode: str) -> list[bool]:
        files = FaultyFiles(MemoryFiles(), fail_at=1, mode=mode, error=errno.EDQUOT)  # type: ignore[arg-type]
        handle = files.open("a", write=True, create=True)
        done = []
        for _ in range(3):
            try:
                done.append(files.append(handle, b"x") == 1)
            except OSError as error:
                assert error.errno == errno.EDQUOT
                done.append(False)
        assert (files.count, files.failures) == (4, done.count(False))
        return done

    assert (outcomes("once"), outcomes("for_ever")) == ([False, True, True], [False, False, False])


def test_a_short_write_takes_half() -> None:
    files = FaultyFiles(disk := MemoryFiles(), fail_at=1, short=True)
    handle = files.open("a", write=True, create=True)
    assert [files.append(handle, b"abcd") for _ in range(3)] == [4, 2, 4]
    assert disk.contents("a") == b"abcdababcd"


def test_a_torn_write_takes_half_and_the_next_one_fails() -> None:
    files = FaultyFiles(disk := MemoryFiles(), fail_at=0, torn=True, error=errno.ENOSPC)
    handle = files.open("a", write=True, create=True)
    assert files.append(handle, b"abcd") == 2
    with pytest.raises(OSError) as caught:
        files.append(handle, b"cd")
    assert caught.value.errno == errno.ENOSPC
    assert (files.append(handle, b"ef"), disk.contents("a")) == (2, b"abef")


def test_only_what_is_counted_fails_and_only_when_armed() -> None:
    files = FaultyFiles(MemoryFiles(), fail_at=0, mode="for_ever", counted={"sync", "reserve"})
    handle = files.open("a", write=True, create=True)
    files.is_armed = False
    files.sync(handle)
    files.is_armed = True
    for refused in (lambda: files.sync(handle), lambda: files.reserve("", 1)):
        with pytest.raises(OSError):
            refused()
    assert (files.count, files.size(handle)) == (2, 0)
    assert {"sync", "reserve", "open", "pread"} <= EVERYTHING


# -- G23 --------------------------------------------------------------------------------------


def test_g23_the_guard_refuses_to_have_synced_bytes_cut() -> None:
    """Also under another name, in another life, and though somebody else had cut them."""
    disk = MemoryFiles()
    guard = GuardedFiles(disk)
    handle = guard.open("a", write=True, create=True)
    guard.append(handle, b"synced")
    guard.sync(handle)
    guard.append(handle, b" and more")
    guard.truncate(handle, 6)
    guard.rename("a", "b")
    with pytest.raises(AssertionError, match="cuts to 5, and 6 bytes"):
        guard.truncate(handle, 5)
    guard.close(handle)

    second = GuardedFiles(disk.after_kill(), guard.watermarks)
    handle = second.open("b", write=True, create=False)
    second.inner.truncate(handle, 3)
    with pytest.raises(AssertionError, match="appends at 3"):
        second.append(handle, b"x")
    assert (len(guard.violations), len(second.violations)) == (1, 1)
    second.remove("b")
    handle = second.open("b", write=True, create=True)
    assert second.append(handle, b"new") == 3


# -- a power loss -------------------------------------------------------------------------------


def lost(disk: MemoryFiles, seeds: int = 300, *, powersafe_overwrite: bool = True) -> list[MemoryFiles]:
    return [
        disk.after_power_loss(random.Random(seed), powersafe_overwrite=powersafe_overwrite) for seed in range(seeds)
    ]


def test_what_was_synced_survives_and_the_rest_may_be_anything() -> None:
    """Kept, zero, garbage, any size in between; never a synced byte."""
    disk = MemoryFiles()
    handle = disk.open("a", write=True, create=True)
    disk.append(handle, b"s" * 100)
    disk.sync(handle)
    disk.sync_directory("")
    disk.append(handle, b"n" * 3 * SECTOR)
    contents = [after.contents("a") for after in lost(disk)]

    assert all(content.startswith(b"s" * 100) for content in contents)
    assert {100, 100 + 3 * SECTOR} < {len(content) for content in contents}
    assert b"s" * 100 + b"n" * 3 * SECTOR in contents
    tails = [content[100:] for content in contents if len(content) > 100]
    assert any(set(tail) == {0} for tail in tails)
    # A hole: a sector is lost, and a later one is not.
    assert any(tail.endswith(b"n" * 9) and not tail.startswith(b"n") for tail in tails)
    assert any(set(tail) - {0, ord("n")} for tail in tails)


def test_without_powersafe_overwrite_the_shared_sector_is_at_risk() -> None:
    disk = MemoryFiles()
    handle = disk.open("a", write=True, create=True)
    disk.append(handle, b"s" * (SECTOR + 100))
    disk.sync(handle)
    disk.sync_directory("")
    disk.append(handle, b"n" * 10)
    contents = [after.contents("a") for after in lost(disk, powersafe_overwrite=False)]

    assert all(content.startswith(b"s" * SECTOR) for content in contents)
    assert any(not content.startswith(b"s" * (SECTOR + 100)) for content in contents)


def test_a_cut_that_was_not_synced_may_be_undone() -> None:
    """Then what was cut stands there again, or is old behind what was written over it."""
    disk = MemoryFiles()
    handle = disk.open("a", write=True, create=True)
    disk.append(handle, b"synced" + b"old" * 400)
    disk.truncate(handle, 6)
    disk.append(handle, b"n" * SECTOR)
    disk.sync_directory("")
    contents = {after.contents("a") for after in lost(disk)}

    assert b"synced" + b"n" * SECTOR + (b"old" * 400)[SECTOR:] in contents
    disk.sync(handle)
    assert {after.contents("a") for after in lost(disk, 9)} == {b"synced" + b"n" * SECTOR}


def test_names_are_durable_once_their_directory_is_synced() -> None:
    disk = MemoryFiles()
    disk.place("d/old", b"old")
    disk.close(disk.open("d/new", write=True, create=True))
    disk.rename("d/old", "d/renamed")
    assert {tuple(after.paths) for after in lost(disk, 99)} == {
        ("d/old",), ("d/new", "d/old"), ("d/renamed",), ("d/new", "d/renamed"),
    }  # fmt: skip
    disk.sync_directory("d")
    disk.remove("d/new")
    assert {tuple(after.paths) for after in lost(disk, 99)} == {("d/renamed",), ("d/new", "d/renamed")}


def test_a_kill_costs_locks_and_nothing_else() -> None:
    disk = MemoryFiles()
    handle = disk.open("a", write=True, create=True)
    disk.append(handle, b"not synced")
    disk.lock(handle)
    after = disk.after_kill()
    again = after.open("a", write=True, create=False)
    assert after.lock(again)
    assert after.contents("a") == b"not synced"
    assert (disk.durable("a"), after.durable("a"), after.is_settled) == (b"", b"", False)
    after.append(again, b"!")
    assert disk.contents("a") == b"not synced"


# -- traces ---------------------------------------------------------------------------------------


def traced() -> TracedFiles:
    files = TracedFiles(MemoryFiles())
    handle = files.open("a", write=True, create=True)
    files.append(handle, b"one")
    files.sync(handle)
    files.sync_directory("")
    files.say("one is safe")
    files.append(handle, b"two")
    files.truncate(handle, 4)
    files.rename("a", "b")
    files.append(handle, b"!")
    files.remove("b")
    return files


def test_a_trace_has_every_change_in_order_and_can_be_repeated() -> None:
    steps = traced().steps
    assert [step.what for step in steps] == [
        "create", "append", "sync", "sync_directory", "said", "append", "truncate", "rename", "append", "remove",
    ]  # fmt: skip
    assert steps[1] == Step(what="append", path="a", data=b"one")
    assert steps[8] == Step(what="append", path="b", data=b"!")
    disk = MemoryFiles()
    repeat(steps[:-1], disk)
    assert (disk.paths, disk.contents("b"), disk.open_handles) == (["b"], b"onet!", 0)


def test_crash_states_are_the_same_for_the_same_seed_and_keep_to_what_was_said() -> None:
    def contents(seed: int) -> list[tuple[int, dict[str, bytes]]]:
        states = crash_states(traced().steps, seed=seed, each=5)
        return [(state.at, {path: state.files.contents(path) for path in state.files.paths}) for state in states]

    assert contents(1) == contents(1) != contents(2)
    for state in crash_states(traced().steps, seed=3, each=50):
        if "one is safe" in state.said:
            assert state.synced["a"] == 3
            assert all(state.files.contents(path).startswith(b"one") for path in state.files.paths)
    assert {state.at for state in crash_states(traced().steps, seed=3)} == {1, 2, 3, 5, 6, 7, 8, 9, 10}


def test_a_finaliser_may_close_a_handle_while_a_lock_is_looked_for() -> None:
    """Garbage is collected at any step, in the thread that holds the disk's own lock."""
    disk = MemoryFiles()
    handles = [disk.open("a", write=True, create=number == 0) for number in range(3)]

    class Asked(str):
        def __hash__(self) -> int:
            if handles[2] in disk._handles:
                disk.close(handles[2])
            return super().__hash__()

    disk._handles[handles[1]].lock = Asked("")
    assert disk.lock(handles[0])
