"""How sessions are listed and read, in a recorded memory and in a recording alike, without what records them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from replaykit.model import ReplaySession, SessionSummary
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.finding import Which

__all__ = ["SessionReader"]


class SessionReader:
    """Lists sessions and reads them."""

    @property
    def _catalogue(self) -> Catalogue:
        raise AttributeError("_catalogue")

    def list_sessions(
        self,
        *,
        name: str | None = None,
        state: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        where: Callable[[Mapping[str, Any]], bool] | Mapping[str, Any] | None = None,
    ) -> list[SessionSummary]:
        """
        Return the store's sessions that match all that is given: ended ones in order of ending, then open ones.

        *since* and *until* bound the time of creation; *where* is metadata
        that must be equal, or a callable on the metadata.
        """
        return self._catalogue.list_sessions(name=name, state=state, since=since, until=until, where=where)

    def get_session(self, which: Which = "last") -> ReplaySession:
        """
        Return a session by id, prefix of 4 or more hex digits, name (the newest), ``"last"`` or summary.

        Raises:
            SessionNotFoundError: There is none.
            AmbiguousSessionError: The prefix fits several.
        """
        return self._catalogue.get_session(which)
