"""The verb ``info``: what a store holds, how large it is and whether it is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from replaykit._version import __version__
from replaykit.cli.branching import memory_in, show_memory
from replaykit.cli.words import as_json_option, ends
from replaykit.model import Diagnosis, SessionSummary, uncovered_in
from replaykit.settings import default_store

if TYPE_CHECKING:
    from replaykit.reading import SessionReader

__all__ = ["info"]


@click.command()
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
