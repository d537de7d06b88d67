"""The names that a test imports: none of them twice, none for two things."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from replaykit.regression.layout import Bracket, statement

__all__ = ["Imports", "is_name", "variable_name"]

_BUILTINS = {"print", "list", "len", "dict", "set", "float", "complex", "frozenset", "type"}
_TAKEN = frozenset({"replaykit", "pytest"} | _BUILTINS)
_THEIRS = frozenset({"pytest", "replaykit"})


def is_name(text: str) -> bool:
    """Whether *text* can be written as a name, and is itself then."""
    is_plain = text.isidentifier() and not keyword.iskeyword(text)
    return is_plain and unicodedata.normalize("NFKC", text) == text


def variable_name(name: str) -> str:
    """Return *name* as the name of a variable: ``hit_list`` for ``HitList``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    plain = re.sub(r"\W+", "_", parted, flags=re.ASCII).strip("_") or "value"
    return f"a_{plain}" if keyword.iskeyword(plain) or plain[0].isdigit() else plain


class Imports:
    """
    What the text of a test needs from elsewhere.

    *taken* are names that stand for something else already; *known* are what
    the file imports, as (module, name, as), so that it is not imported twice.
    """

    def __init__(self, taken: Iterable[str] = (), known: Iterable[tuple[str, str, str]] = ()) -> None:
        self._taken = set(taken) | _TAKEN
        self._bound = {(module, name): bound for module, name, bound in known}
        self._new: dict[tuple[str, str], str] = {}

    def module(self, module: str) -> str:
        """Return how *module* is called."""
        return self._called(module, "")

    def name(self, module: str, name: str) -> str:
        """Return how *name* from *module* is called."""
        return self._called(module, name)

    def variable(self, name: str) -> str:
        """Return a name for a variable that stands for nothing else."""
        return self._free(variable_name(name), "_")

    def class_name(self, qualified: str) -> str:
        """Return a name for a class that stands for the one that *qualified* names."""
        return self._free(qualified.rpartition(".")[2], "")

    def _free(self, wanted: str, between: str) -> str:
        number, free = 1, wanted
        while free in self._taken:
            number += 1
            free = f"{wanted}{between}{number}"
        self._taken.add(free)
        return free

    def _called(self, module: str, name: str) -> str:
        key = (module, name)
        if key not in self._bound:
            plain = name or module
            is_free = plain not in self._taken or (not name and module in _THEIRS)
            self._bound[key] = plain if is_free else self.variable(f"{module.rpartition('.')[2]}_{plain}")
            self._taken.add(self._bound[key])
            self._new[key] = self._bound[key]
        return self._bound[key]

    def blocks(self, is_own: Callable[[str], bool], *, again: bool = False) -> list[str]:
        """
        Return the import statements that are new, a block for each kind of module: Python's, others', the project's.

        *is_own* says of a package whether it is the project's.  *again* also
        returns what was imported before.
        """
        chosen = self._bound if again else self._new
        kinds: dict[int, dict[str, list[tuple[str, str]]]] = {}
        for (module, name), bound in chosen.items():
            kind = _kind_of(module.partition(".")[0], is_own)
            kinds.setdefault(kind, {}).setdefault(module, []).append((name, bound))
        return ["\n".join(_block(kinds[kind])) for kind in sorted(kinds)]


def _kind_of(package: str, is_own: Callable[[str], bool]) -> int:
    if package == "__future__":
        return 0
    if package in sys.stdlib_module_names:
        return 1
    return 2 if package in _THEIRS or not is_own(package) else 3


def _alias(name: str, bound: str) -> str:
    return name if name == bound else f"{name} as {bound}"


def _block(modules: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
    for module in sorted(modules):
        yield from (f"import {_alias(module, bound)}" for name, bound in modules[module] if not name)
    for module in sorted(modules):
        names = sorted((_alias(name, bound) for name, bound in modules[module] if name), key=_order)
        if names:
            yield _from(module, names)


def _from(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 88:
        return line
    return statement(0, f"from {module} import ", Bracket("(", tuple(("", name) for name in names), ")"))


def _order(name: str) -> tuple[int, str]:
    """Constants, classes, then the rest: as import sorters have them."""
    plain = name.partition(" ")[0]
    return (0 if plain.isupper() and len(plain) > 1 else 1 if plain[:1].isupper() else 2, name)
