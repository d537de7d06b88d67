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

    Of a folder, such as the recordings of tests, all stores below it are
    searched. Says where each stands and which rule found it, never what it is. To be
    rid of them: replaykit delete STORE SESSION --erase. Exit codes: 0 there
    are none, 1 there are some, 3 something cannot be read.
    """
    from replaykit.regression.searching import stores_below

    location = existing(store)
    rules = ("secrets", "pii") if pii else ("secrets",)
    looked_at = [(place, *_searched(place, rules)) for place in stores_below(location)]
    sessions = sum(count for _, count, _ in looked_at)
    findings = [finding for _, _, found in looked_at for finding in found]
    by_rule = dict(Counter(finding.rule for finding in findings).most_common())
    if as_json:
        from replaykit.cli.as_json import dump, jsonable

        facts = {"store": location, "ok": not findings, "sessions": sessions, "by_rule": by_rule}
        told = [{**jsonable(finding), "store": place} for place, _, found in looked_at for finding in found]
        click.echo(dump({**facts, "findings": told}))
    else:
        for place, _, found_here in looked_at:
            _show_lines(found_here, "" if place == location else place)
        _show_sum(findings, by_rule, location, sessions)
    sys.exit(EXIT_FAILED if findings else 0)


def _searched(location: str, rules: tuple[str, ...]) -> tuple[int, list[Finding]]:
    """Return how many sessions a store has, and what was found in them."""
    from replaykit.cli.progress import progress_bar
    from replaykit.loading import load
    from replaykit.scanning import scan as scan_recording

    with load(location) as recording, progress_bar("scanning") as progress:
        return len(recording.list_sessions()), list(scan_recording(recording, rules, progress=progress))


def _show_lines(findings: Sequence[Finding], place: str) -> None:
    from replaykit.plain_text import printable

    if findings and place:
        click.echo(f"{printable(place, keep_lines=False)}:")
    for finding in findings:
        click.echo(_line(finding))


def _show_sum(findings: Sequence[Finding], by_rule: dict[str, int], location: str, sessions: int) -> None:
    from replaykit.plain_text import counted, printable

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
