"""
The loggers of this library: structlog over the standard library, silent until the application configures it.

structlog is imported when the first line is written, never before, and its
global configuration is left alone: an application that never set it up would
find our lines on its standard output.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["get_logger"]

logging.getLogger("replaykit").addHandler(logging.NullHandler())


class _LazyLogger:
    """Checks the level first; a line that nobody reads costs next to nothing."""

    __slots__ = ("_bound", "_logger")

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"replaykit.{name}")
        self._bound: Any = None

    def _write(self, level: int, event: str, keys: dict[str, Any]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        try:
            bound = self._bound = self._bound or self._wrapped()
        except OSError:
            # No file can be opened any more, and the first line of all says
            # so: it must not fail for that.
            self._logger.log(level, "%s %s", event, keys)
            return
        bound.log(level, event, **keys)

    def _wrapped(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            self._logger,
            processors=[structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        )

    def debug(self, event: str, **keys: Any) -> None:
        self._write(logging.DEBUG, event, keys)

    def info(self, event: str, **keys: Any) -> None:
        self._write(logging.INFO, event, keys)

    def warning(self, event: str, **keys: Any) -> None:
        self._write(logging.WARNING, event, keys)

    def error(self, event: str, **keys: Any) -> None:
        self._write(logging.ERROR, event, keys)


def get_logger(name: str) -> _LazyLogger:
    """
    Return the logger ``replaykit.<name>``.

    Events are past-tense words with keys; payloads are never logged.
    """
    return _LazyLogger(name)
