"""A bound on what a store's files hold together: recording stops there, the agent goes on."""

from __future__ import annotations

from typing import Protocol

from replaykit.errors import StoreFullError
from replaykit.storage.options import StoreOptions

__all__ = ["demand_room", "is_full"]


class _Bounded(Protocol):
    @property
    def location(self) -> str: ...

    @property
    def options(self) -> StoreOptions: ...

    def total_bytes(self) -> int: ...


def is_full(store: _Bounded) -> bool:
    """Return whether *store* holds as much as its options allow."""
    limit = store.options.max_bytes
    return limit is not None and store.total_bytes() >= limit


def demand_room(store: _Bounded) -> None:
    """Raise StoreFullError where *store* holds as much as its options allow."""
    if is_full(store):
        raise StoreFullError(store.location, store.options.max_bytes)
