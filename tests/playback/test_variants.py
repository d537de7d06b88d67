"""One session under several models, k and modes: what each gave, and where they differ."""

from __future__ import annotations

import asyncio

import pytest

import replaykit
from replaykit.errors import UsageError


def first(question, hits):
    return hits[0].text


def longest(question, hits):
    return max((hit.text for hit in hits), key=len)


@pytest.fixture
def mv():
    with replaykit.open(":memory:") as memory:
        with memory.session("run"):
            memory.put_many(["a red fox", "a fox in the snow, which is white", "a dog"])
            memory.find("fox")
            memory.ask("fox?", model=first)
            memory.ask("dog?", model=first)
        yield memory


@pytest.fixture
def session(mv):
    return mv.get_session("run")


def test_models_are_held_against_each_other(mv, session):
    report = replaykit.compare_models(session, mv, ["extractive", first, longest])

    assert list(report.models) == ["extractive", "first", "longest"]
    assert list(report.models["first"].answers) == ["a red fox", "a dog"]
    assert list(report.models["longest"].answers) == ["a fox in the snow, which is white", "a dog"]
    assert report.models["first"].mismatched_actions == 0
    assert len(report.models["first"].latencies_ns) == 2
    summary = report.summary
    assert (summary.total_actions, summary.unanimous_actions, summary.first_divergence) == (3, 2, 2)
    assert [record["model"] for record in report.to_records()] == list(report.models)


def test_variants_change_k_and_mode(mv, session):
    variants = {"wide": {"model": first}, "narrow": {"model": first, "top_k": 1}, "meaning": {"search_mode": "vec"}}
    report = replaykit.compare_variants(session, mv, variants)

    assert report.models["wide"].mismatched_actions == 0
    assert report.models["narrow"].mismatched_actions == 2
    assert report.models["meaning"].mismatched_actions == 1


def test_frozen_retrieval_tests_the_model_alone(mv, session):
    mv.update(1, "a blue wolf")
    live = replaykit.compare_models(session, mv, [first])
    frozen = replaykit.compare_models(session, mv, [first], frozen=True)

    assert live.models["first"].answers[0] == "a fox in the snow, which is white"
    assert frozen.models["first"].answers[0] == "a red fox"


def test_one_that_cannot_run_keeps_no_other_from_it(mv, session):
    def broken(question, hits):
        raise ValueError("no answer today")

    report = replaykit.compare_models(session, mv, [broken, "nobody:m", first])

    assert report.models["broken"].answers[0] == "[ValueError: no answer today]"
    assert report.models["first"].matched_actions == 4
    assert report.models["nobody:m"].mismatched_actions == 2


def test_it_runs_inside_an_event_loop(mv, session):
    async def compare():
        return replaykit.compare_models(session, mv, [first, longest])

    assert asyncio.run(compare()).summary.total_actions == 3


def test_another_memory_is_a_variant_too(mv, session):
    with replaykit.open(":memory:") as other:
        other.put("a cat")
        variants = {"here": {"model": first}, "there": {"model": first, "target": other}}
        report = replaykit.compare_variants(session, mv, variants, base="live", skip_puts=True)

    assert report.summary.divergent_actions == 3


def test_tokens_have_their_price(mv, session):
    def counted(question, hits):
        return "x"

    [row] = replaykit.compare_models(session, mv, [counted], prices={"counted": (1.0, 2.0)}).to_records()
    assert (row["prompt_tokens"], row["cost"]) == (None, None)


@pytest.mark.parametrize(
    ("variants", "says"),
    [({}, "nothing to compare"), ({"a": {"temprature": 1}}, "temprature"), ({"a": {"allow": "put"}}, "allow")],
)
def test_wrong_variants_are_refused(mv, session, variants, says):
    with pytest.raises(UsageError, match=says):
        replaykit.compare_variants(session, mv, variants)


def test_two_models_of_one_name_are_refused(mv, session):
    with pytest.raises(UsageError, match="one name"):
        replaykit.compare_models(session, mv, [first, first])


@pytest.mark.parametrize("variants", [["extractive"], {"a": 5}, None])
def test_variants_are_a_dict_of_dicts(variants):
    with replaykit.open(":memory:") as mv:
        with mv.session("run"):
            mv.find("fox")
        with pytest.raises(UsageError, match="variants= takes a dict of dicts|nothing to compare"):
            replaykit.compare_variants(mv.get_session("run"), mv, variants)


def test_what_is_compared_is_a_session_under_a_list_of_models():
    with replaykit.open(":memory:") as mv:
        with mv.session("run"):
            mv.ask("fox?")
        with pytest.raises(UsageError, match="get_session"):
            replaykit.compare_models("run", mv, ["extractive"])
        with pytest.raises(UsageError, match="give a list"):
            replaykit.compare_models(mv.get_session("run"), mv, "extractive")
