"""
The calls that the storage benchmarks record, the same in every run: 30 % put, 45 % find, 15 % ask, 10 % tool.

About 1.3 KB each as JSON.  The text is made of words as frequent as words
are (the n-th one about 1/n), and every fifth text has been there before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any

import attrs

__all__ = ["Action", "Agent", "make_actions"]

_KINDS = {"put": 30, "find": 45, "ask": 15, "tool": 10}
_SYLLABLES = "ka ren to mi sol ver an di ble po ter u lin sta ge or ma que"
_WORDS = 1_500
_REPEATED = 0.2
_REMEMBERED = 2_000
"""A text that is repeated is one of the latest so many."""


@attrs.frozen(kw_only=True)
class Action:
    """One call: what was asked, and what came back."""

    number: int
    kind: str
    arguments: dict[str, Any]
    output: Any

    @property
    def content(self) -> tuple[str, dict[str, Any], Any]:
        """What must be read back, whatever kept it."""
        return self.kind, self.arguments, self.output

    def as_json(self) -> str:
        """Return what a store without a form of its own keeps."""
        return json.dumps(attrs.asdict(self))


class Agent:
    """A memory that costs nothing: it returns the *output* it was given before the call."""

    output: Any = None

    def put(self, content: str, title: str) -> Any:
        return self.output

    def find(self, query: str, k: int) -> Any:
        return self.output

    def ask(self, question: str) -> Any:
        return self.output

    def tool(self, name: str, query: str, limit: int) -> Any:
        return self.output


class _Writer:
    """Writes texts, some of them again."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._syllables = _SYLLABLES.split()
        self._words = sorted({self._word() for _ in range(2 * _WORDS)})[:_WORDS]
        self.random.shuffle(self._words)
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(len(self._words))))
        self._written: dict[int, list[str]] = {}

    def _word(self) -> str:
        return "".join(self.random.choices(self._syllables, k=self.random.randint(1, 3)))

    def text(self, words: int) -> str:
        """Return a text of about so many words."""
        written = self._written.setdefault(words, [])
        if written and self.random.random() < _REPEATED:
            return self.random.choice(written[-_REMEMBERED:])
        count = max(1, words + self.random.randint(-words // 4, words // 4))
        written.append(" ".join(self.random.choices(self._words, cum_weights=self._weights, k=count)) + ".")
        return written[-1]


def make_actions(count: int, *, seed: int = 1) -> Iterator[Action]:
    """Yield *count* actions; a longer run begins with the same ones."""
    writer = _Writer(seed)
    kinds, weights = list(_KINDS), list(accumulate(_KINDS.values()))
    for number in range(count):
        kind = writer.random.choices(kinds, cum_weights=weights)[0]
        arguments, output = _MAKERS[kind](writer, number)
        yield Action(number=number, kind=kind, arguments=arguments, output=output)


def _put(writer: _Writer, number: int) -> tuple[dict[str, Any], Any]:
    return {"content": writer.text(165), "title": writer.text(5)}, number


def _hit(writer: _Writer, number: int) -> dict[str, Any]:
    frame = writer.random.randint(0, max(number, 10))
    score = round(writer.random.random(), 4)
    return {"frame_id": frame, "score": score, "title": writer.text(5), "text": writer.text(22)}


def _find(writer: _Writer, number: int) -> tuple[dict[str, Any], Any]:
    return {"query": writer.text(6), "k": 5}, [_hit(writer, number) for _ in range(5)]


def _ask(writer: _Writer, number: int) -> tuple[dict[str, Any], Any]:
    sources = [writer.random.randint(0, max(number, 10)) for _ in range(3)]
    answer = {"answer": writer.text(155), "model": "extractive", "sources": sources}
    return {"question": writer.text(10)}, answer


def _tool(writer: _Writer, number: int) -> tuple[dict[str, Any], Any]:
    rows = [{"id": number + each, "state": "open", "note": writer.text(13)} for each in range(8)]
    return {"name": "list_tickets", "query": writer.text(6), "limit": 8}, {"rows": rows, "total": number}


_MAKERS = {"put": _put, "find": _find, "ask": _ask, "tool": _tool}
