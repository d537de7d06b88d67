"""Objects made from columns are like those that are made one by one."""

from __future__ import annotations

from itertools import repeat

import attrs
import pytest

from replaykit.format.bulk import make_many


@attrs.frozen
class Point:
    """Two numbers."""

    x: int
    y: int


def test_they_are_what_the_constructor_makes() -> None:
    """Equal, of equal hash and printed alike; a column may be longer than there are objects."""
    whole = [Point(1, 5), Point(2, 5)]
    made = make_many(Point, 2, x=iter((1, 2)), y=repeat(5))
    assert (made, list(map(hash, made)), repr(made)) == (whole, list(map(hash, whole)), repr(whole))


def test_none_are_made_of_no_rows() -> None:
    """Not even where a column has no end."""
    assert make_many(Point, 0, x=repeat(1), y=()) == []


def test_an_attribute_that_the_class_does_not_have_is_an_error() -> None:
    """A field that is renamed is not forgotten here."""
    with pytest.raises(AttributeError):
        make_many(Point, 1, z=[1])
