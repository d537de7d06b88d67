"""Where two values differ, for people: words of texts, paths into structures."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import attrs

from replaykit.facts import SELF
from replaykit.format.values import pack
from replaykit.model import Structured
from replaykit.playback.outcomes import are_alike

__all__ = ["Difference", "brief", "call_text", "differences", "member_differences", "short", "word_diff"]

MAX_WORDS = 600
"""Of longer texts only so many words around the first difference are compared."""

_MOST_EQUAL_PAIRS = 20_000
_FEW_WORDS = 100

MAX_COMPARED_BYTES = 256 * 1024
"""Larger structures are said to differ; where is not looked for."""

MAX_SHOWN = 160
_ARGUMENT_WIDTH = 60
_MOST_SETTINGS = 8
_MOST_BITS = 128
_LEAD_WORDS = 20
_WORDS = re.compile(r"\S+\s*|\s+")


@attrs.frozen(kw_only=True)
class Difference:
    """
    One place in which two values differ.

    ``where`` is a path like ``rows[2].score``, empty for the whole;
    ``texts`` are both texts, None where not both are.
    """

    where: str
    recorded: str
    seen: str
    texts: tuple[str, str] | None = attrs.field(default=None, repr=False)


def brief(value: Any) -> str:
    """Return *value* in one short line."""
    shown = value if isinstance(value, str) else repr(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 3]}..."


def short(value: Any) -> str:
    """Return a number or a short text as Python has it, of anything else its type: what is given in a call."""
    # Python refuses to write out a number of thousands of digits.
    is_huge = isinstance(value, int) and value.bit_length() > _MOST_BITS
    if is_huge or not (value is None or isinstance(value, (str, int, float))):
        return f"<{type(value).__name__}>"
    shown = repr(value[:_ARGUMENT_WIDTH] if isinstance(value, str) else value)
    is_whole = len(shown) <= _ARGUMENT_WIDTH and not (isinstance(value, str) and len(value) > _ARGUMENT_WIDTH)
    return shown if is_whole else shown[: _ARGUMENT_WIDTH - 3] + "..."


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a call as one would write it: ``find(query='capital', k=5)``."""
    return f"{name}({', '.join(f'{key}={_given(key, value)}' for key, value in arguments.items())})"


def _given(name: str, value: Any) -> str:
    """Return what stands for an argument: of an object's settings each, which say whose call it is."""
    if name != SELF or not isinstance(value, Mapping):
        return short(value)
    listed = [f"{key!r}: {short(item)}" for key, item in itertools.islice(value.items(), _MOST_SETTINGS)]
    return f"{{{', '.join([*listed, *(['...'] if len(value) > len(listed) else [])])}}}"


# -- texts ------------------------------------------------------------------------


def word_diff(recorded: str, seen: str) -> str:
    """
    Return one text with what went as ``[-words-]`` and what came as ``{+words+}``.

    The marks are those of ``git diff --word-diff``.  Equal stretches of more
    than a few words are cut; so is all that lies further behind the first
    difference than `MAX_WORDS`, or than fewer where the texts repeat the same
    words over and over: to compare those takes long.
    """
    old, new = _WORDS.findall(recorded), _WORDS.findall(seen)
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    begin = max(0, same - _LEAD_WORDS)
    old, new = _comparable(old[begin : begin + MAX_WORDS], new[begin : begin + MAX_WORDS])
    parts = ["... "] if begin else []
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for tag, a_begin, a_end, b_begin, b_end in matcher.get_opcodes():
        if tag == "equal":
            parts.append(_shortened(old[a_begin:a_end]))
        else:
            parts.append(_marked("[-", old[a_begin:a_end], "-]") + _marked("{+", new[b_begin:b_end], "+}"))
    return "".join(parts).strip()


def _comparable(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    counts = Counter(new)
    if sum(counts[word] for word in old) <= _MOST_EQUAL_PAIRS:
        return old, new
    return old[:_FEW_WORDS], new[:_FEW_WORDS]


def _marked(before: str, words: list[str], after: str) -> str:
    text = "".join(words)
    if not text:
        return ""
    return f"{before}{text.rstrip()}{after}{text[len(text.rstrip()) :]}"


def _shortened(words: list[str]) -> str:
    if len(words) <= 2 * _LEAD_WORDS:
        return "".join(words)
    return f"{''.join(words[:_LEAD_WORDS])}... {''.join(words[-_LEAD_WORDS:])}"


# -- structures ---------------------------------------------------------------------


def differences(recorded: Any, seen: Any) -> list[Difference]:
    """Return where two values differ, by path; at most 20 places, and only the whole where they are large."""
    whole = [Difference(where="", recorded=brief(recorded), seen=brief(seen), texts=_texts(recorded, seen))]
    if not (_has_parts(recorded) and _has_parts(seen)):
        return whole
    if len(pack(recorded)) + len(pack(seen)) > MAX_COMPARED_BYTES:
        return whole
    return sorted(_by_path(recorded, seen), key=lambda item: item.where)[:20] or whole


def member_differences(recorded: Mapping[str, Any], seen: Mapping[str, Any]) -> list[Difference]:
    """Return where two maps differ, by path; at most 20 places, and which members it is also where they are large."""
    return list(islice(_by_member(recorded, seen), 20))


def _by_member(recorded: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*recorded, *seen}, key=str):
        was, now = ({name: side[name]} if name in side else {} for side in (recorded, seen))
        if not are_alike(was, now):
            yield from (item if item.where else _of_member(name, was, now) for item in differences(was, now))


def _of_member(name: str, recorded: Mapping[str, Any], seen: Mapping[str, Any]) -> Difference:
    """Return that a member differs in which no place can be named."""
    was, now = (brief(side[name]) if name in side else "nothing" for side in (recorded, seen))
    return Difference(where=_path([name]), recorded=was, seen=now, texts=_texts(recorded.get(name), seen.get(name)))


def _has_parts(value: Any) -> bool:
    return isinstance(value, (dict, list, tuple, Structured)) or attrs.has(type(value))


def _by_path(recorded: Any, seen: Any) -> Iterator[Difference]:
    # Takes a while to import, and is needed only when something differs.
    from deepdiff import DeepDiff

    found = DeepDiff(_opened(recorded), _opened(seen), view="tree", ignore_order=False, max_diffs=100_000)
    for places in found.values():
        for place in places:
            steps = place.path(output_format="list")
            yield Difference(
                where=_path(steps),
                recorded=_shown(place.t1),
                seen=_shown(place.t2),
                texts=_texts(_at(recorded, steps), _at(seen, steps)),
            )


def _texts(recorded: Any, seen: Any) -> tuple[str, str] | None:
    return (recorded, seen) if isinstance(recorded, str) and isinstance(seen, str) else None


def _at(value: Any, steps: Sequence[Any]) -> Any:
    """Return what stands at a path; None where it leads nowhere."""
    for step in steps:
        if isinstance(value, Structured):
            value = value.fields.get(step)
        elif isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, (list, tuple)):
            value = value[step] if step < len(value) else None
        else:
            value = getattr(value, step, None) if attrs.has(type(value)) else None
    return value


def _opened(value: Any) -> Any:
    """
    Return *value* as maps and lists, objects as maps of their fields, and all else as it would be written.

    Written out 1, 1.0 and True differ, and nothing of a foreign class is
    looked into.
    """
    if isinstance(value, Structured):
        return {name: _opened(item) for name, item in value.fields.items()}
    if attrs.has(type(value)):
        return {field.name: _opened(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_opened(item) for item in value]
    return repr(value)


def _path(steps: list[Any]) -> str:
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return shown.removeprefix(".")


def _shown(value: Any) -> str:
    return "nothing" if type(value).__name__ == "NotPresent" else brief(value)
