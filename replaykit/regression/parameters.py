"""What a function takes, and how a call with recorded arguments is written."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from replaykit.model import Structured

__all__ = [
    "REQUIRED",
    "DoesNotFit",
    "Expression",
    "Parameter",
    "WrittenArguments",
    "is_default",
    "parameters_of",
    "signature_of",
    "written",
]

REQUIRED = object()
"""Instead of a default: there is none."""

_Kind = inspect._ParameterKind


@attrs.frozen
class Expression:
    """A default that is more than a literal, as it is written: ``Color.RED``."""

    source: str


@attrs.frozen
class Parameter:
    """One parameter; *default* is the value itself, an `Expression` or `REQUIRED`."""

    BY_PLACE: ClassVar[_Kind] = _Kind.POSITIONAL_ONLY
    BY_NAME: ClassVar[_Kind] = _Kind.KEYWORD_ONLY
    STAR: ClassVar[_Kind] = _Kind.VAR_POSITIONAL
    STARS: ClassVar[_Kind] = _Kind.VAR_KEYWORD

    name: str
    kind: _Kind
    default: Any = REQUIRED


@attrs.frozen
class WrittenArguments:
    """The arguments that a call is written with, by place and by name; what is left out has its default."""

    by_place: tuple[tuple[str, Any], ...]
    by_name: Mapping[str, Any]


class DoesNotFit(Exception):
    """The function takes other arguments than were recorded; the text says which."""


def parameters_of(arguments: ast.arguments, *, skip_first: bool) -> tuple[Parameter, ...]:
    """Return the parameters of a definition in source code, without the first one (self, cls) with *skip_first*."""
    both = [*arguments.posonlyargs, *arguments.args]
    values = list(map(_literal, arguments.defaults))
    defaults = [REQUIRED] * (len(both) - len(values)) + values
    kinds = [_Kind.POSITIONAL_ONLY] * len(arguments.posonlyargs) + [_Kind.POSITIONAL_OR_KEYWORD] * len(arguments.args)
    found = [Parameter(each.arg, kind, default) for each, kind, default in zip(both, kinds, defaults, strict=True)]
    found = found[1:] if skip_first else found
    if arguments.vararg is not None:
        found.append(Parameter(arguments.vararg.arg, _Kind.VAR_POSITIONAL))
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(Parameter(each.arg, _Kind.KEYWORD_ONLY, REQUIRED if default is None else _literal(default)))
    if arguments.kwarg is not None:
        found.append(Parameter(arguments.kwarg.arg, _Kind.VAR_KEYWORD))
    return tuple(found)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Expression(ast.unparse(node))


def signature_of(method: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the parameters of a method of ours, without self."""
    found = list(inspect.signature(method).parameters.values())[1:]
    return tuple(
        Parameter(each.name, each.kind, REQUIRED if each.default is each.empty else each.default) for each in found
    )


def written(parameters: tuple[Parameter, ...], arguments: Mapping[str, Any]) -> WrittenArguments:
    """
    Return how a person writes a call with *arguments*: required ones by place, by name what is not as by default.

    What was not recorded of a call (a callback, say) is given as None where it has to be given.

    Raises:
        DoesNotFit: An argument has no parameter (any more).
    """
    rest = dict(arguments)
    by_place: list[tuple[str, Any]] = []
    by_name: dict[str, Any] = {}
    star = next((each.name for each in parameters if each.kind is _Kind.VAR_POSITIONAL), None)
    starred = rest.pop(star, ()) if star is not None else ()
    starred = () if starred is None else starred
    if not isinstance(starred, (list, tuple)):
        raise DoesNotFit(f"*{star} was recorded as {type(starred).__name__}")
    is_in_order = True
    for each in parameters:
        if each.kind in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD):
            continue
        is_given = _is_given(each, rest) or (bool(starred) and each.kind is not _Kind.KEYWORD_ONLY)
        is_in_order = is_in_order and is_given
        value = rest.pop(each.name, None if _is_unknown(each) else each.default)
        if not is_given:
            continue
        if _goes_by_place(each, is_in_order=is_in_order, before_star=bool(starred)):
            by_place.append((each.name, value))
        elif each.kind is _Kind.POSITIONAL_ONLY:
            raise DoesNotFit(f"{each.name!r} has to stand behind what was not recorded")
        else:
            by_name[each.name] = value
    takes_any = next((each.name for each in parameters if each.kind is _Kind.VAR_KEYWORD), None)
    if takes_any is None and rest:
        raise DoesNotFit(f"it has no parameter {next(iter(rest))!r} now")
    return WrittenArguments((*by_place, *((star or "", value) for value in starred)), {**by_name, **rest})


def _is_given(parameter: Parameter, arguments: Mapping[str, Any]) -> bool:
    if parameter.name not in arguments:
        return parameter.default is REQUIRED
    return parameter.default is REQUIRED or not is_default(parameter, arguments[parameter.name])


def _is_unknown(parameter: Parameter) -> bool:
    """Whether nobody knows what stands for an argument that is not given."""
    return parameter.default is REQUIRED or isinstance(parameter.default, Expression)


def is_default(parameter: Parameter, value: Any) -> bool:
    """Whether *value* is what the parameter has when it is not given, as far as the source tells."""
    if isinstance(parameter.default, Expression):
        is_member = isinstance(value, Structured) and value.is_enum and isinstance(value.type_name, str)
        member = f"{value.type_name.rpartition('.')[2]}.{value.fields.get('name')}" if is_member else ""
        return parameter.default.source == member
    # 1, 1.0 and True are not the same argument; neither are -0.0 and 0.0.
    return repr(value) == repr(parameter.default)


def _goes_by_place(parameter: Parameter, *, is_in_order: bool, before_star: bool) -> bool:
    if parameter.kind is _Kind.KEYWORD_ONLY:
        return False
    is_plain = parameter.default is REQUIRED or parameter.kind is _Kind.POSITIONAL_ONLY
    return before_star or (is_in_order and is_plain)
