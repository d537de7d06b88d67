"""A store that is only read: what every such store refuses."""

from __future__ import annotations

from typing import NoReturn
from uuid import UUID

from replaykit.errors import ReadOnlyError
from replaykit.format.entries import Part

__all__ = ["ReadOnlyStore"]


class ReadOnlyStore:
    """
    The writing half of a `Store` that takes nothing.

    Attributes:
        refusal: What the errors say: why nothing is written, and what to do instead.
    """

    refusal: str

    def create_log(self, session_id: UUID) -> NoReturn:
        """Refuse: ReadOnlyError."""
        raise ReadOnlyError(self.refusal)

    def publish(self, part: Part) -> NoReturn:
        """Refuse: ReadOnlyError."""
        raise ReadOnlyError(self.refusal)

    def delete(self, session_id: UUID) -> NoReturn:
        """Refuse: ReadOnlyError."""
        raise ReadOnlyError(self.refusal)

    def erase(self, session_id: UUID) -> NoReturn:
        """Refuse: ReadOnlyError."""
        raise ReadOnlyError(self.refusal)

    def compact(self, *, progress: object = None) -> NoReturn:
        """Refuse: ReadOnlyError."""
        raise ReadOnlyError(self.refusal)

    def idle(self) -> None:
        """Nothing is written here."""
