"""From a recorded session to a test: its recording, and a few lines that make the recorded calls again."""

from __future__ import annotations

import datetime
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from replaykit.errors import PlaybackError, UsageError
from replaykit.model import ReplayAction, ReplaySession
from replaykit.plain_text import counted, one_line
from replaykit.redactors import Redactor
from replaykit.regression.call_targets import FunctionTarget, target_of
from replaykit.regression.code_reading import CodeReader, Missing, project_folders
from replaykit.regression.contents import Contents, contents_of
from replaykit.regression.files_of_tests import demand_free, existing_tests, write_test
from replaykit.regression.imports import variable_name
from replaykit.regression.normalising import positions_of, stored_actions
from replaykit.regression.places import FOLDER, Place, place_of
from replaykit.regression.redacting import redacted_again, redactor_over
from replaykit.regression.source_of_tests import docstring_of, source_of_test
from replaykit.regression.text import text_of_action
from replaykit.regression.writing import is_of_test, recording_bytes, write_recording
from replaykit.regression.written_calls import Call

__all__ = ["MOST_CALLS", "LeftOut", "NewTest", "new_test"]

MOST_CALLS = 100
"""A test of more calls is nobody's to read: of a longer session some have to be chosen."""

_LONGEST_NAME = 50


@attrs.frozen
class LeftOut:
    """A call of the session that the test does not make, and why."""

    action: int
    kind: str
    name: str
    reason: str


@attrs.frozen(kw_only=True, repr=False)
class NewTest:
    """
    A test and its recording as they would be written; nothing is yet.

    Attributes:
        path: The file of tests; ``source`` is all of its text then.
        replaces: The text that is at ``path`` now; None where nothing is.
        place: Where its recording goes; ``recording`` are the bytes, ``recording_text`` is what they say.
        calls: The calls that it makes, as they are in the recording.
        left_out: The top-level calls that it cannot make.
        contents: What of the session is in it.
        notes: What whoever runs it has to know.
    """

    session_id: Any
    session_name: str | None
    path: str
    name: str
    source: str
    place: Place
    recording: bytes
    recording_text: str
    calls: tuple[ReplayAction, ...]
    left_out: tuple[LeftOut, ...]
    contents: Contents
    notes: tuple[str, ...] = ()
    replaces: str | None = None

    def write(self) -> None:
        """
        Write the recording and then the test.

        Raises:
            UsageError: A file is there that was not when this was made.
            StorageError: The system refuses; neither file is left behind.
        """
        demand_free(self.place.path)
        write_recording(self.place.path, self.recording)
        try:
            write_test(self.path, self.source, replaces=self.replaces)
        except BaseException:
            os.unlink(self.place.path)
            raise

    def __repr__(self) -> str:
        return f"<NewTest {self.place.identity}, {counted(len(self.calls), 'call')}>"


def new_test(
    session: ReplaySession,
    path: str | os.PathLike[str],
    *,
    actions: Sequence[int] = (),
    name: str | None = None,
    rules: Sequence[str] = ("secrets", "pii"),
    append: bool = False,
    recordings: str = FOLDER,
    folders: Sequence[str] | None = None,
) -> NewTest:
    """
    Return the test of *session* for the file *path*: its top-level calls, or those numbered in *actions*.

    Both are redacted by *rules* and by those that the session was recorded
    with.  The code that was recorded is looked for in *folders*, by default
    in the project that one is in and where Python has it; it is read and not
    run.  With *append* the test is added to what is at *path*.

    Raises:
        UsageError: There is a test or a recording of this name, or *path*
            without *append*; there is no call that a test could make, or too
            many are.
        PlaybackError: The session cannot be played.
        SecretFoundError: A secret would be written.
        StorageError: The session cannot be read.
    """
    _demand_playable(session)
    reader = CodeReader([*project_folders(), os.path.dirname(path)] if folders is None else folders)
    redactor = redactor_over(session, rules)
    wanted = _wanted(session, actions)
    with redacted_again(session, wanted, redactor) as (redacted, hidden):
        sequences, chosen, left_out = _sorted_out(list(redacted.actions), reader)
        if not chosen:
            raise UsageError(_nothing_left(session, left_out))
        existing = existing_tests(path, append=append)
        name = _test_name(session, chosen, redactor, name)
        place = place_of(path, [name], folder=recordings)
        if existing is not None and name in existing.names:
            raise UsageError(f"there is a {name} already: give another name with --name")
        demand_free(place.path)
        source = source_of_test(
            name,
            chosen,
            reader,
            docstring=_docstring(session, redactor),
            comments=_comments(left_out),
            is_own=reader.is_own,
            existing=existing,
        )
        # The test's text is as sure as the recording: it says nothing that is not in it.
        recording = recording_bytes(place.identity, [(redacted, sequences)])
        made = tuple(call.action for call in chosen)
        texts = ["\n".join(text_of_action(redacted, action)) for action in made]
    return NewTest(
        session_id=session.session_id,
        session_name=None if session.name is None else redactor.clean_text(session.name),
        path=os.fspath(path),
        name=name,
        source=source,
        place=place,
        recording=recording,
        recording_text="\n\n".join(texts),
        calls=made,
        left_out=tuple(left_out),
        contents=contents_of(made, redacted_now=hidden, metadata=session.metadata),
        notes=tuple(_notes(session, path, chosen, reader)),
        replaces=existing.text if existing is not None else None,
    )


# -- the calls ------------------------------------------------------------------------


def _demand_playable(session: ReplaySession) -> None:
    if not session.playable:
        reasons = "; ".join(session.playable.reasons)
        raise PlaybackError(f"session {session.session_id} cannot be played, nor can a test of it: {reasons}")
    if session.state == "open":
        raise UsageError(f"session {session.session_id} is still being recorded: end it first")


def _wanted(session: ReplaySession, numbers: Sequence[int]) -> list[int]:
    """Return the sequences of the calls that are asked for: by default all that no other call made."""
    stored = stored_actions(session)
    if numbers:
        wanted = sorted(set(numbers))
        positions_of(session, stored.sequences, wanted)
    else:
        wanted = [each.sequence for each in stored.asked() if each.parent is None and each.kind != "checkpoint"]
    if not wanted:
        raise UsageError(f"session {session.session_id} has no calls: there is nothing to test")
    if len(wanted) > MOST_CALLS:
        raise UsageError(
            f"{counted(len(wanted), 'call')} are too many for one test: give the numbers of up to {MOST_CALLS} "
            "of them (replaykit show has them)"
        )
    return wanted


def _sorted_out(actions: Sequence[ReplayAction], reader: CodeReader) -> tuple[list[int], list[Call], list[LeftOut]]:
    chosen, left_out = [], []
    for action in actions:
        target = target_of(action, reader)
        if isinstance(target, Missing):
            left_out.append(LeftOut(action.sequence, action.kind, action.name, target.reason))
        else:
            chosen.append(Call(action, target))
    return [call.action.sequence for call in chosen], chosen, left_out


def _nothing_left(session: ReplaySession, left_out: Sequence[LeftOut]) -> str:
    reasons = list(dict.fromkeys(f"{one_line(each.name, 40)}: {one_line(each.reason, 160)}" for each in left_out))
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return f"no call of session {session.session_id} can be made by a test: {'; '.join(reasons[:3])}{more}"


# -- names and words --------------------------------------------------------------------


def _test_name(session: ReplaySession, calls: Sequence[Call], redactor: Redactor, given: str | None) -> str:
    if given is not None:
        name = given if given.startswith("test") else f"test_{given}"
        if not name.isidentifier():
            raise UsageError(f"{given!r} is no name for a test: give one as Python takes it, such as test_capital")
        return name
    slug = _slug(redactor.clean_text(session.name)) if session.name else ""
    slug = slug or _slug(calls[0].action.name)
    return slug if slug.startswith("test_") else f"test_{slug or 'session'}"


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    named = variable_name(plain) if re.search(r"\w", plain) else ""
    return named[:_LONGEST_NAME].strip("_")


def _docstring(session: ReplaySession, redactor: Redactor) -> str:
    named = f"the session '{one_line(redactor.clean_text(session.name), 40)}'" if session.name else "a session"
    # What was a test's recording has no time of its own.
    day = "" if is_of_test(session) else _day(session.created_secs)
    return docstring_of(f"Calls of {named}{f' of {day}' if day else ''}.")


def _day(seconds: int) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


def _comments(left_out: Sequence[LeftOut]) -> list[str]:
    if not left_out:
        return []
    names = ", ".join(dict.fromkeys(one_line(each.name, 30) for each in left_out))
    return [one_line(f"Left out, since no test can make them: {names}", 80)]


def _notes(
    session: ReplaySession, path: str | os.PathLike[str], calls: Sequence[Call], reader: CodeReader
) -> Iterable[str]:
    if session.lost:
        yield f"the session lacks {counted(session.lost, 'call')} that could not be kept"
    if session.gaps:
        yield f"records of the session's log were damaged at {counted(session.gaps, 'place')}: it may lack calls"
    if not re.fullmatch(r"test_.*\.py|.*_test\.py", os.path.basename(path)):
        yield f"pytest looks for test_*.py and *_test.py: {os.path.basename(path)} needs python_files"
    known = {os.path.abspath(folder or ".") for folder in sys.path if folder}
    modules = sorted({call.target.found.module for call in calls if isinstance(call.target, FunctionTarget)})
    for module in modules:
        folder = reader.folder_of(module)
        if folder and folder not in known:
            shown = os.path.relpath(folder)
            yield f"{module} lies in {shown}: pytest finds it where its configuration says pythonpath = {shown}"
