"""Which sessions a frame was part of, and of which memory an action is."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from replaykit.errors import SessionNotFoundError, StorageError
from replaykit.model import Answer, ReplayAction
from replaykit.storage.catalogue import Catalogue

__all__ = ["memory_of", "sessions_with"]


def sessions_with(catalogue: Catalogue, frame_ids: Iterable[int], *, source: str) -> tuple[UUID, ...]:
    """
    Return the sessions in which a call of *source* wrote or read one of *frame_ids*.

    A session that cannot be read is among them: it may, and so may one with a
    stream of an answer that was not read to its end.  One that only
    deleted them is not: it says their ids and no more.
    """
    wanted = frozenset(frame_ids)
    return tuple(
        summary.session_id
        for summary in catalogue.list_sessions()
        if _has(catalogue, summary.session_id, wanted, source)
    )


def memory_of(catalogue: Catalogue, action: ReplayAction) -> UUID | None:
    """Return the memory on which *action* was recorded; None where no session here has it, or its session says none."""
    began = action.timestamp_secs
    for summary in catalogue.list_sessions():
        if not summary.created_secs <= began <= (began if summary.ended_secs is None else summary.ended_secs + 1):
            continue
        try:
            session = catalogue.get_session(summary.session_id)
            # Without lost actions the number is the place.
            near = session.actions[action.sequence : action.sequence + 1]
            if any(_is_same(each, action) for each in (*near, *(session.actions if session.lost else ()))):
                return session.memory_id
        except (SessionNotFoundError, StorageError):
            continue
    return None


def _is_same(found: ReplayAction, action: ReplayAction) -> bool:
    wanted = action.sequence, action.timestamp_ns, action.name, action.input_hash
    return (found.sequence, found.timestamp_ns, found.name, found.input_hash) == wanted


def _has(catalogue: Catalogue, session_id: UUID, wanted: frozenset[int], source: str) -> bool:
    try:
        return any(_touches(action, wanted, source) for action in catalogue.get_session(session_id).actions)
    except SessionNotFoundError:
        return False
    except StorageError:
        return True


def _touches(action: ReplayAction, wanted: frozenset[int], source: str) -> bool:
    if action.kind == "delete" or action.source != source:
        return False
    return not wanted.isdisjoint(action.affected_frames) or _is_broken_answer(action)


def _is_broken_answer(action: ReplayAction) -> bool:
    """Return whether there are pieces of an answer, and not the answer itself, which names its frames."""
    if action.kind != "ask" or "stream" not in action.flags or not isinstance(action.output, list):
        return False
    return bool(action.output) and not isinstance(action.output[-1], Answer)
