"""Each way to read a file, as plain maps that can be compared with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hostile.memory_disk import MemoryBytes, MemoryDisk

from replaykit.errors import DamagedError
from replaykit.storage.checking import segment_problems
from replaykit.storage.damaged_segments import Survey, surveyed
from replaykit.storage.file_store import FileStore
from replaykit.storage.salvage import SalvagedSession, SalvagedStore
from replaykit.storage.segment_file import SegmentFile, Tear

__all__ = ["NAME", "committed", "notices", "salvaged", "salvaged_file", "salvaged_of"]

NAME = "memory.rpk"
Contents = dict[bytes, dict[int, dict[str, Any]]]


def committed(data: bytes) -> Contents:
    """Return what a reader finds that asks for nothing special."""
    store = FileStore(NAME, read_only=True, files=MemoryDisk(**{NAME: data}))
    try:
        return contents_of(store)
    finally:
        store.close()


def contents_of(store: Any) -> Contents:
    """Return every action of every session of an open store."""
    return {
        card.session_id.bytes: {action["i"]: dict(action) for action in store.read(card.session_id).actions()}
        for card in store.cards()
    }


def salvaged(data: bytes) -> Contents:
    """Return what is whole, whatever else is damaged; an action without its large value is left out."""
    return salvaged_of(surveyed(MemoryBytes(data)))


def salvaged_of(survey: Survey) -> Contents:
    return {
        session_id: _undamaged(SalvagedSession(None, [found.piece], found.opening, [found]))
        for session_id, found in survey.sessions.items()
    }


def salvaged_file(path: Path) -> Contents:
    """Return the same from a file, through the whole store."""
    store = SalvagedStore(path)
    return {card.session_id.bytes: _undamaged(store.read(card.session_id)) for card in store.cards()}


def _undamaged(session: SalvagedSession) -> dict[int, dict[str, Any]]:
    return {action["i"]: dict(action) for action in session.actions() if "damaged" not in action.get("fl", ())}


def notices(data: bytes) -> bool:
    """Return whether a check of every byte says no."""
    try:
        segment = SegmentFile(MemoryBytes(data))
        # Most damage shows without decoding anything.
        torn = any(isinstance(item, Tear) for item in segment.scan(segment.head.end, segment.size()))
        return torn or bool(segment_problems(segment))
    except DamagedError:
        return True
    except OSError:
        # The label or the shape of the head: no store at all.
        return True
