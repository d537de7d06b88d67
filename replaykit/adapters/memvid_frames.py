"""
What a memvid memory holds: what memvid-sdk's interface gives out and takes.

It gives out no embeddings and assigns ids itself, so a frame that was removed
comes back under a new one and without a vector.  Of short texts memvid keeps
the words only: white space comes back as single spaces.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from replaykit.adapters.differences import difference
from replaykit.model import FrameId, StoredFrame

__all__ = ["MemvidFrames"]

_ALL = 2**31 - 1
_WHOLE = 2**31 - 1
_OWN_URI = "mv2://frames/"
_OF_MEMVID = ("kind", "labels", "tags", "timestamp", "track")
_INTERNAL = "extractous_metadata"
# Scopes are prefixes: frame 1's has those of 10 to 19 in it.
_ENOUGH = 1000
# A preview has 120 characters at most.
_PREVIEW_IS_WHOLE_BELOW = 110


class MemvidFrames:
    """
    The documents of a memvid memory.

    Kind, labels, tags, timestamp and track are in a frame's metadata under
    ``memvid``.  The frames of a long document's pages are part of it.

    Raises:
        LookupError: While reading: memvid gives no text for a frame, as in a
            memory without a lexical index.
    """

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    @property
    def name(self) -> str:
        """The name of the memory's file."""
        return os.path.basename(str(self._memory.path))

    def frames(self) -> Iterator[StoredFrame]:
        """Yield the documents in order of time."""
        for entry in self._memory.timeline(limit=_ALL):
            info = self._memory.frame(entry["uri"])
            yield StoredFrame(
                id=entry["frame_id"],
                text=self._text(entry, info),
                title=info["title"],
                uri=None if info["uri"].startswith(_OWN_URI) else info["uri"],
                metadata=_metadata_of(info),
            )

    def restore(self, frames: Iterable[StoredFrame]) -> dict[FrameId, FrameId]:
        """Make the memory hold exactly *frames*; return the new id of each that had to be put again."""
        changes = difference(self.frames(), frames)
        # What is wanted comes first: where memvid refuses it, nothing has gone.
        new_ids: dict[FrameId, FrameId] = {frame.id: int(self._memory.put(**_put(frame))) for frame in changes.coming}
        for frame_id in changes.going:
            self._memory.remove(frame_id)
        return new_ids

    def _text(self, entry: Mapping[str, Any], info: Mapping[str, Any]) -> str | bytes:
        if entry["child_frames"]:
            return b"".join(self._memory.blob(f"{_OWN_URI}{child}") for child in entry["child_frames"]).decode()
        content: bytes = self._memory.blob(entry["uri"])
        if content:
            return content
        # Of a text that memvid keeps in its index only, the preview is the
        # beginning and a search gives the whole.
        preview: str = entry["preview"]
        is_whole = len(preview.encode()) < _PREVIEW_IS_WHOLE_BELOW
        return _without_appendix(preview if is_whole else self._found(entry, info), info["title"])

    def _found(self, entry: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        from memvid_sdk import MemvidError

        for query in _queries(entry["preview"], info["title"] or ""):
            try:
                found = self._memory.find(query, k=_ENOUGH, snippet_chars=_WHOLE, scope=entry["uri"], mode="lex")
            except MemvidError:
                # So it answers when nothing is found, or the query is not to its taste.
                continue
            for hit in found["hits"]:
                if hit["frame_id"] == entry["frame_id"]:
                    return str(hit["text"])
        raise LookupError(f"memvid gives no text for frame {entry['frame_id']}")


def _queries(preview: str, title: str) -> Iterator[str]:
    """Yield what to search for to be given one frame; memvid's search leaves frames out that have the word."""
    words = re.findall(r"\w+", preview)
    yield from filter(None, (" ".join(words[:12]), " ".join(words[:3]), " ".join(re.findall(r"\w+", title))))
    yield from ("title", "labels", "text")
    yield from dict.fromkeys(words)


def _without_appendix(text: str, title: str | None) -> str:
    """Return what was put: memvid appends title, uri, track, tags, labels and metadata to the words."""
    text = " ".join(text.split())
    begin = text.rfind(f"title: {' '.join((title or '').split())}".rstrip())
    return text if begin < 0 else text[:begin].rstrip()


def _metadata_of(info: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: _value_of(text) for key, text in (info.get("extra_metadata") or {}).items() if key != _INTERNAL}
    kept = {key: info[key] for key in _OF_MEMVID if info.get(key)}
    return {**own, "memvid": kept}


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(frame: StoredFrame) -> dict[str, Any]:
    metadata = dict(frame.metadata)
    kept = dict(metadata.pop("memvid", {}))
    label, *labels = kept.pop("labels", None) or [None]
    options = {"uri": frame.uri, "label": label, "labels": labels or None, "metadata": metadata or None, **kept}
    return {
        "text": frame.text if isinstance(frame.text, str) else (frame.text or b"").decode(),
        "title": frame.title,
        "auto_tag": False,
        "extract_dates": False,
        "enable_embedding": False,
        **{name: value for name, value in options.items() if value is not None},
    }
