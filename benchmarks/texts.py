"""
The texts and queries of ``memory.py``: the same ones in every run of one Python.

A text is a piece of a docstring of Python's standard library with a tail of
coined words, about 300 characters in all.  The docstrings come again and
again, each time with another tail.  Coined words are drawn as words of a
language are (Zipf): the one of rank r comes 1/r as often as the first, so
there are always words that only a few texts have.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

import attrs

from replaykit.cli.demo import docstrings, sources

PIECE_CHARS = 220
TAIL_WORDS = 11
COINED_RANKS = 300_000
QUERIES_PER_CLASS = 50

_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_WORD = re.compile("[a-z]{3,}")


@cache
def pieces() -> tuple[str, ...]:
    """Return the docstrings of the standard library, cut between words."""
    found: list[str] = []
    for path in sources():
        for frame in docstrings(path):
            found.extend(_cut(" ".join(frame["content"].split())))
    return tuple(found)


def _cut(text: str) -> Iterator[str]:
    while len(text) >= PIECE_CHARS // 2:
        at = text.rfind(" ", 0, PIECE_CHARS) if len(text) > PIECE_CHARS else len(text)
        at = at if at > 0 else PIECE_CHARS
        yield text[:at]
        text = text[at:].lstrip()


def coined(rank: int) -> str:
    """Return the coined word of a rank: three syllables or more, another one for each rank."""
    syllables = []
    # From 70 * 70 on, so that each has three syllables.
    rest = rank + len(_SYLLABLES) ** 2
    while rest:
        rest, place = divmod(rest, len(_SYLLABLES))
        syllables.append(_SYLLABLES[place])
    return "".join(syllables)


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    words = [coined(rank) for rank in range(COINED_RANKS)]
    return words, list(itertools.accumulate(1 / (rank + 1) for rank in range(COINED_RANKS)))


def texts(count: int) -> Iterator[str]:
    """Yield the first *count* texts."""
    random = Random(1)
    docs = pieces()
    words, weights = _vocabulary()
    for number in range(count):
        if number % len(docs) == 0:
            order = random.sample(range(len(docs)), len(docs))
        tail = random.choices(words, cum_weights=weights, k=TAIL_WORDS)
        yield f"{docs[order[number % len(docs)]]} {' '.join(tail)}"


# -- queries ------------------------------------------------------------------------


@attrs.frozen
class Band:
    """Words that so large a share of the texts have."""

    least: float
    most: float


BANDS = {"rare": Band(0, 0.0005), "middle": Band(0.001, 0.01), "common": Band(0.05, 1)}

QUERY_CLASSES = {
    "rare words": ("rare", "rare", "rare", "rare"),
    "middle words": ("middle", "middle", "middle", "middle"),
    "one of each": ("rare", "middle", "common", "middle"),
    "all common words": ("common", "common", "common", "common"),
}
"""The bands that the words of a query come from: the first two, three or four of them."""


def queries(sample: Sequence[str], count: int = QUERIES_PER_CLASS) -> dict[str, list[str]]:
    """Return *count* queries of 2 to 4 words of each class; how common a word is, *sample* says."""
    random = Random(2)
    banded = _banded(sample)
    return {
        name: [" ".join(_drawn(random, banded, bands[: 2 + number % 3])) for number in range(count)]
        for name, bands in QUERY_CLASSES.items()
    }


def _banded(sample: Sequence[str]) -> dict[str, list[str]]:
    counted = Counter(itertools.chain.from_iterable(set(_WORD.findall(text.lower())) for text in sample))
    least = 2 if len(sample) > 1_000 else 1
    return {
        name: sorted(
            word
            for word, count in counted.items()
            if count >= least and band.least <= count / len(sample) <= max(band.most, least / len(sample))
        )
        for name, band in BANDS.items()
    }


def _drawn(random: Random, banded: dict[str, list[str]], bands: Sequence[str]) -> list[str]:
    words: list[str] = []
    for band in bands:
        words.append(random.choice([word for word in banded[band] if word not in words]))
    return words
