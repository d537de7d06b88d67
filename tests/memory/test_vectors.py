"""Frames are found by meaning where an embedder is given; what it gives wrongly is refused, with nothing stored."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.errors import EmbedderError, EmbedderMismatchError, ReadOnlyError, UsageError
from replaykit.memory.engine import Engine
from replaykit.memory.fusion import fused
from replaykit.memory.ranking import Scored
from replaykit.testing.embedders import HashedNgrams

TEXTS = ["the quick brown fox", "a lazy dog", "foxes run quickly", "", "dogs and foxes", "東京は日本の首都"]


class Wrong:
    """An embedder that gives what it is told to give."""

    name = "wrong"
    dimension = 3

    def __init__(self, result):
        self.result = result

    def embed(self, texts):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result(texts) if callable(self.result) else self.result


class Rows:
    """Looks like an array of numpy: rows that turn into lists."""

    def __init__(self, rows):
        self.rows = rows

    def tolist(self):
        return self.rows


@pytest.fixture
def memory():
    with Engine(":memory:", embedder=HashedNgrams()) as engine:
        yield engine


def ids(result):
    return [hit.frame_id for hit in result]


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


# -- modes --------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    texts=st.lists(st.sampled_from(TEXTS) | st.text(max_size=10), max_size=12),
    query=st.sampled_from(["fox", "lazy dogs", "quick"]),
    k=st.integers(1, 6),
    odd=st.booleans(),
)
def test_vec_gives_the_nearest_frames(texts, query, k, odd):
    """By cosine similarity, ties by id, of those that the filter accepts."""
    model = HashedNgrams()
    (asked,) = model.embed([query])
    with Engine(":memory:", embedder=model) as memory:
        memory.put_many({"content": text, "metadata": {"odd": number % 2 == 1}} for number, text in enumerate(texts))

        found = memory.find(query, k, mode="vec", where={"odd": True} if odd else None)

    expected = {
        number + 1: cosine(asked, model.embed([text])[0])
        for number, text in enumerate(texts)
        if text and (not odd or number % 2)
    }
    assert len(found) == min(k, len(expected))
    assert [(-hit.score, hit.frame_id) for hit in found] == sorted((-hit.score, hit.frame_id) for hit in found)
    assert {hit.frame_id: hit.score for hit in found} == pytest.approx(
        {hit.frame_id: expected[hit.frame_id] for hit in found}, abs=1e-5
    )
    left_out = [score for frame_id, score in expected.items() if frame_id not in ids(found)]
    assert all(score <= found[-1].score + 1e-5 for score in left_out)


def test_auto_is_hybrid_where_there_is_an_embedder(memory):
    memory.put_many(TEXTS)

    assert memory.find("fox").mode == "hybrid"
    assert ids(memory.find("fox")) == ids(memory.find("fox", mode="hybrid"))
    assert memory.find("fox", mode="lex").mode == "lex"
    assert memory.find("fox", mode="vec").mode == "vec"


def test_hybrid_is_the_reciprocal_ranks_of_both(memory):
    memory.put_many(TEXTS)
    by_words, by_meaning = ids(memory.find("fox dog", mode="lex")), ids(memory.find("fox dog", mode="vec"))
    scores = {}
    for ranking in (by_words, by_meaning):
        for rank, frame_id in enumerate(ranking, 1):
            scores[frame_id] = scores.get(frame_id, 0) + 1 / (60 + rank)
    best = sorted(scores, key=lambda frame_id: (-round(scores[frame_id], 9), frame_id))

    found = memory.find("fox dog", 4)

    assert best[:4] == ids(found)
    assert [hit.score for hit in found] == [round(scores[frame_id], 9) for frame_id in best[:4]]


def test_equal_fused_scores_are_ordered_by_id():
    one, other = [Scored(5, 1.0), Scored(2, 0.5)], [Scored(2, 9.0), Scored(5, 8.0)]

    assert [scored.frame_id for scored in fused([one, other], 10)] == [2, 5]
    assert [scored.frame_id for scored in fused([one, other], 1)] == [2]


def test_equal_texts_are_ordered_by_id(memory):
    expected = memory.put_many(["the same words"] * 20)

    assert expected[:10] == ids(memory.find("same", mode="vec"))


@pytest.mark.parametrize("query", ["", " ", "\n", "\ud800", "\x00", "?", "a" * 100_000])
@pytest.mark.parametrize("mode", ["auto", "lex", "vec", "hybrid"])
def test_any_text_is_a_query_in_every_mode(memory, query, mode):
    memory.put_many(TEXTS)

    memory.find(query, mode=mode)


def test_a_hit_has_all_its_fields(memory):
    memory.put("the quick brown fox", title="Fox", uri="file:fox", metadata={"a": [1]})

    for mode in ("lex", "vec", "hybrid"):
        (hit,) = memory.find("fox", mode=mode)
        assert (hit.frame_id, hit.rank, hit.title, hit.uri) == (1, 1, "Fox", "file:fox")
        assert (hit.snippet, hit.text, hit.metadata) == ("the quick brown fox", "the quick brown fox", {"a": [1]})
        assert hit.score > 0


@pytest.mark.parametrize("mode", ["vec", "hybrid"])
def test_a_mode_that_is_not_set_up_says_how_to_set_it_up(mode):
    with Engine(":memory:") as memory:
        with pytest.raises(UsageError, match=r"pip install 'replaykit-memory\[semantic\]'.*embedder='semantic'"):
            memory.find("x", mode=mode)
        with pytest.raises(UsageError, match="semantic"):
            memory.ask("x", mode=mode)


# -- writing ------------------------------------------------------------------------


def test_updated_and_deleted_frames_are_found_as_they_are_now(memory):
    one, other = memory.put_many(["the quick fox", "a lazy dog"])
    memory.update(one, "a slow snail")
    memory.delete(other)

    assert ids(memory.find("snail", mode="vec")) == [one]
    assert memory.find("quick fox", 1, mode="vec")[0].score < 0.5
    memory.update(one, metadata={"a": 1})
    assert ids(memory.find("snail", mode="vec", where={"a": 1})) == [one]


def test_an_update_that_leaves_the_text_keeps_the_vector(tmp_path):
    """Nothing is computed, and a memory that was opened without the model does not lose it."""
    path, model = str(tmp_path / "notes.mv"), HashedNgrams()
    with Engine(path, embedder=model) as memory:
        memory.put("quick fox", title="a")
        memory.update(1, metadata={"a": 1})
        assert model.embedded == 1
    with Engine(path) as memory:
        memory.update(1, "quick fox", uri="file:fox")
        assert memory.vector_status().lacking == 0
        memory.update(1, title="b")
        assert memory.vector_status().lacking == 1


def test_bytes_have_a_vector_of_their_title_only(memory):
    memory.put(b"the quick fox")
    titled = memory.put(b"\xff", title="a quick fox")

    assert ids(memory.find("quick fox", mode="vec")) == [titled]
    assert (memory.vector_status().stored, memory.vector_status().lacking) == (1, 0)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (ValueError("out of tokens"), "failed: ValueError: out of tokens"),
        ([], "gave 0 vectors for 1 texts"),
        ([[1.0, 2.0]], "a vector of 2 numbers, not 3"),
        ([[1.0, 2.0, math.nan]], "not finite"),
        ([[1.0, 2.0, math.inf]], "not finite"),
        ([[1.0, 2.0, 1e39]], "finite|no list of numbers"),
        ([["a", "b", "c"]], "no list of numbers"),
        ([None], "no list of numbers"),
        (None, "failed: TypeError"),
    ],
)
def test_what_an_embedder_gives_wrongly_is_refused_and_nothing_is_stored(result, reason):
    with Engine(":memory:", embedder=Wrong(lambda texts: [[1, 0, 0]] * len(texts))) as memory:
        frame_id = memory.put("fox")
        memory._retrieval.embedder.result = result
        for write in (
            lambda: memory.put("dog"),
            lambda: memory.put_many(["dog"]),
            lambda: memory.update(frame_id, "dog"),
            lambda: memory.find("dog"),
        ):
            with pytest.raises(EmbedderError, match=reason) as caught:
                write()
            assert caught.value.embedder == "wrong"
        assert [frame.content for frame in memory.frames()] == ["fox"]
        assert memory.generation == 1
        assert memory.find("fox", mode="lex")


def test_arrays_are_vectors_too():
    with Engine(":memory:", embedder=Wrong(lambda texts: Rows([[1, 0, 0]] * len(texts)))) as memory:
        memory.put("fox")
        memory._retrieval.embedder.result = lambda texts: [Rows([1, 0, 0]) for _ in texts]

        assert memory.find("x", mode="vec")[0].score == 1


def test_a_vector_of_zeros_is_near_to_nothing():
    with Engine(":memory:", embedder=Wrong(lambda texts: [[0, 0, 0]] * len(texts))) as memory:
        memory.put("fox")

        assert ids(memory.find("fox", mode="vec")) == []
        assert ids(memory.find("fox")) == [1]


def test_frames_are_embedded_in_batches_and_outside_of_the_write(memory, tmp_path):
    sizes = []
    path = str(tmp_path / "notes.mv")
    with Engine(path) as other:

        def embed(texts):
            sizes.append(len(texts))
            # The file is free meanwhile.
            other.put("from elsewhere")
            return [[1, 0, 0]] * len(texts)

        with Engine(path, embedder=Wrong(embed)) as slow:
            slow.put_many(["fox"] * 130)
            slow.update(slow.put("dog"), "cat")

        assert sizes == [64, 64, 2, 1, 1]
        assert len(other) == 136


def test_an_update_that_another_write_overtakes_gets_the_vector_of_what_it_stores(tmp_path):
    path = str(tmp_path / "notes.mv")
    with Engine(path) as other, Engine(path, embedder=HashedNgrams()) as memory:
        frame_id = memory.put("quick fox", title="one")
        embed = memory._retrieval.embedder.embed
        overtaking = iter([lambda: other.update(frame_id, title="lazy dog")])

        def slow(texts):
            next(overtaking, lambda: None)()
            return embed(texts)

        memory._retrieval.embedder.embed = slow
        memory.update(frame_id, "snail")

        assert memory.find("lazy dog\nsnail", mode="vec")[0].score == pytest.approx(1)


@pytest.mark.parametrize(
    "embedder",
    ["gpt", 5, object(), HashedNgrams(0), HashedNgrams(10**6), HashedNgrams(True), HashedNgrams(name="")],
)
def test_what_is_no_embedder_is_refused(tmp_path, embedder):
    with pytest.raises(UsageError, match="embedder"):
        replaykit.open(tmp_path / "notes.mv", embedder=embedder)


# -- a memory and its model -----------------------------------------------------------


@pytest.mark.parametrize("other", [HashedNgrams(32), HashedNgrams(name="newer")])
def test_another_model_is_refused_and_both_are_named(tmp_path, other):
    path = str(tmp_path / "notes.mv")
    with Engine(path, embedder=HashedNgrams()) as memory:
        memory.put("fox")

    for read_only in (False, True):
        with pytest.raises(EmbedderMismatchError, match=r"'hashed-ngrams' \(dimension 64\).*reembed") as caught:
            Engine(path, embedder=other, read_only=read_only)
        assert caught.value.stored == ("hashed-ngrams", 64)
        assert caught.value.given == (other.name, other.dimension)
    with Engine(path) as memory:
        told = []
        assert memory.reembed(other, progress=told.append) == 1
        assert told == [1]
        assert ids(memory.find("fox", mode="vec")) == [1]
    with Engine(path, embedder=other, read_only=True) as memory:
        assert ids(memory.find("fox", mode="vec")) == [1]
        with pytest.raises(ReadOnlyError):
            memory.reembed()


def test_a_model_that_changes_while_the_memory_is_open_is_refused(tmp_path):
    path = str(tmp_path / "notes.mv")
    with Engine(path, embedder=HashedNgrams()) as memory, Engine(path) as other:
        memory.put("fox")
        other.reembed(HashedNgrams(8))

        for call in (lambda: memory.put("dog"), lambda: memory.find("fox")):
            with pytest.raises(EmbedderMismatchError):
                call()


def test_a_memory_without_vectors_says_how_to_make_them(tmp_path):
    path = str(tmp_path / "notes.mv")
    with Engine(path) as memory:
        memory.put("quick fox")
        memory.update(1, "lazy fox")
        with pytest.raises(UsageError, match="reembed"):
            memory.reembed()
    with Engine(path, embedder=HashedNgrams()) as memory:
        for mode in ("vec", "hybrid"):
            with pytest.raises(UsageError, match=r"mv\.reembed\(\)"):
                memory.find("fox", mode=mode)
        assert memory.find("fox").mode == "lex"
        # Both versions: the past can be searched as well.
        assert memory.reembed() == 2
        assert memory.reembed() == 0
        assert memory.find("fox").mode == "hybrid"


def test_an_empty_memory_finds_nothing_in_every_mode(memory):
    assert [(ids(memory.find("x", mode=mode)), memory.find("x", mode=mode).mode) for mode in ("vec", "hybrid")] == [
        ([], "vec"),
        ([], "hybrid"),
    ]


def test_frames_written_without_the_embedder_lack_vectors_until_reembed(tmp_path):
    path = str(tmp_path / "notes.mv")
    with replaykit.open(path, embedder=HashedNgrams()) as mv:
        mv.put("quick fox")
    with replaykit.open(path) as mv:
        mv.put("lazy fox")
        mv.put("", title="")
        assert mv.find("fox").mode == "lex"
        assert (mv.vectors.embedder, mv.vectors.dimension) == ("hashed-ngrams", 64)
        assert (mv.vectors.stored, mv.vectors.lacking) == (1, 1)
    with replaykit.open(path, embedder=HashedNgrams()) as mv:
        assert ids(mv.find("fox", mode="vec")) == [1]
        assert ids(mv.find("fox", mode="hybrid")) == [1, 2]
        assert mv.reembed() == 1
        assert sorted(ids(mv.find("fox", mode="vec"))) == [1, 2]
        assert (mv.vectors.stored, mv.vectors.lacking) == (2, 0)


def test_reembedding_that_fails_goes_on_where_it_stopped(tmp_path):
    with Engine(":memory:") as memory:
        memory.put_many(["fox"] * 100)
        answers = iter([lambda texts: [[1, 0, 0]] * len(texts)])

        def once(texts):
            return next(answers)(texts)

        with pytest.raises(EmbedderError):
            memory.reembed(Wrong(once))
        assert memory.vector_status().stored == 64
        model = Wrong(lambda texts: [[1, 0, 0]] * len(texts))
        assert memory.reembed(model) == 36


def test_a_recorded_find_keeps_its_mode_and_filter():
    with replaykit.open(":memory:", embedder=HashedNgrams(), on_loss="raise") as mv:
        with mv.session() as session:
            mv.put("fox", metadata={"a": 1})
            mv.find("fox", where={"a": 1})
            mv.ask("fox")
        action, ask = session.result.actions[1:]

    assert action.arguments["where"] == {"a": 1}
    # Recordings that are older than the options still match.
    assert ask.arguments == {"question": "fox", "k": 6, "model": "extractive"}
    assert action.output.mode == "hybrid"
    assert action.affected_frames == (1,)


def test_a_child_process_compares_vectors_too(tmp_path):
    with Engine(str(tmp_path / "notes.mv"), embedder=HashedNgrams()) as memory:
        memory.put("fox")
        memory.find("fox")
        pid = os.fork()
        if not pid:
            found = ids(memory.find("fox", mode="vec"))
            os._exit(0 if found == [1] else 1)
        assert os.waitpid(pid, 0)[1] == 0


def test_vectors_load_no_numpy(tmp_path):
    """Only the library of sqlite-vec is used, not its package."""
    code = (
        "import sys, replaykit\n"
        "from replaykit.testing.embedders import HashedNgrams\n"
        "with replaykit.open(':memory:', embedder=HashedNgrams()) as mv:\n"
        "    mv.put('fox'); assert len(mv.find('fox')) == 1\n"
        "assert not {'numpy', 'sqlite_vec', 'onnxruntime'} & set(sys.modules)\n"
    )
    path = os.pathsep.join([os.path.dirname(os.path.dirname(replaykit.__file__)), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path)
