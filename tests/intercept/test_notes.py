"""What calls that are not recorded say of a session lands in its metadata."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

import replaykit
from replaykit.operations import MethodMap
from replaykit.storage.file_store import FileStore
from replaykit.testing.files import FaultyFiles, MemoryFiles


class Saver:
    def save(self, config: Any, state: str = "") -> str:
        return f"saved {state}"

    async def save_later(self, config: Any) -> str:
        return "saved"


PLACES = {"thread": "config.thread.id"}
MAP = MethodMap(notes={"save": PLACES, "save_later": PLACES})


@pytest.fixture
def saver() -> Any:
    return replaykit.wrap(Saver(), store=":memory:", operations=MAP)


def thread(value: Any) -> dict[str, Any]:
    return {"thread": {"id": value}}


def test_the_call_runs_and_is_no_action(saver: Any) -> None:
    with replaykit.recorder_of(saver).session(adopt=True) as session:
        assert saver.save(thread("a"), state="s") == "saved s"
        assert asyncio.run(saver.save_later(config=thread("a"))) == "saved"

    assert session.result.metadata == {"thread": "a"}
    assert len(session.result.actions) == 0
    assert dict(session.result.uncovered) == {}


def test_outside_of_a_session_and_in_a_play_it_just_runs(saver: Any) -> None:
    with replaykit.recorder_of(saver).session() as session:
        pass

    assert saver.save(thread("a")) == "saved "
    with replaykit.play(session.result):
        assert saver.save(thread("a")) == "saved "


@pytest.mark.parametrize("config", [None, {}, {"thread": object()}, thread(None), thread(["a"]), thread(object())])
def test_what_is_no_text_or_number_is_not_noted(saver: Any, config: Any) -> None:
    """Foreign objects are not looked into."""
    with replaykit.recorder_of(saver).session() as session:
        saver.save(config)

    assert session.result.metadata == {}


def test_several_values_are_a_list_of_texts(saver: Any) -> None:
    with replaykit.recorder_of(saver).session() as session:
        for value in ("a", 7, "a", UUID(int=1)):
            saver.save(thread(value))

    assert session.result.metadata == {"thread": ["a", "7", str(UUID(int=1))]}


def test_secrets_are_redacted_and_what_is_no_name_is_left_out(saver: Any) -> None:
    """Too long a text, and more than a hundred of them."""
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    with replaykit.recorder_of(saver).session() as session:
        for value in (secret, "x" * 1000, *range(200)):
            assert saver.save(thread(value)) == "saved "

    noted = session.result.metadata["thread"]
    assert secret not in noted
    assert noted[1:] == [str(number) for number in range(99)]


def test_a_disk_that_fails_costs_the_call_nothing(caplog: pytest.LogCaptureFixture) -> None:
    recorder = replaykit.Recorder("runs.rpk", on_loss="ignore")
    files = FaultyFiles(MemoryFiles(), fail_at=0, mode="for_ever", counted={"append"})
    files.is_armed = False
    recorder._engine.lease.opened = FileStore("runs.rpk", files=files)
    saver = recorder.wrap(Saver(), operations=MAP)

    with recorder.session(), caplog.at_level(logging.WARNING):
        files.is_armed = True
        assert saver.save(thread("a")) == "saved "
        files.is_armed = False

    assert files.failures > 0
    assert "metadata_not_noted" in [record.getMessage() for record in caplog.records]
