"""
Own patterns that cannot blow up: `pattern` makes a redactor of regular expressions.

Two engines share the work.  Hyperscan, linear whatever the expression is, says
whether and where something ends that must go.  Where it begins is found by
``re``, only near such an end and with every repeat possessive, so that it
never tries another way.  If Hyperscan still finds something after that, the
whole text goes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from replaykit.errors import RedactionError
from replaykit.redactors.scanner import Loader, load_hyperscan
from replaykit.redactors.search import PLACEHOLDERS, placeholder, windows_around

__all__ = ["Pattern", "pattern"]

_NAME = re.compile(r"[a-z]{1,32}")
_REACH_BYTES = 512
"""A match that is longer costs the whole text that it stands in."""


def pattern(name: str, *expressions: str, ignore_case: bool = False, load: Loader = load_hyperscan) -> Pattern:
    r"""
    Return a redactor that replaces all that *expressions* match by ``[redacted:NAME]``.

    For ``redact=("secrets", pattern("employee", r"EMP-[0-9]{6}"))``.  It takes
    time linear in the text, whatever the expressions are.  What
    Hyperscan does not do (lookaround, references, matches of nothing) is
    refused.  They see UTF-8: a character beyond ASCII is several bytes.  Of a
    match that cannot be told from what stands before it, the whole text goes.

    Raises:
        RedactionError: The name is not 1 to 32 lower-case letters, an
            expression is refused, or Hyperscan cannot be loaded.
    """
    if not _NAME.fullmatch(name):
        raise RedactionError(f"pattern({name!r}): the name is 1 to 32 lower-case letters a to z")
    if not expressions:
        raise RedactionError(f"pattern({name!r}): give at least one expression")
    return Pattern(name, expressions, ignore_case, load)


class Pattern:
    """
    What `pattern` returns: a callable ``(path, value)`` for ``redact=``; any number of threads may use it.

    Attributes:
        is_suspect: Says whether packed bytes, of one value or of several end
            to end, may hold what it replaces; None where that depends on what
            stands around a text, so that each has to be asked by itself.
    """

    def __init__(self, name: str, expressions: tuple[str, ...], ignore_case: bool, load: Loader) -> None:
        self._made_of = (name, expressions, ignore_case, load)
        self.__qualname__ = name
        self._placeholder = placeholder(name).encode()
        self._engine, self._database = _compiled(*self._made_of)
        self._exact = _exact(expressions, ignore_case)
        self._local = threading.local()
        is_asked_at_once = all(map(_FREE_OF_CONTEXT.fullmatch, expressions))
        self.is_suspect: Callable[[bytes], bool] | None = self._may_match if is_asked_at_once else None

    def __call__(self, path: object, value: str | bytes) -> str | bytes:
        """Return *value*, a text or bytes, without what matches; itself if nothing does."""
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        ends = self._ends(data)
        if not ends:
            return value
        cleaned = self._replaced(data, ends)
        if self._ends(cleaned):
            cleaned = self._placeholder
        return cleaned if isinstance(value, bytes) else cleaned.decode("utf-8", "replace")

    def _may_match(self, data: bytes) -> bool:
        # Matches in what was redacted before count, too: bytes between two
        # texts may make a placeholder of what is none in its text.
        try:
            self._database.scan(data, _stop, 0, None, self._scratch())
        except self._engine.HyperscanError:
            # Stopped, or already scanning in this thread, which a finaliser
            # or signal handler has interrupted.
            return True
        return False

    def _ends(self, data: bytes) -> list[int]:
        """Return where matches end, but for those in what was redacted before."""
        found: list[int] = []
        self._database.scan(data, _note, context=found, scratch=self._scratch())
        kept = [match.span() for match in PLACEHOLDERS.finditer(data)] if found else []
        return [end for end in found if not any(low < end <= high for low, high in kept)] if kept else found

    def _replaced(self, data: bytes, ends: list[int]) -> bytes:
        pieces, done = [], 0
        for low, high in windows_around(ends, _REACH_BYTES, len(data)):
            at = max(low, done)
            while self._exact is not None and at <= high and (match := self._exact.search(data, at, high)):
                pieces += [data[done : match.start()], self._placeholder]
                at = done = max(match.end(), match.start() + 1)
        return b"".join([*pieces, data[done:]])

    def _scratch(self) -> Any:
        # Never shared by threads that scan at once.
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = self._engine.Scratch(self._database)
        return scratch

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Pattern, self._made_of

    def __repr__(self) -> str:
        return f"pattern({', '.join(map(repr, (self._made_of[0], *self._made_of[1])))})"


def _stop(_which: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
    return True


def _note(_which: int, _start: int, end: int, _flags: int, found: list[int]) -> None:
    found.append(end)


def _compiled(name: str, expressions: tuple[str, ...], ignore_case: bool, load: Loader) -> tuple[Any, Any]:
    try:
        engine = load()
    except (ImportError, OSError) as error:
        raise RedactionError(
            f"pattern({name!r}) needs hyperscan, which cannot be loaded ({type(error).__name__}): "
            "give a callable (path, value) instead, or pip install hyperscan"
        ) from error
    database = engine.Database(mode=engine.HS_MODE_BLOCK)
    try:
        # Not HS_FLAG_SOM_LEFTMOST, which would tell the starts as well: with
        # (a+)+b it brings down the process.
        database.compile(
            expressions=[expression.encode() for expression in expressions],
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[engine.HS_FLAG_CASELESS * ignore_case] * len(expressions),
        )
    except engine.HyperscanError as error:
        raise RedactionError(
            f"pattern({name!r}): an expression cannot run in linear time and is refused ({error}). "
            "Write it without lookaround and references, or give a callable (path, value)"
        ) from error
    return engine, database


# What is listed, and nothing else: no anchor or boundary, no group but plain
# ones, no mode that changes how the rest is read.
_ESCAPE = r"\\(?:[dDwWsSaefnrtx]|[^A-Za-z0-9])"
_FREE_OF_CONTEXT = re.compile(
    r"(?:" + _ESCAPE + r"|\[\^?+\]?+(?:" + _ESCAPE + r"|[^\]\\])*+\]"
    r"|\((?:\?(?:i?:|i\)|P<\w+>))?+(?![?*])|[^\\\[(^$])*+",
    re.DOTALL,
)
"""An expression that matches the same bytes wherever they stand."""

_REPEAT = re.compile(rb"[*+?]|\{[0-9]*,?[0-9]*\}")
_ATOM = re.compile(rb"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?|.", re.DOTALL)


def _exact(expressions: tuple[str, ...], ignore_case: bool) -> re.Pattern[bytes] | None:
    """Return the expressions with every repeat possessive; None where that cannot be said."""
    try:
        joined = b"|".join(b"(?:%s)" % _possessive(expression.encode()) for expression in expressions)
        return re.compile(joined, re.IGNORECASE if ignore_case else 0)
    except (re.error, ValueError):
        return None


def _possessive(expression: bytes) -> bytes:
    pieces, at = [], 0
    while at < len(expression):
        repeat = _REPEAT.match(expression, at)
        part = repeat or _ATOM.match(expression, at)
        if part is None:
            raise ValueError("an open class")
        at = part.end()
        if repeat and expression[at : at + 1] in (b"?", b"+"):
            raise ValueError("a lazy repeat")
        pieces += [part[0], b"+" if repeat else b""]
    return b"".join(pieces)
