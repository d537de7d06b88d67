"""What a recorded call was made on, as a test can have it: a function, a method, the embedded memory, a stand-in."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import attrs

from replaykit.facts import own_arguments
from replaykit.memory.memory import Memory
from replaykit.memory.replaying import SOURCE as MEMORY
from replaykit.model import MEMVID, Answer, Failure, Opaque, ReplayAction, Structured
from replaykit.regression.code_reading import CodeReader, FoundFunction, Missing, Shape
from replaykit.regression.imports import is_name
from replaykit.regression.parameters import DoesNotFit, Parameter, signature_of, written

__all__ = ["FunctionTarget", "MemoryTarget", "Target", "WrappedTarget", "agreeing", "output_in_test", "target_of"]

_BY_HAND = "by hand"
_LONGEST = 20_000
_NEVER_WHOLE = {
    "unfinished": "it had not ended when the session did",
    "cut": "it was too large to be kept whole",
    "damaged": "it was damaged by a crash",
}
_ENDS_OTHERS = frozenset(
    {"GeneratorExit", "StopIteration", "StopAsyncIteration", "CancelledError", "KeyboardInterrupt"}
)
_OF_MEMORY = frozenset(
    {"ask", "ask_async", "ask_stream", "ask_stream_async", "delete", "erase", "find", "get", "put", "put_many"}
    | {"restore", "update"}
)
"""What a play answers; anything else a memory would do for real."""

_MEMORY_SHAPES = {
    "ask_async": Shape(is_async=True),
    "ask_stream": Shape(is_stream=True),
    "ask_stream_async": Shape(is_async=True, is_stream=True),
}


@attrs.frozen
class FunctionTarget:
    """A recorded function, or a recorded method of a class."""

    found: FoundFunction
    shape: Shape


@attrs.frozen
class MemoryTarget:
    """A method of the embedded memory."""

    name: str
    parameters: tuple[Parameter, ...]
    shape: Shape


@attrs.frozen
class WrappedTarget:
    """
    A method of a wrapped object of the class *source*; *method* is what the class's code says, None where it is silent.

    Attributes:
        shape: Of the stand-in's method.
    """

    source: str
    name: str
    method: FoundFunction | None
    shape: Shape


Target = FunctionTarget | MemoryTarget | WrappedTarget


def target_of(action: ReplayAction, reader: CodeReader) -> Target | Missing:
    """Return what *action* was made on, or why no test can make it again."""
    reason = _why_not(action)
    if reason:
        return Missing(reason)
    if action.source == MEMORY:
        return _memory_target(action)
    if reader.has_module(action.source):
        return _function_target(action, reader)
    return _wrapped_target(action, reader)


def _function_target(action: ReplayAction, reader: CodeReader) -> Target | Missing:
    found = reader.function(action.source, action.name)
    if isinstance(found, Missing):
        return found
    unfit = _unfit(found.parameters, own_arguments(action.arguments))
    return Missing(unfit) if unfit else FunctionTarget(found, _shape_of(action, found.shape))


def _unfit(parameters: tuple[Parameter, ...], arguments: Mapping[str, Any]) -> str:
    try:
        written(parameters, arguments)
    except DoesNotFit as error:
        return f"it takes other arguments now: {error}"
    return ""


def _why_not(action: ReplayAction) -> str:
    if action.kind == "checkpoint" or action.action_type.kind != action.kind:
        return "it is no call that this release knows"
    broken = next((flag for flag in _NEVER_WHOLE if flag in action.flags), None)
    if broken is not None:
        return _NEVER_WHOLE[broken]
    if action.source == _BY_HAND:
        return "it was recorded by hand: there is no function to call"
    if action.source in ("", MEMVID):
        return "the recording does not say what it was made on"
    if action.source == "__main__":
        return "it is defined in the program that ran (__main__), where a test cannot import it: move it to a module"
    if _is_long(own_arguments(action.arguments)):
        return f"its arguments are longer than {_LONGEST:,} characters, which nobody wants to read in a test"
    if isinstance(action.output, Opaque):
        return f"its result, a {action.output.type_name}, could not be kept"
    return "" if action.error is None else _why_not_failing(action.error)


def _why_not_failing(failure: Failure) -> str:
    if not (isinstance(failure.type, str) and isinstance(failure.message, str)):
        return "its exception is not as the format says"
    if failure.type.rpartition(".")[2] in _ENDS_OTHERS:
        return f"it was ended from outside ({failure.type})"
    return ""


def _is_long(value: Any) -> bool:
    """Whether *value* is more than a person would have in a source file."""
    size, waiting = 0, [value]
    while waiting and size <= _LONGEST:
        current = waiting.pop()
        size += 4 + (len(current) if isinstance(current, (str, bytes)) else 0)
        if isinstance(current, Mapping):
            waiting += [*current, *current.values()]
        elif isinstance(current, (list, tuple, set, frozenset)):
            waiting += current
        elif isinstance(current, Structured):
            waiting += current.fields.values()
    return size > _LONGEST


def _shape_of(action: ReplayAction, stated: Shape) -> Shape:
    """A plain function may hand out a coroutine or a generator: then the recording knows it."""
    return Shape(stated.is_async or "async" in action.flags, stated.is_stream or "stream" in action.flags)


def _memory_target(action: ReplayAction) -> Target | Missing:
    if action.name == "put_file":
        return Missing("it read a file, which is not part of a recording")
    if action.name not in _OF_MEMORY:
        return Missing(f"memories of this release record no {action.name}")
    parameters = signature_of(getattr(Memory, action.name))
    # What is recorded of a moment is its generation, or the time that was given.
    if action.name == "restore":
        is_moment = isinstance(action.arguments.get("moment"), (int, datetime.datetime))
        unfit = "" if is_moment else "the recording does not say which moment was restored"
    else:
        unfit = _unfit(parameters, action.arguments)
    return Missing(unfit) if unfit else MemoryTarget(action.name, parameters, _MEMORY_SHAPES.get(action.name, Shape()))


def _wrapped_target(action: ReplayAction, reader: CodeReader) -> Target | Missing:
    module, _, name = action.source.rpartition(".")
    found = reader.cls(action.source)
    if found is None and not (module and name[:1].isupper()):
        return Missing(f"no module {action.source} is found from here: call this from the project's folder")
    names = (name, *action.name.split("."))
    if not all(is_name(part) and not part.startswith("_") for part in names):
        return Missing("it has no name that can be written in Python")
    method = None if found is None else found.methods.get(action.name)
    if method is not None and _unfit(method.parameters, own_arguments(action.arguments)):
        method = None
    return WrappedTarget(
        action.source, action.name, method, _shape_of(action, method.shape if method is not None else Shape())
    )


def output_in_test(action: ReplayAction, shape: Shape) -> Any:
    """Return what a test gets of the call: of a streamed answer the pieces alone."""
    output = action.output
    if shape.is_stream and isinstance(output, list) and output and isinstance(output[-1], Answer):
        return output[:-1]
    return output


def agreeing(calls: list[Mapping[str, Any]]) -> frozenset[str]:
    """Return the names of the arguments that all *calls* have, and have the same."""
    if not calls:
        return frozenset()
    first, *others = calls
    return frozenset(name for name in first if all(repr(each.get(name, each)) == repr(first[name]) for each in others))
