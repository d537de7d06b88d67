"""Which generations a pruning must leave: those of the checkpoints that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from replaykit.errors import UsageError
from replaykit.model import Checkpoint
from replaykit.storage.catalogue import Catalogue

__all__ = ["generations_to_keep"]


def generations_to_keep(
    catalogue: Catalogue, wanted: int | Iterable[Checkpoint] | None, generation_of: Callable[[Checkpoint], int]
) -> list[int]:
    """
    Return the generations of the checkpoints *wanted*: all recorded ones, so many of the newest, or those given.

    Raises:
        CheckpointNotFoundError: A given one is none that *generation_of* knows.
        UsageError: *wanted* is none of these.
    """
    if wanted is None or isinstance(wanted, int):
        return [each.snapshot.generation for each in _newest(catalogue, wanted)]
    given = list(_checkpoints(wanted))
    return [generation_of(each) for each in given]


def _newest(catalogue: Catalogue, count: int | None) -> list[Checkpoint]:
    if isinstance(count, bool) or (count is not None and count < 0):
        raise UsageError(f"keep_checkpoints={count!r}: give a number of checkpoints, or checkpoints")
    recorded = [
        checkpoint
        for summary in catalogue.list_sessions()
        if summary.checkpoint_count
        for checkpoint in catalogue.get_session(summary.session_id).checkpoints
    ]
    recorded.sort(key=lambda each: (each.timestamp_ns, each.id), reverse=True)
    return recorded if count is None else recorded[:count]


def _checkpoints(wanted: object) -> Iterable[Checkpoint]:
    if isinstance(wanted, Checkpoint) or not isinstance(wanted, Iterable):
        raise UsageError(f"keep_checkpoints takes a number or several checkpoints, not one {type(wanted).__name__}")
    for each in wanted:
        if not isinstance(each, Checkpoint):
            raise UsageError(f"keep_checkpoints takes checkpoints; one of these is a {type(each).__name__}")
        yield each
