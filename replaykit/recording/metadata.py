"""Session names and metadata on their way into a recording: redacted, plain, bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cbor2

from replaykit.errors import RedactionError, UsageError
from replaykit.format.names import safe_name
from replaykit.format.values import pack, plain, unpack
from replaykit.model import ACCOUNT
from replaykit.redactors import Redactor

if TYPE_CHECKING:
    from replaykit.recording.session import ActiveSession

__all__ = ["MAX_METADATA_BYTES", "clean_metadata", "clean_name", "metadata_of_user", "with_account"]

MAX_METADATA_BYTES = 64 * 1024
_OWN = "replaykit."


def clean_metadata(metadata: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """
    Return *metadata* redacted and as plain stored values; ``[redacted:error]`` for one whose redactor failed.

    Raises:
        UsageError: A key is no text, or it is larger than 64 KiB.
    """
    if not isinstance(metadata, Mapping) or not all(type(key) is str for key in metadata):
        raise UsageError("metadata is a dict with text keys")
    cleaned = plain(unpack(_redacted(dict(metadata), redactor)), notes=set())
    if not isinstance(cleaned, dict) or "~t" in cleaned:
        raise UsageError("metadata is a dict with text keys")
    if len(cbor2.dumps(cleaned)) > MAX_METADATA_BYTES:
        raise UsageError(f"metadata takes at most {MAX_METADATA_BYTES} bytes: keep large values in the recorded calls")
    return cleaned


def metadata_of_user(metadata: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """
    Return `clean_metadata` of what a user gives.

    Raises:
        UsageError: As there, and for a key that only the recorder may use.
    """
    if type(metadata) is dict and not metadata:
        # Most sessions have none, and they are short.
        return {}
    cleaned = clean_metadata(metadata, redactor)
    own = [key for key in cleaned if key.startswith(_OWN)]
    if own:
        raise UsageError(f"metadata: {own[0][:60]!r} begins with {_OWN!r}, as only the recorder's own keys do")
    return cleaned


def _redacted(metadata: dict[str, Any], redactor: Redactor) -> bytes:
    try:
        return redactor.clean_packed(pack(metadata))
    except RedactionError:
        # Only what cannot be redacted goes: the other values say which run this was.
        return pack({key: _value_of(key, value, redactor) for key, value in metadata.items()})


def _value_of(key: str, value: Any, redactor: Redactor) -> Any:
    try:
        return unpack(redactor.clean_packed(pack({key: value}))).get(key)
    except RedactionError:
        return redactor.failed()


def clean_name(name: str | None, redactor: Redactor) -> str | None:
    """
    Return a session's name redacted and safe to show; any text gives a name, and none needs to be unique.

    Hidden characters are replaced and what is longer than 255 bytes is cut:
    a name is what people read, the id is what tells sessions apart.  One whose
    redactor failed is dropped.

    Raises:
        UsageError: It is no text.
    """
    if name is None:
        return None
    if not isinstance(name, str):
        raise UsageError(f"a session's name is a text, not {type(name).__name__}")
    try:
        return safe_name(redactor.clean_text(name))
    except RedactionError:
        return redactor.failed()


def with_account(metadata: Mapping[str, Any], session: ActiveSession) -> dict[str, Any]:
    """Return *metadata* and, under a key of its own, what *session* left out and hid; nothing where that is nothing."""
    counts: dict[str, Any] = {
        "kept": "" if session.keeping is None else session.keeping.reason,
        "dropped": session.dropped,
        "excluded": session.excluded,
        "redacted": dict(session.redactor.fired),
        "own_sessions": session.own_sessions,
    }
    account = {**metadata.get(ACCOUNT, {}), **{name: value for name, value in counts.items() if value}}
    return {**metadata, ACCOUNT: account} if account else dict(metadata)
