"""``replaykit bisect``: the write after which a find gives something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from replaykit.cli.words import action_of, as_json_option, ends, existing, of_store, target_of, words_argument
from replaykit.errors import UsageError
from replaykit.model import Bisection, SearchResult

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["bisect"]


@click.command()
@words_argument
@click.option("--find", "query", help="The query; without it the recorded find that SESSION and N name.")
@click.option("-k", default=10, show_default=True, type=click.IntRange(min=1), help="How many hits.")
@click.option("--mode", default="auto", show_default=True)
@click.option("--good", type=click.IntRange(min=0), help="A generation with the right answer.")
@click.option("--bad", type=click.IntRange(min=0), help="A generation with another answer; by default the present one.")
@as_json_option
@ends
def bisect(
    words: tuple[str, ...], query: str | None, k: int, mode: str, good: int | None, bad: int | None, as_json: bool
) -> None:
    """
    Find the write after which a find gives something else.

    bisect notes.mv --find "capital"; bisect notes.mv last 3 for a recorded
    find. The memory is not changed.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.memory.memory import open_memory

    wanted = target_of(words)
    with open_memory(existing(wanted.store), create=False, read_only=True) as mv:
        wanted = of_store(wanted, mv)
        if query is None and wanted.number is None:
            raise UsageError("say what to look for: --find QUERY, or SESSION and N of a recorded find")
        find: Any = query if query is not None else action_of(mv.get_session(wanted.session), wanted.number or 0)
        with progress_bar("bisecting") as progress:
            found = mv.bisect(find, k, mode=mode, good=good, bad=bad, progress=progress)
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(attrs.asdict(found, recurse=False)))
        return
    from replaykit.cli.render import console

    _show(console(), found)


def _show(out: Console, found: Bisection) -> None:
    from rich.text import Text

    from replaykit.plain_text import one_line

    out.print(
        Text.assemble(
            ("generation ", "bold"),
            (str(found.generation), "bold red"),
            f" gives another answer than {found.last_good}",
        )
    )
    for change in found.changes[:20]:
        out.print(f"  {change}")
    if found.session_id is not None:
        out.print(f"  by action {found.sequence} of session {found.session_id}")
    for label, style, result in (("before", "green", found.before), ("after", "red", found.after)):
        out.print(Text(f"{label:>7}  {one_line(_hits(result), 300)}", style))
    out.print(Text(f"{found.probes} states were asked", "dim"))


def _hits(result: SearchResult) -> str:
    return ", ".join(f"{hit.frame_id} {hit.title or hit.text[:30]!r}" for hit in result) or "no hits"
