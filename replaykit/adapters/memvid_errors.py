"""memvid's exceptions: made for what our sessions refuse, and made again for what a recording has of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from replaykit.errors import UsageError
from replaykit.model import Failure

__all__ = ["as_memvid_errors", "recorded_error"]


@contextmanager
def as_memvid_errors() -> Iterator[None]:
    """Turn what our sessions say of a wrong call into memvid's own error."""
    try:
        yield
    except UsageError as error:
        made = recorded_error(Failure(type="memvid_sdk.MemvidError", args=(f"MV999: Invalid query: {error}",)))
        if made is None:
            raise
        raise made from error


def recorded_error(failure: Failure) -> BaseException | None:
    """Return the exception of memvid's that *failure* stands for, None for any other."""
    import memvid_sdk

    module, _, name = failure.type.rpartition(".")
    cls = getattr(memvid_sdk, name, None) if module == "memvid_sdk" else None
    if not isinstance(cls, type) or not issubclass(cls, memvid_sdk.MemvidError):
        return None
    made: BaseException = cls(*(failure.args or (failure.message,)))
    code = re.match(r"MV\d+", str(made))
    if code is not None:
        made.code = code.group()  # type: ignore[attr-defined]  # as memvid's own have it
    return made
