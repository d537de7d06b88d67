"""How a store keeps its files: what is the same for files, directories and memories."""

from __future__ import annotations

import attrs

from replaykit.format.block import LIVE_LEVEL
from replaykit.format.parts import LIVE_BLOCK_BYTES

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
        block_bytes, level: How long the entries of one block are, and how hard zstd tries.
    """

    align: int = 0
    rotate_bytes: int = 64 << 20
    rotate_seconds: float | None = None
    max_bytes: int | None = None
    block_bytes: int = LIVE_BLOCK_BYTES
    level: int = LIVE_LEVEL
