"""Sessions are compared by content: a session equals itself, and each kind of change is named for what it is."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import replaykit
from replaykit import DivergenceType as Kind
from replaykit.errors import UsageError
from replaykit.model import Failure, Tolerances
from replaykit.playback.judging import judge
from replaykit.playback.outcomes import Outcome, as_recorded, outcome_of


@replaykit.records("tool")
def weigh(things, *, unit="kg"):
    if things is None:
        raise ValueError("nothing to weigh")
    return {"unit": unit, "weights": [len(str(thing)) for thing in things]}


def everything(mv):
    """Make an action of every kind."""
    first = mv.put("Paris is the capital of France.", title="France")
    mv.put_many(["Rome is the capital of Italy.", {"content": b"\x00\xff", "title": "bytes"}])
    mv.find("capital", k=2)
    mv.ask("What is the capital of Italy?")
    mv.get(first)
    mv.update(first, "Paris, the capital.")
    mv.delete(first)
    weigh(["a", "bb"])
    for call in (lambda: mv.get(first), lambda: weigh(None)):
        with pytest.raises((replaykit.errors.FrameNotFoundError, ValueError)):
            call()
    mv.create_checkpoint()


def recorded(run, **options):
    with replaykit.open(":memory:", **options) as mv:
        with mv.session("run") as session:
            run(mv)
        return attrs.evolve(session.result, actions=tuple(session.result.actions))


def finds(*queries, texts=("a fox", "a dog", "a fox and a dog"), k=10):
    def run(mv):
        mv.put_many(list(texts))
        for query in queries:
            mv.find(query, k=k)

    return recorded(run)


def kinds(comparison):
    return [item.divergence_type for item in comparison.differing_actions]


def test_a_session_equals_itself_and_one_like_it():
    session = recorded(everything)
    for other in (session, recorded(everything)):
        comparison = replaykit.compare(session, other)

        assert comparison.is_identical, comparison.to_records()
        assert comparison.matching_actions == len(session.actions) == 11
    assert {action.kind for action in session.actions} == set(replaykit.model.KINDS)


@given(st.integers(0, 4), st.sampled_from(["fox", "wolf"]))
def test_one_inserted_action_is_one_difference(at, query):
    queries = ["fox", "dog", "fox", "fox"]
    short, long = finds(*queries), finds(*queries[:at], query, *queries[at:])
    comparison, turned = replaykit.compare(short, long), replaykit.compare(long, short)

    assert (comparison.actions_only_in_a, comparison.differing_actions) == ((), ())
    assert len(comparison.actions_only_in_b) == 1
    assert comparison.matching_actions == len(short.actions)
    assert turned.actions_only_in_a == comparison.actions_only_in_b
    assert turned.pairs == tuple((b, a) for a, b in comparison.pairs)


def test_other_hits_are_named():
    comparison = replaykit.compare(finds("fox"), finds("fox", texts=("a cat", "a dog", "a fox and a dog", "fox")))

    assert {Kind.HITS_LOST, Kind.HITS_NEW} <= set(kinds(comparison))
    lost = next(item for item in comparison.differing_actions if item.divergence_type is Kind.HITS_LOST)
    assert (lost.frames, lost.where, lost.action_type) == ((1,), "hits[0]", "FIND")


@pytest.mark.parametrize("kind", ["find", "ask", "tool"])
def test_what_stands_beside_hits_counts_whatever_was_called(tmp_path, kind):
    says = "one"

    @replaykit.records(kind)
    def shown(query):
        return {"hits": [{"id": 1, "score": 0.5}], "answer": says, "latency_ms": 3}

    def record():
        with recorder.session() as session:
            shown("q")
        return session.result

    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder:
        first = record()
        assert replaykit.compare(first, record()).is_identical
        says = "two"
        [found] = replaykit.compare(first, record()).differing_actions

    assert (found.divergence_type, found.where) == (Kind.OUTPUT_MISMATCH, "result.answer")


def test_another_k_is_another_argument():
    comparison = replaykit.compare(finds("fox", k=10), finds("fox", k=9))

    assert kinds(comparison) == [Kind.ARGUMENTS_CHANGED]
    assert comparison.differing_actions[0].where == "arguments.k"


def test_another_state_at_a_checkpoint_is_said():
    def run(text):
        def put(mv):
            mv.put(text)
            mv.create_checkpoint()

        return recorded(put)

    comparison = replaykit.compare(run("a"), run("b"))
    assert Kind.STATE_HASH_MISMATCH in kinds(comparison)


def test_hashes_are_all_there_is_of_what_was_not_kept():
    sessions = [finds("fox", texts=texts) for texts in (("a fox",), ("fox fox",))]
    bare = [
        attrs.evolve(session, actions=[attrs.evolve(action, output=None) for action in session.actions])
        for session in sessions
    ]

    assert replaykit.compare(bare[0], bare[0]).is_identical
    [found] = [item for item in replaykit.compare(*bare).differing_actions if item.action_type == "FIND"]
    assert (found.divergence_type, found.where) == (Kind.OUTPUT_MISMATCH, "output_hash")


def test_what_is_no_session_is_refused():
    with pytest.raises(UsageError, match="two sessions"):
        replaykit.compare("last", finds("fox"))


def test_a_comparison_has_records_and_no_truth_value():
    comparison = replaykit.compare(finds("fox"), finds("dog"))

    assert {record["divergence_type"] for record in comparison.to_records()} == {"only_in_a", "only_in_b"}
    with pytest.raises(TypeError, match="is_identical"):
        bool(comparison)


# -- one call -----------------------------------------------------------------------


def action_of(run, at=-1):
    return recorded(run).actions[at]


@pytest.fixture(scope="module")
def find():
    return finds("fox").actions[-1]


@pytest.fixture(scope="module")
def ask():
    def run(mv):
        mv.put_many(["The fox is red.", "The dog is brown."])
        mv.ask("What colour is the fox?")

    return action_of(run)


def seen(value, **more):
    return Outcome(value=as_recorded(value), **more)


def changed(action, **fields):
    first, *rest = action.output.hits
    return seen(attrs.evolve(action.output, hits=(attrs.evolve(first, **fields), *rest)))


def one(found):
    [divergence] = found
    return divergence


def test_what_was_recorded_agrees_with_itself():
    assert [judge(action, outcome_of(action)) for action in recorded(everything).actions] == [[]] * 11


@pytest.mark.parametrize(
    ("fields", "kind", "where"),
    [
        ({"text": "a wolf"}, Kind.CONTENT_CHANGED, "frame 1.text"),
        ({"metadata": {"a": [1]}}, Kind.CONTENT_CHANGED, "frame 1.metadata.a"),
        ({"score": 9.0}, Kind.SCORE_DRIFT, "frame 1.score"),
    ],
)
def test_a_hit_that_changed_is_named(find, fields, kind, where):
    found = one(judge(find, changed(find, **fields)))

    assert (found.divergence_type, found.where, found.frames) == (kind, where, (1,))


def test_a_snippet_follows_from_the_text_and_counts_no_more(find):
    assert judge(find, changed(find, snippet="...", rank=7)) == []


def test_moved_hits_are_named(find):
    turned = seen(attrs.evolve(find.output, hits=find.output.hits[::-1]))

    assert one(judge(find, turned)).divergence_type is Kind.HITS_MOVED
    assert judge(find, turned, Tolerances(order="set")) == []


def test_every_hit_another_is_a_divergence_though_the_count_agrees(find):
    hits = tuple(attrs.evolve(hit, frame_id=hit.frame_id + 100) for hit in find.output.hits)
    found = judge(find, seen(attrs.evolve(find.output, hits=hits)))

    assert [item.divergence_type for item in found] == [Kind.HITS_LOST, Kind.HITS_NEW]


def test_enough_overlap_is_enough(find):
    fewer = seen(attrs.evolve(find.output, hits=find.output.hits[:1]))

    assert judge(find, fewer, Tolerances(min_overlap=0.5)) == []
    assert one(judge(find, fewer, Tolerances(min_overlap=0.51))).divergence_type is Kind.HITS_LOST


def test_an_answer_is_compared_by_frames_then_words(ask):
    other = seen(attrs.evolve(ask.output, text="The fox is brown."))
    found = one(judge(ask, other))

    assert (found.divergence_type, found.where) == (Kind.OUTPUT_MISMATCH, "answer.text")
    assert "[-red.-]{+brown.+}" in found.details
    assert judge(ask, other, Tolerances(compare={"ask": "frames"})) == []
    assert judge(ask, other, Tolerances(compare={"ask": lambda a, b: a.text[:3] == b.text[:3]})) == []


def test_another_model_is_said(ask):
    assert one(judge(ask, seen(attrs.evolve(ask.output, model="m2")))).where == "answer.model"


def test_success_and_failure_differ_and_so_do_failures(find):
    failure = Failure(type="builtins.ValueError", message="no")
    failed = attrs.evolve(find, error=failure, output=None)

    assert one(judge(find, Outcome(error=failure))).divergence_type is Kind.ERROR_VS_SUCCESS
    assert one(judge(failed, outcome_of(find))).divergence_type is Kind.ERROR_VS_SUCCESS
    assert one(judge(failed, Outcome(error=attrs.evolve(failure, message="yes")))).where == "error.message"
    assert judge(failed, Outcome(error=failure)) == []


def test_values_differ_by_path_and_type():
    action = action_of(lambda mv: weigh(["a", "bb"]))

    assert one(judge(action, seen({"unit": "kg", "weights": [1, 3]}))).where == "result.weights[1]"
    assert one(judge(action, seen({"unit": "kg", "weights": [1, 2.0]}))).where == "result.weights[1]"
    assert judge(action, seen({"weights": [1, 2], "unit": "kg"})) == []


@pytest.mark.parametrize(
    "shape",
    [
        lambda ids: [{"id": each, "score": 1.0 / at} for at, each in enumerate(ids, 1)],
        lambda ids: {"matches": [{"id": each, "values": [0.5]} for each in ids]},
        lambda ids: {"ids": [ids], "distances": [[0.1 * at for at, _ in enumerate(ids)]], "documents": [None]},
        lambda ids: [({"id": each, "page_content": each}, 0.5) for each in ids],
    ],
    ids=["rows", "matches", "columns", "pairs"],
)
def test_hits_are_found_in_the_usual_shapes(shape):
    @replaykit.records("find")
    def search(query):
        return shape(["a", "b", "c"])

    action = action_of(lambda mv: search("x"))
    found = judge(action, seen(shape(["a", "c", "d"])))

    assert judge(action, seen(shape(["a", "b", "c"]))) == []
    assert [(item.divergence_type, item.frames) for item in found][:2] == [
        (Kind.HITS_LOST, ("b",)),
        (Kind.HITS_NEW, ("d",)),
    ]


@pytest.mark.parametrize(
    "options",
    [{"order": "any"}, {"score_tolerance": -1}, {"score_tolerance": float("nan")}, {"min_overlap": 2}]
    + [{"compare": {"ask": "roughly"}}],
)
def test_tolerances_are_checked(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        Tolerances(**options)


def test_a_stored_session_is_compared_as_one_in_memory(tmp_path):
    """Told from the bytes or decoded: with the same result, whatever stands in the recording."""
    sessions = []
    for number in range(2):
        with replaykit.open(tmp_path / f"{number}.mv") as mv:
            if number:
                mv.put("what only one memory has")
            with mv.session("run"):
                everything(mv)
                mv.find("only one" if number else "another", k=3)
                everything(mv)
        sessions.append(replaykit.load(tmp_path / f"{number}.mv").get_session("last"))
    held = [attrs.evolve(session, actions=tuple(session.actions)) for session in sessions]

    found = replaykit.compare(*sessions)
    assert found.differing_actions
    assert found == replaykit.compare(*held)
    assert found.pairs == replaykit.compare(*held).pairs
    assert replaykit.compare(sessions[0], held[0]).is_identical
    assert replaykit.compare(sessions[0], sessions[0]) == replaykit.compare(held[0], held[0])
