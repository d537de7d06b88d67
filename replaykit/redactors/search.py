"""Where the secrets in one text are: the rules' exact patterns, run only around the scanner's candidates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from replaykit.redactors.rule import Rule
from replaykit.redactors.scanner import Scanner

__all__ = ["PLACEHOLDERS", "placeholder", "secret_spans", "windows_around"]

PLACEHOLDERS = re.compile(rb"(?:\[redacted:[a-z]+\])+")
"""What was redacted before."""


def placeholder(rule: str) -> str:
    """Return what stands for a secret that *rule* found."""
    return f"[redacted:{rule}]"


def secret_spans(scanner: Scanner, data: bytes) -> list[tuple[int, int, str]]:
    """Return what to hide in *data*, one text: ascending, apart, each with the name of its rule."""
    rules, hits = scanner.rules, scanner.hits(data)
    found: list[tuple[int, int, int]] = []
    if hits is None:
        for number, rule in enumerate(rules):
            found += [(*span, number) for span in _located(rule, data, ((0, len(data)),))]
    else:
        for number, ends in hits.items():
            if number < len(rules):
                windows = windows_around(ends, rules[number].reach, len(data))
                found += [(*span, number) for span in _located(rules[number], data, windows)]
    return _joined(data, found, rules) if found else []


def _located(rule: Rule, data: bytes, windows: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Yield what *rule* hides of the shapes that begin in *windows*; a shape may reach beyond its window."""
    done, exact = 0, rule.decider
    search = exact.search if rule.beginner is None else _search_of(rule.beginner, exact, data.lower())
    for low, high in windows:
        at = max(low, done)
        while at < high and (begun := search(data, at, high)):
            match = exact.match(data, begun.start()) or begun
            span = rule.locate(data, match)
            at = done = max(match.end(), span[1] if span else 0, at + 1)
            if span:
                yield span


def _search_of(beginner: re.Pattern[bytes], exact: re.Pattern[bytes], lowered: bytes) -> _Search:
    """Return what finds the same as a search of *exact*, in the text that is *lowered*, only where *beginner* does."""

    def search(data: bytes, at: int, high: int) -> re.Match[bytes] | None:
        while begun := beginner.search(lowered, at, high):
            if match := exact.match(data, begun.start(), high):
                return match
            at = begun.start() + 1
        return None

    return search


_Search = Callable[[bytes, int, int], "re.Match[bytes] | None"]


def windows_around(ends: list[int], reach: int, size: int) -> list[tuple[int, int]]:
    """Return the neighbourhoods of all candidates, those that touch joined: no byte is searched twice."""
    if not ends:
        return []
    ends = sorted(ends)
    windows: list[tuple[int, int]] = []
    first = last = ends[0]
    for end in ends:
        if end - last > 2 * reach:
            windows.append((max(0, first - reach), min(size, last + reach)))
            first = end
        last = end
    windows.append((max(0, first - reach), min(size, last + reach)))
    return windows


def _joined(data: bytes, found: list[tuple[int, int, int]], rules: tuple[Rule, ...]) -> list[tuple[int, int, str]]:
    joined: list[tuple[int, int, int]] = []
    for start, end, number in sorted(found):
        if joined and start < joined[-1][1]:
            before = joined[-1]
            joined[-1] = (before[0], max(before[1], end), min(before[2], number))
        else:
            joined.append((start, end, number))
    return [
        (start, end, rules[number].name)
        for start, end, number in joined
        if start < end and not PLACEHOLDERS.fullmatch(data, start, end)
    ]
