"""The session surface: what every recorded memory can do with its sessions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import attrs

from replaykit.errors import NoActiveSessionError, UsageError
from replaykit.intercept.proxy import RecordedObject
from replaykit.model import Checkpoint, ReplayConfig, ReplaySession
from replaykit.reading import SessionReader
from replaykit.recording.engine import RecordingEngine
from replaykit.recording.handle import SessionHandle
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.finding import Which

# Whoever records or lists does not load what replays.
if TYPE_CHECKING:
    from replaykit.model import ReplayOptions, ReplayResult
    from replaykit.playback.replaying import Target

__all__ = ["SessionSurface"]


class SessionSurface(SessionReader):
    """Records sessions, lists them and reads them; the names are memvid's."""

    _engine: RecordingEngine

    @property
    def _catalogue(self) -> Catalogue:
        return self._engine.lease.catalogue

    surface_names: ClassVar[frozenset[str]]
    """The names that a wrapped object has besides its own."""

    def session(
        self,
        name: str | None = None,
        *,
        config: ReplayConfig | None = None,
        auto_checkpoint: Any = None,
        metadata: Mapping[str, Any] | None = None,
        adopt: bool | None = None,
        enabled: bool = True,
    ) -> SessionHandle:
        """
        Return a recording block: ``with mv.session("name") as session:``, also async and as a decorator.

        *adopt* decides whether calls of contexts without a session (worker
        threads of a script) belong to it; by default those of a script or
        notebook do.  With *enabled* false the block is not recorded.
        """
        return SessionHandle(
            self._engine,
            name,
            config=config,
            auto_checkpoint=auto_checkpoint,
            metadata=metadata,
            adopt=adopt,
            enabled=enabled,
        )

    def start_session(
        self,
        name: str | None = None,
        config: ReplayConfig | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> UUID:
        """
        Start a session that lasts until `end_session`; return its id.

        Raises:
            SessionActiveError: A session of this recorder is open; it goes on untouched.
        """
        return self._engine.start(name, config, metadata=metadata).session_id

    def end_session(self) -> ReplaySession:
        """
        End the active session and return it.

        Raises:
            NoActiveSessionError: There is none.
            RecordingError: Actions were lost and ``on_loss="raise"``.
        """
        return self._engine.end_started()

    @property
    def active_session_id(self) -> UUID | None:
        """The id of the session that a call made here would belong to, None without one."""
        active = self._engine.active()
        return None if active is None else active.session_id

    @property
    def is_recording(self) -> bool:
        """Whether a call made here would be recorded."""
        return self._engine.active() is not None

    def create_checkpoint(self) -> int:
        """
        Make a checkpoint in the active session; return its id (0, 1, 2.. per session).

        Raises:
            NoActiveSessionError: There is none.
        """
        active = self._engine.active()
        if active is None:
            raise NoActiveSessionError("for checkpoint")
        return active.checkpoint()

    def delete_session(self, which: Which, *, erase: bool = False) -> None:
        """
        Delete an ended session.

        Its bytes stay in the store's files until they are compacted; with
        *erase* they go at once, also those of a session that was deleted
        before (give its id).  What a device, a snapshot or a backup keeps of
        them is out of reach.

        Raises:
            SessionNotFoundError: There is none, or it is open.
            AmbiguousSessionError: Several sessions have this name.
            LockedError: *erase*, and another process writes to a file that holds some of it.
        """
        self._engine.lease.catalogue.delete_session(which, erase=erase)

    def resume_session(self, which: Which) -> UUID:
        """
        Continue an interrupted session; it lasts until `end_session`.

        Raises:
            SessionNotFoundError: There is none.
            SessionActiveError: A session of this recorder is open.
            UsageError: It was ended properly, or another process is recording it.
        """
        return self._engine.resume(which).session_id

    def replay(
        self,
        which: Which = "last",
        *,
        target: Any = None,
        from_checkpoint: int | Checkpoint | None = None,
        options: ReplayOptions | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        **more: Any,
    ) -> ReplayResult:
        """
        Run a session's calls again and say what came out otherwise.

        They run on this memory; for a wrapped object, on what it wraps, which
        is *target*.  *options*, or the keywords of `ReplayOptions`, say what runs and
        how strictly it is compared.  Nothing is recorded; nothing is written
        without leave.

        Raises:
            SessionNotFoundError: There is no such session.
            CheckpointNotFoundError: The session has no checkpoint *from_checkpoint*.
            UsageError: This has no memory to replay on, or an option is wrong.
        """
        from replaykit.model.options import chosen_options
        from replaykit.playback.replaying import replay_session

        start = from_checkpoint.id if isinstance(from_checkpoint, Checkpoint) else from_checkpoint
        chosen = chosen_options(options, more)
        if start is not None:
            chosen = attrs.evolve(chosen, from_checkpoint=start)
        runs_on = self.replay_target(chosen, target)
        return replay_session(self.get_session(which), runs_on, chosen, progress=progress)

    def replay_target(self, options: ReplayOptions, wrapped: Any = None) -> Target:
        """
        Return what recorded calls run on again: the *wrapped* object, or this surface's own memory.

        Raises:
            UsageError: There is none.
        """
        if isinstance(wrapped, RecordedObject):
            from replaykit.playback.targets import Methods

            return Methods(wrapped.__wrapped__, wrapped._self_rows, options, wrapped._self_methods.chains)
        raise UsageError(
            "a recorder has no memory to replay on: replaykit.replay(session, target) takes a memory, "
            "a wrapped object or functions"
        )

    def surface_of(self, target: Any, name: str) -> Any:
        """Return what *name* of this surface is for the wrapped object *target*."""
        value = getattr(self, name)
        return functools.partial(value, target=target) if name == "replay" else value

    def stats(self) -> dict[str, int]:
        """Return counts: open, skipped and unpublished sessions, lost actions, unscoped and forked calls."""
        return self._engine.stats()

    def flush(self) -> None:
        """Return when everything recorded so far is on the device."""
        self._engine.flush()


SessionSurface.surface_names = frozenset(
    name
    for cls in (SessionReader, SessionSurface)
    for name in vars(cls)
    if not name.startswith("_") and name not in ("replay_target", "surface_of")
)
