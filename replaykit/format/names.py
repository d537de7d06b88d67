"""Names of sessions as they are stored: composed, with nothing hidden in them, of bounded length."""

from __future__ import annotations

import unicodedata

__all__ = ["MAX_NAME_BYTES", "safe_name"]

MAX_NAME_BYTES = 255
"""How long a stored name is at most, in UTF-8."""

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_CUT = "…"
_HIDDEN = {"Cc", "Cf"}
"""Control and format characters: escape sequences, bidi, zero width."""

_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
"""Hidden as well, but emoji and several scripts are spelled with them."""


def safe_name(text: str) -> str:
    """
    Return *text* as a session's name: NFC, hidden characters replaced, at most 255 bytes of UTF-8.

    Total, and a name that is safe already comes back as it is.  White space
    of any kind becomes a space.
    """
    if text.isascii() and text.isprintable() and len(text) <= MAX_NAME_BYTES:
        return text
    # Lone surrogates have no place in CBOR text.
    stored = text.encode("utf-8", "replace").decode("utf-8")
    return _bounded(unicodedata.normalize("NFC", "".join(map(_shown, stored))))


def _shown(char: str) -> str:
    if char.isspace():
        return " "
    hidden = unicodedata.category(char) in _HIDDEN and char not in _JOINERS
    return _REPLACED if hidden else char


def _bounded(name: str) -> str:
    encoded = name.encode()
    if len(encoded) <= MAX_NAME_BYTES:
        return name
    return encoded[: MAX_NAME_BYTES - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
