"""What a test does with its recording: VCR's record modes under VCR's names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast, get_args

import attrs

from replaykit.errors import UsageError

__all__ = ["Mode", "Said", "chosen_mode", "default_mode", "is_ci", "said_for_all", "saying"]

Mode = Literal["once", "new_episodes", "none", "all", "rewrite", "off"]
"""
``once``: record where there is no recording, else play it, and a new call is an error.
``new_episodes``: play what is recorded, run and record what is not.
``none``: play; a call that is not recorded is an error, and nothing is written.
``all``: run everything; what runs takes the place of its old recording, the rest stays.
``rewrite``: run everything and record it from scratch; a file that is named is mended, else as with ``all``.
``off``: run everything, record nothing.
"""

_FALSE = frozenset({"", "0", "false", "no", "off"})


def is_ci(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether ``CI`` says that this is a build server; ``CI=false`` says that it is not."""
    return (environment or os.environ).get("CI", "").strip().lower() not in _FALSE


def default_mode() -> Mode:
    """Return what holds where nothing is said: ``none`` on a build server, else ``once``."""
    return "none" if is_ci() else "once"


def chosen_mode(*asked: Any) -> Mode:
    """
    Return the first of *asked* that says something, else the default; ``REPLAYKIT_MODE`` is one of those to give.

    Raises:
        UsageError: It is no mode.
    """
    said = next((each for each in asked if each), None)
    if said is None:
        return default_mode()
    if said not in get_args(Mode):
        raise UsageError(f"{said!r} is no record mode: give one of {', '.join(get_args(Mode))}")
    return cast(Mode, said)


# -- what a run says of all ---------------------------------------------------------


@attrs.frozen(kw_only=True)
class Said:
    """
    What a run of tests says of the recordings that its tests open themselves.

    Attributes:
        mode: Wins over the environment and over what was given; empty where nothing was said.
        default: Holds where nothing else is said.
        proposes: Everything runs, and what differs is put beside the recordings.
        switch: How a person changes the mode.
    """

    mode: str = ""
    default: str = ""
    proposes: bool = False
    switch: str = "REPLAYKIT_MODE="

    def mode_of(self, given: Mode | None) -> Mode:
        """
        Return the mode of a recording that is opened with the mode *given*.

        Raises:
            UsageError: One of those that count is no mode.
        """
        return chosen_mode(self.mode, os.environ.get("REPLAYKIT_MODE"), given, self.default)


class _Process:
    """What holds in this process: a block is opened by code that knows nothing of the run that it is in."""

    said = Said()


def said_for_all() -> Said:
    """Return what the run says that this process is in."""
    return _Process.said


@contextmanager
def saying(said: Said) -> Iterator[None]:
    """Have *said* hold in this process meanwhile."""
    before, _Process.said = _Process.said, said
    try:
        yield
    finally:
        _Process.said = before
