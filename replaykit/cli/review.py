"""``replaykit review``: recordings of tests that would change, and what becomes of each."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import attrs
import click

from replaykit.cli.words import EXIT_FAILED, EXIT_UNREADABLE, as_json_option, ends
from replaykit.errors import ReplaykitError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from replaykit.regression.proposals import Change

__all__ = ["review"]

State = Literal["waits", "accepted", "rejected", "cannot be reviewed"]
_STATES: tuple[State, ...] = ("accepted", "rejected", "waits", "cannot be reviewed")
_ANSWERS: dict[str, State | None] = {"a": "accepted", "r": "rejected", "s": "waits", "q": None}
_STYLES = {"-": "red", "+": "green", "~": "yellow"}


@attrs.define
class _Reviewed:
    """One proposal, and what became of it; *change* is None where it is not looked at or cannot be read."""

    path: str
    change: Change | None = None
    state: State = "waits"
    error: str = ""


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@click.option("--accept", is_flag=True, help="Take all of them.")
@click.option("--reject", is_flag=True, help="Drop all of them: the recordings stay.")
@click.option("--list", "only_list", is_flag=True, help="A line each, without what is in them.")
@click.option("--stale", is_flag=True, help="Recordings whose module of tests is gone; --reject removes them.")
@as_json_option
@ends
def review(paths: tuple[str, ...], accept: bool, reject: bool, only_list: bool, stale: bool, as_json: bool) -> None:
    """
    Show the recordings that `pytest --replay-update` would change, and ask of each whether to take it.

    PATHS are folders (this one by default), modules of tests, or recordings.
    Without a terminal nothing is asked: give --accept or --reject. Exit
    codes: 0 there is none, or all are decided; 1 some still wait; 3 one
    cannot be reviewed or changed.
    """
    from replaykit.regression.searching import proposals_below

    if accept + reject + only_list > 1:
        raise click.UsageError("give one of --accept, --reject and --list")
    if stale:
        if accept:
            raise click.UsageError("a stale recording can be removed (--reject), and there is nothing to accept")
        _review_stale(paths or (".",), removes=reject, as_json=as_json)
        return
    wanted: State = "accepted" if accept else "rejected" if reject else "waits"
    found = [_Reviewed(path) for path in proposals_below(paths or (".",))]
    if as_json:
        _dump([_decided(item, wanted) for item in found])
    else:
        asks = wanted == "waits" and not only_list and sys.stdin.isatty() and sys.stdout.isatty()
        _go_through(found, wanted, asks=asks, only_list=only_list)
    states = {item.state for item in found}
    sys.exit(EXIT_UNREADABLE if "cannot be reviewed" in states else EXIT_FAILED if "waits" in states else 0)


def _review_stale(paths: Sequence[str], *, removes: bool, as_json: bool) -> None:
    from replaykit.plain_text import counted, printable
    from replaykit.regression.searching import recordings_below
    from replaykit.regression.stale import remove_stale, without_module

    found = without_module(recordings_below(paths))
    left = remove_stale(found) if removes else found
    if as_json:
        _dump([{"path": path, "state": "waits" if path in left else "removed"} for path in found])
    else:
        for path in found:
            click.echo(
                f"{'stale' if path in left else 'removed'}  {printable(os.path.relpath(path), keep_lines=False)}"
            )
        click.echo(f"{counted(len(found), 'recording')} whose module of tests is gone")
    # What is left although it was to be removed could not be.
    sys.exit(0 if not left else EXIT_UNREADABLE if removes else EXIT_FAILED)


def _look_at(item: _Reviewed) -> None:
    from replaykit.regression.proposals import change_of

    with _said_in(item):
        item.change = change_of(item.path)


def _decide(item: _Reviewed, wanted: State) -> None:
    """Do with *item* what is wanted, if it can be."""
    from replaykit.regression.proposals import accept, reject

    if item.change is None or wanted not in ("accepted", "rejected"):
        return
    with _said_in(item):
        (accept if wanted == "accepted" else reject)(item.change)
        item.state = wanted


@contextmanager
def _said_in(item: _Reviewed) -> Iterator[None]:
    """Have what goes wrong with one said with it, so that the others go on."""
    try:
        yield
    except (ReplaykitError, OSError) as error:
        item.state, item.error = "cannot be reviewed", str(error)


def _dump(records: Sequence[dict[str, Any]]) -> None:
    from replaykit.cli.as_json import dump

    click.echo(dump(records))


def _decided(item: _Reviewed, wanted: State) -> dict[str, Any]:
    _look_at(item)
    _decide(item, wanted)
    known: dict[str, Any] = {"path": item.path, "state": item.state, "error": item.error}
    if item.change is None:
        return known
    names = ("recording", "identity", "is_new", "note")
    return {**known, **{name: getattr(item.change, name) for name in names}, **attrs.asdict(item.change.diff)}


# -- for people ---------------------------------------------------------------------


def _go_through(found: Sequence[_Reviewed], wanted: State, *, asks: bool, only_list: bool) -> None:
    from replaykit.cli.render import console
    from replaykit.plain_text import printable

    out = console()
    for item in found:
        _look_at(item)
        if item.change is not None:
            _show(out, item.change, whole=not only_list)
            answer = _answer() if asks else wanted
            if answer is None:
                break
            _decide(item, answer)
            # All that is shown of many would be much to keep.
            item.change = None
        if item.error:
            click.echo(f"replaykit: {printable(item.error, keep_lines=False)}", err=True)
    out.print(_sum(found), soft_wrap=True)


def _answer() -> State | None:
    """Ask, and return what is to be done; None for nothing more."""
    try:
        given = click.prompt("accept, reject, skip, quit", type=click.Choice(list(_ANSWERS)), err=True)
    except click.Abort:
        return None
    return _ANSWERS[given]


def _show(out: Console, change: Change, *, whole: bool) -> None:
    from rich.text import Text

    from replaykit.plain_text import printable

    where = printable(os.path.relpath(change.recording), keep_lines=False)
    identity = printable(change.identity, keep_lines=False)
    out.print(Text.assemble((identity, "bold"), f"  {where}  ", (_counts(change), "cyan")), soft_wrap=True)
    if change.note:
        out.print(Text(f"note: {printable(change.note, keep_lines=False)}", style="yellow"), soft_wrap=True)
    for line in change.diff.lines if whole else ():
        out.print(_coloured(line), soft_wrap=True)


def _coloured(line: str) -> Text:
    from rich.text import Text

    text = Text(line, style=_STYLES.get(line[:1], ""))
    text.highlight_regex(r"\[-.*?-\]", "red")
    text.highlight_regex(r"\{\+.*?\+\}", "green")
    return text


def _counts(change: Change) -> str:
    diff = change.diff
    if change.is_new:
        return f"new, {diff.added:,} calls" if diff.added != 1 else "new, 1 call"
    named = {"same": diff.same, "differing": diff.differing, "removed": diff.removed, "added": diff.added}
    told = ", ".join(f"{count:,} {name}" for name, count in named.items() if count)
    return told + ("; nothing differs that is compared" if diff.is_empty else "")


def _sum(found: Sequence[_Reviewed]) -> str:
    if not found:
        return "no recording waits for a review: pytest --replay-update proposes what differs"
    counts = Counter(item.state for item in found)
    return ", ".join(_told(counts, state) for state in _STATES if counts[state])


def _told(counts: Counter[State], state: State) -> str:
    said = "wait" if state == "waits" and counts[state] > 1 else state
    return f"{counts[state]:,} {said}"
