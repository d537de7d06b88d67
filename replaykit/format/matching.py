"""What play looks a call up by: one short key of kind, name and stored arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Set
from typing import Any

import cbor2

from replaykit.errors import DamagedError

__all__ = ["match_key", "without"]

_KEY_BYTES = 16
# The bits of a float that is no number are not the same everywhere; in CBOR
# there is one such float.
_NO_NUMBER = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def match_key(kind: str, name: str, arguments: Any) -> bytes:
    """
    Return 16 bytes that agree for two calls just if kind, name and stored arguments do.

    The order of a map's keys does not count; 1, 1.0 and True differ.

    Raises:
        DamagedError: The arguments are nothing that is ever stored.
    """
    import ormsgpack

    call = [kind, name, arguments]
    try:
        packed = ormsgpack.packb(call, option=ormsgpack.OPT_SORT_KEYS)
        if _NO_NUMBER.search(packed):
            packed = ormsgpack.packb(cbor2.loads(cbor2.dumps(call)), option=ormsgpack.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        raise DamagedError("", 0, f"the arguments of an action are not as the format says: {error}") from error
    return hashlib.blake2b(packed, digest_size=_KEY_BYTES).digest()


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
