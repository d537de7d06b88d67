"""The table of sessions: as rich would make it, and in a fraction of the time."""

from __future__ import annotations

import io
from collections.abc import Callable
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from replaykit.cli.listing import session_table, show_list
from replaykit.model import SessionSummary

names = st.none() | st.text(max_size=60) | st.text(st.sampled_from("ab 漢é-/\u0301"), max_size=60)
summaries = st.builds(
    SessionSummary,
    session_id=st.uuids(),
    name=names,
    created_secs=st.integers(0, 2_000_000_000),
    ended_secs=st.none(),
    action_count=st.integers(0, 10**7),
    checkpoint_count=st.integers(0, 999),
    duration_secs=st.integers(0, 10**6),
    state=st.sampled_from(["open", "sealed", "interrupted"]),
    lost=st.sampled_from([0, 0, 1, 12345]),
    gaps=st.sampled_from([0, 0, 1, 2]),
)


def printed(show: Callable[[Console], None], width: int) -> str:
    file = io.StringIO()
    show(Console(file=file, width=width, markup=False, highlight=False, emoji=False))
    return file.getvalue()


@given(st.lists(summaries, min_size=1, max_size=8), st.integers(20, 140))
def test_it_looks_as_a_table_of_rich(listed: list[SessionSummary], width: int) -> None:
    """To the space, whatever the names and however wide the window."""
    assert printed(lambda out: show_list(out, listed, "runs.rpk"), width) == printed(
        lambda out: out.print(session_table(listed, width)), width
    )


def test_colour_is_for_terminals() -> None:
    """The state has one, and what is wrong another."""
    one = SessionSummary(
        session_id=UUID(int=1), name="n", created_secs=0, ended_secs=1, action_count=1, checkpoint_count=0,
        duration_secs=0, state="interrupted", lost=3,
    )  # fmt: skip
    file = io.StringIO()
    show_list(Console(file=file, width=120, force_terminal=True, color_system="standard"), [one], "runs.rpk")

    assert "\x1b[31minterrupted\x1b[0m\x1b[1;31m, 3 lost\x1b[0m" in file.getvalue()
    assert file.getvalue().startswith("\x1b[1msession ")
