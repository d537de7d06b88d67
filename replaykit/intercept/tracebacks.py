"""
Tracebacks as they are without us.

An exception that passes one of our outermost frames is raised again there
without the frames of ours that it has met: a bare ``raise`` adds none, so the
program sees its own call and then its library's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from replaykit.errors import ReplaykitError

__all__ = ["awaited_unseen", "iterated_unseen", "leave_no_frame"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def leave_no_frame(error: BaseException) -> None:
    """Take the frames of ours that *error* has passed out of its traceback; call it in an ``except``, and ``raise``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    # What is not meant for the user and comes out of our own code has to show where.
    if trace is not None or isinstance(error, (ReplaykitError, SyntaxError)):
        error.__traceback__ = trace


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
