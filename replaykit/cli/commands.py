"""The verbs: ``replaykit VERB [STORE] [SESSION] [N]``."""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import click

from replaykit._version import __version__
from replaykit.errors import PlaybackError, ReplaykitError, StorageError
from replaykit.model import ReplayAction, ReplaySession
from replaykit.settings import default_store

__all__ = ["program"]

EXIT_FAILED, EXIT_USAGE, EXIT_UNREADABLE = 1, 2, 3

_SUFFIXES = (".rpk", ".mv", ".mv2")
_SHORT_NUMBER = 3
"""A number of up to this many digits is an action, a longer one may be the beginning of an id."""


@attrs.frozen
class Target:
    """What ``[STORE] [SESSION] [N]`` means."""

    store: str
    session: str = "last"
    number: int | None = None


def target_of(words: tuple[str, ...]) -> Target:
    """
    Return what the words after a verb mean; each of them may be left out.

    Raises:
        click.UsageError: There are too many, or the last is no number.
    """
    rest = list(words)
    store = rest.pop(0) if rest and _is_store(rest[0]) else default_store()
    if len(rest) == 1 and rest[0].isdigit() and len(rest[0]) <= _SHORT_NUMBER:
        rest.insert(0, "last")
    if len(rest) > 2:
        raise click.UsageError(f"too many words: {' '.join(words)}. Give [STORE] [SESSION] [N]")
    if len(rest) == 2 and not rest[1].isdigit():
        raise click.UsageError(f"{rest[1]!r} is not the number of an action")
    return Target(store, rest[0] if rest else "last", int(rest[1]) if len(rest) == 2 else None)


def _is_store(word: str) -> bool:
    return word.endswith((*_SUFFIXES, "/")) or "/" in word or os.path.exists(word)


def _exits(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into a line on standard error and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except StorageError as error:
            _fail(error, EXIT_UNREADABLE)
        except PlaybackError as error:
            _fail(error, EXIT_FAILED)
        except ReplaykitError as error:
            _fail(error, EXIT_USAGE)
        except BrokenPipeError:
            # The reader of our output has gone (`| head`): not an error.
            sys.stderr.close()
            sys.exit(0)

    return wrapped


def _fail(error: BaseException, code: int) -> None:
    from replaykit.cli.plain_text import printable

    click.echo(f"replaykit: {printable(str(error))}", err=True)
    sys.exit(code)


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
_words = click.argument("words", nargs=-1, metavar="[STORE] [SESSION] [N]")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="replaykit")
def program() -> None:
    """
    A flight recorder for what AI agents do with their memory.

    STORE is a file (runs.rpk), a directory (runs/) or a memory's file (notes.mv);
    without it REPLAYKIT_STORE or ./.replaykit/ is meant. SESSION is an id, the
    beginning of one, a name, or "last".
    """


@program.command("list")
@click.argument("store", required=False)
@click.option("--name", help="Only sessions of this name.")
@click.option("--state", type=click.Choice(["open", "sealed", "interrupted"]), help="Only sessions in this state.")
@_json
@_exits
def list_command(store: str | None, name: str | None, state: str | None, as_json: bool) -> None:
    """List the sessions of a store: ended ones in order of ending, then open ones."""
    from replaykit.loading import load

    location = store or default_store()
    with load(location) as recording:
        summaries = recording.list_sessions(name=name, state=state)
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(summaries))
        return
    from replaykit.cli.render import console, show_list

    show_list(console(), summaries, location)


@program.command()
@_words
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Show so many actions.")
@_json
@_exits
def show(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Show a session's actions as a table, or action N whole: show last 7."""
    from replaykit.loading import load

    target = target_of(words)
    with load(target.store) as recording:
        session = recording.get_session(target.session)
        action = None if target.number is None else _action(session, target.number)
        if as_json:
            from replaykit.cli.as_json import dump

            click.echo(dump(action or session))
            return
        from replaykit.cli.render import console, show_action, show_session

        if action is None:
            show_session(console(), session, limit)
        else:
            show_action(console(), action)


def _action(session: ReplaySession, number: int) -> ReplayAction:
    # A sealed session has no holes: the number is the place.
    near = session.actions[number : number + 1]
    for action in itertools.chain(near, session.actions):
        if action.sequence == number:
            return action
    raise click.UsageError(f"session {session.session_id} has no action {number}; it has {len(session.actions)}")


@program.command()
@click.argument("store", required=False)
@_json
@_exits
def info(store: str | None, as_json: bool) -> None:
    """Say what a store holds: sessions, actions, checkpoints, sizes."""
    from replaykit.loading import load

    location = store or default_store()
    with load(location) as recording:
        facts = _facts(location, recording.list_sessions())
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(facts))
        return
    from replaykit.cli.render import console, show_info

    show_info(console(), facts)


def _facts(location: str, summaries: Any) -> dict[str, Any]:
    files = _files(Path(location))
    states = ("sealed", "open", "interrupted")
    by_state = {state: sum(1 for item in summaries if item.state == state) for state in states}
    return {
        "store": location,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files if file.exists()),
        "live_logs": sum(1 for file in files if file.suffix == ".live"),
        "sessions": len(summaries),
        **by_state,
        "actions": sum(item.action_count for item in summaries),
        "checkpoints": sum(item.checkpoint_count for item in summaries),
        "lost": sum(item.lost for item in summaries),
        "replaykit": __version__,
    }


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in (".rpk", ".live"))
    return [path, *sorted(path.parent.glob(path.name + ".*.live"))]


@program.command()
@click.argument("path", default="replaykit-demo.mv")
@_exits
def demo(path: str) -> None:
    """
    Record a real session without a key or a network, and show it.

    The docstrings of Python's standard library go into a memory at PATH; then
    a session of finds and asks is recorded there. Run it again for another
    session.
    """
    from replaykit.cli.demo import run_demo

    run_demo(path)
