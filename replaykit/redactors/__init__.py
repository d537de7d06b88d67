"""Redaction: what must never reach a recording is replaced before anything is hashed or written."""

from __future__ import annotations

from replaykit.redactors.patterns import Pattern, pattern
from replaykit.redactors.redactor import Custom, Redactor, make_redactor
from replaykit.redactors.versions import redactor_for, rule_sets_of

__all__ = ["Custom", "Pattern", "Redactor", "make_redactor", "pattern", "redactor_for", "rule_sets_of"]
