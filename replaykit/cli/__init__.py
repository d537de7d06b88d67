"""The command line: parse, call the library, show, exit."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run ``replaykit``; exits 0 ok, 1 divergence or failed check, 2 usage, 3 unreadable, 130 interrupted."""
    try:
        _prepare_output()
        from replaykit.cli.commands import program

        program()
    except KeyboardInterrupt:
        # Before a verb began, which says so itself.
        print("replaykit: interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _prepare_output() -> None:
    """Let everything be printed: in any encoding, and where the output was closed."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it lasts as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it lasts as long as the process
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # What a stream cannot say is shown as an escape.
            reconfigure(errors="backslashreplace")
