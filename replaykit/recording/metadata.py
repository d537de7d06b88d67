"""Session names and metadata on their way into a recording: redacted, plain, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cbor2

from replaykit.errors import UsageError
from replaykit.format.names import safe_name
from replaykit.format.values import pack, plain, unpack
from replaykit.model import ACCOUNT

if TYPE_CHECKING:
    from replaykit.recording.session import ActiveSession

__all__ = ["MAX_METADATA_BYTES", "clean_metadata", "clean_name", "with_account"]

MAX_METADATA_BYTES = 64 * 1024


def clean_metadata(metadata: Mapping[str, Any], redactor: Any) -> dict[str, Any]:
    """
    Return *metadata* redacted and as plain stored values.

    Raises:
        UsageError: A key is no text or the recorder's own, or it is larger than 64 KiB.
        RedactionError: A redactor failed.
    """
    if not isinstance(metadata, Mapping) or not all(type(key) is str for key in metadata):
        raise UsageError("metadata is a dict with text keys")
    if ACCOUNT in metadata:
        raise UsageError(f"metadata: {ACCOUNT!r} is where the recorder says what it left out; take another key")
    cleaned = plain(unpack(redactor.clean_packed(pack(dict(metadata)))), notes=set())
    if not isinstance(cleaned, dict) or "~t" in cleaned:
        raise UsageError("metadata is a dict with text keys")
    if len(cbor2.dumps(cleaned)) > MAX_METADATA_BYTES:
        raise UsageError(f"metadata takes at most {MAX_METADATA_BYTES} bytes: keep large values in the recorded calls")
    return cleaned


def clean_name(name: str | None, redactor: Any) -> str | None:
    """
    Return a session's name redacted and safe to show; any text gives a name, and none needs to be unique.

    Hidden characters are replaced and what is longer than 255 bytes is cut:
    a name is what people read, the id is what tells sessions apart.

    Raises:
        UsageError: It is no text.
    """
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageError(f"a session's name is a text, not {type(name).__name__}")
    return safe_name(str(redactor.clean_text(name)))


def with_account(metadata: Mapping[str, Any], session: ActiveSession) -> dict[str, Any]:
    """Return *metadata* and, under a key of its own, what *session* left out and hid; nothing where that is nothing."""
    counts: dict[str, Any] = {
        "kept": "" if session.keeping is None else session.keeping.reason,
        "dropped": session.dropped,
        "excluded": session.excluded,
        "redacted": dict(session.redactor.fired),
    }
    account = {**metadata.get(ACCOUNT, {}), **{name: value for name, value in counts.items() if value}}
    return {**metadata, ACCOUNT: account} if account else dict(metadata)
