"""Values of numpy and pydantic: recorded and back; runs where the real libraries are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import pydantic
import pytest

import replaykit
from replaykit.model import Opaque

pytestmark = pytest.mark.libraries


@pytest.fixture(scope="module")
def mv() -> Iterator[replaykit.Memory]:
    """One memory for all examples."""
    with replaykit.open(":memory:", redact=(), on_loss="raise") as memory:
        yield memory


def returned(memory: replaykit.Memory, value: Any) -> replaykit.ReplayAction:
    """Record a tool that returns *value*; return its action as it was stored."""

    @replaykit.records("tool")
    def tool() -> Any:
        return value

    with memory.session() as session:
        assert tool() is value
    assert session.result is not None
    return session.result.actions[0]


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6, dtype="<f4").reshape(2, 3),
        numpy.array([[1, 2], [3, 4]], order="F"),
        numpy.arange(10)[::3],
        numpy.array(5.0),
        numpy.zeros((0, 3)),
        numpy.array(["a", "bcd"]),
        numpy.array([["é", "\0x"], ["🐘", ""]], dtype=">U5"),
        numpy.array(["\ud800"]),
        numpy.array([1, 2], dtype=">i2"),
        numpy.array(["2024-01-01"], dtype="M8[D]"),
        numpy.array([True, False]),
        numpy.array([1 + 2j]),
        numpy.array([0.5], dtype="f2"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_numpy_arrays_come_back(mv: replaykit.Memory, array: Any) -> None:
    """Type, shape and content, writable."""
    back = returned(mv, array).output

    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert numpy.array_equal(back, array)
    assert back.flags.writeable


@pytest.mark.parametrize(
    "scalar",
    [
        numpy.float32(1.5),
        numpy.float64(0.1),
        numpy.int64(-3),
        numpy.bool_(True),
        numpy.datetime64("2024-01-01"),
    ],
    ids=lambda scalar: type(scalar).__name__,
)
def test_numpy_scalars_come_back(mv: replaykit.Memory, scalar: Any) -> None:
    """With their type, also where that is a subclass of float."""
    back = returned(mv, [scalar]).output[0]

    assert (type(back), back) == (type(scalar), scalar)


def test_numpy_objects_and_records_are_not_taken_apart(mv: replaykit.Memory) -> None:
    """An array of objects would be pickled, one of records would lose its fields: they are markers."""
    for array in (numpy.array([object()]), numpy.zeros(2, dtype=[("a", "i4"), ("b", "f4")])):
        action = returned(mv, array)
        assert isinstance(action.output, Opaque)
        assert "unreplayable" in action.flags


def test_pydantic_models_come_back_as_structured(mv: replaykit.Memory) -> None:
    """By their fields, nested ones too."""
    inner = pydantic.create_model("Inner", frame_id=(int, ...))
    outer = pydantic.create_model("Outer", hits=(list[inner], ...), note=(str, "n"))  # type: ignore[valid-type]

    action = returned(mv, outer(hits=[inner(frame_id=3)]))

    assert action.output.hits[0].frame_id == 3
    assert action.output.note == "n"
    assert action.flags == frozenset()
