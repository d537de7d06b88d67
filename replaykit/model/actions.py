"""One recorded call: the action, its type and its failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

__all__ = [
    "KINDS",
    "MAX_BODY_BYTES",
    "MAX_PREVIEW",
    "OVERSIZE_HASH",
    "ZERO_HASH",
    "ActionType",
    "Ask",
    "Checkpointed",
    "Delete",
    "Failure",
    "Find",
    "FrameId",
    "Put",
    "PutMany",
    "ReplayAction",
    "ToolCall",
    "Update",
]

FrameId = int | str
"""A frame's id: int in our own memory, the store's own id elsewhere."""

ZERO_HASH = bytes(32)
"""The hash of nothing: no data, or empty data."""

OVERSIZE_HASH = b"\xff" * 32
"""What memvid stores for data over its limit; only imported sessions have it."""

MAX_PREVIEW = 512
"""A preview's limit: bytes first, then characters."""

MAX_BODY_BYTES = 10 * 1024 * 1024
"""Above this a body is cut and flagged; its hash and length stay true."""


@attrs.frozen(kw_only=True)
class Put:
    """A frame was written."""

    name: ClassVar[str] = "PUT"
    kind: ClassVar[str] = "put"
    frame_id: FrameId | None = None


@attrs.frozen(kw_only=True)
class PutMany:
    """Several frames were written by one call."""

    name: ClassVar[str] = "PUT_MANY"
    kind: ClassVar[str] = "put_many"
    frame_ids: tuple[FrameId, ...] = ()
    count: int = 0


@attrs.frozen(kw_only=True)
class Find:
    """Frames were looked up; *mode* is ``id`` for a read by id."""

    name: ClassVar[str] = "FIND"
    kind: ClassVar[str] = "find"
    query: str = ""
    mode: str = ""
    result_count: int = 0


@attrs.frozen(kw_only=True)
class Ask:
    """A question was answered."""

    name: ClassVar[str] = "ASK"
    kind: ClassVar[str] = "ask"
    query: str = ""
    provider: str = ""
    model: str = ""


@attrs.frozen(kw_only=True)
class Checkpointed:
    """A checkpoint was made."""

    name: ClassVar[str] = "CHECKPOINT"
    kind: ClassVar[str] = "checkpoint"
    checkpoint_id: int = 0


@attrs.frozen(kw_only=True)
class Update:
    """A frame got new content under its old id."""

    name: ClassVar[str] = "UPDATE"
    kind: ClassVar[str] = "update"
    frame_id: FrameId | None = None


@attrs.frozen(kw_only=True)
class Delete:
    """A frame was removed."""

    name: ClassVar[str] = "DELETE"
    kind: ClassVar[str] = "delete"
    frame_id: FrameId | None = None


@attrs.frozen(kw_only=True)
class ToolCall:
    """Any other function was called; *tool* is its name."""

    name: ClassVar[str] = "TOOL_CALL"
    kind: ClassVar[str] = "tool"
    tool: str = ""
    args_hash: bytes = ZERO_HASH


ActionType = Put | PutMany | Find | Ask | Checkpointed | Update | Delete | ToolCall

KINDS: Mapping[str, type[ActionType]] = {
    cls.kind: cls for cls in (Put, PutMany, Find, Ask, Checkpointed, Update, Delete, ToolCall)
}
"""Every kind by its name, in the order of memvid's own numbering."""


@attrs.frozen(kw_only=True)
class Failure:
    """
    A recorded exception.

    *type* is the qualified class name, *message* its text and *args* those
    of its arguments that could be kept.  *attributes* are what it held beside
    them and count in no comparison: its ``notes``, and of built-in classes the
    ``filename`` and ``filename2``, ``name``, ``path`` and ``obj``.
    """

    type: str
    message: str = ""
    args: tuple[Any, ...] = ()
    attributes: Mapping[str, Any] = attrs.field(factory=dict, eq=False)


@attrs.frozen(kw_only=True, repr=False)
class ReplayAction:
    """
    One call, as it was recorded.

    Times are nanoseconds since 1970 UTC (begin) and monotonic nanoseconds
    (duration).  Hashes are 32 raw BLAKE3 bytes, taken after redaction; zero
    bytes stand for nothing or empty.  ``arguments`` go by parameter name.
    ``output`` is None when nothing was returned or kept; for a stream it is
    the list of its items.  ``error`` is set when the call failed.  ``k`` is
    how many hits were asked for, where that is known.  The lengths are those of
    bodies that were cut, in bytes; None for whole ones.
    """

    sequence: int
    timestamp_ns: int
    action_type: ActionType
    name: str = ""
    source: str = ""
    input_hash: bytes = attrs.field(default=ZERO_HASH)
    output_hash: bytes = attrs.field(default=ZERO_HASH)
    input_preview: str = ""
    output_preview: str = ""
    affected_frames: tuple[FrameId, ...] = ()
    duration_ns: int = 0
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    output: Any = None
    error: Failure | None = None
    parent: int | None = None
    generation: int | None = None
    flags: frozenset[str] = frozenset()
    k: int | None = None
    input_length: int | None = None
    output_length: int | None = None

    @property
    def kind(self) -> str:
        """``put put_many find ask checkpoint update delete tool``."""
        return self.action_type.kind

    @property
    def timestamp_secs(self) -> int:
        """Whole seconds since 1970 UTC at which the call began."""
        return self.timestamp_ns // 1_000_000_000

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds, rounded down, as memvid stores them."""
        return self.duration_ns // 1_000_000

    def __repr__(self) -> str:
        failed = " failed" if self.error else ""
        return f"<ReplayAction {self.sequence} {self.action_type.name}{failed} {self.duration_ns / 1e6:.3f} ms>"
