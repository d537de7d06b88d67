"""What a recorder is told: arguments, `configure`, the environment; for privacy the stricter wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import replaykit
from replaykit.errors import UsageError
from replaykit.model import ReplayConfig
from replaykit.policies import every, on_error
from replaykit.protocols import Progress
from replaykit.settings import Settings, default_store, is_disabled, policy_of

SECRET = "AKIA" + "ABCDEFGHIJKLMNOP"


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Undo `configure` after each test."""
    yield
    replaykit.configure()


def recorded(**options: Any) -> Any:
    """Record one find with a secret in it through the module-level functions; return the session."""

    @replaykit.records("find")
    def search(query: str) -> list[dict[str, str]]:
        return [{"id": "a", "text": "body"}]

    with replaykit.session("s", **options) as session:
        search(f"who has {SECRET}?")
    return session.result


# -- defaults ---------------------------------------------------------------------------


def test_the_defaults() -> None:
    """Bodies are kept, secrets are not, a crash of the process loses nothing."""
    settings = Settings()

    assert (settings.durability, settings.capture, settings.redact) == ("group", "full", ("secrets",))
    assert (settings.on_loss, settings.sample_rate, settings.auto_checkpoint) == ("warn", None, None)


def test_without_a_store_it_is_a_private_folder_here() -> None:
    """``./.replaykit/``, for its owner only, and out of version control by itself."""
    recorded()

    folder = Path(".replaykit")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text().strip() == "*"
    with replaykit.load(".replaykit/") as recording:
        assert [item.name for item in recording.list_sessions()] == ["s"]


def test_none_is_as_good_as_not_given() -> None:
    """An option passed on from elsewhere keeps its default."""
    assert Settings.of({"capture": None, "redact": None, "durability": "os"}) == Settings(durability="os")


# -- arguments, configure, environment ----------------------------------------------------


def test_an_explicit_argument_wins_over_configure() -> None:
    """And what it does not say stays as configured."""
    replaykit.configure(store="configured.rpk", capture="preview", metadata={"team": "a"})

    assert recorded(capture="hash").capture == "hash"
    assert recorded().capture == "preview"
    assert {"team": "a", "run": 1}.items() <= recorded(metadata={"run": 1}).metadata.items()
    assert sorted(path.name for path in Path(".").glob("*.rpk")) == ["configured.rpk"]
    recorded(store="given.rpk")
    assert Path("given.rpk").exists()


def test_configure_without_arguments_forgets() -> None:
    """The defaults are back."""
    replaykit.configure(store="configured.rpk", capture="hash")
    replaykit.configure()

    assert recorded().capture == "full"
    assert not Path("configured.rpk").exists()


def test_the_environment_names_the_default_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """``REPLAYKIT_STORE``; a store that is given wins."""
    monkeypatch.setenv("REPLAYKIT_STORE", "from-environment.rpk")
    assert default_store() == "from-environment.rpk"

    recorded()
    assert Path("from-environment.rpk").exists()
    recorded(store="given.rpk")
    assert Path("given.rpk").exists()


@pytest.mark.parametrize(
    ("asked", "wanted", "result"),
    [
        ("full", "preview", "preview"),
        ("full", "hash", "hash"),
        ("preview", "hash", "hash"),
        ("preview", "full", "preview"),
        ("hash", "full", "hash"),
        ("hash", "", "hash"),
        (None, "hash", "hash"),
        ("full", " HASH ", "hash"),
    ],
)
def test_the_stricter_capture_wins(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, wanted: str, result: str
) -> None:
    """Of argument and ``REPLAYKIT_CAPTURE``, in either direction."""
    monkeypatch.setenv("REPLAYKIT_CAPTURE", wanted)

    assert Settings.of({"capture": asked}).capture == result


def test_a_wrong_capture_is_refused_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stricter environment does not hide a typing mistake."""
    monkeypatch.setenv("REPLAYKIT_CAPTURE", "hash")

    with pytest.raises(UsageError, match="al"):
        Settings.of({"capture": "al"})


def test_the_environment_can_only_add_redaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that switches it off does not win over ``REPLAYKIT_REDACT``."""
    assert SECRET in recorded(store="a.rpk", redact=()).actions[0].arguments["query"]

    monkeypatch.setenv("REPLAYKIT_REDACT", " secrets ,pii, ")
    assert SECRET not in repr(dict(recorded(store="b.rpk", redact=()).actions[0].arguments))
    assert Settings(redact=()).redact == ("secrets", "pii")
    assert Settings(redact="secrets").redact == ("secrets", "pii")


def test_redaction_is_on_by_default_and_stated() -> None:
    """The session says under which rules it was made."""
    session = recorded()

    assert SECRET not in repr(dict(session.actions[0].arguments))
    assert session.redaction not in ("", "none")


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_disabled_by_the_environment_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Whatever arguments say; calls run, no file is made, started sessions are empty."""
    monkeypatch.setenv("REPLAYKIT_DISABLED", value)
    assert is_disabled()

    assert recorded(store="runs.rpk", enabled=True) is None
    with replaykit.open("notes.mv", config=ReplayConfig(auto_record=True)) as memory:
        frame_id = memory.put("x")
        assert memory.get(frame_id).content == "x"
        if memory.is_recording:
            assert len(memory.end_session().actions) == 0
        assert memory.list_sessions() == []
    assert not Path("runs.rpk").exists()


@pytest.mark.parametrize("value", ["", "0", "false", "no"])
def test_other_values_do_not_disable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Only a clear yes does."""
    monkeypatch.setenv("REPLAYKIT_DISABLED", value)

    assert not is_disabled()
    assert len(recorded().actions) == 1


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 1)])
def test_the_sample_rate_is_a_share_of_blocks(share: float, count: int) -> None:
    """0.0 records none, 1.0 all; a block that is left out gives no result."""
    session = recorded(store="runs.rpk", sample_rate=share)

    assert (0 if session is None else len(session.actions)) == count


# -- policies ------------------------------------------------------------------------------


def progress(actions: int, *, failed: bool = False) -> Progress:
    return Progress(actions=actions, seconds=0.0, bytes=0, kind="put", failed=failed)


def test_a_policy_may_be_given_in_several_ways() -> None:
    """A number, a config, a policy, a list of those; 0 and None are none."""
    for asked in (
        3,
        ReplayConfig(auto_checkpoint_interval=3),
        every(actions=3),
        [3],
        [None, every(actions=3), 0],
    ):
        policy = policy_of(asked)
        assert policy is not None
        assert [policy.after(progress(count)) for count in (2, 3)] == [False, True]
    for nothing in (None, 0, ReplayConfig(), [], [0, None]):
        assert policy_of(nothing) is None


def test_a_list_fires_when_one_of_it_does() -> None:
    """As `any_of` does."""
    policy = policy_of([5, on_error()])

    assert policy is not None
    assert policy.after(progress(5))
    assert policy.after(progress(1, failed=True))
    assert not policy.after(progress(1))


def test_a_config_given_at_open_holds_for_every_session() -> None:
    """A session with a config of its own follows that one."""
    with replaykit.open(":memory:", config=replaykit.ReplayConfig(auto_checkpoint_interval=1)) as memory:
        with memory.session("as opened") as first:
            memory.put("a")
        with memory.session("own", config=replaykit.ReplayConfig()) as second:
            memory.put("b")

        assert [len(session.result.checkpoints) for session in (first, second)] == [1, 0]


def test_a_recorder_may_record_from_the_start(tmp_path: Path) -> None:
    """``auto_record`` starts an ambient session: an explicit one inside is its child."""
    recorder = replaykit.Recorder(tmp_path / "runs.rpk", config=replaykit.ReplayConfig(auto_record=True))
    with recorder.session("inside") as inside:
        pass
    recorder.close()

    with replaykit.load(tmp_path / "runs.rpk") as recording:
        child, ambient = (recording.get_session(item) for item in recording.list_sessions())
    assert child.session_id == inside.id
    assert child.parent_session == ambient.session_id
