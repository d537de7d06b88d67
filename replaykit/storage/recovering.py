"""Copies what is whole of a damaged store into a new one; the damaged one is left byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import attrs

from replaykit.errors import SessionNotFoundError, StorageError, UsageError
from replaykit.format.entries import Gap, Part
from replaykit.format.parts import gap_bodies
from replaykit.format.segment import GAP
from replaykit.format.strict import encode_body
from replaykit.model import Recovery, Verification
from replaykit.protocols import Advance, Log, Store
from replaykit.storage.compaction import silent
from replaykit.storage.copying import ending_of, parts_of, whole_gaps
from replaykit.storage.file_store import FileStore
from replaykit.storage.gathering import MAX_PART_ACTIONS
from replaykit.storage.opening import kind_of, open_store
from replaykit.storage.publish import Publisher
from replaykit.storage.salvage import SalvagedSession, SalvagedStore
from replaykit.storage.segment_file import Damage, SegmentFile

__all__ = ["recover_into", "remove_begun"]

_LONGEST_EVIDENCE = 1 << 20


def recover_into(
    damaged: str | os.PathLike[str], target: str | os.PathLike[str], *, progress: Advance = silent
) -> Recovery:
    """
    Copy every session of the store *damaged* into a new store at *target*, as far as it is whole.

    Sessions without damage keep their roots.  Live logs whose writer is gone
    are read too; a living writer's are left to it.  The new store verifies
    when this returns.

    Raises:
        UsageError: There is something at *target*.
        NotAStoreError: There is nothing of a recording in *damaged*.
        StorageError: The new store cannot be written; it is removed again.
    """
    path = os.fspath(target)
    if os.path.lexists(path):
        raise UsageError(f"{path} exists: give a new name, nothing is overwritten")
    source = SalvagedStore(damaged)
    try:
        with closing(open_store(path)) as store:
            _copy_sessions(source, store, progress)
            _copy_logs(source, store)
            with_gaps = {card.session_id: 0 for card in store.cards() if card.gaps}
        _keep_evidence(source, path)
        verification = _verified(path)
    except BaseException:
        remove_begun(path)
        raise
    lacking = with_gaps | {each.card.session_id: each.missing for each in source.sessions() if not each.is_whole}
    return Recovery(
        path=source.location,
        target=path,
        sessions=verification.sessions,
        whole_sessions=verification.sessions - len(lacking),
        actions=verification.actions,
        lost_actions=sum(lacking.values()),
        damage=tuple(source.damage),
        lacking=lacking,
    )


def _verified(path: str) -> Verification:
    with closing(open_store(path, read_only=True)) as store:
        verification = store.verify()
    if not verification:
        raise StorageError(f"{path} does not verify: {verification.problems[0]}", path=path)
    return verification


def _copy_sessions(source: SalvagedStore, store: Store, progress: Advance) -> None:
    sessions = source.sessions()
    for done, session in enumerate(sessions):
        progress(done, len(sessions))
        for part in parts_of(session) if session.is_exact else _parts_around(session):
            store.publish(part)
    progress(len(sessions), len(sessions))


def _parts_around(session: SalvagedSession) -> Iterator[Part]:
    """Yield a session with damage in parts; its root becomes that of what is there."""
    part = Part(number=0, opening=session.opening, log_through=session.card.log_through)
    batch: list[Any] = []
    for action in session.actions():
        if len(batch) >= MAX_PART_ACTIONS:
            yield attrs.evolve(part, actions=batch)
            batch = []
        batch.append(action)
    yield attrs.evolve(
        part,
        actions=batch,
        checkpoints=session.checkpoints,
        gaps=whole_gaps(session.gaps),
        sealing=ending_of(session.card),
    )


def _copy_logs(source: SalvagedStore, store: Store) -> None:
    for log in source.logs():
        if not _can_be_read(log):
            continue
        try:
            card = store.read(log.session_id).card
        except SessionNotFoundError:
            card = None
        if card is None or card.state == "open":
            Publisher(store, log, card=card).publish(final=True)
        log.close()


def _can_be_read(log: Log) -> bool:
    try:
        return not log.has_writer()
    except StorageError:
        # A link or a pipe that has the name of a log.
        return False


def _keep_evidence(source: SalvagedStore, target: str) -> None:
    """Carry the damaged bytes over as GAP blocks, where the new store is a file."""
    gaps = [_gap_of(survey.segment, each) for survey in source.surveys for each in survey.damage]
    if gaps and kind_of(target) == "file":
        with closing(FileStore(target)) as store:
            store.append_blocks([(GAP, encode_body(body)) for gap in gaps for body in gap_bodies(None, gap)])


def _gap_of(segment: SegmentFile, damage: Damage) -> Gap:
    size = min(damage.end - damage.offset, _LONGEST_EVIDENCE)
    reason = f"damaged in {os.path.basename(segment.path)}: {damage.reason}"
    return Gap(offset=damage.offset, reason=reason, data=segment.read(damage.offset, size))


def remove_begun(path: str) -> None:
    """Remove what was begun at *path*, where nothing stood before."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    for made in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(OSError):
            os.unlink(made)
