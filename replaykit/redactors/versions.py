"""From the rule sets that a session states back to a redactor: how play matches what was redacted."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from replaykit.errors import RedactionError
from replaykit.redactors.redactor import Custom, Redactor
from replaykit.redactors.rules import RULES_OF

__all__ = ["redactor_for", "rule_sets_of"]


def redactor_for(version: str, own: Iterable[Custom] = ()) -> Redactor:
    """
    Return the redactor with the rule sets of *version*, as a session states it.

    The caller's own redactors have names there and no code: *own* are those
    to run as well.

    Raises:
        RedactionError: A newer release redacted by rules that are unknown here.
    """
    stated = [name for name in version.split("+") if name not in ("", "none")]
    newer = [name for name in stated if "/" in name and name not in RULES_OF]
    if newer:
        raise RedactionError(
            f"the session was redacted by {newer[0]}, this release knows {', '.join(RULES_OF)}. "
            "Upgrade: pip install -U replaykit-memory"
        )
    known = tuple(name for name in stated if name in RULES_OF)
    custom = tuple(own)
    return Redactor(known, custom=custom) if custom else _without_own(known)


def rule_sets_of(version: str) -> list[str]:
    """Return the names of the rule sets of *version*, as ``redact=`` takes them."""
    return [name.partition("/")[0] for name in version.split("+") if name in RULES_OF]


@functools.cache
def _without_own(versions: tuple[str, ...]) -> Redactor:
    """Return the redactor of *versions*, one for all plays: what it has learnt of names serves the next."""
    return Redactor(versions)
