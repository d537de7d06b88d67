"""``replaykit diff``: what two sessions have in common, and in what they differ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import click

from replaykit.cli.words import EXIT_FAILED, as_json_option, ends, is_store
from replaykit.model import ReplayAction, ReplaySession, SessionComparison
from replaykit.settings import default_store

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["diff"]


@click.command()
@click.argument("words", nargs=-1, metavar="[STORE] SESSION [STORE] SESSION")
@click.option("--order", type=click.Choice(["exact", "ties", "set"]), default="exact", show_default=True,
              help="Whether the order of hits counts: wholly, but among equal scores, or not at all.")  # fmt: skip
@click.option("--score-tolerance", type=click.FloatRange(min=0), default=0.0, help="How far a score may be off.")
@click.option("--min-overlap", type=click.FloatRange(0, 1), default=1.0, help="The share of hits that must agree.")
@as_json_option
@ends
def diff(words: tuple[str, ...], order: str, score_tolerance: float, min_overlap: float, as_json: bool) -> None:
    """
    Compare two sessions by what their actions hold, not by their position.

    Of a STORE without a SESSION the last one is meant: diff a.rpk b.rpk. Exit
    code 1 where they differ.
    """
    from replaykit.loading import load
    from replaykit.playback.comparing import compare

    (store_a, which_a), (store_b, which_b) = _two_sessions(words)
    with load(store_a) as first, load(store_b) as second:
        session_a, session_b = first.get_session(which_a), second.get_session(which_b)
        found = compare(
            session_a,
            session_b,
            order=order,  # type: ignore[arg-type]  # click has checked it
            score_tolerance=score_tolerance,
            min_overlap=min_overlap,
        )
        if as_json:
            from replaykit.cli.as_json import dump

            click.echo(dump(attrs.asdict(found, recurse=False) | {"is_identical": found.is_identical}))
        else:
            from replaykit.cli.render import console

            _show(console(), found, session_a, session_b)
    if not found.is_identical:
        sys.exit(EXIT_FAILED)


def _two_sessions(words: Sequence[str]) -> list[tuple[str, str]]:
    named = list(_sessions(words))
    if len(named) != 2:
        raise click.UsageError(f"two sessions are needed, not {len(named)}: diff runs.rpk monday tuesday")
    return named


def _sessions(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    store, is_open = default_store(), False
    for word in words:
        if is_store(word):
            if is_open:
                yield store, "last"
            store, is_open = word, True
        else:
            yield store, word
            is_open = False
    if is_open:
        yield store, "last"


# -- for people ---------------------------------------------------------------------


def _show(out: Console, found: SessionComparison, session_a: ReplaySession, session_b: ReplaySession) -> None:
    from rich.table import Table
    from rich.text import Text

    from replaykit.cli.render import action_line
    from replaykit.plain_text import one_line

    if not found.is_identical:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("#", "kind", "what", "in A", "in B"):
            table.add_column(heading, justify="right" if heading == "#" else "left")
        for item in found.differing_actions:
            table.add_row(
                str(item.at_sequence), item.action_type, Text(one_line(item.details, 200), style="yellow"),
                one_line(item.original_preview, 60), one_line(item.replay_preview, 60),
            )  # fmt: skip
        if found.differing_actions:
            out.print(table)
        _show_left_over(out, "- only in A", "red", found.actions_only_in_a, session_a, action_line)
        _show_left_over(out, "+ only in B", "green", found.actions_only_in_b, session_b, action_line)
    out.print(_sum(found))


def _show_left_over(
    out: Console,
    label: str,
    style: str,
    sequences: Sequence[int],
    session: ReplaySession,
    line: Callable[[ReplayAction], Text],
) -> None:
    from rich.text import Text

    wanted = set(sequences)
    for action in session.actions if wanted else ():
        if action.sequence in wanted:
            out.print(Text.assemble((f"{label}  ", style), line(action)))


def _sum(found: SessionComparison) -> str:
    if found.is_identical:
        return f"identical: {found.matching_actions:,} actions"
    differing = len({item.at_sequence for item in found.differing_actions})
    return (
        f"{found.matching_actions:,} agree, {differing:,} differ, {len(found.actions_only_in_a):,} only in A, "
        f"{len(found.actions_only_in_b):,} only in B"
    )
