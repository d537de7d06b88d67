"""What a replay cannot hold against calls: a difference that may come of what redaction took from their arguments."""

from __future__ import annotations

from replaykit.facts import own_arguments
from replaykit.format.values import pack
from replaykit.model import ReplayAction
from replaykit.redactors.search import PLACEHOLDERS

__all__ = ["Redacted"]

_READS = frozenset({"find", "ask"})


class Redacted:
    """The calls of one session, recorded under the rules *redaction*, that did not run with what they had then."""

    def __init__(self, redaction: str) -> None:
        self._has_rules = redaction not in ("", "none")
        self._first: int | None = None

    def ran(self, action: ReplayAction) -> None:
        """Note that *action* ran again: if it changes something, all that comes later may differ for it."""
        if self._first is None and action.kind not in _READS and self._is_in(action):
            self._first = action.sequence

    def reason(self, action: ReplayAction) -> str:
        """Return why no difference in what comes of *action* counts; empty where every one does."""
        if self._is_in(action):
            return "it differs, and ran with redacted arguments: what it was called with is not in the recording"
        if self._first is not None:
            return f"it differs, and action {self._first} before it ran with redacted arguments, which may be why"
        return ""

    def _is_in(self, action: ReplayAction) -> bool:
        # The settings of the object that was called are the target's own.
        return self._has_rules and PLACEHOLDERS.search(pack(dict(own_arguments(action.arguments)))) is not None
