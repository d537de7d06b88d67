"""Branches of a memory: the verb ``fork``, and what ``info`` says of where a memory comes from."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from replaykit.cli.words import as_json_option, ends
from replaykit.errors import CheckpointNotFoundError, NotAStoreError, StoreNotFoundError

if TYPE_CHECKING:
    from rich.console import Console

    from replaykit.memory.memory import Memory
    from replaykit.memory.vectors import VectorStatus

__all__ = ["fork", "memory_in", "show_memory"]


@click.command()
@click.argument("memory")
@click.argument("new")
@click.option("--at", "moment", help="A generation, an ISO time, or with --session the number of a checkpoint.")
@click.option("--session", "which", help="The session whose checkpoint is meant: an id, a name, last.")
@as_json_option
@ends
def fork(memory: str, new: str, moment: str | None, which: str | None, as_json: bool) -> None:
    """
    Make a branch of a memory in a new file, as it is or as it was.

    NEW has the frames and their history, not the sessions, and the two know
    each other (replaykit info). Nothing is overwritten.
    """
    from replaykit.memory.memory import open_memory

    _demand_memory(memory)
    # What cannot be written cannot note its fork, but it can be forked.
    with open_memory(memory, create=False, read_only=not os.access(memory, os.W_OK)) as parent:
        then = {} if moment is None and which is None else _meant(parent, moment, which)
        with parent.fork(new, **then) as branch:
            facts = {"path": new, "frames": len(branch), "generation": branch.generation, "lineage": branch.lineage}
    if as_json:
        from replaykit.cli.as_json import dump

        click.echo(dump(facts))
        return
    from replaykit.cli.render import console

    _show_fork(console(), memory, facts)


def _demand_memory(path: str) -> None:
    """
    Return if there is a memory at *path*: to open an empty file for writing makes one of it.

    Raises:
        StorageError: There is nothing, or something else.
    """
    from replaykit.loading import load
    from replaykit.memory.checking import check_frames
    from replaykit.storage.opening import kind_of

    if not os.path.lexists(path):
        raise StoreNotFoundError(path)
    load(path).close()
    if kind_of(path) != "database" or check_frames(path, depth="bytes") is None:
        raise NotAStoreError(path, "it holds no memory")


def _meant(memory: Memory, moment: str | None, which: str | None) -> dict[str, Any]:
    """Return what the options mean, as keywords of a fork."""
    if moment is None:
        raise click.UsageError("--session needs --at N, the number of a checkpoint of that session")
    if which is not None:
        return {"at": _checkpoint(memory, moment, which)}
    if moment.isascii() and moment.isdigit():
        return {"generation": int(moment)}
    try:
        return {"at": datetime.fromisoformat(moment)}
    except ValueError as error:
        raise click.UsageError(
            f"--at {moment!r} is neither a generation nor a time such as 2026-01-31T12:00"
        ) from error


def _checkpoint(memory: Memory, number: str, which: str) -> Any:
    for checkpoint in memory.get_session(which).checkpoints:
        if str(checkpoint.id) == number:
            return checkpoint
    raise CheckpointNotFoundError(number)


def memory_in(location: str) -> dict[str, Any] | None:
    """Return what the memory in the store at *location* holds and where it comes from; None where there is none."""
    from replaykit.memory.engine import Engine

    if not os.path.isfile(location):
        return None
    try:
        with Engine(location, create=False, read_only=True) as engine:
            vectors = engine.vector_status()
            held = {"frames": len(engine), "generation": engine.generation, "vectors": vectors}
            return {"memory": held, "lineage": engine.lineage}
    except NotAStoreError:
        return None


def _show_fork(out: Console, memory: str, facts: dict[str, Any]) -> None:
    from replaykit.plain_text import counted, printable

    frames = counted(facts["frames"], "frame")
    said = f"{facts['path']}: {frames}, forked from {memory} at generation {facts['generation']}"
    out.print(printable(said, keep_lines=False), soft_wrap=True)


def show_memory(out: Console, facts: dict[str, Any]) -> None:
    """Print what a memory holds, which one it is, where it comes from, and its forks, a line each."""
    from rich.text import Text

    from replaykit.plain_text import printable

    held, lineage = facts["memory"], facts["lineage"]
    rows = [
        ("frames", f"{held['frames']:,} at generation {held['generation']:,}"),
        ("vectors", _vectors_line(held["vectors"])),
        ("memory", str(lineage.memory_id)),
    ]
    if lineage.parent_id is not None:
        at = f"generation {lineage.forked_at} of {lineage.parent_path} ({lineage.parent_id})"
        rows.append(("forked from", at))
    for number, known in enumerate(lineage.forks):
        rows.append(("" if number else "forks", f"{known.path} at generation {known.forked_at} ({known.memory_id})"))
    for label, value in rows:
        out.print(Text.assemble((f"{label:<16}", "dim"), printable(value, keep_lines=False)), soft_wrap=True)


def _vectors_line(vectors: VectorStatus) -> str:
    if vectors.embedder is None:
        return "none"
    lacking = f", {vectors.lacking:,} lacking: mv.reembed()" if vectors.lacking else ""
    return f"{vectors.stored:,} of {vectors.embedder}, {vectors.dimension} numbers each{lacking}"
