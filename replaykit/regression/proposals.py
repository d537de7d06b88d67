"""New versions of recordings that wait for a review: what each changes, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import attrs
from blake3 import blake3

from replaykit.errors import DamagedError, StorageError, WrongRecordingError
from replaykit.loading import load_finished
from replaykit.model import ReplaySession
from replaykit.regression.places import belongs_at, is_empty, is_of_module, reviewed_path
from replaykit.regression.replacing import remove_file, write_recording
from replaykit.regression.session_diff import SessionDiff, diff_of, diff_of_new
from replaykit.regression.writing import id_of_test
from replaykit.storage.files import SystemFiles
from replaykit.storage.segment_file import open_file

__all__ = ["Change", "accept", "change_of", "reject"]

_BLOCK_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class Change:
    """
    What a proposal would change.

    Attributes:
        path: The proposal.
        recording: The file whose place it would take.
        identity: Whose it is, as in ``test_notes.py::test_find``.
        is_new: There is no recording yet.
        diff: What it has in place of the recording.
        note: What a reviewer has to know besides; may be empty.
        digest: Of the proposal as it was looked at; so with ``recording_digest``, None where there was none.
    """

    path: str
    recording: str
    identity: str
    is_new: bool
    diff: SessionDiff
    note: str = ""
    digest: bytes = attrs.field(repr=False)
    recording_digest: bytes | None = attrs.field(repr=False)


def change_of(path: str) -> Change:
    """
    Return what the proposal at *path* would change.

    A recording that is damaged or empty counts as none, since that is how to mend it.

    Raises:
        WrongRecordingError: It is another test's, or one of them is no recording of a test.
        StorageError: It or its recording cannot be read.
    """
    recording = reviewed_path(path)
    digest, recording_digest = _digest(path), _digest_if_there(recording)
    with _only_session(path) as new:
        if new is None:
            raise WrongRecordingError(f"{path} is no recording of a test: it has no session", path=path)
        diff, note = _compared(path, recording, new)
        return Change(
            path=path,
            recording=recording,
            identity=new.name or "",
            is_new=recording_digest is None,
            diff=diff,
            note=note,
            digest=digest,
            recording_digest=recording_digest,
        )


def _compared(path: str, recording: str, new: ReplaySession) -> tuple[SessionDiff, str]:
    """Return what *new* has in place of *recording*, and a note."""
    if not os.path.lexists(recording):
        _demand_own(path, recording, new, None)
        return diff_of_new(new), ""
    if is_empty(recording):
        _demand_own(path, recording, new, None)
        return diff_of_new(new), "the recording that is there is empty"
    try:
        with _only_session(recording) as old:
            _demand_own(path, recording, new, old)
            if old is None:
                return diff_of_new(new), "the recording that is there is empty"
            is_own = old.session_id == new.session_id
            return diff_of(old, new), "" if is_own else f"the recording that is there is that of {old.name}"
    except DamagedError as error:
        if error.path == path:
            raise
        _demand_own(path, recording, new, None)
        return diff_of_new(new), f"the recording that is there is damaged: {error.reason}"


@contextmanager
def _only_session(path: str) -> Iterator[ReplaySession | None]:
    """Give the one session of a recording of a test; None where it is empty."""
    with load_finished(path) as stored:
        summaries = stored.list_sessions()
        if len(summaries) > 1:
            raise WrongRecordingError(
                f"{path} is no recording of a test: it has {len(summaries):,} sessions, not one", path=path
            )
        yield stored.get_session(summaries[0].session_id) if summaries else None


def _demand_own(path: str, recording: str, new: ReplaySession, old: ReplaySession | None) -> None:
    """Return if *new* is that recording's test's: it belongs there, or the same test's is there already."""
    identity = new.name or ""
    if old is not None and old.session_id == new.session_id:
        return
    # Of a name that was too long to be stored whole there is the beginning.
    is_whole = id_of_test(identity) == new.session_id
    if not (belongs_at(recording, identity) if is_whole else is_of_module(recording, identity)):
        raise WrongRecordingError(
            f"{path} is the recording of {identity or 'no test'}, which does not belong at {recording}: remove it, "
            "and run pytest --replay-update",
            path=path,
        )


# -- deciding ---------------------------------------------------------------------


def accept(change: Change) -> None:
    """
    Put the proposal in the place of its recording; it is that on the device when this returns.

    Raises:
        StorageError: One of them is not what was shown any more, or cannot be written; both stay.
        ReadOnlyError: The folder or the recording takes no writes.
    """
    data = _read(change.path)
    if blake3(data).digest() != change.digest or _digest_if_there(change.recording) != change.recording_digest:
        raise StorageError(
            f"{change.recording} or its proposal changed since it was shown: review it again", path=change.path
        )
    write_recording(change.recording, data)
    remove_file(change.path)


def reject(change: Change) -> None:
    """
    Remove the proposal; the recording stays.

    Raises:
        StorageError: It is not what was shown any more, or cannot be removed.
    """
    if _digest(change.path) != change.digest:
        raise StorageError(f"{change.path} changed since it was shown: review it again", path=change.path)
    remove_file(change.path)


# -- files ------------------------------------------------------------------------


def _read(path: str) -> bytes:
    return b"".join(_blocks(path))


def _digest(path: str) -> bytes:
    hashed = blake3()
    for block in _blocks(path):
        hashed.update(block)
    return hashed.digest()


def _blocks(path: str) -> Iterator[bytes]:
    """Yield what is in a plain file; a symlink is an error."""
    with closing(open_file(SystemFiles(), path)) as file:
        at = 0
        while block := file.read(at, _BLOCK_BYTES):
            yield block
            at += len(block)


def _digest_if_there(path: str) -> bytes | None:
    return _digest(path) if os.path.lexists(path) else None
