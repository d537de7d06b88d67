"""
How BERT (uncased) cuts a text into pieces of words, and which numbers these have.

Lower case, without accents, at blanks and punctuation and around each Chinese
character; then each word into the longest pieces that the vocabulary has.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import unicodedata
from collections.abc import Iterator, Mapping

from replaykit.errors import DamagedError

__all__ = ["END", "PADDING", "START", "load_vocabulary", "piece_ids"]

PADDING, UNKNOWN, START, END = 0, 100, 101, 102
"""The numbers of BERT's special pieces."""

_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_MAX_WORD_CHARS = 100
_CHARS_PER_PIECE = 24
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def load_vocabulary() -> dict[str, int]:
    """
    Return the number of each piece.

    Raises:
        DamagedError: The file is not the one that belongs here.
    """
    file = importlib.resources.files("replaykit.memory") / "vocabulary" / "bert-uncased.txt"
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise DamagedError(file, 0, "this is not BERT's vocabulary: install replaykit-memory again")
    return {piece: number for number, piece in enumerate(data.decode().split("\n")) if piece}


def piece_ids(text: str, vocabulary: Mapping[str, int], limit: int) -> list[int]:
    """Return the first *limit* numbers of the pieces of *text*, those of its start and end included."""
    ids = [START]
    # What lies far behind the limit need not be looked at.
    for word in _words(text[: limit * _CHARS_PER_PIECE * 4]):
        ids += _pieces(word, vocabulary)
        if len(ids) >= limit - 1:
            break
    return [*ids[: limit - 1], END]


def _pieces(word: str, vocabulary: Mapping[str, int]) -> list[int]:
    if len(word) > _MAX_WORD_CHARS:
        return [UNKNOWN]
    ids: list[int] = []
    begin = 0
    while begin < len(word):
        prefix = "##" if begin else ""
        ends = range(len(word), begin, -1)
        end = next((end for end in ends if prefix + word[begin:end] in vocabulary), None)
        if end is None:
            return [UNKNOWN]
        ids.append(vocabulary[prefix + word[begin:end]])
        begin = end
    return ids


def _words(text: str) -> Iterator[str]:
    cleaned = "".join(_cleaned(char) for char in text)
    for word in _without_accents(cleaned.lower()).split():
        yield from _at_punctuation(word)


def _cleaned(char: str) -> str:
    if char in "\t\n\r":
        return " "
    if char in "\x00\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if unicodedata.category(char) == "Zs":
        return " "
    return f" {char} " if _is_chinese(ord(char)) else char


def _is_chinese(code: int) -> bool:
    return any(first <= code <= last for first, last in _CHINESE)


def _without_accents(text: str) -> str:
    return (
        text
        if text.isascii()
        else "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")
    )


def _at_punctuation(word: str) -> Iterator[str]:
    begin = 0
    for at, char in enumerate(word):
        if _is_punctuation(char):
            if begin < at:
                yield word[begin:at]
            yield char
            begin = at + 1
    if begin < len(word):
        yield word[begin:]


def _is_punctuation(char: str) -> bool:
    # To BERT every ASCII symbol is punctuation, "$" and "+" too.
    return (char.isascii() and not char.isalnum()) or unicodedata.category(char)[0] == "P"
