"""A filter means what its table says, is checked before it is used, and comes before the best k."""

from __future__ import annotations

import json

import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.errors import UsageError
from replaykit.memory.engine import Engine
from replaykit.memory.fields import encode_metadata
from replaykit.memory.filters import MAX_FILTER_DEPTH, MAX_FILTER_PARTS, compile_filter

SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, -1, "", "a", "ab", "é", "\ud800", '"', "1"])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2)
KEYS = st.sampled_from(["a", "b", "a.b", "b.a", "é"])
METADATA = st.dictionaries(KEYS, VALUES, max_size=4)
OPERATORS = (
    st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), VALUES)
    | st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.sampled_from([0, 1.5, 2, "", "a", "b"]))
    | st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(VALUES, max_size=3))
    | st.tuples(st.just("$exists"), st.booleans())
)
CONDITIONS = VALUES | st.lists(OPERATORS, min_size=1, max_size=3).map(dict)
FILTERS = st.recursive(
    st.dictionaries(
        KEYS, CONDITIONS | CONDITIONS.map(lambda inner: {"$not": {"$eq": 1} | _operators(inner)}), max_size=3
    ),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=2
        )
        | inner.map(lambda each: {"$not": each})
    ),
    max_leaves=6,
)


def _operators(condition):
    is_operators = isinstance(condition, dict) and any(key[:1] == "$" for key in condition)
    return condition if is_operators else {"$ne": condition}


# -- the reference: plain, slow and written apart ---------------------------------


def same(one, other):
    def marked(value):
        """Give bools a form that no number equals."""
        if isinstance(value, bool):
            return ("bool", value)
        if isinstance(value, list):
            return [marked(item) for item in value]
        if isinstance(value, dict):
            return {key: marked(item) for key, item in value.items()}
        return value

    return marked(one) == marked(other)


def lookup(metadata, key):
    """Return a list of the value, empty where there is none."""
    if key in metadata:
        return [metadata[key]]
    head, _, rest = key.partition(".")
    if rest and isinstance(metadata.get(head), dict) and rest in metadata[head]:
        return [metadata[head][rest]]
    return []


def ordered(found, operand):
    for kinds in ((str,), (int, float)):
        if isinstance(operand, kinds):
            return [item for item in found if isinstance(item, kinds) and not isinstance(item, bool)]
    return []


def holds(found, name, operand):
    return {
        "$eq": lambda: any(same(item, operand) for item in found),
        "$ne": lambda: not holds(found, "$eq", operand),
        "$in": lambda: any(holds(found, "$eq", each) for each in operand),
        "$nin": lambda: not holds(found, "$in", operand),
        "$exists": lambda: bool(found) == operand,
        "$gt": lambda: any(item > operand for item in ordered(found, operand)),
        "$gte": lambda: any(item >= operand for item in ordered(found, operand)),
        "$lt": lambda: any(item < operand for item in ordered(found, operand)),
        "$lte": lambda: any(item <= operand for item in ordered(found, operand)),
        "$contains": lambda: any(
            isinstance(item, str)
            and isinstance(operand, str)
            and operand in item
            or isinstance(item, list)
            and any(same(each, operand) for each in item)
            for item in found
        ),
        "$not": lambda: not fits_value(found, operand),
    }[name]()


def fits_value(found, condition):
    if isinstance(condition, dict) and any(key[:1] == "$" for key in condition):
        return all(holds(found, name, operand) for name, operand in condition.items())
    return holds(found, "$eq", condition)


def fits(metadata, where):
    for key, condition in where.items():
        if key == "$and":
            result = all(fits(metadata, each) for each in condition)
        elif key == "$or":
            result = any(fits(metadata, each) for each in condition)
        elif key == "$not":
            result = not fits(metadata, condition)
        else:
            result = fits_value(lookup(metadata, key), condition)
        if not result:
            return False
    return True


@settings(max_examples=effort(15_000))
@given(where=FILTERS, metadatas=st.lists(METADATA, min_size=1, max_size=4))
def test_a_filter_decides_as_the_plain_reference_does(where, metadatas):
    accepts = compile_filter(where)

    for metadata in metadatas * 2:
        stored = encode_metadata(metadata)
        assert fits(json.loads(stored), where) == accepts(stored)


@pytest.mark.parametrize(
    ("metadata", "where", "expected"),
    [
        ({"a": True}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 10**20}, {"a": {"$gt": 1e19}}, True),
        ({"a": "1"}, {"a": {"$gt": 0}}, False),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ({}, {"a": {"$ne": 1}}, True),
        ({}, {"a": {"$nin": [1]}}, True),
        ({}, {"a": {"$lt": 1}}, False),
        ({}, {"a": {"$exists": False}}, True),
        ({"a": None}, {"a": {"$exists": True}}, True),
        ({"a": {"b": 1}}, {"a.b": 1}, True),
        ({"a": {"b": 1}, "a.b": 2}, {"a.b": 1}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, True),
        ({"a": ["x", "y"]}, {"a": {"$contains": "x"}}, True),
        ({"a": ["x", "y"]}, {"a": "x"}, False),
        ({"a": ["x", "y"]}, {"a": ["x", "y"]}, True),
        ({"a": "text"}, {"a": {"$contains": "ex"}}, True),
        ({"a": 5}, {"a": {"$gte": 3, "$lt": 5}}, False),
        ({"a": 5}, {"a": {"$in": []}}, False),
        ({"a": 5}, {}, True),
        ({"x": {"lang": "en"}}, {"lang": "en"}, False),
        ({"lang": "x", "y": '"lang":"en"'}, {"lang": "en"}, False),
        ({"lang": "de"}, {"$not": {"lang": "en"}}, True),
        ({"lang": "de"}, {"lang": {"$not": {"$in": ["en", "fr"]}}}, True),
    ],
)
def test_the_rules_of_the_reference_page(metadata, where, expected):
    assert compile_filter(where)(encode_metadata(metadata)) is expected


def nested(levels):
    where = {"a": 1}
    for _ in range(levels):
        where = {"$not": where}
    return where


def deep_list(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ([], "where must be a dict"),
        ("lang=en", "where must be a dict"),
        ("auto", "where must be a dict"),
        ({1: 2}, "a key in where"),
        ({"$nor": []}, r"where\['\$nor'\].*\$and"),
        ({"$and": []}, r"where\['\$and'\] must be a list"),
        ({"$or": {"a": 1}}, r"where\['\$or'\] must be a list"),
        ({"$and": [{"a": 1}, 5]}, r"where\['\$and'\]\[1\] must be a dict"),
        ({"a": {"$like": "x"}}, r"where\['a'\]\['\$like'\].*\$contains"),
        ({"a": {"$gt": None}}, r"where\['a'\]\['\$gt'\] must be a number or a text"),
        ({"a": {"$gt": True}}, "number or a text"),
        ({"a": {"$gt": float("nan")}}, "finite"),
        ({"a": float("inf")}, "finite"),
        ({"a": {"$in": "abc"}}, "must be a list of values"),
        ({"a": {"$exists": 1}}, "True or False"),
        ({"a": {"$eq": 1, "b": 2}}, r"\['b'\].*unknown operator"),
        ({"a": object()}, "cannot be compared"),
        ({"a": {"$not": 5}}, "dict of operators"),
        (nested(MAX_FILTER_DEPTH + 1), "nested deeper"),
        (nested(100_000), "nested deeper"),
        ({"a": deep_list(1_000)}, "nested deeper"),
        ({"a": {"$in": list(range(MAX_FILTER_PARTS))}}, "up to"),
        ({"x" * 10_000: object()}, r"\.\.\."),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(where, place):
    with replaykit.open(":memory:") as memory, pytest.raises(UsageError, match=place) as caught:
        memory.find("x", where=where)
    assert len(str(caught.value)) < 500


# -- in a search ------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "lex"])
def test_the_filter_comes_before_the_best_k(mode):
    with Engine(":memory:") as memory:
        memory.put_many({"content": "fox " * number, "metadata": {"n": number}} for number in range(1, 101))

        found = memory.find("fox", 3, mode=mode, where={"n": {"$lte": 5}})

        assert {hit.metadata["n"] for hit in found} <= {1, 2, 3, 4, 5}
        assert [hit.rank for hit in found] == [1, 2, 3]
        everything = [hit.frame_id for hit in memory.find("fox", 100) if hit.metadata["n"] <= 5]
        assert everything[:3] == [hit.frame_id for hit in found]


def test_an_ask_uses_only_what_the_filter_accepts():
    with Engine(":memory:") as memory:
        memory.put("The capital is Berlin.", metadata={"land": "de"})
        memory.put("The capital is Paris.", metadata={"land": "fr"})

        assert memory.ask("capital?", where={"land": "fr"}).text == "The capital is Paris."


def test_a_filter_that_changes_later_changes_nothing():
    where = {"a": {"$in": ["x"]}}
    accepts = compile_filter(where)
    where["a"]["$in"].append("y")

    assert not accepts('{"a":"y"}')
