"""The set ``"pii"`` and own patterns: what they hide, and what they leave alone."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest
from effort import effort
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.errors import NoMatchError, RedactionError
from replaykit.format.values import pack, unpack
from replaykit.redactors import Redactor, make_redactor, pattern, redactor_for


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return make_redactor(("secrets", "pii"))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("mail bob.smith+x@example.co.uk now", "mail [redacted:email] now"),
        ("Grüße an müller@exämple.de", "Grüße an [redacted:email]"),
        ("user%40example.com", "[redacted:email]"),
        ("+49 151 23456789", "[redacted:phone]"),
        ("+44 (0)20 7946 0958", "[redacted:phone]"),
        ("(415) 555-0132, 415.555.0132", "[redacted:phone], [redacted:phone]"),
        ("0151 23456789", "[redacted:phone]"),
        ("tel:5550132", "[redacted:phone]"),
        ("4111 1111 1111 1111 12/27", "[redacted:card] 12/27"),
        ("5500-0055-5555-5559", "[redacted:card]"),
        ("378282246310005", "[redacted:card]"),
        ("ref 22 3530111333300000", "ref 22 [redacted:card]"),
        ("DE89 3704 0044 0532 0130 00 x", "[redacted:iban] x"),
        ("gb82west12345698765432", "[redacted:iban]"),
        ("NO9386011117947.", "[redacted:iban]."),
    ],
)
def test_a_persons_data_is_replaced(redactor: Redactor, text: str, cleaned: str) -> None:
    """Inside of any value, and once: redacting again changes nothing."""
    packed = redactor.clean_packed(pack({"a": [text]}))

    assert pack({"a": [cleaned]}) == packed
    assert redactor.clean_packed(packed) == packed
    assert make_redactor().clean_text(text) == text, "by default a person's data stays"


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "0.4111111111111111",
        "1718000000000000000",
        "DE89370400440532013001",
        "XX89370400440532013000",
        "2024-01-02 12:33:44.123456",
        "550e8400-e29b-41d4-a716-446655440000",
        "1.2.3.4 +5, 6.02e+23456789, 12345678",
        "x=1@2, @decorator, a @ b.c",
        "192.168.100.200:5432",
    ],
)
def test_numbers_that_only_look_so_stay(redactor: Redactor, text: str) -> None:
    """A wrong checksum, another length, the rest of something longer: not a person's data."""
    assert redactor.clean_text(text) == text


@pytest.mark.parametrize("unit", ["@", "a@a.", "4111 ", "4", "DE89", "+1 ", "00", "0151 ", "415-", "(415) 555-"])
def test_hostile_digits_take_linear_time(redactor: Redactor, unit: str) -> None:
    """Four times the input takes about four times as long."""

    def seconds(size: int) -> float:
        packed, best = pack(unit * (size // len(unit))), 9.0
        for _ in range(2):
            begun = time.process_time()
            redactor.clean_packed(packed)
            best = min(best, time.process_time() - begun)
        return best

    small, large = seconds(3_072), seconds(12_288)

    assert large < 12 * small + 0.05


def test_a_session_names_its_rule_sets() -> None:
    """And each version, also an older one, leads back to its own rules."""
    version = make_redactor(("pii",)).version

    assert version == "pii/1"
    assert redactor_for(version).clean_text("bob@example.com password=hunter2") == "[redacted:email] password=hunter2"
    token = "pul-" + "0a" * 20
    assert redactor_for("secrets/2").clean_text(token) == "[redacted:vendor]"
    assert redactor_for("secrets/1").clean_text(token) == token


# -- own patterns ---------------------------------------------------------------


def test_an_own_pattern_hides_what_it_matches() -> None:
    """Overlapping matches go as one; it counts and travels like any redactor."""
    redactor = make_redactor(
        ("secrets", pickle.loads(pickle.dumps(pattern("employee", r"EMP-[0-9]{4,6}(?:-X)?", r"[0-9]+-Y"))))
    )

    cleaned = redactor.clean_text("who is EMP-123456-X, EMP-1234?")

    assert cleaned == "who is [redacted:employee], [redacted:employee]?"
    assert redactor.clean_text(cleaned) == cleaned
    assert redactor.version == "secrets/3+employee"
    assert redactor.fired == {"employee": 1}


@pytest.mark.parametrize(
    "expression",
    [
        r"EMP-[0-9]{6}",
        r"emp[^@ ]+@",
        r"(?i)emp|Müller",
        r"(?i:emp)-(?P<number>[]^$)\]]+)",
        r"\$[A-Z]+\^",
        r"[a-z[:]{3}\x41\.",
    ],
)
def test_a_call_without_a_match_is_asked_once(expression: str) -> None:
    """Not each of its texts."""
    for redact in (("secrets", pattern("own", expression), pattern("other", "x[0-9]")), (pattern("own", expression),)):
        packed = pack({"query": "the capital", "hits": [{"id": each, "text": "a city"} for each in range(5)]})

        assert not make_redactor(redact).is_suspect(packed)


@pytest.mark.parametrize(
    "expression",
    [
        r"^EMP",
        r"EMP$",
        r"\bEMP",
        r"\BMP",
        r"\AEMP",
        r"EMP\z",
        r"EMP\Z",
        r"(?m)^EMP",
        r"(?x)[ # [ \n ]EMP",
        r"(*UTF8)EMP",
    ],
)
def test_what_depends_on_the_bytes_around_a_text_is_asked_of_each(expression: str) -> None:
    """In a packed value there are others around it."""
    own = pattern("own", expression)

    assert own.is_suspect is None
    assert make_redactor((own,)).is_suspect(b"")


def test_a_callable_is_asked_of_each_text_beside_a_pattern() -> None:
    """Nobody knows what it replaces."""
    redactor = make_redactor((pattern("own", "EMP"), lambda path, value: value.replace("bob", "x")))

    assert unpack(redactor.clean_packed(pack(["bob"]))) == ["x"]


_EXPRESSIONS = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            "é",
            "EMP",
            "[redacted:x]",
            "[0-9]",
            "[^a]",
            "[]^]",
            "[\\]^]",
            ".",
            "\\d",
            "\\W",
            "\\x91",
            "[\x80-\xff]",
        ]
        + [
            "^",
            "$",
            "\\b",
            "\\B",
            "\\A",
            "\\z",
            "\\Z",
            "(?i)",
            "(?m)",
            "(?s)",
            "(?x)",
            "(?:",
            "(",
            ")",
            "|",
            "+",
            "{2}",
        ]
        + ["\\Q", "\\E", "[", "]", "#", "\\c", "\\", "\n", "(?i:", "(?P<n>", "[[:^alpha:]]", "[a\\", "\\$", "[\\Q"]
    ),
    min_size=1,
    max_size=6,
).map("".join)
_SPOKEN = st.lists(
    st.sampled_from(
        ["a", "b", "é", "EMP", "emp", "0", "9", "[redacted:x]", "]", "^", "$", "\n", " ", "x" * 80, "#", "\\"]
    ),
    max_size=6,
).map("".join)
_SAID = st.recursive(
    st.one_of(_SPOKEN, _SPOKEN.map(str.encode), st.integers(), st.just("\ud800a"), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(_SPOKEN, inner, max_size=4), st.tuples(inner)),
    max_leaves=12,
)


@pytest.mark.filterwarnings("ignore:Possible nested set")
@settings(max_examples=effort(10_000), deadline=None)
@given(_EXPRESSIONS, st.booleans(), _SAID)
def test_to_ask_of_a_call_first_misses_nothing(expression: str, ignore_case: bool, value: Any) -> None:
    """What is hidden by asking each text by itself is hidden."""
    try:
        own = pattern("own", expression, ignore_case=ignore_case)
    except RedactionError:
        assume(False)
    packed = pack(value)

    for redact in ((own,), ("secrets", own)):
        each, whole = make_redactor(redact), make_redactor(redact)
        assert whole.clean_packed(packed) == pack(each.clean_value(unpack(packed)))
        assert whole.fired == each.fired


@pytest.mark.parametrize("expression", [r"(?=a)b", r"(a)\1", r"a*", r"(", r"a{1,99999}b{1,99999}"])
def test_a_pattern_without_a_bound_is_refused(expression: str) -> None:
    """Before anything is recorded."""
    with pytest.raises(RedactionError, match="linear"):
        pattern("own", expression)


@pytest.mark.parametrize("unit", ["a", "EMP-", "x ", "aab"])
@pytest.mark.parametrize("expression", [r"(a+)+b", r"(a|aa)+b", r"EMP-[0-9]+", r"[a-z]+ [a-z]+$", r"a{1,300}b"])
def test_a_classic_of_catastrophic_backtracking_is_harmless(expression: str, unit: str) -> None:
    """Minutes elsewhere, no time here, with and without a match."""
    own = pattern("own", expression)
    begun = time.process_time()

    for end in ("", "b", " b c"):
        own((), unit * (10_000 // len(unit)) + end)

    assert time.process_time() - begun < 2


@pytest.mark.parametrize("expression", [r"$", r"\b", r"EMP|\Z"])
def test_a_match_of_nothing_at_the_end_of_a_text_is_found_once(expression: str) -> None:
    """And not for ever."""
    assert b"[redacted:own]" in pattern("own", expression)((), b"an EMP")


@pytest.mark.parametrize(
    ("expression", "text", "cleaned"),
    [
        (r"[A-Z][a-z]+ (?:[A-Z][a-z]+ )*Smith", "ask John Paul Smith now", "[redacted:own]"),
        (r"[a-z]+x", "1 abcx 2", "[redacted:own]"),
        (r"a+?b", "1 aab 2", "[redacted:own]"),
        (r"k[\d]{2,3}", "k12 k1234 k", "[redacted:own] [redacted:own]4 k"),
        (r"[]x]+y?", "1]x]y", "1[redacted:own]"),
    ],
)
def test_what_no_possessive_repeat_can_find_costs_the_whole_text(expression: str, text: str, cleaned: str) -> None:
    """Too much rather than too little."""
    assert pattern("own", expression)((), text) == cleaned


@pytest.mark.parametrize(("name", "expressions"), [("Own", ("a",)), ("", ("a",)), ("own", ())])
def test_a_pattern_has_a_plain_name_and_an_expression(name: str, expressions: tuple[str, ...]) -> None:
    """The name stands in the recording."""
    with pytest.raises(RedactionError, match="pattern"):
        pattern(name, *expressions)


def test_without_hyperscan_an_own_pattern_is_refused() -> None:
    """Rather than run unbounded."""

    def load() -> Any:
        raise ImportError("none")

    with pytest.raises(RedactionError, match="needs hyperscan"):
        pattern("own", "a", load=load)


def test_play_matches_what_an_own_pattern_hid() -> None:
    """The recording has the pattern's name; play is given the pattern."""
    own = pattern("employee", "EMP-[0-9]+")

    @replaykit.records("find")
    def search(query: str) -> str:
        return f"about {query}"

    recorder = replaykit.Recorder(":memory:", redact=("secrets", own))
    with recorder.session() as session:
        search("EMP-1")
    assert session.result is not None

    with replaykit.play(session.result, redact=(own,)):
        assert search("EMP-2") == "about [redacted:employee]"
    with replaykit.play(session.result), pytest.raises(NoMatchError):
        search("EMP-2")
