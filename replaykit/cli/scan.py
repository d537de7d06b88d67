"""The verb that finds secrets in recordings."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from replaykit.cli.words import EXIT_FAILED, as_json_option, ends, existing

if TYPE_CHECKING:
    from replaykit.scanning import Finding

__all__ = ["scan"]


@click.command()
@click.argument("store", required=False)
@click.option("--pii", is_flag=True, help="Look for a person's data as well: e-mail, phone, card, IBAN.")
@as_json_option
@ends
def scan(store: str | None, pii: bool, as_json: bool) -> None:
    """
    Find secrets in the sessions of a store: of an older release, or recorded without redaction.

    Says where each stands and which rule found it, never what it is. To be
    rid of them: replaykit delete STORE SESSION --erase. Exit codes: 0 there
    are none, 1 there are some, 3 something cannot be read.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.loading import load
    from replaykit.scanning import scan as scan_recording

    rules = ("secrets", "pii") if pii else ("secrets",)
    location = existing(store)
    with load(location) as recording, progress_bar("scanning") as progress:
        sessions = len(recording.list_sessions())
        findings = list(scan_recording(recording, rules, progress=progress))
    by_rule = dict(Counter(finding.rule for finding in findings).most_common())
    if as_json:
        from replaykit.cli.as_json import dump

        facts = {"store": location, "ok": not findings, "sessions": sessions, "by_rule": by_rule}
        click.echo(dump({**facts, "findings": findings}))
    else:
        _show(findings, by_rule, location, sessions)
    sys.exit(EXIT_FAILED if findings else 0)


def _show(findings: Sequence[Finding], by_rule: dict[str, int], location: str, sessions: int) -> None:
    from replaykit.plain_text import counted, printable

    for finding in findings:
        click.echo(_line(finding))
    where = f"{counted(sessions, 'session')} of {printable(location, keep_lines=False)}"
    if not findings:
        click.echo(f"no secret found in {where}")
        return
    rules = ", ".join(f"{rule} {count:,}" for rule, count in by_rule.items())
    concerned = len({finding.session_id for finding in findings})
    click.echo(f"{counted(len(findings), 'secret')} in {concerned:,} of {where}: {rules}")
    click.echo(
        "Change these secrets where they are valid. replaykit delete STORE SESSION --erase takes them off the disk."
    )


def _line(finding: Finding) -> str:
    from replaykit.plain_text import one_line

    place = "session" if finding.action is None else f"action {finding.action} {finding.kind}"
    size = "" if finding.length is None else f"{finding.length} bytes"
    shown = " ".join(part for part in (one_line(finding.ends, 24), f"({size})" if size else "") if part)
    return f"{finding.session_id}  {place}  {one_line(finding.field, 60)}  {finding.rule}  {shown}".rstrip()
