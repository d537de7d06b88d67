"""
Keeps what ``ContextVar.set`` is reading alive while finalisers run.

Up to CPython 3.11 the garbage collector runs inside allocations, so also in
the middle of ``ContextVar.set``.  A finaliser that sets a variable of the
same context then frees the table which the interrupted call goes on reading:
variables vanish from the context, or the process dies
(https://github.com/python/cpython/issues/148891).  Recorded calls set a
variable, and finalisers may make them.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from contextvars import Context, copy_context
from functools import partial

__all__ = ["hold_contexts"]


def hold_contexts() -> None:
    """From now on hold the table of the context in which the collector runs, until it runs again."""
    if sys.version_info < (3, 12):
        # The collector calls ``getattr(holder, "start" or "stop", info)``.
        gc.callbacks.append(partial(getattr, _Holder()))


class _Holder:
    """
    Whoever asks for ``start`` has the context held.

    No bytecode of ours may run where the collector calls: a signal that came
    meanwhile would be handled in it, and what its handler raises, such as
    KeyboardInterrupt, is dropped there.  So this is made of what is written
    in C: each step of the map makes a copy and appends it, which drops the
    one before.  It is not dropped when the collector stops, since the
    interrupted call goes on behind that.
    """

    _held = map(deque[Context](maxlen=1).append, iter(copy_context, None))
    start = property(partial(next, _held))
