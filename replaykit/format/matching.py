"""What play looks a call up by: one short key of kind, name and stored arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Set
from typing import Any

import cbor2

from replaykit.errors import DamagedError
from replaykit.format.values import pack, plain_of

__all__ = ["essential", "match_key", "stored_form", "without"]

_LONG_BYTES = 48
# What no packed value begins with.
_DIGEST = b"\xc1"
# The bits of a float that is no number are not the same everywhere; in CBOR
# there is one such float.
_NO_NUMBER = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def stored_form(value: Any, clean: Callable[[bytes], bytes] = bytes) -> Any:
    """Return *value* as the plain value that a recording has of it; *clean* redacts its packed form."""
    packed = clean(pack(value))
    found = plain_of(packed, notes=set())
    return cbor2.loads(cbor2.dumps(found)) if _NO_NUMBER.search(packed) else found


def match_key(kind: str, name: str, arguments: Any) -> bytes:
    """
    Return a few bytes that agree for two calls just if kind, name and stored arguments do.

    The order of a map's keys does not count; 1, 1.0 and True differ.  What
    objects hold beside their fields does not count (see `essential`).

    Raises:
        DamagedError: The arguments are nothing that is ever stored.
    """
    pack_sorted = _packer or _load_packer()
    try:
        packed = pack_sorted([kind, name, arguments])
        if _STRUCT in packed or _ERROR in packed:
            packed = pack_sorted([kind, name, essential(arguments)])
    except (TypeError, ValueError) as error:
        raise DamagedError("", 0, f"the arguments of an action are not as the format says: {error}") from error
    return packed if len(packed) <= _LONG_BYTES else _DIGEST + hashlib.blake2b(packed, digest_size=16).digest()


_packer: Callable[[Any], bytes] | None = None


def _load_packer() -> Callable[[Any], bytes]:
    global _packer  # noqa: PLW0603 - loaded on first use, so that importing replaykit stays cheap
    import ormsgpack

    packb, option = ormsgpack.packb, ormsgpack.OPT_SORT_KEYS
    _packer = lambda value: packb(value, None, option)  # noqa: E731 - one call less for each action
    return _packer


_STRUCT, _ERROR = b"\xa2~t\xa6struct", b"\xa2~t\xa5error"
"""How the marks of an object with fields and of an exception are packed."""

_COUNTING = {"struct": 2, "error": 3}
"""How much of the content of a typed value tells it from others, where that is not all."""


def essential(value: Any) -> Any:
    """
    Return a stored value without what objects hold beside their fields, and exceptions beside their arguments.

    That are caches and the like, which equal objects need not share, and
    which older recordings do not have.
    """
    if isinstance(value, list):
        return [essential(item) for item in value]
    if not isinstance(value, dict):
        return value
    name, content = value.get("~t"), value.get("~v")
    if isinstance(name, str) and name in _COUNTING and isinstance(content, list):
        return {**value, "~v": [essential(item) for item in content[: _COUNTING[name]]]}
    return {key: essential(item) for key, item in value.items()}


def without(arguments: Any, names: Set[str]) -> Any:
    """Return stored arguments without those of these *names*."""
    if not names or not isinstance(arguments, dict):
        return arguments
    if "~t" not in arguments:
        return {name: value for name, value in arguments.items() if name not in names}
    # One of them is named like the mark of typed values: all stand as pairs.
    pairs = arguments.get("~v")
    kept = [pair for pair in pairs if pair[:1] not in [[name] for name in names]] if isinstance(pairs, list) else pairs
    return {**arguments, "~v": kept}
