"""What ``replaykit run`` hands over to the interpreter that becomes the program."""

from __future__ import annotations

import json

import attrs

__all__ = ["Order"]


@attrs.frozen(kw_only=True)
class Order:
    """A store, the session to *play* if any, and whether what runs is a module."""

    store: str
    play: str = ""
    is_module: bool = False

    def encode(self) -> str:
        """Return it as a text."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def decode(cls, text: str) -> Order:
        """Return what `encode` was given."""
        return cls(**json.loads(text))
