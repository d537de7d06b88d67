"""
How text falls into words, for the index and for queries alike.

Letters and digits make words, everything else parts them.  Scripts that are
written without spaces (Chinese, Japanese, Korean and those of mainland
South-East Asia) are indexed letter by letter and looked up in pairs.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["spaced", "words"]

# Written out, not taken from unicodedata: the index outlives the Python that
# filled it, and removing a frame must cut its text as adding it did.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u3130-\u318f"
    "\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_ONE_UNSPACED = re.compile(f"([{_UNSPACED}])")
_RUNS = re.compile(f"[{_UNSPACED}]+|[^\\s{_UNSPACED}]+")

# SQLite takes characters that are newer than its tables for letters; an emoji
# must not become a part of the word before it.
_SYMBOLS = "\u2000-\u206f\u2190-\u2bff\ufe00-\ufe0f\U0001f000-\U0001fbff\U000e0000-\U000e0fff"
_NO_WORD = re.compile(f"[\x00\ud800-\udfff{_SYMBOLS}]")


def spaced(text: str) -> str:
    """Return *text* for the index: letters of unspaced scripts set apart, no NUL, surrogates or emoji."""
    if text.isascii():
        return text.replace("\x00", " ")
    return _NO_WORD.sub(" ", _ONE_UNSPACED.sub(r" \1 ", text))


def words(text: str) -> tuple[str, ...]:
    """
    Return the distinct words of *text* in lower case, in order of appearance.

    Text in an unspaced script gives each pair of neighbouring letters.
    Empty for a text without letters and digits.
    """
    found: dict[str, None] = {}
    for run in _RUNS.findall("".join(map(_letter_or_space, text.lower()))):
        found.update(dict.fromkeys(_pairs(run) if _ONE_UNSPACED.match(run) else [run]))
    return tuple(found)


def _letter_or_space(char: str) -> str:
    # A vowel sign or an accent belongs to the letter before it.  Private and
    # unassigned characters are letters too, since they are to SQLite.
    category = unicodedata.category(char)
    return char if category[0] in "LNM" or category in ("Co", "Cn") else " "


def _pairs(run: str) -> list[str]:
    letters = [char for char in run if char.isalnum()]
    if len(letters) < 2:
        return ["".join(letters)] if letters else []
    return [first + second for first, second in zip(letters, letters[1:], strict=False)]
