"""``replaykit.compare_variants``: one session under several models, k, modes or embedders, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from replaykit.errors import ReplaykitError, UsageError
from replaykit.model import (
    Answer,
    ComparisonReport,
    ComparisonSummary,
    ModelResult,
    ReplayAction,
    ReplayOptions,
    ReplaySession,
)
from replaykit.model.options import chosen_options
from replaykit.playback.hits import hits_of
from replaykit.playback.outcomes import Outcome, fingerprint
from replaykit.replaying import demand_target, replay

__all__ = ["compare_models", "compare_variants"]

_VARIED = frozenset({"model", "provider", "temperature", "top_k", "search_mode", "target"})


def compare_models(
    session: ReplaySession,
    target: Any,
    models: Sequence[Any],
    *,
    frozen: bool = False,
    workers: int = 4,
    prices: Mapping[str, tuple[float, float]] | None = None,
    options: ReplayOptions | None = None,
    **more: Any,
) -> ComparisonReport:
    """
    Ask a session's questions of several *models*; see `compare_variants`.

    Raises:
        UsageError: There are no models, or two of one name.
    """
    if isinstance(models, str):
        raise UsageError(f"models={models!r}: give a list of them")
    names = [model if isinstance(model, str) else getattr(model, "__name__", repr(model)) for model in models]
    if len(set(names)) != len(names):
        raise UsageError(f"two models have one name: {', '.join(names)}. Give compare_variants a name for each")
    variants = {name: {"model": model} for name, model in zip(names, models, strict=True)}
    return compare_variants(
        session, target, variants, frozen=frozen, workers=workers, prices=prices, options=options, **more
    )


def compare_variants(
    session: ReplaySession,
    target: Any,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    frozen: bool = False,
    workers: int = 4,
    prices: Mapping[str, tuple[float, float]] | None = None,
    options: ReplayOptions | None = None,
    **more: Any,
) -> ComparisonReport:
    """
    Run a session's finds and asks under several *variants* and hold them against each other.

    A variant names what it changes: ``model``, ``provider``, ``temperature``,
    ``top_k``, ``search_mode``, or ``target`` for a memory of its own (another
    embedder).  *frozen* gives each ask the hits that were recorded.  *workers*
    variants run at a time, in threads, also inside a running event loop.
    *prices* has by variant what a million prompt and completion tokens cost.
    *options* and the keywords of `ReplayOptions` hold for all variants.  Nothing is
    recorded or written.

    Raises:
        UsageError: There are no variants, or one of them changes something else.
    """
    if not isinstance(session, ReplaySession):
        raise UsageError(f"a session is compared, not a {type(session).__name__}: get_session() gives one")
    _demand_variants(variants, workers)
    base = chosen_options(options, {"audit_mode": frozen, **more})
    runs = [_Variant(name, dict(changes), session, target, base) for name, changes in variants.items()]
    with ThreadPoolExecutor(min(workers, len(runs)), thread_name_prefix="replaykit-variant") as threads:
        results = list(threads.map(_Variant.run, runs))
    priced = [_priced(result, (prices or {}).get(result.model)) for result in results]
    return ComparisonReport(
        session_id=session.session_id,
        models={result.model: result for result in priced},
        summary=_summary([run.essences for run in runs if run.ran]),
    )


def _demand_variants(variants: Mapping[str, Mapping[str, Any]], workers: int) -> None:
    if not variants:
        raise UsageError("there is nothing to compare: give at least one variant")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"workers={workers!r}: give a whole number of at least 1")
    if not isinstance(variants, Mapping) or not all(isinstance(changes, Mapping) for changes in variants.values()):
        raise UsageError("variants= takes a dict of dicts, as in {'k=3': {'top_k': 3}}")
    for name, changes in variants.items():
        unknown = sorted(set(changes) - _VARIED)
        if unknown:
            raise UsageError(f"variant {name!r} changes {unknown[0]!r}; it may change {', '.join(sorted(_VARIED))}")


class _Variant:
    """One run, and what came of each find and ask in it."""

    def __init__(
        self, name: str, changes: dict[str, Any], session: ReplaySession, target: Any, options: ReplayOptions
    ) -> None:
        self._name = name
        self._session = session
        self._target = changes.pop("target", target)
        self._options = attrs.evolve(options, **changes)
        self._answers: list[Outcome] = []
        self.essences: dict[int, bytes] = {}
        self.ran = False

    def run(self) -> ModelResult:
        try:
            demand_target(self._target, None, self._options)
            result = replay(self._session, self._target, options=self._options, watch=self._watch)
        except ReplaykitError as error:
            # One that cannot run does not keep the others from it.
            return ModelResult(model=self._name, error=str(error))
        self.ran = True
        return ModelResult(
            model=self._name,
            answers=tuple(map(_text, self._answers)),
            matched_actions=result.matched_actions,
            mismatched_actions=result.mismatched_actions,
            errored_actions=result.errored_actions,
            duration_ns=result.duration_ns,
            latencies_ns=tuple(item.duration_ns for item in result.action_results if item.action_type == "ASK"),
            prompt_tokens=_sum(self._answers, "prompt_tokens"),
            completion_tokens=_sum(self._answers, "completion_tokens"),
        )

    def _watch(self, action: ReplayAction, seen: Outcome) -> None:
        if action.kind == "ask":
            self._answers.append(seen)
        if action.kind in ("find", "ask"):
            self.essences[action.sequence] = fingerprint(_essence(action, seen))


def _essence(action: ReplayAction, seen: Outcome) -> Any:
    if seen.error is not None:
        return [seen.error.type, seen.error.message]
    if action.kind == "ask":
        return _text(seen)
    hits = hits_of(seen.value)
    return seen.value if hits is None else [[hit.query, hit.id] for hit in hits]


def _text(seen: Outcome) -> str:
    if seen.error is not None:
        return f"[{seen.error.type}: {seen.error.message}]"
    return seen.value.text if isinstance(seen.value, Answer) else str(seen.value)


def _sum(answers: Sequence[Outcome], name: str) -> int | None:
    known = [getattr(seen.value, name) for seen in answers if getattr(seen.value, name, None) is not None]
    return sum(known) if known else None


def _priced(result: ModelResult, price: tuple[float, float] | None) -> ModelResult:
    if price is None or result.prompt_tokens is None:
        return result
    tokens = (result.prompt_tokens, result.completion_tokens or 0)
    return attrs.evolve(result, cost=sum(count * each / 1_000_000 for count, each in zip(tokens, price, strict=True)))


def _summary(runs: Sequence[Mapping[int, bytes]]) -> ComparisonSummary:
    if not runs:
        return ComparisonSummary()
    shared = sorted(set.intersection(*(set(run) for run in runs)))
    differing = [sequence for sequence in shared if len({run[sequence] for run in runs}) > 1]
    return ComparisonSummary(
        total_actions=len(shared),
        unanimous_actions=len(shared) - len(differing),
        divergent_actions=len(differing),
        first_divergence=differing[0] if differing else None,
    )
