"""
What blocks hold: openings, actions, checkpoints, gaps, sealings and cards, as maps and as values.

Maps have short text keys; ``docs/reference/format.md`` lists them.  An
unknown key is ignored, so that an older reader opens a newer recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import attrs

from replaykit.format.bulk import make_many

__all__ = ["Card", "DetailsReader", "Entry", "Gap", "Opening", "Part", "Sealing", "TORN_END"]

Entry = Mapping[str, Any]
"""An action or checkpoint as it is stored: plain CBOR values under short text keys."""

TORN_END = "torn end"
"""The reason of a gap that ends a log in the middle of a record: nobody was told that it was kept."""


@attrs.frozen(kw_only=True)
class Opening:
    """How a session began; ``memory_id`` is of the memory of ours that it was recorded on."""

    session_id: UUID
    name: str | None
    created_ns: int
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    redaction: str = ""
    capture: str = "full"
    parent_session: UUID | None = None
    start_generation: int | None = None
    memory_id: UUID | None = None
    resumed: bool = False


@attrs.frozen(kw_only=True)
class Sealing:
    """How a session ended; *metadata* is what it had then, and replaces the opening's."""

    state: str
    ended_ns: int
    ended_by: str = ""
    duration_ns: int = 0
    lost: int = 0
    late: int = 0
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Gap:
    """Bytes of a live log that are no whole record: kept, never dropped."""

    offset: int
    reason: str
    data: bytes

    @property
    def is_loss(self) -> bool:
        """Whether more than the end of a write that never returned may be missing for it."""
        return self.reason != TORN_END


@attrs.frozen(kw_only=True)
class Part:
    """
    What is published at once: some actions of one session.

    ``number`` counts the parts of a session from 0.  ``actions`` ascend by
    sequence within a part; a call that outlived its part is in a later one.
    The last part has a ``sealing``.  ``log_through`` is how many bytes of
    the live log all parts so far cover.
    """

    number: int
    opening: Opening
    actions: Sequence[Entry] = ()
    checkpoints: Sequence[Entry] = ()
    gaps: Sequence[Gap] = ()
    sealing: Sealing | None = None
    log_through: int = 0


class DetailsReader(Protocol):
    """What a card that was read from a catalog asks for the fields that it does not have yet."""

    def details(self, body: Any) -> Mapping[str, Any]:
        """Return those fields of the card that is stored as *body*, by their names in `Card`."""


@attrs.frozen(kw_only=True)
class Card:
    """
    A session in a listing.

    ``state`` is ``sealed``, ``interrupted`` or ``open`` (parts are published,
    the sealing is not).  ``parts`` is how many parts there are, ``gaps`` at
    how many places of the live log records were damaged.

    Raises:
        DamagedError: Where a card was read from a store: when a field that
            no listing shows is looked at, and is malformed.
    """

    session_id: UUID
    name: str | None
    created_ns: int
    ended_ns: int | None
    state: str
    action_count: int
    checkpoint_count: int
    duration_ns: int = 0
    ended_by: str = ""
    lost: int = 0
    late: int = 0
    gaps: int = 0
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    parent_session: UUID | None = None
    parts: int = 1
    log_through: int = 0
    by_kind: Mapping[str, int] = attrs.field(factory=dict)
    capture: str = "full"
    redaction: str = ""
    start_generation: int | None = None
    _body: Any = attrs.field(default=None, init=False, eq=False, repr=False)
    _reader: DetailsReader | None = attrs.field(default=None, init=False, eq=False, repr=False)

    @classmethod
    def listed(
        cls,
        body: Any,
        reader: DetailsReader,
        session_id: UUID,
        name: str | None,
        created_ns: int,
        ended_ns: int | None,
        state: str,
        action_count: int,
        checkpoint_count: int,
        duration_ns: int,
        lost: int,
        late: int,
        gaps: int,
    ) -> Card:
        """Return a card with what a listing shows; *reader* gives the other fields of *body* when one is looked at."""
        # A store has thousands of cards and of most of them nothing else is
        # ever asked for.
        card = _new(cls)
        _set(card, "session_id", session_id)
        _set(card, "name", name)
        _set(card, "created_ns", created_ns)
        _set(card, "ended_ns", ended_ns)
        _set(card, "state", state)
        _set(card, "action_count", action_count)
        _set(card, "checkpoint_count", checkpoint_count)
        _set(card, "duration_ns", duration_ns)
        _set(card, "lost", lost)
        _set(card, "late", late)
        _set(card, "gaps", gaps)
        _set(card, "_body", body)
        _set(card, "_reader", reader)
        return card

    @classmethod
    def listed_together(cls, reader: DetailsReader, bodies: Sequence[Any], **columns: Iterable[Any]) -> list[Card]:
        """Return a card like those of `listed` for each of *bodies*; *columns* are named like the fields."""
        return make_many(cls, len(bodies), _body=bodies, _reader=repeat(reader), **columns)

    if not TYPE_CHECKING:  # a name that no field has stays an error to the type checker

        def __getattr__(self, name: str) -> Any:
            # Called for what is not set.
            if name not in _DETAILS:
                raise AttributeError(f"a card has no {name!r}", name=name, obj=self)
            for field, value in self._reader.details(self._body).items():
                _set(self, field, value)
            return _get(self, name)


_new, _set, _get = object.__new__, object.__setattr__, object.__getattribute__
_DETAILS = frozenset(
    ("ended_by", "metadata", "parent_session", "parts", "log_through", "by_kind", "capture", "redaction",
     "start_generation")
)  # fmt: skip
