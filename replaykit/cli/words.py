"""What the words after a verb mean, and how a verb ends: shared by all verbs."""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

import attrs
import click

from replaykit.errors import DamagedError, PlaybackError, ReplaykitError, StorageError, StoreNotFoundError
from replaykit.model import ReplayAction, ReplaySession, SessionSummary
from replaykit.settings import default_store

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_UNREADABLE",
    "EXIT_USAGE",
    "Target",
    "action_of",
    "as_json_option",
    "ends",
    "existing",
    "is_short_number",
    "is_store",
    "of_store",
    "target_of",
    "words_argument",
]

EXIT_FAILED, EXIT_USAGE, EXIT_UNREADABLE, EXIT_INTERRUPTED = 1, 2, 3, 130

_SUFFIXES = (".rpk", ".mv", ".mv2")
_SHORT_NUMBER = 3
"""A number of up to this many digits is an action, a longer one may be the beginning of an id."""


@attrs.frozen
class Target:
    """
    What ``[STORE] [SESSION] [N]`` means; ``named`` is whether a session was given at all.

    ``word`` is a number that stands alone: an action of the last session,
    unless `of_store` finds a session of that name.
    """

    store: str
    session: str = "last"
    number: int | None = None
    named: bool = False
    word: str = ""


class _Sessions(Protocol):
    def list_sessions(self, *, name: str | None = None) -> list[SessionSummary]: ...


def target_of(words: tuple[str, ...]) -> Target:
    """
    Return what the words after a verb mean; each of them may be left out.

    Whoever has opened the store asks `of_store` before it is used.

    Raises:
        click.UsageError: There are too many, or the last is no number.
    """
    rest = list(words)
    store = rest.pop(0) if rest and is_store(rest[0]) else default_store()
    named = bool(rest)
    word = rest[0] if len(rest) == 1 and is_short_number(rest[0]) else ""
    if word:
        rest.insert(0, "last")
    if len(rest) > 2:
        raise click.UsageError(f"too many words: {list(words)}. Give [STORE] [SESSION] [N]")
    if len(rest) == 2 and not _is_number(rest[1]):
        raise click.UsageError(f"{rest[1]!r} is not the number of an action")
    return Target(store, rest[0] if rest else "last", int(rest[1]) if len(rest) == 2 else None, named, word)


def of_store(target: Target, sessions: _Sessions) -> Target:
    """Return *target* as it is meant among these *sessions*: a name goes before the number of an action."""
    if target.word and sessions.list_sessions(name=target.word):
        return Target(target.store, target.word, named=True)
    return target


def is_short_number(word: str) -> bool:
    """Return whether *word*, where no session is called so, is the number of an action."""
    return _is_number(word) and len(word) <= _SHORT_NUMBER


def _is_number(word: str) -> bool:
    # Not isdigit alone: it takes a superscript, which int() refuses.
    return word.isascii() and word.isdigit()


def existing(store: str | None) -> str:
    """
    Return the store that is meant, which is there: no verb but ``demo`` makes one.

    Raises:
        StoreNotFoundError: There is nothing.
    """
    location = store or default_store()
    if not os.path.lexists(location):
        raise StoreNotFoundError(location)
    return location


def action_of(session: ReplaySession, number: int) -> ReplayAction:
    """
    Return action *number* of a session.

    Raises:
        click.UsageError: It has none.
    """
    # A sealed session has no holes: the number is the place.
    near = session.actions[number : number + 1]
    for action in itertools.chain(near, session.actions):
        if action.sequence == number:
            return action
    raise click.UsageError(f"session {session.session_id} has no action {number}; it has {len(session.actions)}")


def is_store(word: str) -> bool:
    """Return whether *word* names a store: by its ending, a slash, or because it is there."""
    return word.endswith((*_SUFFIXES, "/")) or "/" in word or os.path.exists(word)


def ends(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors, and Ctrl-C, into a line on standard error and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            _interrupt()
        except click.Abort as error:
            # Asked something, and Ctrl-C was the answer.
            if isinstance(error.__context__, KeyboardInterrupt):
                _interrupt()
            raise
        except SystemExit as error:
            # Rich ends a program whose output nobody reads any more, with 1.
            if isinstance(error.__context__, BrokenPipeError):
                _leave_unread()
            raise
        except StorageError as error:
            _fail(error, EXIT_UNREADABLE)
        except PlaybackError as error:
            _fail(error, EXIT_FAILED)
        except ReplaykitError as error:
            _fail(error, EXIT_USAGE)
        except BrokenPipeError:
            _leave_unread()
        except OSError as error:
            _fail(error, EXIT_UNREADABLE)

    return wrapped


def _interrupt() -> NoReturn:
    click.echo("replaykit: interrupted", err=True)
    sys.exit(EXIT_INTERRUPTED)


def _leave_unread() -> NoReturn:
    """End: the reader of our output has gone (`| head`), which is no error."""
    with suppress(OSError, ValueError):
        # What is still buffered is written at the end, and would fail once more.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    sys.exit(0)


def _fail(error: BaseException, code: int) -> None:
    from replaykit.plain_text import printable

    # A command line that holds line breaks must not look like several errors.
    click.echo(f"replaykit: {printable(str(error), keep_lines=False)}", err=True)
    if isinstance(error, DamagedError) and "replaykit" not in str(error):
        click.echo("replaykit doctor says what is damaged, replaykit recover saves what is whole.", err=True)
    sys.exit(code)


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
words_argument = click.argument("words", nargs=-1, metavar="[STORE] [SESSION] [N]")
