"""
Everything that can go wrong, as one tree.

::

    ReplaykitError
      UsageError (ValueError)               the caller asked for the impossible
        SessionActiveError                    a second session where one is open
        NoActiveSessionError                  nothing to end or to checkpoint
        SessionNotFoundError (LookupError)    .which
        AmbiguousSessionError                 .which .candidates
        CheckpointNotFoundError (LookupError) .checkpoint
        FrameNotFoundError (LookupError)      .frame_id
        EmbedderMismatchError                 .stored .given
        ReadOnlyError                         a write to something opened for reading
        ClosedError                           used after close
      CaptureError                          a call could not be kept
        RecordingError                        .lost; raised at the end of a session, never by a call
        RedactionError                        a rule set or redactor cannot be used
        SecretFoundError                      .action .kind .field .rule; a recording that was not written for it
      StorageError (OSError)                bytes could not be kept or found; .path
        StoreNotFoundError (FileNotFoundError)
        StoreFullError                        it holds as much as it may; .limit
        RestoreError                          a store did not take back what it held; .state .before
        NotAStoreError                        the file is something else; it is left as it is
        LockedError                           another process writes to it; .owner
        DamagedError                          .path .offset .reason
        UnsupportedVersionError               .found .supported
        UnsupportedPlatformError              no file locks or no safe opens here
      EmbedderError (RuntimeError)          an embedding model failed or gave no usable vectors; .embedder
      ProviderError                         a model's server gave no answer; .provider .model .status .retryable
      PlaybackError                         a recording cannot answer
        NoMatchError (LookupError)            .call .nearest
        RecordedError                         stands for a recorded exception that is not rebuilt; .failure
        DivergenceError (AssertionError)      .result
        WrongRecordingError                   it is another test's; .path

The second level says who must act: the caller, the capture settings, the
disk, the model or its provider, the agent.  Nothing foreign leaves ``format`` or ``storage``: decoder
errors and ``OSError`` are chained into these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "AmbiguousSessionError",
    "CaptureError",
    "CheckpointNotFoundError",
    "ClosedError",
    "DamagedError",
    "DivergenceError",
    "EmbedderError",
    "EmbedderMismatchError",
    "FrameNotFoundError",
    "LockedError",
    "NoActiveSessionError",
    "NoMatchError",
    "NotAStoreError",
    "PlaybackError",
    "ProviderError",
    "ReadOnlyError",
    "RecordedError",
    "RecordingError",
    "RedactionError",
    "ReplaykitError",
    "ReplaykitWarning",
    "RestoreError",
    "SecretFoundError",
    "SessionActiveError",
    "SessionNotFoundError",
    "StorageError",
    "StoreFullError",
    "StoreNotFoundError",
    "UnsupportedPlatformError",
    "UnsupportedVersionError",
    "UsageError",
    "WrongRecordingError",
]


class ReplaykitWarning(UserWarning):
    """Something was not kept, or not as asked; the program goes on."""


class ReplaykitError(Exception):
    """The root: ``except ReplaykitError`` catches everything of ours."""


class UsageError(ReplaykitError, ValueError):
    """The caller asked for something that cannot be done."""


class SessionActiveError(UsageError):
    """A session is open where only one may be."""

    def __init__(self) -> None:
        # The sentence is memvid's, word for word: programs match on it.
        super().__init__("A session is already active. End it before starting a new one.")


class NoActiveSessionError(UsageError):
    """There is no open session to end, checkpoint or annotate."""

    def __init__(self, purpose: str = "to end") -> None:
        super().__init__(f"No active session {purpose}")


class SessionNotFoundError(UsageError, LookupError):
    """No stored session answers to *which*."""

    def __init__(self, which: object, hint: str = "") -> None:
        self.which = which
        super().__init__(f"Session {which} not found" + (f". {hint}" if hint else ""))


class AmbiguousSessionError(UsageError):
    """Several sessions answer to *which* and the request needs exactly one."""

    def __init__(self, which: object, candidates: Sequence[object]) -> None:
        self.which = which
        self.candidates = tuple(candidates)
        listed = ", ".join(str(item) for item in self.candidates[:5])
        more = ", ..." if len(self.candidates) > 5 else ""
        super().__init__(f"{len(self.candidates)} sessions match {which!r}: {listed}{more}. Give one of these ids.")


class CheckpointNotFoundError(UsageError, LookupError):
    """The session has no checkpoint with this id, or the memory no such state any more: *message* says which."""

    def __init__(self, checkpoint: object, message: str = "") -> None:
        self.checkpoint = checkpoint
        super().__init__(message or f"Checkpoint {checkpoint} not found in session")


class FrameNotFoundError(UsageError, LookupError):
    """The memory has no live frame with this id."""

    def __init__(self, frame_id: object) -> None:
        self.frame_id = frame_id
        super().__init__(f"Frame {frame_id} not found: it never existed or was deleted")


class EmbedderMismatchError(UsageError):
    """
    A memory's vectors are another embedding model's.

    Attributes:
        stored: Name and dimension of the model that made them.
        given: Name and dimension of the model that was given.
    """

    def __init__(self, path: object, stored: tuple[str, int], given: tuple[str, int]) -> None:
        self.stored = stored
        self.given = given
        super().__init__(
            f"{path} has vectors of {stored[0]!r} (dimension {stored[1]}), not of {given[0]!r} (dimension {given[1]}). "
            "Give that embedder; or open without embedder= and call mv.reembed(embedder) to compute all vectors anew."
        )


class ReadOnlyError(UsageError):
    """A write to something that was opened for reading."""


class ClosedError(UsageError):
    """Something was used after it was closed."""


class CaptureError(ReplaykitError):
    """A call could not be kept as asked."""


class RecordingError(CaptureError):
    """
    Actions of a session were lost; raised at its end with ``on_loss="raise"``.

    Attributes:
        lost: How many actions are missing.
    """

    def __init__(self, lost: int, reason: str) -> None:
        self.lost = lost
        super().__init__(
            f"{lost} action(s) of this session could not be kept; the last reason was: {reason}. "
            'Everything else is stored. on_loss="warn" reports this without raising.'
        )


class RedactionError(CaptureError):
    """A redaction rule set is unknown, or a redactor is not usable."""


class SecretFoundError(CaptureError):
    """
    A secret still stands in what was to be written; nothing was.

    Attributes:
        action: The number of the call that holds it; None for the session's name and metadata.
        kind: What kind of call that is.
        field: Where in it: ``arguments.query``, ``output``, ``error``, ``name`` ...
        rule: Which rule found it.
        count: How many were found; the others tell of the first.
    """

    def __init__(self, *, action: int | None, kind: str | None, field: str, rule: str, count: int = 1) -> None:
        self.action = action
        self.kind = kind
        self.field = field
        self.rule = rule
        self.count = count
        where = f"the session's {field}" if action is None else f"{field} of action {action} ({kind})"
        more = f" and {count - 1} more" if count > 1 else ""
        super().__init__(
            f"A secret stands in {where} (rule {rule}){more}: nothing was written. Call with a value that is none, or "
            "record with redaction, redact=[...] with a callable of yours for what the rules do not know."
        )


class StorageError(ReplaykitError, OSError):
    """
    Bytes could not be kept or found.

    Attributes:
        path: Where, as text; empty when not bound to one place.
    """

    def __init__(self, message: str, *, path: object = "") -> None:
        self.path = str(path)
        super().__init__(message)


class StoreNotFoundError(StorageError, FileNotFoundError):
    """There is no store at this path."""

    def __init__(self, path: object) -> None:
        super().__init__(f"No store at {path}. Record one first (replaykit demo), or check the path.", path=path)


class StoreFullError(StorageError):
    """
    The store holds as much as ``max_store_bytes`` allows.

    Attributes:
        limit: That many bytes.
    """

    def __init__(self, path: object, limit: int | None) -> None:
        self.limit = limit
        super().__init__(
            f"{path} holds the {limit} bytes that max_store_bytes allows. Delete sessions and compact it "
            f"(replaykit compact {path}), or allow more.",
            path=path,
        )


class RestoreError(StorageError):
    """
    A wrapped store failed while it was read or filled for a restore.

    Attributes:
        state: What it holds now: ``"unchanged"`` (as before the restore),
            ``"mixed"`` (a part of the checkpoint, or of what was there) or
            ``"unknown"`` (it cannot be read either).
        before: A `Checkpoint` of what it held, to restore once the cause is
            gone; None where none was made.
    """

    def __init__(self, message: str, *, state: str, before: object = None) -> None:
        self.state = state
        self.before = before
        super().__init__(message)


class NotAStoreError(StorageError):
    """The file is not one of ours; it was left as it is."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path} is not a replaykit store: {reason}. It was left as it is.", path=path)


class LockedError(StorageError):
    """
    Another process writes to this store.

    Attributes:
        owner: The other process's id where known, else None.
    """

    def __init__(self, path: object, owner: int | None = None) -> None:
        self.owner = owner
        by = f" by process {owner}" if owner else ""
        super().__init__(
            f"{path} is locked{by}. Close the other writer, or give a directory (store='runs/'), "
            "in which each process has a file of its own.",
            path=path,
        )


class DamagedError(StorageError):
    """
    Bytes that were whole once are not any more.

    Attributes:
        offset: Where in the file the damage begins, in bytes.
        reason: Which check failed.
    """

    def __init__(self, path: object, offset: int, reason: str) -> None:
        self.offset = offset
        self.reason = reason
        super().__init__(f"{path or 'segment'}, byte {offset}: {reason}", path=path)


class UnsupportedVersionError(StorageError):
    """A newer replaykit wrote this."""

    def __init__(self, path: object, found: object, supported: object) -> None:
        self.found = found
        self.supported = supported
        super().__init__(
            f"{path} has format version {found}; this replaykit reads up to {supported}. "
            "Upgrade: pip install -U replaykit-memory",
            path=path,
        )


class UnsupportedPlatformError(StorageError):
    """This platform lacks file locks or safe opens (Linux and macOS have them)."""


class EmbedderError(ReplaykitError, RuntimeError):
    """
    An embedding model failed, or what it gave are no usable vectors; nothing was stored.

    Attributes:
        embedder: The model's name.
    """

    def __init__(self, embedder: str, reason: str) -> None:
        self.embedder = embedder
        super().__init__(f"The embedder {embedder!r} {reason}")


class ProviderError(ReplaykitError):
    """
    A model's server gave no answer, or one that cannot be used.

    All that it says is in its ``args``: what a recording plays back says it too.
    """

    def __init__(
        self, message: str, provider: str = "", model: str = "", status: int | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message, provider, model, status, retryable)

    def __str__(self) -> str:
        return str(self._told(0, ""))

    @property
    def provider(self) -> str:
        """Who was asked."""
        return str(self._told(1, ""))

    @property
    def model(self) -> str:
        """Which of its models."""
        return str(self._told(2, ""))

    @property
    def status(self) -> int | None:
        """The HTTP status; None where there was no response, or a broken one."""
        status = self._told(3, None)
        return status if isinstance(status, int) else None

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return self._told(4, False) is True

    def _told(self, index: int, default: object) -> object:
        return self.args[index] if len(self.args) > index else default


class PlaybackError(ReplaykitError):
    """A recording cannot answer."""


class NoMatchError(PlaybackError, LookupError):
    """
    No recorded call is left that answers this one.

    Attributes:
        call: The call, as text.
        nearest: The nearest recorded calls, best first, as text.
    """

    def __init__(self, message: str, *, call: str, nearest: Sequence[str] = ()) -> None:
        self.call = call
        self.nearest = tuple(nearest)
        super().__init__(message)


class RecordedError(PlaybackError):
    """
    The recorded call failed with an exception that is not rebuilt here.

    Attributes:
        failure: The recorded ``Failure`` (type, message, args).
    """

    def __init__(self, failure: Any) -> None:
        self.failure = failure
        super().__init__(f"{failure.type}: {failure.message}")


class DivergenceError(PlaybackError, AssertionError):
    """
    A replay differs from its recording.

    Attributes:
        result: The ``ReplayResult``.
    """

    def __init__(self, message: str, *, result: Any = None) -> None:
        self.result = result
        super().__init__(message)


class WrongRecordingError(PlaybackError):
    """
    A test was given the recording of another one.

    Attributes:
        path: The recording.
    """

    def __init__(self, message: str, *, path: str) -> None:
        self.path = path
        super().__init__(message)
