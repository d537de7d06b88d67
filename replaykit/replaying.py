"""``replaykit.replay``: a session's calls run again, on a memory, an object or functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from replaykit.errors import UsageError
from replaykit.intercept.proxy import RecordedObject
from replaykit.model import ReplayOptions, ReplayResult, ReplaySession
from replaykit.model.options import chosen_options
from replaykit.operations import Operation, operation_from
from replaykit.playback.replaying import Target, Watch, replay_session
from replaykit.playback.targets import Functions, Methods, row_of
from replaykit.surface import SessionSurface

__all__ = ["demand_target", "replay"]


def replay(
    session: ReplaySession,
    target: Any,
    *,
    operations: Mapping[str, str | Operation] | None = None,
    options: ReplayOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    watch: Watch = lambda action, seen: None,
    **more: Any,
) -> ReplayResult:
    """
    Run a recorded session's calls on *target* again and say what came out otherwise.

    *target* is a memory; a wrapped object, or any object with a map of
    *operations*; a function, several, or a dict of them by the names that
    they were recorded with.  *options*, or the keywords of `ReplayOptions`,
    say what runs and how strictly it is compared.  Nothing is recorded, and
    nothing is written without leave (``allow``).  *watch* is called with each
    action that ran again and what came of it.

    Raises:
        UsageError: The target cannot run calls, or an option is wrong.
        CheckpointNotFoundError: The session has no checkpoint ``from_checkpoint``.
    """
    if not isinstance(session, ReplaySession):
        raise UsageError(f"replay() takes a session, not {type(session).__name__}: get_session() gives one")
    chosen = chosen_options(options, more)
    return replay_session(session, _target(target, operations, chosen), chosen, progress=progress, watch=watch)


def demand_target(target: Any, operations: Mapping[str, str | Operation] | None, options: ReplayOptions) -> None:
    """
    Return if `replay` takes *target*.

    Raises:
        UsageError: It cannot run calls.
    """
    _target(target, operations, options)


def _target(target: Any, operations: Mapping[str, str | Operation] | None, options: ReplayOptions) -> Target:
    if isinstance(target, SessionSurface):
        return target.replay_target(options)
    if isinstance(target, RecordedObject) and operations is None:
        return Methods(target.__wrapped__, target._self_rows, options, target._self_methods.chains)
    if operations is not None:
        rows = {name: operation_from(row, name, "") for name, row in operations.items()}
        return Methods(target.__wrapped__ if isinstance(target, RecordedObject) else target, rows, options)
    return Functions(_by_name(target), options)


def _by_name(target: Any) -> Mapping[str, Callable[..., Any]]:
    if isinstance(target, Mapping):
        return dict(target)
    functions = list(target) if isinstance(target, Iterable) and not callable(target) else [target]
    for function in functions:
        if not callable(function) or not hasattr(function, "__name__"):
            raise UsageError(
                f"replay() runs calls on a memory, an object with operations={{...}}, or functions, "
                f"not on a {type(function).__name__}"
            )
    return {name: function for function in functions for name in _names_of(function)}


def _names_of(function: Any) -> Iterator[str]:
    """Yield what the calls of *function* may be called in a recording."""
    row = row_of(function)
    if row is not None:
        yield row.name
        return
    yield function.__name__
    yield getattr(function, "__qualname__", function.__name__).rsplit("<locals>.", 1)[-1]
