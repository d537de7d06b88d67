"""
From a raw call to the entry that is stored: facts, hashes, previews, frames, limits.

Runs where nobody waits for it (the background, a recovery), but for
``capture="preview"`` and ``"hash"``, whose bodies must never be written at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import cbor2

from replaykit.digests import Shown, bare, content_hash, input_data, output_data, preview_of, stored_content, utf8
from replaykit.facts import Facts, facts_of
from replaykit.format.values import plain_of
from replaykit.model import MAX_BODY_BYTES, ZERO_HASH

__all__ = ["Capture", "RawCall", "entry_of"]

Capture = Literal["full", "preview", "hash"]

_KEPT_HEAD_BYTES = 64 * 1024
"""How much of a body over the limit is kept."""

_SHORT_BYTES = 8 * 1024
"""Of what is no longer than this the hash is made when it is asked for."""

_PACKING_BYTES = 4096
"""What names and lengths may add to a content of just the limit."""

Hasher = Callable[[bytes], bytes]


# A tuple, since each recorded call makes one.
class RawCall(NamedTuple):
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


def entry_of(
    call: RawCall, *, capture: Capture = "full", hasher: Hasher = content_hash, limit: int = MAX_BODY_BYTES
) -> dict[str, Any]:
    """
    Return the stored entry of *call*; bodies above *limit* bytes are cut.

    Hashes and previews that follow from the rest are left out (see
    `digests.completed`).  With ``capture="preview"`` bodies are left out, with
    ``"hash"`` also previews, queries and error messages.
    """
    # Taken apart once: to ask a tuple by name costs more than the rest of such a line.
    _, definition, _, _, _, _, packed_input, packed_output, packed_error, packed_facts, flags = call
    notes = set(flags)
    arguments = plain_of(packed_input, notes=notes) if packed_input else {}
    output = plain_of(packed_output, notes=notes) if packed_output else None
    error = plain_of(packed_error, notes=notes) if packed_error else None
    given = plain_of(packed_facts, notes=set()) if packed_facts else None
    facts = facts_of(definition, arguments, output, given)
    kind = definition["kind"]
    entry = _head(call, facts)
    entry["x"] = _own_fields(kind, facts, definition, limit)
    # What may be cut although it is short must not be what a hash follows from.
    says_all = capture == "full" and hasher is content_hash and limit >= MAX_BODY_BYTES
    previews = capture != "hash"
    input_size, output_size = len(packed_input), 0
    if not (says_all and input_size <= _SHORT_BYTES and _says_input(kind, facts, entry["x"], arguments)):
        data, shown = input_data(kind, facts.query, facts.content, arguments)
        input_size = max(input_size, len(data))
        _set_digest(entry, "i", data, shown if previews else None, hasher)
        if kind == "tool":
            # Of a tool just that is hashed.
            entry["x"]["args_hash"] = entry["ih"]
    if not (says_all and len(packed_output) <= _SHORT_BYTES):
        data, shown = output_data(kind, output)
        output_size = len(data)
        _set_digest(entry, "o", data, shown if previews else None, hasher)
    if error is not None:
        entry["err"] = error if len(packed_error) <= limit else _reduced_error(error, "preview")
        notes |= set() if len(packed_error) <= limit else {"cut"}
    if packed_input:
        entry["in"] = _bounded(arguments, len(packed_input), input_size, "in_n", entry, notes, limit)
    if packed_output:
        entry["out"] = _bounded(output, len(packed_output), output_size, "out_n", entry, notes, limit)
    if notes:
        entry["fl"] = sorted(notes)
    return entry if capture == "full" else _reduced(entry, capture)


def _head(call: RawCall, facts: Facts) -> dict[str, Any]:
    sequence, definition, time_ns, duration_ns, parent, generation, *_ = call
    entry: dict[str, Any] = {
        "i": sequence,
        "k": definition["kind"],
        "nm": definition["name"],
        "src": definition["source"],
        "t": time_ns,
        "d": duration_ns,
    }
    if parent is not None:
        entry["p"] = parent
    if generation is not None:
        entry["g"] = generation
    if ids := facts.ids:
        entry["f"] = list(ids)
    return entry


def _says_input(kind: str, facts: Facts, fields: Mapping[str, Any], arguments: Any) -> bool:
    """Return whether hash and preview of a short input follow from what is stored anyway."""
    if kind in ("find", "ask"):
        return bool(fields["query"] == facts.query)
    return kind not in ("put", "update") or bare(stored_content(arguments)) == bare(facts.content)


def _set_digest(entry: dict[str, Any], side: str, data: bytes, shown: Shown | None, hasher: Hasher) -> None:
    # Also of no data: an entry without a hash says that it follows from what is stored.
    entry[f"{side}h"] = hasher(data) if data else ZERO_HASH
    if shown is not None:
        entry[f"{side}p"] = preview_of(shown()) if data else ""


def _own_fields(kind: str, facts: Facts, definition: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return the fields of the action's own type, as the model names them."""
    if kind == "find":
        shown: dict[str, Any] = {
            "query": _query(facts.query, limit),
            "mode": _storable(facts.mode),
            "result_count": facts.total,
        }
        if facts.k is not None:
            shown["k"] = facts.k
        return shown
    if kind == "ask":
        return {
            "query": _query(facts.query, limit),
            "provider": _storable(facts.provider),
            "model": _storable(facts.model),
        }
    if kind == "put_many":
        return {"frame_ids": list(facts.ids), "count": facts.total}
    if kind == "tool":
        return {"tool": definition["name"]}
    return {"frame_id": facts.ids[0] if facts.ids else None}


def _storable(text: str) -> str:
    """Return *text* as CBOR can hold it: lone surrogates become U+FFFD (arguments keep them)."""
    return text if text.isascii() else utf8(text).decode("utf-8", "replace")


def _query(query: str, limit: int) -> str:
    return _storable(query if len(query) <= limit else query[: min(_KEPT_HEAD_BYTES, limit // 4)])


def _bounded(
    value: Any, packed_bytes: int, size: int, length_key: str, entry: dict[str, Any], notes: set[str], limit: int
) -> Any:
    """Return *value*, or its head if it is over the limit: its length and a flag then say so."""
    packing = _PACKING_BYTES if limit >= MAX_BODY_BYTES else 0
    # No text is longer than what it was packed with.
    if size <= limit + packing and (packed_bytes <= limit or not _holds_too_much(value, limit)):
        return value
    notes.update(("cut", "unreplayable"))
    entry[length_key] = size
    if isinstance(value, dict) and "~t" not in value:
        return {key: _cut(item, limit // max(1, len(value))) for key, item in value.items()}
    # Of a list of results that is what its hash was made of.
    return _cut(value, limit, size if length_key == "out_n" and type(value) is list else None)


def _holds_too_much(value: Any, limit: int) -> bool:
    parts = value.values() if isinstance(value, dict) else (value,)
    return any(isinstance(part, (str, bytes)) and len(bare(part) or b"") > limit for part in parts)


def _cut(value: Any, limit: int, stored_bytes: int | None = None) -> Any:
    if isinstance(value, (str, bytes)):
        return value if len(value) <= limit // 4 else value[: min(_KEPT_HEAD_BYTES, limit // 4)]
    if isinstance(value, (list, dict)) and (stored_bytes or len(cbor2.dumps(value))) > limit:
        return {"~t": "deep", "~v": ["cut"]}
    return value


def _reduced(entry: dict[str, Any], capture: Capture) -> dict[str, Any]:
    for key in ("in", "out"):
        if entry.pop(key, None) is not None:
            entry["fl"] = sorted({*entry.get("fl", ()), "unreplayable"})
    fields = entry["x"]
    if "query" in fields:
        fields["query"] = preview_of(utf8(fields["query"])) if capture == "preview" else ""
    if "err" in entry:
        entry["err"] = _reduced_error(entry["err"], capture)
    return entry


def _reduced_error(error: Any, capture: Capture) -> dict[str, Any]:
    name, message = "unknown", error
    if isinstance(error, dict) and "~v" in error:
        name, message = (*error["~v"], "", "")[:2]
    # What was recorded by hand as an error may be a text, or anything else.
    shown = preview_of(bare(message) or b"") if capture == "preview" else ""
    return {"~t": "error", "~v": [name, shown, []]}
