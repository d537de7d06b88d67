"""
From what was recorded back to the types that the caller expects.

Classes come from the annotations of the function that is called, never from
the recording: a hostile file cannot choose what is constructed.
"""

from __future__ import annotations

import builtins
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from replaykit import errors
from replaykit.format.forms import ERROR_ATTRIBUTES
from replaykit.format.thaw import thaw
from replaykit.model import Failure
from replaykit.operations import exception_classes
from replaykit.playback.annotations import as_annotated, has_stand_ins

__all__ = ["declared_errors", "error_of", "played_back", "rebuilt", "rebuilt_items"]

_TYPED = b"\xa2~t"
"""How the mark of a typed value is packed."""


def declared_errors(classes: Iterable[type[BaseException]] | type[BaseException]) -> dict[str, type[BaseException]]:
    """
    Return exception classes by the name under which a recording has them.

    Raises:
        UsageError: Something else is among them.
    """
    return {f"{cls.__module__}.{cls.__qualname__}": cls for cls in exception_classes(classes)}


def error_of(failure: Failure, declared: Mapping[str, type[BaseException]] = MappingProxyType({})) -> BaseException:
    """
    Return the exception that a recorded failure stands for.

    Built-in exceptions, ours and those that are *declared* come back as
    themselves; any other as `RecordedError`, which carries the failure.
    """
    # A hostile recording may have anything for a name.
    cls = _class_named(failure.type, declared) if isinstance(failure.type, str) else None
    if cls is None:
        return errors.RecordedError(failure)
    args = failure.args or ((failure.message,) if failure.message else ())
    try:
        if issubclass(cls, BaseExceptionGroup):
            args = _with_members(args, declared)
        error = _constructed_error(cls, args, failure)
        return error if error is not None else _holding(_bare_error(cls, args), failure.attributes)
    except Exception:
        # A group without members, arguments that no built-in exception takes:
        # no recorder has written this.
        return errors.RecordedError(failure)


def _class_named(name: str, declared: Mapping[str, type[BaseException]]) -> type[BaseException] | None:
    if name in declared:
        return declared[name]
    module, _, own_name = name.rpartition(".")
    home: Any = builtins if not module else errors if module == "replaykit.errors" else None
    found = getattr(home, own_name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    if own_name == "CancelledError" and module in ("asyncio.exceptions", "concurrent.futures._base"):
        import asyncio

        return asyncio.CancelledError
    return None


def _with_members(args: tuple[Any, ...], declared: Mapping[str, type[BaseException]]) -> tuple[Any, ...]:
    """Return the arguments of a group of exceptions, its members rebuilt."""
    message, *others = args
    members = [error_of(member, declared) for member in (others[0] if others else ()) if isinstance(member, Failure)]
    return (message, members)


def _holding(error: BaseException, attributes: Mapping[str, Any]) -> BaseException:
    """Return *error* with what the recorded one held beside its arguments."""
    for cls, members in ERROR_ATTRIBUTES.items():
        if isinstance(error, cls):
            for name, member in members.items():
                if name in attributes:
                    member.__set__(error, attributes[name])
    notes = attributes.get("notes")
    if isinstance(notes, list):
        vars(error)["__notes__"] = [note for note in notes if isinstance(note, str)]
    return error


def _constructed_error(cls: type[BaseException], args: tuple[Any, ...], failure: Failure) -> BaseException | None:
    """
    Return what the class makes of the recorded arguments, None if that is not what was recorded.

    A constructor that takes other arguments is not run at all.
    """
    if cls.__module__ == "replaykit.errors":
        return None
    try:
        inspect.signature(cls).bind(*args)
    except TypeError:
        return None
    except ValueError:
        # Built-in classes have no signature.
        pass
    try:
        error = _holding(cls(*args), failure.attributes)
        is_same = type(error) is cls and (issubclass(cls, BaseExceptionGroup) or error.args == args)
        return error if is_same and (cls.__module__ == "builtins" or str(error) == failure.message) else None
    except Exception:
        return None


def _bare_error(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Return an exception with the recorded arguments, past its constructor."""
    made_by: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    try:
        error: BaseException = made_by.__new__(cls, *args)
        # Where a subclass has a constructor, some set only here what their text is made of.
        made_by.__init__(error, *args)
    except Exception:
        error = made_by.__new__(cls)
    error.args = args
    return error


def rebuilt_items(stored: Any, returns: Any) -> Iterator[Any]:
    """
    Yield the items of a recorded stream, each made when it is asked for.

    They are rebuilt by the item type of an ``Iterator[...]`` annotation.
    """
    if not isinstance(stored, list):
        return
    for item in stored:
        # As a list of one: an annotation of a stream says what its items are.
        yield played_back([item], returns)[0]


def played_back(stored: Any, returns: Any) -> Any:
    """
    Return a stored result as Python, rebuilt as `rebuilt` does; a new object each time.

    Raises:
        DamagedError: It is nothing that is ever stored.
    """
    import ormsgpack

    try:
        packed = ormsgpack.packb(stored)
    except TypeError as error:
        raise errors.DamagedError("", 0, f"a result is not as the format says: {error}") from error
    # Most results hold nothing that has to be thawed.
    return rebuilt(thaw(stored), returns) if _TYPED in packed else ormsgpack.unpackb(packed)


def rebuilt(value: Any, returns: Any) -> Any:
    """
    Return *value* with recorded stand-ins rebuilt as the classes that an annotation names.

    *returns* is ``(function, annotation)`` as interception has it.  What the
    annotation does not name, or cannot take, stays as it is.
    """
    if returns is None or returns[1] is None or not has_stand_ins(value):
        return value
    try:
        annotation = typing.get_type_hints(returns[0]).get("return", returns[1])
    except Exception:
        # Annotations may name what only a type checker sees.
        return value
    return as_annotated(annotation, value)
