"""
What is hashed and what is previewed of a call.

Both follow from what is stored, so an entry carries them only where they do
not: where bodies are cut or left out, where they are large, and where the
content stands somewhere unusual.  `completed` adds what an entry leaves out.
"""

from __future__ import annotations

import functools
import itertools
import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import blake3
import cbor2

from replaykit.errors import DamagedError
from replaykit.facts import bare_content, view
from replaykit.model import MAX_PREVIEW, ZERO_HASH

__all__ = [
    "Shown",
    "bare",
    "completed",
    "content_hash",
    "input_data",
    "output_data",
    "preview_of",
    "stored_content",
    "utf8",
]


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


def utf8(text: str) -> bytes:
    """Return *text* as UTF-8, lone surrogates as they are."""
    return text.encode("utf-8", "surrogatepass")


def bare(value: Any) -> bytes | None:
    """Return the bytes of a stored value that is text or bytes, else None."""
    content = bare_content(value)
    return utf8(content) if isinstance(content, str) else content


# -- of a call ----------------------------------------------------------------

Shown = Callable[[], bytes]
"""Makes what is previewed: of many calls it is not kept."""


def input_data(kind: str, query: str, content: Any, arguments: Any) -> tuple[bytes, Shown]:
    """Return what is hashed and what is previewed of an input."""
    data = None
    if kind in ("find", "ask"):
        data = utf8(query)
    elif kind in ("put", "update"):
        data = bare(content)
    if data is not None:
        return data, functools.partial(bytes, data)
    return (cbor2.dumps(arguments), functools.partial(_readable, arguments)) if arguments else (b"", bytes)


def output_data(kind: str, output: Any) -> tuple[bytes, Shown]:
    """Return what is hashed and what is previewed of an output."""
    if output is None:
        return b"", bytes
    data = bare(output)
    if data is not None:
        return data, functools.partial(bytes, data)
    stored = cbor2.dumps(output)
    return stored, functools.partial(_shown_output, kind, output, stored)


def _shown_output(kind: str, output: Any, stored: bytes) -> bytes:
    fields = view(output)
    if kind == "ask" and isinstance(fields, dict):
        for name in ("text", "answer"):
            if (text := bare(fields.get(name))) is not None:
                return text
    if len(stored) <= _SMALL_BYTES and _TYPED not in stored:
        # Most results: the whole of it is encoded faster than a part is chosen.
        return _as_json(output)
    return _readable(output)


# -- of a stored entry ----------------------------------------------------------


def _stored_input_data(kind: str, fields: Mapping[str, Any], arguments: Any) -> tuple[bytes, Shown]:
    """
    Return `input_data` as it follows from an entry.

    The query is that of the action's own *fields*; the content is the first
    argument that is text or bytes.
    """
    return input_data(kind, fields.get("query", ""), stored_content(arguments), arguments)


def stored_content(arguments: Any) -> Any:
    """Return the first of stored *arguments* that is text or bytes, None without one."""
    values = arguments.values() if isinstance(arguments, dict) else ()
    return next((value for value in values if bare_content(value) is not None), None)


def completed(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return *entry* with the hashes and previews that it leaves out.

    Raises:
        DamagedError: It is not as the format says.
    """
    try:
        return {**entry, **_left_out(entry)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DamagedError("", 0, f"an action entry is not as the format says: {error!r}") from error


def _left_out(entry: Mapping[str, Any]) -> dict[str, Any]:
    kind, fields, arguments = entry["k"], entry.get("x", {}), entry.get("in", {})
    found: dict[str, Any] = {}
    if "ih" not in entry:
        data, shown = _stored_input_data(kind, fields, arguments)
        found["ih"], found["ip"] = content_hash(data), preview_of(shown())
    if "oh" not in entry:
        data, shown = output_data(kind, entry.get("out"))
        found["oh"], found["op"] = content_hash(data), preview_of(shown())
    if kind == "tool" and "args_hash" not in fields and arguments:
        found["x"] = {**fields, "args_hash": content_hash(cbor2.dumps(arguments))}
    return found


# -- for people -----------------------------------------------------------------


def _readable(value: Any) -> bytes:
    """Return the beginning of a structured value as compact JSON, for people."""
    return _as_json(_shortened(value, [MAX_PREVIEW]))


def _as_json(value: Any) -> bytes:
    return utf8(_JSON.encode(value)[: 2 * MAX_PREVIEW])


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


# Stored values hold no circles, and to look for them takes a third of the time.
_JSON = json.JSONEncoder(ensure_ascii=False, default=_placeholder, check_circular=False)
_SMALL_BYTES = 4096
_TYPED = cbor2.dumps("~t")
