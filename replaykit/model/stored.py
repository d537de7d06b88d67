"""What goes into a checkpoint of a store that is not ours, and what comes of restoring it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from replaykit.errors import UsageError
from replaykit.model.actions import FrameId
from replaykit.model.sessions import Checkpoint

__all__ = ["Restoration", "StoredFrame"]


def _an_id(_frame: Any, _attribute: Any, value: Any) -> None:
    if type(value) not in (int, str):
        raise UsageError(f"a frame's id is an int or a text, not {type(value).__name__}: {value!r}")


def _a_text_or_bytes(frame: StoredFrame, _attribute: Any, value: Any) -> None:
    if not isinstance(value, (str, bytes, type(None))):
        raise UsageError(f"frame {frame.id!r}: text is str, bytes or None, not {type(value).__name__}")


def _map(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if given is None else given


def _a_map(frame: StoredFrame, _attribute: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"frame {frame.id!r}: metadata is a dict or None, not {type(value).__name__}")


def _vector(values: Iterable[Any] | None) -> tuple[float, ...] | None:
    if values is None:
        return None
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError) as error:
        raise UsageError(f"a frame's vector is a sequence of numbers or None: {error}") from error


@attrs.frozen(kw_only=True, repr=False)
class StoredFrame:
    """
    One item of a store, as the store itself has it.

    Attributes:
        id: The store's own id.
        text: The content; None where the store has an item without one.
        metadata: Text keys; empty and None are the same.
        vector: The embedding, None where the store has none or keeps it to itself.

    Raises:
        UsageError: A value has the wrong type.
    """

    id: FrameId = attrs.field(validator=_an_id)
    text: str | bytes | None = attrs.field(default=None, validator=_a_text_or_bytes)
    title: str | None = None
    uri: str | None = None
    metadata: Mapping[str, Any] = attrs.field(default=None, converter=_map, validator=_a_map)
    vector: tuple[float, ...] | None = attrs.field(default=None, converter=_vector)

    def __repr__(self) -> str:
        return f"<StoredFrame {self.id!r}>"


@attrs.frozen(kw_only=True)
class Restoration:
    """
    What a restore did.

    Attributes:
        frame_count: How many frames the checkpoint has.
        new_ids: Which id each frame has now whose id the store did not keep.
        is_exact: Whether the store, read again, has the checkpoint's state
            hash; an embedded memory has ids of its own and never has it.
        before: What the store held before, as a checkpoint outside of any
            session: restoring it undoes this.  None when another store was filled.
    """

    frame_count: int
    new_ids: Mapping[FrameId, FrameId] = attrs.field(factory=dict)
    is_exact: bool = False
    before: Checkpoint | None = None
