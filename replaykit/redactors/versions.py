"""From the rule sets that a session states back to a redactor: how play matches what was redacted."""

from __future__ import annotations

from replaykit.errors import RedactionError
from replaykit.redactors.redactor import Redactor, make_redactor
from replaykit.redactors.rules import VERSION

__all__ = ["redactor_for"]

_SETS = {VERSION: "secrets"}


def redactor_for(version: str) -> Redactor:
    """
    Return the redactor with the rule sets of *version*, as a session states it.

    The caller's own redactors have names there and no code: they are left out.

    Raises:
        RedactionError: A newer release redacted by rules that are unknown here.
    """
    stated = [name for name in version.split("+") if name not in ("", "none")]
    newer = [name for name in stated if "/" in name and name not in _SETS]
    if newer:
        raise RedactionError(
            f"the session was redacted by {newer[0]}, this release knows {', '.join(_SETS)}. "
            "Upgrade: pip install -U replaykit-memory"
        )
    return make_redactor(tuple(_SETS[name] for name in stated if name in _SETS))
