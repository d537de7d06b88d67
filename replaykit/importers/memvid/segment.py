"""The sessions of one replay segment, or of the side file of an active session, each by itself."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from replaykit.errors import DamagedError, NotAStoreError
from replaykit.importers.memvid.container import SEGMENT_HEAD_BYTES, SEGMENT_MAGIC
from replaykit.importers.memvid.cursor import Cursor
from replaykit.importers.memvid.decoding import EncodedSession, read_open_session, read_session
from replaykit.model import ReplayManifest

__all__ = ["ACTIVE_MAGIC", "Found", "Unreadable", "read_active", "read_segment"]

ACTIVE_MAGIC = b"MV2ACTIV"

_VERSION = 1
_ACTIVE_HEAD_BYTES = 16
_LENGTH_BYTES = 8


@attrs.frozen
class Unreadable:
    """Sessions that a file names and that cannot be read; *sessions* is how many."""

    error: DamagedError
    sessions: int = 1


@attrs.frozen
class Found:
    """What there is in a segment or side file, in stored order."""

    sessions: tuple[EncodedSession, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    problems: tuple[str, ...] = ()


def read_segment(data: bytes, path: str, manifest: ReplayManifest) -> Found:
    """Return the sessions of the segment that *manifest* names; damage in one leaves the others readable."""
    cursor = Cursor(data, path, base=manifest.segment_offset)
    try:
        _demand_head(cursor, manifest)
    except DamagedError as error:
        return Found(unreadable=(Unreadable(error, manifest.session_count),))
    looked_at = list(_sessions(cursor, manifest.session_count))
    sessions = tuple(each for each in looked_at if isinstance(each, EncodedSession))
    unreadable = tuple(each for each in looked_at if isinstance(each, Unreadable))
    return Found(sessions, unreadable, tuple(_disagreements(cursor, manifest, sessions, is_whole=not unreadable)))


def _demand_head(cursor: Cursor, manifest: ReplayManifest) -> None:
    if cursor.take(len(SEGMENT_MAGIC)) != SEGMENT_MAGIC:
        raise cursor.damaged("the sessions were overwritten: memvid does not keep their place free", at=0)
    version, count, size = cursor.u32(), cursor.u32(), cursor.u64()
    if version != _VERSION:
        raise cursor.damaged(f"the segment has version {version}, not {_VERSION}", at=8)
    if (count, size) != (manifest.session_count, manifest.segment_size):
        raise cursor.damaged(
            f"the segment says {count} sessions in {size} bytes, the manifest {manifest.session_count} in "
            f"{manifest.segment_size}",
            at=12,
        )
    assert cursor.at == SEGMENT_HEAD_BYTES


def _sessions(cursor: Cursor, count: int) -> Iterator[EncodedSession | Unreadable]:
    for number in range(count):
        try:
            start = cursor.skip(cursor.u64())
        except DamagedError as error:
            # Where the next begins is not known any more.
            yield Unreadable(error, count - number)
            return
        inside = Cursor(cursor.data, cursor.path, base=cursor.base, at=start, end=cursor.at)
        try:
            yield read_session(inside)
        except DamagedError as error:
            yield Unreadable(error)


def _disagreements(
    cursor: Cursor, manifest: ReplayManifest, sessions: tuple[EncodedSession, ...], *, is_whole: bool
) -> Iterator[str]:
    if not is_whole:
        return
    if cursor.remaining:
        yield f"{cursor.remaining} bytes follow the last session"
    total = sum(session.action_count for session in sessions)
    if total != manifest.total_actions:
        yield f"the manifest says {manifest.total_actions} actions, there are {total}"


def read_active(data: bytes, path: str) -> Found:
    """
    Return the one session of the side file that memvid's command line keeps of an active session.

    Raises:
        NotAStoreError: It does not begin as such files do.
        DamagedError: Its length, or a field, is wrong.
    """
    if data[: len(ACTIVE_MAGIC)] != ACTIVE_MAGIC:
        raise NotAStoreError(path, "nor does it begin as memvid's side files do")
    head = Cursor(data, path, at=len(ACTIVE_MAGIC))
    size = head.u64()
    start = head.skip(size)
    assert start == _ACTIVE_HEAD_BYTES
    inside = Cursor(data, path, at=start, end=head.at)
    session = read_open_session(inside)
    inside.skip(3 * _LENGTH_BYTES)
    inside.optional(inside.u64)
    inside.flag()
    if inside.remaining:
        raise inside.damaged(f"{inside.remaining} bytes follow the active session")
    problems = (f"{head.remaining} bytes follow the active session",) if head.remaining else ()
    return Found((session,), problems=problems)
