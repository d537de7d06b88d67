"""
Answers made of the hits' own sentences: no model, no network, the same each time.

Sentences score by the words of the question in them, rare words first; the
words of a frame's title speak for all its sentences.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from replaykit.memory.asking.models import NOTHING_FOUND, Hits, WholeAnswers
from replaykit.memory.script import words
from replaykit.memory.search import SNIPPET_CHARS, first_occurrence, snippet
from replaykit.model import Answer, Hit

__all__ = ["MODEL", "PROVIDER", "Extractive", "extract"]

PROVIDER = "extractive"
MODEL = "extractive-1"

_MAX_SENTENCES = 3
_READ_CHARS = 100_000
_GOOD_ENOUGH = 0.6

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_STEM_MIN = 3
_SUFFIXES = ("'s", "ing", "ed", "es", "s", "e")

_FILLERS = frozenset(
    """
    a an and are as at be been but by can could did do does for from had has have how i if in into
    is it its me my no not of on or our she he so tell than that the their them then there these
    they this to us was we were what when where which who whom whose why will with would you your
    about
    """.split()  # noqa: SIM905 - a word list reads better as text
)


@attrs.frozen
class _Sentence:
    text: str
    hit: Hit
    terms: frozenset[str]
    order: int


class Extractive(WholeAnswers):
    """The model that is always there: it answers offline, and the same each time."""

    provider = PROVIDER
    name = MODEL

    def answer(self, question: str, hits: Hits) -> Answer:
        """Return the best sentences of *hits*."""
        return extract(question, hits)


def extract(question: str, hits: Sequence[Hit]) -> Answer:
    """
    Return the best sentences of *hits* and the ids of the frames that they come from.

    Where no sentence has a word of the question that carries meaning, the
    text is `NOTHING_FOUND` and there are no ids.
    """
    asked = _terms(question)
    chosen = _best(asked, [sentence for sentence in _sentences(hits, asked) if sentence.terms & asked])
    ids = dict.fromkeys(sentence.hit.frame_id for sentence in chosen)
    return Answer(
        text=" ".join(sentence.text for sentence in chosen) or NOTHING_FOUND,
        provider=PROVIDER,
        model=MODEL,
        frame_ids=tuple(ids),
        hits=tuple(hits),
    )


def _best(asked: frozenset[str], sentences: list[_Sentence]) -> list[_Sentence]:
    seen_in = Counter(term for sentence in sentences for term in sentence.terms & asked)
    scored = [(_score(sentence.terms & asked, seen_in, len(sentences)), sentence) for sentence in sentences]
    scored.sort(key=lambda pair: (-pair[0], pair[1].order))
    chosen: dict[str, _Sentence] = {}
    for score, sentence in scored:
        if score < scored[0][0] * _GOOD_ENOUGH or len(chosen) == _MAX_SENTENCES:
            break
        chosen.setdefault(sentence.text, sentence)
    return list(chosen.values())


def _score(shared: frozenset[str], seen_in: Counter[str], total: int) -> float:
    # Added up in a fixed order: sets of texts iterate differently in each
    # process, and floats do not add up the same in any order.
    return math.fsum(math.log(1 + total / seen_in[term]) for term in sorted(shared))


def _sentences(hits: Sequence[Hit], asked: frozenset[str]) -> Iterator[_Sentence]:
    order = 0
    for hit in hits:
        title = _terms(hit.title or "")
        for text in _split(_relevant_part(hit.text, asked), asked):
            yield _Sentence(text, hit, _terms(text) | title, order)
            order += 1


def _relevant_part(text: str, asked: frozenset[str]) -> str:
    if len(text) <= _READ_CHARS:
        return text
    begin = max(0, first_occurrence(text, sorted(asked)) - _READ_CHARS // 2)
    return text[begin : begin + _READ_CHARS]


def _split(text: str, asked: frozenset[str]) -> Iterator[str]:
    for part in _SENTENCE_END.split(text):
        sentence = part.strip() if part else ""
        if len(sentence) > SNIPPET_CHARS * 2:
            sentence = snippet(sentence, sorted(asked))
        if sentence:
            yield sentence


def _terms(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in words(text) if word not in _FILLERS)


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _STEM_MIN:
            return word[: -len(suffix)]
    return word
