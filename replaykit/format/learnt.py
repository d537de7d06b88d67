"""
One Python value -> its stored form, in a way that is learnt once for each class.

`format.forms` asks anew for every value which line of the table it belongs to,
which fields its class has and where they lie: 8 to 19 us, and a result may be
a hundred objects.  All of that is the class's, so here it is asked of the
class, once.  Whatever is then unusual about one instance (a field that is not
set, an attribute that is none of its fields) is left to the general way, and
so is a class that could answer differently each time.

The fields of a class are taken as they were when its first instance was
recorded; an instance that has others goes the general way.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

from replaykit.format.forms import (
    IDS,
    SUBCLASS_FREEZERS,
    NeedsWalking,
    bare_object_form,
    exact_freezer,
    general_form,
    mark_of,
    numpy_form,
    object_form,
    plain_ids,
    tuple_form,
)
from replaykit.format.layouts import (
    MODEL_SLOTS,
    OF_THIS_PROCESS,
    Layout,
    class_attribute,
    field_names,
    layout_of,
)

__all__ = ["MOST_CLASSES", "stored_form"]

_Freeze = Callable[[Any], Any]

MOST_CLASSES = 1024
"""Of so many it is known how they are frozen; with one more all is learnt anew."""

# By the id of a class, with the class, so that the id stays its own: a table of
# classes would ask a metaclass what equals what, and one of weak references
# takes twice as long and would keep the classes all the same, by their slots.
_LEARNT: dict[int, tuple[type, _Freeze]] = {}


def stored_form(value: Any) -> Any:
    """
    Turn one value that the encoder does not know into pieces that it may know.

    Raises:
        NeedsWalking: A set holds more than plain scalars.
    """
    cls: Any = type(value)
    try:
        known = _LEARNT.get(id(cls))
        freeze = _learn(cls) if known is None else known[1]
        return freeze(value)
    except NeedsWalking:
        raise
    except Exception:
        # A class with hostile or broken internals must not cost the call.
        return bare_object_form(value)


def _learn(cls: type) -> _Freeze:
    # No lock: two threads may learn the same, and what one forgets is only learnt again.
    freeze = _freezer_of(cls) if _is_steady(cls) else general_form
    if len(_LEARNT) >= MOST_CLASSES:
        _LEARNT.clear()
    _LEARNT[id(cls)] = (cls, freeze)
    return freeze


_IDENTITY = ("__getattribute__", "__eq__", "__hash__", "__qualname__")


def _is_steady(cls: type) -> bool:
    """Return whether what a class says of itself is no code of its own, or of its metaclass."""
    meta = type(cls)
    if any(class_attribute(meta, name) is not class_attribute(type, name) for name in _IDENTITY):
        return False
    # A metaclass's own module is a text, unless it is made to be the module of its classes.
    of_meta, of_class = class_attribute(meta, "__module__"), class_attribute(cls, "__module__")
    return (meta is type or type(of_meta) is str) and type(of_class) in (str, type(None))


def _freezer_of(cls: type) -> _Freeze:
    exact = exact_freezer(cls)
    if exact is not None:
        return exact
    for base, freeze in SUBCLASS_FREEZERS:
        if issubclass(cls, base):
            return _named_tuple_freezer(cls) if base is tuple else freeze
    if cls.__module__ == "numpy":
        return numpy_form
    names = field_names(cls)
    return _object_freezer(cls) if names is None else _fields_freezer(cls, names)


def _struct_head(cls: type) -> tuple[Any, str]:
    return mark_of("struct"), f"{cls.__module__}.{cls.__qualname__}"


def _fields_freezer(cls: type, names: tuple[str, ...]) -> _Freeze:
    layout = layout_of(cls)
    if layout.is_model:
        return _model_freezer(cls, names, layout)
    if layout.dictionary is None:
        return _slots_freezer(cls, names, layout)
    return general_form if layout.declared else _dictionary_freezer(cls, names, layout.dictionary.__get__)


def _dictionary_freezer(cls: type, names: tuple[str, ...], read: _Freeze) -> _Freeze:
    """Return what freezes instances whose dictionary has the fields, in their order, and nothing else."""
    mark, label = _struct_head(cls)
    count = len(names)

    def freeze(value: Any) -> Any:
        own = read(value)
        if type(own) is dict:
            # Copied in one step: others may change it while it is looked at.
            own = own.copy()
            # The very names: what merely says that it equals one has code of its own.
            if len(own) == count and all(map(is_, own, names)):
                return [mark, label, own]
        return general_form(value)

    return freeze


def _slots_freezer(cls: type, names: tuple[str, ...], layout: Layout) -> _Freeze:
    """Return what freezes instances that have a slot for each field, and no other."""
    if not layout.slots.keys() >= set(names) >= set(layout.declared) - OF_THIS_PROCESS:
        return general_form
    mark, label = _struct_head(cls)
    readers = [layout.slots[name].__get__ for name in names]

    def freeze(value: Any) -> Any:
        try:
            items = [read(value) for read in readers]
        except AttributeError:
            return general_form(value)
        return [mark, label, dict(zip(names, items, strict=True))]

    return freeze


def _model_freezer(cls: type, names: tuple[str, ...], layout: Layout) -> _Freeze:
    """Return what freezes pydantic models that hold nothing beside their fields, but may not have been given all."""
    if layout.dictionary is None or not layout.slots.keys() >= set(MODEL_SLOTS):
        return general_form
    mark, label = _struct_head(cls)
    count, all_names = len(names), frozenset(names)
    read = layout.dictionary.__get__
    read_extra, read_private, read_given = (layout.slots[name].__get__ for name in MODEL_SLOTS)

    def freeze(value: Any) -> Any:
        own = read(value)
        if type(own) is not dict:
            return general_form(value)
        own = own.copy()
        try:
            extra, private, given = read_extra(value), read_private(value), read_given(value)
        except AttributeError:
            return general_form(value)
        has_fields_only = private is None and (extra is None or (type(extra) is dict and not extra))
        if not (has_fields_only and type(given) is set and len(own) == count and all(map(is_, own, names))):
            return general_form(value)
        if given == all_names:
            return [mark, label, own]
        return [mark, label, own, {"set": dict.fromkeys(sorted(given), True)}]

    return freeze


def _named_tuple_freezer(cls: type) -> _Freeze:
    names = class_attribute(cls, "_fields")
    if not isinstance(names, tuple) or layout_of(cls).dictionary is not None:
        return tuple_form
    mark, label = _struct_head(cls)
    items_of, everything, count = tuple.__getitem__, slice(None), len(names)

    def freeze(value: Any) -> Any:
        items = items_of(value, everything)
        if len(items) != count:
            return tuple_form(value)
        return [mark, label, dict(zip(names, items, strict=True))]

    return freeze


_attributes_of: Callable[[type], Any] = type.__dict__["__dict__"].__get__


def _object_freezer(cls: type) -> _Freeze:
    """Return what freezes foreign objects, of which only an id in their dictionary is kept."""
    layout = layout_of(cls)
    if layout.dictionary is None or not layout.slots.keys().isdisjoint(IDS):
        return object_form
    mark, label = mark_of("object"), f"{cls.__module__}.{cls.__qualname__}"
    read = layout.dictionary.__get__
    # A view: the class gets longer when it is made a dataclass after all.
    attributes = _attributes_of(cls)
    count = len(attributes)

    def freeze(value: Any) -> Any:
        own = read(value)
        if type(own) is not dict or len(attributes) != count:
            return general_form(value)
        return [mark, label, plain_ids(own.copy())]

    return freeze
