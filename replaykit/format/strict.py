"""
Bodies of blocks: plain maps to CBOR and back, by the strict profile.

Only null, booleans, 64-bit integers, floats, bytes, text, lists and maps with
text keys exist here.  Tags, indefinite lengths, repeated keys, simple values
and bytes after the end are refused, so decoding can neither run code nor use
more memory than a fixed multiple of its input.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import cbor2

from replaykit.errors import DamagedError, UsageError

__all__ = [
    "MOST_CONTAINERS",
    "are_few_enough",
    "is_small_enough",
    "LOWEST_INTEGER",
    "MAX_DEPTH",
    "decode_body",
    "decode_map",
    "decode_maps",
    "decode_together",
    "decode_value",
    "demand_plain",
    "encode_body",
    "encode_plain",
    "encode_value",
]

MAX_DEPTH = 70
"""How many containers may stand inside one another."""

LOWEST_INTEGER = -(2**63)
"""The least of 64-bit integers."""

MOST_CONTAINERS = 1 << 19
"""How many lists and maps one body holds at most."""

_MOST_ITEMS = 12 << 20
_CONTAINER_HEADS = bytes(range(0x80, 0xC0))
_STRINGS, _LISTS_AND_MAPS = (2, 3), (4, 5)
_LEAVES = frozenset({type(None), bool, int, float, bytes, str})
_CONTAINERS = frozenset({list, dict})
_ENCODABLE = _CONTAINERS | {tuple}
_TEXT_ONLY = frozenset({str})
_HIGHEST = 2**64 - 1
_TOGETHER = 100
_BUILT_IN_TAGS = (
    *range(6),
    *range(21, 38),
    *(43, 52, 54, 100, 256, 258, 260, 261, 1004, 1006, 43000, 55799, 55800),
)


class _Refused(ValueError):
    """Why a value has no place in a body."""


def _refuse_tag(*_: object) -> NoReturn:
    raise _Refused("a tag")


_DECODERS = dict.fromkeys(_BUILT_IN_TAGS, _refuse_tag)


def decode_body(body: bytes, *, path: str = "", offset: int = 0) -> dict[str, Any]:
    """
    Return the map that *body* holds.

    Raises:
        DamagedError: *body* is not exactly one map of plain values; *path*
            and *offset* only say where.
    """
    value = decode_map(body, path=path, offset=offset)
    demand_plain(value, path=path, offset=offset)
    return value


def decode_value(body: bytes, *, path: str = "", offset: int = 0) -> Any:
    """
    Return the value that *body* holds.

    Raises:
        DamagedError: *body* is not exactly one plain value; *path* and
            *offset* only say where.
    """
    _demand_small_enough(body, path, offset)
    stream = io.BytesIO(body)
    value = _only_item(_decoder(stream, len(body)), stream, len(body), path, offset)
    demand_plain(value, path=path, offset=offset)
    return value


def decode_map(body: bytes, *, path: str = "", offset: int = 0) -> dict[str, Any]:
    """
    Return the map that *body* holds; of its values the caller demands what they are before it uses them.

    Tags, indefinite lengths and repeated keys are refused here.

    Raises:
        DamagedError: *body* is not exactly one map.
    """
    _demand_small_enough(body, path, offset)
    stream = io.BytesIO(body)
    return _only_map(_decoder(stream, len(body)), stream, len(body), path, offset)


def is_small_enough(body: bytes) -> bool:
    """
    Return whether decoding *body* makes no more objects than any reader has to bear.

    A list or map takes many times the byte that it may have as CBOR.
    """
    # Bytes that could begin one are counted first, since that is cheap; what
    # they really are is only asked where there are very many.
    if len(body) <= MOST_CONTAINERS or len(body) - len(body.translate(None, _CONTAINER_HEADS)) <= MOST_CONTAINERS:
        return True
    containers = items = at = 0
    while at < len(body) and containers <= MOST_CONTAINERS and items <= _MOST_ITEMS:
        major, size = body[at] >> 5, 1 << (body[at] & 31) - 24 if body[at] & 31 >= 24 else 0
        length = int.from_bytes(body[at + 1 : at + 1 + size], "big") if size else body[at] & 31
        at += 1 + size + (length if major in _STRINGS else 0)
        containers += major in _LISTS_AND_MAPS
        items += 1
    return containers <= MOST_CONTAINERS and items <= _MOST_ITEMS


def are_few_enough(bodies: Sequence[bytes]) -> bool:
    """Return whether it is plain to see that *bodies* hold no more lists and maps than one body may."""
    # Bytes that could begin one are counted, as above.
    return sum(map(len, bodies)) <= MOST_CONTAINERS or (
        sum(len(body) - len(body.translate(None, _CONTAINER_HEADS)) for body in bodies) <= MOST_CONTAINERS
    )


def decode_maps(bodies: Sequence[bytes], *, mark: bytes, path: str = "", offset: int = 0) -> Iterator[dict[str, Any]]:
    """
    Yield what `decode_map` returns for each of *bodies*: cheaper where there are many small ones.

    *mark* is 8 random bytes, made after the bodies were read.
    """
    for at in range(0, len(bodies), _TOGETHER):
        some = bodies[at : at + _TOGETHER]
        yield from decode_together(some, mark) or [decode_map(body, path=path, offset=offset) for body in some]


def decode_together(bodies: Sequence[bytes], mark: bytes) -> Sequence[dict[str, Any]]:
    """
    Return the maps that *bodies* hold, decoded at once; nothing where they are long or one may not be exactly a map.

    *mark* is as for `decode_maps`.
    """
    if sum(map(len, bodies)) > MOST_CONTAINERS:
        return ()
    # A body that ends early or goes on too long would move those behind it.
    # Marks between them, which no file can know, show that none does.  They
    # stand as deep as the entries of a block do, so that no more is let in.
    data = b"".join((b"\x81\x9a", (2 * len(bodies) - 1).to_bytes(4, "big"), (b"\x48" + mark).join(bodies)))
    stream = io.BytesIO(data)
    try:
        items = _only_item(_decoder(stream, len(data)), stream, len(data), "", 0)[0]
    except DamagedError:
        return ()
    maps = items[::2]
    return maps if set(map(type, maps)) == {dict} and items[1::2] == [mark] * (len(bodies) - 1) else ()


def demand_plain(value: Any, *, path: str = "", offset: int = 0) -> None:
    """
    Return if everything in a decoded *value* is plain.

    Raises:
        DamagedError: Something is not.
    """
    import ormsgpack

    try:
        # Takes all that is plain and, of what a decoder makes, nothing else;
        # many times faster than looking at each value here.
        ormsgpack.packb(value)
    except TypeError:
        _demand_plain_exactly(value, path, offset)


def _demand_plain_exactly(value: Any, path: str, offset: int) -> None:
    try:
        _demand_plain(value, _CONTAINERS, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise _not_plain(path, offset, error) from error


def _decoder(stream: io.BytesIO, size: int) -> cbor2.CBORDecoder:
    return cbor2.CBORDecoder(
        stream,
        # The decoder refuses a read size of zero.
        read_size=max(size, 1),
        max_depth=MAX_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
        semantic_decoders=_DECODERS,
        tag_hook=_refuse_tag,
    )


def _only_map(decoder: cbor2.CBORDecoder, stream: io.BytesIO, size: int, path: str, offset: int) -> dict[str, Any]:
    value = _only_item(decoder, stream, size, path, offset)
    if type(value) is not dict:
        raise DamagedError(path, offset, "the body is not a map")
    return value


def _only_item(decoder: cbor2.CBORDecoder, stream: io.BytesIO, size: int, path: str, offset: int) -> Any:
    try:
        value = decoder.decode()
    except (cbor2.CBORError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise _not_plain(path, offset, error) from error
    if stream.tell() != size:
        raise DamagedError(path, offset, "bytes follow the body")
    return value


def _demand_small_enough(body: bytes, path: str, offset: int) -> None:
    if not is_small_enough(body):
        raise DamagedError(path, offset, f"the body holds more than {MOST_CONTAINERS} lists and maps")


def _not_plain(path: str, offset: int, error: Exception) -> DamagedError:
    return DamagedError(path, offset, f"the body is not plain CBOR: {error}")


def encode_body(body: Mapping[str, Any]) -> bytes:
    """
    Return *body* as CBOR, keys in the order in which they stand.

    Raises:
        UsageError: A value in it is not plain, or it is nested too deep.
    """
    return encode_value(dict(body))


def encode_value(value: Any) -> bytes:
    """
    Return one plain value as CBOR.

    Raises:
        UsageError: Something in it is not plain, or it is nested too deep.
    """
    try:
        # Checked before encoding: the encoder would write a date or a large
        # integer as a tag that no reader accepts, and very deep nesting
        # would end the process.
        _demand_plain(value, _ENCODABLE, MAX_DEPTH - 2)
        return cbor2.dumps(value)
    except (cbor2.CBORError, ValueError, OverflowError) as error:
        raise UsageError(f"A recording holds plain values only, not {error}") from error


def encode_plain(value: Any) -> bytes:
    """Return as CBOR what is known to be plain and not nested too deep; of anything else there is no telling."""
    return cbor2.dumps(value)


def _demand_plain(value: Any, containers: frozenset[type], depth: int) -> None:
    """Raise unless *value* is plain; *depth* is how many levels it may have."""
    kind = type(value)
    if kind is int:
        _demand_64_bits(value)
    elif kind in containers:
        _demand_plain_items(value, kind, containers, depth)
    elif kind not in _LEAVES:
        raise _Refused(f"a {kind.__name__}")


def _demand_plain_items(container: Any, kind: type, containers: frozenset[type], depth: int) -> None:
    if depth == 0:
        raise _Refused(f"more than {MAX_DEPTH} levels")
    items = container
    if kind is dict:
        if container and set(map(type, container)) != _TEXT_ONLY:
            raise _Refused("a key that is no text")
        items = container.values()
    # Every value of every recording passes here, so what most items are is
    # told without a call.
    for item in items:
        kind = type(item)
        if kind is str:
            continue
        if kind is int:
            if not LOWEST_INTEGER <= item <= _HIGHEST:
                raise _Refused("an integer beyond 64 bits")
        elif kind in containers:
            _demand_plain_items(item, kind, containers, depth - 1)
        elif kind not in _LEAVES:
            raise _Refused(f"a {kind.__name__}")


def _demand_64_bits(value: int) -> None:
    if not LOWEST_INTEGER <= value <= _HIGHEST:
        raise _Refused("an integer beyond 64 bits")
