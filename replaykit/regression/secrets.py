"""The last look before a recording of a test is written: it will be pushed where many read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from replaykit.digests import completed
from replaykit.errors import SecretFoundError
from replaykit.format.actions import action_from_entry
from replaykit.format.entries import Entry, Opening
from replaykit.redactors import make_redactor
from replaykit.regression.normalising import KNOWN_KEYS
from replaykit.scanning import Finding, SecretSearch

__all__ = ["demand_no_secret"]


def demand_no_secret(opening: Opening, metadata: Mapping[str, Any], actions: Iterable[Entry]) -> None:
    """
    Return if no secret stands in a session that begins with *opening* and has these *metadata* and *actions*.

    The rules are those for secrets of this release, also where the session
    was recorded with none, and those for a person's data where it was
    recorded with them.

    Raises:
        SecretFoundError: One does; says where the first stands and how many there are.
    """
    findings = list(_findings(opening, metadata, actions))
    if findings:
        first = findings[0]
        raise SecretFoundError(
            action=first.action, kind=first.kind, field=first.field, rule=first.rule, count=len(findings)
        )


def _findings(opening: Opening, metadata: Mapping[str, Any], actions: Iterable[Entry]) -> Iterator[Finding]:
    search = SecretSearch(make_redactor(_rules(opening.redaction)), opening.session_id)
    yield from search.session(opening.name, metadata)
    for entry in actions:
        action = action_from_entry(completed(entry))
        yield from search.action(action)
        yield from search.entries(action, "entry", {key: entry[key] for key in entry if key not in KNOWN_KEYS})


def _rules(redaction: str) -> tuple[str, ...]:
    return ("secrets", "pii") if "pii/" in redaction else ("secrets",)
