"""What reading a long session takes of memory: a little for each action, whatever the actions hold."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count, islice
from typing import Any
from uuid import UUID

import attrs
import pytest
from effort import Figure, effort

import replaykit
from replaykit.playback.player import Player
from replaykit.storage import stored_session
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.file_store import FileStore
from replaykit.storage.gathering import MAX_PART_ACTIONS
from replaykit.testing.contracts import make_part
from replaykit.testing.files import MemoryFiles

ACTIONS = effort(60_000)
BYTES_PER_ACTION = 150
BESIDE_BYTES = 2 << 20
"""For what does not grow: some blocks, and what is lined up at once."""


def action_of(number: int, *, is_second: bool) -> dict[str, Any]:
    """Return an action of 1.3 KB; the second run has other times."""
    query, began_ns = f"what is {number}", 1_700_000_000_000_000_000 + number
    return {
        "i": number, "k": "find", "nm": "find", "src": "test", "t": began_ns + is_second, "d": 5 + is_second,
        "x": {"query": query}, "in": {"query": query, "k": 5}, "out": f"{number} is the answer. " * 60,
    }  # fmt: skip


def run_of(*, is_second: bool) -> Iterator[dict[str, Any]]:
    """Yield the actions of a run; the second lacks one, has another result and a hundred calls more."""
    numbers = count()
    for number in range(ACTIONS):
        action = action_of(number, is_second=is_second)
        if is_second and number == 3:
            continue
        if is_second and number == ACTIONS // 3:
            action["out"] = "another"
        if is_second and number == ACTIONS // 2:
            yield from ({**action_of(-more, is_second=True), "i": next(numbers)} for more in range(100))
        yield {**action, "i": next(numbers)}


@pytest.fixture(scope="module")
def disk() -> MemoryFiles:
    """Two runs of one program, in parts as a recorder makes them."""
    disk = MemoryFiles()
    with closing(FileStore("runs.rpk", files=disk)) as store:
        for number, is_second in enumerate((False, True)):
            entries = run_of(is_second=is_second)
            parts = list(iter(lambda entries=entries: list(islice(entries, MAX_PART_ACTIONS)), []))
            for at, actions in enumerate(parts):
                part = make_part(UUID(int=number), number=at, state="sealed" if at == len(parts) - 1 else None)
                store.publish(attrs.evolve(part, actions=actions))
    return disk


def verified(store: FileStore) -> None:
    found = store.verify()
    assert found
    assert found.actions == 2 * ACTIONS + 99


def read_all(store: FileStore) -> None:
    assert sum(1 for _ in session_of(store, 0).actions) == ACTIONS


def played(store: FileStore) -> None:
    assert len(Player(session_of(store, 0)).unused) == ACTIONS


def compared(store: FileStore, *, second: int) -> None:
    found = replaykit.compare(session_of(store, 0), session_of(store, second))
    counts = [len(found.actions_only_in_a), len(found.actions_only_in_b), len(found.differing_actions)]
    assert counts == ([1, 100, 1] if second else [0, 0, 0])
    assert found.matching_actions == ACTIONS - sum(counts[::2])


def session_of(store: FileStore, number: int) -> replaykit.ReplaySession:
    return Catalogue(store).get_session(UUID(int=number))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("verify", verified),
        ("all actions", read_all),
        ("play", played),
        ("compare with itself", partial(compared, second=0)),
        ("compare with another run", partial(compared, second=1)),
    ],
)
def test_memory_grows_with_neither_bodies_nor_what_was_read(
    name: str, read: Callable[[FileStore], None], disk: MemoryFiles, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The blocks that are kept are bounded; less of them shows the rest.
    monkeypatch.setattr(stored_session, "_CACHE_BYTES", 1 << 17)
    store = FileStore("runs.rpk", files=disk, read_only=True)
    gc.collect()
    tracemalloc.start()
    try:
        read(store)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= BESIDE_BYTES + BYTES_PER_ACTION * ACTIONS
    figure("G15", f"{name}, {ACTIONS} actions: {peak / (1 << 20):.1f} MiB at most")
