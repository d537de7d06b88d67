"""
One session of memvid as a store of ours keeps it: a card, an opening and entries.

Our sequences ascend and are below 2^48, our times are 64-bit nanoseconds and
a checkpoint's id is given once. Where memvid's are otherwise they are changed,
and it is said (`changes`); what was stored stays in the entry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import repeat
from operator import itemgetter
from typing import Any
from uuid import UUID

import attrs

from replaykit.digests import preview_of, utf8
from replaykit.format.actions import checkpoint_entry
from replaykit.format.asked import Asked, asked_by
from replaykit.format.entries import Card, Entry, Opening, Sealing
from replaykit.format.names import safe_name
from replaykit.importers.memvid.decoding import SECOND_NS, EncodedSession
from replaykit.model import MAX_BODY_BYTES, MEMVID, Checkpoint, ReplayAction, ReplaySession

__all__ = ["ImportedEntries", "card_of"]

_MOST_SEQUENCES = 1 << 48
_LOWEST, _HIGHEST = -(1 << 63), (1 << 63) - 1
_LONGEST_NAME_BYTES = 255


def card_of(session: EncodedSession, session_id: UUID) -> Card:
    """Return what a listing shows of *session*, as it is stored."""
    ended = session.ended_secs
    last = session.last_secs if ended is None else ended
    return Card(
        session_id=session_id,
        name=session.name,
        created_ns=session.created_secs * SECOND_NS,
        ended_ns=None if ended is None else ended * SECOND_NS,
        state="interrupted" if ended is None else "sealed",
        action_count=session.action_count,
        checkpoint_count=session.checkpoint_count,
        duration_ns=max(0, last - session.created_secs) * SECOND_NS,
        ended_by="interrupted" if ended is None else "",
        metadata=dict(session.metadata),
        capture=MEMVID,
    )


class ImportedEntries:
    """
    A `StoredSession` of what memvid stored.

    ``original`` is the session as memvid has it; the entries are what a
    store of ours can hold of it. *origin* goes into the metadata.
    """

    def __init__(self, session: EncodedSession, session_id: UUID, origin: Mapping[str, Any]) -> None:
        self._session = session
        self._session_id = session_id
        self._origin = origin

    @property
    def card(self) -> Card:
        """Its line in a listing."""
        return card_of(self._session, self._session_id)

    @property
    def original(self) -> ReplaySession:
        """The session as memvid has it."""
        return self._session.session(self._session_id)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Its own metadata, then where it comes from and what was changed."""
        own = {f"{MEMVID}_{key}" if key in self._origin else key: item for key, item in self._session.metadata.items()}
        more: dict[str, Any] = dict(self._origin)
        if self._session.version != 1:
            more["origin_session_version"] = self._session.version
        if self._session_id != self._session.session_id:
            more["origin_session_id"] = str(self._session.session_id)
        if self.changes:
            more["origin_changes"] = list(self.changes)
        return own | more

    @property
    def opening(self) -> Opening:
        """How it began."""
        name = self._session.name
        return Opening(
            session_id=self._session_id,
            name=name if name is None or len(utf8(name)) <= _LONGEST_NAME_BYTES else safe_name(name),
            created_ns=_bounded(self._session.created_secs * SECOND_NS),
            metadata=self.metadata,
            capture=MEMVID,
        )

    @property
    def sealing(self) -> Sealing:
        """How it ended; what memvid never ended is interrupted at its last action."""
        session, card = self._session, self.card
        ended = session.last_secs if session.ended_secs is None else session.ended_secs
        return Sealing(
            state=card.state,
            ended_ns=_bounded(ended * SECOND_NS),
            ended_by=card.ended_by,
            duration_ns=_bounded(card.duration_ns),
            metadata=self.metadata,
        )

    # -- actions ----------------------------------------------------------------------

    @cached_property
    def _stored_sequences(self) -> list[int]:
        return [action.sequence for action in self._session.actions]

    @cached_property
    def _is_renumbered(self) -> bool:
        stored = self._stored_sequences
        ascends = all(mine < following for mine, following in zip(stored, stored[1:], strict=False))
        return not ascends or (bool(stored) and stored[-1] >= _MOST_SEQUENCES)

    @property
    def gaps(self) -> Sequence[Any]:
        """None: a foreign file keeps no damaged bytes apart."""
        return ()

    @property
    def sequences(self) -> Sequence[int]:
        """The sequences of its entries, ascending."""
        stored = self._stored_sequences
        return range(len(stored)) if self._is_renumbered else stored

    def action(self, sequence: int) -> Entry:
        """Return one action entry; KeyError when there is none."""
        at = bisect_left(self.sequences, sequence)
        if at == len(self.sequences) or self.sequences[at] != sequence:
            raise KeyError(sequence)
        return self._entry(sequence, self._session.action(at))

    def actions(self) -> Iterator[Entry]:
        """Yield its action entries in order of sequence."""
        for sequence, action in zip(self.sequences, self._session.actions, strict=True):
            yield self._entry(sequence, action)

    def asked(self) -> Iterator[Asked]:
        """Yield what its actions asked, in order of sequence."""
        return map(asked_by, self.actions())

    def likenesses(self) -> Iterator[None]:
        """Yield None for each action: what memvid kept is compared in its own way."""
        return repeat(None, len(self.sequences))

    def _entry(self, sequence: int, action: ReplayAction) -> dict[str, Any]:
        flags = set(action.flags)
        fields = _fields_of(action, self._checkpoint_ids, flags)
        if sequence != action.sequence:
            fields["sequence"] = action.sequence
            flags.add("renumbered")
        entry: dict[str, Any] = {
            "i": sequence,
            "k": action.kind,
            "nm": action.name,
            "src": MEMVID,
            "t": _bounded(action.timestamp_ns),
            "d": _bounded(action.duration_ns),
            "x": fields,
            "ih": action.input_hash,
            "oh": action.output_hash,
            "ip": action.input_preview,
            "op": action.output_preview,
        }
        if action.affected_frames:
            entry["f"] = list(action.affected_frames)
        if flags:
            entry["fl"] = sorted(flags)
        return entry

    # -- checkpoints --------------------------------------------------------------------

    @cached_property
    def _stored_checkpoints(self) -> Sequence[Checkpoint]:
        return self._session.checkpoints(self._session_id)

    @cached_property
    def _checkpoint_ids(self) -> Mapping[int, int]:
        """The new ids by the old, where ids are repeated or too large: places, of repeated ones the first."""
        stored = [each.id for each in self._stored_checkpoints]
        if len(set(stored)) == len(stored) and max(stored, default=0) <= _HIGHEST:
            return {}
        return {old: place for place, old in reversed(list(enumerate(stored)))}

    @property
    def checkpoints(self) -> Sequence[Entry]:
        """Its checkpoint entries in order of their ids."""
        entries = [_checkpoint_entry(each, self._renumbered(each.at_sequence)) for each in self._stored_checkpoints]
        if self._checkpoint_ids:
            return [{**entry, "c": place} for place, entry in enumerate(entries)]
        return sorted(entries, key=itemgetter("c"))

    def _renumbered(self, at_sequence: int) -> int:
        if not self._is_renumbered:
            return min(at_sequence, _HIGHEST)
        stored = self._stored_sequences
        return stored.index(at_sequence) if at_sequence in stored else 0

    @cached_property
    def changes(self) -> Sequence[str]:
        """What had to be changed, in words."""
        session = self._session
        found = []
        if self._is_renumbered:
            found.append("its actions were numbered anew: their sequences were repeated, unordered or too large")
        if self._checkpoint_ids:
            found.append("its checkpoints were numbered anew: their ids were repeated or too large")
        if session.session_id != self._session_id:
            found.append(f"another session before it in the file has its id, {session.session_id}")
        if session.name is not None and len(utf8(session.name)) > _LONGEST_NAME_BYTES:
            found.append("its name was cut")
        if session.ended_secs is None:
            found.append("it has no end: interrupted at its last action")
        return tuple(found)


def _bounded(number: int) -> int:
    return min(max(number, _LOWEST), _HIGHEST)


def _fields_of(action: ReplayAction, checkpoint_ids: Mapping[int, int], flags: set[str]) -> dict[str, Any]:
    """Return the fields of an action's own type; a query over the limit of bodies is cut, and *flags* say so."""
    fields = attrs.asdict(action.action_type, recurse=False)
    if "frame_ids" in fields:
        fields["frame_ids"] = list(fields["frame_ids"])
    if "checkpoint_id" in fields:
        fields["checkpoint_id"] = checkpoint_ids.get(fields["checkpoint_id"], fields["checkpoint_id"])
    query = fields.get("query")
    if query is not None and len(query) > MAX_BODY_BYTES // 4 and len(utf8(query)) > MAX_BODY_BYTES:
        fields["query"] = preview_of(utf8(query))
        flags.add("cut")
    return fields


def _checkpoint_entry(checkpoint: Checkpoint, at_sequence: int) -> dict[str, Any]:
    entry = checkpoint_entry(checkpoint, with_ids=True)
    entry["i"] = at_sequence
    for key in ("t", "n"):
        entry[key] = _bounded(entry[key])
    return entry
