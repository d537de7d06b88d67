"""Recordings that no test has any more, and proposals for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress

from replaykit.errors import ReplaykitError
from replaykit.regression.owners import owner_of
from replaykit.regression.places import FOLDER, PROPOSED, SUFFIX, belongs_at, reviewed_path
from replaykit.regression.replacing import remove_file

__all__ = ["remove_stale", "stale_recordings", "without_module"]


def stale_recordings(modules: Set[str], used: Set[str], folder: str = FOLDER) -> list[str]:
    """
    Return the recordings of tests that are no more, by path, and the proposals for such.

    *modules* are test modules all of whose tests are known, *used* the paths
    of those tests' recordings, whether or not they are there.  Recordings of
    other modules beside them are stale if the module is gone.  What is not
    certainly the recording of a test, in its place, is never among them:
    recordings of another name, damaged ones, symlinks.
    """
    stale: list[str] = []
    for beside in sorted({os.path.dirname(module) for module in modules}):
        stale += _stale_in(os.path.join(beside, folder), modules, used)
    return stale


def _stale_in(where: str, modules: Set[str], used: Set[str]) -> Iterator[str]:
    beside = os.path.dirname(where)
    if os.path.islink(where):
        return
    known = {_stem(module) for module in modules if os.path.dirname(module) == beside}
    there = {_stem(entry.name) for entry in _entries(beside)}
    for entry in _entries(where):
        # Of a module that is there and was not collected nothing is known.
        if entry.is_dir(follow_symlinks=False) and (entry.name in known or entry.name not in there):
            unused = (path for path in _recordings(entry.path) if _recording_of(path) not in used)
            yield from (path for path in unused if _is_left_over(path, beside, modules))


def without_module(paths: Iterable[str]) -> list[str]:
    """Return those of *paths* that are the recording of a test, or a proposal for it, whose module is gone."""
    return [path for path in paths if _is_left_over(path, _beside(path), frozenset())]


def _beside(path: str) -> str:
    """Return the folder of the module whose recording is at *path*."""
    return os.path.dirname(os.path.dirname(os.path.dirname(path)))


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _entries(where: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(where) as found:
            return sorted(found, key=lambda each: each.name)
    except OSError:
        # Most folders of tests have no recordings; what cannot be listed is not judged.
        return []


def _recordings(where: str) -> Iterator[str]:
    entries = _entries(where)
    return (entry.path for entry in entries if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False))


def _recording_of(path: str) -> str:
    return reviewed_path(path) if path.endswith(PROPOSED) else path


def _is_left_over(path: str, beside: str, modules: Set[str]) -> bool:
    """Return whether *path* is where the test whose name is in it would have it, and its module is known or gone."""
    owner = owner_of(path)
    if owner is None or owner.identity is None or not belongs_at(_recording_of(path), owner.identity):
        return False
    module, inner, _ = owner.identity.partition("::")
    # One that was named has no module.
    if not inner:
        return False
    module = os.path.join(beside, module)
    return module in modules or not os.path.lexists(module)


def remove_stale(paths: Iterable[str]) -> list[str]:
    """Remove *paths*, and the folders of modules that are empty then; return those that could not be."""
    left = []
    for path in paths:
        try:
            remove_file(path)
        except ReplaykitError:
            left.append(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))
    return left
