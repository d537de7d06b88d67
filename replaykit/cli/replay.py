"""``replaykit replay``: run a session's calls again on a memory and say what came out otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from replaykit.cli.words import EXIT_FAILED, Target, as_json_option, ends, existing, of_store, target_of
from replaykit.errors import UsageError
from replaykit.model import ReplayOptions, ReplayResult

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
    click.option("--ids", type=click.Choice(["exact", "content"]), default="exact", show_default=True,
                 help="Tell frames by their ids, or by content: for another memory, with --base live."),
    click.option("--score-tolerance", type=click.FloatRange(min=0), default=0.0, help="How far a score may be off."),
    click.option("--min-overlap", type=click.FloatRange(0, 1), default=1.0, help="The share of hits that must agree."),
    click.option("--confirm", type=click.IntRange(min=1), default=1, help="A divergence must show in so many runs."),
)  # fmt: skip
_MANY = (
    click.option("--all", "every", is_flag=True, help="Replay every session of STORE."),
    click.option("--shard", metavar="N/COUNT", help="With --all: only this part of the sessions, as 2/8."),
    click.option("--workers", type=click.IntRange(min=1), help="With --all: so many processes."),
    click.option("--baseline", type=click.Path(dir_okay=False), help="With --all: a file of divergences to accept."),
    click.option("--write-baseline", is_flag=True, help="Write what differs to the --baseline file."),
    click.option("--resume", type=click.Path(dir_okay=False), help="With --all: a file that remembers what is done."),
)


def _with_options(command: Any) -> Any:
    for option in reversed((*_CHANGES, *_MANY)):
        command = option(command)
    return command


@click.command()
@click.argument("words", nargs=-1, metavar="[STORE] [SESSION]")
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
    Run a session's calls again, or those of all sessions, and say what came out otherwise.

    Nothing is recorded and no memory is written. Exit code 1 where something
    differs that no baseline knows, where the recording is incomplete and
    where nothing was compared.
    """
    wanted = target_of(words)
    if junit is not None and Path(junit).exists():
        raise UsageError(f"{junit} exists: nothing is overwritten")
    existing(wanted.store)
    memory = target or wanted.store
    if not memory.endswith(".mv"):
        raise UsageError(f"{memory} is no memory: say with --on MEMORY what the calls are to run on")
    many = {name: options.pop(name) for name in ("shard", "workers", "baseline", "write_baseline", "resume")}
    run = _run_all if options.pop("every") else _run_one
    results, show = run(wanted, memory, ReplayOptions(**options), many)
    if github:
        _annotate(results)
    if as_json or not github:
        show(as_json)
    if junit is not None:
        _write_junit(results, junit)
    if not show.is_success:
        sys.exit(EXIT_FAILED)


@attrs.frozen
class _Shown:
    """Shows a verdict, to machines or people."""

    is_success: bool
    for_machines: Callable[[], Any]
    for_people: Callable[[Console], None]

    def __call__(self, as_json: bool) -> None:
        from replaykit.cli.as_json import dump
        from replaykit.cli.render import console

        if as_json:
            click.echo(dump(self.for_machines()))
        else:
            self.for_people(console())


def _run_one(
    wanted: Target, memory: str, options: ReplayOptions, many: Mapping[str, Any]
) -> tuple[list[ReplayResult], _Shown]:
    from replaykit.cli.progress import progress_bar
    from replaykit.cli.replayed import show_result
    from replaykit.loading import load
    from replaykit.memory.memory import open_memory
    from replaykit.replaying import replay as run

    _demand_none(many)
    with load(wanted.store) as recording, open_memory(memory, create=False, read_only=True) as mv:
        wanted = of_store(wanted, recording)
        if wanted.number is not None:
            raise UsageError(
                "replay runs a session, not one action: --from-checkpoint and --stop-at say where it begins and ends"
            )
        session = recording.get_session(wanted.session)
        with progress_bar("replaying") as progress:
            result = run(session, mv, options=options, progress=progress)
    shown = _Shown(bool(result), lambda: _for_machines(result), lambda out: show_result(out, result))
    return [result], shown


def _demand_none(many: Mapping[str, Any]) -> None:
    given = [name.replace("_", "-") for name, value in many.items() if value is not None and value is not False]
    if given:
        raise UsageError(f"--{given[0]} is for many sessions: give --all too")


def _for_machines(result: ReplayResult) -> dict[str, Any]:
    told = {name: getattr(result, name) for name in ("verdict", "is_success", "match_rate", "agreement")}
    return attrs.asdict(result, recurse=False) | told


def _run_all(
    wanted: Target, memory: str, options: ReplayOptions, many: Mapping[str, Any]
) -> tuple[list[ReplayResult], _Shown]:
    from replaykit.cli.suites import report_for_machines, report_of, show_report

    if wanted.named:
        raise UsageError("--all replays every session: give no session")
    report = report_of(wanted.store, memory, options, **many)
    shown = _Shown(bool(report), lambda: report_for_machines(report), lambda out: show_report(out, report))
    return list(report.results.values()), shown


def _annotate(results: Sequence[ReplayResult]) -> None:
    from replaykit.playback.reports import github_annotations

    for line in github_annotations(results):
        click.echo(line)


def _write_junit(results: Sequence[ReplayResult], path: str) -> None:
    from replaykit.playback.reports import junit_xml

    with Path(path).open("x", encoding="utf-8") as file:
        file.write(junit_xml(results))
