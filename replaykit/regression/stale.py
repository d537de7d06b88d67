"""Recordings that no test has any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Set

from replaykit.regression.places import FOLDER, PROPOSED, SUFFIX

__all__ = ["stale_recordings"]


def stale_recordings(modules: Set[str], used: Set[str], folder: str = FOLDER) -> list[str]:
    """
    Return the recordings of tests that are no more, by path.

    *modules* are test modules all of whose tests are known, *used* the paths
    of those tests' recordings, whether or not they are there.  Recordings of
    other modules beside them are stale if the module is gone; what else lies
    there is nobody's business.
    """
    stale: list[str] = []
    for where in sorted({os.path.join(os.path.dirname(module), folder) for module in modules}):
        for entry in _entries(where):
            module = os.path.join(os.path.dirname(where), entry.name + ".py")
            if module in modules or not os.path.lexists(module):
                stale += [path for path in _recordings(entry.path) if path not in used]
    return stale


def _entries(where: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(where) as found:
            return sorted((entry for entry in found if entry.is_dir(follow_symlinks=False)), key=lambda each: each.name)
    except OSError:
        # Most folders of tests have no recordings; what cannot be listed is not judged.
        return []


def _recordings(where: str) -> Iterable[str]:
    names = sorted(name for name in os.listdir(where) if name.endswith(SUFFIX) and not name.endswith(PROPOSED))
    return [os.path.join(where, name) for name in names]
