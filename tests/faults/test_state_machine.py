"""
Anything a store's owner may do, in any order, with crashes anywhere: the store agrees with a simple model of it.

The model is the list of acknowledged actions of each session, and which of
them are promised to survive a power loss (G1, G2, G4, G8, G9, G10, G11, G20, G23).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from replaykit.errors import DamagedError, LockedError, NotAStoreError
from replaykit.format import records
from replaykit.format.actions import checkpoint_entry
from replaykit.format.block import Block
from replaykit.format.entries import Opening, Sealing
from replaykit.model import ZERO_HASH, Checkpoint, StateSnapshot
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.file_store import FileStore
from replaykit.storage.guard import Guard
from replaykit.storage.live_log import encode_opening, encode_sealing
from replaykit.storage.log_files import FileLog
from replaykit.storage.options import StoreOptions
from replaykit.storage.publish import Publisher
from replaykit.storage.recovery import recover
from replaykit.storage.reserve import Reserve
from replaykit.storage.stored_session import demand_roots
from replaykit.testing.contracts import make_part
from replaykit.testing.files import GuardedFiles, MemoryFiles, WrappedFiles

STORE = "runs.rpk"
HOUR_NS = 3600 * 10**9
TEN_YEARS_NS = 10 * 365 * 24 * HOUR_NS
MOST_SESSIONS = 5

View = dict[UUID, dict[int, str]]
"""What a store shows: the text of each action of each session."""


class Death(BaseException):
    """The process ends here; no code of it runs any more, so nothing may catch this and go on."""


class MortalFiles(WrappedFiles):
    """A disk whose process dies at its change number *left*; half of an append is done."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.left: int | None = None

    def _step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Death

    def open(self, path: str, *, write: bool, create: bool) -> int:
        if create:
            self._step()
        return self.inner.open(path, write=write, create=create)

    def append(self, handle: int, data: bytes) -> int:
        try:
            self._step()
        except Death:
            if self.left == -1:
                self.inner.append(handle, data[: len(data) // 2])
            raise
        return self.inner.append(handle, data)

    def sync(self, handle: int) -> None:
        self._step()
        self.inner.sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._step()
        self.inner.truncate(handle, size)

    def remove(self, path: str) -> None:
        self._step()
        self.inner.remove(path)

    def rename(self, source: str, target: str) -> None:
        self._step()
        self.inner.rename(source, target)

    def sync_directory(self, path: str) -> None:
        self._step()
        self.inner.sync_directory(path)


@attrs.define(eq=False)
class Modelled:
    """
    One session as it should be.

    Attributes:
        texts: Each action that was tried, by sequence.
        acknowledged: The sequences whose calls have returned: no kill loses them.
        durable: Those that no power loss loses.
        checkpoints: The ids of acknowledged checkpoints.
        state: ``open``, ``sealed`` or ``interrupted``; ``ending`` while it is being sealed.
        fate: ``kept``, ``going`` while it is being deleted, ``gone``.
        root: What proves its content, once it is sealed.
    """

    id: UUID
    texts: dict[int, str] = attrs.field(factory=dict)
    acknowledged: set[int] = attrs.field(factory=set)
    durable: set[int] = attrs.field(factory=set)
    checkpoints: set[int] = attrs.field(factory=set)
    durable_checkpoints: set[int] = attrs.field(factory=set)
    state: str = "open"
    fate: str = "kept"
    root: bytes | None = None
    log: FileLog | None = None
    publisher: Publisher | None = None

    def make_durable(self) -> None:
        self.durable |= self.acknowledged
        self.durable_checkpoints |= self.checkpoints

    @property
    def shown(self) -> dict[int, str]:
        return {sequence: self.texts[sequence] for sequence in self.acknowledged}

    @property
    def next_sequence(self) -> int:
        return max(self.acknowledged, default=-1) + 1


class Reader:
    """Somebody who reads the store while it is written to, and remembers what it showed."""

    def __init__(self, files: Any) -> None:
        self.store = FileStore(STORE, files=files, read_only=True)
        self.seen: View = {}

    def look(self) -> View:
        before, self.seen = self.seen, view_of(self.store)
        return before


def view_of(store: FileStore) -> View:
    catalogue = Catalogue(store)
    return {
        summary.session_id: {
            action.sequence: action.output for action in catalogue.get_session(summary.session_id).actions
        }
        for summary in catalogue.list_sessions()
    }


class StoreMachine(RuleBasedStateMachine):
    """A store file, its live logs, its writer, its readers and those who should keep off."""

    crashes = damages = steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryFiles()
        self.watermarks: dict[str, int] = {}
        self.now_ns = 1_700_000_000 * 10**9
        self.sessions: list[Modelled] = []
        self.published: list[UUID] = []
        self.readers: list[Reader] = []
        self.options = StoreOptions()
        self.count = 0

    @initialize(align=st.sampled_from([0, 0, 512]))
    def begin_store(self, align: int) -> None:
        self.options = StoreOptions(align=align)
        self._open()

    # -- what the writer does, for the rules and for crashes in the middle of it ------------

    def _open(self) -> None:
        self.guard = GuardedFiles(self.disk, self.watermarks)
        self.files = MortalFiles(self.guard)
        self.store = FileStore(STORE, files=self.files, options=self.options, clock=self._time)

    def _time(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns

    def _having(self, *states: str, pick: int) -> Modelled | None:
        found = [each for each in self.sessions if each.fate == "kept" and each.state in states]
        return found[pick % len(found)] if found else None

    def _begin(self, pick: int) -> None:
        self.count += 1
        session = Modelled(UUID(int=self.count))
        self.sessions.append(session)
        self._start_log(session, Opening(session_id=session.id, name=None, created_ns=self._time()))

    def _resume(self, pick: int) -> None:
        session = self._having("interrupted", pick=pick)
        if session is None:
            return
        session.state, session.root = "open", None
        card = self.store.read(session.id).card
        opening = Opening(session_id=session.id, name=None, created_ns=card.created_ns, resumed=True)
        self._start_log(session, opening, attrs.evolve(card, log_through=0))

    def _start_log(self, session: Modelled, opening: Opening, card: Any = None) -> None:
        session.log = self.store.create_log(session.id)
        session.log.append(records.sealed(records.map_body(records.OPEN, encode_opening(opening))))
        session.publisher = Publisher(self.store, session.log, card=card)

    def _record(self, pick: int) -> None:
        session = self._having("open", pick=pick)
        if session is None or session.log is None:
            return
        sequence = session.next_sequence
        text = f"{session.id.int}/{sequence}/{self.count} " + "x" * (pick * 37 % 1200)
        session.texts[sequence] = text
        entry = {"i": sequence, "k": "find", "t": self._time(), "d": 1, "out": text}
        session.log.append(records.sealed(records.map_body(records.ENTRY, entry)))
        session.acknowledged.add(sequence)

    def _checkpoint(self, pick: int) -> None:
        session = self._having("open", pick=pick)
        if session is None or session.log is None:
            return
        made = Checkpoint(
            id=len(session.checkpoints),
            session_id=session.id,
            at_sequence=max(0, session.next_sequence - 1),
            timestamp_ns=self._time(),
            state_hash=ZERO_HASH,
            snapshot=StateSnapshot(),
        )
        entry = checkpoint_entry(made, with_ids=False)
        session.log.append(records.sealed(records.map_body(records.CHECKPOINT, entry)))
        session.checkpoints.add(made.id)

    def _flush(self, pick: int) -> None:
        session = self._having("open", pick=pick)
        if session is not None and session.log is not None:
            session.log.sync()
            session.make_durable()

    def _publish(self, pick: int) -> None:
        session = self._having("open", pick=pick)
        if session is None or session.publisher is None:
            return
        before = session.publisher.offset
        session.publisher.publish(final=False)
        if session.publisher.offset > before:
            session.make_durable()
            self._moved_to_end(session)

    def _seal(self, pick: int) -> None:
        session = self._having("open", pick=pick)
        if session is None or session.log is None or session.publisher is None:
            return
        session.state = "ending"
        sealing = Sealing(state="sealed", ended_ns=self._time(), ended_by="block")
        session.log.append_end(records.sealed(records.map_body(records.END, encode_sealing(sealing))))
        assert session.publisher.publish(final=True)
        session.make_durable()
        session.state = "sealed"
        session.root = self._root(session)
        self._moved_to_end(session)
        log, session.log, session.publisher = session.log, None, None
        log.remove()

    def _delete(self, pick: int) -> None:
        self._remove(pick, self.store.delete)

    def _erase(self, pick: int) -> None:
        session = self._remove(pick, self.store.erase)
        if session is not None:
            needles = [text.split(" ")[0].encode() + b" " for text in session.texts.values()]
            content = self.disk.contents(STORE)
            assert not [needle for needle in needles if needle in content]

    def _remove(self, pick: int, remove: Callable[[UUID], None]) -> Modelled | None:
        session = self._having("sealed", "interrupted", pick=pick)
        if session is None:
            return None
        session.fate = "going"
        remove(session.id)
        session.fate = "gone"
        self.published.remove(session.id)
        return session

    def _compact(self, pick: int) -> None:
        before = {card.session_id: demand_roots(self.store.read(card.session_id).pieces) for card in self.store.cards()}
        self.store.compact()
        after = {card.session_id: demand_roots(self.store.read(card.session_id).pieces) for card in self.store.cards()}
        assert before == after

    def _idle(self, pick: int) -> None:
        self.store.idle()

    def _close(self, pick: int) -> None:
        self.store.close()

    def _moved_to_end(self, session: Modelled) -> None:
        self.published = [each for each in self.published if each != session.id] + [session.id]

    def _root(self, session: Modelled) -> bytes | None:
        return demand_roots(self.store.read(session.id).pieces)

    # -- rules: an uneventful life ---------------------------------------------------------------

    @precondition(lambda self: sum(each.fate == "kept" for each in self.sessions) < MOST_SESSIONS)
    @rule()
    def begin(self) -> None:
        self._begin(0)

    @rule(picks=st.lists(st.integers(0, 40), min_size=1, max_size=6))
    def record(self, picks: list[int]) -> None:
        for pick in picks:
            self._record(pick)

    @rule(what=st.sampled_from(["checkpoint", "flush", "publish", "seal", "resume", "idle"]), pick=st.integers(0, 4))
    def go_on(self, what: str, pick: int) -> None:
        getattr(self, f"_{what}")(pick)

    @rule(what=st.sampled_from(["delete", "erase", "compact"]), pick=st.integers(0, 4))
    def tidy(self, what: str, pick: int) -> None:
        getattr(self, f"_{what}")(pick)

    @rule(by=st.sampled_from([-HOUR_NS, -TEN_YEARS_NS, HOUR_NS, TEN_YEARS_NS]))
    def set_the_clock(self, by: int) -> None:
        self.now_ns = min(max(self.now_ns + by, 1), 4 * 10**18)

    @rule()
    def every_byte_is_accounted_for(self) -> None:
        self._demand_roots()
        assert self.store.verify(), self.store.verify().problems

    # -- rules: others ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.readers) < 2)
    @rule()
    def open_a_reader(self) -> None:
        self.readers.append(Reader(self.guard))

    @rule()
    def a_second_writer_is_refused(self) -> None:
        with self._untouched(), pytest.raises(LockedError):
            FileStore(STORE, files=self.guard)

    @rule()
    def a_log_has_one_writer(self) -> None:
        for log in [each.log for each in self.sessions if each.log is not None]:
            other = FileLog(self.guard, STORE, log.session_id)
            with self._untouched():
                assert other.has_writer() and not other.claim()
                with pytest.raises(LockedError):
                    other.create()

    @rule()
    def a_forked_child_writes_nothing(self) -> None:
        child = copy.copy(self.store)
        child._guard = Guard()
        child._guard.pid -= 1
        # The child's descriptors are copies: closing them closes nothing here.
        child._written, child._reserve = None, Reserve(self.files, "")
        sealed = self._having("sealed", "interrupted", pick=0)
        with self._untouched():
            for refused in (child.compact, lambda: child.publish(make_part(UUID(int=1 << 100)))):
                with pytest.raises(LockedError):
                    refused()
            if sealed is not None:
                with pytest.raises(LockedError):
                    child.delete(sealed.id)
            child.idle()
            child.abandon()
            child.close()

    @rule(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), pick=st.integers(0, 9))
    def damage_is_never_silent(self, place: float, bit: int, pick: int) -> None:
        """A synced bit flips on a copy of the disk: it is told, or it costs the one record that it hit."""
        hurt = self.disk.after_kill()
        paths = sorted(path for path, size in hurt.synced.items() if size and path in hurt.paths)
        if not paths:
            return
        path = paths[pick % len(paths)]
        below = last_watermark(self.disk) if path == STORE else hurt.synced[path]
        data = bytearray(hurt.contents(path))
        data[int(place * below)] ^= 1 << bit
        hurt.place(path, bytes(data))
        type(self).damages += 1
        if path == STORE:
            self._demand_told(hurt)
        else:
            self._demand_little_lost(hurt, path)

    # -- rules: the end of a process --------------------------------------------------------------

    @rule(
        power=st.booleans(),
        during=st.sampled_from(
            ["begin", "record", "flush", "publish", "seal", "delete", "erase", "compact", "resume", "close"]
        ),
        pick=st.integers(0, 4),
        left=st.integers(0, 30),
        seed=st.integers(0, 1 << 32),
    )
    def crash(self, power: bool, during: str, pick: int, left: int, seed: int) -> None:
        """Die at a step of something, or just after it; then the next process recovers, which may die too."""
        self.files.left = left
        with suppress(Death):
            getattr(self, f"_{during}")(pick)
        self._next_disk(power, seed)
        self._recover_dying_at(left // 2, power, seed)
        self._agree(power)

    @rule()
    def leave_and_come_back(self) -> None:
        """Close the store with sessions open: their logs wait for the next one to open it."""
        self.store.close()
        for session in self.sessions:
            if session.log is not None:
                session.log.close()
        self.watermarks = self.guard.watermarks
        self.readers.clear()
        self._open()
        recover(self.store)
        self._agree(power=False)

    def _next_disk(self, power: bool, seed: int) -> None:
        type(self).crashes += 1
        self.readers.clear()
        if power:
            self.watermarks = self.disk.synced
            self.disk = self.disk.after_power_loss(random.Random(seed), powersafe_overwrite=not self.options.align)
        else:
            self.watermarks = dict(self.guard.watermarks)
            self.disk = self.disk.after_kill()
        assert self.guard.violations == []

    def _recover_dying_at(self, step: int, power: bool, seed: int) -> None:
        try:
            self._open()
            self.files.left = step
            recover(self.store)
        except Death:
            self._next_disk(power, seed + 1)
            self._open()
            recover(self.store)
        self.files.left = None

    # -- agreement -----------------------------------------------------------------------------------

    def _agree(self, power: bool) -> None:
        """Hold what was recovered against the model, which then takes over what nobody had promised."""
        found = view_of(self.store)
        assert [log.path for log in self.store.logs()] == []
        sealed = {session.id for session in self.sessions if session.root is not None}
        ended = [card.session_id for card in self.store.cards() if card.session_id in sealed]
        assert found.keys() <= {session.id for session in self.sessions}
        states = {card.session_id: card.state for card in self.store.cards()}
        for session in self.sessions:
            session.log = session.publisher = None
            self._agree_on(session, found.get(session.id), states.get(session.id), power)
        assert ended == [each for each in self.published if each in ended], "the order of listing changed"
        self.sessions = [session for session in self.sessions if session.fate == "gone" or session.id in found]
        self.published = [card.session_id for card in self.store.cards()]
        self._demand_roots()
        assert self.store.verify(), self.store.verify().problems

    def _agree_on(self, session: Modelled, texts: dict[int, str] | None, state: str | None, power: bool) -> None:
        if session.fate == "gone":
            assert texts is None, "a deleted session is back"
            return
        if texts is None:
            is_owed = session.durable if power else session.acknowledged
            assert session.fate == "going" or not (is_owed or session.state in ("sealed", "interrupted"))
            session.fate = "gone"
            return
        owed = session.durable if power or session.fate == "going" else session.acknowledged
        assert owed <= texts.keys(), "an acknowledged action is lost"
        self._demand_true({session.id: texts})
        stored = self.store.read(session.id)
        checkpoints = {entry["c"] for entry in stored.checkpoints}
        assert (session.durable_checkpoints if power else session.checkpoints) <= checkpoints
        if session.state in ("sealed", "interrupted"):
            assert state == session.state
        else:
            assert state == "interrupted" or (state, session.state) == ("sealed", "ending")
            session.state = state
            session.root = self._root(session) if state == "sealed" else None
        session.fate, session.acknowledged, session.durable = "kept", set(texts), set(texts)
        session.checkpoints, session.durable_checkpoints = checkpoints, set(checkpoints)

    def _demand_true(self, view: View) -> None:
        texts = {session.id: session.texts for session in self.sessions}
        for session_id, found in view.items():
            for sequence, text in found.items():
                assert text == texts[session_id][sequence], "an action is not as it was"

    def _demand_roots(self) -> None:
        for session in self.sessions:
            if session.fate == "kept" and session.root is not None:
                assert self._root(session) == session.root

    def _demand_told(self, hurt: MemoryFiles) -> None:
        before = hurt.contents(STORE)
        try:
            store = FileStore(STORE, files=hurt)
        except (DamagedError, NotAStoreError):
            assert hurt.contents(STORE) == before
            return
        with closing(store):
            assert not store.verify()
            with suppress(DamagedError):
                for card in store.cards():
                    with suppress(DamagedError):
                        found = {entry["i"]: entry["out"] for entry in store.read(card.session_id).actions()}
                        self._demand_true({card.session_id: found})

    def _demand_little_lost(self, hurt: MemoryFiles, path: str) -> None:
        with closing(FileStore(STORE, files=hurt)) as store:
            recover(store)
            found = view_of(store)
            assert store.verify()
        self._demand_true(found)
        for session in self.sessions:
            if session.fate == "kept":
                may_lose = 1 if session.id.hex in path else 0
                assert len(session.acknowledged - found.get(session.id, {}).keys()) <= may_lose

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        before = {path: self.disk.contents(path) for path in self.disk.paths}
        yield
        assert {path: self.disk.contents(path) for path in self.disk.paths} == before

    # -- after each step ------------------------------------------------------------------------------

    @invariant()
    def the_writer_shows_what_the_model_has(self) -> None:
        type(self).steps += 1
        expected = {session.id: session.shown for session in self.sessions if session.fate == "kept"}
        assert view_of(self.store) == expected
        assert [card.session_id for card in self.store.cards()] == self.published
        assert self.guard.violations == []

    @invariant()
    def sealed_sessions_are_listed_in_the_order_in_which_they_ended(self) -> None:
        listed = [each.session_id for each in Catalogue(self.store).list_sessions(state="sealed")]
        assert listed == [each for each in self.published if each in listed]

    @invariant()
    def readers_never_go_backwards(self) -> None:
        deleted = {session.id for session in self.sessions if session.fate == "gone"}
        for reader in self.readers:
            before = reader.look()
            self._demand_true(reader.seen)
            for session_id, texts in before.items():
                assert session_id in deleted or texts.items() <= reader.seen[session_id].items()


def last_watermark(disk: MemoryFiles) -> int:
    segment = FileStore(STORE, files=disk, read_only=True).segment
    blocks = [item for item in segment.scan(segment.head.end, segment.size()) if isinstance(item, Block)]
    return max((block.watermark for block in blocks), default=segment.head.end)


def test_a_store_agrees_with_its_model_whatever_is_done_to_it(
    effort: Callable[[int], int], figure: Callable[[str, str], None]
) -> None:
    StoreMachine.steps = StoreMachine.crashes = StoreMachine.damages = 0
    depth = settings(max_examples=effort(3_000), stateful_step_count=30, report_multiple_bugs=False)
    run_state_machine_as_test(StoreMachine, settings=depth)
    figure(
        "G1",
        f"state machine: {StoreMachine.steps} steps, {StoreMachine.crashes} crashes, "
        f"{StoreMachine.damages} flipped bits: 0 disagreements (G1, G2, G4, G8 to G11, G20, G23)",
    )
