"""
Secrets planted in every field of a recording: none is in any file, at any time, and the session still plays.

The formats are those that vendors document, written down without a look at the
rules of redaction; surroundings are what logs, code and chats put around them.
"""

from __future__ import annotations

import base64
import os
import random
import signal
import string
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from effort import Figure, effort

import replaykit
from replaykit.cli.as_json import dump

LOWER_HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
UPPER = string.ascii_uppercase + string.digits


Format = Callable[[random.Random], tuple[str, str]]
"""Returns the text to plant and the part of it that must not be found."""


def after(prefix: str, alphabet: str, size: int, suffix: str = "") -> Format:
    def made(rng: random.Random) -> tuple[str, str]:
        secret = "".join(rng.choices(alphabet, k=size))
        return prefix + secret + suffix, secret

    return made


def jwt(rng: random.Random) -> tuple[str, str]:
    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    subject = "".join(rng.choices(ALNUM, k=24))
    payload, signature = part(f'{{"sub":"{subject}","iat":1516239022}}'), "".join(rng.choices(URL_SAFE, k=43))
    head = part('{"alg":"HS256","typ":"JWT"}')
    return f"{head}.{payload}.{signature}", signature


def pem(kind: str) -> Format:
    def made(rng: random.Random) -> tuple[str, str]:
        lines = ["".join(rng.choices(BASE64, k=64)) for _ in range(6)]
        body = "\n".join(lines)
        return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----", lines[3]

    return made


def azure_devops(rng: random.Random) -> tuple[str, str]:
    head = "".join(rng.choices(ALNUM, k=76))
    return f"{head}AZDOa1b2", head


def sendgrid(rng: random.Random) -> tuple[str, str]:
    first, second = ("".join(rng.choices(URL_SAFE, k=size)) for size in (22, 43))
    return f"SG.{first}.{second}", second


def basic(rng: random.Random) -> tuple[str, str]:
    encoded = base64.b64encode(b"svc-user:" + "".join(rng.choices(ALNUM, k=20)).encode()).decode()
    return f"Authorization: Basic {encoded}", encoded


def service_account(rng: random.Random) -> tuple[str, str]:
    key, line = pem("PRIVATE KEY")(rng)
    escaped = key.replace("\n", "\\n")
    return f'{{"type": "service_account", "private_key": "{escaped}", "client_id": "1"}}', line


FORMATS: dict[str, Format] = {
    "openai legacy": after("sk-", ALNUM, 48),
    "openai project": after("sk-proj-", URL_SAFE, 124),
    "openai service account": after("sk-svcacct-", URL_SAFE, 124),
    "anthropic": after("sk-ant-api03-", URL_SAFE, 93, "AA"),
    "openrouter": after("sk-or-v1-", LOWER_HEX, 64),
    "aws id": after("AKIA", UPPER, 16),
    "aws temporary id": after("ASIA", UPPER, 16),
    "aws secret": after("aws_secret_access_key = ", BASE64, 40),
    "aws session": after("AWS_SESSION_TOKEN=", BASE64, 200),
    "google api": after("AIza", URL_SAFE, 35),
    "google access": after("ya29.", URL_SAFE, 150),
    "google refresh": after("1//0", URL_SAFE, 60),
    "google client": after("GOCSPX-", URL_SAFE, 28),
    "google service account": service_account,
    "azure client": after("abC8Q~", ALNUM, 34),
    "azure storage": after("AccountName=acc;AccountKey=", BASE64, 86, "=="),
    "azure bus": after("Endpoint=sb://x.net/;SharedAccessKeyName=k;SharedAccessKey=", BASE64, 43, "="),
    "azure sas": after("https://a.blob.core.windows.net/c?sv=2022-11-02&sp=r&sig=", ALNUM, 44),
    "azure devops": azure_devops,
    "github classic": after("ghp_", ALNUM, 36),
    "github oauth": after("gho_", ALNUM, 36),
    "github app": after("ghs_", ALNUM, 36),
    "github fine": after("github_pat_", ALNUM + "_", 82),
    "gitlab": after("glpat-", URL_SAFE, 20),
    "gitlab runner": after("glrt-", URL_SAFE, 20),
    "slack bot": after("xoxb-2345678901-2345678901234-", ALNUM, 24),
    "slack user": after("xoxp-2345678901-2345678901-2345678901234-", LOWER_HEX, 32),
    "slack app": after("xapp-1-A02ABCDEF-2345678901-", LOWER_HEX, 64),
    "slack hook": after("https://hooks.slack.com/services/T01ABCDEF/B01ABCDEF/", ALNUM, 24),
    "stripe": after("sk_live_", ALNUM, 24),
    "stripe restricted": after("rk_live_", ALNUM, 99),
    "stripe hook": after("whsec_", ALNUM, 32),
    "hugging face": after("hf_", string.ascii_letters, 34),
    "npm": after("npm_", ALNUM, 36),
    "pypi": after("pypi-AgEIcHlwaS5vcmc", URL_SAFE, 150),
    "sendgrid": sendgrid,
    "twilio key": after("SK", LOWER_HEX, 32),
    "twilio token": after("TWILIO_AUTH_TOKEN=", LOWER_HEX, 32),
    "mailgun": after("key-", LOWER_HEX, 32),
    "mailchimp": after("", LOWER_HEX, 32, "-us21"),
    "telegram": after("7123456789:AA", URL_SAFE, 33),
    "discord hook": after("https://discord.com/api/webhooks/1123456789012345678/", URL_SAFE, 68),
    "databricks": after("dapi", LOWER_HEX, 32),
    "digitalocean": after("dop_v1_", LOWER_HEX, 64),
    "vault": after("hvs.", URL_SAFE, 95),
    "terraform": after("abcdefgh123456.atlasv1.", URL_SAFE, 67),
    "doppler": after("dp.pt.", ALNUM, 43),
    "notion": after("ntn_", ALNUM, 46),
    "linear": after("lin_api_", ALNUM, 40),
    "figma": after("figd_", URL_SAFE, 40),
    "airtable": after("patAbCdEfGhIjKlMn.", LOWER_HEX, 64),
    "replicate": after("r8_", ALNUM, 37),
    "groq": after("gsk_", ALNUM, 52),
    "xai": after("xai-", ALNUM, 80),
    "perplexity": after("pplx-", ALNUM, 48),
    "pinecone": after("pcsk_", ALNUM, 70),
    "tavily": after("tvly-", ALNUM, 32),
    "langsmith": after("lsv2_pt_", LOWER_HEX, 32),
    "new relic": after("NRAK-", UPPER, 27),
    "grafana": after("glsa_", ALNUM, 32, "_1a2b3c4d"),
    "sentry": after("sntrys_", URL_SAFE, 60),
    "rubygems": after("rubygems_", LOWER_HEX, 48),
    "atlassian": after("ATATT3xFfGF0", URL_SAFE, 170),
    "shopify": after("shpat_", LOWER_HEX, 32),
    "square": after("sq0atp-", URL_SAFE, 22),
    "supabase": after("sbp_", LOWER_HEX, 40),
    "jwt": jwt,
    "bearer": after("Authorization: Bearer ", ALNUM, 40),
    "basic": basic,
    "postgres": after("postgresql://app:", ALNUM, 16, "@db.internal:5432/app"),
    "redis": after("redis://:", ALNUM, 16, "@cache:6379/0"),
    "amqp": after("amqps://guest:", ALNUM, 16, "@mq/vhost"),
    "clone": after("https://oauth2:", ALNUM, 20, "@gitlab.example.com/a/b.git"),
    "cookie": after("Cookie: sessionid=", ALNUM, 32),
    "json": after('{"user": "bob", "password": "', ALNUM, 14, '", "n": 1}'),
    "yaml": after("db:\n  password: ", ALNUM, 14, "\n  port: 5432"),
    "dotenv": after("DEBUG=1\nDB_PASSWORD=", ALNUM, 14, "\nPORT=1"),
    "command": after("mysql --user app --password ", ALNUM, 14, " -e x"),
    "call": after("Client(api_key='", ALNUM, 24, "', timeout=3)"),
    "json list": after('{"user": "bob", "password": ["x", "', ALNUM, 14, '"], "n": 1}'),
    "json map": after('{"credentials": {"user": "bob", "value": "', ALNUM, 14, '"}, "n": 1}'),
    "printed": after("{'headers': {'authorization': ('", ALNUM, 24, "',)}, 'n': 1}"),
    "yaml list": after("db:\n  password:\n    - x\n    - ", ALNUM, 14, "\n  port: 5432"),
    "yaml literal": after("db:\n  password: |\n    ", ALNUM, 14, "\n  port: 5432"),
    "xml element": after('<db><password type="text">\n', ALNUM, 14, "\n</password></db>"),
    "xml setting": after('<add key="password" value="', ALNUM, 14, '"/>'),
    "slash": after("postgresql://app:a/", ALNUM, 16, "@db.internal:5432/app"),
    "rsa": pem("RSA PRIVATE KEY"),
    "ec": pem("EC PRIVATE KEY"),
    "openssh": pem("OPENSSH PRIVATE KEY"),
    "pgp": pem("PGP PRIVATE KEY BLOCK"),
}

AROUND = (
    "{}",
    "the key is {} and it works",
    "Traceback:\n  File x.py\nValueError: {}\n",
    "'{}'",
    "| key | {} |",
    "({}), see above",
    "2026-01-02 ERROR request failed {} retrying",
    "Schlüssel → {} ←",
)


@replaykit.records("find")
def search(query: str, k: int = 5) -> list[dict[str, Any]]:
    return [{"id": 1, "text": query, "score": 0.5}]


@replaykit.records("tool")
def tool(**arguments: Any) -> Any:
    return {"seen": [arguments]}


@replaykit.records("ask")
def fail(question: str) -> str:
    raise ValueError(f"cannot answer {question}", {"hint": question})


@replaykit.records("ask")
def stream(question: str) -> Iterator[str]:
    yield "so "
    yield question
    yield " it is"


@replaykit.records("put")
def put(content: str, *, title: str = "", metadata: dict[str, Any] | None = None) -> str:
    return title


def planted(seed: int, each: int) -> list[tuple[str, str, str]]:
    """Return (format, text, secret), so many of *each* format, in varied surroundings."""
    rng = random.Random(seed)
    found = []
    for name, make in FORMATS.items():
        for _ in range(each):
            text, secret = make(rng)
            assert len(secret) >= 12
            found.append((name, rng.choice(AROUND).replace("{}", text), secret))
    return found


def use(text: str) -> None:
    """Make every kind of recorded call with *text* in it."""
    search(text)
    tool(note=text, nested={"deep": [(text, 1)], "raw": text.encode()})
    with pytest.raises(ValueError, match="cannot answer"):
        fail(text)
    list(stream(text))
    put("x", title=text, metadata={"source": text})


def leaks(data: bytes, secrets: list[tuple[str, str, str]]) -> list[str]:
    return [name for name, _, secret in secrets if secret.encode() in data or secret.encode("utf-16-le") in data]


def files_in(directory: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


@pytest.mark.parametrize("store", ["runs.rpk", "runs/"][: effort(20)])
def test_g25_no_planted_secret_is_in_any_file(tmp_path: Path, store: str, figure: Figure) -> None:
    """In five kinds of calls and by hand: none in live logs, store and what is read of it, and all of it plays."""
    secrets = planted(seed=5, each=effort(30))
    places = 12 * len(secrets)
    assert places >= 200
    figure("G25", f"{store}: {len(secrets)} secrets in {places} places, 0 found")
    recorder = replaykit.Recorder(f"{tmp_path}/{store}")
    names = []
    for at in range(0, len(secrets), 10):
        some = secrets[at : at + 10]
        with recorder.session(
            some[0][1], metadata={f"note {n}": text for n, (_, text, _) in enumerate(some)}
        ) as session:
            for _, text, _ in some:
                use(text)
                session.record("tool", name=text, arguments={"text": text}, output=[text], error=None)
                session.annotate(last=text)
            live = files_in(tmp_path)
        assert leaks(live, some) == []
        names.append(session.result.session_id)  # type: ignore[union-attr]  # it was recorded

    for session_id, at in zip(names, range(0, len(secrets), 10), strict=True):
        recorded = recorder.get_session(session_id)
        shown = dump(recorded).encode() + repr(list(recorded.actions)).encode()
        assert leaks(shown, secrets) == []
        assert recorded.redactions
        with replaykit.play(recorded) as player:
            for _, text, _ in secrets[at : at + 10]:
                use(text)
        assert player.play_count == 5 * len(secrets[at : at + 10])
        assert {action.source for action in player.unused} <= {"by hand"}
    recorder.close()
    assert leaks(files_in(tmp_path), secrets) == []


def test_g25_no_planted_secret_is_in_what_a_crash_leaves(tmp_path: Path) -> None:
    """A killed process, a damaged live log, the damaged bytes that recovery keeps: nothing of a secret."""
    secrets = planted(seed=6, each=1)[::3]
    script = textwrap.dedent(
        """
        import os, signal, sys
        sys.path[:0] = sys.argv[2:]
        import test_planted_secrets as planted
        import replaykit
        recorder = replaykit.Recorder(sys.argv[1])
        recorder.start_session("crash")
        for _, text, _ in planted.planted(seed=6, each=1)[::3]:
            planted.use(text)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    here, root = Path(__file__).parent, Path(replaykit.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, f"{tmp_path}/runs.rpk", str(here), str(here.parent), str(root)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == -signal.SIGKILL
    (log,) = tmp_path.glob("*.live")
    data = bytearray(log.read_bytes())
    assert leaks(bytes(data), secrets) == []
    for at in range(2000, len(data), 5000):
        data[at] ^= 0xFF
    log.write_bytes(data)

    recorder = replaykit.Recorder(f"{tmp_path}/runs.rpk")
    session = recorder.get_session("last")
    recorder.close()
    with replaykit.load(f"{tmp_path}/runs.rpk") as recording:
        gaps = b"\0".join(gap.data for gap in recording.gaps(session.session_id))
    assert gaps
    assert leaks(gaps + files_in(tmp_path), secrets) == []
