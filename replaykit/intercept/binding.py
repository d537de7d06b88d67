"""Arguments by name: a binder is compiled once per function, so that no call pays for ``inspect``."""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

__all__ = ["Binder", "binder_of", "exact_binder", "unnamed"]

Binder = Callable[..., dict[str, Any]]
"""Called like the function itself; returns the arguments by parameter name, defaults filled in."""

_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD


def binder_of(
    function: Any, *, skip_first: bool = False, omit: Collection[str] = (), unset: Collection[str] = ()
) -> Binder:
    """
    Return the binder of *function*; it leaves out the parameters in *omit*, and objects of classes named in *unset*.

    With *skip_first* the first parameter (self, cls) is not given and not named.
    ``**kwargs`` are merged in, ``*args`` are a tuple under their own name.  A
    parameter that has its default and this is a bare ``object()`` was not given
    and is not named.
    In a call whose keywords have the name of a parameter, all of them stay
    together under theirs.  A function without a signature, and a call that
    does not fit its signature (it is about to raise TypeError by itself),
    give ``args`` and the keywords.
    """
    method = _plain_method_of(function)
    if method is None:
        return _made(function, skip_first=skip_first, omit=omit, unset=unset)
    # Each object that is wrapped comes with the methods of its class.
    known = _of_methods.setdefault(method, {})
    key = skip_first, frozenset(omit), frozenset(unset)
    defaults, more, bind = known.get(key, (None, None, None))
    if bind is None or defaults is not method.__defaults__ or more is not method.__kwdefaults__:
        bind = _made(function, skip_first=skip_first, omit=omit, unset=unset)
        known[key] = method.__defaults__, method.__kwdefaults__, bind
    return bind


_Known = dict[Any, tuple[Any, Any, Binder | None]]
_of_methods: weakref.WeakKeyDictionary[types.FunctionType, _Known] = weakref.WeakKeyDictionary()
"""Binders by what was asked for, with the defaults that they hand over."""


def _plain_method_of(function: Any) -> types.FunctionType | None:
    """Return the function behind a bound method, None where something else may say what its parameters are."""
    if type(function) is not types.MethodType:
        return None
    method = function.__func__
    return method if type(method) is types.FunctionType and not method.__dict__ else None


def _made(function: Any, *, skip_first: bool, omit: Collection[str], unset: Collection[str]) -> Binder:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except Exception:
        # A foreign __signature__ may raise anything; the function can be
        # called all the same.
        return unnamed
    if skip_first and parameters and parameters[0].kind is not _VAR_POSITIONAL:
        parameters = parameters[1:]
    bind = _binder(parameters, omit)
    return _forgiving(_given_only(bind, frozenset(unset)) if unset else bind)


def exact_binder(bind: Binder) -> Binder:
    """Return what *bind* does with a call that fits the signature; it raises TypeError for others."""
    exact: Binder = getattr(bind, "exact", bind)
    return exact


def _given_only(bind: Binder, unset: frozenset[str]) -> Binder:
    def given(*args: Any, **kwargs: Any) -> dict[str, Any]:
        found = bind(*args, **kwargs)
        return {name: value for name, value in found.items() if type(value).__name__ not in unset}

    return given


def unnamed(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call of which no more is known."""
    if not args:
        return kwargs
    return {"args": args, "kwargs": kwargs} if "args" in kwargs else {"args": args, **kwargs}


def _forgiving(bind: Binder) -> Binder:
    def forgiving(*args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return bind(*args, **kwargs)
        except TypeError:
            return unnamed(*args, **kwargs)

    forgiving.exact = bind  # type: ignore[attr-defined]  # for `exact_binder`
    return forgiving


def _binder(parameters: Sequence[inspect.Parameter], omit: Collection[str]) -> Binder:
    bind = _compiled(parameters, omit, merges=True)
    hidden = frozenset(
        parameter.name for parameter in parameters if parameter.kind in (_POSITIONAL_ONLY, _VAR_POSITIONAL)
    )
    if not hidden or parameters[-1].kind is not _VAR_KEYWORD:
        return bind
    apart = _compiled(parameters, omit, merges=False)

    def unambiguous(*args: Any, **kwargs: Any) -> dict[str, Any]:
        # Only these names can be a parameter's and a keyword's in one call.
        return bind(*args, **kwargs) if hidden.isdisjoint(kwargs) else apart(*args, **kwargs)

    return unambiguous


def _compiled(parameters: Sequence[inspect.Parameter], omit: Collection[str], *, merges: bool) -> Binder:
    """
    Build ``lambda query, k=default, *, mode=default, **extra: {...}`` with the function's own parameters.

    The source is made of parameter names only, which Python has already
    accepted as identifiers; defaults come in through the namespace.  One that
    is a bare ``object()`` only says that nothing was given.
    """
    scope: dict[str, Any] = {"__builtins__": {}}
    parts: list[str] = []
    items: list[str] = []
    for index, parameter in enumerate(parameters):
        variable = _variable(index, parameter)
        parts += _separators(parameters, index)
        if parameter.default is parameter.empty:
            parts.append(_STARS.get(parameter.kind, "") + variable)
        else:
            scope[f"replaykit_default_{index}"] = parameter.default
            parts.append(f"{variable}=replaykit_default_{index}")
        is_merged = merges and parameter.kind is _VAR_KEYWORD
        item = f"**{variable}" if is_merged else f"{parameter.name!r}: {variable}"
        if type(parameter.default) is object:
            item = f"**({{{item}}} if {variable} is not replaykit_default_{index} else {{}})"
        if parameter.name not in omit:
            items.append(item)
    if parameters and parameters[-1].kind is _POSITIONAL_ONLY:
        parts.append("/")
    bind: Binder = eval(f"lambda {', '.join(parts)}: {{{', '.join(items)}}}", scope)  # noqa: S307 - see above
    return bind


_STARS: dict[Any, str] = {_VAR_POSITIONAL: "*", _VAR_KEYWORD: "**"}


def _variable(index: int, parameter: inspect.Parameter) -> str:
    """Return the name of the variable; that of a positional-only parameter may be a keyword of Python's."""
    return f"replaykit_positional_{index}" if parameter.kind is _POSITIONAL_ONLY else parameter.name


def _separators(parameters: Sequence[inspect.Parameter], index: int) -> list[str]:
    """Return the ``/`` or ``*`` that stands before a parameter."""
    kind = parameters[index].kind
    before = parameters[index - 1].kind if index else None
    found = ["/"] if before is _POSITIONAL_ONLY and kind is not _POSITIONAL_ONLY else []
    if kind is _KEYWORD_ONLY and before not in (_KEYWORD_ONLY, _VAR_POSITIONAL):
        found.append("*")
    return found
