"""From live log to parts: what is published when, on which thread, with how many syncs; and what a sick disk costs."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import RecordingError, ReplaykitWarning, StorageError
from replaykit.recording.background import background_of
from replaykit.storage.directory_store import DirectoryStore
from replaykit.storage.file_store import FileStore
from replaykit.storage.files import SystemFiles
from replaykit.storage.gathering import MAX_PART_ACTIONS


@replaykit.records("find")
def look(query: str) -> list[str]:
    return [query.upper()]


@replaykit.records("find")
def fetch(size: int) -> str:
    return "x" * size


class TracedFiles(SystemFiles):
    """The disk, which tells which thread synced what, and can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.append = self._append  # type: ignore[method-assign]
        self.synced: list[tuple[int, str]] = []
        self.changed = threading.Condition()
        self.refused: dict[str, int] = {}

    def _path(self, handle: int) -> str:
        return os.readlink(f"/proc/self/fd/{handle}")

    def _refuse(self, path: str) -> None:
        for end, error in self.refused.items():
            if path.endswith(end):
                raise OSError(error, os.strerror(error), path)

    def _append(self, handle: int, data: bytes) -> int:
        self._refuse(self._path(handle))
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        super().sync(handle)
        with self.changed:
            self.synced.append((threading.get_ident(), self._path(handle)))
            self.changed.notify_all()

    def syncs_of(self, end: str) -> list[int]:
        return [thread for thread, path in self.synced if path.endswith(end)]

    def wait_for_sync(self, end: str, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: len(self.syncs_of(end)) >= count, timeout=10)


def recorder_on(files: SystemFiles, path: Path, **options: Any) -> Any:
    recorder = replaykit.Recorder(path, **options)
    recorder._engine.lease.opened = FileStore(path, files=files)
    return recorder


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplaykitWarning)
        yield


# -- parts ------------------------------------------------------------------------


def test_a_session_of_many_actions_is_published_in_parts(tmp_path: Path) -> None:
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        with recorder.session() as session:
            for number in range(2 * MAX_PART_ACTIONS + 100):
                look(str(number))
        actions = list(session.result.actions)
        assert [action.arguments["query"] for action in actions] == list(map(str, range(2 * MAX_PART_ACTIONS + 100)))
        assert [action.sequence for action in actions] == list(range(len(actions)))
        card = recorder.store.read(session.id).card
        assert (card.parts >= 3, card.state, card.action_count) == (True, "sealed", len(actions))
        assert recorder.store.verify()


def test_a_session_of_many_bytes_is_published_in_parts_while_it_is_open(tmp_path: Path) -> None:
    """What a part holds is in the store's own file before the session ends."""
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", on_loss="raise") as recorder:
        with recorder.session() as session:
            for number in range(24):
                fetch(1_000_000 + number)
            # The first sync is the file's creation, the second one the part.
            assert files.wait_for_sync(".rpk", 2)
            assert recorder.store.read(session.id).card.state == "open"
            seen = recorder.get_session(session.id)
            assert (seen.state, len(seen.actions)) == ("open", 24)
            assert recorder.list_sessions()[0].action_count == 24
        assert [len(action.output) for action in session.result.actions] == [1_000_000 + n for n in range(24)]
        assert recorder.store.read(session.id).card.parts >= 2


def test_a_call_that_outlives_its_part_is_kept_once(tmp_path: Path) -> None:
    files = TracedFiles()
    leave = threading.Event()

    @replaykit.records("tool")
    def slow() -> str:
        leave.wait()
        return "done"

    with recorder_on(files, tmp_path / "runs.rpk", on_loss="raise") as recorder, recorder.session() as session:
        thread = threading.Thread(target=slow, daemon=True)
        thread.start()
        while not session._active.pending:
            look("until it has begun")
        for _ in range(18):
            fetch(1_000_000)
        published = files.wait_for_sync(".rpk", 2)
        leave.set()
        thread.join()
        assert published
        recorder.flush()
        whole = recorder.get_session(session.id)
        [action] = [action for action in whole.actions if action.kind == "tool"]
        assert (action.output, action.flags) == ("done", frozenset())
        assert [action.sequence for action in whole.actions] == list(range(len(whole.actions)))


def test_another_process_reads_an_open_session(tmp_path: Path) -> None:
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder, recorder.session("watched"):
        for number in range(3):
            look(str(number))
        source = """
            import json, replaykit
            recording = replaykit.load("runs.rpk")
            session = recording.get_session("watched")
            print(json.dumps([session.state, [action.output for action in session.actions],
                              [summary.state for summary in recording.list_sessions()]]))
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        look("goes on")
    assert json.loads(done.stdout) == ["open", [["0"], ["1"], ["2"]], ["open"]]


def test_a_listing_during_writing_never_misses_a_session(tmp_path: Path) -> None:
    """A session is open, then sealed, and at no moment neither, whoever looks."""
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        with recorder.session("0"):
            look("0")
        reader = replaykit.load(tmp_path / "runs.rpk")
        most, stop, problems = [1], threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                least = most[0]
                names = [summary.name for summary in reader.list_sessions()]
                if len(names) < least or len(set(names)) != len(names):
                    problems.append((least, names))

        thread = threading.Thread(target=read)
        thread.start()
        for number in range(1, 60):
            with recorder.session(str(number)):
                most[0] = number + 1
                look(str(number))
        stop.set()
        thread.join()
        assert problems == []


# -- who waits for the disk ----------------------------------------------------------


def test_the_end_of_a_session_waits_for_no_sync(tmp_path: Path) -> None:
    """Opening, recording and ending sync nothing on the caller's thread; the background does."""
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk") as recorder:

        async def main() -> None:
            for number in range(20):
                async with recorder.session(str(number)):
                    look("a")

        with recorder.session("first"):
            pass
        recorder.list_sessions()
        before = len(files.synced)
        asyncio.run(main())
        assert files.wait_for_sync(".rpk", 3)
        here = threading.get_ident()
        assert [path for thread, path in files.synced[before:] if thread == here] == []
        assert len(recorder.list_sessions()) == 21


class StuckFiles(SystemFiles):
    """A disk on which a sync of a store's own file takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stuck = False
        self.stuck, self.go = threading.Event(), threading.Event()

    def sync(self, handle: int) -> None:
        if self.is_stuck and os.readlink(f"/proc/self/fd/{handle}").endswith(".rpk"):
            self.stuck.set()
            self.go.wait()
        super().sync(handle)


@pytest.mark.parametrize("make", [FileStore, DirectoryStore])
def test_a_session_opens_and_ends_while_another_one_waits_for_the_disk(make: Any, tmp_path: Path) -> None:
    files = StuckFiles()
    path = tmp_path / "runs.rpk"
    with replaykit.Recorder(path) as recorder:
        recorder._engine.lease.opened = make(path, files=files)
        with recorder.session("first"):
            look("a")
            files.is_stuck = True
        assert files.stuck.wait(10)
        # Nobody lets the disk go before this block is left.
        with recorder.session("second") as second:
            look("b")
        files.go.set()
        assert queries(second.result) == ["b"]
        assert [summary.name for summary in recorder.list_sessions()] == ["first", "second"]


def test_always_syncs_the_log_before_each_call_returns(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", durability="always") as recorder, recorder.session():
        here = threading.get_ident()
        for number in range(5):
            before = files.syncs_of(".live").count(here)
            look(str(number))
            assert files.syncs_of(".live").count(here) == before + 1


def test_group_syncs_the_log_soon_and_never_on_the_caller(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", durability="group") as recorder, recorder.session():
        look("one")
        assert files.wait_for_sync(".live", 1)
        assert threading.get_ident() not in files.syncs_of(".live")


def test_os_leaves_the_log_to_the_system_and_syncs_what_is_published(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", durability="os") as recorder:
        with recorder.session():
            look("one")
        assert files.wait_for_sync(".rpk", 2)
        assert files.syncs_of(".live") == []


def test_a_flush_syncs_what_open_sessions_have_logged(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", durability="os") as recorder, recorder.session():
        look("one")
        recorder.flush()
        assert files.syncs_of(".live") == [threading.get_ident()]


# -- a sick disk ----------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
def test_a_session_that_cannot_be_published_stays_readable_and_is_published_later(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk") as recorder:
        with recorder.session("kept"):
            look("one")
            files.refused[".rpk"] = errno.ENOSPC
        session = recorder.get_session("kept")
        assert (session.state, queries(session), recorder.stats()["unpublished"]) == ("sealed", ["one"], 1)
        assert len(list(tmp_path.glob("*.live"))) == 1

        files.refused.clear()
        recorder.flush()
        assert recorder.stats()["unpublished"] == 0
        assert list(tmp_path.glob("*.live")) == []
        assert queries(recorder.get_session("kept")) == ["one"]
        assert recorder.store.verify()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("store", ["runs.rpk", "runs/"])
def test_a_store_that_fails_in_an_unknown_way_loses_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """Not only the errors that a store promises: the session is read from its log, and published later."""

    def fail(_: object) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    with closing(replaykit.Recorder(f"{tmp_path}/{store}")) as recorder:
        with recorder.session("kept"):
            look("one")
            monkeypatch.setattr(recorder.store, "publish", fail)
        session = recorder.get_session("kept")
        assert (session.state, queries(session), recorder.stats()["unpublished"]) == ("sealed", ["one"], 1)
        monkeypatch.undo()
        recorder.flush()
        assert recorder.stats()["unpublished"] == 0
        assert queries(recorder.get_session("kept")) == ["one"]


@pytest.mark.usefixtures("quiet")
def test_sessions_that_wait_to_be_published_are_listed_in_order_of_ending(tmp_path: Path) -> None:
    """So "last" is the last, also while the disk has no room for it."""
    files = TracedFiles()
    names = [f"session {number}" for number in range(6)]
    with recorder_on(files, tmp_path / "runs.rpk") as recorder:
        files.refused[".rpk"] = errno.ENOSPC
        for name in names:
            with recorder.session(name):
                look(name)
        with replaykit.load(tmp_path / "runs.rpk") as recording:
            assert names == [summary.name for summary in recording.list_sessions()]
            assert recording.get_session("last").name == names[-1]
        files.refused.clear()


@pytest.mark.usefixtures("quiet")
def test_a_session_that_was_never_published_is_by_the_next_process(tmp_path: Path) -> None:
    files = TracedFiles()
    recorder = recorder_on(files, tmp_path / "runs.rpk")
    with recorder.session("kept"):
        look("one")
        files.refused[".rpk"] = errno.EIO
    recorder.flush()
    recorder.close()
    session_log = next(iter(tmp_path.glob("*.live")))
    source = "import replaykit; r = replaykit.Recorder('runs.rpk'); print(r.list_sessions()[0].state)"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "sealed"
    assert not session_log.exists()


@pytest.mark.usefixtures("quiet")
def test_a_part_that_could_not_be_published_is_in_the_next_one(tmp_path: Path) -> None:
    """The disk is full when the first part is due, and has room again at the end: no action is missing."""
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", on_loss="raise") as recorder:
        with recorder.session() as session:
            files.refused[".rpk"] = errno.ENOSPC
            for number in range(20):
                fetch(1_000_000 + number)
            recorder._engine.lease.background._publish_parts()
            assert recorder.stats()["open_sessions"] == 1
            files.refused.clear()
            look("last")
        actions = list(session.result.actions)
        assert [action.sequence for action in actions] == list(range(21))
        assert recorder.store.verify()


def queries(session: Any) -> list[str]:
    return [action.arguments["query"] for action in session.actions]


def test_a_full_disk_costs_the_record_and_never_the_call(tmp_path: Path) -> None:
    files = TracedFiles()
    recorder = recorder_on(files, tmp_path / "runs.rpk", on_loss="raise")
    with pytest.raises(RecordingError, match="No space left") as caught, recorder.session() as session:
        look("kept")
        files.refused[".live"] = errno.ENOSPC
        assert look("lost") == ["LOST"]
        with pytest.raises(ZeroDivisionError):
            fail()
        files.refused.clear()
        look("kept again")
    # A find is lost at its end, a tool already when it is announced.
    assert "2" in str(caught.value)
    result = session.result
    assert (queries(result), result.lost) == (["kept", "kept again"], 2)
    assert recorder.list_sessions()[0].lost == 2
    assert result.playable.reasons
    recorder.close()


@replaykit.records("tool")
def fail() -> None:
    raise ZeroDivisionError


def test_what_was_lost_never_hides_an_exception_in_flight(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", on_loss="raise") as recorder:
        with pytest.raises(KeyError), recorder.session():
            files.refused[".live"] = errno.ENOSPC
            look("lost")
            files.refused.clear()
            raise KeyError


def test_a_warning_says_what_was_lost(tmp_path: Path) -> None:
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk") as recorder:
        with pytest.warns(ReplaykitWarning, match=r"1 action\(s\)"), recorder.session():
            files.refused[".live"] = errno.ENOSPC
            look("lost")
            files.refused.clear()


def test_a_real_limit_on_the_size_of_files_hurts_no_call(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the system cuts an append in the middle; the calls go on, what fits is read back."""
    source = """
        import json, resource, signal, warnings, replaykit
        warnings.simplefilter("ignore")

        @replaykit.records("find")
        def look(query):
            return [query.upper()]

        recorder = replaykit.Recorder("runs.rpk")
        with recorder.session("cramped") as session:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
            results = [look(f"{number} " + "x" * 500)[0].split()[0] for number in range(50)]
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        kept = [action.arguments["query"].split()[0] for action in session.result.actions]
        print(json.dumps([results, kept, session.result.lost, bool(recorder.store.verify())]))
        recorder.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    results, kept, lost, is_whole = json.loads(done.stdout)
    assert results == list(map(str, range(50)))
    assert kept == list(map(str, range(len(kept)))) and 0 < len(kept) < 50
    assert (lost, is_whole) == (50 - len(kept), True)


def test_a_redactor_that_fails_drops_the_payload_and_keeps_the_action(tmp_path: Path) -> None:
    def broken(_path: Any, value: Any) -> Any:
        if "poison" in str(value):
            raise ValueError(value)
        return value

    with replaykit.Recorder(tmp_path / "runs.rpk", redact=("secrets", broken), on_loss="ignore") as recorder:
        with recorder.session() as session:
            assert look("poison") == ["POISON"]
            look("fine")
        dropped, fine = session.result.actions
        assert (dropped.name, "unreplayable" in dropped.flags, session.result.lost) == ("look", True, 1)
        assert queries_of(fine) == "fine"
    assert b"poison" not in (tmp_path / "runs.rpk").read_bytes()


def queries_of(action: Any) -> str:
    return str(action.arguments["query"])


def test_checkpoints_by_policy_come_after_every_n_actions_also_from_threads(tmp_path: Path) -> None:
    config = replaykit.ReplayConfig(auto_checkpoint_interval=3)
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        with recorder.session(config=config) as session:
            for number in range(6):
                look(str(number))
        assert [action.kind for action in session.result.actions] == ["find"] * 3 + ["checkpoint"] + ["find"] * 3 + [
            "checkpoint"
        ]
        with recorder.session(config=config) as session:
            threads = [threading.Thread(target=lambda: [look("x") for _ in range(50)]) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        kinds = Counter(action.kind for action in session.result.actions)
        assert kinds["find"] == 200 and 0 < kinds["checkpoint"] <= 66
        sequences = [action.sequence for action in session.result.actions]
        assert sequences == list(range(len(sequences)))


def test_the_limit_of_actions_seals_the_session(tmp_path: Path) -> None:
    config = replaykit.ReplayConfig(max_actions_per_session=3)
    with replaykit.Recorder(tmp_path / "runs.rpk", on_loss="raise") as recorder:
        with recorder.session(config=config) as session:
            for number in range(5):
                look(str(number))
        result = session.result
        assert (queries(result), result.ended_by, result.late) == (["0", "1", "2"], "limit", 2)


def test_sigterm_during_publishing_leaves_a_whole_store(tmp_path: Path) -> None:
    """A signal that ends the process by an exception seals what is open on its way out."""
    source = """
        import os, signal, sys, replaykit
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

        @replaykit.records("find")
        def look(query):
            return [query]

        recorder = replaykit.Recorder("runs.rpk")
        recorder.start_session("s")
        look("a")
        print("recording", flush=True)
        while True:
            look("a")
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "recording\n"
    child.send_signal(signal.SIGTERM)
    child.stdout.close()
    assert child.wait(timeout=30) == 0
    session = replaykit.load(tmp_path / "runs.rpk").get_session("s")
    assert (session.state, session.ended_by) == ("sealed", "exit")
    # The signal may fall between a call's number and the call: that is counted,
    # and it is the only reason for a hole.
    assert session.lost <= 1
    assert session.actions[-1].sequence + 1 - len(session.actions) in (0, session.lost)


def test_a_full_disk_costs_a_service_its_recording_and_never_a_request(tmp_path: Path) -> None:
    """A store that worked before: the block runs unrecorded, with one warning; nothing is left behind."""
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk") as recorder:
        with recorder.session("before"):
            look("a")
        files.refused[".live"] = errno.ENOSPC
        with pytest.warns(ReplaykitWarning, match="unrecorded"), recorder.session("full") as session:
            assert look("b") == ["B"]
        assert (session.id, session.result) == (None, None)
        assert recorder.stats()["skipped"] == 1
        files.refused.clear()
        with recorder.session("after"):
            look("c")

        assert [item.name for item in recorder.list_sessions()] == ["before", "after"]
    assert [path.name for path in tmp_path.iterdir()] == ["runs.rpk"]


def test_who_wants_losses_raised_gets_the_full_disk_raised(tmp_path: Path) -> None:
    """``on_loss="raise"``, as in tests: the block does not begin."""
    files = TracedFiles()
    with recorder_on(files, tmp_path / "runs.rpk", on_loss="raise") as recorder:
        files.refused[".live"] = errno.ENOSPC
        with pytest.raises(StorageError, match="Cannot write"), recorder.session("full"):
            look("b")


def _killed_while_recording(folder: Path, kind: str = "find") -> Path:
    """Return the live log that a killed process has left: calls a and b."""
    source = f"""
        import os, signal, replaykit

        @replaykit.records("{kind}")
        def look(query):
            return [query.upper()]

        recorder = replaykit.Recorder("runs.rpk")
        recorder.start_session("s")
        look("a")
        look("b")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], cwd=folder, check=False)
    assert child.returncode == -signal.SIGKILL
    (log,) = folder.glob("*.live")
    return log


def test_recovery_keeps_a_log_whose_first_record_is_damaged(tmp_path: Path) -> None:
    """Nothing is deleted: its calls are published, and the damaged bytes beside them."""
    log = _killed_while_recording(tmp_path)
    data = bytearray(log.read_bytes())
    data[14] ^= 0xFF
    log.write_bytes(data)

    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        (summary,) = recorder.list_sessions()
        session = recorder.get_session(summary)
    assert session.session_id.hex in log.name
    assert (session.state, queries(session)) == ("interrupted", ["a", "b"])
    assert not log.exists()
    assert bytes(data[:40]) in (tmp_path / "runs.rpk").read_bytes()


def test_recovery_keeps_the_bytes_of_a_torn_record(tmp_path: Path) -> None:
    """They are evidence: the published session has them as a gap."""
    log = _killed_while_recording(tmp_path)
    with log.open("ab") as file:
        file.write(b"rkL1 torn in the middle of a wri")

    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        assert queries(recorder.get_session("s")) == ["a", "b"]
    assert not log.exists()
    assert b"torn in the middle of a wri" in (tmp_path / "runs.rpk").read_bytes()


def test_a_call_whose_arguments_are_damaged_says_so(tmp_path: Path) -> None:
    """What a tool was asked is logged before it runs: without that record its call is no whole one."""
    log = _killed_while_recording(tmp_path, kind="tool")
    data = bytearray(log.read_bytes())
    data[data.index(b"query\xa1a")] ^= 0x02
    log.write_bytes(data)

    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        damaged, whole = recorder.get_session("s").actions
    assert (damaged.arguments, damaged.output) == ({}, ["A"])
    assert damaged.flags == {"damaged", "unreplayable"}
    assert (whole.arguments, whole.flags) == ({"query": "b"}, frozenset())


class CountingFiles(SystemFiles):
    """The real disk; counts the syncs."""

    syncs = 0

    def sync(self, handle: int) -> None:
        self.syncs += 1
        super().sync(handle)


@pytest.mark.parametrize(("durability", "each"), [("always", 1), ("os", 0)])
def test_always_syncs_whatever_is_acknowledged(durability: str, each: int, tmp_path: Path) -> None:
    """Calls, checkpoints and notes alike: each returns when it is on the device."""
    files = CountingFiles()
    recorder = replaykit.Recorder(tmp_path / "runs.rpk", durability=durability)
    recorder._engine.lease.opened = FileStore(tmp_path / "runs.rpk", files=files)
    with recorder.session("synced") as session:
        for acknowledged in (lambda: look("one"), session.checkpoint, lambda: session.annotate(note=1)):
            before = files.syncs
            acknowledged()
            assert files.syncs - before == each
    recorder.close()


def test_a_store_whose_sync_failed_reaches_no_agent_and_opens_again(tmp_path: Path) -> None:
    """Flush and close raise nothing, and the same process goes on once the disk is well."""
    path = tmp_path / "runs.rpk"
    files = TracedFiles()
    failing = threading.Event()

    def sync(handle: int) -> None:
        if failing.is_set() and files._path(handle).endswith(".rpk"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(handle)

    files.sync = sync  # type: ignore[method-assign]
    with recorder_on(files, path) as recorder, pytest.warns(ReplaykitWarning, match="could not be published"):
        with recorder.session("before"):
            look("one")
        recorder.flush()
        failing.set()
        for name in ("failed", "later"):
            with recorder.session(name):
                look("two")
            recorder.flush()
            recorder.flush()
        assert recorder.stats()["unpublished"] == 2
    with replaykit.Recorder(path, on_loss="raise") as again:
        with again.session("after"):
            look("three")
        again.flush()
        assert {summary.name for summary in again.list_sessions()} == {"before", "failed", "later", "after"}
        assert again.stats()["unpublished"] == 0
    with replaykit.load(path) as loaded:
        assert loaded.verify()


def test_a_close_that_fails_lets_go_of_the_store_all_the_same(tmp_path: Path) -> None:
    """What a crash left cannot be listed: that is told, and keeps nobody in this process from the file."""

    class Unlisted(SystemFiles):
        is_listed = True

        def names(self, directory: str) -> list[str]:
            if not self.is_listed:
                raise OSError(errno.EIO, os.strerror(errno.EIO), directory)
            return super().names(directory)

    files, path = Unlisted(), tmp_path / "runs.rpk"
    recorder = recorder_on(files, path)
    background_of(recorder.store).recover_soon()
    files.is_listed = False
    with pytest.raises(StorageError, match="Cannot list"):
        recorder.close()
    FileStore(path).close()
    recorder.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_file_that_is_taken_away_costs_no_session(replaced: bool, tmp_path: Path) -> None:
    """Nothing goes into a file without a name: the session stays in its log, and the next to open the store has it."""
    path = tmp_path / "runs.rpk"
    recorder = replaykit.Recorder(path)
    with recorder.session("before"):
        look("one")
    recorder.flush()
    path.unlink()
    if replaced:
        replaykit.Recorder(path).close()
    with pytest.warns(ReplaykitWarning, match="could not be published"):
        with recorder.session("after"):
            look("two")
        recorder.flush()
    recorder.close()

    with replaykit.Recorder(path) as again:
        assert [action.arguments for action in again.get_session("after").actions] == [{"query": "two"}]


def test_a_directory_whose_file_is_taken_away_goes_on_in_a_new_one(tmp_path: Path) -> None:
    with replaykit.Recorder(f"{tmp_path}/runs/") as recorder:
        with recorder.session("before"):
            look("one")
        recorder.flush()
        [file] = (tmp_path / "runs").glob("*.rpk")
        file.unlink()
        with recorder.session("after"):
            look("two")
        recorder.flush()
        assert [summary.name for summary in recorder.list_sessions()] == ["after"]


def test_a_loss_that_is_told_never_replaces_the_agents_exception(tmp_path: Path) -> None:
    """Where warnings are errors a block that was well fails by it, as its user asked for."""
    files = TracedFiles()
    recorder = recorder_on(files, tmp_path / "runs.rpk")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError, match="own"), recorder.session():
            files.refused[".live"] = errno.ENOSPC
            look("x")
            files.refused.clear()
            raise KeyError("the agent's own")
        with pytest.raises(ReplaykitWarning, match="could not be kept"), recorder.session():
            files.refused[".live"] = errno.ENOSPC
            look("x")
            files.refused.clear()
    assert recorder.stats()["lost"] == 2
    recorder.close()


def test_a_result_is_there_while_another_thread_closes_the_recorder(tmp_path: Path) -> None:
    """The store is closed by then, and the recorder not yet: the file has it as it does after the close."""
    recorder = replaykit.Recorder(tmp_path / "runs.rpk")
    with recorder.session("mine") as session:
        look("x")
    recorder.flush()
    recorder._engine.lease.store.close()

    assert session.result is not None
    assert len(session.result.actions) == 1
    recorder.close()
    assert session.result is not None


def test_a_store_file_that_is_truncated_costs_no_later_session(tmp_path: Path) -> None:
    """As logrotate's copytruncate does: what comes after stays in its log, and the next to open the store has it."""
    path = tmp_path / "runs.rpk"
    recorder = replaykit.Recorder(path)
    with recorder.session("before"):
        look("one")
    recorder.flush()
    os.truncate(path, 0)
    with pytest.warns(ReplaykitWarning, match="somebody else made the file 0 bytes long"):
        with recorder.session("after"):
            look("two")
        recorder.flush()
    assert recorder.stats()["unpublished"] == 1
    assert [summary.name for summary in recorder.list_sessions()] == ["after"]
    recorder.close()
    assert path.stat().st_size == 0

    with replaykit.Recorder(path) as again:
        assert [action.arguments for action in again.get_session("after").actions] == [{"query": "two"}]
    with replaykit.load(path) as loaded:
        assert loaded.verify()


def test_a_directory_whose_file_is_truncated_goes_on_in_a_new_one(tmp_path: Path) -> None:
    with replaykit.Recorder(f"{tmp_path}/runs/") as recorder:
        with recorder.session("before"):
            look("one")
        recorder.flush()
        [file] = (tmp_path / "runs").glob("*.rpk")
        os.truncate(file, 0)
        for name in ("after", "later"):
            with recorder.session(name):
                look("two")
            recorder.flush()
        assert {summary.name for summary in recorder.list_sessions()} == {"after", "later"}
        assert recorder.stats()["unpublished"] == 0
    assert (file.stat().st_size, len(list((tmp_path / "runs").glob("*.rpk")))) == (0, 2)


@pytest.mark.parametrize("moved", [False, True])
def test_a_directory_that_is_taken_away_from_a_service_is_made_again(moved: bool, tmp_path: Path) -> None:
    """No request hears of it, and what comes then is recorded."""
    path = tmp_path / "runs"
    with replaykit.Recorder(f"{path}/") as recorder:
        with recorder.session("before"):
            look("one")
        recorder.flush()
        if moved:
            path.rename(tmp_path / "old")
        else:
            shutil.rmtree(path)
        for name in ("after", "later"):
            with recorder.session(name, adopt=False):
                assert look("two") == ["TWO"]
        recorder.flush()
        assert [summary.name for summary in recorder.list_sessions()] == ["after", "later"]
        assert not any(recorder.stats().values())


def test_a_directory_that_cannot_be_made_again_costs_a_service_its_recording_and_never_a_request(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mounted" / "runs"
    path.parent.mkdir()
    with replaykit.Recorder(f"{path}/", max_store_bytes=1 << 30) as recorder:
        with recorder.session("before"):
            look("one")
        recorder.flush()
        shutil.rmtree(path.parent)
        with pytest.warns(ReplaykitWarning, match="unrecorded") as warned:
            for name in ("after", "later"):
                with recorder.session(name):
                    assert look("two") == ["TWO"]
        assert (len(warned), recorder.stats()["skipped"]) == (1, 2)
        path.parent.mkdir()
        with recorder.session("back"):
            look("three")
        recorder.flush()
        assert [summary.name for summary in recorder.list_sessions()] == ["back"]
