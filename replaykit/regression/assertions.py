"""What a test asserts of a result: the ids of hits, a short value itself, of a long one its length and beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.model import Answer, Erasure, Frame, Hit, Opaque, SearchResult, Structured
from replaykit.regression.imports import is_name
from replaykit.regression.layout import Bracket, Node, flat, text_literal
from replaykit.regression.literals import Literals, is_plain

__all__ = ["Claim", "claims_on", "is_said_inline"]

_SHORT, _BEGINNING = 60, 48
_MOST_ITEMS, _FIRST_ITEMS = 10, 3
_TELLING = (
    *("id", "frame_id", "_id", "key", "uri", "chunk_id", "doc_id"),
    *("title", "name", "text", "content"),
)
"""What says the most of one hit among others, in this order."""

_SAYING = (
    *("answer", "output_text", "text", "content", "message", "choices"),
    *("ids", "frame_ids", "documents", *_TELLING),
)
"""What says the most of a result that is one, in this order."""

_MOST_DEPTH = 5


@attrs.frozen
class Claim:
    """``assert left == right``; without a *right* the *left* alone is claimed."""

    left: Node
    right: Node | None = None
    operator: str = "=="


def is_said_inline(value: Any, literals: Literals) -> bool:
    """Whether the result is so short that it stands beside the call."""
    return _is_short(value, literals) and not isinstance(value, (SearchResult, list, dict))


def claims_on(value: Any, name: str, literals: Literals, depth: int = 0) -> Iterator[Claim]:
    """Yield what is claimed of a result that is called *name*; nothing of None and of what is more than its parts."""
    if value is None or isinstance(value, Opaque) or depth > _MOST_DEPTH:
        return
    if isinstance(value, bool):
        yield Claim(name, repr(value), "is")
    elif isinstance(value, (str, bytes)):
        yield from _of_text(value, name, literals)
    elif (ours := _OURS.get(type(value))) is not None:
        for attribute in ours:
            yield from claims_on(getattr(value, attribute), f"{name}.{attribute}", literals, depth + 1)
    elif isinstance(value, (SearchResult, list, tuple)):
        yield from _of_items(value, name, literals, depth)
    elif isinstance(value, Structured):
        # What is no name is only in recordings that no recorder has made.
        named = {key: item for key, item in value.fields.items() if isinstance(key, str) and is_name(key)}
        yield from _of_fields(named, lambda key: f"{name}.{key}", literals, depth)
    elif isinstance(value, dict):
        yield from _of_map(value, name, literals, depth)
    elif _is_short(value, literals):
        yield Claim(name, literals.of(value))
    elif hasattr(value, "shape"):
        yield Claim(f"{name}.shape", literals.of(tuple(value.shape)))
    elif hasattr(value, "__len__"):
        yield Claim(f"len({name})", str(len(value)))


_OURS: Mapping[type, Sequence[str]] = {
    Answer: ("text", "frame_ids"),
    Erasure: ("frame_ids",),
    Frame: ("content",),
    Hit: ("frame_id",),
}


def _is_short(value: Any, literals: Literals) -> bool:
    return is_plain(value) and _is_small(value) and len(flat(literals.of(value))) <= _SHORT


def _is_small(value: Any) -> bool:
    """Whether it is worth writing down to see how long that is."""
    return not hasattr(value, "__len__") or len(value) <= _SHORT


def _of_text(value: str | bytes, name: str, literals: Literals) -> Iterator[Claim]:
    if _is_short(value, literals):
        yield Claim(name, literals.of(value))
        return
    yield Claim(f"len({name})", str(len(value)))
    beginning = value[:_BEGINNING]
    if isinstance(beginning, str):
        # Whole words read better, where there are some.
        beginning = beginning.rpartition(" ")[0] or beginning
    yield Claim(Bracket(f"{name}.startswith(", (("", literals.of(beginning)),), ")"))


def _of_items(value: Sequence[Any], name: str, literals: Literals, depth: int) -> Iterator[Claim]:
    if not len(value):
        yield Claim(f"len({name})", "0") if isinstance(value, SearchResult) else Claim(name, literals.of(value))
        return
    is_long = len(value) > _MOST_ITEMS
    if is_long:
        yield Claim(f"len({name})", str(len(value)))
    shown = value[:_FIRST_ITEMS] if is_long else value
    where = f"{name}[:{_FIRST_ITEMS}]" if is_long else name
    variable = "hit" if name.startswith("hits") else "item"
    told = _told_by(shown, variable)
    if told is not None:
        read, values = told
        yield Claim(f"[{read} for {variable} in {where}]", literals.of(values))
    elif all(_is_short(item, literals) for item in shown):
        yield Claim(where, literals.of(shown))
    else:
        if not is_long:
            yield Claim(f"len({name})", str(len(value)))
        yield from claims_on(value[0], f"{name}[0]", literals, depth + 1)


def _told_by(items: Sequence[Any], variable: str) -> tuple[str, list[Any]] | None:
    """Return how the most telling of each item is read from *variable*, and what that is; None where items differ."""
    for field in _TELLING:
        if all(type(item) is dict and _is_telling(item.get(field)) for item in items):
            return f"{variable}[{text_literal(field)}]", [item[field] for item in items]
        found = [_fields_of(item).get(field) for item in items]
        if all(map(_is_telling, found)):
            return f"{variable}.{field}", found
    return None


def _fields_of(item: Any) -> Mapping[str, Any]:
    if isinstance(item, Structured):
        return item.fields
    return {"frame_id": item.frame_id} if isinstance(item, (Hit, Frame)) else {}


def _is_telling(value: Any) -> bool:
    return type(value) in (int, str, bytes) and value != "" and (type(value) is int or len(value) <= _SHORT)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, (str, bytes, list, tuple, dict)) and not value)


def _of_map(value: dict[Any, Any], name: str, literals: Literals, depth: int) -> Iterator[Claim]:
    if _is_short(value, literals):
        yield Claim(name, literals.of(value))
        return
    texts = {key: item for key, item in value.items() if type(key) is str and len(key) <= _SHORT}
    found = list(_of_fields(texts, lambda key: f"{name}[{text_literal(key)}]", literals, depth))
    yield from found or [Claim(f"len({name})", str(len(value)))]


def _of_fields(
    fields: Mapping[str, Any], read: Callable[[str], str], literals: Literals, depth: int
) -> Iterator[Claim]:
    told = [name for name in dict.fromkeys(_SAYING) if not _is_nothing(fields.get(name))][:2]
    chosen = told or [name for name, value in fields.items() if value is not None and _is_short(value, literals)]
    for name in (chosen or list(fields))[:_FIRST_ITEMS]:
        yield from claims_on(fields[name], read(name), literals, depth + 1)
