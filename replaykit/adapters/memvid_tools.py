"""
What memvid hands out for agent frameworks: tools and functions that call its core directly.

They are functions that hold the core in their closures, and objects that
hold such functions.  A recorded memory hands out copies which hold a
recorded core: each call of a tool is then one put, find or ask.  memvid
keeps its tools per kind for the whole process, so those of a second memory
act on the first one; the copies do, too.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

from replaykit.adapters.memvid_errors import recorded_error
from replaykit.intercept.scope import observer_for
from replaykit.operations import MethodMap, Operation

__all__ = ["as_query_engine", "ask_ids", "functions", "nodes", "tools"]

_CORE = ("memvid_sdk", "_MemvidCore")
_DEEPEST = 8


class _ToolCore:
    """memvid's core as its tools see it; what is left out of a call stays left out."""

    def __init__(self, core: Any) -> None:
        self._core = core

    def put(self, payload: Any) -> Any:
        """Put one document."""
        return self._core.put(payload)

    def find(self, query: Any, **options: Any) -> Any:
        """Search."""
        return self._core.find(query, **options)

    def ask(self, question: Any, **options: Any) -> Any:
        """Ask."""
        return self._core.ask(question, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)


def _put_id(_arguments: Any, result: Any) -> int:
    return int(result)


def ask_ids(_arguments: Any, result: Any) -> list[int]:
    """Return the frames that an answer stands on; its ``hits`` have often only the best of them."""
    parts = [part for name in ("context_fragments", "sources", "hits") for part in result.get(name) or ()]
    return list(dict.fromkeys(part["frame_id"] for part in parts))


_CALLS = MethodMap(
    operations={
        "put": Operation(kind="put", content="arguments.payload.text", ids=_put_id, thaw_error=recorded_error),
        "find": Operation(
            kind="find", query="arguments.query", k="arguments.k", mode="result.engine", thaw_error=recorded_error
        ),
        "ask": Operation(kind="ask", query="arguments.question", ids=ask_ids, thaw_error=recorded_error),
    }
)


# -- what a recorded memory hands out ---------------------------------------------------


def _handing_out(name: str) -> Any:
    def attribute(self: Any) -> Any:
        value = getattr(self.__wrapped__, name)
        kept = self._self_cache.get(name)
        if kept is None or kept[0] is not value:
            kept = self._self_cache[name] = (value, _recorded(self, value))
        return kept[1]

    return property(attribute)


tools = _handing_out("tools")
functions = _handing_out("functions")
nodes = _handing_out("nodes")
as_query_engine = _handing_out("as_query_engine")


def _recorded(memory: Any, value: Any) -> Any:
    """Return *value* with a recorded core in the place of the bare one, itself where it holds none."""
    recorder = memory._self_recorder
    return _Copying(lambda core: recorder.wrap(_ToolCore(core), _CALLS), recorder).of(value)


class _Copying:
    """Copies whatever reaches a core, one copy each."""

    def __init__(self, record: Callable[[Any], Any], recorder: Any) -> None:
        self._record = record
        self._recorder = recorder
        self._copies: dict[int, Any] = {}

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the copy of *value*, or *value* itself where nothing in it reaches a core."""
        if id(value) not in self._copies:
            # Itself meanwhile: a function may hold itself.
            self._copies[id(value)] = value
            self._copies[id(value)] = self._made(value, depth) if depth < _DEEPEST else value
        return self._copies[id(value)]

    def _made(self, value: Any, depth: int) -> Any:
        if (type(value).__module__, type(value).__name__) == _CORE:
            return self._record(value)
        if type(value) in (list, tuple):
            items = [self.of(item, depth + 1) for item in value]
            return value if all(map(_is, items, value)) else type(value)(items)
        if type(value) is dict:
            pairs = {key: self.of(item, depth + 1) for key, item in value.items()}
            return value if all(map(_is, pairs.values(), value.values())) else pairs
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        return self._holder(value, depth)

    def _function(self, function: types.FunctionType, depth: int) -> Any:
        cells = function.__closure__ or ()
        held = [_content(cell) for cell in cells]
        copies = [self.of(item, depth + 1) for item in held]
        if all(map(_is, copies, held)):
            return function
        closure = tuple(
            cell if new is old else types.CellType(new) for cell, old, new in zip(cells, held, copies, strict=True)
        )
        made = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, closure
        )
        for name in ("__kwdefaults__", "__annotations__", "__doc__", "__qualname__", "__module__"):
            setattr(made, name, getattr(function, name))
        vars(made).update(vars(function))
        return made

    def _holder(self, value: Any, depth: int) -> Any:
        """Return a copy of an object whose attributes hold such functions: a framework's tool."""
        fields = getattr(value, "__dict__", None)
        if isinstance(value, (type, types.ModuleType)) or type(fields) is not dict:
            return value
        held = {name: item for name, item in fields.items() if isinstance(item, types.FunctionType)}
        copies = {name: self.of(item, depth + 1) for name, item in held.items()}
        changed = {name: item for name, item in copies.items() if item is not held[name]}
        if not changed:
            self._note_out_of_reach(value)
            return value
        made = copy.copy(value)
        for name, item in changed.items():
            setattr(made, name, item)
        return made

    def _note_out_of_reach(self, value: Any) -> None:
        """Count a tool whose class holds the core: its calls are not recorded."""
        methods = [item for item in vars(type(value)).values() if isinstance(item, types.FunctionType)]
        observer = observer_for(self._recorder)
        if observer is not None and any(_reaches_core(method) for method in methods):
            observer.note_uncovered(("Memvid", f"tools.{type(value).__name__}"))


def _is(one: Any, other: Any) -> bool:
    return one is other


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # Not bound yet.
        return None


def _reaches_core(function: types.FunctionType) -> bool:
    return any(
        (type(item).__module__, type(item).__name__) == _CORE for item in map(_content, function.__closure__ or ())
    )
