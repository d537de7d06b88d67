"""What is given wrongly is a usage error of ours, not an error of a class inside."""

from __future__ import annotations

from pathlib import Path

import pytest

import replaykit
from replaykit.loading import diagnosed


def test_wrong_arguments_are_usage_errors() -> None:
    """Not errors of a class inside."""
    with replaykit.open(":memory:") as mv:
        with mv.session("s"):
            mv.put("one")
        for find in (None, 7, b"one"):
            with pytest.raises(replaykit.errors.UsageError, match="a query or a recorded find"):
                mv.bisect(find)  # type: ignore[arg-type]  # that is what is asked
        for replay in (lambda: mv.replay("s", foo=1), lambda: replaykit.replay(mv.get_session(), mv, foo=1)):
            with pytest.raises(replaykit.errors.UsageError, match="unknown option 'foo'"):
                replay()


@pytest.mark.parametrize("items", [{"content": "x"}, "abc", b"abc"])
def test_one_item_is_not_several(items: object) -> None:
    """Its keys or its letters became frames."""
    with replaykit.open(":memory:") as mv:
        with mv.session("s") as session:
            with pytest.raises(replaykit.errors.UsageError, match="use put"):
                mv.put_many(items)  # type: ignore[arg-type]  # that is what is asked
            assert mv.put_many(({"content": "x"}, "y")) == [1, 2]
        assert [action.error is not None for action in session.result.actions] == [True, False]


def test_a_symbolic_link_is_said_to_be_one(tmp_path: Path) -> None:
    """As of any other store."""
    replaykit.open(tmp_path / "real.mv").close()
    (tmp_path / "link.mv").symlink_to("real.mv")
    (tmp_path / "dangling.mv").symlink_to("nothing.mv")

    for name in ("link.mv", "dangling.mv"):
        with pytest.raises(replaykit.errors.StorageError, match="is a symbolic link: name the file that it leads to"):
            replaykit.open(tmp_path / name)
    assert not (tmp_path / "nothing.mv").exists()


def test_bisecting_without_a_later_write_says_so() -> None:
    """Neither good nor bad was given."""
    with replaykit.open(":memory:") as mv:
        with pytest.raises(replaykit.errors.UsageError, match=r"generation 0 and up to generation 0, the present one"):
            mv.bisect("one")
        with mv.session("s") as session:
            mv.put("one")
            mv.find("one")
        with pytest.raises(replaykit.errors.UsageError, match="no write came after generation 1"):
            mv.bisect(session.result.actions[1])
        with pytest.raises(replaykit.errors.UsageError, match="no write came after good=1"):
            mv.bisect("one", good=1)
        with pytest.raises(replaykit.errors.UsageError, match="good=1 must come before bad=0"):
            mv.bisect("one", good=1, bad=0)


def test_an_unknown_checkpoint_says_which_numbers_there_are() -> None:
    """Not how many: it looked like that."""
    with replaykit.open(":memory:") as mv:
        with mv.session("none"):
            mv.put("one")
        with mv.session("one") as session:
            session.checkpoint()
        with pytest.raises(replaykit.errors.CheckpointNotFoundError, match="no checkpoint 99; it has that numbered 0"):
            mv.replay("one", from_checkpoint=99)
        with pytest.raises(replaykit.errors.CheckpointNotFoundError, match="no checkpoint 0; it has none"):
            mv.replay("none", from_checkpoint=0)


def test_what_is_no_moment_says_how_a_generation_is_given() -> None:
    with replaykit.open(":memory:") as mv, pytest.raises(replaykit.errors.UsageError, match="or generation=, not str"):
        mv.at("1")  # type: ignore[arg-type]  # that is what is asked


def test_a_memory_in_which_nothing_was_deleted_has_nothing_to_give_back(tmp_path: Path) -> None:
    """SQLite sets pages aside of its own accord."""
    with replaykit.open(tmp_path / "m.mv") as mv:
        mv.put("one")

    assert not [each for each in diagnosed(str(tmp_path / "m.mv")).findings if "deleted" in each.what]
