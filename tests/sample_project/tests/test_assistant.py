from __future__ import annotations

import pytest
from assistant import Assistant

pytestmark = pytest.mark.replaykit

NOTES = ("Paris is the capital of France.", "The Rhine flows into the North Sea.", "Lyon lies on the Rhône.")


def test_answers_from_the_nearest_note(assistant: Assistant) -> None:
    assistant.learn(*NOTES)

    assert assistant.answer(NOTES[1], notes=1) == "The Rhine flows into the North Sea. (35)"


@pytest.mark.parametrize("notes", [1, 2, 3])
def test_gives_as_many_notes_as_are_asked_for(assistant: Assistant, notes: int) -> None:
    assistant.learn(*NOTES)

    assert assistant.answer("Where does the Rhine end?", notes).count("(") == notes


def test_knows_nothing_at_first(assistant: Assistant) -> None:
    assert assistant.answer("What is the capital of France?") == "I know nothing of that."


def test_forgets(assistant: Assistant, store: object) -> None:
    ids = store.add_texts(["A secret of the trade."], ids=["n1"])  # type: ignore[attr-defined]
    assistant.forget(*ids)

    assert assistant.answer("What is the secret?") == "I know nothing of that."
