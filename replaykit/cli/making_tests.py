"""``replaykit test new``: from a recorded session to a test."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from replaykit.cli.words import as_json_option, ends, is_short_number, is_store
from replaykit.settings import default_store

if TYPE_CHECKING:
    from replaykit.reading import SessionReader
    from replaykit.regression.new_tests import NewTest

__all__ = ["test"]


@click.group()
def test() -> None:
    """
    Make tests of recorded sessions.

    What such a test plays, and how it is recorded anew, pytest's options
    --replay-mode and --replay-update say.
    """


@test.command("new")
@click.argument("words", nargs=-1, metavar="[STORE] [SESSION] [N ...]")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file of tests, as tests/test_capital.py.")
@click.option("--name", help="What the test is called; without it after the session.")
@click.option("--rules", default="secrets,pii", show_default=True, help="Rule sets to redact by; none is a set, too.")
@click.option("--append", is_flag=True, help="Add the test to the file if that exists.")
@click.option("--recordings", default="recordings", show_default=True, help="As replaykit_recordings says to pytest.")
@click.option("--dry-run", is_flag=True, help="Show both files and write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
@ends
def new(
    words: tuple[str, ...],
    output: str,
    name: str | None,
    rules: str,
    append: bool,
    recordings: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Write a test that makes the calls of a session again, and the recording that answers them.

    It runs offline at once: pytest FILE. The calls are those that no other
    call made, or those with the numbers N. Shows what of the session would be
    in the files, and asks on a terminal before it writes; without a terminal
    it writes. Code is read and not run: call this from the project's folder.
    """
    from replaykit.loading import load
    from replaykit.regression.new_tests import new_test

    store, rest = _split(words)
    with load(store) as recording:
        which, numbers = _meant(rest, recording)
        made = new_test(
            recording.get_session(which),
            output,
            actions=numbers,
            name=name,
            rules=_rules(rules),
            append=append,
            recordings=recordings,
        )
    if not as_json:
        _show(made)
    if dry_run:
        if not as_json:
            _show_files(made)
    else:
        _demand_consent(yes=yes)
        made.write()
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(_for_machines(made, written=not dry_run)))
    elif not dry_run:
        click.echo(f"written: {made.path} and {_relative(made.place.path)}. Run it: pytest {made.path}")


def _split(words: tuple[str, ...]) -> tuple[str, list[str]]:
    rest = list(words)
    return (rest.pop(0) if rest and is_store(rest[0]) else default_store()), rest


def _meant(rest: list[str], sessions: SessionReader) -> tuple[str, list[int]]:
    """
    Return the session and the numbers of actions; a number that is a session's name is that session.

    Raises:
        click.UsageError: What should be a number is none.
    """
    is_number = bool(rest) and is_short_number(rest[0]) and not sessions.list_sessions(name=rest[0])
    which, numbers = ("last", rest) if is_number or not rest else (rest[0], rest[1:])
    wrong = next((word for word in numbers if not (word.isascii() and word.isdigit())), None)
    if wrong is not None:
        raise click.UsageError(f"{wrong!r} is not the number of an action")
    return which, list(map(int, numbers))


def _rules(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    return tuple(name for name in names if name and name != "none")


def _demand_consent(*, yes: bool) -> None:
    if not yes and sys.stdin.isatty():
        click.confirm("Write it?", abort=True, err=True)


def _relative(path: str) -> str:
    import os

    return os.path.relpath(path)


# -- what is shown ----------------------------------------------------------------------


def _show(made: NewTest) -> None:
    from replaykit.cli.render import console
    from replaykit.plain_text import one_line

    out = console()
    named = f"session {one_line(made.session_name or '(unnamed)', 40)} ({str(made.session_id)[:8]})"
    out.print(f"{made.name} of {named}. The files would hold:")
    for label, text in _rows(made):
        out.print(f"  {label:<12}{one_line(text, 200)}", soft_wrap=True)
    for item in made.left_out:
        reason = one_line(item.reason, 200)
        out.print(f"  {'left out':<12}action {item.action} {one_line(item.name, 40)}: {reason}", soft_wrap=True)
    for note in made.notes:
        out.print(f"  {'note':<12}{one_line(note, 200)}", soft_wrap=True)


def _rows(made: NewTest) -> list[tuple[str, str]]:
    from replaykit.plain_text import counted

    contents = made.contents
    rows = [(counted(sum(names.values()), kind), _counts(names)) for kind, names in contents.calls.items()]
    size = f"{contents.text_bytes:,} bytes; the recording has {len(made.recording):,}"
    rows.append(("texts", f"{counted(contents.texts, 'text')} of {size}"))
    for text in contents.longest:
        where = f"action {text.action} {text.field}"
        rows.append(("longest", f"{where}, {text.length:,} characters: {text.beginning}"))
    rows.append(("redacted", _counts(contents.redacted) or "nothing was found to redact"))
    if contents.redacted_now:
        rows.append(("of that now", _counts(contents.redacted_now)))
    dropped = ", ".join(contents.dropped_metadata)
    rows.append(("metadata", f"none; left out: {dropped}" if dropped else "none"))
    return rows


def _counts(counts: Any) -> str:
    return ", ".join(f"{name} {count:,}" if count > 1 else name for name, count in sorted(counts.items()))


def _show_files(made: NewTest) -> None:
    from replaykit.plain_text import printable

    click.echo(f"\n# {made.path}\n")
    click.echo(printable(made.source), nl=False)
    click.echo(f"\n# {_relative(made.place.path)}\n")
    click.echo(made.recording_text)


def _for_machines(made: NewTest, *, written: bool) -> dict[str, Any]:
    calls = [{"action": each.sequence, "kind": each.kind, "name": each.name} for each in made.calls]
    return {
        "session_id": made.session_id,
        "session_name": made.session_name,
        "test": made.name,
        "file": made.path,
        "recording": made.place.path,
        "recording_bytes": len(made.recording),
        "written": written,
        "calls": calls,
        "left_out": made.left_out,
        "contents": made.contents,
        "notes": made.notes,
        "source": made.source,
    }
