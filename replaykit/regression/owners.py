"""Whose recording a file is."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from replaykit.errors import ReplaykitError
from replaykit.loading import load_finished
from replaykit.regression.writing import id_of_test, is_of_test

__all__ = ["Owner", "owner_of"]


class Owner(NamedTuple):
    """The test whose recording a file is; *identity* is None where it was too long to be stored whole."""

    session_id: UUID
    identity: str | None


def owner_of(path: str) -> Owner | None:
    """Return whose recording is at *path*; None where it is not certain, or it is no test's."""
    try:
        with load_finished(path) as stored:
            summaries = stored.list_sessions()
            session = stored.get_session(summaries[0].session_id) if len(summaries) == 1 else None
            if session is None or not is_of_test(session):
                return None
            is_whole = id_of_test(session.name or "") == session.session_id
            return Owner(session.session_id, session.name if is_whole else None)
    except (ReplaykitError, OSError):
        return None
