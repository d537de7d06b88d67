"""
The recording of a test: one file with one sealed session, the same bytes for the same calls.

Nothing in it says when, where or by whom it was recorded, so it changes only
when a call or its result does, and two checkouts have the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid5

from blake3 import blake3

from replaykit.errors import UsageError
from replaykit.format.catalog import Record, encode_catalog
from replaykit.format.entries import Opening, Part, Sealing
from replaykit.format.entry_blocks import EncodedEntry, encode_action
from replaykit.format.fields import map_of_opening, map_of_sealing
from replaykit.format.merkle import Trees
from replaykit.format.names import safe_name
from replaykit.format.parts import encode_part
from replaykit.format.segment import BARRIER, CATALOG, start_segment
from replaykit.format.strict import encode_body
from replaykit.model import ReplaySession
from replaykit.recording.metadata import clean_metadata
from replaykit.redactors import make_redactor
from replaykit.regression.normalising import CREATED_NS, STEP_NS, Source, same_calls, timeless_actions
from replaykit.regression.replacing import write_recording
from replaykit.regression.secrets import demand_no_secret
from replaykit.storage.cards import card_after

__all__ = ["id_of_test", "is_of_test", "recording_bytes", "same_calls", "write_recording"]

_TESTS = UUID("5f1d2d0c-6f0b-5b53-9c0e-8f6d1c6a7b21")
"""The namespace of the ids of tests: chosen once, never changed."""

_BY_NAME = 5
"""The version of an id that is made of a name."""

_OWN = "replaykit."


def id_of_test(identity: str) -> UUID:
    """Return the id of the session in the recording of the test *identity*."""
    return uuid5(_TESTS, identity.encode("utf-8", "backslashreplace").decode())


def is_of_test(session: ReplaySession) -> bool:
    """Return whether *session* is what `recording_bytes` makes: its id and times say nothing."""
    return session.created_ns == CREATED_NS and session.session_id.version == _BY_NAME


def recording_bytes(
    identity: str,
    sources: Sequence[Source],
    *,
    metadata: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """
    Return the recording of the test *identity*: a whole file, equal for equal arguments.

    *sources* are stored sessions, each with the sequences of the actions to
    take, in order, or None for all.  Their actions, one source after the
    other, are those of the new session as they are stored, but for numbers,
    times and generations; calls whose parent is left out are left out, and
    checkpoints.  Of *metadata* the recorder's own keys are left out.

    Raises:
        UsageError: The sources were recorded with different redaction, or
            without arguments and results; a sequence names no action.
        SecretFoundError: A secret stands in what would be written.
        DamagedError: A source cannot be read.
    """
    theirs = {key: metadata[key] for key in sorted(metadata) if not key.startswith(_OWN)}
    opening = _opening(identity, [session for session, _ in sources], theirs)
    entries = list(timeless_actions(sources))
    demand_no_secret(opening, theirs, entries)
    actions = list(map(encode_action, entries))
    length_ns = len(actions) * STEP_NS
    sealing = Sealing(
        state="sealed",
        ended_ns=CREATED_NS + length_ns,
        duration_ns=length_ns,
        # What a source lacks is lacking here: nobody shall take it for whole.
        lost=sum(session.lost for session, _ in sources),
        metadata=opening.metadata,
    )
    return _file_of(Part(number=0, opening=opening, actions=actions, sealing=sealing))


def _opening(identity: str, sessions: Sequence[ReplaySession], metadata: Mapping[str, Any]) -> Opening:
    if not identity:
        raise UsageError("a test's recording needs the test's name")
    for session in sessions:
        if session.capture != "full":
            raise UsageError(
                f"session {session.session_id} was recorded with capture={session.capture!r}: without arguments and "
                'results no test can be answered. Record with capture="full"'
            )
    redactions = {session.redaction for session in sessions}
    if len(redactions) > 1:
        raise UsageError(
            f"recorded with different redaction ({' and '.join(sorted(redactions))}): a play knows one. "
            "Record all of the test's calls again (mode rewrite)"
        )
    return Opening(
        session_id=id_of_test(identity),
        name=safe_name(identity),
        created_ns=CREATED_NS,
        metadata=clean_metadata(metadata, make_redactor(())),
        redaction=redactions.pop() if redactions else "",
    )


def _file_of(part: Part) -> bytes:
    """Return a whole store file that holds one session."""
    session_id = part.opening.session_id
    # Bodies stay plain: another release of zstd may compress to other bytes,
    # and git packs what it can compare.
    writer = start_segment(
        sync=_sync_of(part),
        file_id=uuid5(session_id, "file").bytes,
        created_ns=CREATED_NS,
        writer="replaykit",
        level=None,
    )
    _, place = encode_part(writer, part, trees=Trees())
    card = card_after(part, None, checkpoint_count=0)
    record = Record(number=1, session_id=session_id.bytes, published_ns=CREATED_NS, card=card, at=place)
    catalog = writer.add(CATALOG, encode_catalog(1, 0, [record]))
    digest = writer.previous
    writer.add_tail(catalog.offset, digest)
    # The file gets its name when it is whole: whatever differs later is damage.
    writer.watermark = writer.offset
    writer.add(BARRIER, encode_body({}))
    writer.add_tail(catalog.offset, digest)
    return writer.take()


def _sync_of(part: Part) -> bytes:
    """Return the sync value: of all that is in the file, so that nothing recorded in it can hold the mark itself."""
    hashed = blake3(encode_body(map_of_opening(part.opening)))
    if part.sealing is not None:
        hashed.update(encode_body(map_of_sealing(part.sealing)))
    for action in part.actions:
        assert isinstance(action, EncodedEntry)  # they are encoded once, before
        hashed.update(action.raw)
    return hashed.digest(length=8)
