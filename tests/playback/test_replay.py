"""A replay compares what comes back, not how many; it writes nothing and tells what it could not do."""

from __future__ import annotations

import asyncio

import attrs
import pytest

import replaykit
from replaykit import DivergenceType as Kind
from replaykit import ReplayOptions
from replaykit.errors import CheckpointNotFoundError, UsageError
from replaykit.playback.replaying import replay_session
from replaykit.playback.targets import Functions, Methods

ROWS = {"fox": ["a", "b"], "dog": ["c"]}
SENT: list[str] = []


@replaykit.records("find")
def search(query, k=5):
    return [{"id": each, "text": query} for each in ROWS[query]][:k]


@replaykit.records("find")
async def search_later(query):
    return [{"id": each} for each in ROWS[query]]


@replaykit.records("ask")
def answer(question, *sources, style="plain"):
    for word in question.split():
        yield f"{word} {len(sources)} {style}"


@replaykit.records("tool")
def send(text):
    SENT.append(text)
    return len(SENT)


@replaykit.records("tool")
def agent(query):
    return search(query)


@pytest.fixture
def recorded(tmp_path):
    """Return a function that records a run and gives the session."""
    recorder = replaykit.Recorder(tmp_path / "runs.rpk")

    def record(run, **options):
        with recorder.session("run", **options) as session:
            run()
        return session.result

    yield record
    recorder.close()


def replayed(session, *functions, **options):
    chosen = ReplayOptions(base="live", **options)
    return replay_session(session, Functions({each.__name__: each for each in functions}, chosen), chosen)


def run():
    search("fox")
    search("dog", k=1)
    list(answer("what is", 1, 2, style="new"))
    with pytest.raises(KeyError):
        search("wolf")


def test_untouched_functions_replay_wholly(recorded):
    session = recorded(run)
    result = replayed(session, search, answer)

    assert result, result.to_records()
    assert (result.matched_actions, result.match_rate, result.verdict) == (4, 100.0, "passed")
    assert [item.status for item in result.action_results] == ["matched"] * 4


def test_every_hit_another_is_told_though_the_count_agrees(recorded, monkeypatch):
    session = recorded(run)
    monkeypatch.setitem(ROWS, "fox", ["x", "y"])
    result = replayed(session, search, answer)

    assert not result
    assert (result.verdict, result.mismatched_actions, result.match_rate) == ("failed", 1, 75.0)
    assert result.first_divergence.divergence_type is Kind.HITS_LOST
    assert result.first_divergence.at_sequence == 0


def test_how_long_a_call_says_it_took_is_no_difference(recorded, monkeypatch):
    said = {"answer": "a", "took_ms": 1, "stats": {"retrieval_ms": 1, "tokens": 5}}
    monkeypatch.setitem(ROWS, "said", said)

    @replaykit.records("ask", name="reply")
    def reply(question):
        return dict(ROWS["said"])

    @replaykit.records("tool", name="measure")
    def measure():
        return {"took_ms": ROWS["said"]["took_ms"]}

    session = recorded(lambda: (reply("q"), measure()))
    monkeypatch.setitem(ROWS, "said", {**said, "took_ms": 2, "stats": {"retrieval_ms": 3, "tokens": 6}})
    result = replayed(session, reply, measure, allow="measure")

    # A tool may measure for a living.
    assert [item.where for item in result.divergences] == ["result.stats.tokens", "result.took_ms"]


def test_hits_beside_an_answer_are_compared_as_hits(recorded, monkeypatch):
    hits = [{"id": 1, "score": 0.5, "rank": 1}, {"id": 2, "score": 0.4, "rank": 2}]
    monkeypatch.setitem(ROWS, "said", {"answer": "a", "hits": hits})

    @replaykit.records("ask", name="reply")
    def reply(question):
        return ROWS["said"]

    session = recorded(lambda: reply("q"))
    monkeypatch.setitem(ROWS, "said", {"answer": "a", "hits": [{**hit, "score": 0.45} for hit in reversed(hits)]})

    assert replayed(session, reply, order="set", score_tolerance=0.1)
    assert replayed(session, reply).first_divergence.divergence_type is Kind.HITS_MOVED
    monkeypatch.setitem(ROWS, "said", {"answer": "b", "hits": hits})
    assert [item.where for item in replayed(session, reply).divergences] == ["result.answer"]


def test_several_hits_of_one_frame_are_each_held_against_its_own(recorded, monkeypatch):
    monkeypatch.setitem(ROWS, "chunks", [{"id": 1, "text": "a"}, {"id": 1, "text": "b"}])

    @replaykit.records("find", name="chunks")
    def chunks(query):
        return ROWS["chunks"]

    session = recorded(lambda: chunks("q"))
    assert replayed(session, chunks)
    monkeypatch.setitem(ROWS, "chunks", [{"id": 1, "text": "a"}, {"id": 1, "text": "c"}])
    assert [item.where for item in replayed(session, chunks).divergences] == ["frame 1.text"]


def test_coroutines_are_awaited_also_inside_a_running_loop(recorded):
    async def ask():
        await search_later("fox")

    session = recorded(lambda: asyncio.run(ask()))

    async def inside():
        return replayed(session, search_later)

    assert replayed(session, search_later)
    assert asyncio.run(inside())


def test_what_might_change_something_runs_only_with_leave(recorded):
    session = recorded(lambda: send("hello"))
    SENT.clear()
    result = replayed(session, send)

    assert SENT == []
    assert (result.skipped_actions, result.verdict) == (1, "nothing compared")
    assert "allow='send'" in result.action_results[0].reason
    assert replayed(session, send, allow="send")
    assert SENT == ["hello"]


def test_calls_inside_a_replayed_call_are_its_own_business(recorded):
    session = recorded(lambda: agent("fox"))

    with_agent = replayed(session, agent, search, allow="agent")
    assert [item.sequence for item in with_agent.action_results] == [0]
    without = replayed(session, search)
    assert [(item.sequence, item.status) for item in without.action_results] == [(0, "skipped"), (1, "matched")]


def test_a_replay_is_recorded_nowhere(recorded):
    session = recorded(lambda: agent("fox"))
    other = recorded(lambda: replayed(session, agent, allow="agent"))

    assert len(other.actions) == 0


def test_nothing_compared_is_no_success(recorded):
    session = recorded(run)

    for result in (
        replayed(session),
        replayed(session, search, dry_run=True),
        replayed(recorded(lambda: None), search),
    ):
        assert (bool(result), result.verdict, result.match_rate) == (False, "nothing compared", 0.0)


@pytest.mark.parametrize(
    ("options", "sequences"),
    [
        ({"stop_at": 1}, [0, 1]),
        ({"from_checkpoint": 0}, [2, 3]),
        ({"stop_on_mismatch": True}, [0]),
        ({"skip_finds": True}, [0, 1, 2, 3]),
    ],
)
def test_what_is_looked_at(recorded, monkeypatch, options, sequences):
    def run():
        search("fox")
        replaykit_session.checkpoint()
        search("dog")
        search("fox")

    def record():
        return run()

    with replaykit.session("s", store="own.rpk") as replaykit_session:
        record()
    session = replaykit_session.result
    monkeypatch.setitem(ROWS, "fox", ["z"])
    result = replayed(session, search, **options)

    assert [item.sequence for item in result.action_results] == sequences
    assert result.total_actions == (4 if "stop_on_mismatch" in options else len(sequences))


def test_a_checkpoint_that_cannot_be_restored_is_said(recorded):
    with replaykit.session("s", store="own.rpk") as session:
        session.checkpoint()
        search("fox")
    result = replayed(session.result, search, from_checkpoint=0)

    assert result
    assert "not restored" in result.notes[0]
    with pytest.raises(CheckpointNotFoundError, match=r"^session \S+ has no checkpoint 7; it has that numbered 0$"):
        replayed(session.result, search, from_checkpoint=7)


def test_what_an_option_could_not_change_is_said(recorded):
    @replaykit.records("find")
    def read(k):
        return {"b": "text"}[k]

    session = recorded(lambda: (read("b"), search("fox")))
    result = replayed(session, read, search, top_k=5, search_mode="lex", adaptive=True)

    assert result
    assert list(result.notes) == [
        "adaptive had no effect on read, search",
        "search_mode had no effect on read, search",
        "top_k had no effect on read",
    ]
    assert "needs a memory with a past" in replaykit.replay(session, search, base="then").notes[0]


def test_a_decorated_function_runs_what_was_recorded_under_its_name(recorded):
    class Shop:
        @replaykit.records("find")
        def look(self, query):
            return [f"{query} here"]

        @replaykit.records("find", name="browse")
        @classmethod
        def look_at_all(cls, query):
            return [f"{query} there"]

    @replaykit.records("find", name="look up")
    def peek(query):
        return []

    shop = Shop()
    session = recorded(lambda: (shop.look("fox"), Shop.look_at_all("fox"), peek("fox")))

    assert replaykit.replay(session, [shop.look, Shop.look_at_all, peek]).matched_actions == 3
    assert replaykit.replay(session, shop.look).matched_actions == 1


def test_a_word_diff_reaches_the_first_difference_of_long_texts(recorded):
    long = "word " * 200

    @replaykit.records("ask", name="tell")
    def tell(question):
        return f"{long} then"

    session = recorded(lambda: tell("q"))
    result = replaykit.replay(session, {"tell": lambda question: f"{long} now"}, generate_diff=True)

    assert "[-then-]{+now+}" in result.action_results[0].diff


def test_another_model_or_temperature_is_the_likely_cause_of_another_text(recorded):
    @replaykit.records("ask", name="tell")
    def tell(question, model="a", temperature=0.0):
        return {"answer": f"{model} {temperature}"}

    session = recorded(lambda: tell("q"))

    assert replayed(session, tell, model="b").first_divergence.cause == "model changed: b was asked"
    cause = replayed(session, tell, temperature=0.5).first_divergence.cause
    assert cause == "temperature changed: 0.5 was asked for"


def test_calls_run_again_as_they_were_given_whatever_the_signature(recorded, tmp_path):
    @replaykit.records("find")
    def look(query, /, *args, **kwargs):
        return [query, args, sorted(kwargs.items())]

    session = recorded(
        lambda: (look("fox", query="x"), look("fox", 1, 2, args=3, kwargs=4), look("fox", kwargs={"n": 1}))
    )
    assert replayed(session, look).matched_actions == 3

    # Methods written in C: pop and [] have no signature.
    shelf = replaykit.wrap({"a": 1}, store=tmp_path / "d.rpk", operations={"__getitem__": "find", "pop": "delete"})
    with replaykit.recorder_of(shelf).session() as session:
        assert shelf["a"] == 1
        assert shelf.pop("b", None) is None
    assert replaykit.replay(session.result, shelf, allow="pop").matched_actions == 2


def test_frames_that_stand_where_the_decorator_says_are_no_difference(recorded, monkeypatch):
    rows = [{"key": "a", "text": "x"}, {"key": "b", "text": "y"}]

    @replaykit.records("find", ids="result.rows.*.key")
    def look(needle):
        return {"rows": list(rows)}

    session = recorded(lambda: look("fox"))
    assert session.actions[0].affected_frames == ("a", "b")
    assert replaykit.replay(session, look)
    assert replaykit.replay(session, {"look": lambda needle: {"rows": list(rows)}})
    assert replaykit.replay(session, look, compare={"find": "frames"})

    rows[1] = {"key": "c", "text": "y"}
    first = replaykit.replay(session, look).first_divergence
    assert (first.divergence_type, first.frames) == (Kind.HITS_LOST, ("b",))


def test_a_stream_that_was_left_early_is_read_as_far_again(recorded):
    @replaykit.records("tool")
    def count():
        number = 0
        while True:
            yield number
            number += 1

    @replaykit.records("tool")
    async def count_later():
        yield 1
        raise LookupError("nobody came so far")

    async def leave_early():
        stream = count_later()
        await anext(stream)
        await stream.aclose()

    def run_them():
        stream = count()
        assert [next(stream), next(stream)] == [0, 1]
        stream.close()
        asyncio.run(leave_early())

    session = recorded(run_them)

    assert replaykit.replay(session, [count, count_later], allow="tool").matched_actions == 2
    ended = replaykit.replay(session, {"count": lambda: (number for number in [0])}, allow="tool")
    assert ended.first_divergence.divergence_type is Kind.RESULT_COUNT_DIFFERENCE


def test_another_k_is_the_likely_cause(recorded):
    session = recorded(lambda: search("fox"))
    result = replayed(session, search, top_k=1)

    assert [item.divergence_type for item in result.divergences] == [Kind.HITS_LOST]
    assert result.first_divergence.cause == "k changed: 1 was asked for, 5 then"


def test_a_changed_signature_is_not_comparable(recorded):
    session = recorded(lambda: search("fox"))

    def search_with(text):
        return []

    result = replay_session(session, Functions({"search": search_with}, ReplayOptions()), ReplayOptions())
    assert (result.verdict, result.incomparable_actions) == ("incomplete", 1)
    assert "signature changed" in result.action_results[0].reason


def test_a_parameter_that_came_before_others_moves_none(recorded):
    session = recorded(lambda: search("fox"))

    def search_now(language="en", query="", k=0):
        return search.__wrapped__(query, k)

    assert replay_session(session, Functions({"search": search_now}, ReplayOptions()), ReplayOptions())


def test_failures_of_the_infrastructure_stand_apart(recorded):
    session = recorded(lambda: search("fox"))

    def unreachable(query, k):
        raise ConnectionRefusedError("no server")

    result = replay_session(session, Functions({"search": unreachable}, ReplayOptions()), ReplayOptions())
    assert (result.verdict, result.errored_actions, result.divergences) == ("errored", 1, ())


def test_what_was_not_recorded_whole_never_passes(recorded):
    session = attrs.evolve(recorded(run), lost=1)
    result = replayed(session, search, answer)

    assert (result.verdict, bool(result), result.mismatched_actions) == ("incomplete", False, 0)
    assert list(result.incomplete) == ["1 calls could not be recorded"]


def test_a_divergence_must_show_as_often_as_asked(recorded):
    session = recorded(lambda: search("fox"))
    turns = iter([["x"], ["a", "b"]])

    def flaky(query, k):
        return [{"id": each, "text": query} for each in next(turns)]

    options = ReplayOptions(confirm=2)
    result = replay_session(session, Functions({"search": flaky}, options), options)
    assert (result.verdict, result.divergences) == ("passed", ())


def test_methods_of_an_object_are_reached_by_the_map(recorded, tmp_path):
    class Collection:
        def __init__(self, *ids):
            self.ids = ids

        def query(self, text):
            return {"ids": [list(self.ids)]}

        def add(self, ids):
            raise AssertionError("a replay writes nothing")

    recorder = replaykit.Recorder(tmp_path / "c.rpk")
    rows = {"query": "find", "add": "put"}
    wrapped = recorder.wrap(Collection("a", "b"), operations=rows)
    with recorder.session() as session:
        wrapped.query("x")
    options = ReplayOptions(base="live")

    def against(target):
        return replay_session(session.result, Methods(target, wrapped._self_rows, options), options)

    assert against(Collection("a", "b"))
    assert against(Collection("a", "c")).first_divergence.frames == ("b",)
    assert against(object()).verdict == "incomplete"


def test_a_stop_at_a_mismatch_that_is_not_confirmed_hides_no_later_one(recorded):
    session = recorded(lambda: (search("fox"), search("dog")))
    turns = iter([["x"], ["y"], ["a", "b"], ["y"]])

    def flaky(query, k):
        return [{"id": each, "text": query} for each in next(turns)]

    options = ReplayOptions(confirm=2, stop_on_mismatch=True)
    result = replay_session(session, Functions({"search": flaky}, options), options)
    assert (result.verdict, [item.status for item in result.action_results]) == ("failed", ["matched", "mismatched"])


def test_a_call_that_ends_the_program_does_not_end_the_replay(recorded):
    @replaykit.records("find")
    def leave(code):
        raise SystemExit(code)

    def run_it():
        with pytest.raises(SystemExit):
            leave(3)

    session = recorded(run_it)

    assert replayed(session, leave)
    assert replayed(session, search).verdict == "nothing compared"
    gone = replaykit.replay(session, {"leave": lambda code: code})
    assert gone.first_divergence.divergence_type is Kind.ERROR_VS_SUCCESS


@pytest.mark.parametrize(
    "options",
    [
        {"base": "then?"},
        {"top_k": 0},
        {"top_k": True},
        {"confirm": 0},
        {"from_checkpoint": -1},
        {"order": "any"},
        {"min_relevancy": float("nan")},
        {"compare": "frames"},
        {"compare": None},
        {"allow": 5},
    ],
)
def test_options_are_checked(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        ReplayOptions(**options)


def test_wishes_that_mean_nothing_are_refused(recorded):
    session = recorded(lambda: search("fox"))

    with pytest.raises(UsageError, match=r"provider='openai' says nothing without model="):
        replaykit.replay(session, search, provider="openai")
    with pytest.raises(UsageError, match="options= takes ReplayOptions, not dict"):
        replaykit.replay(session, search, options={"top_k": 3})
