"""The verbs that look after a store: verify, doctor, recover, compact, delete."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

import click

from replaykit.cli.words import EXIT_FAILED, EXIT_UNREADABLE, as_json_option, ends, existing
from replaykit.errors import NotAStoreError, SessionNotFoundError
from replaykit.model import Depth, Recovery, SessionSummary
from replaykit.settings import default_store

if TYPE_CHECKING:
    from replaykit.protocols import Store

__all__ = ["compact", "delete", "doctor", "recover", "verify"]

_OUT_OF_REACH = (
    "Out of reach: blocks that an SSD has remapped, snapshots and copy-on-write file systems, backups, and copies "
    "of the store that somebody made."
)


@click.command()
@click.argument("store", required=False)
@click.option(
    "--depth",
    type=click.Choice(get_args(Depth)),
    default="full",
    show_default=True,
    help="full: every byte, action and value; bytes: every byte, but what actions hold is not decoded.",
)
@as_json_option
@ends
def verify(store: str | None, depth: Depth, as_json: bool) -> None:
    """
    Read every byte of a store and check it.

    Exit codes: 0 all of it is accounted for, 1 there are problems, 3 it
    cannot be read.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.loading import load

    with load(store or default_store()) as recording, progress_bar("verifying") as progress:
        verification = recording.verify(depth=depth, progress=progress)
    if as_json:
        _print_json({"ok": bool(verification)}, verification)
    else:
        from replaykit.cli.render import console
        from replaykit.cli.verdicts import show_verification

        show_verification(console(), verification)
    sys.exit(0 if verification else EXIT_FAILED)


@click.command()
@click.argument("store", required=False)
@as_json_option
@ends
def doctor(store: str | None, as_json: bool) -> None:
    """
    Say what is wrong with a store and what to do next; change nothing.

    One finding a line: note (worth knowing), warning (to be done), damage
    (bytes are lost), unreadable. Exit codes: 0 nothing is wrong, 1 there is
    something to do, 3 something cannot be read.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.loading import diagnosed

    with progress_bar("looking") as progress:
        diagnosis = diagnosed(existing(store), progress=progress)
    if as_json:
        _print_json({"ok": bool(diagnosis), "worst": diagnosis.worst}, diagnosis)
    else:
        from replaykit.cli.render import console
        from replaykit.cli.verdicts import show_diagnosis

        show_diagnosis(console(), diagnosis)
    sys.exit(EXIT_UNREADABLE if diagnosis.worst == "unreadable" else 0 if diagnosis else EXIT_FAILED)


@click.command()
@click.argument("damaged")
@click.option("-o", "--output", "target", required=True, metavar="NEW", help="The new store, which must not exist.")
@as_json_option
@ends
def recover(damaged: str, target: str, as_json: bool) -> None:
    """
    Copy what is whole of a DAMAGED store into a NEW one; the damaged one is left as it is.

    Of a memory its frames and their history too, where NEW ends in .mv.

    Exit codes: 0 every session and every frame is whole, 3 recovered with loss, 1 nothing
    could be recovered.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.importers.memvid.store import is_memvid
    from replaykit.loading import load, recovered

    if is_memvid(damaged):
        raise click.UsageError(f"{damaged} is memvid's: replaykit import {damaged} -o {target}")
    try:
        with progress_bar("recovering") as progress:
            recovery = recovered(existing(damaged), target, progress=progress)
    except NotAStoreError as error:
        raise _NothingRecovered(str(error)) from error
    with load(target) as recording:
        sessions = recording.list_sessions()
    _show_recovery(recovery, sessions, as_json=as_json)
    has_frames = recovery.memory is not None and (recovery.memory.frames or not recovery.memory.damage)
    if (recovery.damage or not recovery) and not recovery.sessions and not has_frames:
        sys.exit(EXIT_FAILED)
    sys.exit(0 if recovery else EXIT_UNREADABLE)


def _show_recovery(recovery: Recovery, sessions: list[SessionSummary], *, as_json: bool) -> None:
    if as_json:
        _print_json({"ok": bool(recovery), "in_target": sessions}, recovery)
        return
    from replaykit.cli.render import console
    from replaykit.cli.verdicts import show_recovery

    show_recovery(console(), recovery, sessions)


class _NothingRecovered(click.ClickException):
    """There is nothing of a recording in the file; exit 1, as the verb promises."""

    exit_code = EXIT_FAILED

    def show(self, file: Any = None) -> None:
        from replaykit.plain_text import printable

        click.echo(f"replaykit: {printable(self.message, keep_lines=False)} Nothing could be recovered.", err=True)


@click.command()
@click.argument("store", required=False)
@as_json_option
@ends
def compact(store: str | None, as_json: bool) -> None:
    """
    Rewrite a store smaller, without what was deleted; all at once or not at all.

    Sessions that a killed process left are published first. A store that is
    written to right now is locked (exit code 3); of a directory those files
    are left as they are.
    """
    from replaykit.cli.progress import progress_bar

    with _opened(store) as (opened, published), progress_bar("compacting") as progress:
        compaction = opened.compact(progress=progress)
    if as_json:
        _print_json({"published": published}, compaction)
        return
    from replaykit.cli.render import console
    from replaykit.cli.verdicts import show_compaction

    show_compaction(console(), compaction, published)


@click.command()
@click.argument("store")
@click.argument("session")
@click.option("--erase", is_flag=True, help="Leave no byte of it in the store's files.")
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@as_json_option
@ends
def delete(store: str, session: str, erase: bool, yes: bool, as_json: bool) -> None:
    """
    Delete an ended session of a store.

    Its bytes stay in the files until they are compacted; with --erase they go
    at once, also those of a session that was deleted before (give its whole
    id). Several sessions of one name are an error: give an id.
    """
    from replaykit.storage.catalogue import Catalogue

    session_id, summary = _meant(existing(store), session, erase=erase)
    _demand_consent(_described(store, session_id, summary), erase=erase, yes=yes)
    with _opened(store) as (opened, _):
        Catalogue(opened).delete_session(session_id, erase=erase)
    if as_json:
        _print_json({"store": store, "session_id": session_id, "erased": erase, "deleted": summary})
        return
    from replaykit.plain_text import printable

    where = printable(store, keep_lines=False)
    if erase:
        click.echo(f"erased {session_id}: no byte of it is in the files of {where}. {_OUT_OF_REACH}")
    else:
        click.echo(f"deleted {session_id}; its bytes stay in the files until replaykit compact {where}")


def _meant(store: str, session: str, *, erase: bool) -> tuple[UUID, SessionSummary | None]:
    """Return the session's id and what is listed of it; nothing is, where it was deleted and is to be erased."""
    from replaykit.storage.catalogue import Catalogue
    from replaykit.storage.opening import open_store

    with closing(open_store(store, read_only=True)) as opened:
        catalogue = Catalogue(opened)
        session_id = catalogue.resolve(session, unique=True)
        summary = next((item for item in catalogue.list_sessions() if item.session_id == session_id), None)
    if summary is None and not erase:
        raise SessionNotFoundError(session)
    return session_id, summary


def _described(store: str, session_id: UUID, summary: SessionSummary | None) -> str:
    from replaykit.plain_text import counted, one_line, printable

    where = printable(store, keep_lines=False)
    if summary is None:
        return f"session {session_id}, which is not listed in {where} any more"
    name = one_line(summary.name or "(unnamed)", 60)
    return f"session {session_id} {name}, {counted(summary.action_count, 'action')}, of {where}"


def _demand_consent(what: str, *, erase: bool, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("without a terminal nobody can be asked: give --yes")
    click.confirm(f"{'Erase' if erase else 'Delete'} {what}?", abort=True, err=True)


@contextmanager
def _opened(store: str | None) -> Iterator[tuple[Store, int]]:
    """Give an existing store open for writing, and how many abandoned logs were published for it."""
    from replaykit.loading import load
    from replaykit.storage.opening import open_store
    from replaykit.storage.recovery import recover as publish_abandoned

    location = existing(store)
    # Read first: to open an empty file for writing makes a store of it.
    load(location).close()
    with closing(open_store(location)) as opened:
        yield opened, publish_abandoned(opened)


def _print_json(more: dict[str, Any], value: Any = None) -> None:
    from replaykit.cli.as_json import dump, jsonable

    fields = {} if value is None else jsonable(value)
    click.echo(dump({**fields, **more}))
