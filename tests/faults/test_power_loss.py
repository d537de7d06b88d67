"""What a power loss at any step may cost: nothing that was promised, and nothing is invented (G2, G3, G4, G8)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import attrs
import pytest

from replaykit.errors import NotAStoreError
from replaykit.format import records
from replaykit.format.entries import Opening, Sealing
from replaykit.storage.file_store import FileStore
from replaykit.storage.live_log import encode_opening, encode_sealing
from replaykit.storage.log_files import FileLog
from replaykit.storage.options import StoreOptions
from replaykit.storage.publish import Publisher
from replaykit.storage.recovery import recover
from replaykit.testing.crash_states import CrashState, crash_states
from replaykit.testing.files import GuardedFiles, MemoryFiles, Step, TracedFiles

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

    def __init__(
        self, seed: int, *, durability: str = "always", align: int = 0, start: MemoryFiles | None = None
    ) -> None:
        self.chance = random.Random(seed)
        self.files = TracedFiles(GuardedFiles(MemoryFiles() if start is None else start))
        self.durability = durability
        self.texts: dict[tuple[UUID, int], str] = {}
        self.options = StoreOptions(align=align)
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
        log.append(records.sealed(records.map_body(records.OPEN, encode_opening(opening))))
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
def test_g2_what_was_acknowledged_survives_a_power_loss(effort: Effort, powersafe: bool, align: int) -> None:
    """With ``always`` each acknowledged action is there, as it was; what is more was at least tried."""
    judge = Judge({})
    for _, steps, seed in programs(effort(50_000), judge, align=align):
        for state in crash_states(steps, seed=seed, powersafe_overwrite=powersafe):
            judge.judge(state)
    print(f"G2 (powersafe overwrite {powersafe}, align {align}): {judge.states} states, 0 lost, 0 wrong")
