"""How a store keeps its files: what is the same for files, directories and memories."""

from __future__ import annotations

import attrs

__all__ = ["StoreOptions"]


@attrs.frozen(kw_only=True)
class StoreOptions:
    """
    What is asked of a store beyond its place.

    Attributes:
        align: Pad what is synced together to so many bytes (512 or 4096), for
            devices that may tear a sector which they write again; 0 for none.
        rotate_bytes: A directory's process begins a new file above this size.
        rotate_seconds: ... and once its file is this old; None for never.
        max_bytes: New sessions are refused, and open ones sealed, once the
            store's files hold this much; None for no limit.
    """

    align: int = 0
    rotate_bytes: int = 64 << 20
    rotate_seconds: float | None = None
    max_bytes: int | None = None
