"""Opens recordings for reading: `load`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from replaykit.model import ReplaySession, SessionSummary, Verification
from replaykit.protocols import Store
from replaykit.storage.catalogue import Catalogue, Which
from replaykit.storage.opening import open_store

__all__ = ["Recording", "load"]


class Recording:
    """A store, opened for reading; nothing is written, created or locked."""

    def __init__(self, location: str, store: Store) -> None:
        self._location = location
        self._store = store
        self._catalogue = Catalogue(store)

    @property
    def location(self) -> str:
        """Where it is, as it was given."""
        return self._location

    def list_sessions(
        self,
        *,
        name: str | None = None,
        state: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        where: Callable[[Mapping[str, Any]], bool] | Mapping[str, Any] | None = None,
    ) -> list[SessionSummary]:
        """Return the sessions that match all that is given: ended ones in order of ending, then open ones."""
        return self._catalogue.list_sessions(name=name, state=state, since=since, until=until, where=where)

    def get_session(self, which: Which = "last") -> ReplaySession:
        """
        Return a session by id, prefix, name, ``"last"`` or summary.

        Raises:
            SessionNotFoundError: There is none.
            AmbiguousSessionError: The prefix fits several.
        """
        return self._catalogue.get_session(which)

    def verify(self) -> Verification:
        """Read every byte and check it; the result is true only if all of it is accounted for."""
        return self._store.verify()

    def close(self) -> None:
        """Let go of the files; closing twice is fine."""
        self._store.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self._location}>"


def load(location: str | os.PathLike[str]) -> Recording:
    """
    Open a recording for reading: a file, a directory or a memory's file.

    Raises:
        StoreNotFoundError: There is nothing at this path.
        NotAStoreError: The file is something else.
        DamagedError: It is damaged below what was once on the device.
        UnsupportedVersionError: A newer release wrote it.
    """
    return Recording(os.fspath(location), open_store(location, read_only=True))
