"""What a crash left in a store: found when it is opened, recovered before it is read."""

from __future__ import annotations

from collections.abc import Sequence

from replaykit.errors import ClosedError
from replaykit.protocols import Log, Store
from replaykit.storage.pausing import Pause
from replaykit.storage.recovery import recover

__all__ = ["Leftovers"]


class Leftovers:
    """
    The live logs that were there at an opening, until they are recovered.

    Only those: a log that is made later is of somebody who is alive.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Sequence[Log]] = []

    def find(self) -> bool:
        """
        Note what is to be recovered; return whether there are any logs.

        Raises:
            StorageError: They cannot be listed.
        """
        logs = self._store.logs()
        self._waiting.append(logs)
        return bool(logs)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def recover(self, pause: Pause) -> None:
        """Recover all that was found; one thread at a time.  After an interrupt the next call does it again."""
        while self._waiting:
            try:
                recover(self._store, self._waiting[0], pause=pause)
            except ClosedError:
                # Whoever opens it next finds the same.
                self._waiting.clear()
                return
            except Exception:
                self._waiting.pop(0)
                raise
            self._waiting.pop(0)

    def abandon(self) -> None:
        """Leave all of it to the parent: this is a forked child."""
        for logs in self._waiting:
            for log in logs:
                getattr(log, "abandon", lambda: None)()
        self._waiting.clear()
