"""The verbs: ``replaykit VERB [STORE] [SESSION] [N]``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from replaykit._version import __version__
from replaykit.cli.verbs import Verbs
from replaykit.cli.words import Target, action_of, as_json_option, ends, of_store, target_of, words_argument
from replaykit.settings import default_store

if TYPE_CHECKING:
    from replaykit.reading import SessionReader

__all__ = ["program"]

_ELSEWHERE = {
    "bisect": "bisect",
    "compact": "care",
    "delete": "care",
    "diff": "diff",
    "doctor": "care",
    "fork": "branching",
    "import": "importing:import_command",
    "info": "info",
    "recover": "care",
    "replay": "replay",
    "review": "review",
    "run": "run",
    "scan": "scan",
    "tail": "tail",
    "test": "making_tests",
    "verify": "care",
}


@click.group(cls=Verbs, elsewhere=_ELSEWHERE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="replaykit")
def program() -> None:
    """
    A flight recorder for what AI agents do with their memory.

    STORE is a file (runs.rpk), a directory (runs/) or a memory's file (notes.mv),
    for reading also one of memvid's (old.mv2);
    without it REPLAYKIT_STORE or ./.replaykit/ is meant. SESSION is an id, the
    beginning of one, a name, or "last".

    Exit codes: 0 ok; 1 a check failed, or there is something to do; 2 wrong
    usage; 3 a store cannot be read or written, or was recovered with loss;
    130 Ctrl-C ended it.
    """


@program.command("list")
@click.argument("store", required=False)
@click.option("--name", help="Only sessions of this name.")
@click.option("--state", type=click.Choice(["open", "sealed", "interrupted"]), help="Only sessions in this state.")
@as_json_option
@ends
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
    from replaykit.cli.listing import show_list
    from replaykit.cli.render import console

    show_list(console(), summaries, location)


@program.command()
@words_argument
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Show so many actions.")
@click.option("--text", "as_text", is_flag=True, help="Print all there is as plain text: for git diff.")
@as_json_option
@ends
def show(words: tuple[str, ...], limit: int, as_text: bool, as_json: bool) -> None:
    """
    Show a session's actions as a table, or action N whole: show last 7.

    With --text all of every session, or of the one that is named, without
    colours and widths: the same file always gives the same text.
    """
    from replaykit.loading import load

    if as_text and as_json:
        raise click.UsageError("--text and --json are two forms: give one of them")
    target = target_of(words)
    with load(target.store) as recording:
        target = of_store(target, recording)
        if as_text:
            _show_text(recording, target)
            return
        session = recording.get_session(target.session)
        action = None if target.number is None else action_of(session, target.number)
        if as_json:
            from replaykit.cli.as_json import dump

            click.echo(dump(action or session))
            return
        from replaykit.cli.render import console, show_action, show_session

        if action is None:
            show_session(console(), session, limit)
        else:
            show_action(console(), action)


def _show_text(recording: SessionReader, target: Target) -> None:
    """Print what *target* names, line by line: a session may be larger than memory."""
    from replaykit.regression.text import text_of_action, text_of_session, text_of_sessions

    if not target.named:
        lines = text_of_sessions(recording)
    else:
        session = recording.get_session(target.session)
        number = target.number
        lines = text_of_session(session) if number is None else text_of_action(session, action_of(session, number))
    # The same bytes in every locale.
    out = sys.stdout.buffer
    for line in lines:
        out.write(f"{line}\n".encode())
    out.flush()


@program.command()
@click.argument("path", default="replaykit-demo.mv")
@ends
def demo(path: str) -> None:
    """
    Record a real session without a key or a network, and show it.

    The docstrings of Python's standard library go into a memory at PATH; then
    a session of finds and asks is recorded there. Run it again for another
    session.
    """
    from replaykit.cli.demo import run_demo

    run_demo(path)
