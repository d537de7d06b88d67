"""Any text is a query; better hits come first, and always in the same order."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replaykit.errors import UsageError
from replaykit.memory.asking.models import NOTHING_FOUND
from replaykit.memory.engine import Engine
from replaykit.memory.search import MAX_WORDS, SNIPPET_CHARS, snippet, words

ANY_TEXT = st.text(st.characters(), max_size=40)

NOT_FTS5 = [
    "c++",
    "NOT AND",
    '""',
    '"',
    "'",
    "",
    " ",
    "*",
    "a*",
    "-x",
    "^a",
    "title:x",
    "NEAR(a b)",
    "a NEAR b",
    "(",
    "{a b}: c",
    'what about "tea"?',
    "a\x00b",
    "\x00",
    "\ud800",
    "a\udfffb",
    "\U0001f389",
    "\U0001f469\u200d\U0001f680 astronaut",
    "\u0e01",
    "\u0301",
    "a" * 100_000,
    "word " * 10_000,
    " ".join(f"w{number}" for number in range(5_000)),
]


@pytest.fixture
def memory():
    with Engine(":memory:") as engine:
        yield engine


@pytest.fixture(scope="module")
def shared():
    with Engine(":memory:") as engine:
        engine.put_many(["Paris is the capital of France", "c and a word", "東京は日本の首都です", "", "\ud800 a\x00b"])
        yield engine


def ids(result):
    return [hit.frame_id for hit in result]


@pytest.mark.parametrize("query", NOT_FTS5, ids=lambda query: ascii(query[:20]))
def test_text_that_is_no_fts5_query_is_a_query(shared, query):
    shared.find(query)
    shared.ask(query)


@given(query=ANY_TEXT)
def test_any_text_is_a_query(shared, query):
    result = shared.find(query)

    assert all(hit.score > 0 for hit in result)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=ANY_TEXT, title=st.none() | ANY_TEXT)
def test_a_frame_is_found_by_its_own_text_and_gone_when_deleted(shared, content, title):
    frame_id = shared.put(content, title=title)
    if any(char.isascii() and char.isalnum() for char in content):
        assert frame_id in ids(shared.find(content, k=1_000))
    shared.delete(frame_id)
    assert frame_id not in ids(shared.find(content + " " + (title or ""), k=1_000))


def test_text_without_words_finds_nothing(shared):
    assert ids(shared.find("?! \U0001f389 ++")) == []
    assert shared.find("?!").mode == "lex"


def test_words_are_joined_by_or(memory):
    one, other = memory.put("apples only"), memory.put("pears only")

    assert [one, other] == sorted(ids(memory.find("apples pears")))


def test_case_accents_and_plurals_do_not_matter(memory):
    frame_id = memory.put("Cafés in MÜNCHEN")

    for query in ("cafe", "CAFÉ", "cafes", "munchen", "Mu\u0308nchen"):
        assert [frame_id] == ids(memory.find(query)), query


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("東京は日本の首都です", "東京"),
        ("東京は日本の首都です", "首都はどこ"),
        ("서울은 한국의 수도이다", "서울"),
        ("กรุงเทพเป็นเมืองหลวงของประเทศไทย", "ประเทศไทย"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("Москва - столица", "москва"),
        ("日", "日"),
        ("iPhone15を買う", "iphone15"),
        ("call read_file() twice", "read_file"),
        ("C++ and C#", "c++"),
        ("party \U0001f389 time", "\U0001f389 party"),
        ("great\U0001fae0", "great"),
        ("great", "great\U0001fae8\ufe0f"),
        ("icon\ue000", "icon\ue000"),
    ],
)
def test_every_script_is_searchable(memory, content, query):
    frame_id = memory.put(content)
    memory.put("unrelated filler text")

    assert [frame_id] == ids(memory.find(query))


def test_unspaced_scripts_match_by_neighbouring_letters(memory):
    memory.put("京の東")

    assert ids(memory.find("東京")) == []


def test_bytes_are_found_by_title_only(memory):
    frame_id = memory.put(b"secret words", title="A photo of Paris")

    assert ids(memory.find("secret")) == []
    (hit,) = memory.find("paris")
    assert (frame_id, "", "A photo of Paris") == (hit.frame_id, hit.text, hit.title)


def test_equal_scores_are_ordered_by_id(memory):
    expected = memory.put_many(["the same words"] * 50)

    assert expected[:20] == ids(memory.find("same words", k=20))
    assert len({hit.score for hit in memory.find("same words", k=50)}) == 1


def test_k_bounds_the_hits_and_may_exceed_the_memory(memory):
    memory.put_many(["word"] * 5)

    assert len(memory.find("word", k=2)) == 2
    assert len(memory.find("word", k=10**30)) == 5
    assert [hit.rank for hit in memory.find("word", k=2)] == [1, 2]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None, "3"])
def test_k_that_is_no_positive_number_is_refused(memory, k):
    with pytest.raises(UsageError):
        memory.find("word", k)
    with pytest.raises(UsageError):
        memory.ask("word", k)


@pytest.mark.parametrize("query", [None, b"word", 3])
def test_a_query_that_is_no_text_is_refused(memory, query):
    with pytest.raises(UsageError):
        memory.find(query)
    with pytest.raises(UsageError):
        memory.ask(query)


@pytest.mark.parametrize("mode", ["vec", "hybrid", "", None, "LEX"])
def test_a_mode_that_is_not_set_up_is_refused(memory, mode):
    with pytest.raises(UsageError, match="lex"):
        memory.find("word", mode=mode)


# -- scores ---------------------------------------------------------------------

CORPUS = [
    "the quick brown fox",
    "the lazy dog sleeps all day long in the warm sun",
    "fox fox fox",
    "a dog and a fox",
    "nothing to see",
    "",
]


def reference_scores(corpus, query):
    """Return BM25 by the book: {id: score}."""
    documents = {number: text.split() for number, text in enumerate(corpus, 1)}
    average = sum(map(len, documents.values())) / len(documents)
    scores = {}
    for word in query.split():
        holding = [number for number, document in documents.items() if word in document]
        idf = math.log(1 + (len(documents) - len(holding) + 0.5) / (len(holding) + 0.5))
        for number in holding:
            tf, length = documents[number].count(word), len(documents[number])
            part = idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / average))
            scores[number] = scores.get(number, 0) + part
    return scores


@pytest.mark.parametrize("query", ["fox", "the", "dog fox", "the lazy fox", "day day"])
def test_scores_are_bm25_by_the_book(memory, query):
    memory.put_many(CORPUS)
    expected = reference_scores(CORPUS, " ".join(dict.fromkeys(query.split())))

    found = {hit.frame_id: hit.score for hit in memory.find(query)}

    assert found == pytest.approx(expected, abs=1e-8)
    assert sorted(expected, key=lambda number: (-round(expected[number], 9), number)) == list(found)


def test_a_small_memory_has_scores_that_can_be_told_apart(memory):
    memory.put("only one note")

    assert memory.find("note")[0].score > 0.01


def test_scores_do_not_depend_on_history(memory):
    """What was updated or deleted weighs nothing."""
    memory.put_many(CORPUS)
    expected = [(hit.frame_id, hit.score) for hit in memory.find("lazy dog fox")]

    for round_number in range(5):
        memory.update(1, f"fox dog {round_number}", title="dog")
        memory.delete(memory.put("fox dog lazy"))
    memory.update(1, CORPUS[0], title=None)

    assert expected == [(hit.frame_id, hit.score) for hit in memory.find("lazy dog fox")]


def test_an_updated_frame_is_found_by_its_new_words_only(memory):
    frame_id = memory.put("apples", title="fruit")
    memory.update(frame_id, "carrots")

    assert ids(memory.find("apples")) == []
    assert [frame_id] == ids(memory.find("carrots"))
    assert [frame_id] == ids(memory.find("fruit"))


# -- words and snippets -----------------------------------------------------------


def test_words_are_distinct_and_in_order():
    assert words("b A a, B. c!") == ("b", "a", "c")


@given(ANY_TEXT)
def test_words_hold_nothing_that_fts5_could_read_as_syntax(text):
    assert not set('"*^:(){}-+\x00 ') & set("".join(words(text)))


def test_a_long_query_counts_to_the_limit(memory):
    query = " ".join(f"w{number}" for number in range(MAX_WORDS + 1))
    memory.put(f"w{MAX_WORDS}")
    last = memory.put(f"w{MAX_WORDS - 1}")

    assert [last] == ids(memory.find(query))


def test_a_snippet_shows_the_match():
    text = "filler " * 500 + "the needle is here " + "filler " * 500

    found = snippet(text, words("needle"))

    assert "needle" in found
    assert len(found) <= SNIPPET_CHARS + 8
    assert found.startswith("... ") and found.endswith(" ...")


def test_a_snippet_prefers_long_words_and_whole_words():
    text = "is it in the theory? " * 50 + "it is the needle"

    assert "needle" in snippet(text, words("is the needle"))
    assert snippet("breath " * 90 + "eat well", words("eat")).endswith("eat well")


def test_a_short_text_is_its_own_snippet():
    assert snippet("one\n two", ("two",)) == "one two"


# -- answers ----------------------------------------------------------------------


def test_an_answer_is_the_sentence_that_speaks_to_the_question(memory):
    memory.put("Berlin is the capital of Germany.")
    paris = memory.put("France is in Europe. Paris is the capital of France. It has 2 million people.")

    answer = memory.ask("What is the capital of France?")

    assert "Paris is the capital of France." in answer.text
    assert paris == answer.frame_ids[0]
    assert (answer.provider, answer.model) == ("extractive", "extractive-1")
    assert set(answer.frame_ids) <= {hit.frame_id for hit in answer.hits}


def test_a_title_speaks_for_its_frame(memory):
    memory.put("The capital is Berlin.", title="Germany")
    memory.put("The capital is Paris.", title="France")

    assert memory.ask("capital of France").text == "The capital is Paris."


@pytest.mark.parametrize("question", ["Who painted the Mona Lisa?", "", "?!", "what is the"])
def test_no_relevant_frames_is_said_plainly(memory, question):
    memory.put("The sky is blue. What is not?")

    answer = memory.ask(question)

    assert (answer.text, answer.frame_ids) == (NOTHING_FOUND, ())


ASKS = """
from replaykit.memory.engine import Engine
memory = Engine(":memory:")
memory.put_many(f"Fact {n} about storage and recall. More recall of {n % 7}." for n in range(30))
answer = memory.ask("storage recall facts about 3 and 5")
print(answer.text, answer.frame_ids, [(hit.frame_id, hit.score, hit.snippet) for hit in answer.hits])
"""


def test_an_answer_is_the_same_in_each_process():
    answers = {
        subprocess.run(
            [sys.executable, "-c", ASKS],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(answers) == 1


def test_equal_sentences_are_said_once(memory):
    memory.put_many(["Tea is hot."] * 4)

    assert memory.ask("hot tea?").text == "Tea is hot."


def test_a_huge_frame_gives_a_short_answer(memory):
    memory.put("filler " * 200_000 + "the needle is red " + "filler " * 200_000)

    answer = memory.ask("needle")

    assert "needle is red" in answer.text
    assert len(answer.text) < 1_000


def test_a_model_that_is_not_set_up_is_refused(memory):
    with pytest.raises(UsageError, match="extractive"):
        memory.ask("anything", model="gpt-99")
