"""
Reads a memvid file's table of contents forward, to find the replay manifest or that there is none.

Only the manifest is wanted; every other field is passed over by its layout.
"""

from __future__ import annotations

from collections.abc import Callable

from replaykit.errors import DamagedError
from replaykit.importers.memvid.cursor import HASH_BYTES, Cursor
from replaykit.model import ReplayManifest

__all__ = ["MANIFEST_BYTES", "TAIL_BYTES", "manifest_forward", "read_manifest"]

MANIFEST_BYTES = 32
"""How long a manifest is, without the byte that says that there is one."""

TAIL_BYTES = 2 * HASH_BYTES
"""What stands behind the enrichment queue: merkle root and checksum."""

_SPAN = 40
_INDEX_ENTRY = 76
_TASK = 24


def read_manifest(cursor: Cursor) -> ReplayManifest:
    """Return the manifest that stands here."""
    return ReplayManifest(
        segment_offset=cursor.u64(),
        segment_size=cursor.u64(),
        session_count=cursor.u32(),
        total_actions=cursor.u64(),
        version=cursor.u32(),
    )


def manifest_forward(toc: bytes, path: str, base: int) -> ReplayManifest | None:
    """
    Return the manifest of a table of contents, None where it says that there is none.

    Raises:
        DamagedError: The table has none of the known layouts.
    """
    try:
        return _Layout(Cursor(toc, path, base=base), vectors_name_model=True).manifest()
    except DamagedError:
        # Until 2026-01 the vector index did not name its model.
        return _Layout(Cursor(toc, path, base=base), vectors_name_model=False).manifest()


class _Layout:
    """One layout of the table, read once from its beginning to its end."""

    def __init__(self, cursor: Cursor, *, vectors_name_model: bool) -> None:
        self._cursor = cursor
        self._vectors_name_model = vectors_name_model

    def manifest(self) -> ReplayManifest | None:
        """Return the manifest; DamagedError unless the table is used up exactly."""
        cursor = self._cursor
        cursor.skip(8)
        cursor.skip(cursor.count(_INDEX_ENTRY) * _INDEX_ENTRY)
        self._list(self._frame, 100)
        self._indexes()
        self._catalogue()
        self._ticket_and_binding()
        found = cursor.optional(lambda: read_manifest(cursor))
        cursor.skip(cursor.count(_TASK) * _TASK + 8)
        cursor.skip(TAIL_BYTES)
        if cursor.remaining:
            raise cursor.damaged(f"{cursor.remaining} bytes follow the table of contents")
        return found

    # -- shapes ---------------------------------------------------------------------

    def _list(self, read: Callable[[], object], least_bytes: int) -> None:
        for _ in range(self._cursor.count(least_bytes)):
            read()

    def _fixed(self, size: int) -> None:
        """Pass over an optional field of *size* bytes."""
        if self._cursor.flag():
            self._cursor.skip(size)

    def _text(self) -> None:
        self._cursor.skip(self._cursor.u64())

    def _optional_text(self) -> None:
        if self._cursor.flag():
            self._text()

    def _texts(self) -> None:
        self._list(self._text, 8)

    def _map(self) -> None:
        self._list(self._text_pair, 16)

    def _text_pair(self) -> None:
        self._text()
        self._text()

    # -- frames ---------------------------------------------------------------------

    def _frame(self) -> None:
        cursor = self._cursor
        cursor.skip(16)
        self._fixed(8)
        self._fixed(4)
        self._optional_text()
        self._optional_text()
        cursor.skip(16 + HASH_BYTES)
        self._optional_text()
        self._optional_text()
        cursor.skip(4)
        self._fixed(8)
        if cursor.flag():
            self._metadata()
        self._optional_text()
        self._texts()
        self._texts()
        self._map()
        self._texts()
        if cursor.flag():
            cursor.skip(8)
            cursor.skip(cursor.count(16) * 16)
        cursor.skip(4)
        for size in (8, 4, 4):
            self._fixed(size)
        cursor.skip(4)
        for size in (8, 8, HASH_BYTES):
            self._fixed(size)
        self._optional_text()
        cursor.skip(4)

    def _metadata(self) -> None:
        self._optional_text()
        self._fixed(8)
        self._optional_text()
        self._fixed(4)
        self._fixed(4)
        if self._cursor.flag():
            self._texts()
        self._optional_text()
        for part in (self._photo, self._audio, self._media):
            if self._cursor.flag():
                part()

    def _photo(self) -> None:
        for _ in range(4):
            self._optional_text()
        self._fixed(16)

    def _audio(self) -> None:
        for size in (4, 4, 1, 4):
            self._fixed(size)
        self._optional_text()
        self._list(self._audio_part, 9)
        self._map()

    def _audio_part(self) -> None:
        self._cursor.skip(8)
        self._optional_text()

    def _media(self) -> None:
        self._text_pair()
        self._cursor.skip(8)
        self._optional_text()
        for size in (8, 4, 4):
            self._fixed(size)
        self._optional_text()

    # -- what stands behind the frames ------------------------------------------------

    def _indexes(self) -> None:
        self._fixed(32 + HASH_BYTES)
        self._list(self._index_part, 56)
        if self._cursor.flag():
            self._cursor.skip(8 + 4 + 8 + 8 + HASH_BYTES + 4)
            if self._vectors_name_model:
                self._optional_text()
        if self._cursor.flag():
            self._cursor.skip(8 + 8 + 8 + 4 + HASH_BYTES)
            self._text()
        for size in (24, 36, 32, 32, 30):
            self._fixed(size + HASH_BYTES)

    def _index_part(self) -> None:
        self._text()
        self._cursor.skip(16 + HASH_BYTES)

    def _catalogue(self) -> None:
        cursor = self._cursor
        cursor.skip(8 + 4 + 1)
        self._list(lambda: self._segment(8), 79)
        self._list(lambda: self._segment(8 + 4 + 4), 87)
        self._list(lambda: self._segment(8), 79)
        self._list(lambda: self._segment(8 + 8 + 4), 91)
        self._list(self._named_segment, 79)
        self._list(self._track_segment, 115)

    def _segment(self, more: int) -> None:
        self._cursor.skip(24 + HASH_BYTES + 8 + 2 + 4)
        self._fixed(_SPAN)
        self._cursor.skip(more)

    def _named_segment(self) -> None:
        self._segment(0)
        self._text()

    def _track_segment(self) -> None:
        self._cursor.skip(4)
        self._segment(40)

    def _ticket_and_binding(self) -> None:
        self._text()
        self._cursor.skip(8 + 8 + 8 + 1)
        if self._cursor.flag():
            for _ in range(4):
                self._text()
