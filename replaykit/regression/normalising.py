"""
The actions of stored sessions without what differs from run to run: clock, ids, numbers, generations.

What a call asked and what came of it stays as it is stored.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cbor2
from blake3 import blake3

from replaykit.errors import UsageError
from replaykit.format.entries import Entry
from replaykit.format.matching import match_key
from replaykit.format.soundness import demand_sound_action
from replaykit.model import ReplaySession
from replaykit.playback.tapes import tape_of
from replaykit.storage.action_sequence import ActionSequence

__all__ = [
    "CREATED_NS",
    "KNOWN_KEYS",
    "STEP_NS",
    "Source",
    "demand_readable",
    "has_calls",
    "not_made_again",
    "not_recorded_since",
    "positions_of",
    "same_calls",
    "stored_actions",
    "timeless_actions",
]

Source = tuple[ReplaySession, Sequence[int] | None]
"""A stored session and the sequences of the actions to take, in order; None for all."""

CREATED_NS = 946_684_800_000_000_000
"""When every recording of a test begins: 2000-01-01, in nanoseconds since 1970."""

STEP_NS = 1_000_000
"""How long after each other its actions begin."""

KNOWN_KEYS = (
    "i", "k", "nm", "src", "t", "d", "p", "g", "f", "x", "ih", "ip", "oh", "op", "err", "in_n", "in", "out_n", "out",
    "fl",
)  # fmt: skip
"""The keys of an action's entry, in the order in which recorders write them: a play reads that order fastest."""

_OF_ONE_RUN = frozenset({"i", "t", "d", "p", "g"})
_OF_ARGUMENTS = frozenset({"args_hash"})


def timeless_actions(sources: Iterable[Source]) -> Iterator[Entry]:
    """
    Yield the actions of *sources*, one source after the other, numbered from 0.

    Action i begins i milliseconds after `CREATED_NS` and takes no time.
    Checkpoints are left out, and calls whose parent is.

    Raises:
        UsageError: A sequence is unknown, repeated or before its parent's; a session is not from a store.
        DamagedError: An action is not as the format says.
    """
    first = 0
    for session, sequences in sources:
        numbers: dict[int, int] = {}
        for entry in _calls(session, sequences):
            parent = entry.get("p")
            if parent is None or parent in numbers:
                number = numbers[entry["i"]] = first + len(numbers)
                yield _timeless(entry, number, None if parent is None else numbers[parent])
        first += len(numbers)


def _timeless(entry: Entry, number: int, parent: int | None) -> Entry:
    own = {"i": number, "t": CREATED_NS + number * STEP_NS, "d": 0}
    changed = {**_without(entry, _OF_ONE_RUN), **(own if parent is None else {**own, "p": parent})}
    # What a newer release adds comes last.
    return {key: changed[key] for key in (*KNOWN_KEYS, *changed) if key in changed}


def _without(entry: Entry, keys: frozenset[str]) -> Entry:
    return {key: value for key, value in entry.items() if key not in keys}


def stored_actions(session: ReplaySession) -> ActionSequence:
    """
    Return the actions of *session*, which can be read as they are stored.

    Raises:
        UsageError: It is in memory only, or another recorder's.
    """
    if isinstance(session.actions, ActionSequence):
        return session.actions
    raise UsageError(
        f"session {session.session_id} is not from a store of replaykit: give one that get_session() returns "
        "(sessions of memvid's can be imported)"
    )


def _calls(session: ReplaySession, sequences: Sequence[int] | None) -> Iterator[Entry]:
    """Yield the entries that are asked for, without checkpoints."""
    actions = stored_actions(session)
    positions: Iterable[int] = range(len(actions))
    if sequences is not None:
        positions = positions_of(session, actions.sequences, sequences)
    wanted, seen = frozenset(sequences or ()), set()
    for position in positions:
        entry = actions.entry(position)
        demand_sound_action(entry)
        if entry.get("p") in wanted and entry["p"] not in seen:
            raise UsageError(f"action {entry['i']} was made by action {entry['p']}, which must come before it")
        seen.add(entry["i"])
        if entry["k"] != "checkpoint":
            yield entry


def positions_of(session: ReplaySession, known: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """
    Return where the actions *wanted* stand among those *known*, both by sequence, without reading one.

    Raises:
        UsageError: One of them is not there, or is named twice.
    """
    if len(set(wanted)) < len(wanted):
        raise UsageError("the sequences of the actions to take name one of them twice")
    positions = [bisect_left(known, sequence) for sequence in wanted]
    for position, sequence in zip(positions, wanted, strict=True):
        if position == len(known) or known[position] != sequence:
            raise UsageError(f"session {session.session_id} has no action {sequence}; it has {len(known)}")
    return positions


def demand_readable(session: ReplaySession) -> None:
    """
    Return if every action of *session* can be read.

    Raises:
        UsageError: It is not from a store.
        DamagedError: It cannot, or is not as the format says.
    """
    for _ in timeless_actions([(session, None)]):
        pass


# -- comparing --------------------------------------------------------------------


def same_calls(a: ReplaySession, b: ReplaySession) -> bool:
    """
    Return whether the same calls came to the same, in any order.

    Compared are the top-level calls, what came of each and the calls that
    each made; when they were made, how long they took and checkpoints do not
    count, nor does the order of the keys of a map.

    Raises:
        UsageError: A session is not from a store.
        DamagedError: An action is not as the format says.
    """
    return _calls_of(a) == _calls_of(b)


def has_calls(a: ReplaySession, b: ReplaySession) -> bool:
    """
    Return whether all that was called in *b* was called in *a* as often, and came to the same.

    Raises:
        UsageError: A session is not from a store.
        DamagedError: An action is not as the format says.
    """
    return _calls_of(b) <= _calls_of(a)


def not_made_again(old: ReplaySession, new: ReplaySession) -> list[int]:
    """
    Return the sequences of the calls that *old* has and *new* does not make, with the calls that those made.

    A call that *new* makes within another only is not made again by itself.
    """
    made = set(_top_level(new))
    kept: set[int] = set()
    for asked in tape_of(old.actions).asked():
        is_kept = _asked(asked) not in made if asked.parent is None else asked.parent in kept
        if is_kept:
            kept.add(asked.sequence)
    return sorted(kept)


def not_recorded_since(before: ReplaySession | None, old: ReplaySession, new: ReplaySession) -> list[int]:
    """
    Return the sequences of the calls of *new* that *old* has not got since *before*, with the calls that those made.

    Had *new* begun later, the calls that *old* has got would have answered
    as many of its own.
    """
    answering = Counter(_top_level(old))
    answering.subtract(() if before is None else _top_level(before))
    kept: set[int] = set()
    for asked in tape_of(new.actions).asked():
        if asked.parent is not None:
            is_kept = asked.parent in kept
        else:
            key = _asked(asked)
            answering[key] -= 1
            is_kept = answering[key] < 0
        if is_kept:
            kept.add(asked.sequence)
    return sorted(kept)


def _top_level(session: ReplaySession) -> Iterator[bytes]:
    return (_asked(asked) for asked in tape_of(session.actions).asked() if asked.parent is None)


def _asked(asked: Any) -> bytes:
    return match_key(asked.kind, asked.name, asked.arguments)


def _calls_of(session: ReplaySession) -> Counter[bytes]:
    """Return how often each top-level call is there, by the hash of it and of all below it."""
    own = {entry["i"]: (entry.get("p"), _hash_of(entry)) for entry in timeless_actions([(session, None)])}
    below: dict[int, list[bytes]] = {}
    found: Counter[bytes] = Counter()
    # A call has a higher number than the one that made it.
    for number in sorted(own, reverse=True):
        parent, digest = own[number]
        whole = blake3(b"".join((digest, *sorted(below.pop(number, ()))))).digest()
        if parent is None:
            found[whole] += 1
        else:
            below.setdefault(parent, []).append(whole)
    return found


def _hash_of(entry: Entry) -> bytes:
    own = dict(_without(entry, _OF_ONE_RUN | _derived(entry)))
    if "in" in entry and "x" in entry:
        own["x"] = _without(entry["x"], _OF_ARGUMENTS)
    return blake3(cbor2.dumps(own, canonical=True)).digest()


def _derived(entry: Entry) -> frozenset[str]:
    """Return the hashes and previews that say no more than what is kept: one recorder states them, another does not."""
    return frozenset(
        key
        for kept, digest, preview in (("in", "ih", "ip"), ("out", "oh", "op"))
        if f"{kept}_n" not in entry and (kept in entry or not any(entry.get(digest, b"")))
        for key in (digest, preview)
    )
