"""Finds recordings and proposals below folders: a bounded walk that follows no symlink."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from replaykit.errors import UsageError
from replaykit.regression.places import FOLDER, PROPOSED, SUFFIX, proposal_path

__all__ = ["proposals_below", "recordings_below", "stores_below"]

MOST_FOLDERS = 100_000
"""So many folders are looked into: more are no project."""

_NOT_THEIRS = frozenset({"__pycache__", "node_modules", "site-packages"})
_ENVIRONMENT = "pyvenv.cfg"
_MODULE = ".py"


def proposals_below(paths: Sequence[str]) -> list[str]:
    """
    Return the proposals in *paths*, each once, sorted: folders, modules of tests, recordings, or proposals themselves.

    Raises:
        UsageError: A path is nothing of that, or there are too many folders.
        OSError: A folder that is named cannot be listed.
    """
    return sorted({found for path in paths for found in _proposals_in(os.path.abspath(path))})


def recordings_below(paths: Sequence[str]) -> list[str]:
    """
    Return the recordings and proposals in *paths*, folders or files, each once, sorted.

    Raises:
        UsageError: A path is nothing of that, or there are too many folders.
        OSError: A folder that is named cannot be listed.
    """
    return sorted({found for path in paths for found in _recordings_in(os.path.abspath(path))})


def stores_below(path: str) -> list[str]:
    """
    Return *path*, a store, and of a folder those below it that hold recordings, as a project's tests have them.

    Raises:
        UsageError: There are too many folders.
        OSError: The folder cannot be listed.
    """
    if not os.path.isdir(path):
        return [path]
    own = path.rstrip(os.sep) or os.sep
    below = sorted({os.path.dirname(found) for found in _files_below(own, SUFFIX)} - {own})
    return [path, *(os.path.join(folder, "") for folder in below)]


def _proposals_in(path: str) -> Iterable[str]:
    if path.endswith(SUFFIX) and not os.path.isdir(path):
        proposal = path if path.endswith(PROPOSED) else proposal_path(path)
        return [proposal] if os.path.lexists(proposal) else []
    return _recordings_in(path, PROPOSED)


def _recordings_in(path: str, ending: str = SUFFIX) -> Iterable[str]:
    if os.path.isdir(path):
        return _files_below(path, ending)
    if path.endswith(SUFFIX):
        return [path]
    if path.endswith(_MODULE):
        own = os.path.join(os.path.dirname(path), FOLDER, os.path.basename(path).removesuffix(_MODULE))
        return _files_below(own, ending) if os.path.isdir(own) else []
    raise UsageError(f"{path} has no recordings: give folders, modules of tests (test_x.py) or recordings ({SUFFIX})")


def _files_below(folder: str, ending: str) -> Iterator[str]:
    """
    Yield the files below *folder* whose names end in *ending*.

    Passed over are symlinks, hidden folders, virtual environments and folders
    below *folder* that cannot be listed.

    Raises:
        UsageError: There are too many folders.
        OSError: *folder* itself cannot be listed.
    """
    waiting = [folder]
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        where = waiting.pop()
        entries = _entries(where, demanded=where == folder)
        if where != folder and any(entry.name == _ENVIRONMENT for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in _NOT_THEIRS:
                    waiting.append(entry.path)
            elif entry.name.endswith(ending) and entry.is_file(follow_symlinks=False):
                yield entry.path
    raise UsageError(f"{folder} holds more than {MOST_FOLDERS:,} folders: name those with the tests")


def _entries(where: str, *, demanded: bool) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(where) as found:
            return list(found)
    except OSError:
        # A folder that is none of the project's, or has gone meanwhile.
        if demanded:
            raise
        return []
