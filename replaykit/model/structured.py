"""Stand-ins for values whose class is not rebuilt: recordings never import or construct foreign classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Opaque", "Structured"]


@attrs.frozen(repr=False)
class Structured:
    """
    A recorded dataclass, attrs or pydantic object, named tuple or enum member.

    Its fields are attributes too: ``hit.frame_id``.  ``beside_fields`` is what
    else it held, and counts in no comparison: ``attributes`` of its own,
    ``private`` ones of a pydantic model, ``extra`` where one is named like a
    field, and ``set``, the names that the model was given if those are not all.
    """

    type_name: str
    fields: Mapping[str, Any]
    is_enum: bool = False
    beside_fields: Mapping[str, Any] = attrs.field(factory=dict, eq=False, kw_only=True)

    def __getattr__(self, name: str) -> Any:
        # ``fields`` itself is missing while copy and pickle build the object.
        if name.startswith("__") or name in ("fields", "type_name", "is_enum", "beside_fields"):
            raise AttributeError(name)
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"the recorded {self.type_name} has no field {name!r}") from None

    def __hash__(self) -> int:
        return hash((self.type_name, tuple(self.fields)))

    def __repr__(self) -> str:
        return f"<recorded {self.type_name}>"


@attrs.frozen(repr=False)
class Opaque:
    """
    A recorded value that has no stored form; it cannot be played back.

    *reason* is ``object``, ``deep`` (nested below the limit) or ``cycle``.
    ``identity`` has the plain ``frame_id`` or ``id`` that the object carried.
    """

    type_name: str
    reason: str = "object"
    identity: Mapping[str, Any] = attrs.field(factory=dict)

    def __hash__(self) -> int:
        return hash((self.type_name, self.reason))

    def __repr__(self) -> str:
        return f"<{self.reason} {self.type_name}>"
