"""``replaykit import``: memvid's recordings into a store, with a report of each session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from replaykit.cli.words import EXIT_FAILED, EXIT_UNREADABLE, as_json_option, ends
from replaykit.model import ImportedSession, ImportReport
from replaykit.settings import default_store

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["import_command"]

_STATUSES = ("imported", "skipped", "different", "lost", "unreadable")
_STYLES = {"imported": "green", "skipped": "dim", "different": "yellow", "lost": "yellow", "unreadable": "bold red"}


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE.mv2...")
@click.option("-o", "--output", "target", metavar="STORE", help="The store to import into; made where it is missing.")
@click.option("--no-redact", is_flag=True, help="Leave secrets in that memvid recorded.")
@as_json_option
@ends
def import_command(files: tuple[str, ...], target: str | None, no_redact: bool, as_json: bool) -> None:
    """
    Import the sessions that memvid recorded; its files are only read.

    Also those of its command line that are still active (FILE.mv2.session).
    Each session is reported: imported, skipped (imported before), different
    (the store has another recording under its id), lost (the file does not
    name it any more) or unreadable. Exit codes: 0 the store has all that the
    files name, 1 something is different, 3 something cannot be read.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.importing import import_sessions

    with progress_bar("importing") as progress:
        redact = () if no_redact else None
        report = import_sessions(files, target or default_store(), redact=redact, progress=progress)
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(_for_machines(report)))
    else:
        from replaykit.cli.render import console

        _show(console(), report)
    sys.exit(EXIT_UNREADABLE if report.count("unreadable") else EXIT_FAILED if not report else 0)


def _for_machines(report: ImportReport) -> dict[str, object]:
    counts = {status: report.count(status) for status in _STATUSES}  # type: ignore[arg-type]  # literals all
    return {
        "ok": bool(report),
        "target": report.target,
        **counts,
        "sessions": report.items,
        "notes": report.notes,
    }


def _show(out: Console, report: ImportReport) -> None:
    from replaykit.plain_text import printable

    for item in report.items:
        # One line stays one line, also in a narrow window: it may be searched.
        out.print(_line(item), soft_wrap=True)
    for note in report.notes:
        out.print(f"note  {printable(note, keep_lines=False)}", soft_wrap=True)
    counts = ", ".join(f"{report.count(status):,} {status}" for status in _STATUSES)  # type: ignore[arg-type]  # literals all
    out.print(
        f"{printable(report.target, keep_lines=False)}: {counts}. The files were left as they are.", soft_wrap=True
    )


def _line(item: ImportedSession) -> Text:
    from rich.text import Text

    from replaykit.plain_text import counted, one_line, printable

    said = Text.assemble((f"{item.status:<10} ", _STYLES[item.status]), f"{printable(item.file, keep_lines=False)}  ")
    if item.status != "lost" and item.session_id is not None:
        said.append(f"{item.session_id}  {one_line(item.name or '(unnamed)', 40)}  ")
        said.append(counted(item.action_count, "action"))
    if item.reason:
        said.append(f"{'  ' if item.session_id is not None and item.status != 'lost' else ''}")
        said.append(printable(item.reason, keep_lines=False), style="dim")
    return said
