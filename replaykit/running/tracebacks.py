"""Tracebacks of uncaught exceptions as they are without us: the frames that recording puts in are taken out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

__all__ = ["hide_our_frames", "without_our_frames"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPORTING = os.path.join(_PACKAGE, "intercept", "importing.py")
_BEGINNING = (
    os.path.join(_PACKAGE, "running", ""),
    os.path.join(_PACKAGE, "intercept", "instrumenting.py"),
    os.path.join(_PACKAGE, "intercept", "shapes.py"),
    os.path.join(_PACKAGE, "intercept", "steps.py"),
    _IMPORTING,
)
"""Where a row of frames begins that nobody but us has called for."""

_IMPORT_SYSTEM = "<frozen importlib._bootstrap"


def hide_our_frames(error: BaseException) -> None:
    """
    Let the interpreter show *error*, which is about to be uncaught, without our frames.

    The program's own ``sys.excepthook`` is called as it would have been.
    """
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        return

    def excepthook(_kind: type[BaseException], shown: BaseException, _trace: TracebackType | None) -> None:
        sys.excepthook = hook
        for each in _related(error):
            each.__traceback__ = without_our_frames(each.__traceback__)
        sys.last_traceback = shown.__traceback__
        hook(type(shown), shown, shown.__traceback__)

    sys.excepthook = excepthook


def _related(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and all that its display shows with it, each once."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """
    Return *trace* without the frames that recording has put in; its links are changed.

    Frames of ours that the program itself has called stay.
    """
    frames = list(_frames(trace))
    kept: list[tuple[str, TracebackType]] = []
    is_ours = False
    hides_imports = any(file == _IMPORTING for file, _ in frames)
    for file, each in frames:
        is_ours = file.startswith(_PACKAGE) if is_ours else file.startswith(_BEGINNING) and not _called(kept)
        if not is_ours and not (hides_imports and file.startswith(_IMPORT_SYSTEM)):
            kept.append((file, each))
    following = None
    for _, each in reversed(kept):
        each.tb_next = following
        following = each
    return following


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, TracebackType]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace
        trace = trace.tb_next


def _called(kept: list[tuple[str, TracebackType]]) -> bool:
    """Return whether the frame before was one of ours that stays: a wrapped object's method, say."""
    return bool(kept) and kept[-1][0].startswith(_PACKAGE)
