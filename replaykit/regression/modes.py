"""What a test does with its recording: VCR's record modes under VCR's names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from replaykit.errors import UsageError

__all__ = ["Mode", "chosen_mode", "default_mode", "is_ci"]

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
