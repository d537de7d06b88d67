"""``replaykit replay``: run a session's calls again on a memory and say what came out otherwise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from replaykit.cli.words import EXIT_FAILED, as_json_option, ends, target_of, words_argument
from replaykit.errors import UsageError
from replaykit.model import Divergence, ReplayResult, ReplaySession

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["replay"]

_CHANGES = (
    click.option("--base", type=click.Choice(["now", "then", "live"]), default="now", show_default=True,
                 help="The memory as it was with later changes over it; a branch; the memory as it is."),
    click.option("--from-checkpoint", type=click.IntRange(min=0), help="Start after this checkpoint."),
    click.option("--stop-at", type=click.IntRange(min=0), help="The last action to look at."),
    click.option("--stop-on-mismatch", is_flag=True, help="End with the first action that differs."),
    click.option("--skip-puts", is_flag=True, help="Pass over puts, updates and deletes."),
    click.option("--skip-finds", is_flag=True),
    click.option("--skip-asks", is_flag=True),
    click.option("--dry-run", is_flag=True, help="Run nothing."),
    click.option("--top-k", type=click.IntRange(min=1), help="Ask each find for so many hits."),
    click.option("--search-mode", help="Search in this mode."),
    click.option("--adaptive", is_flag=True, help="Leave out hits below --min-relevancy."),
    click.option("--min-relevancy", type=float, default=0.5, show_default=True),
    click.option("--model", help="Ask this model."),
    click.option("--audit", "audit_mode", is_flag=True, help="Give each ask the hits that were recorded."),
    click.option("--diff", "generate_diff", is_flag=True, help="Show how texts differ, word by word."),
    click.option("--order", type=click.Choice(["exact", "ties", "set"]), default="exact", show_default=True,
                 help="Whether the order of hits counts."),
    click.option("--score-tolerance", type=click.FloatRange(min=0), default=0.0, help="How far a score may be off."),
    click.option("--min-overlap", type=click.FloatRange(0, 1), default=1.0, help="The share of hits that must agree."),
    click.option("--confirm", type=click.IntRange(min=1), default=1, help="A divergence must show in so many runs."),
)  # fmt: skip


def _with_options(command: Any) -> Any:
    for option in reversed(_CHANGES):
        command = option(command)
    return command


@click.command()
@words_argument
@click.option("--on", "target", metavar="MEMORY", help="The memory to run on; without it the one that is STORE.")
@_with_options
@click.option("--junit", type=click.Path(dir_okay=False), help="Write JUnit XML to this new file.")
@click.option("--github", is_flag=True, help="Print GitHub annotations.")
@as_json_option
@ends
def replay(
    words: tuple[str, ...], target: str | None, junit: str | None, github: bool, as_json: bool, **options: Any
) -> None:
    """
    Run a session's calls again and say what came out otherwise.

    Nothing is recorded and nothing is written. Exit code 1 where something
    differs, where the recording is incomplete and where nothing was compared.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.loading import load
    from replaykit.memory.memory import open_memory
    from replaykit.model import ReplayOptions
    from replaykit.replaying import replay as run

    wanted = target_of(words)
    if junit is not None and Path(junit).exists():
        raise UsageError(f"{junit} exists: nothing is overwritten")
    memory = target or wanted.store
    if not memory.endswith(".mv"):
        raise UsageError(f"{memory} is no memory: say with --on MEMORY what the calls are to run on")
    with load(wanted.store) as recording, open_memory(memory, create=False, read_only=True) as mv:
        session = recording.get_session(wanted.session)
        with progress_bar("replaying") as progress:
            result = run(session, mv, options=ReplayOptions(**options), progress=progress)
        _report(result, session, github=github, as_json=as_json)
    if junit is not None:
        _write_junit(result, junit)
    if not result:
        sys.exit(EXIT_FAILED)


def _report(result: ReplayResult, session: ReplaySession, *, github: bool, as_json: bool) -> None:
    if github:
        from replaykit.playback.reports import github_annotations

        for line in github_annotations([result]):
            click.echo(line)
    if as_json:
        from replaykit.cli.as_json import dump

        told = {name: getattr(result, name) for name in ("verdict", "is_success", "match_rate")}
        click.echo(dump(attrs.asdict(result, recurse=False) | told))
    elif not github:
        from replaykit.cli.render import console

        show_result(console(), result, session)


def _write_junit(result: ReplayResult, path: str) -> None:
    from replaykit.playback.reports import junit_xml

    with Path(path).open("x", encoding="utf-8") as file:
        file.write(junit_xml([result]))


# -- for people ---------------------------------------------------------------------

_VERDICT_STYLES = {"passed": "bold green", "failed": "bold red", "errored": "bold red"}


def show_result(out: Console, result: ReplayResult, session: ReplaySession) -> None:
    """Print the divergences as a table, expected beside seen, and the verdict."""
    from rich.text import Text

    from replaykit.cli.plain_text import one_line

    shown = [item for item in result.divergences if item.divergence_type.value != "not_comparable"]
    if shown:
        out.print(_table(shown))
    for item in result.action_results:
        if item.status in ("errored", "not_comparable"):
            out.print(
                Text(f"{item.sequence:>5}  {item.action_type}  {item.status}: {one_line(item.reason, 200)}", "yellow")
            )
        if item.diff:
            out.print(Text(f"{item.sequence:>5}  {one_line(item.diff, 2_000)}"))
    for reason in (*result.incomplete, *result.notes):
        out.print(Text(f"note: {one_line(reason, 200)}", "dim"))
    name = one_line(session.name or str(session.session_id), 60)
    counts = ", ".join(f"{count:,} {what}" for what, count in _counts(result) if count)
    out.print(
        Text.assemble((result.verdict, _VERDICT_STYLES.get(result.verdict, "bold yellow")), f"  {name}: {counts}")
    )


def _counts(result: ReplayResult) -> list[tuple[str, int]]:
    return [
        ("matched", result.matched_actions),
        ("differ", result.mismatched_actions),
        ("skipped", result.skipped_actions),
        ("errored", result.errored_actions),
        ("not comparable", result.incomparable_actions),
    ]


def _table(divergences: list[Divergence]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from replaykit.cli.plain_text import one_line

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("#", "kind", "what differs", "expected", "seen", "likely cause"):
        table.add_column(heading, justify="right" if heading == "#" else "left")
    for item in divergences:
        table.add_row(
            str(item.at_sequence),
            item.action_type,
            Text(one_line(item.details, 200), style="yellow"),
            Text(one_line(item.original_preview, 60), style="green"),
            Text(one_line(item.replay_preview, 60), style="red"),
            one_line(item.cause, 80),
        )
    return table
