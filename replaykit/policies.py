"""
When to make a checkpoint without being asked: small objects, composed.

A policy has ``before(call)`` and ``after(progress)``; see
`replaykit.protocols.CheckpointPolicy`.  They are asked at top-level
boundaries only, in the thread of the call.
"""

from __future__ import annotations

import attrs

from replaykit.errors import UsageError
from replaykit.model import KINDS
from replaykit.protocols import CheckpointPolicy, PendingCall, Progress

__all__ = ["any_of", "before", "every", "is_policy", "on_error"]


@attrs.frozen
class _Every:
    actions: int | None
    seconds: float | None
    bytes: int | None

    def before(self, call: PendingCall) -> bool:
        return False

    def after(self, progress: Progress) -> bool:
        return (
            (self.actions is not None and progress.actions >= self.actions)
            or (self.seconds is not None and progress.seconds >= self.seconds)
            or (self.bytes is not None and progress.bytes >= self.bytes)
        )


@attrs.frozen
class _OnError:
    def before(self, call: PendingCall) -> bool:
        return False

    def after(self, progress: Progress) -> bool:
        return progress.failed


@attrs.frozen
class _Before:
    kinds: frozenset[str]

    def before(self, call: PendingCall) -> bool:
        return call.kind in self.kinds

    def after(self, progress: Progress) -> bool:
        return False


@attrs.frozen
class _AnyOf:
    policies: tuple[CheckpointPolicy, ...]

    def before(self, call: PendingCall) -> bool:
        return any(policy.before(call) for policy in self.policies)

    def after(self, progress: Progress) -> bool:
        return any(policy.after(progress) for policy in self.policies)


def every(*, actions: int | None = None, seconds: float | None = None, bytes: int | None = None) -> CheckpointPolicy:
    """
    Checkpoint after so many completed top-level actions, seconds or logged bytes since the last one.

    CHECKPOINT itself is not counted: with ``actions=3`` a session reads
    ``A A A C A A A C``.

    Raises:
        UsageError: Nothing is given, or something that is not positive.
    """
    given = [value for value in (actions, seconds, bytes) if value is not None]
    if not given or not all(_is_positive(value) for value in given):
        raise UsageError("every() takes actions=, seconds= or bytes=, each a number above 0")
    return _Every(actions, seconds, bytes)


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def on_error() -> CheckpointPolicy:
    """Checkpoint after each top-level call that failed."""
    return _OnError()


def before(*kinds: str) -> CheckpointPolicy:
    """
    Checkpoint before each top-level call of one of these kinds.

    Raises:
        UsageError: A kind is unknown, or none is given.
    """
    unknown = [repr(kind) for kind in kinds if not isinstance(kind, str) or kind not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"before() takes kinds out of {', '.join(KINDS)}; got {', '.join(unknown) or 'none'}")
    return _Before(frozenset(kinds))


def any_of(*policies: CheckpointPolicy) -> CheckpointPolicy:
    """
    Checkpoint when any of these says so.

    Raises:
        UsageError: One of them is no policy.
    """
    for policy in policies:
        if not is_policy(policy):
            raise UsageError(f"any_of() takes policies such as every(actions=3), not {type(policy).__name__}")
    return _AnyOf(policies)


def is_policy(value: object) -> bool:
    """Return whether *value* has what a policy needs: ``before(call)`` and ``after(progress)``."""
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in ("before", "after"))
