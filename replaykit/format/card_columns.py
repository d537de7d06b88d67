"""
Many cards as columns: what a catalog of more than a few records holds.

A listing reads thousands of cards.  As columns their keys are decoded once,
and the types of all values of one field are checked at once; cards that are
stored one by one are read the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

from replaykit.errors import DamagedError
from replaykit.format.entries import Card
from replaykit.format.fields import CARD_DEFAULTS, CARD_FIELDS, STATES, CardReader
from replaykit.format.ids import uuids_of
from replaykit.format.strict import LOWEST_INTEGER, demand_plain

__all__ = ["NO_CARD", "CardColumns", "cards_of_maps", "columns_of_cards"]

_KEYS = tuple(key for key in CARD_FIELDS if key != "s")
_DEFAULTS = {**CARD_DEFAULTS, "st": ""}
_LACKING = {**_DEFAULTS, "s": None}
_SHOWN = {
    "name": "name",
    "t0": "created_ns",
    "t1": "ended_ns",
    "st": "state",
    "n": "action_count",
    "c": "checkpoint_count",
    "dur": "duration_ns",
    "lost": "lost",
    "late": "late",
    "gaps": "gaps",
}
"""The keys that a listing shows, and where a `Card` has their values."""
NO_CARD = ""
"""The state that stands in the place of a card for a deletion."""


def columns_of_cards(cards: Sequence[Mapping[str, Any] | None]) -> dict[str, list[Any]]:
    """Return stored *cards*, None for a deletion, as columns without their sessions and without those of defaults."""
    columns = {key: [(card or {}).get(key, _DEFAULTS[key]) for card in cards] for key in _KEYS}
    return {key: column for key, column in columns.items() if key == "st" or _holds_more_than(column, _DEFAULTS[key])}


def _holds_more_than(column: Sequence[Any], default: Any) -> bool:
    return any(value != default for value in column)


class CardColumns:
    """
    Reads the cards of *sessions*, ids of 16 bytes, from decoded *columns*, in which nothing is trusted.

    What is in metadata and counts is checked when they are looked at.

    Raises:
        DamagedError: On creation: a column has another length, or a value another type than it should.
    """

    def __init__(self, columns: Mapping[str, Any], sessions: Sequence[bytes], path: str = "", offset: int = 0) -> None:
        self._reader = CardReader(path, offset)
        self._path = path
        self._offset = offset
        self._sessions = sessions
        self._columns = {key: self._checked(key, columns.get(key)) for key in _KEYS if key in columns or key == "st"}

    def cards(self) -> Sequence[Card | None]:
        """Return the cards, None for a deletion."""
        shown = {name: self._columns.get(key) or repeat(_DEFAULTS[key]) for key, name in _SHOWN.items()}
        cards = Card.listed_together(self, range(len(self._sessions)), session_id=uuids_of(self._sessions), **shown)
        states = self._columns["st"]
        if NO_CARD not in states:
            return cards
        return [None if state == NO_CARD else card for card, state in zip(cards, states, strict=True)]

    def details(self, row: int) -> Mapping[str, Any]:
        """Return the fields of the card in *row* that no listing shows; DamagedError when they are malformed."""
        return self._reader.details({key: column[row] for key, column in self._columns.items()})

    def _checked(self, key: str, column: Any) -> Sequence[Any]:
        kinds = CARD_FIELDS[key]
        if type(column) is not list or len(column) != len(self._sessions) or not set(map(type, column)).issubset(kinds):
            raise self._malformed(key)
        if int in kinds and min(filter(None, column), default=0) < LOWEST_INTEGER:
            raise self._malformed(key)
        if key == "st" and not set(column) <= {*STATES, NO_CARD}:
            raise self._malformed(key)
        if key == "par" and not {len(value) for value in column if value is not None} <= {16}:
            raise self._malformed(key)
        return column

    def _malformed(self, key: str) -> DamagedError:
        return DamagedError(self._path, self._offset, f"the field {key!r} of a card is malformed")


def cards_of_maps(bodies: Sequence[Mapping[str, Any]], *, path: str = "", offset: int = 0) -> list[Card]:
    """
    Return what `CardReader` makes of each of *bodies*: cheaper where there are many.

    Raises:
        DamagedError: In one of them a field is missing or has another type than it should.
    """
    if not bodies:
        return []
    present = set[str]().union(*bodies)
    keys = [key for key in CARD_FIELDS if key in present]
    if len(keys) < len(present):
        _demand_plain_news(bodies, path, offset)
    if not {"s", "st"} <= present:
        raise DamagedError(path, offset, "a card is malformed")
    values_of = itemgetter(*keys)
    rows = [values_of(body if len(body) == len(present) else {**_LACKING, **body}) for body in bodies]
    columns = dict(zip(keys, map(list, zip(*rows, strict=True)), strict=True))
    sessions = columns.pop("s")
    if set(map(type, sessions)) != {bytes} or set(map(len, sessions)) != {16} or NO_CARD in columns["st"]:
        raise DamagedError(path, offset, "a card is malformed")
    return CardColumns(columns, sessions, path, offset).cards()  # type: ignore[return-value]  # none is NO_CARD


def _demand_plain_news(bodies: Sequence[Mapping[str, Any]], path: str, offset: int) -> None:
    """Return if all is plain in cards with keys that a newer release has added, which are ignored."""
    for body in bodies:
        if not body.keys() <= CARD_FIELDS.keys():
            demand_plain(body, path=path, offset=offset)
