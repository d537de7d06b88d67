"""``replaykit tail``: the actions of a session that another process records, as they end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import click

from replaykit.cli.words import EXIT_INTERRUPTED, Target, as_json_option, ends, of_store, target_of, words_argument
from replaykit.errors import StoreNotFoundError

if TYPE_CHECKING:
    from replaykit.storage.following import Follower

__all__ = ["tail"]

_NOT_ONE_ACTION = "tail shows a session, not one action: give -n for a number of actions"


@click.command()
@words_argument
@click.option("-n", "last", default=10, show_default=True, type=click.IntRange(min=0), help="Show so many that ended.")
@click.option("--wait", is_flag=True, help="Wait for a session to begin where none is open.")
@click.option("-f", "--follow", "go_on", is_flag=True, help="When it has ended, wait for the next one.")
@click.option(
    "--interval", default=0.25, show_default=True, type=click.FloatRange(min=0.01), help="Seconds between two looks."
)
@as_json_option
@ends
def tail(words: tuple[str, ...], last: int, wait: bool, go_on: bool, interval: float, as_json: bool) -> None:
    """
    Show the actions of a session that is being recorded, a line each, as they end.

    Without SESSION: the one that was opened last and is still open. It ends
    when the session has ended. With --json each line is an object; where
    actions are missing the last one says so. Sessions that begin and end
    while --follow shows another one are not shown.
    """
    target = target_of(words)
    if target.number is not None and not target.word:
        raise click.UsageError(_NOT_ONE_ACTION)
    try:
        _tail(target, last, wait=wait or go_on, go_on=go_on, as_json=as_json, pause=lambda: time.sleep(interval))
    except KeyboardInterrupt:
        # It is how one leaves it: nothing has to be said.
        sys.exit(EXIT_INTERRUPTED)


def _tail(target: Target, last: int, *, wait: bool, go_on: bool, as_json: bool, pause: Callable[[], None]) -> None:
    shown: set[UUID] = set()
    while True:
        follower = _found(target, last, shown, wait=wait)
        if follower is not None:
            shown.add(follower.session_id)
            _show(follower, pause, as_json=as_json)
            if not go_on:
                return
        elif not wait:
            raise click.UsageError(
                "no session is open there: --wait waits for one, replaykit show shows what has ended"
            )
        pause()


def _found(target: Target, last: int, shown: set[UUID], *, wait: bool) -> Follower | None:
    """Return what to follow next: the session that was named, then the newest open one; None where there is none."""
    from replaykit.storage.catalogue import Catalogue
    from replaykit.storage.following import Follower, newest_open
    from replaykit.storage.opening import open_store

    try:
        store = open_store(target.store, read_only=True)
    except StoreNotFoundError:
        if wait:
            return None
        raise
    target = of_store(target, Catalogue(store))
    if target.number is not None:
        raise click.UsageError(_NOT_ONE_ACTION)
    if target.named and not shown:
        return Follower(store, Catalogue(store).resolve(target.session), last=last)
    session_id = newest_open(store)
    return None if session_id is None or session_id in shown else Follower(store, session_id, last=last)


def _show(follower: Follower, pause: Callable[[], None], *, as_json: bool) -> None:
    from replaykit.cli.as_json import jsonable
    from replaykit.cli.render import action_line, console, lacking_text, state_text
    from replaykit.storage.following import follow

    out, aside = console(), console(err=True)
    for action in follow(follower, pause):
        if as_json:
            click.echo(json.dumps({"session_id": str(follower.session_id), **jsonable(action)}))
        else:
            out.print(action_line(action), soft_wrap=True)
    lost, gaps = follower.lacking()
    if as_json and (lost or gaps):
        said = {"session_id": str(follower.session_id), "state": follower.state, "lost": lost, "gaps": gaps}
        click.echo(json.dumps(said))
    lacking = lacking_text(lost, gaps)
    aside.print(state_text(follower.session_id, follower.name, follower.state, lacking, follower.count), soft_wrap=True)
