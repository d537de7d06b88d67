"""What a power loss at any step may cost: nothing that was promised, and nothing is invented (G2, G3, G4, G8)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any
from uuid import UUID

import attrs
import pytest
from effort import Figure

import replaykit
from replaykit.errors import DamagedError, NotAStoreError, StorageError
from replaykit.format import records
from replaykit.format.block import Block
from replaykit.format.entries import Opening, Sealing
from replaykit.format.segment import GAP
from replaykit.recording.background import background_of
from replaykit.storage.file_store import FileStore
from replaykit.storage.live_log import encode_opening, encode_sealing
from replaykit.storage.log_files import FileLog
from replaykit.storage.options import StoreOptions
from replaykit.storage.publish import Publisher
from replaykit.storage.recovery import recover
from replaykit.testing.contracts import make_part
from replaykit.testing.crash_states import CrashState, crash_states
from replaykit.testing.files import SECTOR, FaultyFiles, GuardedFiles, MemoryFiles, Step, TracedFiles, WrappedFiles

Effort = Callable[[int], int]

STORE = "runs.rpk"


@attrs.frozen
class Said:
    """One promise: what was done to which session, and the action's sequence."""

    what: str
    session_id: UUID | None = None
    sequence: int = -1


class Program:
    """
    A writer that does what a recorder does, one step after the other, and says what it promises.

    ``texts`` has every action that it tried to keep.
    """

    def __init__(self, seed: int, *, durability: str = "always", align: int = 0) -> None:
        self.chance = random.Random(seed)
        self.options = StoreOptions(align=align)
        self.start = MemoryFiles()
        if seed % 8:
            # Mostly in a store that is there: to open what may be in the
            # making takes a while.
            FileStore(STORE, files=self.start, options=self.options).close()
        self.files = TracedFiles(GuardedFiles(self.start.after_kill()))
        self.durability = durability
        self.texts: dict[tuple[UUID, int], str] = {}
        self.time = 0

    def run(self) -> list[Step]:
        self.store = FileStore(STORE, files=self.files, options=self.options, clock=self._now)
        self.files.say(Said("created"))
        for number in range(self.chance.choice([1, 2, 2, 3])):
            self._session(UUID(int=self.chance.getrandbits(128)), is_left_open=number == 2)
        if self.chance.random() < 0.5:
            self.store.close()
        return self.files.steps

    def _now(self) -> int:
        self.time += 1
        return self.time

    def _session(self, session_id: UUID, *, is_left_open: bool) -> None:
        log = self.store.create_log(session_id)
        opening = Opening(session_id=session_id, name="a session", created_ns=self._now())
        log.append(records.sealed(records.map_body(records.OPEN, encode_opening(opening, align=log.align))))
        publisher = Publisher(self.store, log)
        for sequence in range(self.chance.randrange(1, 7)):
            self._action(log, session_id, sequence)
            if self.chance.random() < 0.15:
                publisher.publish(final=False)
        if is_left_open:
            return
        sealing = Sealing(state="sealed", ended_ns=self._now(), ended_by="block")
        log.append_end(records.sealed(records.map_body(records.END, encode_sealing(sealing))))
        publisher.publish(final=True)
        self.files.say(Said("sealed", session_id))
        log.remove()
        if self.chance.random() < 0.4:
            self.files.say(Said("deleting", session_id))
            self.store.delete(session_id)
            self.files.say(Said("deleted", session_id))

    def _action(self, log: FileLog, session_id: UUID, sequence: int) -> None:
        text = f"{sequence} " + "x" * self.chance.choice([10, 300, self.chance.randrange(1500)])
        self.texts[session_id, sequence] = text
        entry = {"i": sequence, "k": "find", "t": self._now(), "d": 1, "out": text}
        log.append(records.sealed(records.map_body(records.ENTRY, entry)))
        if self.durability == "always" or (self.durability == "group" and self.chance.random() < 0.3):
            log.sync()
            self.files.say(Said("kept", session_id, sequence))


@attrs.define
class Judge:
    """Opens a crash state as the next process would, and holds what it finds against what was promised."""

    texts: dict[tuple[UUID, int], str]
    states: int = 0
    refused: int = 0

    def judge(self, state: CrashState, files: Any = None) -> dict[UUID, dict[int, str]]:
        self.states += 1
        guard = GuardedFiles(state.files if files is None else files, state.synced)
        promised = set(state.said)
        try:
            store = FileStore(STORE, files=guard, clock=lambda: 1 << 40)
        except NotAStoreError:
            # Nobody was told yet that there is a store.
            assert Said("created") not in promised
            self.refused += 1
            return {}
        recover(store)
        found = _found(store)
        assert store.verify(), store.verify().problems
        assert [log.path for log in store.logs()] == []
        self._demand_kept(promised, found)
        self._demand_true(found)
        store.close()
        assert guard.violations == []
        return found

    def _demand_kept(self, promised: set[Said], found: dict[UUID, dict[int, str]]) -> None:
        gone = {said.session_id for said in promised if said.what == "deleted"}
        going = {said.session_id for said in promised if said.what == "deleting"}
        assert not gone & found.keys(), "a deleted session is back"
        for session_id, sequence in [(said.session_id, said.sequence) for said in promised if said.what == "kept"]:
            assert session_id in going or sequence in found.get(session_id, ()), "an acknowledged action is lost"
        # Deleted or not, but never in part.
        sealed = {said.session_id for said in promised if said.what == "sealed"}
        for session_id in (sealed - going) | (going & found.keys()):
            assert found[session_id].keys() == {key[1] for key in self.texts if key[0] == session_id}

    def _demand_true(self, found: dict[UUID, dict[int, str]]) -> None:
        for session_id, texts in found.items():
            for sequence, text in texts.items():
                assert text == self.texts[session_id, sequence], "an action is not as it was"


def _found(store: FileStore) -> dict[UUID, dict[int, str]]:
    return {
        card.session_id: {entry["i"]: entry["out"] for entry in store.read(card.session_id).actions()}
        for card in store.cards()
    }


def programs(wanted: int, judged: Judge, **options: Any) -> Iterator[tuple[Program, list[Step], int]]:
    """Yield programs, their steps and their seeds, until so many states were judged."""
    seed = 0
    while judged.states < wanted:
        program = Program(seed, **options)
        steps = program.run()
        judged.texts = program.texts
        yield program, steps, seed
        seed += 1


@pytest.mark.parametrize(("powersafe", "align"), [(True, 0), (False, 512)])
def test_g2_what_was_acknowledged_survives_a_power_loss(
    effort: Effort, figure: Figure, powersafe: bool, align: int
) -> None:
    """With ``always`` each acknowledged action is there, as it was; what is more was at least tried."""
    judge = Judge({})
    for program, steps, seed in programs(effort(50_000), judge, align=align):
        for state in crash_states(steps, seed=seed, start=program.start, powersafe_overwrite=powersafe):
            judge.judge(state)
    figure("G2", f"(powersafe overwrite {powersafe}, align {align}): {judge.states} states, 0 lost, 0 wrong")


def test_a_recovery_that_loses_its_power_is_done_again(effort: Effort, figure: Figure) -> None:
    """A crash at each step of the recovery itself costs nothing either (G2, G8)."""
    judge = Judge({})
    for program, steps, seed in programs(effort(20_000), judge):
        for number, state in enumerate(crash_states(steps, seed=seed, start=program.start, each=2)):
            if number % 5:
                continue
            before = state.files.after_kill()
            files = TracedFiles(state.files)
            judge.judge(state, files)
            for again in crash_states(files.steps, seed=seed, each=2, start=before):
                synced = {path: max(size, again.synced.get(path, 0)) for path, size in state.synced.items()}
                judge.judge(attrs.evolve(again, said=state.said, synced=synced))
    figure("G2", f"in a recovery: {judge.states} states, 0 lost, 0 wrong")


def holes_in(found: dict[int, str]) -> set[int]:
    return set(range(max(found, default=-1) + 1)) - found.keys()


@pytest.mark.parametrize("align", [0, 512])
@pytest.mark.parametrize("durability", ["group", "os"])
def test_g4_survivors_are_a_prefix_or_the_hole_is_told(
    effort: Effort, figure: Figure, durability: str, align: int
) -> None:
    """Without a sync per action a power loss costs the end; what is missing before a survivor is a gap."""
    judge = Judge({})
    holes = 0
    for program, steps, seed in programs(effort(25_000), judge, durability=durability, align=align):
        for state in crash_states(steps, seed=seed, start=program.start):
            found = judge.judge(state)
            for session_id, texts in found.items():
                if holes_in(texts):
                    holes += 1
                    assert gaps_of(state.files, session_id), "a hole of which nobody is told"
    figure("G4", f"({durability}, align {align}): {judge.states} states, 0 wrong, {holes} with a hole, each told of")


def gaps_of(files: MemoryFiles, session_id: UUID) -> int:
    """Return how many gaps the file tells of in the session."""
    segment = FileStore(STORE, files=files, read_only=True).segment
    blocks = [item for item in segment.scan(segment.head.end, segment.size()) if isinstance(item, Block)]
    return sum(block.kind == GAP and session_id.bytes in block.body() for block in blocks)


# -- G3, with the recorder and a clock that is moved ------------------------------------------


@replaykit.records("tool")
def note(text: str) -> str:
    return text


class SlowSync(WrappedFiles):
    """Agents go on while a sync is under way; what they write then is not covered by it."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.during: Callable[[], None] = lambda: None

    def sync(self, handle: int) -> None:
        self.inner.sync(handle)
        self.during()


GROUP_MS = 20
SYNC_MS = 12


class Service:
    """A program that records with ``durability="group"``, whose background has its turn every 20 ms of its own time."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.traced = TracedFiles(GuardedFiles(MemoryFiles()))
        self.files = SlowSync(self.traced)
        self.now_ms = 0.0
        self.count = 0

    def run(self) -> list[Step]:
        recorder: Any = replaykit.Recorder(STORE, durability="group", on_loss="raise", redact=())
        recorder._engine.lease.opened = store = FileStore(STORE, files=self.files)
        background = background_of(store)
        # This thread is the background: turns come when the clock says so.
        background._thread = threading.current_thread()
        self.files.during = self._go_on
        recorder.start_session("served")
        turn_ms = 0.0
        for _ in range(self.chance.randrange(10, 40)):
            arrives_ms = self.now_ms + self.chance.choice([0.1, 2, 15]) * self.chance.random()
            while arrives_ms >= turn_ms + GROUP_MS:
                turn_ms += GROUP_MS
                self.now_ms = max(self.now_ms, turn_ms)
                background._keep_up()
                turn_ms = max(turn_ms, self.now_ms)
            self.now_ms = max(arrives_ms, self.now_ms)
            self._call()
        steps = list(self.traced.steps)
        self.files.during = lambda: None
        recorder.end_session()
        recorder.close()
        return steps

    def _call(self) -> None:
        note(f"{self.count}")
        self.traced.say((self.count, self.now_ms))
        self.count += 1

    def _go_on(self) -> None:
        for _ in range(self.chance.randrange(4)):
            self.now_ms += SYNC_MS / 4
            self._call()


def test_g3_group_loses_nothing_older_than_its_time_and_one_sync(effort: Effort, figure: Figure) -> None:
    states = oldest_lost = 0
    seed = 0
    while states < effort(100_000):
        for state in crash_states(Service(seed).run(), seed=seed, each=4):
            if not state.said:
                continue
            states += 1
            store = FileStore(STORE, files=state.files)
            recover(store)
            entries = [entry for card in store.cards() for entry in store.read(card.session_id).actions()]
            # A call whose announcement is lost says that its arguments are: it
            # is neither kept nor told wrongly.
            kept = {int(entry["in"]["text"]) for entry in entries if "damaged" not in entry.get("fl", ())}
            now_ms = max((at for _, at in state.said), default=0)
            lost = [now_ms - at for number, at in state.said if number not in kept]
            oldest_lost = max(oldest_lost, *lost, 0)
            assert kept <= set(range(len(state.said) + 1))
            store.close()
        seed += 1
    assert 0 < oldest_lost <= GROUP_MS + SYNC_MS
    figure("G3", f"{states} states, the oldest call that was lost had returned {oldest_lost:.1f} ms before")


# -- G8 ------------------------------------------------------------------------------------------


def test_g8_damage_below_the_watermark_is_always_reported(effort: Effort, figure: Figure) -> None:
    """A sector of a closed store is zero or garbage: it does not open or verify, and what is read is true."""
    damaged = refused = 0
    seed = 0
    while damaged < effort(20_000):
        program = Program(seed, align=seed % 2 * 512)
        program.run()
        program.store.close()
        disk: MemoryFiles = program.files.inner.inner  # type: ignore[attr-defined]
        whole = disk.contents(STORE)
        below = last_watermark(disk)
        judge = Judge(program.texts)
        for start in range(0, below, SECTOR):
            end = min(start + SECTOR, below)
            for filling in (bytes(end - start), program.chance.randbytes(end - start)):
                if whole[start:end] == filling:
                    continue
                hurt = MemoryFiles()
                hurt.place(STORE, whole[:start] + filling + whole[end:])
                damaged += 1
                refused += is_refused(hurt, judge)
        seed += 1
    figure("G8", f"{damaged} damaged sectors, all reported, {refused} of them at opening; 0 wrong")


def last_watermark(disk: MemoryFiles) -> int:
    segment = FileStore(STORE, files=disk, read_only=True).segment
    return max(item.watermark for item in segment.scan(segment.head.end, segment.size()) if isinstance(item, Block))


def is_refused(hurt: MemoryFiles, judge: Judge) -> bool:
    """Demand that the damage is reported; return whether the store did not even open."""
    before = hurt.contents(STORE)
    try:
        store = FileStore(STORE, files=hurt)
    except (DamagedError, NotAStoreError):
        assert hurt.contents(STORE) == before
        return True
    assert not store.verify()
    with suppress(DamagedError):
        for card in store.cards():
            with suppress(DamagedError):
                for entry in store.read(card.session_id).actions():
                    assert entry["out"] == judge.texts[card.session_id, entry["i"]]
    return False


# -- the states of sessions ------------------------------------------------------------------------


def begun(store: FileStore, session_id: UUID, **opening: Any) -> tuple[FileLog, Publisher]:
    log = store.create_log(session_id)
    said = Opening(session_id=session_id, name="a session", created_ns=5, **opening)
    log.append(records.sealed(records.map_body(records.OPEN, encode_opening(said))))
    return log, Publisher(store, log)


def recorded(log: FileLog, sequence: int) -> None:
    entry = {"i": sequence, "k": "find", "t": 10 + sequence, "d": 2, "out": "text"}
    log.append(records.sealed(records.map_body(records.ENTRY, entry)))


def states_after(files: MemoryFiles) -> list[tuple[str, int, int | None]]:
    with closing(FileStore(STORE, files=files)) as store:
        recover(store)
        assert store.verify()
        return [(card.state, card.action_count, card.ended_ns) for card in store.cards()]


def test_a_sealed_session_stays_sealed_though_its_log_comes_back() -> None:
    """Its removal is not on the device, and its end, which was never synced there, is lost with the power."""
    disk = MemoryFiles()
    store = FileStore(STORE, files=disk)
    log, publisher = begun(store, UUID(int=1))
    recorded(log, 0)
    log.sync()
    before = disk.contents(log.path)
    log.append_end(records.sealed(records.map_body(records.END, encode_sealing(Sealing(state="sealed", ended_ns=20)))))
    publisher.publish(final=True)
    log.remove()
    after = disk.after_kill()
    after.place(f"{STORE}.{UUID(int=1).hex}.live", before)
    assert states_after(after) == [("sealed", 1, 20)]
    assert after.paths == [STORE]


def test_an_interrupted_session_is_not_published_again_though_its_log_comes_back_shorter() -> None:
    disk = MemoryFiles()
    store = FileStore(STORE, files=disk)
    log, _ = begun(store, UUID(int=1))
    recorded(log, 0)
    log.sync()
    before = disk.contents(log.path)
    recorded(log, 1)
    after = disk.after_kill()
    assert states_after(after) == [("interrupted", 2, 13)]
    size = len(after.contents(STORE))
    after.place(log.path, before)
    assert states_after(after) == [("interrupted", 2, 13)]
    assert len(after.contents(STORE)) < size + 500, "only the closing catalog is new"


def test_damage_that_begins_in_what_was_published_is_told_too() -> None:
    """What was never synced of the log is garbage, from within the published records to within the later ones."""
    disk = MemoryFiles()
    store = FileStore(STORE, files=disk)
    log, publisher = begun(store, UUID(int=1))
    recorded(log, 0)
    publisher.publish(final=False)
    published = log.size
    recorded(log, 1)
    hurt = log.size
    recorded(log, 2)
    after = disk.after_kill()
    content = after.contents(log.path)
    after.place(log.path, content[: published - 10] + b"?" * (hurt - published + 20) + content[hurt + 10 :])
    recorded(log, 3)
    after.place(log.path, after.contents(log.path) + disk.contents(log.path)[len(content) :])
    assert states_after(after) == [("interrupted", 2, 15)]
    assert gaps_of(after, UUID(int=1)) == 1


def test_a_session_whose_log_is_lost_with_the_power_is_interrupted() -> None:
    """What is published of it is synced; the name of its log was not, and nobody writes it any more."""
    disk = MemoryFiles()
    store = FileStore(STORE, files=disk)
    log, publisher = begun(store, UUID(int=1), metadata={"user": "ada"})
    recorded(log, 0)
    recorded(log, 1)
    publisher.publish(final=False)
    after = disk.after_kill()
    after.remove(log.path)
    assert states_after(after) == [("interrupted", 2, 13)]
    with closing(FileStore(STORE, files=after)) as store:
        assert store.read(UUID(int=1)).card.metadata == {"user": "ada"}
        assert store.logs() == []


def test_a_session_that_somebody_records_stays_open() -> None:
    """Its log tells that it is alive, whoever recovers the store."""
    store = FileStore(STORE, files=MemoryFiles())
    log, publisher = begun(store, UUID(int=1))
    recorded(log, 0)
    publisher.publish(final=False)
    assert recover(store) == 0
    assert [card.state for card in store.cards()] == ["open"]
    log.close()


def test_a_part_that_was_never_synced_does_not_stand_in_for_its_log() -> None:
    """Its writer was killed before the sync; the next process finds it whole, removes the log, and loses its power."""
    disk = MemoryFiles()
    files = FaultyFiles(disk, fail_at=0, mode="for_ever", counted={"sync"})
    files.is_armed = False
    store = FileStore(STORE, files=files)
    log, publisher = begun(store, UUID(int=1))
    recorded(log, 0)
    log.sync()
    files.is_armed = True
    with pytest.raises(StorageError):
        publisher.publish(final=True)
    after = disk.after_kill()
    assert states_after(after) == [("interrupted", 1, 12)]
    after.sync_directory("")
    for seed in range(20):
        assert states_after(after.after_power_loss(random.Random(seed))) == [("interrupted", 1, 12)]


def test_a_file_whose_name_was_never_synced_gets_its_name_before_it_holds_anything() -> None:
    """Its creator was killed between the first bytes and the syncs."""
    made = MemoryFiles()
    FileStore(STORE, files=made).close()
    disk = MemoryFiles()
    handle = disk.open(STORE, write=True, create=True)
    disk.append(handle, made.contents(STORE))
    after = disk.after_kill()
    FileStore(STORE, files=after).publish(make_part(UUID(int=1)))
    for seed in range(20):
        assert states_after(after.after_kill().after_power_loss(random.Random(seed))) == [("sealed", 0, 2)]


def test_opening_what_was_closed_well_syncs_nothing() -> None:
    disk = MemoryFiles()
    with closing(FileStore(STORE, files=disk)) as store:
        store.publish(make_part(UUID(int=1)))
    files = TracedFiles(disk)
    with closing(FileStore(STORE, files=files)) as store:
        assert len(store.cards()) == 1
    assert files.steps == []
