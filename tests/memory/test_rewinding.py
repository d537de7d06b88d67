"""Going back: what `at`, `fork`, `restore` and `prune` promise, one claim each."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

import replaykit
from replaykit.errors import (
    CheckpointNotFoundError,
    ClosedError,
    DamagedError,
    FrameNotFoundError,
    ReadOnlyError,
    StorageError,
    UsageError,
)
from replaykit.memory.engine import Engine
from replaykit.storage.placing import drafted


@pytest.fixture(params=["notes.mv", ":memory:"])
def memory(request, tmp_path):
    with replaykit.open(request.param) as memory:
        yield memory


def contents(memory):
    return {frame.frame_id: frame.content for frame in memory}


def answers(memory, *queries):
    return [list(memory.find(query)) for query in queries]


def checkpointed(memory, *writes):
    """Make each write in a session and return the checkpoint after it."""
    with memory.session() as session:
        for write in writes:
            write()
            session.checkpoint()
    return list(session.result.checkpoints)


# -- at ---------------------------------------------------------------------------


def test_a_view_has_the_frames_and_the_answers_of_then(memory):
    fox = memory.put("red fox", title="Fox", uri="a:1", metadata={"n": 1})
    memory.put("blue whale")
    then, asked = memory.generation, answers(memory, "fox", "blue", "red whale")
    frames, held = list(memory), memory.snapshot()
    memory.update(fox, "a green fox in a blue box")
    memory.put_many(["fox fox fox", "whale"])
    memory.delete(2)

    view = memory.at(generation=then)

    assert asked == answers(view, "fox", "blue", "red whale")
    assert frames == list(view)
    assert (view.generation, len(view), view.snapshot()) == (then, 2, held)
    assert view.get(fox).content == "red fox"
    assert fox in view and 3 not in view
    with pytest.raises(FrameNotFoundError):
        view.get(3)


def test_a_moment_is_a_checkpoint_an_action_a_time_or_a_generation(tmp_path):
    times = iter(range(10**18, 2 * 10**18, 10**9))
    engine = Engine(":memory:", time_ns=lambda: next(times))
    engine.put("zero")
    engine.put("one")
    made = datetime.fromtimestamp(10**9, UTC)

    assert [
        engine.at(moment).generation
        for moment in (made, made + timedelta(microseconds=999_999), made + timedelta(seconds=1), datetime.now())
    ] == [1, 1, 2, 2]
    assert engine.at(datetime.fromtimestamp(10**9)).generation == 1
    assert engine.at(made - timedelta(microseconds=1)).generation == 0


def test_an_action_means_the_state_that_it_left_or_saw(memory):
    with memory.session() as session:
        memory.put("one")
        memory.find("one")
        memory.put("two")
    put, find, _ = session.result.actions

    assert [[frame.content for frame in memory.at(action)] for action in (put, find)] == [["one"]] * 2


def test_a_view_cannot_be_written_and_says_what_to_do(memory):
    memory.put("one")
    view = memory.at(generation=1)
    writes = [
        lambda: view.put("x"),
        lambda: view.put_many(["x"]),
        lambda: view.update(1, "x"),
        lambda: view.delete(1),
        lambda: view.restore(generation=1),
        lambda: view.prune(),
    ]
    for write in writes:
        with pytest.raises(UsageError, match="as it was at generation 1: fork it to write"):
            write()
    assert contents(view) == contents(memory) == {1: "one"}


def test_a_view_outlives_changes_pruning_and_the_end_of_its_memory(memory):
    memory.put("one fox")
    view = memory.at(generation=1)
    found = answers(view, "fox")
    memory.update(1, "two foxes")
    memory.prune()
    memory.close()

    assert found == answers(view, "fox")
    view.close()
    with pytest.raises(ClosedError):
        view.get(1)


def test_a_view_is_gone_when_nobody_refers_to_it():
    memory = replaykit.open("notes.mv")
    memory.put("x" * 1_000_000)
    # SQLite keeps one descriptor of a file that is locked, and uses it for the next.
    memory.at(generation=1).close()
    gc.collect()
    before = descriptors()
    views = [memory.at(generation=1) for _ in range(5)]
    held = descriptors()

    del views
    gc.collect()

    assert descriptors() <= before <= held
    memory.close()


def descriptors():
    folder = "/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"
    return len(os.listdir(folder))


def test_what_a_view_is_asked_is_recorded_by_the_memory(memory):
    memory.put("one fox")
    memory.put("two foxes")
    with memory.session() as session:
        memory.at(generation=1).find("fox")
        memory.find("fox")

    assert [(action.name, action.generation) for action in session.result.actions] == [("find", 1), ("find", 2)]


def test_a_view_of_a_view_and_a_fork_of_a_view_are_those_of_the_memory(memory, tmp_path):
    memory.put("one")
    memory.put("two")
    view = memory.at(generation=1)

    assert contents(view.at(generation=2)) == {1: "one", 2: "two"}
    with view.fork("branch.mv") as branch:
        assert contents(branch) == {1: "one"}
        assert branch.lineage.parent_id == memory.lineage.memory_id
    assert [fork.memory_id for fork in memory.lineage.forks] == [branch_id(tmp_path / "branch.mv")]
    memory.close()
    with pytest.raises(ClosedError):
        view.fork("other.mv")


def branch_id(path):
    with replaykit.open(path, read_only=True) as branch:
        return branch.lineage.memory_id


def test_a_view_says_what_it_is(memory):
    memory.put("one")

    assert repr(memory.at(generation=0)) == f"<Memory {memory.path} as it was at generation 0>"


def test_a_memory_that_is_only_read_can_be_gone_back_in(tmp_path):
    with replaykit.open("notes.mv") as memory:
        memory.put("one")
        memory.put("two")
    held = sorted(os.listdir(tmp_path))
    with replaykit.open("notes.mv", read_only=True) as memory:
        assert contents(memory.at(generation=1)) == {1: "one"}
        with memory.fork("branch.mv", generation=1) as branch:
            assert contents(branch) == {1: "one"}
        with pytest.raises(ReadOnlyError):
            memory.restore(generation=1)
        with pytest.raises(ReadOnlyError):
            memory.prune(keep_checkpoints=0)
    assert sorted([*held, "branch.mv"]) == sorted(os.listdir(tmp_path))


def test_a_memory_whose_file_was_removed_or_replaced_is_still_its_own_past(tmp_path):
    """The open memory is the one that was opened, whatever has its name now."""
    with replaykit.open("notes.mv") as memory:
        memory.put("one")
        memory.put("two")
        os.rename("notes.mv", "elsewhere.mv")
        assert contents(memory.at(generation=1)) == {1: "one"}
        with replaykit.open("notes.mv") as other:
            other.put("of another memory")
            assert contents(memory.at(generation=1)) == {1: "one"}


def test_going_back_inside_a_put_many_is_refused_and_changes_nothing(memory):
    memory.put("one")

    def items():
        with pytest.raises(UsageError, match="in the middle of another call"):
            memory.at(generation=1)
        with pytest.raises(UsageError, match="in the middle of another call"):
            memory.fork("branch.mv")
        yield "two"

    Engine.put_many(memory._frames, items())

    assert contents(memory) == {1: "one", 2: "two"}


def test_writers_go_on_while_a_view_is_made(tmp_path):
    """The view is of one generation whatever is written in between."""
    with replaykit.open("notes.mv") as memory:
        memory.put_many(f"text {number}" for number in range(300))
        start = threading.Barrier(2)

        def write():
            start.wait()
            for number in range(1, 100):
                memory.update(number, "changed")

        writer = threading.Thread(target=write)
        writer.start()
        start.wait()
        views = [memory.at(generation=1) for _ in range(10)]
        writer.join()
        expected = {number + 1: f"text {number}" for number in range(300)}
        assert all(contents(view) == expected for view in views)
        assert {memory.at(generation=1).snapshot().lex_index_hash} == {view.snapshot().lex_index_hash for view in views}


def test_a_forked_child_can_use_the_view_too(memory):
    memory.put_many(f"fox {number} " + "word " * 50 for number in range(500))
    view = memory.at(generation=1)
    expected = answers(view, "fox 7 word", "13")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, b"same" if answers(view, "fox 7 word", "13") == expected else b"else")
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)

    assert os.read(reader, 4) == b"same"
    os.close(reader)
    assert answers(view, "fox 7 word", "13") == expected


# -- what cannot be gone back to ----------------------------------------------------


def test_an_unknown_generation_says_what_there_is(memory):
    memory.put("one")
    for unknown in (-1, 2, 10**30):
        with pytest.raises(CheckpointNotFoundError, match="this memory is at generation 1"):
            memory.at(generation=unknown)
    with pytest.raises(CheckpointNotFoundError, match="There was no memory"):
        memory.at(datetime(1960, 1, 1))


@pytest.mark.parametrize("nonsense", ["1", 1.0, None, b"1"])
def test_what_is_no_moment_is_a_usage_error(memory, nonsense):
    with pytest.raises(UsageError, match="give a checkpoint, an action"):
        memory.at(nonsense)


def test_a_bare_number_is_refused_since_it_may_be_a_checkpoints(memory):
    with memory.session() as session:
        memory.put("one")
        number = session.checkpoint()
    for go_back in (memory.at, memory.restore, lambda moment: memory.fork("branch.mv", at=moment)):
        with pytest.raises(UsageError, match="generation=0"):
            go_back(number)
    assert len(memory) == 1


def test_a_checkpoint_of_another_memory_is_refused(memory):
    (checkpoint,) = checkpointed(memory, lambda: memory.put("one"))
    with replaykit.open(":memory:") as other:
        other.put("two")
        with pytest.raises(CheckpointNotFoundError, match="of another memory"):
            other.restore(checkpoint)
        with pytest.raises(CheckpointNotFoundError, match="of another memory"):
            other.at(checkpoint)
        with pytest.raises(CheckpointNotFoundError, match="of another memory"):
            other.fork("branch.mv", at=checkpoint)
        with pytest.raises(CheckpointNotFoundError, match="of another memory"):
            other.prune(keep_checkpoints=[checkpoint])
    assert not os.path.exists("branch.mv")


def test_a_checkpoint_from_which_something_was_erased_is_accepted(memory):
    """Its hash cannot fit any more; that is no sign of another memory."""
    (checkpoint,) = checkpointed(memory, lambda: memory.put_many(["one", "two"]))
    forged = attrs.evolve(checkpoint, state_hash=b"\x01" * 32)
    with pytest.raises(CheckpointNotFoundError):
        memory.at(forged)
    with memory._frames._connection.writing() as connection:
        connection.execute("INSERT INTO memory_erasures VALUES (9, 1, 2, x'00', 0)")

    assert len(memory.at(forged)) == 2


def test_an_action_of_something_without_generations_is_refused(memory):
    @replaykit.records("find")
    def search(query):
        return []

    with replaykit.session(store=":memory:") as session:
        search("x")
    with pytest.raises(CheckpointNotFoundError, match="has no generation"):
        memory.at(session.result.actions[0])


# -- fork ---------------------------------------------------------------------------


def test_a_fork_has_the_history_of_its_parent_up_to_then(memory):
    fox = memory.put("red fox")
    memory.update(fox, "green fox")
    memory.put("later")
    expected = [answers(memory.at(generation=generation), "fox", "later") for generation in (1, 2)]

    with memory.fork("branch.mv", generation=2) as branch:
        assert contents(branch) == {1: "green fox"}
        assert expected == [answers(branch.at(generation=generation), "fox", "later") for generation in (1, 2)]
        with pytest.raises(CheckpointNotFoundError):
            branch.at(generation=3)
        assert branch.list_sessions() == []
        # The id that its parent gave to its next frame.
        assert branch.put("of the branch") == 2
        assert branch.generation == 3
    assert contents(memory) == {1: "green fox", 2: "later"}


def test_checkpoints_of_the_parent_are_checkpoints_of_the_fork(memory):
    one, two = checkpointed(memory, lambda: memory.put("one"), lambda: memory.put("two"))

    with memory.fork("branch.mv") as branch:
        assert contents(branch.at(generation=one)) == {1: "one"}
        branch.restore(generation=one)
        assert contents(branch) == {1: "one"}
        branch.restore(generation=two)
        assert contents(branch) == {1: "one", 2: "two"}


def test_a_fork_and_its_parent_know_each_other(memory, tmp_path):
    memory.put("one")
    with memory.fork(tmp_path / "branch.mv") as branch:
        mine, its = memory.lineage, branch.lineage
    assert (its.parent_id, its.forked_at) == (mine.memory_id, 1)
    assert its.parent_path == (":memory:" if memory.path == ":memory:" else str(tmp_path / "notes.mv"))
    (known,) = mine.forks
    assert (known.memory_id, known.path, known.forked_at) == (its.memory_id, str(tmp_path / "branch.mv"), 1)
    assert known.forked_ns == its.forked_ns
    assert mine.parent_id is None and its.forks == ()


def test_a_fork_is_private_and_holds_nothing_that_came_later(memory, tmp_path):
    memory.put("one zebra")
    with memory.session():
        memory.put("a quetzalcoatl came later", title="xylophonist", metadata={"k": "vvvvvvvv"})
    # Reading waits for the session to be published, and its log to go.
    memory.list_sessions()
    memory.fork("branch.mv", generation=1).close()

    assert stat.S_IMODE(os.stat("branch.mv").st_mode) == 0o600
    held = Path("branch.mv").read_bytes()
    assert b"zebra" in held
    for later in (b"quetzal", b"xylophonist", b"vvvvvvvv"):
        assert later not in held
    assert sorted(set(os.listdir(tmp_path)) - {"notes.mv", "notes.mv-wal", "notes.mv-shm"}) == ["branch.mv"]


@pytest.mark.parametrize("planted", ["file", "directory", "dangling symlink"])
def test_a_fork_replaces_nothing(memory, planted):
    place = Path("branch.mv")
    {
        "file": lambda: place.write_bytes(b"mine"),
        "directory": place.mkdir,
        "dangling symlink": lambda: place.symlink_to("nowhere"),
    }[planted]()

    with pytest.raises(UsageError, match="exists: nothing is ever overwritten"):
        memory.fork("branch.mv")

    assert os.path.lexists(place) and not os.path.exists("nowhere")
    assert planted != "file" or place.read_bytes() == b"mine"
    assert memory.lineage.forks == ()


def test_a_file_that_comes_while_the_fork_is_made_is_not_replaced(tmp_path):
    target = str(tmp_path / "branch.mv")
    with pytest.raises(UsageError, match="exists"), drafted(target) as draft:
        Path(draft.path).write_bytes(b"the fork")
        Path(target).write_bytes(b"mine")
        draft.place()

    assert Path(target).read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["branch.mv"]


def test_where_a_name_cannot_be_given_in_one_step_the_file_comes_all_the_same(tmp_path, monkeypatch):
    """Some network file systems lack the call; two steps then, and still nothing is replaced."""
    monkeypatch.setattr("replaykit.storage.placing._renamed", lambda source, target: 22)
    with replaykit.open("notes.mv") as memory:
        memory.put("one")
        memory.fork("branch.mv").close()
        with pytest.raises(UsageError, match="exists"):
            memory.fork("branch.mv")
    assert os.stat("branch.mv").st_nlink == 1
    assert [name for name in os.listdir(tmp_path) if name.endswith(".fork")] == []


def test_what_a_killed_fork_left_goes_with_the_next_to_that_place(tmp_path):
    left = tmp_path / f"branch.mv.{'ab' * 16}.fork"
    left.write_bytes(b"half")
    other = tmp_path / f"other.mv.{'ab' * 16}.fork"
    other.write_bytes(b"half")
    with replaykit.open("notes.mv") as memory:
        memory.fork("branch.mv").close()

    assert not left.exists() and other.exists()


def test_a_fork_in_the_making_is_left_alone_by_another(tmp_path):
    target = str(tmp_path / "branch.mv")
    with drafted(target) as first, drafted(target) as second:
        assert os.path.exists(first.path) and os.path.exists(second.path)
        first.place()
        with pytest.raises(UsageError):
            second.place()


def test_a_fork_that_the_disk_refuses_leaves_nothing(tmp_path):
    with replaykit.open("notes.mv") as memory:
        memory.put_many("x" * 10_000 for _ in range(100))
        child = os.fork()
        if not child:
            os._exit(refused_fork(memory))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(os.listdir(tmp_path)) == ["notes.mv"]


def refused_fork(memory):
    # As a full disk, for this process only.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        memory.fork("branch.mv")
    except StorageError:
        return 0
    return 1


def test_a_fork_without_a_folder_says_so(memory):
    with pytest.raises(StorageError, match="make its folder first"):
        memory.fork("nowhere/branch.mv")
    for nameless in ("", "folder/"):
        with pytest.raises(UsageError, match="no name for a file"):
            memory.fork(nameless)
    assert memory.lineage.forks == ()


def test_a_fork_in_ram_is_a_memory_of_its_own(memory):
    memory.put("one")
    with memory.fork(":memory:") as branch:
        branch.put("two")
        with branch.session() as session:
            branch.find("two")
        assert len(session.result.actions) == 1
        assert contents(branch) == {1: "one", 2: "two"}
    assert contents(memory) == {1: "one"}
    assert memory.lineage.forks == ()


def test_a_fork_of_a_fork_goes_on_numbering(memory):
    memory.put("one")
    with memory.fork("a.mv") as first:
        first.put("two")
        with first.fork("b.mv") as second:
            assert second.put("three") == 3
            assert contents(second.at(generation=1)) == {1: "one"}
            assert second.lineage.parent_id == first.lineage.memory_id


def test_a_fork_records_as_its_parent_does(tmp_path):
    with replaykit.open("notes.mv", capture="hash") as memory, memory.fork("branch.mv") as branch:
        with branch.session() as session:
            branch.put("a secret of the branch")
        assert session.result.capture == "hash"


# -- restore ------------------------------------------------------------------------


def test_a_restore_gives_the_state_and_the_hash_of_the_checkpoint(memory):
    fox = memory.put("red fox", title="Fox", metadata={"n": 1})
    (checkpoint,) = checkpointed(memory, lambda: memory.put("whale"))
    asked = answers(memory, "fox whale", "later")
    memory.update(fox, "green", title=None)
    memory.delete(2)
    memory.put("later")

    made = memory.restore(checkpoint)

    assert made == memory.generation == 6
    assert memory._frames.snapshot(with_ids=False)[1] == checkpoint.state_hash
    assert memory.snapshot().lex_index_hash == checkpoint.snapshot.lex_index_hash
    assert answers(memory, "fox whale", "later") == asked
    assert contents(memory.at(generation=5)) == {1: "green", 3: "later"}
    assert memory.get(fox).created_ns == memory.at(generation=1).get(fox).created_ns


def test_a_restore_can_be_undone_and_ids_never_come_again(memory):
    memory.put("one")
    memory.put("two")
    memory.restore(generation=1)
    assert contents(memory) == {1: "one"}
    memory.restore(generation=2)
    assert contents(memory) == {1: "one", 2: "two"}
    memory.restore(generation=0)
    assert (len(memory), memory.put("three")) == (0, 3)


def test_a_restore_to_what_is_there_makes_no_generation(memory):
    memory.put("one")
    memory.update(1, "two")
    memory.update(1, "one")

    assert memory.restore(generation=3) == memory.restore(generation=1) == memory.generation == 3


def test_a_restore_keeps_no_content_twice(memory):
    memory.put("x" * 10_000)
    memory.delete(1)
    memory.restore(generation=1)
    with memory._frames._connection.reading() as connection:
        assert connection.execute("SELECT count(*) FROM memory_contents").get == 1


def test_a_restore_is_recorded_as_an_update(memory):
    with memory.session() as session:
        memory.put("one")
        session.checkpoint()
        memory.put("two")
        checkpoint = memory.get_session(session.id).checkpoints[0]
        memory.restore(checkpoint)
        with pytest.raises(CheckpointNotFoundError):
            memory.restore(generation=99)

    restored, failed = session.result.actions[-2:]
    assert (restored.kind, restored.name, restored.arguments) == ("update", "restore", {"moment": 1})
    assert (restored.generation, restored.output, restored.affected_frames) == (3, 3, ())
    assert failed.error.type.endswith("CheckpointNotFoundError")


# -- prune --------------------------------------------------------------------------


def versions(memory):
    with memory._frames._connection.reading() as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM memory_versions), (SELECT count(*) FROM memory_contents)"
        ).get


def test_pruning_keeps_every_checkpoint_that_is_recorded_here(memory):
    memory.put("zero")
    (checkpoint,) = checkpointed(memory, lambda: memory.update(1, "one"))
    for number in range(5):
        memory.update(1, f"later {number}")

    pruning = memory.prune()

    # Those of before the checkpoint and those between it and the present.
    assert (pruning.versions, pruning.generations, pruning.kept) == (5, 6, 2)
    assert versions(memory) == (2, 2)
    assert contents(memory.at(checkpoint)) == {1: "one"}
    for gone in (0, 1, 3):
        with pytest.raises(CheckpointNotFoundError, match="it was pruned. The nearest that can are"):
            memory.at(generation=gone)
    assert memory.prune() == attrs.evolve(pruning, versions=0, generations=0, bytes=0)


def test_pruning_keeps_the_newest_or_the_given_checkpoints(memory):
    first, second, third = checkpointed(
        memory, lambda: memory.put("one"), lambda: memory.update(1, "two"), lambda: memory.update(1, "three")
    )
    memory.update(1, "four")

    memory.prune(keep_checkpoints=[first, third])
    assert [contents(memory.at(generation=each)) for each in (first, third)] == [{1: "one"}, {1: "three"}]
    with pytest.raises(CheckpointNotFoundError):
        memory.prune(keep_checkpoints=[second])

    memory.prune(keep_checkpoints=1)
    assert contents(memory.at(generation=third)) == {1: "three"}
    with pytest.raises(CheckpointNotFoundError):
        memory.at(generation=first)

    memory.prune(keep_checkpoints=0)
    assert versions(memory) == (1, 1)
    assert contents(memory) == {1: "four"}


def test_pruning_takes_nothing_from_the_limit_on(memory):
    memory.put("one")
    for number in range(4):
        memory.update(1, f"{number}")

    memory.prune(before=3)

    assert [contents(memory.at(generation=generation)) for generation in (3, 4, 5)] == [{1: "1"}, {1: "2"}, {1: "3"}]
    assert versions(memory) == (3, 3)


def test_a_time_that_was_pruned_is_not_taken_for_the_state_before(tmp_path):
    times = iter(range(10**18, 2 * 10**18, 10**9))
    engine = Engine(":memory:", time_ns=lambda: next(times))
    for number in range(5):
        engine.put(f"{number}")
    seconds = [datetime.fromtimestamp(10**9 + number, UTC) for number in range(5)]
    engine.prune([2], 5)

    assert [engine.at(seconds[1]).generation, engine.at(seconds[4]).generation] == [2, 5]
    for gone in (0, 2, 3):
        with pytest.raises(CheckpointNotFoundError, match="pruned"):
            engine.at(seconds[gone])
    engine.fork("branch.mv", at=2)
    with Engine("branch.mv") as branch:
        assert branch.at(seconds[1]).generation == 2
        with pytest.raises(CheckpointNotFoundError, match="pruned"):
            branch.at(seconds[0])


def test_the_ids_of_a_pruned_generation_are_not_made_up(memory):
    memory.put("one")
    held = memory.snapshot()
    memory.delete(1)
    memory.prune()

    assert held.frame_count == 1
    with pytest.raises(CheckpointNotFoundError):
        list(held.frame_ids)


def test_contents_that_versions_share_stay(memory):
    memory.put("shared " * 100)
    memory.update(1, title="a")
    memory.update(1, title="b")
    memory.prune()

    assert versions(memory) == (1, 1)
    assert memory.get(1).content == "shared " * 100


def test_pruned_room_is_used_again(tmp_path):
    with replaykit.open("notes.mv") as memory:
        memory.put_many(["x" * 5_000] * 200)
        memory.put_many(["y" * 5_000] * 10)
        for number in range(1, 201):
            memory.delete(number)
        pruning = memory.prune()
        assert pruning.bytes > 900_000
        assert os.path.getsize("notes.mv-wal") == 0
        size = os.path.getsize("notes.mv")
        memory.put_many(["z" * 5_000] * 150)
        memory.prune()
        assert os.path.getsize("notes.mv") == size


def test_a_limit_may_lie_where_everything_was_pruned(tmp_path):
    """A job that prunes what is older than a month meets gaps that it made itself."""
    times = iter(range(10**18, 2 * 10**18, 10**9))
    engine = Engine(":memory:", time_ns=lambda: next(times))
    for number in range(8):
        engine.put(f"{number}")
    limits = [3, 3, datetime.fromtimestamp(10**9 + 1, UTC), datetime.fromtimestamp(10**9 + 5, UTC)]
    found = []
    for limit in limits:
        engine.prune([], engine.limit_of(limit))
        found.append([generation for generation in range(9) if can_go_back(engine, generation)])

    assert found == [[3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8], [6, 7, 8]]
    with pytest.raises(CheckpointNotFoundError):
        engine.limit_of(9)


def can_go_back(engine, generation):
    try:
        return engine.at(generation) is not None
    except CheckpointNotFoundError:
        return False


def test_pruning_does_not_wait_for_a_reader(tmp_path):
    with replaykit.open("notes.mv") as memory:
        memory.put("one")
        memory.update(1, "two")
        with Engine("notes.mv", read_only=True) as other, other._connection.reading() as reader:
            assert reader.execute("SELECT count(*) FROM memory_versions").get == 2
            begun = time.monotonic()
            assert memory.prune().versions == 1
            assert time.monotonic() - begun < 5
            assert reader.execute("SELECT count(*) FROM memory_versions").get == 2


def test_a_lineage_that_makes_no_sense_is_damage(tmp_path):
    with Engine("notes.mv") as engine:
        with engine._connection.writing() as connection:
            connection.execute("INSERT INTO memory_forks VALUES ('no id', 'x', 0, 0)")
        with pytest.raises(DamagedError, match="makes no sense"):
            _ = engine.lineage


@pytest.mark.parametrize("nonsense", [-1, True, "all", object()])
def test_what_are_no_checkpoints_is_a_usage_error(memory, nonsense):
    with pytest.raises(UsageError, match="keep_checkpoints"):
        memory.prune(keep_checkpoints=nonsense)


def test_one_checkpoint_is_not_several(memory):
    (checkpoint,) = checkpointed(memory, lambda: memory.put("one"))
    with pytest.raises(UsageError, match="several"):
        memory.prune(keep_checkpoints=checkpoint)


# -- across versions and copies -------------------------------------------------------


def test_a_memory_of_the_first_version_can_be_gone_back_in(tmp_path):
    """Also where it is only read, and so stays as it is."""
    shutil.copy(Path(__file__).parent.parent / "golden" / "1.0-draft.mv", "old.mv")
    held = Path("old.mv").read_bytes()
    with replaykit.open("old.mv", read_only=True) as memory:
        newest = memory.generation
        assert contents(memory.at(generation=newest)) == contents(memory)
        assert len(memory.at(generation=0)) == 0
        memory.fork("branch.mv").close()
    assert Path("old.mv").read_bytes() == held
    with replaykit.open("branch.mv") as branch:
        assert branch.generation == newest


def test_vectors_go_where_their_versions_go(memory):
    """Wherever a version is copied, brought back or pruned, so is its vector."""
    with memory._frames._connection.writing() as connection:
        connection.execute("CREATE TABLE memory_vectors (version_id INTEGER PRIMARY KEY, vector BLOB NOT NULL)")
        connection.execute("INSERT INTO memory_vectors VALUES (1, x'01'), (2, x'02'), (3, x'03')")
        connection.execute("CREATE TABLE memory_embedder (id INTEGER PRIMARY KEY, name TEXT, dimension INTEGER)")
        connection.execute("INSERT INTO memory_embedder VALUES (1, 'small', 1)")
    memory.put("one")
    memory.update(1, "two")
    memory.put("three")

    with memory.at(generation=1)._frames._connection.reading() as connection:
        assert connection.execute("SELECT name, dimension FROM memory_embedder").get == ("small", 1)
    assert vectors(memory.at(generation=1)) == {1: b"\x01"}
    with memory.fork("branch.mv", generation=2) as branch:
        assert vectors(branch) == {1: b"\x01", 2: b"\x02"}
    memory.restore(generation=1)
    assert vectors(memory) == {1: b"\x01", 2: b"\x02", 3: b"\x03", 4: b"\x01"}
    memory.prune()
    assert vectors(memory) == {4: b"\x01"}


def vectors(memory):
    with memory._frames._connection.reading() as connection:
        return dict(connection.execute("SELECT version_id, vector FROM memory_vectors").fetchall())
