"""What a replay runs, and what still counts as the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from replaykit.errors import UsageError

__all__ = ["ReplayOptions", "Tolerances", "chosen_options"]


def _names(given: str | Iterable[str]) -> frozenset[str]:
    try:
        return frozenset((given,)) if isinstance(given, str) else frozenset(given)
    except TypeError as error:
        raise UsageError(f"allow={given!r}: give names or kinds of calls") from error


def _one_of(*choices: str) -> Callable[[Any, Any, Any], None]:
    def check(_options: Any, attribute: Any, value: Any) -> None:
        if value not in choices:
            raise UsageError(f"{attribute.name}={value!r}: give one of {', '.join(choices)}")

    return check


def _whole_from(lowest: int) -> Callable[[Any, Any, Any], None]:
    def check(_options: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UsageError(f"{attribute.name}={value!r}: give a whole number of at least {lowest}")

    return check


def _between(low: float, high: float) -> Callable[[Any, Any, Any], None]:
    def check(_options: Any, attribute: Any, value: Any) -> None:
        if not isinstance(value, (int, float)) or not low <= value <= high:
            raise UsageError(f"{attribute.name}={value!r}: give a number from {low:g} to {high:g}")

    return check


def _comparers(_options: Any, _attribute: Any, value: Mapping[str, Any]) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"compare={value!r}: give a dict by kind or name, as in {{'ask': 'frames'}}")
    for name, comparer in value.items():
        if comparer not in ("exact", "frames") and not callable(comparer):
            raise UsageError(f"compare[{name!r}]={comparer!r}: give exact, frames or a callable")


_optional = attrs.validators.optional


@attrs.frozen(kw_only=True)
class Tolerances:
    """
    What still counts as the same.

    Attributes:
        order: ``exact``; ``ties``: hits of equal score may change places;
            ``set``: order does not count.
        score_tolerance: How far a hit's score may be off.
        min_overlap: The share of hits that must be the same; with less than
            1.0, lost and new hits are passed over down to it.
        ids: ``exact``: a frame is told by its id; ``content``: by what it
            holds, as on another memory, where it has another id.
        compare: By kind (``ask``) or by the name of a function: ``exact``,
            ``frames`` (the answer's frames alone) or ``(recorded, seen) -> bool``.

    Raises:
        UsageError: A value is none of those.
    """

    order: str = attrs.field(default="exact", validator=_one_of("exact", "ties", "set"))
    score_tolerance: float = attrs.field(default=0.0, validator=_between(0, math.inf))
    min_overlap: float = attrs.field(default=1.0, validator=_between(0, 1))
    ids: str = attrs.field(default="exact", validator=_one_of("exact", "content"))
    compare: Mapping[str, Any] = attrs.field(factory=dict, validator=_comparers)


@attrs.frozen(kw_only=True)
class ReplayOptions(Tolerances):
    """
    What a replay runs, on what, and how strictly it compares.

    Attributes:
        base: ``now``: each find and ask runs against the memory as it was at
            that action, with every later change laid over it; ``then``: all is
            run again on a fork from the beginning; ``live``: reads run on the
            target as it is.
        from_checkpoint: Start after this checkpoint's action.
        stop_at: The last sequence to look at.
        stop_on_mismatch: End with the first action that differs.
        skip_puts: Pass over puts, updates and deletes; so with *skip_finds* and *skip_asks*.
        dry_run: Run nothing; say what would be run.
        top_k: Ask each find for so many hits.
        search_mode: Search in this mode.
        adaptive: Leave hits out whose score is below *min_relevancy*.
        model: Ask this model; with *provider* ``provider:model``.
        temperature: Ask with this temperature.
        audit_mode: Give each ask the hits that were recorded, not those of now.
        generate_diff: Put a word diff of texts into the results.
        allow: Names or kinds of writes and tools that may run on a live target.
        confirm: A divergence must show in so many runs.

    Raises:
        UsageError: A value is out of its range.
    """

    base: str = attrs.field(default="now", validator=_one_of("now", "then", "live"))
    from_checkpoint: int | None = attrs.field(default=None, validator=_optional(_whole_from(0)))
    stop_at: int | None = attrs.field(default=None, validator=_optional(_whole_from(0)))
    stop_on_mismatch: bool = False
    skip_puts: bool = False
    skip_finds: bool = False
    skip_asks: bool = False
    dry_run: bool = False
    top_k: int | None = attrs.field(default=None, validator=_optional(_whole_from(1)))
    search_mode: str | None = None
    adaptive: bool = False
    min_relevancy: float = attrs.field(default=0.5, validator=_between(-math.inf, math.inf))
    model: Any = None
    provider: str | None = None
    temperature: float | None = attrs.field(default=None, validator=_optional(_between(0, 10)))
    audit_mode: bool = False
    generate_diff: bool = False
    allow: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    confirm: int = attrs.field(default=1, validator=_whole_from(1))


def chosen_options(options: ReplayOptions | None, more: Mapping[str, Any]) -> ReplayOptions:
    """
    Return *options*, or the defaults, with what *more* says otherwise.

    Raises:
        UsageError: They are no options, or one of them is wrong.
    """
    if options is not None and not isinstance(options, ReplayOptions):
        raise UsageError(f"options= takes ReplayOptions, not {type(options).__name__}")
    known = [field.name for field in attrs.fields(ReplayOptions)]
    unknown = next((name for name in more if name not in known), None)
    if unknown is not None:
        raise UsageError(f"unknown option {unknown!r}: give some of {', '.join(sorted(known))}")
    return attrs.evolve(ReplayOptions() if options is None else options, **more)
