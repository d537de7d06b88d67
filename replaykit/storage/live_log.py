"""
Reads a live log: from records to raw calls, checkpoints and the session's own facts.

One reader serves the background of the process that writes the log, a
recovery of a log whose writer is gone, and a listing by another process.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import attrs

from replaykit.errors import DamagedError
from replaykit.format import records
from replaykit.format.entries import Gap, Opening, Sealing
from replaykit.format.records import ActionRecord, Damage, Record
from replaykit.pipeline import RawCall
from replaykit.protocols import Log

__all__ = ["Item", "LogReader", "encode_opening", "encode_sealing", "sequences_in"]


class Item(enum.Enum):
    """What a log gives, in the order in which it was written."""

    CALL = "call"
    ENTRY = "entry"
    CHECKPOINT = "checkpoint"
    GAP = "gap"


def encode_opening(opening: Opening) -> dict[str, Any]:
    """Return the map of an OPEN record."""
    return {
        "sid": opening.session_id.bytes,
        "name": opening.name,
        "t": opening.created_ns,
        "meta": opening.metadata,
        "red": opening.redaction,
        "cap": opening.capture,
        "par": None if opening.parent_session is None else opening.parent_session.bytes,
        "gen": opening.start_generation,
        "res": opening.resumed,
    }


def _decode_opening(found: Mapping[str, Any]) -> Opening:
    parent = found.get("par")
    return Opening(
        session_id=UUID(bytes=found["sid"]),
        name=found["name"],
        created_ns=found["t"],
        metadata=found.get("meta", {}),
        redaction=found.get("red", ""),
        capture=found.get("cap", "full"),
        parent_session=None if parent is None else UUID(bytes=parent),
        start_generation=found.get("gen"),
        resumed=found.get("res", False),
    )


def encode_sealing(sealing: Sealing) -> dict[str, Any]:
    """Return the map of an END record."""
    return attrs.asdict(sealing, recurse=False)


class LogReader:
    """
    Reads a log forward from its start, as far as asked.

    Attributes:
        opening: How the session began; None until its record was read.
        sealing: How it ended; None while there is no END record.
        offset: Bytes read so far.
        announced: Calls whose beginning was logged and whose end was not, by sequence.
        last_ns: The latest time that any record told.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.opening: Opening | None = None
        self.sealing: Sealing | None = None
        self.offset = 0
        self.announced: dict[int, ActionRecord] = {}
        self.metadata: dict[str, Any] = {}
        self.last_ns = 0
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
        for found in records.read_records(self._log.read, self.offset, end):
            is_new = found.offset >= keep_from
            if isinstance(found, Damage):
                # An append may be under way at the very end; a torn record
                # there is told from damage only when the log is complete.
                may_grow = not is_complete and found.end == end and self.sealing is None
                if may_grow and self._log.has_writer():
                    return
                self.offset = found.end
                if found.end > keep_from:
                    # It may begin in records that were published before.
                    known = max(0, keep_from - found.offset)
                    yield Item.GAP, Gap(offset=found.offset + known, reason="torn record", data=found.data[known:])
                continue
            self.offset = found.end
            item = self._take(found)
            if item is not None and is_new:
                yield item

    def presume_opening(self, created_ns: int) -> None:
        """Take the session as opened at *created_ns*, without a name: its own record of that is damaged."""
        self.opening = Opening(session_id=self._log.session_id, name=None, created_ns=created_ns)

    def _take(self, record: Record) -> tuple[Item, Any] | None:
        try:
            return self._taken(record)
        except (DamagedError, KeyError, TypeError, ValueError) as error:
            # The checksum was right and the content is not: keep it, go on.
            return Item.GAP, Gap(offset=record.offset, reason=f"unreadable record: {error}", data=bytes(record.body))

    def _taken(self, record: Record) -> tuple[Item, Any] | None:
        what = record.what
        if what == records.ACTION:
            return Item.CALL, self._call(ActionRecord.read(record.body))
        if what == records.INTENT:
            intent = ActionRecord.read(record.body)
            self.announced[intent.sequence] = intent
            self.last_ns = max(self.last_ns, intent.time_ns)
            return None
        content = record.map()
        if what == records.ENTRY:
            self.last_ns = max(self.last_ns, content["t"] + content["d"])
            self.announced.pop(content["i"], None)
            return Item.ENTRY, content
        if what == records.CHECKPOINT:
            return Item.CHECKPOINT, content
        self._note(what, content)
        return None

    def _note(self, what: int, content: Mapping[str, Any]) -> None:
        if what == records.OPEN:
            self.opening = _decode_opening(content)
            self.metadata = dict(self.opening.metadata)
            self.last_ns = max(self.last_ns, self.opening.created_ns)
        elif what == records.DEFINE:
            self._definitions[content["n"]] = content["row"]
        elif what == records.NOTE:
            self.metadata.update(content)
        elif what == records.END:
            self.sealing = Sealing(**content)

    def _call(self, record: ActionRecord) -> RawCall:
        arguments = record.arguments
        flags = {name for bit, name in records.FLAG_NAMES.items() if record.flags & bit}
        announced = self.announced.pop(record.sequence, None)
        if record.flags & records.INTENDED:
            if announced is not None:
                arguments = announced.arguments
            else:
                # The record that had them is damaged: without a word this
                # would pass for a call without arguments.
                flags |= {"cut", "unreplayable"}
        failed = bool(record.flags & records.FAILED)
        self.last_ns = max(self.last_ns, record.time_ns + record.duration_ns)
        return RawCall(
            sequence=record.sequence,
            definition=self._definitions[record.operation],
            time_ns=record.time_ns,
            duration_ns=record.duration_ns,
            parent=None if record.parent == records.NO_NUMBER else record.parent,
            generation=None if record.generation == records.NO_NUMBER else record.generation,
            arguments=arguments,
            output=record.facts if failed else record.result,
            error=record.result if failed else b"",
            facts=b"" if failed else record.facts,
            flags=frozenset(flags),
        )

    def unfinished(self) -> Iterator[RawCall]:
        """Yield the announced calls whose end was not seen, in order; each is then forgotten."""
        for sequence in sorted(self.announced):
            record = self.announced[sequence]
            if record.operation in self._definitions:
                yield self._call(attrs.evolve(record, flags=record.flags | records.UNFINISHED))
        self.announced.clear()


def sequences_in(reader: LogReader) -> set[int]:
    """Return the sequences of all calls that *reader* has yet to tell of, whether they ended or not."""
    found = {
        item.sequence if what is Item.CALL else item["i"]
        for what, item in reader.items()
        if what in (Item.CALL, Item.ENTRY)
    }
    return found | set(reader.announced)
