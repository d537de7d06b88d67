"""Recorded calls as the lines of a test: what is called, with which arguments, and what is asserted of the result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.facts import SELF, own_arguments
from replaykit.model import Failure, Frame, ReplayAction
from replaykit.playback.rebuilding import error_of
from replaykit.regression.assertions import Claim, claims_on, is_said_inline
from replaykit.regression.call_targets import (
    FunctionTarget,
    MemoryTarget,
    Target,
    WrappedTarget,
    agreeing,
    output_in_test,
)
from replaykit.regression.code_reading import CodeReader, FoundFunction, Shape
from replaykit.regression.imports import Imports, is_name
from replaykit.regression.layout import WIDTH, Bracket, Node, flat, statement, text_lines, text_literal
from replaykit.regression.literals import Literals, NoLiteral
from replaykit.regression.parameters import Expression, Parameter, WrittenArguments, is_default, written

__all__ = ["Call", "CallWriter", "Stub"]

_LONG_TEXT = 120
_MATCHED = 60
_RESULTS = {"find": "hits", "ask": "answer", "put": "frame_id", "put_many": "frame_ids"}
_SPOKEN = frozenset({"query", "question", "q", "text", "texts", "content", "document", "prompt", "input", "key"})
_SPECIAL = frozenset(".^$*+?{}[]\\|()")


@attrs.frozen
class Call:
    """A recorded call that a test makes, and what it makes it on."""

    action: ReplayAction
    target: Target

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What is given in the call: the settings of its object are not."""
        return own_arguments(self.action.arguments)

    @property
    def is_of_a_bare_object(self) -> bool:
        """Whether the test makes it on an object of its own, which has not the settings of the recorded one."""
        return isinstance(self.target, FunctionTarget) and SELF in self.action.arguments.keys() - self.arguments.keys()


@attrs.frozen
class Stub:
    """A method of a class that stands for a wrapped object's."""

    parameters: tuple[Parameter, ...]
    shape: Shape


class CallWriter:
    """
    Writes the calls of one test.

    Attributes:
        ignored: Arguments that do not count.  What cannot be written down is one: the test gives None in its place.
        exceptions: Classes that recorded failures come back as, by module and name.
        stubbed: Classes of wrapped objects whose stand-ins need signatures, each with its methods and their parameters.
    """

    def __init__(self, calls: Sequence[Call], imports: Imports, reader: CodeReader) -> None:
        self._imports = imports
        self._reader = reader
        self._literals = Literals(imports, reader)
        self._left_out = _left_out(calls)
        self.ignored = sorted({name for call in calls for name in self._unwritable(call)})
        self.exceptions = self._declared(calls)
        self.stubbed = _needing_signatures(calls)
        self._stand_ins: dict[tuple[str, ...], str] = {}

    def _unwritable(self, call: Call) -> Iterator[str]:
        if call.is_of_a_bare_object:
            yield SELF
        for name, value in call.arguments.items():
            try:
                Literals(Imports(), self._reader).of(value)
            except NoLiteral:
                yield name

    def _declared(self, calls: Sequence[Call]) -> list[tuple[str, str]]:
        failures = [call.action.error for call in calls if isinstance(call.target, FunctionTarget)]
        types = {failure.type for failure in failures if failure is not None and not _is_known(failure)}
        return sorted(
            (found.module, found.name) for each in types if (found := self._reader.own_class(each)) is not None
        )

    # -- what calls are made on -----------------------------------------------------

    def stand_in(self, key: tuple[str, ...], name: str) -> str:
        """Return the variable that stands for an object, the same one for the same *key*."""
        if key not in self._stand_ins:
            self._stand_ins[key] = self._imports.variable(name)
        return self._stand_ins[key]

    def class_of(self, found: FoundFunction) -> str:
        """Return how the class of a method is called."""
        first, *inner = found.path[:-1]
        return ".".join([self._imports.name(found.module, first), *inner])

    def _called(self, target: Target) -> str:
        if isinstance(target, MemoryTarget):
            return f"{self.stand_in(('memory',), 'memory')}.{target.name}"
        if isinstance(target, WrappedTarget):
            return f"{self.stand_in((target.source,), target.source.rpartition('.')[2])}.{target.name}"
        found = target.found
        if len(found.path) == 1:
            return self._imports.name(found.module, found.path[0])
        if found.needs_instance:
            return f"{self.stand_in((found.module, *found.path[:-1]), found.path[-2])}.{found.path[-1]}"
        return f"{self.class_of(found)}.{found.path[-1]}"

    # -- one call -------------------------------------------------------------------

    def lines(self, call: Call, indent: int) -> Iterator[str]:
        """Yield the lines that make the call and look at what came of it."""
        texts: list[str] = []
        made = Bracket(f"{self._called(call.target)}(", self._arguments(call, indent, texts), ")")
        yield from texts
        if call.action.error is not None:
            yield from self._failing(call, made, indent)
        else:
            yield from self._answered(call, made, indent)

    def _failing(self, call: Call, made: Bracket, indent: int) -> Iterator[str]:
        assert call.action.error is not None  # it is what this is called for
        raises = Bracket(f"{self._imports.module('pytest')}.raises(", tuple(self._expected(call.action.error)), ")")
        yield statement(indent, "with ", raises, ":")
        yield from self._result(call, made, indent + 4, "")

    def _answered(self, call: Call, made: Bracket, indent: int) -> Iterator[str]:
        shape = call.target.shape
        output = output_in_test(call.action, shape)
        if output is None:
            yield from self._result(call, made, indent, "")
            return
        if is_said_inline(output, self._literals) and not (shape.is_stream or isinstance(output, (tuple, set))):
            (claim,) = claims_on(output, f"{'await ' if shape.is_async else ''}{flat(made)}", self._literals)
            line = _claimed(claim, indent)
            if len(line) <= WIDTH and "\n" not in line:
                yield line
                return
        wanted = "items" if shape.is_stream else _result_name(call.action)
        claims = list(claims_on(output, wanted, self._literals))
        variable = self._imports.variable(wanted) if claims else ""
        yield from self._result(call, made, indent, f"{variable} = " if variable else "")
        yield from (_claimed(claim, indent) for claim in claims_on(output, variable, self._literals) if variable)

    def _result(self, call: Call, made: Bracket, indent: int, before: str) -> Iterator[str]:
        """Yield the call itself, awaited or read to its end."""
        shape = call.target.shape
        if shape.is_async and shape.is_stream:
            read = f"[item async for item in {flat(made)}]"
            if indent + len(before) + len(read) <= WIDTH:
                yield " " * indent + before + read
                return
            stream = self._imports.variable("stream")
            yield statement(indent, f"{stream} = ", made)
            yield f"{' ' * indent}{before}[item async for item in {stream}]"
        elif shape.is_stream:
            yield statement(indent, before, Bracket("list(", (("", made),), ")"))
        else:
            yield statement(indent, before + ("await " if shape.is_async else ""), made)

    # -- arguments ------------------------------------------------------------------

    def _arguments(self, call: Call, indent: int, texts: list[str]) -> tuple[tuple[str, Node], ...]:
        given = self._given(call)
        items = [("", self._argument(name, value, indent, texts)) for name, value in given.by_place]
        named = {name: value for name, value in given.by_name.items() if is_name(name)}
        items += [(f"{name}=", self._argument(name, value, indent, texts)) for name, value in named.items()]
        others = {name: value for name, value in given.by_name.items() if name not in named}
        return (*items, *((("**", self._literals.of(others)),) if others else ()))

    def _given(self, call: Call) -> WrittenArguments:
        target, arguments = call.target, dict(call.arguments)
        if isinstance(target, WrappedTarget):
            return self._unsigned(target, arguments)
        if isinstance(target, MemoryTarget) and target.name == "restore":
            return WrittenArguments((), {"generation": arguments["moment"]})
        parameters = target.parameters if isinstance(target, MemoryTarget) else target.found.parameters
        return written(parameters, {**arguments, **self._ignored_in(arguments)})

    def _ignored_in(self, arguments: Mapping[str, Any]) -> dict[str, None]:
        return {name: None for name in self.ignored if name in arguments}

    def _unsigned(self, target: WrappedTarget, arguments: dict[str, Any]) -> WrittenArguments:
        stub = self.stubbed.get(target.source, {}).get(target.name)
        if stub is not None:
            return written(stub.parameters, {**arguments, **self._ignored_in(arguments)})
        dropped = self._left_out[target.name] | frozenset(self.ignored)
        given = {name: value for name, value in arguments.items() if name not in dropped}
        first = next(iter(arguments), None)
        if first in given and _may_go_by_place(first, target):
            return WrittenArguments(((first, given.pop(first)),), given)
        return WrittenArguments((), given)

    def _argument(self, name: str, value: Any, indent: int, texts: list[str]) -> Node:
        if not isinstance(value, str) or len(text_literal(value)) <= _LONG_TEXT:
            return self._literals.of(value)
        parts = list(text_lines(value))
        variable = self._imports.variable(name)
        if len(parts) == 1:
            texts.append(f"{' ' * indent}{variable} = {parts[0]}")
        else:
            inside = [" " * (indent + 4) + part for part in parts]
            texts.append("\n".join([f"{' ' * indent}{variable} = (", *inside, f"{' ' * indent})"]))
        return variable

    # -- failures -------------------------------------------------------------------

    def _expected(self, failure: Failure) -> Iterator[tuple[str, Node]]:
        module, _, name = failure.type.rpartition(".")
        message = failure.message
        if _is_known(failure):
            error = error_of(failure)
            message = str(error)
            own = "" if not module else f"{self._imports.module('replaykit')}.errors."
            yield "", f"{own}{type(error).__name__}"
        elif (module, name) in self.exceptions:
            # A class of one's own may say more than it was given.
            message = message if failure.args == (message,) else ""
            yield "", self._imports.name(module, name)
        else:
            yield "", f"{self._imports.module('replaykit')}.errors.RecordedError"
        said = message.strip().split("\n")[0][:_MATCHED].strip()
        if said and not _SPECIAL.isdisjoint(said):
            yield "match=", Bracket(f"{self._imports.module('re')}.escape(", (("", text_literal(said)),), ")")
        elif said:
            yield "match=", text_literal(said)


def _needing_signatures(calls: Sequence[Call]) -> dict[str, dict[str, Stub]]:
    """Return the methods of the classes that have async ones: without signatures nobody could await them."""
    same: dict[str, dict[str, list[tuple[WrappedTarget, Call]]]] = {}
    for call in calls:
        if isinstance(call.target, WrappedTarget) and "." not in call.target.name:
            same.setdefault(call.target.source, {}).setdefault(call.target.name, []).append((call.target, call))
    stubs = {source: {name: _stub_of(found) for name, found in methods.items()} for source, methods in same.items()}
    awaited = [source for source, methods in stubs.items() if any(each.shape.is_async for each in methods.values())]
    return {source: stubs[source] for source in sorted(awaited)}


def _stub_of(calls: Sequence[tuple[WrappedTarget, Call]]) -> Stub:
    """Return the stub that takes all of *calls*, which are of one method."""
    shape = next((target.shape for target, _ in calls if target.shape.is_async), calls[0][0].shape)
    methods = [target.method for target, _ in calls]
    if methods[0] is not None and None not in methods:
        return Stub(tuple(map(_with_a_default, methods[0].parameters)), shape)
    names = dict.fromkeys(name for _, call in calls for name in call.arguments)
    named = [Parameter(name, Parameter.BY_NAME, None) for name in names if is_name(name)]
    others = [Parameter("others", Parameter.STARS)] if len(named) < len(names) else []
    return Stub((*named, *others), shape)


def _may_go_by_place(first: str, target: WrappedTarget) -> bool:
    """Whether the *first* argument needs no name: of a class that nobody knows where the name says what it is."""
    if target.method is not None:
        return target.method.parameters[0].kind not in (Parameter.BY_NAME, Parameter.STAR, Parameter.STARS)
    return first in _SPOKEN


def _with_a_default(parameter: Parameter) -> Parameter:
    # What is not given to the stand-in is None in all recorded calls, or this default.
    return attrs.evolve(parameter, default=None) if isinstance(parameter.default, Expression) else parameter


def _is_known(failure: Failure) -> bool:
    """Whether a play gives the failure back as the built-in exception, or ours, that it was."""
    error = error_of(failure)
    return type(error).__name__ == failure.type.rpartition(".")[2] and type(error).__module__ in (
        "builtins",
        "replaykit.errors",
    )


def _claimed(claim: Claim, indent: int) -> str:
    if claim.right is None:
        return statement(indent, "assert ", claim.left)
    return statement(indent, f"assert {flat(claim.left)} {claim.operator} ", claim.right)


def _result_name(action: ReplayAction) -> str:
    if action.kind == "find" and getattr(action.action_type, "mode", "") == "id":
        return "frame" if isinstance(action.output, Frame) else "found"
    return _RESULTS.get(action.kind, "result")


def _left_out(calls: Sequence[Call]) -> Mapping[str, frozenset[str]]:
    """
    Return by the names of wrapped methods the arguments that need not be given: all calls have them as by default.

    What is not given to a stand-in does not count where the recorded calls
    agree in it.
    """
    by_name: defaultdict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_name[call.action.name].append(call)
    found = {}
    for name, same in by_name.items():
        agreed = agreeing([call.arguments for call in same])
        found[name] = frozenset(each for each in agreed if all(_is_default(call, each) for call in same))
    return found


def _is_default(call: Call, name: str) -> bool:
    value = call.arguments[name]
    method = call.target.method if isinstance(call.target, WrappedTarget) else None
    parameters = method.parameters if method is not None else ()
    return value is None or any(each.name == name and is_default(each, value) for each in parameters)
