"""What a recorder can do whose checkpoints hold a wrapped store's content: show it as it was, put it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replaykit.adapters.finding import restorable_of
from replaykit.errors import PlaybackError, UsageError
from replaykit.intercept.proxy import RecordedObject
from replaykit.intercept.scope import is_playing
from replaykit.model import Checkpoint
from replaykit.operations import Operation
from replaykit.protocols import Restorable
from replaykit.rewinding.places import shadow_path
from replaykit.surface import SessionSurface

# A recorder that holds nothing, which is what most are, loads no memory.
if TYPE_CHECKING:
    from replaykit.memory.memory import Memory
    from replaykit.model import Restoration
    from replaykit.rewinding.rewinder import Rewinder

__all__ = ["RewindingSurface"]


class RewindingSurface(SessionSurface):
    """The session surface of a recorder whose checkpoints may hold the content of one wrapped store."""

    _rewinder: Rewinder | None = None
    _rewound: Any = None

    def _hold(self, target: Any, frames: Any, location: str) -> None:
        """
        Let the checkpoints hold what *target* holds; the states go beside the recordings at *location*.

        Raises:
            UsageError: Nothing is known that reads and fills it, or they hold
                another store already.
        """
        if self._rewound is not None and self._rewound is not target:
            raise UsageError(
                f"the checkpoints of this recorder hold a {type(self._rewound).__name__} already: "
                "give the other store a recorder of its own"
            )
        from replaykit.rewinding.rewinder import Rewinder
        from replaykit.rewinding.shadow import Shadow

        store = restorable_of(target, frames)
        engine = self._engine
        if self._rewinder is not None:
            self._rewinder.store = store
            return
        self._rewound = target
        self._rewinder = engine.state_source = Rewinder(
            store,
            Shadow(shadow_path(location, _name_for(store, target))),
            clock=engine.clock,
            clean=engine.redactor.clean_text,
            report=engine.troubles.report_bare_checkpoint,
        )

    @property
    def surface_names(self) -> frozenset[str]:  # type: ignore[override]  # of an instance: not all can go back
        """The names that its wrapped objects have besides their own."""
        return SessionSurface.surface_names | (frozenset() if self._rewinder is None else {"at", "restore"})

    def at(self, checkpoint: Checkpoint) -> Memory:
        """
        Return the wrapped store as it was at *checkpoint*: an embedded memory in RAM that takes no writes.

        Its metadata say each frame's own id under ``stored_id``.  What is
        done with it is recorded into the open session.

        Raises:
            CheckpointNotFoundError: The checkpoint has no content, or is not this store's.
            UsageError: Nothing was wrapped with ``frames=``.
        """
        return self._rewinding().at(checkpoint, self._engine.settings)

    def restore(self, checkpoint: Checkpoint, *, into: Any = None) -> Restoration:
        """
        Make the wrapped store hold what it held at *checkpoint*; what it holds now is kept first.

        With *into* an empty store of its kind (wrapped or not, or an object
        with ``frames()`` and ``restore(frames)``) or an empty `Memory` is
        filled instead.  Ids and vectors are the recorded ones where the store
        takes them.  Into itself it is recorded as an update.

        Raises:
            CheckpointNotFoundError: The checkpoint has no content, or is not this store's.
            RestoreError: The store failed; the error says what it holds now.
            UsageError: *into* is not empty, or nothing was wrapped with ``frames=``.
            PlaybackError: A recording is being played: nothing is executed then.
        """
        rewinder = self._rewinding()
        if is_playing():
            raise PlaybackError("a play executes nothing, and restore() changes a store: call it outside")
        from replaykit.memory.memory import Memory

        if isinstance(into, Memory):
            return rewinder.restore_into_memory(checkpoint, into._frames)
        if into is not None:
            return rewinder.restore_into(checkpoint, _restorable_behind(into))
        started = self._engine.clock.perf_counter_ns()
        done, failure = None, None
        try:
            done = rewinder.restore(checkpoint)
            return done
        except BaseException as error:
            failure = error
            raise
        finally:
            self._record_restore(checkpoint, done, failure, self._engine.clock.perf_counter_ns() - started)

    def _record_restore(
        self, checkpoint: Any, done: Restoration | None, failure: BaseException | None, duration_ns: int
    ) -> None:
        session = self._engine.active()
        if session is not None and isinstance(checkpoint, Checkpoint):
            # All frames may have changed: none is named.
            row = Operation(
                kind="update", name="restore", source=_class_of(self._rewound), ids=lambda _given, _done: []
            )
            arguments = {"session": str(checkpoint.session_id), "checkpoint": checkpoint.id}
            output = None if done is None else {"frame_count": done.frame_count, "is_exact": done.is_exact}
            session.record(row, arguments, output, failure, duration_ns)

    def _rewinding(self) -> Rewinder:
        if self._rewinder is None:
            raise UsageError(
                "the checkpoints of this recorder hold no content: wrap the store with frames=True, or with an object "
                "that has frames() and restore(frames)"
            )
        return self._rewinder

    def _close_states(self) -> None:
        if self._rewinder is not None:
            self._rewinder.close()


def _restorable_behind(into: Any) -> Restorable:
    """Return what fills *into*; where it was wrapped with ``frames=``, what it was wrapped with."""
    if not isinstance(into, RecordedObject):
        return restorable_of(into)
    recorder, target = into._self_recorder, into.__wrapped__
    if isinstance(recorder, RewindingSurface) and recorder._rewinder is not None and recorder._rewound is target:
        return recorder._rewinder.store
    return restorable_of(target)


def _name_for(store: Any, target: Any) -> str:
    """Return the name that tells a wrapped store from others: its adapter's, else that of its class."""
    name = getattr(store, "name", None)
    return name if isinstance(name, str) and name else type(target).__qualname__


def _class_of(target: Any) -> str:
    return f"{type(target).__module__}.{type(target).__qualname__}"
