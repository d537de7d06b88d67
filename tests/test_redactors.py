"""The rules of redaction: no planted secret survives, and what holds none is left alone."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import random
import string
import subprocess
import sys
import sysconfig
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from effort import effort, some_of
from hypothesis import given, settings
from hypothesis import strategies as st

import replaykit
from replaykit.cli.as_json import dump
from replaykit.errors import RedactionError, ReplaykitWarning
from replaykit.format.values import pack, plain, unpack
from replaykit.redactors import Redactor, make_redactor, redactor_for

KEYS = [
    "password",
    "passwd",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "api_key",
    "apikey",
    "x-api-key",
    "authorization",
    "private_key",
    "access_key",
    "secret_key",
    "cookie",
    "set-cookie",
    "credential",
    "credentials",
    "session_token",
    "db_password",
    "OPENAI_API_KEY",
    "x_auth_token",
    "clientSecret",
    "accessToken",
    "apiKey",
    "aws_secret_access_key",
    "passphrase",
]
ROOT = pathlib.Path(__file__).resolve().parents[1]


def _no_hyperscan() -> Any:
    raise ImportError("not on this platform")


def _random_text(rng: random.Random, size: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(rng.choices(letters, k=size))


def _shapes(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield (text, secret): the secret must not be found in what is kept of the text."""

    def of(prefix: str, size: int, letters: str = string.ascii_letters + string.digits) -> tuple[str, str]:
        secret = _random_text(rng, size, letters)
        return prefix + secret, secret

    urlsafe = string.ascii_letters + string.digits + "-_"
    for prefix, size in (
        ("sk-", 48),
        ("sk-proj-", 40),
        ("sk-ant-api03-", 60),
        ("sk_live_", 24),
        ("rk_test_", 24),
        ("ghp_", 36),
        ("gho_", 36),
        ("ghu_", 36),
        ("ghs_", 36),
        ("ghr_", 36),
        ("github_pat_", 60),
        ("glpat-", 20),
        ("xoxb-", 40),
        ("xoxp-", 40),
        ("xapp-", 40),
        ("AIza", 35),
        ("ya29.", 60),
        ("GOCSPX-", 28),
        ("whsec_", 32),
        ("hf_", 34),
        ("gsk_", 40),
        ("npm_", 36),
        ("pypi-AgEI", 80),
        ("pcsk_", 40),
        ("Bearer ", 30),
        ("bearer  ", 24),
    ):
        yield of(prefix, size)
    yield of("AKIA", 16, string.ascii_uppercase + string.digits)
    yield of("ASIA", 16, string.ascii_uppercase + string.digits)
    first, second = _random_text(rng, 22, urlsafe), _random_text(rng, 43, urlsafe)
    yield f"SG.{first}.{second}", second
    body = _random_text(rng, 40, urlsafe)
    yield f"eyJhbGciOiJIUzI1NiJ9.eyJ{body}.{_random_text(rng, 43, urlsafe)}", body
    lines = "\n".join(_random_text(rng, 64) for _ in range(5))
    yield f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----", lines[80:120]
    yield f"-----BEGIN PRIVATE KEY-----\\n{lines[:64]}\\n", lines[:64]
    word = _random_text(rng, 12)
    yield f"postgres://bob:{word}@db.example.com/x", word
    yield f"redis://:{word}@cache:6379/0", word
    yield "Basic dXNlcjpodW50ZXIyaHVudGVy", "dXNlcjpodW50ZXIyaHVudGVy"


def _random_case(rng: random.Random, text: str) -> str:
    return "".join(rng.choice((char.lower(), char.upper())) for char in text)


PAIRS = (
    "{k}={v}",
    "export {k}={v}",
    "{k}: {v}",
    '{{"{k}": "{v}", "a": 1}}',
    "{{'{k}': '{v}'}}",
    '{k} = "{v}"',
    "?a=1&{k}={v}&b=2",
    '{{\\"{k}\\": \\"{v}\\"}}',
    "--{k} {v} --verbose",
    "--{k}={v}",
    "('{k}', '{v}')",
    "(b'{k}', b'{v}')",
    "<{k}>{v}</{k}>",
    'curl -H "{k}: {v}" https://x',
    "a\n{k}={v}\nb",
    "'{k}' => '{v}'",
    "log: user=bob, {k}={v}, host=x",
    "{k}:={v}",
)


@dataclasses.dataclass
class Login:
    user: str
    password: str
    note: Any = None


HOLDERS: tuple[Callable[[str], Any], ...] = (
    lambda text: text,
    lambda text: {"query": text},
    lambda text: {"a": [{"b": ("x", [text])}]},
    lambda text: {"data": text.encode()},
    lambda text: b"\x00\x07\xff " + text.encode() + b" \xfe",
    lambda text: Login("bob", "", note=text),
    lambda text: ValueError("failed", text),
    lambda text: {text: 1},
    lambda text: {(1, text): 1, "plain": 2},
    lambda text: {text.encode(), "x"},
    lambda text: "\ud800 " + text + " ü 日本",
    lambda text: f"Grüße 日本 {text} und weiter",
    lambda text: pathlib.PurePosixPath("/tmp") / text.replace("/", "_") if "://" not in text else text,
)


def _forms(secret: str) -> tuple[bytes, ...]:
    return secret.encode(), secret.encode("utf-16-le")


def _assert_gone(redactor: Redactor, value: Any, secret: str) -> None:
    packed = redactor.clean_packed(pack(value))
    assert not any(form in packed for form in _forms(secret)), (value, unpack(packed))
    assert redactor.clean_packed(packed) == packed, "redacting twice changed something"
    plain(unpack(packed), notes=set())


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return make_redactor()


@pytest.fixture(scope="module")
def without_hyperscan() -> Redactor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplaykitWarning)
        made = make_redactor(load=_no_hyperscan)
        made.prepare()
    return made


# -- recall -------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["redactor", "without_hyperscan"])
def test_no_shape_survives_in_any_holder(engine: str, request: pytest.FixtureRequest) -> None:
    """Every shape of secret is replaced in text, bytes, keys, errors and objects."""
    redactor = request.getfixturevalue(engine)
    rng = random.Random(1)
    planted = 0
    for text, secret in _shapes(rng):
        for holder in HOLDERS:
            for around in ("{}", "see {} there", "\\n{}\\n", '{{"x": "{}"}}'):
                _assert_gone(redactor, holder(around.format(text)), secret)
                planted += 1
    assert planted >= 200


@pytest.mark.parametrize("key", KEYS)
def test_what_stands_under_a_secret_name_is_replaced_as_a_whole(redactor: Redactor, key: str) -> None:
    """In any case and spelling; text, bytes, numbers, lists, maps and typed values alike."""
    rng = random.Random(key)
    secret = "zq" + _random_text(rng, 8)
    values: tuple[Any, ...] = (
        secret,
        secret.encode(),
        [secret],
        {"a": secret},
        (secret, 1),
        {secret},
        Login(secret, secret),
        123456789,
        -1.5,
    )
    for name in (
        key,
        _random_case(rng, key),
        key.replace("_", "-"),
        key.replace("_", ""),
        key.replace("-", "_"),
    ):
        for value in values:
            cleaned = unpack(redactor.clean_packed(pack({"a": {name: value, "next": "x"}})))
            assert {"a": {name: "[redacted:key]", "next": "x"}} == cleaned


@pytest.mark.parametrize("engine", ["redactor", "without_hyperscan"])
@pytest.mark.parametrize("pattern", PAIRS)
def test_pairs_in_texts_are_replaced(pattern: str, engine: str, request: pytest.FixtureRequest) -> None:
    """A name and its value in the text of JSON, an environment, a URL, a command, a header or a repr."""
    redactor = request.getfixturevalue(engine)
    rng = random.Random(pattern)
    for key in KEYS:
        secret = "zq" + _random_text(rng, 10)
        text = pattern.format(k=_random_case(rng, key), v=secret)
        _assert_gone(redactor, {"text": text}, secret)
        assert secret not in redactor.clean_text(text), text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('password = "two words and \\"more\\" of it"', "more"),
        ("PASSWORD=a(b)c,d;e&f", ",d;e&f"),
        ("Cookie: sid=abc; theme=dark\nHost: x", "theme=dark"),
        ("Authorization: Digest username=bob, response=6629fae4", "6629fae4"),
        ('curl -H "Authorization: token abc123" x', "abc123"),
        (r"{\"api_key\": \"abc\\\"def\"}", "def"),
        ("os.environ['TOKEN'] = 'abc'", "abc"),
        ("redirect=https%3A//x/?token%3Dabc123", "abc123"),
        ("password: пароль123", "пароль"),
        ("password: swordfish", "swordfish"),
        ("password=supersecret", "supersecret"),
        ("https://u:p@ss@host/x", "p@ss"),
        ("https://u:p@ss@host/x", "ss@"),
    ],
)
def test_the_whole_secret_goes(redactor: Redactor, text: str, secret: str) -> None:
    """Nothing of a secret is left behind quotes, escapes and separators."""
    _assert_gone(redactor, [text], secret)


@pytest.mark.parametrize("texts", range(4))
def test_a_name_in_json_that_is_a_text_in_json_counts(redactor: Redactor, texts: int) -> None:
    """Three times: seven backslashes before each quote."""
    value = json.dumps({"password": "zq1secret", "user": "bob"})
    for _ in range(texts):
        value = json.dumps({"body": value})

    _assert_gone(redactor, value, "zq1secret")


@pytest.mark.parametrize(
    "value",
    [
        [("X-Api-Key", "zq1secret"), ("Accept", "x")],
        [(b"authorization", b"zq1secret")],
        {"headers": [{"name": "Authorization", "value": "zq1secret"}]},
        {"headers": [{"value": "zq1secret", "key": "token"}]},
        [{"value": "zq1secret", "name": "password"}, None],
        [{"value": "zq1secret", "key": "Müller's long-winded and many-splendoured password"}, 5],
        ["curl", "--password", "zq1secret", "-v"],
        {("db", "password"): "zq1secret"},
        {b"password": "zq1secret"},
        {"\ud800": 1, "password": "zq1secret"},
        ValueError("password", "zq1secret"),
        {"cookies": {"sid": "zq1secret"}},
    ],
)
def test_names_beside_values_count_too(redactor: Redactor, value: Any) -> None:
    """Header lists, name and value objects, command lines and unusual keys announce a secret as well."""
    _assert_gone(redactor, value, "zq1secret")


@pytest.mark.libraries
def test_an_array_with_a_secret_is_replaced_as_a_whole(redactor: Redactor) -> None:
    """With some bytes exchanged an array could not be read any more."""
    import numpy

    key = "sk-abcdefghijklmnopqrstuvwx"
    value = {"a": numpy.array([key.encode(), b"x"]), "b": numpy.arange(3), "c": numpy.array(["x", key])}

    cleaned = unpack(redactor.clean_packed(pack(value)))

    assert cleaned["a"] == cleaned["c"] == "[redacted:openai]"
    assert unpack(pack(value))["b"] == cleaned["b"]


def test_two_secrets_used_as_keys_stay_two_entries(redactor: Redactor) -> None:
    """No value is lost because its key was redacted."""
    value = {"sk-" + "a1" * 12: 1, "sk-" + "b2" * 12: 2}

    assert unpack(redactor.clean_packed(pack(value))) == {"[redacted:openai]": 1, "[redacted:openai] (2)": 2}


# -- what stays ---------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 512, "passwords": 3000},
        {"prompt_tokens": 17, "tokenizer": "bpe", "token_count": 3, "tokens": ["a", "b"]},
        {"password": None, "secret": True, "token": False},
        {"eos_token": "</s>", "secretary": "Bob", "keyboard": "x", "author": "y"},
        "max_tokens=5, temperature=0.2",
        "token = something()",
        "token = next(lines)",
        "password = os.environ['DB']",
        "self.token = token",
        "def login(user: str, password: str) -> None:",
        "Client(api_key=api_key, token=self.token)",
        "basic understanding of bearer authentication",
        "disk-usage-monitor-of-the-task-force and risk-management-framework",
        "https://example.com:8080/path?x=1 and git@github.com:org/repo.git",
        "http://localhost:4873/@scope/package",
        "Password: must be at least 8 characters",
        "password=${DB_PASSWORD} token={token} secret=<your-secret> cookie=***",
        'input("Password: ")',
        {"id": 1, "text": "The secret of good tea is a warm pot.", "score": 0.5},
        ["token", 5, "other"],
    ],
)
def test_ordinary_values_come_back_as_they_are(redactor: Redactor, value: Any) -> None:
    """The same object, not a copy: nothing was decoded for nothing, nothing was hidden."""
    packed = pack(value)

    assert redactor.clean_packed(packed) is packed


def test_ordinary_source_has_hardly_a_false_hit(redactor: Redactor) -> None:
    """At most one false hit per 50 KB of this library's source; its own table of rules holds most of them."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "replaykit").rglob("*.py"))]
    size = sum(map(len, texts))
    before = sum(redactor.fired.values())
    for text in texts:
        redactor.clean_text(text)
    hits = sum(redactor.fired.values()) - before
    print(f"{hits} false hits in {len(texts)} files, {size // 1024} KB")

    assert hits <= size // 50_000 + 1


def test_licence_texts_have_no_false_hit(redactor: Redactor) -> None:
    """The licences of the installed packages are plain English prose."""
    packages = pathlib.Path(sysconfig.get_paths()["purelib"])
    texts = [path.read_bytes() for path in packages.glob("*.dist-info/**/LICENSE*") if path.is_file()]

    assert texts
    assert [text for text in texts if redactor.clean_value(text) is not text] == []


def test_a_clean_payload_is_the_same_object_without_hyperscan(without_hyperscan: Redactor) -> None:
    """The slow path gives back what it was given, too."""
    packed = pack({"a": [1, "The quick brown fox", (2, 3), {"x"}], "max_tokens": 5})

    assert without_hyperscan.clean_packed(packed) is packed


# -- the engine ---------------------------------------------------------------


def test_without_hyperscan_there_is_one_warning() -> None:
    """And redaction works nevertheless."""

    def load() -> Any:
        raise ImportError("none")

    with pytest.warns(ReplaykitWarning) as caught:
        for _ in range(3):
            cleaned = make_redactor(load=load).clean_packed(pack({"password": "hunter2"}))
            assert unpack(cleaned) == {"password": "[redacted:key]"}

    assert len(caught) == 1


def test_a_processor_that_hyperscan_cannot_use_is_like_no_hyperscan() -> None:
    """The wheel loads, its databases are of no use: the slow path, not a lost payload."""
    import hyperscan

    def refuse(*_data: Any, **_options: Any) -> Any:
        raise hyperscan.ArchitectureError("needs SSSE3")

    module = types.SimpleNamespace(**{**vars(hyperscan), "Database": refuse, "loadb": refuse})
    with pytest.warns(ReplaykitWarning, match="ArchitectureError"):
        cleaned = make_redactor(load=lambda: module).clean_packed(pack({"password": "hunter2"}))

    assert unpack(cleaned) == {"password": "[redacted:key]"}


def test_importing_loads_nothing_and_the_first_call_does() -> None:
    """Hyperscan is loaded when the first payload is scanned."""
    code = (
        "import sys; from replaykit.redactors import make_redactor; r = make_redactor();"
        "assert 'hyperscan' not in sys.modules; r.clean_packed(b'\\xa1x'); assert 'hyperscan' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_eight_threads_scan_at_once_and_nothing_is_lost() -> None:
    """Each thread has its own scratch: no error, every secret found, every clean payload untouched."""
    redactor = make_redactor()
    clean, dirty = pack({"a": "ordinary text " * 50}), pack({"a": "x" * 500, "b": "sk-" + "a1b2" * 8})
    expected = pack({"a": "x" * 500, "b": "[redacted:openai]"})
    barrier, wrong = threading.Barrier(8), []

    def work() -> None:
        try:
            barrier.wait()
            for _ in range(300):
                if redactor.clean_packed(clean) is not clean or redactor.clean_packed(dirty) != expected:
                    wrong.append("differs")
        except Exception as exc:
            wrong.append(repr(exc))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert redactor.fired == {"openai": 2400}


HOSTILE = (
    "eyJ",
    "eyJa.",
    ".eyJab",
    "sk-",
    "QUJD",
    "://",
    "://a:",
    "://a:@",
    "password",
    "password=",
    'password="',
    "password:'x ",
    '\\"',
    "token: ",
    "bearer ",
    "bearer aaaaaaaa",
    "basic ",
    "basic YTpi",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----@",
    "--password ",
    "<password>x",
    "('password', '",
    "cookie: a",
    '"cookie: a" ',
    "SG.aaaaaaaaaaaaaaaaa.",
    "AKIA",
    "xoxb-",
    "=",
    "\\",
    "PASSWORD=",
    "_password",
    "token='\\\\",
)


@pytest.mark.parametrize("unit", some_of(HOSTILE))
def test_hostile_input_takes_linear_time(redactor: Redactor, unit: str) -> None:
    """Four times the input takes about four times as long, and a quarter of a megabyte never seconds."""

    def seconds(size: int) -> float:
        packed = pack(unit * (size // len(unit)))
        best = 9.0
        for _ in range(2):
            begun = time.process_time()
            redactor.clean_packed(packed)
            best = min(best, time.process_time() - begun)
        return best

    small, large = seconds(65_536), seconds(262_144)

    assert large < 12 * small + 0.05
    assert large < 2


def test_a_megabyte_of_hostile_input_is_redacted(redactor: Redactor) -> None:
    """The megabyte inputs of the threat table, with a secret at the end that must not be missed."""
    for unit in ("eyJ", "sk-", "QUJDREVG", "://", "password", "password="):
        secret = "sk-" + "a1b2" * 8
        _assert_gone(redactor, unit * (1_000_000 // len(unit)) + " " + secret, secret)


def test_depth_is_bounded(redactor: Redactor) -> None:
    """A deep value neither exhausts the stack nor hides a secret."""
    value: Any = "sk-" + "a1b2" * 8
    for _ in range(200):
        value = [value]
    _assert_gone(redactor, {"a": value, "b": "sk-" + "c3d4" * 8}, "a1b2a1b2")


# -- properties ---------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        "password",
        "token",
        "=",
        ":",
        " ",
        '"',
        "'",
        "\\",
        "hunter2",
        "sk-abcdefghijklmnopqrst",
        "://",
        "a:b@",
        "Bearer ",
        "[redacted:pair]",
        "[redacted:key]",
        "\n",
        "(",
        ")",
        ",",
        "cookie: ",
        "authorization",
        "Basic YTpi",
        "eyJab.eyJab",
        "<",
        ">",
        "--",
        "x",
        "ü",
        "5",
        "-----BEGIN PRIVATE KEY-----",
        "&",
        "API_KEY",
        "[",
        "]",
        "{",
        "}",
        "\n  ",
        "- ",
        "|",
        "&p ",
        "</password>",
        'key="',
        'value="',
        "\\u0070assword",
        "\\n",
        "/",
    ]
)
_TEXTS = st.lists(_PIECES, max_size=14).map("".join)
_TREES = st.recursive(
    st.one_of(
        _TEXTS,
        st.text(max_size=8),
        _TEXTS.map(str.encode),
        st.integers(),
        st.none(),
        st.booleans(),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(
            st.one_of(st.sampled_from(["password", "name", "value", "max_tokens", "token"]), _TEXTS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=effort(15_000), deadline=None)
@given(_TEXTS)
def test_redacting_a_text_twice_changes_nothing(text: str) -> None:
    """What was redacted is recognised."""
    redactor = make_redactor()
    once = redactor.clean_text(text)

    assert once == redactor.clean_text(once)


@settings(max_examples=effort(10_000), deadline=None)
@given(_TREES)
def test_packed_and_decoded_values_are_redacted_alike(value: Any) -> None:
    """The scan of packed bytes misses nothing that the exact stage would replace."""
    redactor = make_redactor()
    packed = pack(value)
    cleaned = redactor.clean_packed(packed)

    assert pack(redactor.clean_value(unpack(packed))) == cleaned
    assert redactor.clean_packed(cleaned) == cleaned


def _nested(value: Any, levels: int) -> Any:
    return functools.reduce(lambda inner, _: [inner], range(levels), value)


_ANNOUNCED = ["password", "--password", "hunter2", "token: abc", "name", "Basic YTpi", "x", "token", "logprob"]
_HITS = st.recursive(
    st.one_of(st.sampled_from(_ANNOUNCED), st.sampled_from(_ANNOUNCED).map(str.encode), _TEXTS, st.integers(-5, 300)),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=24),
        st.lists(inner, min_size=4, max_size=6).map(tuple),
        st.dictionaries(st.sampled_from([*_ANNOUNCED, "value", "key", "text", 3]), inner, max_size=4),
        st.builds(Login, inner, inner),
        st.builds(ValueError, _TEXTS, inner),
        st.tuples(inner, st.integers(55, 70)).map(lambda pair: _nested(*pair)),
    ),
    max_leaves=40,
)


@settings(max_examples=effort(20_000), deadline=None)
@given(_HITS)
def test_to_ask_first_changes_nothing(value: Any) -> None:
    """Walking only the suspect ones of many items hides, and counts, what walking all of them does."""
    asking, walking = make_redactor(), make_redactor()
    packed = pack({"password": "hunter2", "hits": value})

    assert asking.clean_packed(packed) == pack(walking.clean_value(unpack(packed)))
    assert asking.fired == walking.fired


@dataclasses.dataclass
class Hit:
    id: int
    text: str


@dataclasses.dataclass
class Piece:
    token: str
    logprob: float
    bytes: list[int] | None
    top_logprobs: list[Any]


@pytest.mark.parametrize("as_hit", [dict, Hit])
def test_one_suspect_hit_costs_no_walk_of_the_others(as_hit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many hits those that hold nothing for sure are not gone into."""
    hits = [as_hit(id=each, text="The capital of a country, and a river.") for each in range(100)]
    hits[50] = as_hit(id=50, text="set token: abc in the config")
    packed = pack({"hits": hits})
    walked = _noting_walks(monkeypatch)

    assert b"abc" not in make_redactor().clean_packed(packed)
    assert len(walked) < 12


@pytest.mark.parametrize("as_token", [dict, Piece])
def test_tokens_of_a_model_cost_no_walk(as_token: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is no secret's there is no reason for one."""
    others = [as_token(token=" London", logprob=-2.5, bytes=[32, 76, 111, 110], top_logprobs=[])] * 5
    tokens = [as_token(token=" Paris", logprob=-0.1, bytes=None, top_logprobs=others)] * 100
    packed = pack({"content": tokens})
    walked = _noting_walks(monkeypatch)

    assert make_redactor().clean_packed(packed) is packed
    assert len(walked) < 5


def _noting_walks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    walk, walked = Redactor._walk, []

    def noted(self: Redactor, value: Any, *place: Any) -> Any:
        walked.append(value)
        return walk(self, value, *place)

    monkeypatch.setattr(Redactor, "_walk", noted)
    return walked


# -- the choice of redactors --------------------------------------------------


def test_off_is_off() -> None:
    """``redact=()`` keeps everything and says so."""
    redactor = make_redactor(())
    packed = pack({"password": "hunter2"})

    assert redactor.clean_packed(packed) is packed
    assert redactor.clean_text("password=hunter2") == "password=hunter2"
    assert redactor.version == "none"


def test_unknown_sets_are_refused_with_the_known_ones() -> None:
    """A typing error must not switch redaction off."""
    with pytest.raises(RedactionError, match="Known: secrets, pii"):
        make_redactor(("secret",))
    with pytest.raises(RedactionError, match="neither"):
        make_redactor((5,))  # type: ignore[arg-type]


def test_callables_see_each_leaf_with_its_path() -> None:
    """They run besides the rule sets, and the rules have the last word."""
    seen = []

    def mask(path: tuple[str | int, ...], value: Any) -> Any:
        seen.append((path, value))
        return "sk-" + "a1b2" * 8 if value == "bob" else value

    redactor = make_redactor(("secrets", mask))
    cleaned = unpack(redactor.clean_packed(pack({"a": ["bob", 1], "b": b"x", "password": "y"})))

    assert seen == [(("a", 0), "bob"), (("b",), b"x")]
    assert cleaned == {"a": ["[redacted:openai]", 1], "b": b"x", "password": "[redacted:key]"}
    assert redactor.version.startswith("secrets/3+")


@pytest.mark.parametrize("result", [object(), ["x"], ValueError("zq1secret")])
def test_a_failing_callable_is_an_error_without_the_value(result: Any) -> None:
    """The recorder then drops the payload; the message must not carry it into a log."""

    def broken(_path: Any, _value: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    with pytest.raises(RedactionError) as caught:
        make_redactor((broken,)).clean_packed(pack({"a": "zq1secret"}))

    assert "zq1secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_failing_redactor_costs_the_payload_and_never_the_call() -> None:
    """In every field; the drops are counted, and what could be redacted stays."""

    def broken(_path: Any, value: Any) -> Any:
        if "zq1" in str(value):
            raise ValueError(value)
        return value

    @replaykit.records("find")
    def search(query: str) -> str:
        return f"about {query}"

    recorder = replaykit.Recorder(":memory:", redact=("secrets", broken), on_loss="ignore")
    with recorder.session("zq1", metadata={"a": "zq1", "b": "fine"}) as session:
        assert search("zq1") == "about zq1"
        assert search("x") == "about x"
        session.record("tool", name="zq1", arguments={"a": "x"}, error=ValueError("zq1"))
        session.annotate(c="zq1")

    result = session.result
    assert result is not None
    assert "zq1" not in dump(result)
    assert (result.name, result.metadata["a"], result.metadata["b"]) == ("[redacted:error]", "[redacted:error]", "fine")
    assert result.actions[1].output == "about x"
    assert result.lost == 3
    assert result.redactions == {"error": 7}


def test_fired_counts_and_nothing_else() -> None:
    """Which rules fired how often, without a byte of what they hid."""
    redactor = make_redactor()
    redactor.clean_packed(pack({"password": "x", "b": "password=hunter2 token=abcdef"}))

    assert redactor.fired == {"key": 1, "pair": 2}


def test_a_session_names_the_redactor_that_play_needs() -> None:
    """The version that a session states leads back to the same rules."""
    redactor = redactor_for(make_redactor().version)

    assert redactor.clean_text("a sk-" + "a1b2" * 8) == "a [redacted:openai]"
    assert redactor_for("none").version == "none"
