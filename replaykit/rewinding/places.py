"""Where the states of a wrapped store are kept: beside the recordings, in a file named after the store."""

from __future__ import annotations

import os
import re

from replaykit.digests import content_hash
from replaykit.storage.database import MEMORY

__all__ = ["shadow_path"]

_MAX_NAME = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def shadow_path(location: str, name: str) -> str:
    """
    Return where the states of the store *name* go whose recordings go to *location*.

    ``runs.rpk.frames-NAME.mv`` beside a file, ``runs/frames-NAME.mv`` in a
    directory, RAM beside RAM.  Different names give different files.
    """
    if location == MEMORY:
        return MEMORY
    file = f"frames-{_as_file_name(name)}.mv"
    if location.endswith(("/", os.sep)) or os.path.isdir(location):
        return os.path.join(location, file)
    return f"{location}.{file}"


def _as_file_name(name: str) -> str:
    safe = _UNSAFE.sub("_", name)[:_MAX_NAME]
    if safe == name:
        return name
    return f"{safe}-{content_hash(name.encode('utf-8', 'surrogatepass'))[:4].hex()}"
