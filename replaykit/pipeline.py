"""
From a raw call to the entry that is stored: facts, hashes, previews, frames, limits.

Runs where nobody waits for it (the background, a recovery), but for
``capture="preview"`` and ``"hash"``, whose bodies must never be written at all.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import blake3
import cbor2

from replaykit.facts import Facts, bare_content, facts_of, view
from replaykit.format.values import plain, unpack
from replaykit.model import MAX_BODY_BYTES, MAX_PREVIEW, ZERO_HASH

__all__ = ["Capture", "RawCall", "content_hash", "entry_of", "preview_of"]

Capture = Literal["full", "preview", "hash"]

_KEPT_HEAD_BYTES = 64 * 1024
"""How much of a body over the limit is kept."""

_PACKING_BYTES = 4096
"""What names and lengths may add to a content of just the limit."""

Hasher = Callable[[bytes], bytes]


@attrs.frozen(kw_only=True)
class RawCall:
    """A call as the live log has it: packed, not yet looked at."""

    sequence: int
    definition: Mapping[str, Any]
    time_ns: int
    duration_ns: int = 0
    parent: int | None = None
    generation: int | None = None
    arguments: bytes = b""
    output: bytes = b""
    error: bytes = b""
    facts: bytes = b""
    flags: frozenset[str] = frozenset()


def content_hash(data: bytes) -> bytes:
    """Return the BLAKE3 hash of *data*; 32 zero bytes for no data."""
    return blake3.blake3(data).digest() if data else ZERO_HASH


def preview_of(data: bytes) -> str:
    """
    Return what a listing shows of *data*.

    The first 512 bytes as UTF-8, a broken sequence as U+FFFD, without control
    characters but line feed and tab, at most 512 characters: memvid's rule.
    """
    text = data[:MAX_PREVIEW].decode("utf-8", "replace")
    if not text.isprintable():
        text = "".join(char for char in text if char in "\n\t" or unicodedata.category(char) != "Cc")
    return text[:MAX_PREVIEW]


def entry_of(call: RawCall, *, capture: Capture = "full", hasher: Hasher = content_hash) -> dict[str, Any]:
    """
    Return the stored entry of *call*.

    With ``capture="preview"`` bodies are left out, with ``"hash"`` also
    previews, queries and error messages.
    """
    notes = set(call.flags)
    arguments = plain(unpack(call.arguments), notes=notes) if call.arguments else {}
    output = plain(unpack(call.output), notes=notes) if call.output else None
    error = plain(unpack(call.error), notes=notes) if call.error else None
    given = plain(unpack(call.facts), notes=set()) if call.facts else None
    facts = facts_of(call.definition, arguments, output, given)
    kind = call.definition["kind"]
    input_data, input_text = _input_data(kind, facts, arguments)
    output_data, output_text = _output_data(kind, output)
    entry = _head(call, kind, facts)
    entry["x"] = _own_fields(kind, facts, call.definition, hasher, arguments)
    _set_digest(entry, "i", input_data, input_text, hasher)
    _set_digest(entry, "o", output_data, output_text, hasher)
    if error is not None:
        entry["err"] = error
    if call.arguments:
        entry["in"] = _bounded(arguments, max(len(call.arguments), len(input_data)), "in_n", entry, notes)
    if call.output:
        entry["out"] = _bounded(output, len(output_data), "out_n", entry, notes)
    if notes:
        entry["fl"] = sorted(notes)
    return entry if capture == "full" else _reduced(entry, capture)


def _head(call: RawCall, kind: str, facts: Facts) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "i": call.sequence,
        "k": kind,
        "nm": call.definition["name"],
        "src": call.definition["source"],
        "t": call.time_ns,
        "d": call.duration_ns,
    }
    if call.parent is not None:
        entry["p"] = call.parent
    if call.generation is not None:
        entry["g"] = call.generation
    if facts.ids:
        entry["f"] = list(facts.ids)
    return entry


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _storable(text: str) -> str:
    """Return *text* as CBOR can hold it: lone surrogates become U+FFFD (arguments keep them)."""
    return _utf8(text).decode("utf-8", "replace")


def _bare(value: Any) -> bytes | None:
    """Return the bytes of a value that is text or bytes, else None."""
    content = bare_content(value)
    return _utf8(content) if isinstance(content, str) else content


def _input_data(kind: str, facts: Facts, arguments: Any) -> tuple[bytes, bytes]:
    """Return what is hashed and what is previewed of an input."""
    data = None
    if kind in ("find", "ask"):
        data = _utf8(facts.query)
    elif kind in ("put", "update"):
        data = _bare(facts.content)
    if data is not None:
        return data, data
    return (cbor2.dumps(arguments), _readable(arguments)) if arguments else (b"", b"")


def _output_data(kind: str, output: Any) -> tuple[bytes, bytes]:
    """Return what is hashed and what is previewed of an output."""
    if output is None:
        return b"", b""
    data = _bare(output)
    if data is not None:
        return data, data
    stored = cbor2.dumps(output)
    fields = view(output)
    if kind == "ask" and isinstance(fields, Mapping):
        for name in ("text", "answer"):
            if (text := _bare(fields.get(name))) is not None:
                return stored, text
    if len(stored) <= _SMALL_BYTES and _TYPED not in stored:
        # Most results: the whole of it is encoded faster than a part is chosen.
        return stored, _as_json(output)
    return stored, _readable(output)


def _readable(value: Any) -> bytes:
    """Return the beginning of a structured value as compact JSON, for people."""
    return _as_json(_shortened(value, [MAX_PREVIEW]))


def _as_json(value: Any) -> bytes:
    return _utf8(_JSON.encode(value)[: 2 * MAX_PREVIEW])


def _shortened(value: Any, room: list[int]) -> Any:
    """Return as much of *value* as *room* characters hold; a preview needs no more."""
    kind = type(value)
    if kind is str:
        room[0] -= len(value) + 2
        return value[:MAX_PREVIEW]
    if kind is list:
        return [_shortened(item, room) for item in value[:64] if room[0] > 0]
    if kind is dict and "~t" in value:
        return _shortened_typed(value, room)
    if kind is dict:
        return _shortened_map(value, room)
    room[0] -= 8
    return value


def _shortened_typed(value: dict[str, Any], room: list[int]) -> Any:
    inside = view(value)
    return "..." if inside is value else _shortened(inside, room)


def _shortened_map(value: dict[Any, Any], room: list[int]) -> dict[str, Any]:
    shown = {}
    for key, item in itertools.islice(value.items(), 64):
        if room[0] <= 0:
            break
        room[0] -= len(str(key)) + 4
        shown[str(key)] = _shortened(item, room)
    return shown


def _placeholder(value: Any) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else "<value>"


_JSON = json.JSONEncoder(ensure_ascii=False, default=_placeholder)
_SMALL_BYTES = 4096
_TYPED = cbor2.dumps("~t")


def _set_digest(entry: dict[str, Any], side: str, data: bytes, shown: bytes, hasher: Hasher) -> None:
    if not data:
        return
    entry[f"{side}h"] = hasher(data)
    preview = preview_of(shown)
    if preview:
        entry[f"{side}p"] = preview


def _own_fields(
    kind: str, facts: Facts, definition: Mapping[str, Any], hasher: Hasher, arguments: Any
) -> dict[str, Any]:
    """Return the fields of the action's own type, as the model names them."""
    if kind == "find":
        shown: dict[str, Any] = {
            "query": _query(facts),
            "mode": _storable(facts.mode),
            "result_count": facts.count,
        }
        return shown if facts.k is None else {**shown, "k": facts.k}
    if kind == "ask":
        return {
            "query": _query(facts),
            "provider": _storable(facts.provider),
            "model": _storable(facts.model),
        }
    if kind == "put_many":
        return {"frame_ids": list(facts.ids), "count": facts.count}
    if kind == "tool":
        return {
            "tool": definition["name"],
            "args_hash": hasher(cbor2.dumps(arguments)) if arguments else ZERO_HASH,
        }
    return {"frame_id": facts.ids[0] if facts.ids else None}


def _query(facts: Facts) -> str:
    query = facts.query if len(facts.query) <= MAX_BODY_BYTES else facts.query[:_KEPT_HEAD_BYTES]
    return _storable(query)


def _bounded(value: Any, size: int, length_key: str, entry: dict[str, Any], notes: set[str]) -> Any:
    """Return *value*, or its head if it is over the limit: its length and a flag then say so."""
    if size <= MAX_BODY_BYTES + _PACKING_BYTES and not _holds_too_much(value):
        return value
    notes.update(("cut", "unreplayable"))
    entry[length_key] = size
    if isinstance(value, Mapping) and "~t" not in value:
        return {key: _cut(item, MAX_BODY_BYTES // max(1, len(value))) for key, item in value.items()}
    return _cut(value, MAX_BODY_BYTES)


def _holds_too_much(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else (value,)
    return any(isinstance(part, (str, bytes)) and len(_bare(part) or b"") > MAX_BODY_BYTES for part in parts)


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, (str, bytes)):
        return value if len(value) <= limit // 4 else value[:_KEPT_HEAD_BYTES]
    if isinstance(value, (list, Mapping)) and len(cbor2.dumps(value)) > limit:
        return {"~t": "deep", "~v": ["cut"]}
    return value


def _reduced(entry: dict[str, Any], capture: Capture) -> dict[str, Any]:
    for key in ("in", "out"):
        if entry.pop(key, None) is not None:
            entry["fl"] = sorted({*entry.get("fl", ()), "unreplayable"})
    fields = entry["x"]
    if "query" in fields:
        fields["query"] = preview_of(_utf8(fields["query"])) if capture == "preview" else ""
    if capture == "hash":
        entry.pop("ip", None)
        entry.pop("op", None)
    if "err" in entry:
        name, message = (*entry["err"]["~v"], "", "")[:2]
        shown = preview_of(_bare(message) or b"") if capture == "preview" else ""
        entry["err"] = {"~t": "error", "~v": [name, shown, []]}
    return entry
