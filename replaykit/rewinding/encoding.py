"""
A frame of another store as a frame of an embedded memory, and back.

Content, title and uri are the frame's own.  The memory's metadata is a map::

    {"id": 7 or "a", "metadata": {...}, "vector": "base64 of little-endian floats"}

A vector has ``"width": 8`` where four bytes a number lose something; an item
without a text has ``"bare": true``.  Metadata that JSON cannot give back is
under ``"typed"``: the base64 of its CBOR as in a recording.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from array import array
from collections.abc import Mapping
from typing import Any

from replaykit.digests import content_hash
from replaykit.errors import DamagedError, UsageError
from replaykit.format.strict import decode_value, encode_value
from replaykit.format.thaw import thaw
from replaykit.format.values import pack, plain, unpack
from replaykit.memory.fields import Fields, checked
from replaykit.model import FrameId, StoredFrame

__all__ = ["ID_KEY", "fields_of", "frame_of", "id_of", "item_of", "print_of"]

ID_KEY = "stored_id"
"""Where an embedded memory that a checkpoint was put into says the frame's own id."""

_WIDTHS = {4: "f", 8: "d"}


def fields_of(frame: StoredFrame) -> Fields:
    """
    Return *frame* as it is kept.

    Raises:
        UsageError: Something of it would not come back equal: the message says what.
    """
    kept: dict[str, Any] = {"id": frame.id}
    if frame.text is None:
        kept["bare"] = True
    try:
        kept.update(_kept_metadata(frame.metadata))
        kept.update(_kept_vector(frame.vector))
        return checked(frame.text or "", title=frame.title, uri=frame.uri, metadata=kept)
    except UsageError as error:
        raise UsageError(f"frame {frame.id!r}: {error}") from error


def print_of(frame: StoredFrame) -> bytes:
    """
    Return 16 bytes that differ where a frame that could be kept differs in anything but its id.

    Cheaper than to bring it into the form in which it is kept.  It is not stored.
    """
    packed = pack([frame.text, frame.title, frame.uri, _ordered(frame.metadata), frame.vector is None])
    return content_hash(packed + array("d", frame.vector or ()).tobytes())[:16]


def frame_of(fields: Fields, path: str) -> StoredFrame:
    """
    Return the frame that is kept as *fields*.

    Raises:
        DamagedError: They are none of a kept frame; *path* says where.
    """
    try:
        kept = fields.metadata_map()
        return StoredFrame(
            id=kept["id"],
            text=None if kept.get("bare") else fields.content,
            title=fields.title,
            uri=fields.uri,
            metadata=_metadata_of(kept),
            vector=_vector_of(kept),
        )
    except (KeyError, TypeError, ValueError, RecursionError, binascii.Error, struct.error) as error:
        raise DamagedError(path, 0, f"this is no frame of a wrapped store: {error!r}") from error


def id_of(metadata: str, path: str) -> FrameId:
    """
    Return the store's own id from a kept frame's metadata, which are JSON.

    Raises:
        DamagedError: It has none.
    """
    try:
        found = json.loads(metadata)["id"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedError(path, 0, f"a kept frame has no id: {error!r}") from error
    if type(found) is int or type(found) is str:
        return found
    raise DamagedError(path, 0, f"a kept frame's id is a {type(found).__name__}")


def item_of(frame: StoredFrame) -> dict[str, Any]:
    """Return *frame* as ``put_many`` of an embedded memory takes it; its own id goes under `ID_KEY`."""
    return {
        "content": frame.text or "",
        "title": frame.title,
        "uri": frame.uri,
        "metadata": {**_json_like(frame.metadata), ID_KEY: frame.id},
    }


# -- metadata -------------------------------------------------------------------


def _kept_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    if not metadata:
        return {}
    if _is_plain(metadata):
        return {"metadata": metadata}
    # Keys in one order: equal metadata must be kept as equal bytes.
    stored = plain(unpack(pack(_ordered(metadata))), notes=set())
    if not _is_equal(thaw(stored), metadata):
        raise UsageError("its metadata hold an object of a kind that cannot be given back as it was")
    return {"typed": base64.b64encode(encode_value(stored)).decode()}


def _metadata_of(kept: Mapping[str, Any]) -> Any:
    if "typed" in kept:
        return thaw(decode_value(base64.b64decode(kept["typed"], validate=True)))
    return kept.get("metadata", {})


def _is_plain(value: Any) -> bool:
    cls = type(value)
    if cls is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if cls is list:
        return all(map(_is_plain, value))
    return value is None or cls in (str, int, bool) or (cls is float and math.isfinite(value))


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: (type(key).__name__, str(key)))}
    return [_ordered(item) for item in value] if type(value) is list else value


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:
        # Arrays and the like have no truth: they are not told equal.
        return False


def _json_like(value: Any) -> Any:
    """Return *value* with everything that JSON has no form for as its text."""
    if isinstance(value, Mapping):
        return {str(key): _json_like(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_like(item) for item in value]
    return value if _is_plain(value) else str(value)


# -- vectors --------------------------------------------------------------------


def _kept_vector(vector: tuple[float, ...] | None) -> dict[str, Any]:
    if vector is None:
        return {}
    narrow = _packed(vector, 4)
    if narrow is not None and _unpacked(narrow, 4) == vector:
        return {"vector": base64.b64encode(narrow).decode()}
    return {"vector": base64.b64encode(_packed(vector, 8) or b"").decode(), "width": 8}


def _vector_of(kept: Mapping[str, Any]) -> tuple[float, ...] | None:
    if "vector" not in kept:
        return None
    return _unpacked(base64.b64decode(kept["vector"], validate=True), kept.get("width", 4))


def _packed(vector: tuple[float, ...], width: int) -> bytes | None:
    try:
        return struct.pack(f"<{len(vector)}{_WIDTHS[width]}", *vector)
    except OverflowError:
        return None


def _unpacked(data: bytes, width: int) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // width}{_WIDTHS[width]}", data)
