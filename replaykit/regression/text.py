"""
A session as plain text: all of it, the same each time, for people and for ``git diff``.

Of a test's recording neither ids nor times nor numbers are shown, so that
one call more is a few lines more and nothing else.
"""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from replaykit.format.entries import Entry
from replaykit.format.matching import stored_form
from replaykit.format.soundness import demand_sound_action
from replaykit.model import Checkpoint, ReplayAction, ReplaySession
from replaykit.plain_text import printable
from replaykit.reading import SessionReader
from replaykit.regression.value_lines import field_lines, map_lines, quoted
from replaykit.regression.writing import is_of_test
from replaykit.storage.action_sequence import ActionSequence

__all__ = ["text_of_action", "text_of_session", "text_of_sessions"]

_DEEPEST = 20
"""Calls within calls are indented so far at most: a hostile chain of them must not fill the disk."""

_SAID_ELSEWHERE = frozenset({"query", "tool", "args_hash"})


def text_of_sessions(recording: SessionReader) -> Iterator[str]:
    """
    Yield the lines of all sessions of *recording*, in the order of a listing.

    Raises:
        StorageError: Something cannot be read.
    """
    summaries = recording.list_sessions()
    if not summaries:
        yield "no sessions"
    for number, summary in enumerate(summaries):
        if number:
            yield ""
        yield from text_of_session(recording.get_session(summary.session_id))


def text_of_session(session: ReplaySession) -> Iterator[str]:
    """
    Yield the lines of *session*: what it is, then its calls in order, each with those that it made.

    Bounded memory: one action, and a few bytes for each call within a call.

    Raises:
        StorageError: Something cannot be read.
    """
    yield from _head_lines(session)
    calls = _Calls(session)
    for position in calls.outermost():
        yield ""
        yield from calls.lines(position)
    for checkpoint in session.checkpoints:
        yield ""
        yield _checkpoint_line(checkpoint)


def text_of_action(session: ReplaySession, action: ReplayAction) -> Iterator[str]:
    """Yield the lines of one action of *session* and of the calls that it made."""
    calls = _Calls(session)
    yield from calls.lines(calls.position(action.sequence))


# -- the session ------------------------------------------------------------------


def _head_lines(session: ReplaySession) -> Iterator[str]:
    of_test = is_of_test(session)
    yield f"session {'(unnamed)' if session.name is None else quoted(session.name)}"
    facts = {} if of_test else _facts_of_run(session)
    facts |= {"redaction": session.redaction, "lost": session.lost, "gaps": session.gaps, "late": session.late}
    for key, value in facts.items():
        if value:
            yield f"  {key}: {printable(str(value), keep_lines=False)}"
    if session.metadata:
        yield "  metadata:"
        yield from _indented(map_lines(_stored(session.metadata)), 2)


def _facts_of_run(session: ReplaySession) -> dict[str, Any]:
    """Return what differs from run to run."""
    return {
        "id": session.session_id,
        "created": _moment(session.created_ns),
        "ended": None if session.ended_ns is None else _moment(session.ended_ns),
        "state": session.state,
        "ended by": session.ended_by,
        "capture": "" if session.capture == "full" else session.capture,
        "continues": session.parent_session,
        "memory": session.memory_id,
        "generation": session.start_generation,
    }


def _moment(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    try:
        whole = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns"
    return f"{whole:%Y-%m-%d %H:%M:%S}.{rest_ns:09} UTC"


def _checkpoint_line(checkpoint: Checkpoint) -> str:
    held = f"{checkpoint.snapshot.frame_count} frames, generation {checkpoint.snapshot.generation}"
    return f"checkpoint {checkpoint.id} after action {checkpoint.at_sequence}: {held}, {checkpoint.state_hash.hex()}"


def _stored(values: Mapping[str, Any]) -> Mapping[str, Any]:
    stored = stored_form(dict(values))
    return stored if isinstance(stored, dict) and "~t" not in stored else {"": stored}


def _indented(lines: Iterator[str], levels: int) -> Iterator[str]:
    return (f"{'  ' * levels}{line}" if line else line for line in lines)


# -- its calls --------------------------------------------------------------------


class _Calls:
    """The calls of one session by position, and which were made within which."""

    def __init__(self, session: ReplaySession) -> None:
        self._session = session
        self._actions = session.actions
        self._of_test = is_of_test(session)
        self._sequences: Sequence[int] = (
            self._actions.sequences
            if isinstance(self._actions, ActionSequence)
            else [action.sequence for action in self._actions]
        )
        self._within: dict[int, list[int]] = {}
        self._inner: set[int] = set()
        for position, parent in enumerate(self._parents()):
            if parent is not None:
                self._note_parent(position, parent)

    def _note_parent(self, position: int, parent: int) -> None:
        # A parent that comes later, or is missing, is none: so this is a tree.
        at = self.position(parent)
        if at < position and self._sequences[at] == parent:
            self._within.setdefault(at, []).append(position)
            self._inner.add(position)

    def outermost(self) -> Iterator[int]:
        """Yield the positions of the calls that no other made."""
        return (position for position in range(len(self._sequences)) if position not in self._inner)

    def position(self, sequence: int) -> int:
        """Return where the action with this *sequence* is, or would be."""
        return bisect_left(self._sequences, sequence)

    def lines(self, position: int) -> Iterator[str]:
        """Yield the lines of a call and of those within it."""
        waiting = [(position, 0)]
        while waiting:
            at, depth = waiting.pop()
            yield from _indented(self._own_lines(at, depth), min(depth, _DEEPEST))
            waiting += ((inner, depth + 1) for inner in reversed(self._within.get(at, ())))

    def _parents(self) -> Iterator[int | None]:
        if isinstance(self._actions, ActionSequence):
            return (asked.parent for asked in self._actions.asked())
        return (action.parent for action in self._actions)

    def _entry(self, position: int) -> Entry:
        if isinstance(self._actions, ActionSequence):
            return self._actions.entry(position)
        return _entry_of(self._actions[position])

    def _own_lines(self, position: int, depth: int) -> Iterator[str]:
        entry = self._entry(position)
        demand_sound_action(entry)
        yield _first_line(entry, depth)
        for line in self._inner_lines(entry, position):
            yield f"  {line}" if line else line

    def _inner_lines(self, entry: Entry, position: int) -> Iterator[str]:
        if not self._of_test:
            began, took = entry["t"] - self._session.created_ns, entry.get("d", 0)
            yield f"number {entry['i']}, began after {began / 1e9:.9f} s, took {took / 1e9:.9f} s"
        if entry.get("p") is not None and position not in self._inner:
            yield f"made by action {entry['p']}, which is not here"
        if about := _about(entry):
            yield f"about: {about}"
        if entry.get("in"):
            yield from field_lines("arguments:", entry["in"])
        if entry.get("f"):
            yield from field_lines("frames:", list(entry["f"]))
        if "out" in entry:
            yield from field_lines("output:", entry["out"])
        if "err" in entry:
            yield from field_lines("error:", entry["err"])
        yield from _lines_of_what_is_left(entry)


def _first_line(entry: Entry, depth: int) -> str:
    name = printable(entry.get("nm", "") or "(no name)", keep_lines=False)
    source = f" of {printable(entry['src'], keep_lines=False)}" if entry.get("src") else ""
    flags = f" [{printable(', '.join(entry['fl']), keep_lines=False)}]" if entry.get("fl") else ""
    deep = f" (depth {depth})" if depth > _DEEPEST else ""
    return f"* {printable(entry['k'], keep_lines=False)} {name}{source}{flags}{deep}"


def _about(entry: Entry) -> str:
    """Return what is known of the call beside what it was given and gave."""
    said = _SAID_ELSEWHERE if "in" in entry else frozenset({"args_hash"})
    known = [
        f"{printable(key, keep_lines=False)}={quoted(value) if isinstance(value, str) else value}"
        for key, value in entry.get("x", {}).items()
        if key not in said and type(value) in (int, str) and value != ""
    ]
    return ", ".join(known)


def _lines_of_what_is_left(entry: Entry) -> Iterator[str]:
    """Yield what stands for an argument or an output that was cut or not kept."""
    for label, kept, side in (("input", "in", "i"), ("output", "out", "o")):
        is_cut = f"{kept}_n" in entry
        if not is_cut and (kept in entry or f"{side}h" not in entry):
            continue
        size = f"{entry[f'{kept}_n']} bytes, " if is_cut else ""
        if any(entry.get(f"{side}h", b"")):
            yield f"whole {label}: {size}BLAKE3 {entry[f'{side}h'].hex()}"
        if not is_cut and entry.get(f"{side}p"):
            yield from field_lines(f"preview of {label}:", entry[f"{side}p"])


def _entry_of(action: ReplayAction) -> Entry:
    """Return another recorder's action as we would have stored it."""
    entry: dict[str, Any] = {
        "i": action.sequence,
        "k": action.kind,
        "nm": action.name,
        "src": action.source,
        "t": action.timestamp_ns,
        "d": action.duration_ns,
        "p": action.parent,
        "f": list(action.affected_frames),
        "x": attrs.asdict(action.action_type, recurse=False),
        "ih": action.input_hash,
        "ip": action.input_preview,
        "oh": action.output_hash,
        "op": action.output_preview,
        "fl": sorted(action.flags),
    }
    if action.arguments:
        entry["in"] = stored_form(dict(action.arguments))
    if action.output is not None:
        entry["out"] = stored_form(action.output)
    if action.error is not None:
        entry["err"] = stored_form(action.error)
    return entry
