"""What a play hands out is of its library's classes again, whatever these are made of."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from replaykit.adapters.reviving import reviving
from replaykit.model import Structured


class Plain:
    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


@attrs.frozen
class Frozen:
    inner: Any


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("outer", [Plain, Slotted, Frozen])
def test_an_object_that_an_annotation_has_made_has_its_inner_ones_made_too(outer: type) -> None:
    thaw = reviving(name_of(outer), name_of(Plain))

    found = thaw(outer([Structured(name_of(Plain), {"inner": 1})]))

    assert isinstance(found, outer)
    (inner,) = found.inner  # type: ignore[attr-defined]  # each of the classes has it
    assert isinstance(inner, Plain)
    assert inner.inner == 1
