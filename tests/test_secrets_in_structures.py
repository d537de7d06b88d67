"""What stands under a secret's name in a text goes as a whole: lists, maps, blocks, elements, in any notation."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import pathlib
import pprint
import random
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from effort import effort, some_of
from hypothesis import given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.cli.as_json import dump
from replaykit.errors import DamagedError, ReplaykitWarning
from replaykit.format.block import read_block
from replaykit.format.values import pack, unpack
from replaykit.redactors import Redactor, make_redactor, redactor_for
from replaykit.redactors.rules import CURRENT, RULES_OF
from replaykit.scanning import scan

S = "zq1hunter-9"


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return make_redactor()


@pytest.fixture(scope="module")
def without_hyperscan() -> Redactor:
    def load() -> Any:
        raise ImportError("not on this platform")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplaykitWarning)
        made = make_redactor(load=load)
        made.prepare()
    return made


# Each has {S} and, around the value, BEFORE and AFTER, which must stay.
SHAPES: dict[str, str] = {
    # JSON
    "json list": json.dumps({"a": "BEFORE", "password": [S], "b": "AFTER"}),
    "json list indented": json.dumps({"a": "BEFORE", "password": ["x", [S]], "b": "AFTER"}, indent=2),
    "json map": json.dumps({"a": "BEFORE", "password": {"value": S}, "b": "AFTER"}),
    "json map in a map": json.dumps({"a": "BEFORE", "db": {"credentials": {"user": "bob", "value": S}}, "b": "AFTER"}),
    "json map under a plural": json.dumps({"a": "BEFORE", "passwords": {"a": S}, "b": "AFTER"}, indent=4),
    "json number first": json.dumps({"a": "BEFORE", "access_token": [1, S], "b": "AFTER"}),
    "json brackets in texts": json.dumps({"a": "BEFORE", "secret": ["]}", 'x"]', S], "b": "AFTER"}),
    "json header": json.dumps({"a": "BEFORE", "headers": {"Authorization": [S]}, "b": "AFTER"}),
    "json no blanks": json.dumps({"a": "BEFORE", "password": [{"x": S}], "b": "AFTER"}, separators=(",", ":")),
    "json many blanks": '{"a": "BEFORE", "password"  \n :  \t\r\n [\n "VALUE"\n]\n, "b": "AFTER"}'.replace("VALUE", S),
    "json text after a break": '{"a": "BEFORE", "password":\n\n      "VALUE", "b": "AFTER"}'.replace("VALUE", S),
    "json text after blanks": '{"a": "BEFORE", "password":          "VALUE", "b": "AFTER"}'.replace("VALUE", S),
    "json escaped name": '{"a": "BEFORE", "pass\\u0077ord": "VALUE", "b": "AFTER"}'.replace("VALUE", S),
    "json escaped name, list": '{"a": "BEFORE", "\\u0070assword" : ["VALUE"], "b": "AFTER"}'.replace("VALUE", S),
    "json all of a name escaped": '{"a": "BEFORE", "NAME": "VALUE", "b": "AFTER"}'.replace("VALUE", S).replace(
        "NAME", "".join(f"\\u{ord(each):04X}" for each in "api-key")
    ),
    "json twice": json.dumps(json.dumps({"a": "BEFORE", "password": ["x", {"y": S}], "b": "AFTER"})),
    "json twice, indented": json.dumps({"x": json.dumps({"a": "BEFORE", "password": [S], "b": "AFTER"}, indent=1)}),
    "json thrice": json.dumps(json.dumps(json.dumps({"a": "BEFORE", "password": ['"', S], "b": "AFTER"}))),
    "json twice, escaped name": json.dumps(
        '{"a": "BEFORE", "pass\\u0077ord": ["VALUE"], "b": "AFTER"}'.replace("VALUE", S)
    ),
    "json name and value": json.dumps({"a": "BEFORE", "h": [{"name": "Authorization", "value": S}], "b": "AFTER"}),
    "json value and name": json.dumps({"a": "BEFORE", "h": [{"value": S, "key": "api_key"}], "b": "AFTER"}),
    # printed Python
    "repr list": repr({"a": "BEFORE", "password": [S], "b": "AFTER"}),
    "repr tuple": repr({"a": "BEFORE", "password": (S,), "b": "AFTER"}),
    "repr set": repr({"a": "BEFORE", "password": {S}, "b": "AFTER"}),
    "repr frozenset": repr({"a": "BEFORE", "password": frozenset({S}), "b": "AFTER"}),
    "repr bytes": repr({"a": "BEFORE", b"password": [b"it's", S.encode()], "b": "AFTER"}),
    "repr mixed quotes": repr({"a": "BEFORE", "secret": ["it's", 'a "]"', "'\"]", S], "b": "AFTER"}),
    "repr nested": repr({"a": "BEFORE", "headers": {"authorization": [{"x": (S,)}]}, "b": "AFTER"}),
    "repr pretty": pprint.pformat({"a": "BEFORE", "password": ["x" * 60, "y" * 60, S], "t": "AFTER"}, sort_dicts=False),
    "repr in json": json.dumps({"a": repr({"a": "BEFORE", "secret": ["'\"]", S], "b": "AFTER"})}),
    "repr of json": repr([json.dumps({"a": "BEFORE", "secret": ["it's", '"]', S], "b": "AFTER"})]),
    "repr object": f"Login(user='BEFORE', credentials=Credentials(user='bob', value='{S}'), b='AFTER')",
    "repr object in a map": f"{{'a': 'BEFORE', 'credentials': Login(user='bob', value='{S}'), 'b': 'AFTER'}}",
    "repr keyword": f"f(a='BEFORE', access_token=[1, '{S}'], b='AFTER')",
    "call over lines": f"f(a='BEFORE', password=(\n '{S}'), b='AFTER')",
    "call of two texts": f"f(a='BEFORE', password=('x'\n '{S}'), b='AFTER')",
    "assignment over lines": f"a = 'BEFORE'\npassword = (\n    '{S}'\n)\nb = 'AFTER'\n",
    "enum": f"[BEFORE, <Vault.DB_PASSWORD: ['{S}']>, AFTER]",
    "toml list": f'a = "BEFORE"\npassword = ["{S}"]\nb = "AFTER"\n',
    "toml table": f'a = "BEFORE"\npassword = {{ value = "{S}" }}\nb = "AFTER"\n',
    # YAML
    "yaml list": f"a: BEFORE\npassword:\n  - {S}\nb: AFTER\n",
    "yaml list not indented": f"a: BEFORE\npassword:\n- x\n- {S}\nb: AFTER\n",
    "yaml next line": f"a: BEFORE\npassword:\n  {S}\nb: AFTER\n",
    "yaml next line in quotes": f'a: BEFORE\npassword:\n  "{S}"\nb: AFTER\n',
    "yaml map": f"a: BEFORE\ncredentials:\n  user: bob\n\n  value: {S}\nb: AFTER\n",
    "yaml literal": f"a: BEFORE\npassword: |\n  x y z\n\n  {S}\nb: AFTER\n",
    "yaml folded": f"db:\n  a: BEFORE\n  password: >-\n    the\n    {S}\n  b: AFTER\n",
    "yaml literal with an indent": f"a: BEFORE\npassword: |2-   # comment\n    x\n  {S}\nb: AFTER\n",
    "yaml flow list": f"a: BEFORE\npassword: [{S}]\nb: AFTER\n",
    "yaml flow over lines": f"a: BEFORE\npassword: [x,\n  don't, {S}\n  ]\nb: AFTER\n",
    "yaml flow map": f"a: BEFORE\npassword: {{value: {S}}}\nb: AFTER\n",
    "yaml flow in flow": f"{{a: BEFORE, password: [{S}], b: AFTER}}",
    "yaml anchor": f"a: BEFORE\npassword: &p {S}\nb: AFTER\n",
    "yaml tag": f"a: BEFORE\npassword: !vault |\n  {S}\nb: AFTER\n",
    "yaml anchor and list": f"a: BEFORE\npassword: &p\n  - {S}\nb: AFTER\n",
    "yaml in a list": f"- a: BEFORE\n- password:\n    - {S}\n- b: AFTER\n",
    "yaml quoted name": f"a: BEFORE\n'db password':\n  - {S}\nb: AFTER\n",
    "yaml windows": f"a: BEFORE\r\npassword:\r\n  - x\r\n  - {S}\r\nb: AFTER\r\n",
    "yaml last": f"a: BEFORE AFTER\npassword:\n  - {S}",
    "yaml in json": json.dumps({"a": "BEFORE", "b": f"x: 1\npassword:\n  - {S}\ny: AFTER\n"}),
    "yaml in json, first": json.dumps({"a": "BEFORE", "b": f"password: |\n  {S}\n", "c": "AFTER"}),
    # XML
    "xml attribute of the element": f'<a>BEFORE</a><password type="x">{S}</password><b>AFTER</b>',
    "xml over lines": f"<a>BEFORE</a><password>\n  {S}\n</password><b>AFTER</b>",
    "xml cdata": f"<a>BEFORE</a><password><![CDATA[<{S}>]]></password><b>AFTER</b>",
    "xml elements": f"<a>BEFORE</a><credentials><u>bob</u><v>{S}</v></credentials><b>AFTER</b>",
    "xml nested secrets": f"<a>BEFORE</a><secret><token>x</token><v>{S}</v></secret><b>AFTER</b>",
    "xml longer names": f"<a>BEFORE</a><token><tokenRef/><tokenValue>{S}</tokenValue></token><b>AFTER</b>",
    "xml namespace": f'<a>BEFORE</a><ns:password\n  x="1" >{S}</ns:password ><b>AFTER</b>',
    "xml in json": json.dumps({"x": f'<a>BEFORE</a><password type="x">\n{S}</password><b>AFTER</b>'}),
    "xml key and value": f'<a>BEFORE</a><add key="password" value="{S}"/><b>AFTER</b>',
    "xml name and value": f"<a>BEFORE</a><add name='db.password' x='1' value='{S}'/><b>AFTER</b>",
    "xml value and key": f'<a>BEFORE</a><add value="{S}" key="ApiKey"/><b>AFTER</b>',
    "xml value and key apart": f'<a>BEFORE</a><add value="a value={S}"\n x="1"\n key="ApiKey"/><b>AFTER</b>',
    "xml key and value in json": json.dumps({"x": f'<a>BEFORE</a><add key="password" value="{S}"/><b>AFTER</b>'}),
    "xml named element": f'<a>BEFORE</a><property name="password">{S}</property><b>AFTER</b>',
    # URLs
    "url with a slash": f"BEFORE postgres://u:a/{S}@h/db AFTER",
    "url with slashes": f"BEFORE postgres://u:a/b/{S}/c@h.example:5432/db AFTER",
    "url with a slash and an at": f"BEFORE postgres://u:a/x@{S}@h/db AFTER",
    "url without a user": f"BEFORE redis://:a/{S}@h/0 AFTER",
}


OLDER_RULES_HID: set[str] = set()
"""Of these the secret alone was hidden before."""


class _Refused(Exception):
    """A message of its own, that quotes a part of what it was given."""

    def __init__(self, headers: dict[str, Any], note: str = "") -> None:
        super().__init__(headers, note)
        self.headers = headers

    def __str__(self) -> str:
        return f"BEFORE 401 for {self.headers['authorization'][0]}, AFTER"


@replaykit.records("tool")
def give(text: Any) -> Any:
    return text


@replaykit.records("tool")
def fail(error: Exception) -> None:
    raise error


def bytes_of(path: pathlib.Path) -> bytes:
    """Return all files as they are, and all blocks of segments expanded."""
    found = []
    for each in sorted(path.rglob("*")):
        data = each.read_bytes() if each.is_file() else b""
        found.append(data)
        # Up to the padding, behind which no block is.
        at = 12 if each.suffix == ".rpk" else len(data)
        with contextlib.suppress(DamagedError):
            while at < len(data) and (block := read_block(data, at)) is not None:
                found.append(block.body())
                at = block.end
    return b"\0".join(found)


def recorded(folder: pathlib.Path, text: str, **options: Any) -> tuple[bytes, Any]:
    """Record *text* as result, argument, message and metadata; return what was on the disk, live and after."""
    path = folder / "runs.rpk"
    recorder = replaykit.Recorder(path, **options)
    with recorder.session("run", metadata={"note": text}) as session:
        give(text)
        give(text=[{"deep": (text, text.encode())}])
        with pytest.raises(ValueError, match="BEFORE|password"):
            fail(ValueError(text))
        session.annotate(later=text)
        live = bytes_of(folder)
        assert b"BEFORE" in live
    recorder.close()
    kept = bytes_of(folder)
    assert b"BEFORE" in kept
    return live + kept, session.result


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_a_named_secret_reaches_the_disk(tmp_path: pathlib.Path, shape: str) -> None:
    """As result, argument, message and metadata; what stands before and after it stays."""
    data, session = recorded(tmp_path, SHAPES[shape])

    assert S.encode() not in data
    shown = dump(session)
    assert S not in shown
    kept = [session.actions[0].output, session.actions[2].error.message, session.metadata["note"]]
    assert all("BEFORE" in each and "AFTER" in each for each in kept), kept
    assert session.redactions


@pytest.mark.parametrize("shape", SHAPES)
def test_scan_finds_each_shape_that_was_recorded_in_clear(tmp_path: pathlib.Path, shape: str) -> None:
    """In each place it was put, of a recording without redaction."""
    data, _ = recorded(tmp_path, SHAPES[shape], redact=())
    assert S.encode() in data

    with replaykit.load(tmp_path / "runs.rpk") as recording:
        found = {(each.action, each.field.partition(".")[0]) for each in scan(recording)}

    assert found >= {(None, "metadata"), (0, "output"), (0, "arguments"), (1, "arguments"), (2, "error")}


@pytest.mark.parametrize("engine", ["redactor", "without_hyperscan"])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_engines_hide_the_same_of_each_shape(
    redactor: Redactor, shape: str, engine: str, request: pytest.FixtureRequest
) -> None:
    """Once: what was redacted is recognised."""
    other = request.getfixturevalue(engine)
    once = other.clean_text(SHAPES[shape])

    assert S not in once
    assert once == redactor.clean_text(SHAPES[shape]) == redactor.clean_text(once)


@pytest.mark.parametrize(
    "text",
    [
        # prose
        "max_tokens: 5, max_tokens = [5]",
        "password reset is at https://example.com/reset",
        "the token: what is it?",
        "The secret:\n\nwarm the pot first.",
        "Password:\n  must be at least 8 characters",
        "Password:\n- at least 8 characters\n- one digit",
        "Forgot the password? (see below) [here]",
        "Token: (see the manual)",
        "Use login <user> <password> and <token>, then go on.",
        "cookies: yes\nsecrets: inherit\npasswords: 3000",
        "This is a test of the token:\n    the tokens are counted",
        # program text
        "if token:\n    send(token)\n",
        "def login(password):\n    return check(password)\n",
        "    token:\n        The token to use.\n    secret:\n        Optional.\n",
        "token = (first or second)",
        "token = [each for each in line]",
        "token = {name: value}",
        "token: [str]",
        "f(token=(a + b), secret=[a, b])",
        "password = getpass.getpass('Password: ')",
        "input('Password:\\n')",
        'if kind == "token":\n    raise ValueError\n',
        'if kind == "token":\n    """A docstring."""\n',
        "d = {'password': get_password(), 'token': make(1)}",
        "{'tokens': ['a', 'b'], 'max_tokens': 512}",
        'f"Token: {token} {self.token!r} {token:>8}"',
        "secret: {{ vault_secret }}",
        "let t: Vec<Token > = parse::<Token>();",
        'Parameter(name="api_key", kind="query")',
        "kwargs.get('token', [])",
        '{"password": [], "secret": {}, "token": null, "cookie": ""}',
        "fn login(password: &str, token: &'a str) {}",
        # addresses
        "http://localhost:4873/@scope/package",
        "http://host:8080/a?b=c@d https://example.com:443/x@y",
        "file://C:/Users/bob@corp/x",
        "http://[::1]:8080/@x",
        # escapes
        '\\u0041\\u0042 and \\x41\\x42: "x"',
        '{"na\\u006de": "bob", "max\\u005ftokens": 5}',
    ],
)
def test_ordinary_texts_come_back_as_they_are(redactor: Redactor, text: str) -> None:
    """A name alone is no secret, nor is what a program or a sentence says of it."""
    assert redactor.clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('{"password": ["a"], "b": [1]}', '{"password": [redacted:pair], "b": [1]}'),
        ('{"password": ["a]\\"]"], "b": [1]}', '{"password": [redacted:pair], "b": [1]}'),
        ('{"password": ["a\\\\"], "b": ["1"]}', '{"password": [redacted:pair], "b": ["1"]}'),
        ("a:\n  password:\n    - x1\n\n    - y1\n  b: 1\n", "a:\n  password:\n    [redacted:pair]\n  b: 1\n"),
        ("<password>\n x1\n</password>\n<b>1</b>", "<password>\n [redacted:pair]\n</password>\n<b>1</b>"),
        (
            "<password>{a}x1</password> <token>{{ a }}</token>",
            "<password>[redacted:pair]</password> <token>{{ a }}</token>",
        ),
        ('<add key="password" value="x1" b="1"/>', '<add key="password" value="[redacted:pair]" b="1"/>'),
        ("postgres://u:a/b@h/db?x=1@2", "postgres://u:[redacted:url]@h/db?x=1@2"),
        ('password: "x1\n  y1"\nb: 1', 'password: "[redacted:pair]"\nb: 1'),
        ('API_TOKEN = "x1"\n"""A text."""', 'API_TOKEN = "[redacted:pair]"\n"""A text."""'),
        ("{'password': 'x1 '\n  'y1', 'b': 1}", "{'password': '[redacted:pair]', 'b': 1}"),
        # What only looks like a structure is a word.
        ("API_TOKEN={x1(y1 z", "API_TOKEN=[redacted:pair] z"),
        ("API_TOKEN=[x1]y1 z", "API_TOKEN=[redacted:pair] z"),
        ("API_TOKEN=\\ny1 z", "API_TOKEN=[redacted:pair] z"),
        ("token: !x1y1 z1z", "token: [redacted:pair]"),
        ("token: !x1y1", "token: [redacted:pair]"),
        # What was cut off has no end.
        ('{"b": 1, "password": ["a", "b', '{"b": 1, "password": [redacted:pair]'),
        # The text that it stands in ends it.
        ('"{\\"password\\": [1, \\"x", "b": [1]', '"{\\"password\\": [redacted:pair]", "b": [1]'),
    ],
)
def test_no_more_goes_than_the_value(redactor: Redactor, text: str, cleaned: str) -> None:
    """To its bracket, its dedent, its tag."""
    assert redactor.clean_text(text) == cleaned


# -- errors -------------------------------------------------------------------


def kept_of(error: Exception, redactor: Redactor | None = None) -> Any:
    """Return the message and the arguments that are kept of *error*."""
    cleaned = unpack((redactor or make_redactor()).clean_packed(pack(error)))
    return cleaned[2], cleaned[3]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("BEFORE 401", {"headers": {"authorization": [S]}}, "AFTER"),
        ValueError({"password": [S], "a": "BEFORE AFTER"}),
        ValueError("BEFORE", "AFTER", {"credentials": {"user": "bob", "value": S}}),
        ValueError("BEFORE", "AFTER", {"secret": f'it\'s\n"{S}"'}),
        ValueError("BEFORE", "AFTER", f"password:\n  - {S}"),
        ValueError("BEFORE", "AFTER", {"password": S.encode()}),
        KeyError("BEFORE AFTER", {"secret": (S, {S})}),
        OSError(5, "BEFORE", {"token": S}, None, "AFTER"),
        RuntimeError(f"BEFORE with {S} AFTER", {"token": S}),
        _Refused({"authorization": [S]}),
        _Refused({"authorization": (f"x {S}",)}),
        _Refused({"x": {"api_key": S}, "authorization": [S]}, "x"),
    ],
)
def test_what_is_hidden_in_the_arguments_of_an_error_is_hidden_in_its_message(error: Exception) -> None:
    """The message may be all of them printed, or quote a part without its name."""
    message, arguments = kept_of(error)

    assert S not in message
    assert S not in repr(arguments)
    if type(error) is not OSError:
        assert "BEFORE" in message
        assert "AFTER" in message


def test_a_message_that_quotes_a_part_of_a_secret_is_rid_of_it() -> None:
    """A word of it without the others; a short secret only where it is a word."""
    assert kept_of(_Refused({"authorization": f"Bearer {S}"}))[0] == "BEFORE 401 for B, AFTER"

    class Told(Exception):
        def __str__(self) -> str:
            return f"{S} ab abc 4711 47110"

    assert kept_of(Told({"password": f"x {S}"}))[0] == "[redacted:key] ab abc 4711 47110"
    assert kept_of(Told({"password": ["ab", 4711]}))[0] == f"{S} [redacted:key] abc [redacted:key] [redacted:key]0"


def test_an_error_in_a_value_is_no_exception(redactor: Redactor) -> None:
    """Nor one with lone surrogates in its message, nor one whose arguments are too many to look for."""
    inner = ValueError("\ud800", {"password": [S]})
    assert S.encode() not in redactor.clean_packed(pack({"a": [inner]}))

    many = ValueError({"password": [f"{S}{number}" for number in range(30_000)]})
    begun = time.process_time()
    assert kept_of(many, redactor)[0] == "[redacted:key]"
    assert time.process_time() - begun < 5


def test_a_callable_has_its_say_about_an_error_as_ever() -> None:
    """Each leaf once, and what it replaces is its own affair."""
    seen = []

    def mask(path: tuple[str | int, ...], value: Any) -> Any:
        seen.append(path)
        return "an argument" if value == "long" else value

    cleaned = kept_of(ValueError("long", {"password": S}), make_redactor(("secrets", mask)))

    assert seen == [("message",), ("args", 0)]
    assert cleaned == ("('long', {'password': '[redacted:pair]'})", ["an argument", {"password": "[redacted:key]"}])


# -- members of enumerations --------------------------------------------------


class Vault(enum.Enum):
    DB_PASSWORD = S
    API_KEYS = (S, 1)
    API_KEY = "api_key"
    REFRESH_TOKEN = "refreshToken"
    USER = "bob"
    COOKIE = 5


def test_a_member_with_a_secrets_name_has_its_value_hidden(tmp_path: pathlib.Path) -> None:
    """Unless the value is the name again, as it mostly is, or a small number."""
    with replaykit.Recorder(tmp_path / "runs.rpk") as recorder, recorder.session("BEFORE") as session:
        for member in Vault:
            give(member)
        live = bytes_of(tmp_path)
    data = live + bytes_of(tmp_path)
    values = [action.output.fields["value"] for action in session.result.actions]

    assert S.encode() not in data
    assert values == ["[redacted:key]", "[redacted:key]", "api_key", "refreshToken", "bob", 5]


# -- tokens of a model, which are no secrets --------------------------------------

_LOGPROB = {"token": " Paris", "logprob": -1.5e-05, "bytes": [32, 80, 97]}
_MODEL_TOKENS = [
    {**_LOGPROB, "top_logprobs": [{**_LOGPROB, "token": ' "a\\\n'}, {**_LOGPROB, "token": "\\", "bytes": None}]},
    {"bytes": None, "logprob": -0.1, "token": "password"},
    {"token": 4711, "score": 0.99, "token_str": "Paris", "sequence": "I live in Paris."},
    {"score": 0.99, "token_str": "Paris", "token": 4711},
]


def _object_of(fields: dict[str, Any]) -> Any:
    return dataclasses.make_dataclass("Fields", fields)(**fields)


_WRITINGS: list[Callable[[Any], Any]] = [
    lambda value: value,
    json.dumps,
    lambda value: json.dumps(value, indent=2, sort_keys=True),
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    lambda value: json.dumps({"body": json.dumps(value)}),
    lambda value: json.dumps({"body": json.dumps(value, indent=1)}),
    lambda value: [_object_of(each) for each in value],
]


@pytest.mark.parametrize("write", _WRITINGS)
@pytest.mark.parametrize("fields", _MODEL_TOKENS)
def test_a_token_of_a_model_is_no_secret(
    redactor: Redactor, fields: dict[str, Any], write: Callable[[Any], Any]
) -> None:
    """Beside its probability, or its text, in maps, objects and JSON: a play gives what was returned."""
    packed = pack({"content": write([fields] * 5)})

    assert redactor.clean_packed(packed) == packed


@pytest.mark.parametrize("write", _WRITINGS)
@pytest.mark.parametrize(
    "fields",
    [
        {"token": S, "score": 5},
        {"token": S, "index": 5, "user": "bob"},
        {"token": S, "score": 0.99, "index": 5, "start": 3, "word": "x"},
        {"access_token": S, "logprob": -0.1},
        {"password": S, "logprob": -0.1, "token": "x"},
        {"a": {"logprob": -0.1}, "token": S},
        {"token": "sk-abcdefghijklmnopqrst" + S, "logprob": -0.1},
    ],
)
def test_any_other_token_is_one(redactor: Redactor, fields: dict[str, Any], write: Callable[[Any], Any]) -> None:
    """Also what has the shape of a secret."""
    assert S.encode() not in redactor.clean_packed(pack({"content": write([fields] * 5)}))


@pytest.mark.parametrize("version", ["secrets/1", "secrets/2"])
@pytest.mark.parametrize("write", _WRITINGS[:2])
def test_older_rules_hide_tokens_of_a_model(version: str, write: Callable[[Any], Any]) -> None:
    """As they did when the session was recorded."""
    packed = redactor_for(version).clean_packed(pack(write([_MODEL_TOKENS[0]])))

    assert b"Paris" not in packed


# -- older rules --------------------------------------------------------------


@pytest.mark.parametrize("version", ["secrets/1", "secrets/2"])
def test_older_rules_hide_what_they_hid(version: str) -> None:
    """A call is matched by its arguments as the rules of its recording leave them."""
    older = redactor_for(version)
    for name, text in SHAPES.items():
        if name in OLDER_RULES_HID:
            assert S not in older.clean_text(text), name
        else:
            assert S in older.clean_text(text), name
    assert unpack(older.clean_packed(pack(Vault.DB_PASSWORD)))[-1] == S
    assert S in kept_of(_Refused({"authorization": [S]}), older)[0]


def test_a_recording_by_older_rules_plays(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls have in their arguments what today's rules would hide."""
    text = SHAPES["json list"]
    with monkeypatch.context() as patched:
        patched.setitem(CURRENT, "secrets", "secrets/2")
        with replaykit.Recorder(tmp_path / "old.rpk") as recorder, recorder.session("run") as session:
            give(text)
            give(Vault.DB_PASSWORD)
            give({"password": S})

    assert session.result.redaction == "secrets/2"
    with replaykit.play(session.result) as player:
        assert give(text) == text
        give(Vault.DB_PASSWORD)
        assert give({"password": "another"}) == {"password": "[redacted:key]"}
    assert player.unused == ()


def test_a_call_with_a_structure_in_it_plays() -> None:
    """What today's rules hide in its arguments they hide again."""
    with replaykit.session("run", store=":memory:") as session:
        for text in SHAPES.values():
            give(text)
        give(Vault.DB_PASSWORD)
    assert session.result.redaction == "secrets/3"

    with replaykit.play(session.result) as player:
        for text in SHAPES.values():
            give(text)
        give(Vault.DB_PASSWORD)
    assert player.play_count == len(SHAPES) + 1


# -- bounds -------------------------------------------------------------------

HOSTILE = (
    '"password":[',
    '"password":["',
    '"password":[[[[[[[[',
    '"password":["\\\\"]',
    "'password':['",
    "'password':('a',),",
    '\\"password\\":[\\"',
    "password:[x",
    "password: [x,\n",
    "password: [x]\n ",
    "a: {password: [x ",
    "password=(",
    "token=(a ",
    "token=[[[[",
    "password=X(",
    "password=X('",
    "password:\n",
    "password:\n  - a\n",
    "password:\n- a\n",
    "password:\n the a\n",
    "password: |\n",
    " password: |\n\n",
    "password: &a ",
    "password: &a !b &c ",
    'password: "a\n ',
    "password:\\n  a\\n",
    '"password:\\n  a',
    "password       ",
    "password       :       ",
    "password\n\n\n:\n\n\n",
    "<password >",
    "<password>x",
    "<password a='b'>x</password>",
    "<password><password>",
    "<password></password",
    "<a1password><a2password>x",
    "<<password ",
    'name="password"',
    'name="password">',
    'value="password" ',
    'value="a" key="password"/>',
    'value=value="name="password"',
    '<a name="token">',
    "\\u0041",
    '"\\u0041',
    '"\\u0070assword":[',
    "\\x41'",
    "://a:b/",
    "://a:b/@",
    "://a:/@a",
    "://a:b/c@d@",
    "\\\\\\",
    "[redacted:pair]password:",
    "password: [redacted:pair]\n",
)

LOOKED_AT_FOR_LONG = (
    r"{\"password\": [\"a\\\\\", ",
    r"\"password\": [\"a\", {\"b\": \"c\\\", ",
    r"\"password\": {\"u\": \"C:\\\\\\\\x\\\", ",
    r": \\\\\"password\": [\"]",
    ' "password: [hunter]\n',
    '"password: [hunter]',
    "=api_keys",
    '"password: \\\\tfoo ',
)
"""One way to read them ends soon, another goes on to the end of the text and fails."""


def _seconds(redactor: Redactor, text: str) -> float:
    packed, best = pack(text), 9.0
    for _ in range(2):
        begun = time.process_time()
        redactor.clean_packed(packed)
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.parametrize("unit", [*some_of(HOSTILE), *some_of(LOOKED_AT_FOR_LONG)])
def test_hostile_structures_take_linear_time(redactor: Redactor, unit: str) -> None:
    """Four times the input takes about four times as long, and an eighth of a megabyte never seconds."""
    small, large = (_seconds(redactor, unit * (size // len(unit))) for size in (32_768, 131_072))

    assert large < 12 * small + 0.05
    assert large < 2


FRAGMENTS = [
    "a", "x1", "1", " ", "[", "{", "(", "]", "}", ")", ":", "=", ",", "|", ">", "<", "/", "@", "://", "--token ", "%3D",
    '"', "'", '"""', "\'\'\'", '\\"', '\\\\\\"', "\\", "\\\\", "\\\\\\", "\n", "\n  ", "\n- ", "\r\n", "\\n", "\\n  ",
    "\\\\n", "password", "token", "api_keys", "credentials", "secrets ", "password=", "password: ", '"password": ',
    '\\"password\\": ', "'token': ", '\\\\\\"secret\\\\\\": ', '\\"password\\": [\\"', '"password: [',
    "password: [hunter", '"\\u0070', 'name="token"', 'value="', "value=", "<password>", "<secret a=", "</password>",
    "X(", "('token', '", ": |\n ", "&a ", "!b ", "{{", "$(", "[redacted:pair]", "authorization: ", "Bearer ",
]  # fmt: skip
"""What decides where a secret ends; texts of it, repeated, are what a search goes wrong on."""


@pytest.mark.parametrize("number", range(effort(2_000)))
def test_texts_of_anything_repeated_take_linear_time(redactor: Redactor, number: int) -> None:
    """Likewise of fragments put together at random, behind and before others that make all of it one text or block."""
    chance = random.Random(number)
    before, unit, after = ("".join(chance.choices(FRAGMENTS, k=chance.randint(0, most))) for most in (3, 9, 3))
    unit = chance.choice(FRAGMENTS) + unit

    def seconds(size: int) -> float:
        return _seconds(redactor, before + unit * (size // len(unit)) + after)

    small, large = seconds(10_000), seconds(40_000)

    assert large < 12 * small + 0.05, (before, unit, after)


def test_a_text_that_ends_with_a_backslash_hides_no_more_than_it_is_in(redactor: Redactor) -> None:
    """Read as JSON in JSON it would go on; only where other secrets stand on that way all of it goes."""
    rest = [{"id": number, "text": "Some words of an answer."} for number in range(100)]

    cleaned = redactor.clean_text(json.dumps({"credentials": {"path": "C:\\Users\\"}, "rest": rest}))

    assert cleaned == json.dumps({"credentials": 0, "rest": rest}).replace("0", "[redacted:pair]", 1)


def test_what_a_rule_begins_with_is_where_it_matches() -> None:
    """Rules that ignore case are only tried where that stands: no match of theirs may begin otherwise."""
    chance = random.Random(1)
    texts = [*SHAPES.values(), *("".join(chance.choices(FRAGMENTS, k=40)) for _ in range(effort(200_000)))]
    rules = {rule for rules in RULES_OF.values() for rule in rules if rule.begins}

    for rule in rules:
        found = [each[0] for text in texts for each in rule.decider.finditer(text.encode())]

        assert all(re.match(rule.begins, each.lower()) for each in found)


@pytest.mark.parametrize("shape", ["staircase", "nested", "backslashes", "quotes"])
def test_deep_structures_take_linear_time(redactor: Redactor, shape: str) -> None:
    """Blocks in blocks, lists in lists, and runs of what decides where a text ends."""

    def made(size: int) -> str:
        if shape == "staircase":
            steps = int((2 * size) ** 0.5)
            return "".join(f"{' ' * step}token: [x\n" for step in range(steps))
        if shape == "nested":
            return "token=(" * (size // 16) + ")" * (size // 16)
        if shape == "backslashes":
            return '{"password": ["' + "\\" * size
        return "{'password': [" + "\\'\"" * (size // 3)

    def seconds(size: int) -> float:
        packed = pack(made(size))
        begun = time.process_time()
        redactor.clean_packed(packed)
        return time.process_time() - begun

    small, large = min(seconds(32_768) for _ in range(2)), seconds(131_072)

    assert large < 12 * small + 0.05
    assert large < 2


# -- properties ---------------------------------------------------------------

_PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cs", "Cc")), max_size=8)
_MARK_BEFORE, _MARK_AFTER = "zq1", "zq9"
_SECRETS = st.one_of(
    _PRINTABLE,
    st.text(st.sampled_from("\\'\"[]{}(),: <>&\n"), max_size=8),
    st.sampled_from(["]", '"]', "'}", "\\", "\\'"]),
).map(lambda text: f"{_MARK_BEFORE}{text}{_MARK_AFTER}")
_OTHERS = st.one_of(
    _PRINTABLE, st.integers(), st.none(), st.booleans(), st.text(st.sampled_from("\\'\"[]{}"), max_size=5)
)
_NAMES = st.sampled_from(["password", "api_key", "Authorization", "DB_PASSWORD", "client-secret", "accessToken"])


def _nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3),
            st.dictionaries(st.sampled_from(["a", "b c", "max_tokens", "x:"]), inner, min_size=1, max_size=3),
        ),
        max_leaves=5,
    )


_HELD = _nested(st.one_of(_SECRETS, st.lists(st.one_of(_SECRETS, _OTHERS), min_size=1, max_size=4)))


@st.composite
def _documents(draw: st.DrawFn) -> Any:
    """Draw maps and lists, one of which has a secret's name with secrets under it."""
    value: Any = {
        **draw(st.dictionaries(st.sampled_from(["a", "b"]), _OTHERS, max_size=2)),
        draw(_NAMES): draw(_HELD),
        "z": draw(_OTHERS),
    }
    for _ in range(draw(st.integers(0, 2))):
        value = [draw(_OTHERS), value] if draw(st.booleans()) else {"q": draw(_OTHERS), "r": value}
    return value


def _assert_unmarked(text: str) -> None:
    once = make_redactor().clean_text(text)
    assert _MARK_BEFORE not in once, (text, once)
    assert _MARK_AFTER not in once, (text, once)
    assert make_redactor().clean_text(once) == once


@settings(max_examples=effort(20_000), deadline=None)
@given(_documents(), st.sampled_from([None, 0, 1, 2, "\t"]), st.booleans(), st.integers(0, 2))
def test_no_secret_survives_in_json(value: Any, indent: Any, is_ascii: bool, times: int) -> None:
    """Of any printable text, however it is laid out, and as a text in JSON in JSON."""
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    for _ in range(times):
        text = json.dumps({"body": text})

    _assert_unmarked(text)


@settings(max_examples=effort(20_000), deadline=None)
@given(_documents(), st.booleans(), st.booleans(), st.integers(1, 80))
def test_no_secret_survives_in_printed_python(value: Any, is_pretty: bool, is_in_json: bool, width: int) -> None:
    """``repr``, over several lines, and inside JSON."""
    text = pprint.pformat(value, width=width, sort_dicts=False) if is_pretty else repr(value)

    _assert_unmarked(json.dumps({"log": text}) if is_in_json else text)


def _yaml(value: Any, indent: int, style: str) -> str:
    """Return *value* as a careful writer of YAML would put it."""
    blanks = " " * indent
    if isinstance(value, dict):
        return "".join(
            f"\n{blanks}{json.dumps(k) if ':' in k else k}:{_yaml(v, indent + 2, style)}" for k, v in value.items()
        )
    if isinstance(value, list):
        return "".join(f"\n{blanks}-{_yaml(each, indent + 2, style)}" for each in value)
    if not isinstance(value, str):
        return f" {json.dumps(value)}"
    lines = value.split("\n")
    if style == "literal" and value.strip() and not value[:1].isspace():
        return " |" + "".join(f"\n{blanks}  {line}" for line in lines)
    return f" {json.dumps(value)}"


@settings(max_examples=effort(20_000), deadline=None)
@given(_documents(), st.sampled_from(["quoted", "literal"]), st.booleans())
def test_no_secret_survives_in_yaml(value: Any, style: str, is_in_json: bool) -> None:
    """Lists, maps, quoted texts and literal blocks, to any depth."""
    text = _yaml(value, 0, style).lstrip("\n") + "\n"

    _assert_unmarked(json.dumps({"file": text}) if is_in_json else text)
