"""The command line: parse, call the library, show, exit."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run ``replaykit``; exits 0 ok, 1 divergence or failed check, 2 usage, 3 unreadable."""
    from replaykit.cli.commands import program

    program()
