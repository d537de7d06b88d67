"""Which file a test's recording is: ``recordings/<module>/<class>.<test>[<parameters>].rpk`` beside its module."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence

import attrs

from replaykit.errors import UsageError

__all__ = [
    "FOLDER",
    "PROPOSED",
    "SUFFIX",
    "Place",
    "belongs_at",
    "demand_folder",
    "is_empty",
    "is_of_module",
    "place_at",
    "place_of",
    "proposal_path",
    "reviewed_path",
]

FOLDER = "recordings"
SUFFIX = ".rpk"
PROPOSED = ".new" + SUFFIX
"""How the names of recordings end that wait for a review."""

_MOST_BYTES = 100
_UNSAFE = re.compile(r"[^\w\-.,=+@\[\]]")


@attrs.frozen
class Place:
    """
    Where one recording belongs.

    Attributes:
        path: The file.
        identity: Whose it is, ``test_notes.py::TestNotes::test_find[paris]``: the same wherever the project lies.
        is_shared: Others may play it too: it was named by whoever uses it.
    """

    path: str
    identity: str
    is_shared: bool = False


def place_of(module: str | os.PathLike[str], names: Sequence[str], *, folder: str = FOLDER) -> Place:
    """
    Return the place of a test's recording: *names*, ``["TestNotes", "test_find"]``, lead from *module* to it.

    Whatever the names hold, the file lies in ``<folder>/<module>/``.

    Raises:
        UsageError: *folder* is no plain name.
    """
    demand_folder(folder)
    where, file_name = os.path.split(os.path.abspath(module))
    stem = os.path.splitext(file_name)[0]
    path = os.path.join(where, folder, stem, _file_name(names))
    return Place(path, "::".join([file_name, *names]))


def demand_folder(folder: str) -> None:
    """
    Return if *folder* can be the folder of recordings beside a module.

    Raises:
        UsageError: It is no plain name.
    """
    if not folder or folder in (".", "..") or os.path.basename(folder) != folder:
        raise UsageError(f"{folder!r} is no name for the folder of recordings: give one name, as in {FOLDER!r}")


def place_at(path: str | os.PathLike[str], identity: str | None = None) -> Place:
    """
    Return the place of a recording that is named by its path; without an *identity* its name is one.

    Raises:
        UsageError: It is the name of what waits for a review.
    """
    located = os.path.abspath(path)
    if not located.endswith(SUFFIX):
        located += SUFFIX
    if located.endswith(PROPOSED):
        raise UsageError(f"{located} is no name for a recording: what ends in {PROPOSED} waits for a review")
    return Place(located, identity or os.path.basename(located).removesuffix(SUFFIX), is_shared=True)


def is_empty(path: str) -> bool:
    """Return whether a file without a byte is at *path*: it holds nothing that could be lost, and counts as none."""
    return os.path.isfile(path) and not os.path.islink(path) and not os.path.getsize(path)


def proposal_path(path: str) -> str:
    """Return where a new version of the recording at *path* waits for its review."""
    return path.removesuffix(SUFFIX) + PROPOSED


def reviewed_path(proposal: str) -> str:
    """Return which recording *proposal* would replace: the other way round than `proposal_path`."""
    return proposal.removesuffix(PROPOSED) + SUFFIX


def belongs_at(path: str, identity: str) -> bool:
    """Return whether the recording of the test *identity* is at *path*, whatever the folder of recordings is called."""
    _, _, inner = identity.partition("::")
    name = unicodedata.normalize("NFC", os.path.basename(path))
    if not inner:
        return name == identity + SUFFIX
    return is_of_module(path, identity) and name == _file_name(_names(inner))


def is_of_module(path: str, identity: str) -> bool:
    """Return whether *path* is where tests of the module of *identity* have recordings."""
    module, _, inner = identity.partition("::")
    return bool(inner) and os.path.basename(os.path.dirname(path)) == os.path.splitext(module)[0]


def _names(inner: str) -> list[str]:
    """Return what leads from a module to a test; what its parameters hold is no step."""
    head, bracket, parameters = inner.partition("[")
    names = head.split("::")
    names[-1] += bracket + parameters
    return names


def _file_name(names: Sequence[str]) -> str:
    exact = ".".join(names)
    readable = _UNSAFE.sub("_", unicodedata.normalize("NFC", exact))
    shortened = readable.encode()[:_MOST_BYTES].decode(errors="ignore")
    # Parameters that differ in case alone are one name on some file systems.
    parameters = exact.partition("[")[2]
    taken = exact.startswith(".") or f"{exact}{SUFFIX}".endswith(PROPOSED)
    if shortened != exact or parameters != parameters.lower() or taken:
        shortened = f"{shortened.lstrip('.')}-{hashlib.sha256(exact.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return shortened + SUFFIX
