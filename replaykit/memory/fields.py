"""What a user may put into a frame: checked, in stored form and hashed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from blake3 import blake3

from replaykit.errors import UsageError
from replaykit.memory import demands
from replaykit.memory.script import spaced

__all__ = [
    "MAX_METADATA_DEPTH",
    "PLAIN_OF",
    "Fields",
    "checked",
    "decoded_metadata",
    "encode_metadata",
    "is_text_or_none",
    "restored",
    "stored",
]

MAX_METADATA_DEPTH = 64
"""How many levels of lists and maps metadata may have."""

# Hashing one short text is several times cheaper than hashing its parts one
# by one; a long one must not be copied.
_JOINED_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class Fields:
    """All that a user sees of one frame, but for its id; ``metadata`` is JSON text with ordered keys."""

    content: str | bytes
    title: str | None = None
    uri: str | None = None
    metadata: str = "{}"

    @property
    def text(self) -> str:
        """The searchable content: empty for bytes."""
        return self.content if isinstance(self.content, str) else ""

    def fields_hash(self) -> bytes:
        """Return 32 bytes that differ wherever any field differs, a text from equal bytes too."""
        kind = "text" if isinstance(self.content, str) else "bytes"
        return _hash_of(kind, self.content, self.title, self.uri, self.metadata)

    def index_hash(self) -> bytes:
        """Return 32 bytes that differ wherever a search could tell."""
        return _hash_of("index", self.text, self.title)

    def indexed(self) -> tuple[str, str]:
        """Return title and text as the full-text index takes them."""
        return spaced(self.title or ""), spaced(self.text)

    def metadata_map(self) -> dict[str, Any]:
        """Return the metadata as a new dict; DamagedError where what was stored is none."""
        return {} if self.metadata == "{}" else decoded_metadata(self.metadata)


def checked(content: object, *, title: object = None, uri: object = None, metadata: object = None) -> Fields:
    """
    Return the fields of a frame; later changes to the arguments do not matter.

    Raises:
        UsageError: A value has the wrong type or cannot be stored.
    """
    return Fields(
        content=_checked_content(content),
        title=is_text_or_none("title", title),
        uri=is_text_or_none("uri", uri),
        metadata=encode_metadata(metadata),
    )


def _checked_content(content: object) -> str | bytes:
    if isinstance(content, str):
        return str.__str__(content)
    if isinstance(content, bytes):
        return bytes(content)
    raise UsageError(f"content must be str or bytes, not {type(content).__name__}")


def is_text_or_none(name: str, value: object) -> str | None:
    """
    Return *value* as a plain text, or None for None.

    Raises:
        UsageError: It is neither.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return str.__str__(value)
    raise UsageError(f"{name} must be str or None, not {type(value).__name__}")


# -- metadata -------------------------------------------------------------------


# An enum member or another subclass is kept as its plain value, which its own
# __str__ may hide.
PLAIN_OF: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)


def encode_metadata(metadata: object) -> str:
    """
    Return *metadata* as JSON with ordered keys; None counts as empty.

    Tuples are kept as lists.

    Raises:
        UsageError: It is no mapping, or something in it is not JSON-like:
            the message says where.
    """
    if metadata is None:
        return "{}"
    if not isinstance(metadata, Mapping):
        raise UsageError(f"metadata must be a dict, not {type(metadata).__name__}")
    plain = _plain(metadata, "metadata", MAX_METADATA_DEPTH)
    try:
        # Escaped to ASCII, JSON carries lone surrogates too.
        text = json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))
        if json.loads(text) == plain:
            return text
    except ValueError as error:
        raise UsageError(f"metadata cannot be stored: {error}") from error
    raise UsageError("metadata cannot be stored: a text in it has surrogate pairs that are not joined")


def decoded_metadata(text: str) -> dict[str, Any]:
    """Return stored metadata as a new dict, else raise DamagedError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise demands.damage("the metadata of a frame is no JSON") from error
    if type(found) is not dict:
        raise demands.damage("the metadata of a frame is no map")
    return found


def _plain(value: object, where: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for kind, exact in PLAIN_OF:
        if isinstance(value, kind):
            return exact(value)
    if not depth:
        raise UsageError(f"{where} is nested deeper than {MAX_METADATA_DEPTH} levels")
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}[{key!r}]", depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{at}]", depth - 1) for at, item in enumerate(value)]
    raise UsageError(f"{where} has a {type(value).__name__}; metadata takes what JSON has")


def _key(key: object, where: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise UsageError(f"{where} has the key {key!r}; metadata keys are texts")


# -- stored forms ---------------------------------------------------------------


def stored(text: str) -> str | bytes:
    """Return the stored form of a text: itself, or bytes where it is no valid Unicode."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def restored(value: str | bytes) -> str:
    """Return the text whose stored form is *value*; DamagedError where it is that of none."""
    form = demands.text_or_blob(value, "a text of a frame")
    try:
        return form if isinstance(form, str) else form.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise demands.damage("a text of a frame is no Unicode") from error


def _hash_of(*parts: str | bytes | None) -> bytes:
    chunks = _framed(parts)
    if len(max(chunks, key=len)) <= _JOINED_BYTES:
        return blake3(b"".join(chunks)).digest()
    hasher = blake3()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.digest()


def _framed(parts: tuple[str | bytes | None, ...]) -> list[bytes]:
    # Lengths go before the values, so that no two rows of values run into
    # the same bytes.
    chunks = []
    for part in parts:
        if part is None:
            chunks.append(b"-")
            continue
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        chunks += (b"+", len(data).to_bytes(8, "little"), data)
    return chunks
