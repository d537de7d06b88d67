"""Opens recordings for reading: `load`."""

from __future__ import annotations

import os

from replaykit.model import Verification
from replaykit.protocols import Advance, Store
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.compaction import silent
from replaykit.storage.opening import open_store
from replaykit.surface import SessionReader

__all__ = ["Recording", "load"]


class Recording(SessionReader):
    """A store, opened for reading; nothing is written, created or locked."""

    def __init__(self, location: str, store: Store) -> None:
        self._location = location
        self._store = store
        self._reading = Catalogue(store)

    @property
    def _catalogue(self) -> Catalogue:
        return self._reading

    @property
    def location(self) -> str:
        """Where it is, as it was given."""
        return self._location

    def verify(self, *, progress: Advance = silent) -> Verification:
        """Read every byte and check it; the result is true only if all of it is accounted for."""
        return self._store.verify(progress=progress)

    def close(self) -> None:
        """Let go of the files; closing twice is fine."""
        self._store.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self._location}>"


def load(location: str | os.PathLike[str]) -> Recording:
    """
    Open a recording for reading: a file, a directory or a memory's file.

    Raises:
        StoreNotFoundError: There is nothing at this path.
        NotAStoreError: The file is something else.
        DamagedError: It is damaged below what was once on the device.
        UnsupportedVersionError: A newer release wrote it.
    """
    return Recording(os.fspath(location), open_store(location, read_only=True))
