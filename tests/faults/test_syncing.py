"""One sync serves all who wait, and none follows one that failed."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable
from uuid import UUID

import pytest

from replaykit.storage.log_files import FileLog
from replaykit.storage.syncing import SharedSync
from replaykit.testing.files import FaultyFiles, MemoryFiles, TracedFiles


class Device:
    """Counts syncs; *during* is called within the first."""

    def __init__(self, during: Callable[[], None]) -> None:
        self.written = 1
        self.syncs = 0
        self._during = during

    def sync(self) -> None:
        self.syncs += 1
        if self.syncs == 1:
            self._during()

    def size(self) -> int:
        return self.written


def test_threads_that_wait_share_one_sync() -> None:
    """Nine threads write while a sync is under way: one more serves all of them."""
    written = threading.Barrier(10)
    device = Device(written.wait)
    shared = SharedSync(device.sync, device.size)

    def write_and_sync(number: int) -> None:
        if number:
            device.written = 10
            written.wait()
        shared.through(device.written)

    # The first one's size was taken before the others wrote.
    first = threading.Thread(target=shared.through, args=(1,))
    others = [threading.Thread(target=write_and_sync, args=(number,)) for number in range(1, 10)]
    for thread in (first, *others):
        thread.start()
    for thread in (first, *others):
        thread.join()
    assert device.syncs == 2


def test_what_is_synced_already_costs_nothing() -> None:
    device = Device(lambda: None)
    shared = SharedSync(device.sync, device.size)
    device.written = 100
    for size in (100, 50, 100, 1):
        shared.through(size)
    assert device.syncs == 1


def test_a_signal_handler_within_a_sync_may_sync() -> None:
    """It belongs to the thread that syncs, so it must not wait for it."""
    device = Device(lambda: signal.raise_signal(signal.SIGUSR1))
    shared = SharedSync(device.sync, device.size)
    before = signal.signal(signal.SIGUSR1, lambda *_: shared.through(1))
    try:
        shared.through(1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert device.syncs == 2


def test_after_a_failed_sync_nobody_syncs_again() -> None:
    """Neither who waited for it nor who comes later: the system reports such a failure once."""
    waiting = threading.Barrier(2)

    def fail() -> None:
        waiting.wait()
        raise OSError(errno.EIO, "broken")

    device = Device(fail)
    shared = SharedSync(device.sync, device.size)
    errors: list[int | None] = []

    def sync() -> None:
        try:
            shared.through(2)
        except OSError as error:
            errors.append(error.errno)

    def wait_and_sync() -> None:
        waiting.wait()
        sync()

    threads = [threading.Thread(target=sync), threading.Thread(target=wait_and_sync)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sync()
    assert (errors, device.syncs) == ([errno.EIO] * 3, 1)


def test_the_first_sync_of_a_log_makes_its_name_durable() -> None:
    files = TracedFiles(MemoryFiles())
    log = FileLog(files, "runs.rpk", UUID(int=1))
    log.create()
    for _ in range(2):
        log.append(b"record")
        log.sync()
    assert [step.what for step in files.steps] == ["create", "append", "sync", "sync_directory", "append", "sync"]
    log.close()


def test_a_log_whose_sync_failed_takes_records_but_promises_nothing() -> None:
    files = FaultyFiles(MemoryFiles(), fail_at=0, counted={"sync"})
    log = FileLog(files, "runs.rpk", UUID(int=1))
    log.create()
    log.append(b"record")
    for _ in range(2):
        with pytest.raises(OSError) as caught:
            log.sync()
        assert caught.value.errno == errno.EIO
    log.append(b"more")
    assert (files.count, log.read(0, 99)) == (1, b"recordmore")
    log.close()
