"""
Tracebacks as they are without us.

An exception that passes one of our outermost frames is raised again there
without the frames of ours that it has met: a bare ``raise`` adds none, so the
program sees its own call and then its library's.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from replaykit.errors import ReplaykitError

__all__ = ["awaited_unseen", "iterated_unseen", "leave_no_frame", "without_our_frames"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def leave_no_frame(error: BaseException) -> None:
    """Take the frames of ours that *error* has passed out of its traceback; call it in an ``except``, and ``raise``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    # What is not meant for the user and comes out of our own code has to show where.
    if trace is not None or isinstance(error, (ReplaykitError, SyntaxError)):
        error.__traceback__ = trace


def without_our_frames(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Return *trace* without any frame of ours; as it is where there would be nothing left."""
    theirs = []
    each = trace
    while each is not None:
        if not each.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            theirs.append(each)
        each = each.tb_next
    shown: types.TracebackType | None = None
    for each in reversed(theirs):
        shown = types.TracebackType(shown, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return shown or trace


async def awaited_unseen(function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
    """Await what *function*, one of ours, gives for *args*; its exceptions show no frame of ours."""
    try:
        return await function(*args)
    except BaseException as error:
        leave_no_frame(error)
        raise


def iterated_unseen(function: Callable[..., Generator[Any, Any, Any]], *args: Any) -> Generator[Any, Any, Any]:
    """Iterate what *function*, one of ours, gives for *args*; its exceptions show no frame of ours."""
    try:
        return (yield from function(*args))
    except BaseException as error:
        leave_no_frame(error)
        raise
