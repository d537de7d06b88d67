"""memvid's own sessions beside ours: both record the same calls; and what memvid stored, changed in place."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

import replaykit

__all__ = ["ASK", "DELETE", "PUT", "PUT_MANY", "TOOL_CALL", "UPDATE", "Both", "Seed", "Stored", "recording", "wrapped"]

PUT, PUT_MANY, FIND, ASK, CHECKPOINT, UPDATE, DELETE, TOOL_CALL = range(8)
OPERATIONS = {"put": "put", "put_many": "put_many", "find": "find", "ask": "ask", "remove": "delete"}


def wrapped(memory: Any, store: str = "runs.rpk") -> Any:
    """Return *memory* with its calls recorded by us; memvid's own ``session_*`` go through."""
    return replaykit.wrap(memory, store=store, operations=OPERATIONS)


@attrs.frozen
class Seed:
    """What memvid says of a replay."""

    result: dict[str, Any]

    @property
    def is_success(self) -> bool:
        return bool(self.result["success"])

    @property
    def match_rate(self) -> float:
        return float(self.result["match_rate"])

    @property
    def matched(self) -> list[tuple[str, bool]]:
        """Each action's type and whether it matched."""
        return [(item["action_type"].strip('"'), item["matched"]) for item in self.result["action_results"]]

    @property
    def texts(self) -> list[str]:
        return [item.get("diff", "") for item in self.result["action_results"]]


@attrs.define
class Both:
    """One run, recorded twice."""

    memory: Any
    theirs: str = ""
    ours: replaykit.ReplaySession | None = None
    summary: dict[str, Any] = attrs.field(factory=dict)

    def seed(self, **options: Any) -> Seed:
        """Replay memvid's recording with memvid."""
        return Seed(self.memory.session_replay(self.theirs, **options))

    def replay(self, **options: Any) -> replaykit.ReplayResult:
        """Replay our recording on the same memory."""
        assert self.ours is not None
        return replaykit.replay(self.ours, self.memory, base="live", **options)


@contextmanager
def recording(memory: Any) -> Iterator[Both]:
    """Have both record what the block does with *memory*, which is wrapped."""
    both = Both(memory)
    with replaykit.recorder_of(memory).session() as session:
        both.theirs = memory.session_start("run")
        yield both
        both.summary = memory.session_end()
    both.ours = session.result


class Stored:
    """
    The one session in a closed memvid file, as its bytes; what is changed keeps its length.

    The session has no checkpoint.  `replace` writes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = bytearray(path.read_bytes())
        self._segment = self._data.rindex(b"MV2RPLY!")
        # Version, count of sessions, size; then the session's own length and id.
        self._session = self._segment + 32
        (self._length,) = struct.unpack_from("<Q", self._data, self._segment + 24)
        assert struct.unpack_from("<I", self._data, self._segment + 12) == (1,)
        self._action = self._first_action()

    def _first_action(self) -> int:
        at = self._session + 24
        at += 9 + struct.unpack_from("<Q", self._data, at + 1)[0] if self._data[at] else 1
        at += 8
        at += 9 if self._data[at] else 1
        assert struct.unpack_from("<Q", self._data, at) == (0,)
        return at + 16

    @property
    def put_number(self) -> int:
        """What the first action, a put, says that its frame is."""
        kind, number = struct.unpack_from("<IQ", self._data, self._action + 16)
        assert kind == PUT
        return int(number)

    @property
    def last_duration_ms(self) -> int:
        """The duration of the last action: behind it are an empty map and a version."""
        return int(struct.unpack_from("<Q", self._data, self._session + self._length - 20)[0])

    def replace(self, kind: int, fields: bytes, in_place_of: bytes | None = None) -> None:
        """Make the first action one of another *kind*, with *fields* for those given or else for as many bytes."""
        old = fields if in_place_of is None else in_place_of
        at = self._action + 20
        assert len(old) == len(fields)
        assert in_place_of is None or self._data[at : at + len(old)] == old
        struct.pack_into("<I", self._data, self._action + 16, kind)
        self._data[at : at + len(fields)] = fields
        self._path.write_bytes(self._data)

    def replace_text(self, old: bytes, new: bytes) -> None:
        """Put *new* wherever the session says *old*."""
        assert len(old) == len(new)
        end = self._session + self._length
        held = bytes(self._data[self._session : end])
        assert old in held
        self._data[self._session : end] = held.replace(old, new)
        self._path.write_bytes(self._data)
