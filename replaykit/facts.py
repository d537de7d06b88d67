"""
What a stored call was about: its query, content, frame ids, k, mode and count.

Looked for where the operation's row says, else under the usual names and in
the usual shapes.  Works on values as they are stored, whose maps are exact
dicts: asking an abstract class would cost ten times more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeGuard
from uuid import UUID

from replaykit.model import FrameId

__all__ = ["ID_NAMES", "PLACES", "SELF", "Facts", "bare_content", "facts_of", "own_arguments", "view"]

PLACES = ("query", "content", "ids", "k", "mode", "count")
"""What a row may say the place of."""

SELF = "self"
"""The argument that has what belongs to a call of the object itself: its settings.  Few methods take one so named."""

_PLACES = frozenset(PLACES)
_RESULT_PLACES = frozenset({"ids", "count"})


# -- looking into stored values ----------------------------------------------


def view(value: Any) -> Any:
    """Return a stored value without its outermost type: fields of objects as a map, items as a list."""
    if type(value) is not dict or "~t" not in value:
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
        pairs = [pair for pair in content if isinstance(pair, list) and len(pair) == 2]
        return {key: item for key, item in pairs if isinstance(key, (str, int))}
    return value


def _select(steps: Iterable[str], value: Any) -> list[Any]:
    """Return what *steps* lead to; ``*`` fans out, a step that leads nowhere yields nothing."""
    found = [value]
    for step in steps:
        found = [item for parent in found for item in _step(step, view(parent))]
    return found


def _step(step: str, value: Any) -> Iterable[Any]:
    if step == "*":
        return value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    if isinstance(value, dict):
        return (value[step],) if step in value else ()
    if isinstance(value, list) and step.lstrip("-").isdigit() and -len(value) <= int(step) < len(value):
        return (value[int(step)],)
    return ()


def own_arguments(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments that a call was given: all but the settings of its object."""
    # Looked up first: few calls have it, and to ask an abstract class is dear.
    if SELF not in arguments or not isinstance(arguments[SELF], Mapping):
        return arguments
    return {name: value for name, value in arguments.items() if name != SELF}


# -- facts --------------------------------------------------------------------


# A tuple, since each recorded call makes one.
class Facts(NamedTuple):
    """What a call was about; None and empty where it is not known."""

    query: str = ""
    content: str | bytes | None = None
    k: int | None = None
    mode: str = ""
    total: int = 0
    ids: tuple[FrameId, ...] = ()
    provider: str = ""
    model: str = ""


_QUERY_NAMES = ("query", "question", "q", "text", "prompt", "query_text", "query_texts", "input")
_CONTENT_NAMES = ("content", "text", "document", "data", "documents", "texts", "items", "value")
K_NAMES = ("k", "top_k", "limit", "n", "n_results", "num_results", "similarity_top_k")
"""What parameters that say how many hits are wanted are called."""

_MODE_NAMES = ("mode", "search_type")
ID_NAMES = ("frame_id", "frame_ids", "ids", "id", "doc_id", "document_id", "memory_id", "key")
"""What parameters that take the ids of frames are called."""

_HIT_LISTS = ("hits", "results", "matches", "points", "documents", "sources")
_ID_LISTS = ("frame_ids", "ids")
_MAX_ID_CHARS = 512
"""A longer text is no id: it would carry content into recordings that keep none."""


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
    found = dict(given) if given else {}
    if not _PLACES.isdisjoint(definition):
        for place in PLACES:
            if place in definition and place not in found:
                found[place] = _at_path(definition[place], place, arguments, output)
    reader = _READERS.get(kind, _tool_facts)
    # A row may say that a place is in the settings; nobody guesses it there.
    return reader(definition, own_arguments(arguments), output, found)


def _at_path(paths: str, place: str, arguments: Mapping[str, Any], output: Any) -> Any:
    """Return what the first of some paths leads to that leads to more than None."""
    found: Any = None
    for path in _parsed(paths, place):
        values = _select(path.steps, output if path.in_result else arguments)
        found = values if path.is_many or len(values) != 1 else values[0]
        if found is not None and found != []:
            break
    return found


class _Path(NamedTuple):
    in_result: bool
    steps: tuple[str, ...]
    is_many: bool


@functools.lru_cache(maxsize=256)
def _parsed(paths: str, place: str) -> tuple[_Path, ...]:
    return tuple(_parsed_one(path.strip(), place) for path in paths.split("|"))


def _parsed_one(path: str, place: str) -> _Path:
    root, _, rest = path.partition(".")
    if root == "result" and not rest:
        return _Path(True, (), False)
    if root in ("arguments", "result") and rest:
        path, in_result = rest, root == "result"
    else:
        in_result = place in _RESULT_PLACES
    steps = tuple(path.replace("[*]", ".*").replace("[]", ".*").split("."))
    return _Path(in_result, steps, "*" in path or "[" in path)


def _find_facts(
    definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]
) -> Facts:
    if definition.get("by_id"):
        return _id_facts(arguments, output, found)
    shown = view(output)
    ids = tuple(_ids(found["ids"]) if "ids" in found else _result_ids(shown))
    query = _text(found["query"]) if "query" in found else _guess_text(arguments, _QUERY_NAMES)
    k = _integer(found["k"] if "k" in found else _first(arguments, K_NAMES))
    mode = found["mode"] if "mode" in found else _first(arguments, _MODE_NAMES) or _field(shown, "mode")
    total = _integer(found["count"]) if "count" in found else None
    if total is None:
        total = max(len(ids), len(_hit_list(shown) or ()))
    return Facts(query, None, k, _text(mode) if mode else "", total, ids)


def _id_facts(arguments: Mapping[str, Any], output: Any, found: dict[str, Any]) -> Facts:
    asked = tuple(_ids(found["ids"])) if "ids" in found else tuple(_argument_ids(arguments))
    missing = output is None or view(output) == []
    return Facts(
        query=", ".join(str(item) for item in asked),
        mode="id",
        total=0 if missing else len(asked),
        ids=() if missing else asked,
    )


def _ask_facts(
    definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]
) -> Facts:
    base = _find_facts(definition, arguments, output, found)
    answer = view(_last_of_stream(output))
    model = _text(_field(answer, "model")) or _text(arguments.get("model"))
    provider = _text(_field(answer, "provider")) or _text(arguments.get("provider")) or _text(arguments.get("model"))
    return base._replace(model=model, provider=provider)


def _last_of_stream(output: Any) -> Any:
    """Return what says who answered: of a stream its last item, which may be the whole answer."""
    return output[-1] if isinstance(output, list) and output else output


def _write_facts(
    definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]
) -> Facts:
    kind = definition["kind"]
    content = found["content"] if "content" in found else _guess_content(arguments)
    if "ids" in found:
        ids = tuple(_ids(found["ids"]))
    elif kind in ("put", "put_many"):
        ids = tuple(_written_ids(output)) or tuple(_argument_ids(arguments, guess_first=False))
    else:
        ids = tuple(_argument_ids(arguments))
    count = _integer(found.get("count"))
    if count is None:
        count = len(ids) or (len(content) if isinstance(content, list) and kind == "put_many" else 0)
    return Facts(content=bare_content(content), ids=ids, total=count)


def _guess_content(arguments: Mapping[str, Any]) -> Any:
    named = _first(arguments, _CONTENT_NAMES)
    if named is not None:
        return named
    return next((item for item in arguments.values() if bare_content(item) is not None), None)


def bare_content(value: Any) -> str | bytes | None:
    """Return text, also one with lone surrogates, or bytes; None for anything else."""
    if isinstance(value, (str, bytes)):
        return value
    return _text(value) if isinstance(value, dict) and value.get("~t") == "text" else None


def _tool_facts(
    definition: Mapping[str, Any], arguments: Mapping[str, Any], output: Any, found: dict[str, Any]
) -> Facts:
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
    for name in names:
        found = arguments.get(name)
        if found is not None:
            return found
    return None


def _guess_text(arguments: Mapping[str, Any], names: Iterable[str]) -> str:
    for name in names:
        if name in arguments and (text := _text(arguments[name])):
            return text
    if any(isinstance(arguments.get(name), str) for name in names):
        return ""
    return next((_text(item) for item in arguments.values() if bare_content(item) is not None), "")


def _surrogate_text(content: Any) -> str:
    """Return the text of a typed value's content; empty where no recorder has written it."""
    data = content[0] if isinstance(content, list) and content else b""
    try:
        return data.decode("utf-8", "surrogatepass") if isinstance(data, bytes) else ""
    except UnicodeDecodeError:
        return ""


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, dict) and value.get("~t") == "text":
        return _surrogate_text(value.get("~v"))
    value = view(value)
    if isinstance(value, list):
        return "\n".join(filter(None, map(_part_text, value)))
    return value if isinstance(value, str) else ""


def _part_text(part: Any) -> str:
    """Return the text of one of several: itself, or of a message or a part of one what it says."""
    fields = view(part)
    if isinstance(fields, dict) and "~t" not in fields:
        return _text(fields.get("text") or fields.get("content"))
    return fields if isinstance(fields, str) else ""


def _integer(value: Any) -> int | None:
    return value if type(value) is int else None


def _field(shown: Any, name: str) -> Any:
    return shown.get(name) if type(shown) is dict and "~t" not in shown else None


def _hit_list(shown: Any) -> list[Any] | None:
    if type(shown) is list:
        return shown
    if type(shown) is dict and "~t" not in shown:
        lists = [items for name in (*_HIT_LISTS, *_ID_LISTS) if isinstance(items := view(shown.get(name)), list)]
        return max(lists, key=len, default=None)
    return None


def _is_id(value: Any) -> TypeGuard[FrameId]:
    if isinstance(value, str):
        return len(value) <= _MAX_ID_CHARS
    return isinstance(value, int) and not isinstance(value, bool)


def _ids(value: Any) -> Iterator[FrameId]:
    """Yield the ids in a value that is an id or nested lists of ids."""
    value = view(value)
    if _is_id(value):
        yield value
    elif isinstance(value, dict) and value.get("~t") == "uuid":
        yield from _uuid_text(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _ids(item)


def _uuid_text(value: Mapping[str, Any]) -> Iterator[FrameId]:
    content = value.get("~v")
    if isinstance(content, list) and content and isinstance(content[0], bytes) and len(content[0]) == 16:
        yield str(UUID(bytes=content[0]))


def _written_ids(output: Any) -> Iterator[FrameId]:
    """Yield the ids that a write gave back: plain ones, or those of the frames that it shows."""
    value = view(output)
    if _is_id(value):
        yield value
    elif isinstance(value, list) and value and all(_is_id(view(item)) for item in value):
        yield from _ids(value)
    elif isinstance(value, dict) and value.get("~t") == "uuid":
        yield from _uuid_text(value)
    else:
        yield from _result_ids(value)


def _result_ids(shown: Any) -> Iterable[FrameId]:
    """Return the frame ids in a result of one of the usual shapes; plain text in it is content, not an id."""
    if type(shown) is list:
        return _own_numbers(shown) or chain.from_iterable(map(_hit_ids, shown))
    return _member_ids(shown) if type(shown) is dict and "~t" not in shown else ()


def _own_numbers(hits: list[Any]) -> list[int]:
    """Return the ids of *hits* that are maps with a number for an id, as nearly all are; nothing if one is not."""
    try:
        found = list(map(_FRAME_ID, hits))
    except (KeyError, TypeError, IndexError):
        return []
    return found if set(map(type, found)) == _INTEGERS else []


_FRAME_ID = itemgetter("frame_id")
_INTEGERS = frozenset({int})


def _member_ids(fields: Mapping[Any, Any]) -> Iterator[FrameId]:
    """Yield the ids of the first member that has some: the hits, else bare ids, else the one frame's own."""
    for name in _HIT_LISTS:
        items = view(fields.get(name))
        found = [frame for item in items for frame in _hit_ids(item)] if isinstance(items, list) else []
        if found:
            yield from found
            return
    for name in _ID_LISTS:
        found = list(_ids(fields.get(name)))
        if found:
            yield from found
            return
    yield from _own_id(fields)


def _hit_ids(item: Any) -> Iterator[FrameId]:
    fields = view(item)
    if _is_id(fields) and not isinstance(fields, str):
        yield fields
    elif isinstance(fields, dict):
        yield from _own_id(fields)
    elif isinstance(fields, list):
        # (document, score) pairs name the document; a score is no id.
        first = view(fields[0]) if fields else None
        for part in fields[:1] if isinstance(first, dict) else fields:
            yield from _hit_ids(part)


def _own_id(fields: Mapping[Any, Any]) -> Iterator[FrameId]:
    if fields.get("~t") == "uuid":
        yield from _uuid_text(fields)
        return
    for name in ("frame_id", "id"):
        found = next(_ids(fields.get(name)), None)
        if found is not None:
            yield found
            return


def _argument_ids(arguments: Mapping[str, Any], *, guess_first: bool = True) -> Iterator[FrameId]:
    named = _first(arguments, ID_NAMES)
    if named is None and guess_first:
        name, value = next(iter(arguments.items()), ("", None))
        named = None if name in _CONTENT_NAMES else value
    yield from _ids(named)
