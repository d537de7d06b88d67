"""A group of commands of which only the one that is asked for is loaded."""

from __future__ import annotations

import importlib
from typing import Any

import click

__all__ = ["Verbs"]


class Verbs(click.Group):
    """
    A `click.Group` of its own commands and of those *elsewhere*.

    *elsewhere* says where in this package each of them is, by its name:
    ``module`` if it has the same name there, else ``module:name``.
    """

    def __init__(self, *args: Any, elsewhere: dict[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands; none is loaded for it."""
        return sorted({*super().list_commands(ctx), *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, None where there is none."""
        if cmd_name not in self._elsewhere:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._elsewhere[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(f"replaykit.cli.{module}"), name or cmd_name)
        return found
