"""``replaykit run``: a program as it is, recorded or played."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from replaykit.cli.words import ends
from replaykit.running.order import Order
from replaykit.settings import absolute_store, default_store

__all__ = ["run"]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--store", metavar="STORE", help="Where to record, or what to play from.")
@click.option("--play", metavar="SESSION", help="Answer its calls from this session of STORE; record nothing.")
@click.option("-m", "module", is_flag=True, help="PROGRAM is a module, as for python -m.")
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@ends
def run(store: str | None, play: str | None, module: bool, program: str, arguments: tuple[str, ...]) -> None:
    """
    Run a Python program and record what it does with its memory; nothing in it has to change.

    As python PROGRAM ARGUMENTS, or python -m PROGRAM: the same output, exit
    code, signals and tracebacks, and nothing else is printed. The libraries
    that have an adapter are recorded in a session named after the program,
    those of its processes in sessions of their own where STORE is a directory.

    Exit codes: those of the program; 2 wrong usage; 3 STORE cannot be used.
    """
    if not module and not os.path.exists(program):
        raise click.UsageError(f"there is no script {program!r}. A module runs with -m: replaykit run -m {program}")
    order = Order(store=absolute_store(store or default_store()), play=play or "", is_module=module)
    stub = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "running", "program.py")
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # what multiprocessing uses
    sys.stdout.flush()
    sys.stderr.flush()
    # In a fresh interpreter the program finds nothing of this one's: no module, no frame, no thread.
    os.execv(sys.executable, [sys.executable, *flags, stub, order.encode(), program, *arguments])  # noqa: S606
