"""Which sessions are meant: by id, name, time and metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from replaykit.errors import AmbiguousSessionError, SessionNotFoundError, UsageError
from replaykit.format.entries import Card
from replaykit.format.names import safe_name
from replaykit.format.thaw import thaw
from replaykit.model import ReplaySession, SessionSummary

__all__ = ["Which", "chosen", "metadata_test", "seconds", "spellings", "uuid_of"]

Which = UUID | str | SessionSummary | ReplaySession
"""A session: its id or text of it, a prefix of 4 or more hex digits, a name, ``"last"``, a summary or a session."""

_HEX_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")


def uuid_of(text: str) -> UUID | None:
    """Return the id that *text* is, None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def chosen(which: str, cards: Sequence[Card], *, unique: bool) -> UUID:
    """Return the id that a name, a prefix or ``"last"`` stands for; `Catalogue.resolve` says what is raised."""
    if which == "last":
        if not cards:
            raise SessionNotFoundError(which, "The store is empty")
        ended = [card for card in cards if card.state != "open"]
        return (ended or list(cards))[-1].session_id
    names = spellings(which)
    named = [card.session_id for card in cards if card.name in names]
    if len(named) > 1 and unique:
        raise AmbiguousSessionError(which, named)
    if named:
        return named[-1]
    prefix = which.lower().replace("-", "")
    fits = [card.session_id for card in cards if card.session_id.hex.startswith(prefix)]
    if not _HEX_PREFIX.fullmatch(which.lower()) or not fits:
        raise SessionNotFoundError(which)
    if len(fits) > 1:
        raise AmbiguousSessionError(which, fits)
    return fits[0]


def spellings(name: str | None) -> tuple[str, ...]:
    """Return *name* as it may be stored: as it was given (by an earlier release), and as names are kept now."""
    return () if name is None else (name, safe_name(name))


def metadata_test(where: Any) -> Callable[[Card], bool] | None:
    """
    Return what tells whether a card's metadata are as *where* asks, None where it asks nothing.

    Raises:
        UsageError: It is neither a dict nor a callable.
    """
    # Metadata are thawed only where somebody looks at them: a listing has
    # thousands of cards.
    if where is None:
        return None
    if callable(where):
        return lambda card: bool(where(thaw(dict(card.metadata))))
    if isinstance(where, Mapping):
        wanted = dict(where)
        return lambda card: {**thaw(dict(card.metadata)), **wanted} == thaw(dict(card.metadata))
    raise UsageError(f"where= is a dict or a callable, not {type(where).__name__}")


def seconds(moment: datetime | float | None) -> float | None:
    """Return a moment as seconds since 1970."""
    return moment.timestamp() if isinstance(moment, datetime) else moment
