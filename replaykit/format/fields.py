"""Openings, sealings, gaps and cards as maps with short keys, and back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from operator import itemgetter
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import DamagedError
from replaykit.format.entries import Card, Gap, Opening, Sealing
from replaykit.format.ids import uuid_of
from replaykit.format.strict import LOWEST_INTEGER, demand_plain

__all__ = [
    "CARD_DEFAULTS",
    "CARD_FIELDS",
    "STATES",
    "CardReader",
    "Fields",
    "map_of_card",
    "map_of_gap",
    "map_of_opening",
    "map_of_sealing",
    "opening_of",
    "sealing_of",
]

_MEANT_WHEN_EMPTY = frozenset({"name", "t1", "gen"})
_NONE = type(None)
CARD_FIELDS: dict[str, tuple[type, ...]] = {
    "s": (bytes,),
    "name": (str, _NONE),
    "t0": (int,),
    "t1": (int, _NONE),
    "st": (str,),
    "n": (int,),
    "c": (int,),
    "dur": (int,),
    "lost": (int,),
    "late": (int,),
    "gaps": (int,),
    "par": (bytes, _NONE),
    "parts": (int,),
    "log": (int,),
    "gen": (int, _NONE),
    "by": (str,),
    "meta": (dict,),
    "kinds": (dict,),
    "cap": (str,),
    "red": (str,),
}
"""The keys of a card and the types that their values may have; what a listing shows comes first."""

# What a card may leave out: anything but its session and its state.
CARD_DEFAULTS: dict[str, object] = {
    key: None if _NONE in kinds else kinds[0]() for key, kinds in CARD_FIELDS.items() if key not in ("s", "st")
}
_card_values = itemgetter(*CARD_FIELDS)
_CARD_SHAPES = frozenset(product(*CARD_FIELDS.values()))
STATES = ("open", "sealed", "interrupted")
"""What a session may be in."""


@attrs.frozen
class Fields:
    """
    A decoded body whose values are checked as they are read.

    Every reading method raises ``DamagedError`` for a value of another type.
    """

    body: Mapping[str, Any]
    path: str = ""
    offset: int = 0

    def get(self, key: str) -> Any:
        """Return the value under *key* as it is, None when there is none."""
        return self.body.get(key)

    def integer(self, key: str) -> int:
        """Return an integer, 0 when there is none."""
        value = self.body.get(key, 0)
        if type(value) is not int:
            raise self.malformed(key)
        return value

    def optional_integer(self, key: str) -> int | None:
        """Return an integer, None when there is none."""
        return None if self.body.get(key) is None else self.integer(key)

    def text(self, key: str) -> str:
        """Return a text, empty when there is none."""
        return self.optional_text(key) or ""

    def optional_text(self, key: str) -> str | None:
        """Return a text, None when there is none."""
        value = self.body.get(key)
        if value is not None and type(value) is not str:
            raise self.malformed(key)
        return value

    def octets(self, key: str, size: int) -> bytes:
        """Return exactly *size* bytes."""
        value = self.body.get(key)
        if type(value) is not bytes or len(value) != size:
            raise self.malformed(key)
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """Return a map, empty when there is none."""
        value = self.body.get(key, {})
        if type(value) is not dict:
            raise self.malformed(key)
        return value

    def items(self, key: str) -> list[Any]:
        """Return a list, empty when there is none."""
        value = self.body.get(key, [])
        if type(value) is not list:
            raise self.malformed(key)
        return value

    def malformed(self, key: str) -> DamagedError:
        """Return the error that says that *key* does not hold what it should."""
        return DamagedError(self.path, self.offset, f"the field {key!r} is malformed")


def map_of_opening(opening: Opening) -> dict[str, Any]:
    """Return the body of an OPEN block."""
    return _without_defaults(
        {
            "s": opening.session_id.bytes,
            "name": opening.name,
            "t": opening.created_ns,
            "meta": dict(opening.metadata),
            "red": opening.redaction,
            "cap": opening.capture,
            "par": _bytes_of(opening.parent_session),
            "gen": opening.start_generation,
            "mem": _bytes_of(opening.memory_id),
            "resume": opening.resumed,
        }
    )


def opening_of(fields: Fields) -> Opening:
    """Return the opening that an OPEN block holds."""
    return Opening(
        session_id=UUID(bytes=fields.octets("s", 16)),
        name=fields.optional_text("name"),
        created_ns=fields.integer("t"),
        metadata=fields.mapping("meta"),
        redaction=fields.text("red"),
        capture=fields.text("cap") or "full",
        parent_session=_optional_uuid(fields, "par"),
        start_generation=fields.optional_integer("gen"),
        memory_id=_optional_uuid(fields, "mem"),
        resumed=fields.get("resume") is True,
    )


def map_of_sealing(sealing: Sealing) -> dict[str, Any]:
    """Return what a SEAL block says about the end."""
    return _without_defaults(
        {
            "st": sealing.state,
            "t1": sealing.ended_ns,
            "by": sealing.ended_by,
            "dur": sealing.duration_ns,
            "lost": sealing.lost,
            "late": sealing.late,
            "meta": dict(sealing.metadata),
        }
    )


def sealing_of(fields: Fields) -> Sealing:
    """Return what the end in a SEAL block says."""
    return Sealing(
        state=fields.text("st"),
        ended_ns=fields.integer("t1"),
        ended_by=fields.text("by"),
        duration_ns=fields.integer("dur"),
        lost=fields.integer("lost"),
        late=fields.integer("late"),
        metadata=fields.mapping("meta"),
    )


def map_of_gap(gap: Gap, session_id: bytes | None) -> dict[str, Any]:
    """Return the body of a GAP block; without a session it stands for bytes of the store's own file."""
    body: dict[str, Any] = {"at": gap.offset, "why": gap.reason, "b": gap.data}
    return body if session_id is None else {"s": session_id, **body}


def map_of_card(card: Card) -> dict[str, Any]:
    """Return *card* as it stands in a catalog."""
    return _without_defaults(
        {
            "s": card.session_id.bytes,
            "name": card.name,
            "t0": card.created_ns,
            "t1": card.ended_ns,
            "st": card.state,
            "n": card.action_count,
            "c": card.checkpoint_count,
            "dur": card.duration_ns,
            "by": card.ended_by,
            "lost": card.lost,
            "late": card.late,
            "gaps": card.gaps,
            "meta": dict(card.metadata),
            "par": _bytes_of(card.parent_session),
            "parts": card.parts,
            "log": card.log_through,
            "kinds": dict(card.by_kind),
            "cap": card.capture,
            "red": card.redaction,
            "gen": card.start_generation,
        }
    )


class CardReader:
    """
    Makes cards of maps from `decode_map`, in which nothing is trusted.

    *path* and *offset* only say in errors where the maps were.
    """

    def __init__(self, path: str = "", offset: int = 0) -> None:
        self._path = path
        self._offset = offset

    def card(self, body: Mapping[str, Any]) -> Card:
        """
        Return the card in *body*; what is in its metadata and counts is checked when they are looked at.

        Raises:
            DamagedError: A field is missing or has another type than it should.
        """
        filled = {**CARD_DEFAULTS, **body}
        if len(filled) != len(CARD_FIELDS):
            self._demand_keys(body)
        try:
            values = _card_values(filled)
        except KeyError as error:
            raise self._malformed() from error
        # A listing makes thousands of cards: the types of all values are
        # looked up at once.
        if tuple(map(type, values)) not in _CARD_SHAPES:
            raise self._malformed()
        shown = values[:11]
        session_id, _, created_ns, ended_ns, state, actions, checkpoints, duration_ns, lost, late, gaps = shown
        parent, parts, log_through, generation = values[11:15]
        least = min(
            created_ns,
            ended_ns or 0,
            actions,
            checkpoints,
            duration_ns,
            lost,
            late,
            gaps,
            parts,
            log_through,
            generation or 0,
        )
        if state not in STATES or len(session_id) != 16 or least < LOWEST_INTEGER:
            raise self._malformed()
        if parent is not None and len(parent) != 16:
            raise self._malformed()
        return Card.listed(body, self, uuid_of(session_id), *shown[1:])

    def details(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the other fields of the card in *body*, which `card` has seen.

        Raises:
            DamagedError: Metadata or counts are malformed.
        """
        fields = Fields({**CARD_DEFAULTS, **body}, self._path, self._offset)
        metadata, kinds = fields.mapping("meta"), fields.mapping("kinds")
        demand_plain([metadata, kinds], path=self._path, offset=self._offset)
        if set(map(type, kinds.values())) - {int}:
            raise fields.malformed("kinds")
        return {
            "ended_by": fields.text("by"),
            # The default is one object for all cards: each gets its own.
            "metadata": metadata or {},
            "parent_session": _optional_uuid(fields, "par"),
            "parts": fields.integer("parts"),
            "log_through": fields.integer("log"),
            "by_kind": kinds or {},
            "capture": fields.text("cap") or "full",
            "redaction": fields.text("red"),
            "start_generation": fields.optional_integer("gen"),
        }

    def _demand_keys(self, body: Mapping[str, Any]) -> None:
        if "s" not in body or "st" not in body:
            raise self._malformed()
        # What a newer release adds is ignored, but must be plain.
        demand_plain(body, path=self._path, offset=self._offset)

    def _malformed(self) -> DamagedError:
        return DamagedError(self._path, self._offset, "a card is malformed")


def _without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    # A bool is compared too: False equals 0, and both mean "not there".
    return {
        key: value
        for key, value in body.items()
        if value is not None and (key in _MEANT_WHEN_EMPTY or value not in (0, "", {}))
    }


def _bytes_of(identity: UUID | None) -> bytes | None:
    return None if identity is None else identity.bytes


def _optional_uuid(fields: Fields, key: str) -> UUID | None:
    return None if fields.get(key) is None else UUID(bytes=fields.octets(key, 16))
