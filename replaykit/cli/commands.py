"""The verbs: ``replaykit VERB [STORE] [SESSION] [N]``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from replaykit._version import __version__
from replaykit.cli.bisect import bisect
from replaykit.cli.branching import fork, memory_in, show_memory
from replaykit.cli.care import compact, delete, doctor, recover, verify
from replaykit.cli.diff import diff
from replaykit.cli.importing import import_command
from replaykit.cli.making_tests import test
from replaykit.cli.replay import replay
from replaykit.cli.review import review
from replaykit.cli.run import run
from replaykit.cli.scan import scan
from replaykit.cli.tail import tail
from replaykit.cli.words import Target, action_of, as_json_option, ends, of_store, target_of, words_argument
from replaykit.model import Diagnosis, SessionSummary, uncovered_in
from replaykit.settings import default_store

if TYPE_CHECKING:
    from replaykit.reading import SessionReader

__all__ = ["program"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="replaykit")
def program() -> None:
    """
    A flight recorder for what AI agents do with their memory.

    STORE is a file (runs.rpk), a directory (runs/) or a memory's file (notes.mv),
    for reading also one of memvid's (old.mv2);
    without it REPLAYKIT_STORE or ./.replaykit/ is meant. SESSION is an id, the
    beginning of one, a name, or "last".

    Exit codes: 0 ok; 1 a check failed, or there is something to do; 2 wrong
    usage; 3 a store cannot be read or written, or was recovered with loss;
    130 Ctrl-C ended it.
    """


_CARE = (verify, doctor, recover, compact, delete, import_command)
for _verb in (*_CARE, tail, diff, replay, run, fork, bisect, scan, review, test):
    program.add_command(_verb)


@program.command("list")
@click.argument("store", required=False)
@click.option("--name", help="Only sessions of this name.")
@click.option("--state", type=click.Choice(["open", "sealed", "interrupted"]), help="Only sessions in this state.")
@as_json_option
@ends
def list_command(store: str | None, name: str | None, state: str | None, as_json: bool) -> None:
    """List the sessions of a store: ended ones in order of ending, then open ones."""
    from replaykit.loading import load

    location = store or default_store()
    with load(location) as recording:
        summaries = recording.list_sessions(name=name, state=state)
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(summaries))
        return
    from replaykit.cli.listing import show_list
    from replaykit.cli.render import console

    show_list(console(), summaries, location)


@program.command()
@words_argument
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Show so many actions.")
@click.option("--text", "as_text", is_flag=True, help="Print all there is as plain text: for git diff.")
@as_json_option
@ends
def show(words: tuple[str, ...], limit: int, as_text: bool, as_json: bool) -> None:
    """
    Show a session's actions as a table, or action N whole: show last 7.

    With --text all of every session, or of the one that is named, without
    colours and widths: the same file always gives the same text.
    """
    from replaykit.loading import load

    if as_text and as_json:
        raise click.UsageError("--text and --json are two forms: give one of them")
    target = target_of(words)
    with load(target.store) as recording:
        target = of_store(target, recording)
        if as_text:
            _show_text(recording, target)
            return
        session = recording.get_session(target.session)
        action = None if target.number is None else action_of(session, target.number)
        if as_json:
            from replaykit.cli.as_json import dump

            click.echo(dump(action or session))
            return
        from replaykit.cli.render import console, show_action, show_session

        if action is None:
            show_session(console(), session, limit)
        else:
            show_action(console(), action)


def _show_text(recording: SessionReader, target: Target) -> None:
    """Print what *target* names, line by line: a session may be larger than memory."""
    from replaykit.regression.text import text_of_action, text_of_session, text_of_sessions

    if not target.named:
        lines = text_of_sessions(recording)
    else:
        session = recording.get_session(target.session)
        number = target.number
        lines = text_of_session(session) if number is None else text_of_action(session, action_of(session, number))
    # The same bytes in every locale.
    out = sys.stdout.buffer
    for line in lines:
        out.write(f"{line}\n".encode())
    out.flush()


@program.command()
@click.argument("store", required=False)
@as_json_option
@ends
def info(store: str | None, as_json: bool) -> None:
    """
    Say what a store holds, how large it is and whether it is well.

    Of a memory also where it was forked from, and which forks of it are known.

    All of it is read once, so that "ok" means something.
    """
    from replaykit.cli.progress import progress_bar
    from replaykit.importers.memvid.store import is_memvid
    from replaykit.loading import diagnosed, load

    location = store or default_store()
    with load(location) as recording:
        summaries = recording.list_sessions()
        uncovered = _uncovered(recording)
    with progress_bar("reading") as progress:
        diagnosis = diagnosed(location, progress=progress)
    is_ours = not is_memvid(location)
    memory = memory_in(location) if is_ours else None
    facts = _facts(diagnosis, summaries, uncovered)
    if memory is not None and facts["health"] == "ok":
        facts["because"] = _CHECKED_OF_MEMORY
    if not is_ours:
        facts |= _facts_of_memvid(diagnosis)
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump({**facts, **(memory or {"memory": None, "lineage": None})}))
        return
    from replaykit.cli.render import console, show_info

    show_info(console(), facts)
    if memory is not None:
        show_memory(console(), memory)


def _uncovered(recording: SessionReader) -> dict[str, int]:
    """Return what all sessions together did not cover."""
    counts: Counter[str] = Counter()

    def look(metadata: Mapping[str, Any]) -> bool:
        counts.update(uncovered_in(metadata))
        return False

    recording.list_sessions(where=look)
    return dict(counts)


def _facts(diagnosis: Diagnosis, summaries: Sequence[SessionSummary], uncovered: Mapping[str, int]) -> dict[str, Any]:
    usage = diagnosis.usage
    health, reason = _health(diagnosis)
    return {
        "store": diagnosis.path,
        "format": "replaykit",
        "health": health,
        "because": reason,
        "files": usage.files,
        "bytes": usage.bytes,
        "session_bytes": sum(usage.by_session.values()),
        "dead_bytes": usage.dead_bytes,
        "evidence_bytes": usage.evidence_bytes,
        "live_logs": usage.live_logs,
        "live_log_bytes": usage.live_log_bytes,
        "sessions": len(summaries),
        **{state: sum(1 for item in summaries if item.state == state) for state in ("sealed", "open", "interrupted")},
        "actions": sum(item.action_count for item in summaries),
        "checkpoints": sum(item.checkpoint_count for item in summaries),
        "lost": sum(item.lost for item in summaries),
        "gaps": sum(item.gaps for item in summaries),
        "not_recorded": dict(uncovered),
        "largest": _largest(diagnosis, summaries),
        "durability": _DURABILITY,
        "replaykit": __version__,
    }


_LARGEST = 3
_HEALTH = {"note": "ok", "warning": "attention", "damage": "damaged", "unreadable": "unreadable"}
_DURABILITY = (
    "sessions that are published are on the device; a live log survives kill -9, and a power cut as far as "
    "the durability= of its recorder says"
)


_CHECKED_OF_MEMORY = "every byte of the sessions is accounted for, and each frame is as its hash says"


def _facts_of_memvid(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what is otherwise where memvid wrote the file."""
    durability = "memvid's: sessions are lost when it is killed before a commit; replaykit import keeps them"
    checked = "what it says of its sessions checks; its frames were not looked at"
    return {"format": "memvid", "durability": durability, **({"because": checked} if diagnosis else {})}


def _health(diagnosis: Diagnosis) -> tuple[str, str]:
    if diagnosis:
        return "ok", "every byte is accounted for"
    gravest = diagnosis.findings[0]
    others = sum(1 for finding in diagnosis.findings if finding.severity != "note") - 1
    more = f" (and {others} more: replaykit doctor)" if others else ""
    return _HEALTH[diagnosis.worst], f"{gravest.where}: {gravest.what}{more}"


def _largest(diagnosis: Diagnosis, summaries: Sequence[SessionSummary]) -> list[dict[str, Any]]:
    sizes = diagnosis.usage.by_session
    largest = sorted(summaries, key=lambda item: sizes.get(item.session_id, 0), reverse=True)[:_LARGEST]
    return [
        {"session_id": item.session_id, "name": item.name, "bytes": sizes[item.session_id]}
        for item in largest
        if item.session_id in sizes
    ]


@program.command()
@click.argument("path", default="replaykit-demo.mv")
@ends
def demo(path: str) -> None:
    """
    Record a real session without a key or a network, and show it.

    The docstrings of Python's standard library go into a memory at PATH; then
    a session of finds and asks is recorded there. Run it again for another
    session.
    """
    from replaykit.cli.demo import run_demo

    run_demo(path)
