"""
Which values called ``token`` are pieces of a model's text, and no secrets; since ``secrets/3``.

They come with what is said of each beside them, and of nothing else: the
logarithm of its probability, or its text beside its number.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

__all__ = ["is_model_token", "is_model_token_in_text", "without_their_names"]

_SAID_BESIDE = frozenset({"logprob", "token_str"})
"""By OpenAI, whose names others have taken over; by the transformers library."""


def is_model_token(names: Collection[object]) -> bool:
    """Return whether a ``token`` among *names*, those of all fields of a map, is a piece of text."""
    return not _SAID_BESIDE.isdisjoint(names)


def without_their_names(tree: Any) -> Any:
    """Return an unpacked tree whose model tokens stand as values without a name; all else is in it as before."""
    if type(tree) is list and tree and type(tree[0]) is not int:
        return [without_their_names(each) for each in tree]
    if type(tree) is not dict:
        return tree
    fields = {name: without_their_names(each) if type(each) is list else each for name, each in tree.items()}
    return [fields.pop("token", None), fields] if is_model_token(fields) else fields


_GAP = rb"(?:\s|\\n){0,64}+"
_TEXT = rb'"(?:[^"\\]|\\.){0,256}+"'
# In JSON that is a text in JSON.
_ESCAPED_TEXT = rb'\\"(?:[^"\\]|\\\\(?:\\["\\]|[^"\\])){0,256}+\\"'
_VALUE = (
    rb"(?:" + _TEXT + rb"|" + _ESCAPED_TEXT + rb"|[0-9.eE+-]{1,32}+|null|true|false"
    rb"|\[(?:[0-9,\s]|\\n){0,256}+\])"
)
_NAME = rb'\\?"(\w{1,32}+)\\?"' + _GAP + rb":" + _GAP
_FIRST = re.compile(_VALUE)
_NEXT = re.compile(_GAP + rb"," + _GAP + _NAME + rb"(" + _VALUE + rb")?+")
_BEFORE = re.compile(rb"(?:" + _NAME + _VALUE + _GAP + rb"," + _GAP + rb'){1,4}\\?"\Z')
_NAMES = re.compile(_NAME)
_REACH_BYTES = 256
_MOST_NEXT = 4
"""What stands farther off is not looked for, so that all names take time linear in the text."""


def is_model_token_in_text(data: bytes, match: re.Match[bytes]) -> bool:
    """Return whether *match* is the name of such a token in JSON; what is said of it stands right beside it."""
    at = match.start()
    if match["name"] != b"token" or data[at - 1 : at] != b'"' or not match["quote"].endswith(b'"'):
        return False
    head = data[max(0, at - _REACH_BYTES) : at]
    before = _BEFORE.search(head) if b"logprob" in head or b"token_str" in head else None
    names = set(_NAMES.findall(before[0])) if before else set()
    value = _FIRST.match(data, match.end())
    end = value.end() if value else None
    for _ in range(_MOST_NEXT):
        if end is None or not (found := _NEXT.match(data, end)):
            break
        names.add(found[1])
        end = found.end() if found[2] else None
    return is_model_token({name.decode() for name in names})
