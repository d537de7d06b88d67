"""
The encoder of packed values, and what it may safely be given.

Where it does not know a value it calls back into Python.  In that moment
another thread, or that code itself, may change the list that it is going
through in C: it would then read freed memory, or write another count of items
than follow.  So it is first asked without such a call, in one step in which
nothing else runs; and where it calls back, it is given only lists and maps
that nobody else has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from replaykit.format.learnt import stored_form

__all__ = ["encoder", "pack_copied", "packed_alone"]

_CONTAINERS = frozenset({list, dict})
_DEEPEST = 64


@cache
def encoder() -> tuple[Callable[..., bytes], int]:
    """
    Return what is called first, and its options, as ``encode(value, None, options)``.

    It takes plain values, in one step in which no Python code runs and nobody
    can change them; for anything else it raises TypeError.
    """
    # Loaded on first use, so that importing replaykit stays cheap.
    import ormsgpack as m

    # Keys that are no text stay with the walker: the encoder would turn
    # dates, UUIDs and enum members among them into text.
    options = (
        m.OPT_PASSTHROUGH_BIG_INT
        | m.OPT_PASSTHROUGH_DATACLASS
        | m.OPT_PASSTHROUGH_DATETIME
        | m.OPT_PASSTHROUGH_ENUM
        | m.OPT_PASSTHROUGH_SUBCLASS
        | m.OPT_PASSTHROUGH_TUPLE
        | m.OPT_PASSTHROUGH_UUID
    )
    return m.packb, options


def pack_copied(value: Any) -> bytes:
    """
    Return *value* packed, from copies of its lists and maps; what else is in it is asked for its stored form.

    Raises:
        TypeError: It is nested too deep or inside itself, or holds what only a walker can take apart.
        NeedsWalking: Likewise, of a set.
    """
    encode, options = encoder()
    own = _copied(value, ()) if _is_container(value) else value
    return encode(own, _stored_apart(), options)


def _copied(value: Any, inside: tuple[int, ...]) -> Any:
    """Return *value*, a list or map, with each list and map in it, however deep, copied."""
    # Copied in one step, in which nothing else runs, before it is looked into.
    own = value.copy()
    if not _holds_containers(own if type(own) is list else own.values()):
        return own
    if len(inside) >= _DEEPEST or id(value) in inside:
        raise TypeError("nested too deep, or inside itself")
    return _filled(own, (*inside, id(value)))


def _filled(own: Any, inside: tuple[int, ...]) -> Any:
    """Return *own*, a list or map that nobody else has, with copies of the lists and maps in it."""
    if type(own) is list:
        return [_copied(item, inside) if _is_container(item) else item for item in own]
    return {key: _copied(item, inside) if _is_container(item) else item for key, item in own.items()}


def _is_container(item: Any) -> bool:
    # By identity: a class may have a metaclass that compares, or has no hash.
    cls = type(item)
    return cls is list or cls is dict


def _holds_containers(items: Iterable[Any]) -> bool:
    try:
        return not _CONTAINERS.isdisjoint(map(type, items))
    except Exception:
        # Such a metaclass.
        return True


@cache
def _stored_apart() -> Callable[[Any], Any]:
    """Return what gives the `stored_form` of one value, with nothing in it that anybody else may change."""
    # Made once: it is called for each value that is not plain.
    fragment, (encode, options) = _fragment(), encoder()

    def stored_apart(value: Any) -> Any:
        form = stored_form(value)
        cls = type(form)
        if not (cls is list or cls is dict):
            return form
        try:
            # Most forms are plain all through: packed at once they need no copy.
            return fragment(encode(form, None, options))
        except TypeError:
            return _filled(form, ())

    return stored_apart


def packed_alone(value: Any) -> Any:
    """
    Return *value* packed, as a piece that the encoder takes as it is.

    Raises:
        TypeError: It is not plain.
    """
    encode, options = encoder()
    return _fragment()(encode(value, None, options))


@cache
def _fragment() -> Callable[[bytes], Any]:
    from ormsgpack import Fragment

    return Fragment
