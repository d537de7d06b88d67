"""
What a recorded method or function means: `Operation` rows, and the guesses that fill their blanks.

A row names the kind of a call and where its query, content, ids, k, mode and
count are.  A place is a dotted path into the arguments or the result
(``"arguments.needle"``, ``"result.rows.*.key"``; ``*`` stands for each item) or a
callable ``(arguments, result) -> value``.  What a row leaves open is looked
for under the usual names and in the usual shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from replaykit.errors import UsageError
from replaykit.logs import get_logger
from replaykit.model import KINDS, FrameId

log = get_logger("operations")

__all__ = ["Facts", "Operation", "Place", "facts_of", "live_facts", "operation_from", "view"]

Place = str | Callable[[Mapping[str, Any], Any], Any] | None
"""A dotted path, a callable ``(arguments, result) -> value``, or None for a guess."""

_PLACES = ("query", "content", "ids", "k", "mode", "count")
_RESULT_PLACES = frozenset({"ids", "count"})
_MUTATING = frozenset({"put", "put_many", "update", "delete", "ask", "tool"})


def _known_kind(_row: Any, _attribute: Any, kind: str) -> None:
    if kind not in KINDS or kind == "checkpoint":
        known = ", ".join(name for name in KINDS if name != "checkpoint")
        raise UsageError(f"unknown kind {kind!r}: give one of {known}")


@attrs.frozen(kw_only=True)
class Operation:
    """
    One recorded method or function.

    Attributes:
        kind: ``put put_many find ask update delete tool``.
        name: The method's or function's name.
        source: What it belongs to: a module or class.
        by_id: A read by id: recorded as ``find`` with mode ``id``.
        ignore: Arguments that play does not match on.

    Raises:
        UsageError: The kind is unknown.
    """

    kind: str = attrs.field(validator=_known_kind)
    name: str = ""
    source: str = ""
    query: Place = None
    content: Place = None
    ids: Place = None
    k: Place = None
    mode: Place = None
    count: Place = None
    by_id: bool = False
    ignore: tuple[str, ...] = ()

    @property
    def is_announced(self) -> bool:
        """Whether an intent is logged before the call runs: it may change something, or cost much."""
        return self.kind in _MUTATING

    def definition(self) -> dict[str, Any]:
        """Return the row as plain values, callables left out: what a recording keeps of it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "source": self.source,
            "by_id": self.by_id,
            "ignore": list(self.ignore),
            **{place: path for place in _PLACES if isinstance(path := getattr(self, place), str)},
        }


def operation_from(row: str | Operation, name: str, source: str) -> Operation:
    """
    Return *row* as an `Operation` that carries *name* and *source* where it has none.

    Raises:
        UsageError: The kind is unknown.
    """
    if isinstance(row, str):
        return Operation(kind=row, name=name, source=source)
    return attrs.evolve(row, name=row.name or name, source=row.source or source)


def live_facts(operation: Operation, arguments: Mapping[str, Any], result: Any) -> dict[str, Any] | None:
    """
    Return what the row's callables say of a call that just ended, or None if it has none.

    A callable that raises leaves its fact to the guess.
    """
    callables = [(place, find) for place in _PLACES if callable(find := getattr(operation, place))]
    if not callables:
        return None
    found = {}
    for place, find in callables:
        try:
            found[place] = find(arguments, result)
        except Exception as error:
            # A user's callable: the call itself must not suffer for it.
            log.warning("fact_not_found", operation=operation.name, place=place, error=type(error).__name__)
    return found


# -- looking into stored values ----------------------------------------------


def view(value: Any) -> Any:
    """Return a stored value with its outermost type taken off: fields of objects as a map, items as a list."""
    if not isinstance(value, Mapping) or "~t" not in value:
        return value
    name, content = value["~t"], value.get("~v")
    if not isinstance(content, list):
        return None
    if name in ("tuple", "set", "frozenset"):
        return content
    if name == "struct" or name == "object":
        return content[1] if len(content) > 1 else {}
    if name == "enum":
        return content[2] if len(content) > 2 else None
    if name == "dict":
        return {pair[0]: pair[1] for pair in content if isinstance(pair[0], (str, int))}
    return value


def _select(path: str, value: Any) -> Iterator[Any]:
    """Yield what *path* leads to; ``*`` fans out, a step that leads nowhere yields nothing."""
    found = [value]
    for step in path.replace("[*]", ".*").replace("[]", ".*").split("."):
        found = [item for parent in found for item in _step(step, view(parent))]
    yield from found


def _step(step: str, value: Any) -> Iterable[Any]:
    if step == "*":
        return value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else ()
    if isinstance(value, Mapping):
        return (value[step],) if step in value else ()
    if isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
        return (value[int(step)],)
    return ()


# -- facts --------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Facts:
    """What a call was about; None and empty where it is not known."""

    query: str = ""
    content: str | bytes | None = None
    k: int | None = None
    mode: str = ""
    count: int = 0
    ids: tuple[FrameId, ...] = ()
    provider: str = ""
    model: str = ""


_QUERY_NAMES = ("query", "question", "q", "text", "prompt", "query_text", "query_texts", "input")
_CONTENT_NAMES = ("content", "text", "document", "data", "documents", "texts", "value")
_K_NAMES = ("k", "top_k", "limit", "n", "n_results", "num_results", "similarity_top_k")
_MODE_NAMES = ("mode", "search_type")
_ID_NAMES = ("frame_id", "frame_ids", "ids", "id", "doc_id", "document_id", "memory_id", "key")
_HIT_LISTS = ("hits", "results", "matches", "points", "documents", "sources", "frame_ids")


def facts_of(
    definition: Mapping[str, Any],
    arguments: Mapping[str, Any],
    output: Any,
    given: Mapping[str, Any] | None = None,
) -> Facts:
    """
    Return what a stored call was about.

    *given* are facts that callables found when the call was made; paths of
    the *definition* come next, guesses last.  Values are as stored.
    """
    kind = definition["kind"]
    found = dict(given or {})
    for place in _PLACES:
        if place in definition and place not in found:
            found[place] = _at_path(definition[place], place, arguments, output)
    reader = _READERS.get(kind, _tool_facts)
    return reader(definition, arguments, output, found)


def _at_path(path: str, place: str, arguments: Mapping[str, Any], output: Any) -> Any:
    root, _, rest = path.partition(".")
    if root == "arguments" and rest:
        path, start = rest, arguments
    elif root == "result" and rest:
        path, start = rest, output
    elif root == "result":
        return output
    else:
        start = output if place in _RESULT_PLACES else arguments
    values = list(_select(path, start))
    return values if "*" in path or "[" in path or len(values) != 1 else values[0]


def _find_facts(definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]) -> Facts:
    if definition.get("by_id"):
        return _id_facts(arguments, output, found)
    ids = tuple(_ids(found["ids"])) if "ids" in found else tuple(_result_ids(output))
    count = found.get("count")
    return Facts(
        query=_text(found["query"]) if "query" in found else _guess_text(arguments, _QUERY_NAMES),
        k=_integer(found["k"]) if "k" in found else _integer(_first(arguments, _K_NAMES)),
        mode=_text(found["mode"]) if "mode" in found else _text(_first(arguments, _MODE_NAMES) or _member(output, "mode")),
        count=_integer(count) or 0 if count is not None else len(ids) or _length(output),
        ids=ids,
    )


def _id_facts(arguments: Mapping[str, Any], output: Any, found: dict[str, Any]) -> Facts:
    asked = tuple(_ids(found["ids"])) if "ids" in found else tuple(_argument_ids(arguments))
    missing = output is None or view(output) == []
    return Facts(
        query=", ".join(str(item) for item in asked),
        mode="id",
        count=0 if missing else len(asked),
        ids=() if missing else asked,
    )


def _ask_facts(definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]) -> Facts:
    base = _find_facts(definition, arguments, output, found)
    model = _text(_member(output, "model")) or _text(arguments.get("model"))
    provider = _text(_member(output, "provider")) or _text(arguments.get("provider")) or _text(arguments.get("model"))
    return attrs.evolve(base, model=model, provider=provider)


def _write_facts(definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]) -> Facts:
    content = found["content"] if "content" in found else _first(arguments, _CONTENT_NAMES)
    if content is None and "content" not in found:
        content = next((item for item in arguments.values() if isinstance(item, (str, bytes))), None)
    if "ids" in found:
        ids = tuple(_ids(found["ids"]))
    elif definition["kind"] in ("put", "put_many"):
        ids = tuple(_result_ids(output)) or tuple(_argument_ids(arguments, guess_first=False))
    else:
        ids = tuple(_argument_ids(arguments))
    return Facts(content=content if isinstance(content, (str, bytes)) else None, ids=ids, count=len(ids))


def _tool_facts(definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]) -> Facts:
    return Facts(ids=tuple(_ids(found.get("ids"))))


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], Any, dict[str, Any]], Facts]] = {
    "find": _find_facts,
    "ask": _ask_facts,
    "put": _write_facts,
    "put_many": _write_facts,
    "update": _write_facts,
    "delete": _write_facts,
}


def _first(arguments: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((arguments[name] for name in names if arguments.get(name) is not None), None)


def _guess_text(arguments: Mapping[str, Any], names: Iterable[str]) -> str:
    for name in names:
        if text := _text(arguments.get(name)):
            return text
    if any(isinstance(arguments.get(name), str) for name in names):
        return ""
    return next((item for item in arguments.values() if isinstance(item, str)), "")


def _text(value: Any) -> str:
    if isinstance(value, Mapping) and value.get("~t") == "text":
        return bytes(value["~v"][0]).decode("utf-8", "surrogatepass")
    value = view(value)
    if isinstance(value, list):
        return "\n".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _member(value: Any, name: str) -> Any:
    fields = view(value)
    return fields.get(name) if isinstance(fields, Mapping) and "~t" not in fields else None


def _length(output: Any) -> int:
    items = _hit_list(view(output))
    return len(items) if items is not None else 0


def _hit_list(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping) and "~t" not in value:
        for name in (*_HIT_LISTS, "ids"):
            items = view(value.get(name))
            if isinstance(items, list):
                return items
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _ids(value: Any) -> Iterator[FrameId]:
    """Yield the ids in a value that is an id or nested lists of ids."""
    value = view(value)
    if _is_id(value):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _ids(item)


def _result_ids(output: Any) -> Iterator[FrameId]:
    """Yield the frame ids in a result of one of the usual shapes."""
    value = view(output)
    if _is_id(value):
        # A find that returns plain text has no ids; a put that returns one is its id.
        yield value
        return
    items = _hit_list(value)
    if items is None:
        if isinstance(value, Mapping):
            yield from _own_id(value)
        return
    for item in items:
        yield from _hit_ids(item)


def _hit_ids(item: Any) -> Iterator[FrameId]:
    fields = view(item)
    if _is_id(fields):
        yield fields
    elif isinstance(fields, Mapping):
        yield from _own_id(fields)
    elif isinstance(fields, list):
        # (document, score) pairs name the document; nested lists are Chroma's, one per query.
        first = view(fields[0]) if fields else None
        for part in fields[:1] if isinstance(first, Mapping) else fields:
            if not isinstance(part, float):
                yield from _hit_ids(part)


def _own_id(fields: Mapping[Any, Any]) -> Iterator[FrameId]:
    for name in ("frame_id", "id"):
        value = fields.get(name)
        if _is_id(value):
            yield value
            return
        if isinstance(value, Mapping) and value.get("~t") == "uuid":
            yield value["~v"][0].hex()
            return


def _argument_ids(arguments: Mapping[str, Any], *, guess_first: bool = True) -> Iterator[FrameId]:
    named = _first(arguments, _ID_NAMES)
    if named is not None:
        yield from _ids(named)
    elif guess_first:
        first = next(iter(arguments.values()), None)
        if _is_id(first):
            yield first
