"""Arguments by name: what a call is recorded under."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit.intercept.binding import binder_of

Kind = inspect._ParameterKind
_NAMES = [
    "query",
    "k",
    "print",
    "self",
    "cls",
    "args",
    "kwargs",
    "eval",
    "lambda_",
    "replaykit_default_0",
    "_x",
    "été",
]
_DEFAULTS = [None, 0, "text", [], {}, object(), print, Ellipsis, float("nan"), lambda: 1]


@st.composite
def signatures(draw: st.DrawFn) -> inspect.Signature:
    """Any signature that Python allows, in any mixture of kinds and defaults."""
    names = draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=7))
    kinds = sorted(draw(st.sampled_from(list(Kind))) for _ in names)
    parameters: list[inspect.Parameter] = []
    has_default = False
    for name, kind in zip(names, kinds, strict=True):
        starred = kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)
        if starred and any(item.kind == kind for item in parameters):
            continue
        optional = draw(st.booleans()) or (has_default and kind in (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD))
        default = inspect.Parameter.empty if starred or not optional else draw(st.sampled_from(_DEFAULTS))
        if default is not inspect.Parameter.empty and kind is not Kind.KEYWORD_ONLY:
            has_default = True
        parameters.append(inspect.Parameter(name, kind, default=default))
    return inspect.Signature(parameters)


class Shown:
    """A callable that has any signature."""

    def __init__(self, signature: inspect.Signature) -> None:
        self.__signature__ = signature

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Take anything."""


def expected(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """What ``inspect`` binds, keywords merged in, bare objects (they were not given) left out; None for a misfit."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    found = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is Kind.VAR_KEYWORD and not set(found[name]) & (set(found) - {name}):
            found.update(found.pop(name))
    return {name: value for name, value in found.items() if type(value) is not object}


@given(
    signatures(),
    st.lists(st.integers(), max_size=6),
    st.dictionaries(st.sampled_from([*_NAMES, "extra"]), st.integers(), max_size=4),
)
def test_names_are_those_that_inspect_binds(
    signature: inspect.Signature, args: list[int], kwargs: dict[str, int]
) -> None:
    """For every signature and every call: the names and values of ``inspect``, defaults filled in."""
    bind = binder_of(Shown(signature))
    wanted = expected(signature, tuple(args), kwargs)

    got = bind(*args, **kwargs)

    if wanted is None:
        # It raises TypeError by itself; what was given is kept all the same.
        given_keywords = got.pop("kwargs") if args and "args" in kwargs else {**got}
        assert tuple(args) == (got.get("args", ()) if args else ())
        assert kwargs.items() <= given_keywords.items()
    else:
        assert wanted.keys() == got.keys()
        assert all(wanted[name] is got[name] or wanted[name] == got[name] for name in wanted)


@given(signatures())
def test_skipping_the_first_leaves_self_out(signature: inspect.Signature) -> None:
    """A method's first parameter is neither asked for nor named."""
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].kind is Kind.VAR_POSITIONAL:
        return
    shorter = signature.replace(parameters=parameters[1:])
    args = tuple(range(sum(item.kind <= Kind.POSITIONAL_OR_KEYWORD for item in parameters[1:])))

    wanted = expected(shorter, args, {})

    if wanted is not None:
        assert wanted.keys() == binder_of(Shown(signature), skip_first=True)(*args).keys()


def test_keywords_that_have_a_parameters_name_lose_nothing() -> None:
    """A positional-only ``query`` and a keyword ``query`` are two values."""

    def search(query: str, /, *args: int, **extra: Any) -> None: ...

    bind = binder_of(search)

    assert bind("a", 1, query="b", deep=True) == {
        "query": "a",
        "args": (1,),
        "extra": {"query": "b", "deep": True},
    }
    assert bind("a", deep=True) == {"query": "a", "args": (), "deep": True}


def test_a_default_is_the_very_object() -> None:
    """Defaults are handed over, never copied or written as source."""
    marker: list[int] = []

    def search(query: object = marker) -> None: ...

    assert binder_of(search)()["query"] is marker


def test_a_default_that_only_says_not_given_is_no_argument() -> None:
    """It has no stored form, and would make the whole call one that cannot be replayed."""
    unset = object()

    def update(name: str, /, text: object = unset, *, day: object = unset) -> None: ...

    bind = binder_of(update)

    assert [bind("a"), bind("a", None), bind("a", day=1)] == [
        {"name": "a"},
        {"name": "a", "text": None},
        {"name": "a", "day": 1},
    ]


def test_a_method_is_looked_at_once_for_all_objects_of_its_class() -> None:
    """Unless its defaults are set anew; and what is left out of one recording is in another."""

    class Shelf:
        def find(self, query: str, k: int = 3) -> None: ...

    bind = binder_of(Shelf().find)
    assert binder_of(Shelf().find) is bind
    assert binder_of(Shelf().find, omit=["k"])("a") == {"query": "a"}
    assert bind("a") == {"query": "a", "k": 3}
    Shelf.find.__defaults__ = (4,)
    assert binder_of(Shelf().find)("a") == {"query": "a", "k": 4}


@pytest.mark.parametrize(("function", "args"), [(dict.fromkeys, ([1],)), (max, (1, 2)), (len, ([],))])
def test_a_builtin_is_bound_as_far_as_it_can_be(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """A function without a signature gives ``args``; one with a signature its own names."""
    assert list(binder_of(function)(*args).values()) in ([args], list(args), [*args, None])


def test_a_broken_signature_costs_nothing_but_the_names() -> None:
    """``__signature__`` of a foreign object may raise what it likes."""

    class Broken:
        @property
        def __signature__(self) -> Any:
            raise RuntimeError("no")

        def __call__(self, *args: Any) -> None: ...

    assert binder_of(Broken())(1, 2) == {"args": (1, 2)}


def test_a_wrong_call_raises_the_targets_own_error_and_is_recorded() -> None:
    """The message is Python's own, as without us; the action has the error and what was given."""

    def plain(query: str, k: int = 5) -> None: ...

    recorded = replaykit.records("find")(plain)
    with pytest.raises(TypeError) as without:
        plain(1, 2, 3, depth=4)  # type: ignore[call-arg,arg-type]

    with replaykit.session(store="runs.rpk") as session, pytest.raises(TypeError) as caught:
        recorded(1, 2, 3, depth=4)  # type: ignore[call-arg,arg-type]

    assert str(without.value) == str(caught.value)
    assert session.result is not None
    (action,) = session.result.actions
    assert action.arguments == {"args": (1, 2, 3), "depth": 4}
    assert action.error is not None
    assert action.error.type == "TypeError"
