"""What an ask takes besides the question, k and the model: how to find, and how the model is to answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict, TypeGuard
from urllib.parse import urlsplit

import attrs

from replaykit.errors import UsageError

__all__ = ["DEFAULT_TIMEOUT_S", "AskOptions", "ModelOptions", "separated"]

DEFAULT_TIMEOUT_S = 60.0
"""How long a server may take to accept a request, and then for each next piece of its answer."""


class AskOptions(TypedDict, total=False):
    """The keywords of ask; what is None counts as not given."""

    mode: str
    """As in `find`."""
    where: Mapping[str, Any] | None
    """As in `find`."""
    base_url: str | None
    """Where the model's server is."""
    api_key: str | None
    """Never recorded."""
    timeout_s: float | None
    """Seconds to wait for the server: to accept the request, and for each next piece of the answer."""
    temperature: float | None
    max_tokens: int | None
    """How long the answer may be."""
    system: str | None
    """Instructions in place of the usual ones."""


_SEARCH = frozenset({"mode", "where"})
"""What goes to `find`; the rest goes to the model."""


def _demand(name: str, value: object, *, holds: bool, wanted: str) -> None:
    if not holds:
        # The value of a key must not get into an error.
        shown = type(value).__name__ if name == "api_key" else repr(value)[:80]
        raise UsageError(f"{name} must be {wanted}, not {shown}")


def _text(_options: Any, attribute: Any, value: object) -> None:
    holds = value is None or (isinstance(value, str) and bool(value))
    _demand(attribute.name, value, holds=holds, wanted="a text that is not empty")


def _url(_options: Any, attribute: Any, value: object) -> None:
    holds = value is None or (isinstance(value, str) and _is_url(value))
    _demand(attribute.name, value, holds=holds, wanted="a URL like http://localhost:8000/v1")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_place and parts.scheme in ("http", "https") and text.isprintable() and " " not in text


def _positive(_options: Any, attribute: Any, value: object) -> None:
    holds = value is None or (_is_number(value) and value > 0)
    _demand(attribute.name, value, holds=holds, wanted="a number of seconds above 0")


def _number(_options: Any, attribute: Any, value: object) -> None:
    holds = value is None or (_is_number(value) and value >= 0)
    _demand(attribute.name, value, holds=holds, wanted="a number from 0")


def _count(_options: Any, attribute: Any, value: object) -> None:
    holds = value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)
    _demand(attribute.name, value, holds=holds, wanted="a whole number above 0")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@attrs.frozen(kw_only=True)
class ModelOptions:
    """
    How a model is to be asked; None leaves it to the model.

    Raises:
        UsageError: A value is none that could be meant.
    """

    base_url: str | None = attrs.field(default=None, validator=_url)
    api_key: str | None = attrs.field(default=None, validator=_text, repr=False)
    timeout_s: float | None = attrs.field(default=None, validator=_positive)
    temperature: float | None = attrs.field(default=None, validator=_number)
    max_tokens: int | None = attrs.field(default=None, validator=_count)
    system: str | None = attrs.field(default=None, validator=_text)

    def given(self) -> list[str]:
        """Return the names of the options that were given."""
        return [field.name for field in attrs.fields(ModelOptions) if getattr(self, field.name) is not None]


def separated(options: Mapping[str, Any]) -> tuple[dict[str, Any], ModelOptions]:
    """
    Return what of *options* is for `find`, and what is for the model.

    Raises:
        UsageError: There is no such option, or a value is none that could be meant.
    """
    known = AskOptions.__annotations__
    unknown = sorted(options.keys() - known.keys())
    if unknown:
        raise UsageError(f"ask has no option {unknown[0]!r}; it takes model, {', '.join(known)}")
    given = {name: value for name, value in options.items() if value is not None}
    search = {name: value for name, value in given.items() if name in _SEARCH}
    return search, ModelOptions(**{name: value for name, value in given.items() if name not in _SEARCH})
