"""Redaction: what must never reach a recording is replaced before anything is hashed or written."""

from __future__ import annotations

from replaykit.redactors.redactor import Redactor, make_redactor
from replaykit.redactors.versions import redactor_for

__all__ = ["Redactor", "make_redactor", "redactor_for"]
