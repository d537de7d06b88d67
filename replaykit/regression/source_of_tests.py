"""The text of a test that makes recorded calls, as a person would have written it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from replaykit.errors import UsageError
from replaykit.regression.call_targets import FunctionTarget, MemoryTarget, WrappedTarget
from replaykit.regression.code_reading import CodeReader
from replaykit.regression.imports import Imports
from replaykit.regression.layout import Bracket, Node, flat, statement, text_literal
from replaykit.regression.literals import Literals
from replaykit.regression.parameters import REQUIRED, Parameter
from replaykit.regression.written_calls import Call, CallWriter, Stub

__all__ = ["ExistingTests", "source_of_test"]

_INDENT = "    "


@attrs.frozen(kw_only=True)
class ExistingTests:
    """
    What a file of tests has already; *text* is empty where there is none.

    Attributes:
        names: What it defines and imports.
        imports: What it imports at its top, as (module, name, as).
        import_lines: How many lines stand before its imports, and before the first behind them.
        are_sortable: Whether they are nothing but that: they can be written anew.
    """

    text: str = ""
    names: frozenset[str] = frozenset()
    imports: tuple[tuple[str, str, str], ...] = ()
    import_lines: tuple[int, int] = (0, 0)
    are_sortable: bool = False

    @classmethod
    def read(cls, text: str, path: str) -> ExistingTests:
        """
        Return what is in *text*, the file *path*.

        Raises:
            UsageError: It is no Python.
        """
        try:
            body = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError) as error:
            raise UsageError(f"{path} is no Python, so that no test can be added to it: {error}") from None
        imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
        docstring = body[:1] if ast.get_docstring(ast.Module(body[:1], [])) is not None else []
        first, last = len(docstring), len(docstring) + len(imports)
        start = imports[0].lineno - 1 if imports else max((node.end_lineno or 0 for node in docstring), default=0)
        end = max((node.end_lineno or 0 for node in imports), default=start)
        return cls(
            text=text,
            names=frozenset(name for node in body for name in _bound_by(node)),
            imports=tuple(each for node in imports for each in _imported(node)),
            import_lines=(start, end),
            are_sortable=body[first:last] == imports and _are_sortable(imports, text.split("\n")[start:end]),
        )


def _are_sortable(imports: Sequence[ast.Import | ast.ImportFrom], lines: Sequence[str]) -> bool:
    """Whether nothing is lost where the imports are written anew: no comment, no second statement on a line."""
    is_absolute = all(not getattr(node, "level", 0) for node in imports)
    names = [each.name for node in imports for each in node.names]
    return bool(imports) and is_absolute and "*" not in names and not any(set("#;") & set(line) for line in lines)


def _bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    for each in ast.walk(node):
        if isinstance(each, ast.alias):
            yield (each.asname or each.name).partition(".")[0]
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str]]:
    for each in node.names:
        if isinstance(node, ast.Import):
            yield each.name, "", each.asname or each.name
        elif node.module is not None and not node.level:
            yield node.module, each.name, each.asname or each.name


def source_of_test(
    name: str,
    calls: Sequence[Call],
    reader: CodeReader,
    *,
    docstring: str,
    comments: Iterable[str] = (),
    is_own: Callable[[str], bool] = bool,
    existing: ExistingTests | None = None,
) -> str:
    """
    Return the whole text of a file with the test *name*, which makes *calls* in their order.

    *is_own* says which packages are the project's: they are imported last.
    With *existing* the test is added to what is there.
    """
    existing = existing or ExistingTests()
    imports = Imports({*existing.names, name}, existing.imports)
    blocks = list(_Test(name, calls, imports, reader).blocks(docstring, list(comments)))
    return _file(existing, imports.blocks(is_own, again=existing.are_sortable), blocks)


class _Test:
    """One test, and the classes that it needs beside it."""

    def __init__(self, name: str, calls: Sequence[Call], imports: Imports, reader: CodeReader) -> None:
        self._name = name
        self._calls = calls
        self._imports = imports
        self._writer = CallWriter(calls, imports, reader)
        self._literals = Literals(imports, reader)
        self._has_memory = any(isinstance(call.target, MemoryTarget) for call in calls)
        self._is_async = any(call.target.shape.is_async for call in calls)

    def blocks(self, docstring: str, comments: Sequence[str]) -> Iterator[str]:
        """Yield what stands at the top of the file."""
        stubs = {source: self._imports.class_name(source) for source in self._writer.stubbed}
        for source, name in stubs.items():
            yield "\n".join(self._stub(name, self._writer.stubbed[source]))
        lines = [self._mark(), f"def {self._name}() -> None:", f'{_INDENT}"""{docstring}"""']
        lines += [f"{_INDENT}# {comment}" for comment in comments]
        yield "\n".join([*lines, *self._set_up(stubs), *self._awaited(len(_INDENT))])

    def _mark(self) -> str:
        options: list[tuple[str, Node]] = []
        if self._writer.ignored:
            options.append(("ignore=", self._literals.of(list(self._writer.ignored))))
        if self._writer.exceptions:
            names = tuple(("", self._imports.name(*each)) for each in self._writer.exceptions)
            options.append(("exceptions=", Bracket("[", names, "]")))
        mark = f"{self._imports.module('pytest')}.mark.replaykit"
        return statement(0, "@", Bracket(f"{mark}(", tuple(options), ")") if options else mark)

    # -- what the calls are made on -----------------------------------------------------

    def _set_up(self, stubs: dict[str, str]) -> Iterator[str]:
        made: set[tuple[str, ...]] = set()
        for call in self._calls:
            target = call.target
            if isinstance(target, WrappedTarget) and (target.source,) not in made:
                made.add((target.source,))
                yield self._wrapped(target.source, stubs.get(target.source))
            if isinstance(target, FunctionTarget) and target.found.needs_instance:
                key = (target.found.module, *target.found.path[:-1])
                if key not in made:
                    made.add(key)
                    yield from self._instance(target, key)

    def _wrapped(self, source: str, stub: str | None) -> str:
        rows = {
            call.target.name: call.action.kind
            for call in self._calls
            if isinstance(call.target, WrappedTarget) and call.target.source == source
        }
        variable = self._writer.stand_in((source,), source.rpartition(".")[2])
        like = [("like=", stub)] if stub else []
        arguments = (("", "None"), *like, ("operations=", self._literals.of(rows)))
        return statement(4, f"{variable} = ", Bracket(f"{self._imports.module('replaykit')}.wrap(", arguments, ")"))

    def _instance(self, target: FunctionTarget, key: tuple[str, ...]) -> Iterator[str]:
        cls, variable = self._writer.class_of(target.found), self._writer.stand_in(key, key[-1])
        if target.found.is_bare:
            yield f"{_INDENT}{variable} = {cls}()"
            return
        yield f"{_INDENT}# Made without __init__: its recorded methods answer from the recording."
        yield f"{_INDENT}{variable} = {cls}.__new__({cls})"

    def _stub(self, name: str, methods: dict[str, Stub]) -> Iterator[str]:
        yield f"class {name}:"
        for number, (method, stub) in enumerate(methods.items()):
            if number:
                yield ""
            start = "async def" if stub.shape.is_async and not stub.shape.is_stream else "def"
            parameters = tuple(("", each) for each in ("self", *self._declared(stub.parameters)))
            yield statement(4, f"{start} ", Bracket(f"{method}(", parameters, ")"), ": ...")

    def _declared(self, parameters: Sequence[Parameter]) -> Iterator[str]:
        names = [each.kind for each in parameters]
        has_star = Parameter.STAR in names
        for number, each in enumerate(parameters):
            before = names[number - 1] if number else None
            if before == Parameter.BY_PLACE and each.kind != Parameter.BY_PLACE:
                yield "/"
            if each.kind == Parameter.BY_NAME and before != Parameter.BY_NAME and not has_star:
                yield "*"
            star = {Parameter.STAR: "*", Parameter.STARS: "**"}.get(each.kind, "")
            default = "" if each.default is REQUIRED else f"={flat(self._literals.of(each.default))}"
            yield f"{star}{each.name}{default}"
        if names and names[-1] == Parameter.BY_PLACE:
            yield "/"

    # -- the calls ------------------------------------------------------------------

    def _opened(self, indent: int) -> Iterator[str]:
        if not self._has_memory:
            yield from self._made(indent)
            return
        opened = f'{self._imports.module("replaykit")}.open(":memory:")'
        yield f"{' ' * indent}with {opened} as {self._writer.stand_in(('memory',), 'memory')}:"
        yield from self._made(indent + 4)

    def _awaited(self, indent: int) -> Iterator[str]:
        if not self._is_async:
            yield from self._opened(indent)
            return
        name = self._imports.variable("calls")
        yield ""
        yield f"{' ' * indent}async def {name}() -> None:"
        yield from self._opened(indent + 4)
        yield ""
        yield f"{' ' * indent}{self._imports.module('asyncio')}.run({name}())"

    def _made(self, indent: int) -> Iterator[str]:
        for call in self._calls:
            yield from self._writer.lines(call, indent)


# -- the file -------------------------------------------------------------------------------


def _file(existing: ExistingTests, imports: Sequence[str], blocks: Sequence[str]) -> str:
    tests = "\n\n\n".join(blocks)
    if not existing.text.strip():
        return "\n\n".join(imports) + "\n\n\n" + tests + "\n"
    # Not splitlines(): a form feed within a text ends no line of Python's.
    lines = existing.text.replace("\r\n", "\n").rstrip().split("\n")
    start, end = existing.import_lines
    added = "\n\n".join(imports).split("\n") if imports else []
    if not existing.are_sortable:
        # Behind what is imported already: whoever has an import sorter lets it sort.
        start = end
    if added and not existing.imports:
        added = [*([""] if start else []), *added, *([""] if start < len(lines) else [])]
    whole = "\n".join([*lines[:start], *added, *lines[end:], "", "", tests, ""])
    return whole.replace("\n", "\r\n") if "\r\n" in existing.text else whole


def docstring_of(text: str) -> str:
    """Return *text* as it can stand in a docstring."""
    return text_literal(text.replace('"', "'")).strip("'\"").replace("\\", "/")
