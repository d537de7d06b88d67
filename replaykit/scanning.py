"""Finds secrets in recordings that were made without redaction, or by an older release's rules."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any
from uuid import UUID

import attrs

from replaykit.format.entries import Gap
from replaykit.format.values import pack, unpack
from replaykit.loading import Recording
from replaykit.model import ReplayAction
from replaykit.protocols import Advance
from replaykit.redactors import Redactor, make_redactor
from replaykit.storage.compaction import silent

__all__ = ["Finding", "SecretSearch", "scan"]

_SHOWS_NOTHING = frozenset({"key", "pair", "url", "basic", "bearer", "pem", "deep", "email", "phone", "card", "iban"})
"""Rules whose secrets may be short or a person's: not even their ends are shown."""

_SHOWN, _SHORTEST_SHOWN = 4, 24


@attrs.frozen(kw_only=True)
class Finding:
    """
    Where a secret stands; never what it is.

    ``action`` and ``kind`` are None for the session's own name and metadata.
    ``ends`` are the first and last four characters of a long key, else empty;
    ``length`` is in bytes of UTF-8, None for what is no text.
    """

    session_id: UUID
    action: int | None
    kind: str | None
    field: str
    rule: str
    ends: str
    length: int | None


def scan(
    recording: Recording, rules: tuple[str, ...] = ("secrets",), *, progress: Advance = silent
) -> Iterator[Finding]:
    """
    Yield what *rules* would redact in the sessions of *recording*, session by session, in order.

    Raises:
        RedactionError: There is no such rule set.
        StorageError: Something cannot be read.
    """
    redactor = make_redactor(rules)
    redactor.prepare()
    summaries = recording.list_sessions()
    total, done = sum(item.action_count for item in summaries), 0
    for summary in summaries:
        session = recording.get_session(summary.session_id)
        search = SecretSearch(redactor, session.session_id)
        yield from search.session(session.name, session.metadata)
        for gap in recording.gaps(summary.session_id):
            yield from search.gap(gap)
        for action in session.actions:
            yield from search.action(action)
            done += 1
            progress(done, total)


class SecretSearch:
    """Looks through one session for what *redactor* would still hide."""

    def __init__(self, redactor: Redactor, session_id: UUID) -> None:
        self._found: list[tuple[str, Any]] = []
        self._redactor = redactor.with_own_counts(lambda rule, secret: self._found.append((rule, secret)))
        self._session_id = session_id
        self._seen: set[bytes] = set()

    def session(self, name: str | None, metadata: Mapping[str, Any]) -> Iterator[Finding]:
        """Yield what stands in the session's name and metadata."""
        yield from self._in_field(None, "name", name)
        yield from self.entries(None, "metadata", metadata)

    def action(self, action: ReplayAction) -> Iterator[Finding]:
        """Yield what stands in one action."""
        yield from self._in_field(action, "name", action.name)
        yield from self.entries(action, "arguments", action.arguments)
        yield from self._in_field(action, "output", action.output)
        if action.error is not None:
            yield from self._in_field(action, "error", attrs.asdict(action.error, recurse=False))
        yield from self._in_field(action, "frames", [frame for frame in action.affected_frames if type(frame) is str])
        # These repeat the others, unless nothing else was kept.
        known = set(self._seen)
        for field, value in (
            ("type", attrs.asdict(action.action_type, recurse=False)),
            ("input preview", action.input_preview if not action.arguments else ""),
            ("output preview", action.output_preview if action.output is None else ""),
        ):
            yield from self._in_field(action, field, value, known)
        self._seen.clear()

    def gap(self, gap: Gap) -> Iterator[Finding]:
        """Yield what stands in the damaged bytes that were kept of a live log."""
        yield from self._in_field(None, f"damaged bytes at {gap.offset}", gap.data)

    def entries(self, action: ReplayAction | None, field: str, entries: Mapping[str, Any]) -> Iterator[Finding]:
        """Yield what stands in *entries* of *action*, or of the session; each is called *field* with its key."""
        for key, value in entries.items():
            named = f"{field}.{self._shown(key)}"
            yield from self._in_field(action, named, {key: value})

    def _shown(self, key: str) -> str:
        shown = self._redactor.clean_text(key)
        self._found.clear()
        return shown

    def _in_field(
        self, action: ReplayAction | None, field: str, value: Any, known: Container[Any] = ()
    ) -> Iterator[Finding]:
        packed = pack(value)
        if not self._redactor.is_suspect(packed):
            return
        self._redactor.clean_value(unpack(packed))
        found, self._found[:] = list(self._found), []
        for rule, secret in found:
            data = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
            if isinstance(data, bytes):
                if data in known:
                    continue
                self._seen.add(data)
            yield Finding(
                session_id=self._session_id,
                action=None if action is None else action.sequence,
                kind=None if action is None else action.kind,
                field=field,
                rule=rule,
                ends=_ends_of(rule, data),
                length=len(data) if isinstance(data, bytes) else None,
            )


def _ends_of(rule: str, secret: Any) -> str:
    if rule in _SHOWS_NOTHING or not isinstance(secret, bytes) or len(secret) < _SHORTEST_SHOWN:
        return ""
    text = secret.decode("utf-8", "replace")
    return f"{text[:_SHOWN]}...{text[-_SHOWN:]}"
