"""What goes wrong while a recorder records: counted, logged and, once each, warned about."""

from __future__ import annotations

import warnings

from replaykit.errors import RecordingError, ReplaykitWarning, StorageError
from replaykit.logs import get_logger
from replaykit.recording.session import ActiveSession

log = get_logger("recording")

__all__ = ["Troubles"]


class Troubles:
    """
    The troubles of one recorder; none of them reaches the recorded program but as *on_loss* asks.

    Attributes:
        lost: Actions that could not be kept, of sessions that have ended.
        unscoped: Calls that no session took while one was open elsewhere.
        forked_calls: Calls in a forked child, whose session is the parent's.
        skipped: Sessions that could not be opened.
        bare_checkpoints: Checkpoints of a store that could not be read.
    """

    def __init__(self, on_loss: str) -> None:
        self.lost = 0
        self.unscoped = 0
        self.forked_calls = 0
        self.skipped = 0
        self.bare_checkpoints = 0
        self._on_loss = on_loss
        self._warned: set[str] = set()

    def report_skipped(self, error: StorageError) -> None:
        """Count, log and say once that a session could not be opened."""
        self.skipped += 1
        log.error("session_skipped", error=str(error))
        self._warn_once("skipped", f"a session could not be opened and its calls run unrecorded: {error}")

    def report_uncovered(self, session: ActiveSession) -> None:
        """Log what was called in *session* that no map knows."""
        counts = session.uncovered.counts()
        if counts:
            calls = ", ".join(f"{name} {count}" for name, count in counts.items())
            log.warning("calls_uncovered", session=str(session.session_id), calls=calls)

    def settle_losses(self, session: ActiveSession, *, raising: bool = True) -> None:
        """
        Say what *session* lost, as ``on_loss`` asks.

        Raises:
            RecordingError: ``on_loss="raise"``, something was lost and *raising*.
            ReplaykitWarning: Warnings are errors, and *raising*: another exception is never replaced.
        """
        if not session.lost or self._on_loss == "ignore":
            return
        if self._on_loss == "raise":
            if raising:
                raise RecordingError(session.lost, session.loss_reason)
            return
        said = f"{session.lost} action(s) of session {session.session_id} could not be kept: {session.loss_reason}"
        if raising:
            warnings.warn(said, ReplaykitWarning, stacklevel=4)
        else:
            _warn(said, stacklevel=5)

    def report_loss(self, session: ActiveSession, error: BaseException) -> None:
        """Log that an action could not be kept; the count is the session's."""
        log.error("action_lost", session=str(session.session_id), error=f"{type(error).__name__}: {error}")

    def report_unpublished(self, session: ActiveSession, error: BaseException) -> None:
        """Log and warn that a session stays in its live log for now."""
        log.error("session_not_published", session=str(session.session_id), error=str(error))
        self._warn_once(
            "unpublished",
            f"session {session.session_id} could not be published ({error}); its live log {session.live.path} is kept "
            "and read in its place",
        )

    def report_bare_checkpoint(self, error: Exception) -> None:
        """Count, log and say once that a checkpoint was made of a store that could not be read."""
        self.bare_checkpoints += 1
        said = f"{type(error).__name__}: {error}"
        log.error("checkpoint_made_without_content", error=said)
        self._warn_once("bare_checkpoint", f"a checkpoint was made without the store's content, which failed: {said}")

    def report_failed_predicate(self, error: Exception) -> None:
        """Log and say once that ``keep_if=`` raised; the call counts as not wanted."""
        log.error("predicate_failed", error=type(error).__name__)
        self._warn_once("predicate", f"keep_if= raised {type(error).__name__}; that call kept no session")

    def report_deaf(self, problem: str) -> None:
        """Say once that a signal which was asked for cannot be watched."""
        self._warn_once("signal", problem)

    def count_unscoped(self) -> None:
        """Count a call that no session takes, and say once how to carry one."""
        self.unscoped += 1
        self._warn_once(
            "unscoped",
            "a recorded call ran in a thread or task that has no session, while a session is open elsewhere; it was "
            "not recorded. Hand the session on: pool.submit(session.carry(function), ...)",
        )

    def count_forked(self) -> None:
        """Count a call in a forked child, whose session is the parent's."""
        self.forked_calls += 1
        self._warn_once(
            "forked",
            "a forked child has no session: its calls run and are not recorded. Start a session in the child, on a "
            "directory store (store='runs/')",
        )

    def _warn_once(self, topic: str, message: str) -> None:
        if topic in self._warned:
            return
        self._warned.add(topic)
        log.warning(f"calls_{topic}")
        _warn(message, stacklevel=6)


def _warn(message: str, *, stacklevel: int) -> None:
    try:
        warnings.warn(message, ReplaykitWarning, stacklevel=stacklevel)
    except Warning:
        # Warnings as errors are for the user's own code, not for a call or a
        # block that happens to be recorded; the line in the log stands.
        return
