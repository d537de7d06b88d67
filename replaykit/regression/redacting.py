"""Chosen actions of a stored session, redacted once more: by today's rules, and by more of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from replaykit.format.entries import Entry, Opening, Part, Sealing
from replaykit.format.soundness import demand_sound_action
from replaykit.format.thaw import thaw
from replaykit.format.values import pack, plain, unpack
from replaykit.model import ReplaySession
from replaykit.redactors import Redactor, make_redactor, redactor_for
from replaykit.redactors.rules import CURRENT
from replaykit.regression.normalising import CREATED_NS, positions_of, stored_actions
from replaykit.regression.writing import id_of_test
from replaykit.storage.catalogue import Catalogue
from replaykit.storage.opening import open_store

__all__ = ["redacted_again", "redactor_over"]

_FOLLOWING = {"in": ("ih", "ip"), "out": ("oh", "op"), "err": ("oh", "op")}
"""What is kept beside a body and follows from it."""


def redactor_over(session: ReplaySession, rules: Sequence[str]) -> Redactor:
    """
    Return the redactor with today's version of *rules* and of those that *session* was recorded with.

    Raises:
        RedactionError: There is no such rule set, or a newer release recorded the session.
    """
    make_redactor(tuple(rules))
    redactor_for(session.redaction)
    stated = [name for name in session.redaction.split("+") if name not in ("", "none")]
    sets = {*rules, *(name.partition("/")[0] for name in stated if "/" in name)}
    redactor = make_redactor([name for name in CURRENT if name in sets])
    own = [name for name in stated if "/" not in name]
    # The session's own redactors ran when it was recorded: whoever plays needs to know.
    redactor.version = "+".join([*(name for name in redactor.version.split("+") if name != "none"), *own]) or "none"
    return redactor


@contextmanager
def redacted_again(
    session: ReplaySession, sequences: Sequence[int], redactor: Redactor
) -> Iterator[tuple[ReplaySession, Mapping[str, int]]]:
    """
    Give a session in RAM of the actions of *session* with these *sequences*, each as a call of its own.

    With it comes how often each rule hid something in arguments, results and
    errors.  It has no metadata and no times, and is gone at the end of the block.

    Raises:
        DamagedError: An action is not as the format says.
    """
    actions = stored_actions(session)
    positions = positions_of(session, actions.sequences, sequences)
    of_bodies = redactor.with_own_counts()
    entries = [_cleaned(actions.entry(position), redactor, of_bodies) for position in positions]
    opening = Opening(
        session_id=id_of_test("redacted"), name="redacted", created_ns=CREATED_NS, redaction=redactor.version
    )
    sealing = Sealing(state="sealed", ended_ns=CREATED_NS)
    with closing(open_store(":memory:")) as store:
        store.publish(Part(number=0, opening=opening, actions=entries, sealing=sealing))
        yield Catalogue(store).get_session(opening.session_id), of_bodies.fired


def _cleaned(entry: Entry, redactor: Redactor, of_bodies: Redactor) -> Entry:
    demand_sound_action(entry)
    # Called by a test it has no parent.
    cleaned = {key: value for key, value in entry.items() if key != "p"}
    for key in ("in", "out", "err"):
        if key in cleaned:
            cleaned[key] = _clean_value(cleaned[key], of_bodies)
    if "x" in cleaned:
        cleaned["x"] = _clean_value(cleaned["x"], redactor)
    if "nm" in cleaned:
        cleaned["nm"] = redactor.clean_name(cleaned["nm"])
    if "f" in cleaned:
        cleaned["f"] = [redactor.clean_text(each) if isinstance(each, str) else each for each in cleaned["f"]]
    for body, following in _FOLLOWING.items():
        if cleaned.get(body) is not entry.get(body):
            cleaned = {key: value for key, value in cleaned.items() if key not in following}
    for preview in ("ip", "op"):
        if preview in cleaned:
            cleaned[preview] = redactor.clean_text(cleaned[preview])
    return cleaned


def _clean_value(stored: Any, redactor: Redactor) -> Any:
    packed = pack(thaw(stored))
    cleaned = redactor.clean_packed(packed)
    return stored if cleaned is packed else plain(unpack(cleaned), notes=set())
