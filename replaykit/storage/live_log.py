"""
Reads a live log: from records to raw calls, checkpoints and the session's own facts.

One reader serves the background of the process that writes the log, a
recovery of a log whose writer is gone, and a listing by another process.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import DamagedError, StorageError
from replaykit.format import records
from replaykit.format.entries import TORN_END, Gap, Opening, Sealing
from replaykit.format.fields import Fields
from replaykit.format.records import ActionFields, ActionRecord, Damage, Record, action_fields
from replaykit.format.soundness import demand_sound_action, demand_sound_checkpoint
from replaykit.pipeline import RawCall
from replaykit.protocols import Log
from replaykit.storage.pausing import Pause, no_pause

__all__ = [
    "Item",
    "LogReader",
    "encode_opening",
    "encode_sealing",
    "is_unreadable",
    "read_opening",
    "sequences_in",
    "unreadable",
]


_LONGEST_REASON = 500
_UNREADABLE = "unreadable record"
_ROW_TEXTS = ("kind", "name", "source")
_LACKING = frozenset({"damaged", "unreplayable"})


class Item(enum.Enum):
    """What a log gives, in the order in which it was written."""

    CALL = "call"
    ENTRY = "entry"
    CHECKPOINT = "checkpoint"
    GAP = "gap"


# A member looked up in its class costs as much as a call of a function.
_CALL = Item.CALL


def encode_opening(opening: Opening, *, align: int = 0) -> dict[str, Any]:
    """Return the map of an OPEN record; *align* is to how many bytes the log's records are padded."""
    return {
        "al": align,
        "sid": opening.session_id.bytes,
        "name": opening.name,
        "t": opening.created_ns,
        "meta": opening.metadata,
        "red": opening.redaction,
        "cap": opening.capture,
        "par": None if opening.parent_session is None else opening.parent_session.bytes,
        "gen": opening.start_generation,
        "mem": None if opening.memory_id is None else opening.memory_id.bytes,
        "res": opening.resumed,
    }


def _decode_opening(fields: Fields, session_id: UUID) -> Opening:
    # A log is of the session that its name says: it must not speak for
    # another one.
    if fields.octets("sid", 16) != session_id.bytes or fields.integer("t") < 0:
        raise DamagedError("", 0, "the opening is of another session, or of no time")
    parent, memory = fields.get("par"), fields.get("mem")
    return Opening(
        session_id=session_id,
        name=fields.optional_text("name"),
        created_ns=fields.integer("t"),
        metadata=fields.mapping("meta"),
        redaction=fields.text("red"),
        capture=fields.text("cap") or "full",
        parent_session=None if parent is None else UUID(bytes=fields.octets("par", 16)),
        start_generation=fields.optional_integer("gen"),
        memory_id=None if memory is None else UUID(bytes=fields.octets("mem", 16)),
        resumed=fields.get("res") is True,
    )


def encode_sealing(sealing: Sealing) -> dict[str, Any]:
    """Return the map of an END record."""
    return attrs.asdict(sealing, recurse=False)


def _decode_sealing(fields: Fields) -> Sealing:
    if fields.text("state") not in ("sealed", "interrupted"):
        raise fields.malformed("state")
    return Sealing(
        state=fields.text("state"),
        ended_ns=fields.integer("ended_ns"),
        ended_by=fields.text("ended_by"),
        duration_ns=fields.integer("duration_ns"),
        lost=fields.integer("lost"),
        late=fields.integer("late"),
        metadata=fields.mapping("metadata"),
    )


class LogReader:
    """
    Reads a log forward from its start, as far as asked.

    Attributes:
        opening: How the session began; None until its record was read.
        sealing: How it ended; None while there is no END record.
        offset: Bytes read so far.
        announced: Calls whose beginning was logged and whose end was not, by sequence.
        last_ns: The latest time that any record told.
        newest: The record that was read last.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.opening: Opening | None = None
        self.sealing: Sealing | None = None
        self.offset = 0
        self.announced: dict[int, ActionRecord] = {}
        self.metadata: dict[str, Any] = {}
        self.last_ns = 0
        self._align = 0
        self.newest: Record | None = None
        self._definitions: dict[int, Mapping[str, Any]] = {}

    def items(self, *, keep_from: int = 0, is_complete: bool = False) -> Iterator[tuple[Item, Any]]:
        """
        Yield what was written since the last call, up to the log's present end.

        What lies before *keep_from* is already published: it is read for its
        definitions and intents and not yielded.  `RawCall`, a stored entry,
        a checkpoint entry or a `Gap` comes with each `Item`.  *is_complete* says
        that nobody appends any more: a torn record at the end is a gap then.
        """
        end = self._log.size
        for found in records.read_records(self._log.read, self.offset, end, align=lambda: self._align):
            if isinstance(found, Damage):
                # An append may be under way at the very end; a torn record
                # there is told from damage only when the log is complete.
                may_grow = not is_complete and found.end == end and self.sealing is None
                if may_grow and self._log.has_writer():
                    return
                self.offset = found.end
                if found.end > keep_from:
                    # It may begin in what is published.
                    published = max(keep_from - found.offset, 0)
                    data = found.data[published:]
                    is_end = found.end == end and self.sealing is None and records.is_cut_short(data)
                    reason = TORN_END if is_end else "torn record"
                    yield Item.GAP, Gap(offset=found.offset + published, reason=reason, data=data)
                continue
            self.offset = found.end
            self.newest = found
            item = self._take(found)
            if item is not None and found.offset >= keep_from:
                yield item

    def presume_opening(self, created_ns: int) -> None:
        """Take the session as opened at *created_ns*, without a name: its own record of that is damaged."""
        self.opening = Opening(session_id=self._log.session_id, name=None, created_ns=created_ns)

    def _take(self, record: Record) -> tuple[Item, Any] | None:
        try:
            if record.what == records.ACTION:
                return _CALL, self._call(action_fields(record.body))
            return self._taken(record)
        except (DamagedError, KeyError, TypeError, ValueError) as error:
            # The checksum was right and the content is not: keep it, go on.
            return Item.GAP, unreadable(record, error)

    def _taken(self, record: Record) -> tuple[Item, Any] | None:
        what = record.what
        if what == records.INTENT:
            intent = ActionRecord.read(record.body)
            self.announced[intent.sequence] = intent
            self.last_ns = max(self.last_ns, intent.time_ns)
            return None
        content = record.map()
        if what == records.ENTRY:
            demand_sound_action(content)
            self.last_ns = max(self.last_ns, content["t"] + content["d"])
            self.announced.pop(content["i"], None)
            return Item.ENTRY, content
        if what == records.CHECKPOINT:
            demand_sound_checkpoint(content)
            return Item.CHECKPOINT, content
        self._note(what, content)
        return None

    def _note(self, what: int, content: Mapping[str, Any]) -> None:
        fields = Fields(content)
        if what == records.OPEN:
            self.opening = _decode_opening(fields, self._log.session_id)
            self._align = fields.integer("al")
            self.metadata = dict(self.opening.metadata)
            self.last_ns = max(self.last_ns, self.opening.created_ns)
        elif what == records.DEFINE:
            row = fields.mapping("row")
            if all(type(row.get(key)) is str for key in _ROW_TEXTS):
                self._definitions[fields.integer("n")] = row
        elif what == records.NOTE:
            self.metadata.update(content)
        elif what == records.END:
            self.sealing = _decode_sealing(fields)
            self.metadata.update(self.sealing.metadata)

    def _call(self, fields: ActionFields) -> RawCall:
        bits, operation, sequence, parent, time_ns, duration_ns, generation, arguments, result, facts = fields
        flags = _named(bits)
        announced = self.announced.pop(sequence, None) if self.announced else None
        if bits & records.INTENDED:
            if announced is None:
                # The record with its arguments is damaged: that must not
                # look like a call without any.
                flags |= _LACKING
            else:
                arguments = announced.arguments
        if time_ns + duration_ns > self.last_ns:
            self.last_ns = time_ns + duration_ns
        output, error = result, b""
        if bits & records.FAILED:
            output, error, facts = facts, result, b""
        # Each recorded call comes here, and by their names they take thrice as long.
        return RawCall(
            sequence,
            self._definitions[operation],
            time_ns,
            duration_ns,
            None if parent == records.NO_NUMBER else parent,
            None if generation == records.NO_NUMBER else generation,
            arguments,
            output,
            error,
            facts,
            flags,
        )

    def unfinished(self) -> Iterator[RawCall]:
        """Yield the announced calls whose end was not seen, in order; each is then forgotten."""
        for sequence in sorted(self.announced):
            record = self.announced[sequence]
            if record.operation in self._definitions:
                yield self._call(record._replace(flags=record.flags | records.UNFINISHED))
        self.announced.clear()


@functools.cache
def _named(flags: int) -> frozenset[str]:
    """Return the names of the flags of an action, which are one byte."""
    return frozenset(name for bit, name in records.FLAG_NAMES.items() if flags & bit)


def unreadable(record: Record, error: Exception) -> Gap:
    """Return the gap that keeps a record whose content makes no sense."""
    return Gap(offset=record.offset, reason=f"{_UNREADABLE}: {error}"[:_LONGEST_REASON], data=record.body)


def is_unreadable(gap: Gap) -> bool:
    """Return whether *gap* keeps a record that was whole, so that whoever wrote it lost it."""
    return gap.reason.startswith(_UNREADABLE)


def read_opening(log: Log) -> Opening | None:
    """Return how the session of *log* began; None where that is not written, or the log is gone by now."""
    reader = LogReader(log)
    with suppress(FileNotFoundError, StorageError):
        # The first record says it: no more is read than the first action.
        next(reader.items(), None)
    return reader.opening


def sequences_in(reader: LogReader, *, pause: Pause = no_pause) -> set[int]:
    """Return the sequences of all calls that *reader* has yet to tell of; *pause* is called after each."""
    found = set()
    for what, item in reader.items():
        if what in (Item.CALL, Item.ENTRY):
            found.add(item.sequence if what is Item.CALL else item["i"])
        pause()
    return found | set(reader.announced)
