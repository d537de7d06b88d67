"""
Many cards as columns: what a catalog of more than a few records holds.

A listing reads thousands of cards.  As columns their keys are decoded once,
and the types of all values of one field are checked at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from replaykit.errors import DamagedError
from replaykit.format.entries import Card
from replaykit.format.fields import CARD_DEFAULTS, CARD_FIELDS, STATES, CardReader
from replaykit.format.ids import uuid_of
from replaykit.format.strict import LOWEST_INTEGER

__all__ = ["NO_CARD", "CardColumns", "columns_of_cards"]

_KEYS = tuple(key for key in CARD_FIELDS if key != "s")
_DEFAULTS = {**CARD_DEFAULTS, "st": ""}
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
    Reads *count* cards from decoded *columns*, in which nothing is trusted.

    What is in metadata and counts is checked when they are looked at.

    Raises:
        DamagedError: On creation: a column has another length, or a value another type than it should.
    """

    def __init__(self, columns: Mapping[str, Any], count: int, path: str = "", offset: int = 0) -> None:
        self._reader = CardReader(path, offset)
        self._path = path
        self._offset = offset
        self._rows = list(zip(*(self._column(columns, key, count) for key in _KEYS), strict=True))

    def cards(self, sessions: Sequence[bytes]) -> Iterator[Card | None]:
        """Yield the cards of *sessions*, None for a deletion."""
        for session_id, row in zip(sessions, self._rows, strict=True):
            name, created_ns, ended_ns, state, actions, checkpoints, duration_ns, lost, late = row[:9]
            if state == NO_CARD:
                yield None
                continue
            yield Card.listed(
                row, self, uuid_of(session_id),
                name, created_ns, ended_ns, state, actions, checkpoints, duration_ns, lost, late,
            )  # fmt: skip

    def details(self, row: Sequence[Any]) -> Mapping[str, Any]:
        """Return the fields of the card in *row* that no listing shows; DamagedError when they are malformed."""
        return self._reader.details(dict(zip(_KEYS, row, strict=True)))

    def _column(self, columns: Mapping[str, Any], key: str, count: int) -> Sequence[Any]:
        column = columns.get(key)
        if column is None:
            return [_DEFAULTS[key]] * count
        kinds = CARD_FIELDS[key]
        if type(column) is not list or len(column) != count or not set(map(type, column)) <= set(kinds):
            raise self._malformed(key)
        if int in kinds and min((value for value in column if value is not None), default=0) < LOWEST_INTEGER:
            raise self._malformed(key)
        if key == "st" and not set(column) <= {*STATES, NO_CARD}:
            raise self._malformed(key)
        if key == "par" and not {len(value) for value in column if value is not None} <= {16}:
            raise self._malformed(key)
        return column

    def _malformed(self, key: str) -> DamagedError:
        return DamagedError(self._path, self._offset, f"the column {key!r} of a catalog is malformed")
