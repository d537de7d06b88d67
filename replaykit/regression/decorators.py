"""Whether source code has something recorded: decorated with ``records``, or with what is made of it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Decorators", "top_level"]


def top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module or class that are its own, also those under a condition."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from top_level([*node.body, *getattr(node, "orelse", ()), *getattr(node, "finalbody", ())])


class Decorators:
    """
    Tells decorators that record from others.

    *tree_of* gives the source of a module, None where it has none: a
    decorator may be imported, and that again.
    """

    def __init__(self, tree_of: Callable[[str], ast.Module | None]) -> None:
        self._tree_of = tree_of
        self._known: dict[tuple[str, str], bool] = {}

    def record(self, module: str, expressions: Iterable[ast.AST]) -> bool:
        """Whether one of *expressions*, which stand in *module*, is ``records`` or is made with it."""
        return any(self._is_recording(module, each) for node in expressions for each in ast.walk(node))

    def _is_recording(self, module: str, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr == "records"
        return isinstance(node, ast.Name) and self._is_name_of_recording(module, node.id)

    def _is_name_of_recording(self, module: str, name: str) -> bool:
        key = (module, name)
        if key not in self._known:
            # What is made of itself is made of nothing.
            self._known[key] = False
            tree = self._tree_of(module)
            self._known[key] = tree is not None and any(
                self._makes(module, node, name) for node in top_level(tree.body)
            )
        return self._known[key]

    def _makes(self, module: str, node: ast.stmt, name: str) -> bool:
        """Whether *node* binds *name* to something that records."""
        if isinstance(node, ast.ImportFrom):
            meant = [each.name for each in node.names if (each.asname or each.name) == name]
            return bool(meant) and self._imports(module, node, meant[-1])
        if isinstance(node, ast.Assign):
            is_meant = any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
            return is_meant and self.record(module, [node.value])
        return isinstance(node, ast.FunctionDef) and node.name == name and self.record(module, node.body)

    def _imports(self, module: str, node: ast.ImportFrom, name: str) -> bool:
        if node.module == "replaykit" and not node.level:
            return name == "records"
        return any(self._is_name_of_recording(origin, name) for origin in _origins(module, node))


def _origins(module: str, node: ast.ImportFrom) -> Iterator[str]:
    """Yield what the module that is imported from may be called; whether *module* is a package nobody knows."""
    if not node.level:
        yield node.module or ""
        return
    parts = module.split(".")
    for depth in (len(parts) - node.level, len(parts) - node.level + 1):
        yield ".".join([*parts[: max(depth, 0)], *([node.module] if node.module else [])])
