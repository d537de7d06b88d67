"""A store as small as one may be, and ones that fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from replaykit import StoredFrame


class Notes:
    """Texts and metadata by key; can be read and filled."""

    def __init__(self, **items: str) -> None:
        self.items: dict[Any, StoredFrame] = {}
        self.refused: str | None = None
        self.is_broken = False
        for key, text in items.items():
            self.add(key, text)

    def add(self, key: Any, text: Any, **fields: Any) -> None:
        self.items[key] = StoredFrame(id=key, text=text, **fields)

    def remove(self, key: Any) -> None:
        del self.items[key]

    def search(self, query: str) -> list[Any]:
        return [key for key, frame in self.items.items() if query in frame.text]

    def frames(self) -> Iterator[StoredFrame]:
        if self.is_broken:
            raise ConnectionError("the server is gone")
        yield from list(self.items.values())

    def restore(self, frames: Iterable[StoredFrame]) -> None:
        """Fill in one by one, as a remote store would; a frame whose text is *refused* is not taken."""
        self.items.clear()
        for frame in frames:
            if self.refused is not None and frame.text == self.refused:
                raise OSError("no room")
            self.items[frame.id] = frame

    def texts(self) -> dict[Any, Any]:
        return {key: frame.text for key, frame in self.items.items()}


OPERATIONS = {"add": "put", "search": "find", "remove": "delete"}
