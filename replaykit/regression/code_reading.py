"""
Where recorded functions and classes are defined, found by reading source code.

Nothing is imported and nothing runs: a recording says which module to look
at, and a recording may be anybody's.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import tokenize
from collections.abc import Iterator, Sequence

import attrs

from replaykit.regression.decorators import Decorators, top_level
from replaykit.regression.parameters import Parameter, parameters_of

__all__ = ["CodeReader", "FoundClass", "FoundFunction", "Missing", "Shape", "project_folders"]

_MOST_BYTES = 4 << 20
_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_NOT_CALLED = frozenset({"property", "cached_property", "contextmanager", "asynccontextmanager"})
_RECORDS = frozenset({"dataclass", "define", "frozen", "mutable", "s"})
_ENUMS = frozenset({"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"})


@attrs.frozen
class Shape:
    """What a call gives: something to await, items one by one, both, or the result at once."""

    is_async: bool = False
    is_stream: bool = False


@attrs.frozen
class Missing:
    """Why something was not found, as the end of a sentence."""

    reason: str


@attrs.frozen(kw_only=True)
class FoundFunction:
    """
    A function that can be imported by name.

    Attributes:
        path: The names that lead to it in its module: a function's, or a class's and a method's.
        parameters: Without self and cls.
        needs_instance: Whether it is a method of an instance; `is_bare` whether its class makes one without arguments.
    """

    module: str
    path: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    shape: Shape
    needs_instance: bool = False
    is_bare: bool = False


@attrs.frozen(kw_only=True)
class FoundClass:
    """A class at the top of a module; *form* is ``enum``, ``record`` (made of its fields) or ``other``."""

    module: str
    name: str
    form: str
    methods: dict[str, FoundFunction]


@attrs.frozen
class _Defined:
    """
    A function definition with the classes around it.

    *alias* is the name that a decorated form of it is bound to, *bound_by* the
    call that makes that.
    """

    node: _FunctionNode
    owners: tuple[ast.ClassDef, ...] = ()
    alias: str = ""
    bound_by: tuple[ast.expr, ...] = ()

    @property
    def qualname(self) -> str:
        return ".".join([*(owner.name for owner in self.owners), self.node.name])


class CodeReader:
    """Looks into the modules that are found in *folders*, or where this Python has them."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = [os.path.abspath(folder or ".") for folder in folders]
        self._trees: dict[str, ast.Module | None] = {}
        self._decorators = Decorators(self._tree)

    # -- what is asked for ----------------------------------------------------------

    def has_module(self, module: str) -> bool:
        """Whether there is a module of this name whose source can be read."""
        return self._tree(module) is not None

    def function(self, module: str, name: str) -> FoundFunction | Missing:
        """
        Return the function that *module* records as *name*.

        Only what the source decorates with ``records`` is found: anything else
        would run for real in a test, with arguments that a recording chose.
        """
        tree = self._tree(module)
        if tree is None:
            return Missing(f"no module {module} is found from here: call this from the project's folder")
        known = [each for each in _functions(tree.body) if each.qualname == name]
        named = [each for each in _functions(tree.body) if name in _given_names(each.node.decorator_list)]
        record = self._decorators.record
        bound = [each for each in _bound_functions(tree, name) if record(module, each.bound_by)]
        chosen = [each for each in (*named, *known) if record(module, each.node.decorator_list)] or bound
        if not chosen:
            return Missing(_why_none(tree, module, name, is_there=bool(known)))
        # Of several definitions in a module the last one counts.
        return _found_function(module, chosen[-1])

    def cls(self, qualified: str) -> FoundClass | None:
        """Return the class that ``module.Name`` is, None where there is no such class at the top of a module."""
        module, _, name = qualified.rpartition(".")
        tree = self._tree(module)
        found = [node for node in top_level(tree.body if tree is not None else ()) if _is_class(node, name)]
        return _found_class(module, found[-1]) if found else None  # type: ignore[arg-type]  # it is a class

    def own_class(self, qualified: str) -> FoundClass | None:
        """Return the same of a class of the project: a recording does not choose what else is imported and made."""
        return self.cls(qualified) if self.is_own(qualified.rpartition(".")[0]) else None

    def is_own(self, module: str) -> bool:
        """Whether *module* is the project's: neither Python's nor installed as a package."""
        folder = self.folder_of(module)
        is_installed = {"site-packages", "dist-packages"} & set(folder.split(os.sep))
        return bool(folder) and not is_installed and folder != os.path.dirname(os.__file__)

    def folder_of(self, module: str) -> str:
        """Return the folder that has to be on the path of whoever imports *module*; empty where it is unknown."""
        file = self._file(module)
        if file is None:
            return ""
        depth = module.count(".") + (2 if os.path.basename(file) == "__init__.py" else 1)
        for _ in range(depth):
            file = os.path.dirname(file)
        return file

    # -- modules ----------------------------------------------------------------------

    def _tree(self, module: str) -> ast.Module | None:
        if module not in self._trees:
            file = self._file(module)
            self._trees[module] = None if file is None else _parsed(file)
        return self._trees[module]

    def _file(self, module: str) -> str | None:
        parts = module.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        for folder in self._folders:
            if found := _module_file(os.path.join(folder, *parts)):
                return found
        return _installed_file(parts)


def _module_file(path: str) -> str | None:
    return next((file for file in (os.path.join(path, "__init__.py"), f"{path}.py") if os.path.isfile(file)), None)


def _installed_file(parts: Sequence[str]) -> str | None:
    """Return the file of a module below a package that this Python finds, also one that is installed for editing."""
    try:
        # Of a name without dots: for one with dots its packages would be imported.
        spec = importlib.util.find_spec(parts[0]) if parts[0] not in ("__main__", "builtins") else None
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if len(parts) == 1:
        return spec.origin if spec.origin and spec.origin.endswith(".py") else None
    folders = map(str, spec.submodule_search_locations or ())
    return next((file for folder in folders if (file := _module_file(os.path.join(folder, *parts[1:])))), None)


def _parsed(file: str) -> ast.Module | None:
    try:
        if os.path.getsize(file) > _MOST_BYTES:
            return None
        with tokenize.open(file) as opened:
            return ast.parse(opened.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# -- definitions ----------------------------------------------------------------------


def _functions(body: Sequence[ast.stmt], owners: tuple[ast.ClassDef, ...] = ()) -> Iterator[_Defined]:
    for node in top_level(body):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield _Defined(node, owners)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, (*owners, node))


def _bound_functions(tree: ast.Module, name: str) -> Iterator[_Defined]:
    """Yield what ``search = records("find")(_search)`` makes of the function that is recorded as *name*."""
    defined = {each.node.name: each for each in _functions(tree.body) if not each.owners}
    for node in top_level(tree.body):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and len(node.targets) == 1):
            continue
        target, given = node.targets[0], node.value.args[-1:]
        inner = given[0].id if given and isinstance(given[0], ast.Name) else ""
        is_meant = inner == name or name in _given_names([node.value])
        if is_meant and inner in defined and isinstance(target, ast.Name):
            yield attrs.evolve(defined[inner], alias=target.id, bound_by=(node.value.func,))


def _given_names(expressions: Sequence[ast.expr]) -> set[str]:
    """Return the names that decorators give: ``records("find", name="search")``."""
    keywords = [each for node in expressions for each in ast.walk(node) if isinstance(each, ast.keyword)]
    values = [each.value for each in keywords if each.arg == "name"]
    return {each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _why_none(tree: ast.Module, module: str, name: str, *, is_there: bool) -> str:
    if is_there:
        return f"{module} does not decorate {name} with records: what is imported from there would run"
    last = name.rpartition(".")[2]
    nodes = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    if any(node.name == last for node in nodes):
        return f"{name} is defined inside another function of {module}, where nobody can import it"
    return f"{module} has no function {name}"


def _found_function(module: str, defined: _Defined) -> FoundFunction | Missing:
    node, owner = defined.node, defined.owners[-1] if defined.owners else None
    names = {_last_name(each) for each in node.decorator_list}
    if names & _NOT_CALLED:
        return Missing(f"{defined.qualname} of {module} is not called like a function ({min(names & _NOT_CALLED)})")
    is_static, is_of_class = "staticmethod" in names, "classmethod" in names
    if owner is not None and _is_abstract(owner) and not (is_static or is_of_class):
        return Missing(f"{owner.name} of {module} is abstract, so that there is no instance to call")
    return FoundFunction(
        module=module,
        path=(defined.alias,) if defined.alias else tuple(defined.qualname.split(".")),
        parameters=parameters_of(node.args, skip_first=owner is not None and not is_static),
        shape=Shape(isinstance(node, ast.AsyncFunctionDef), _yields(node)),
        needs_instance=owner is not None and not (is_static or is_of_class),
        is_bare=owner is not None and _is_bare(owner),
    )


def _is_abstract(owner: ast.ClassDef) -> bool:
    functions = [node for node in owner.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return any(_last_name(each).startswith("abstract") for node in functions for each in node.decorator_list)


def _is_bare(owner: ast.ClassDef) -> bool:
    """Whether the class is made without arguments, and making it does nothing."""
    makers = {node.name for node in owner.body if isinstance(node, ast.FunctionDef)} & {"__init__", "__new__"}
    return not (makers or owner.bases or owner.keywords or owner.decorator_list)


def _yields(node: _FunctionNode) -> bool:
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        current = waiting.pop()
        if isinstance(current, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(current))
    return False


# -- classes --------------------------------------------------------------------------


def _is_class(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == name


def _found_class(module: str, node: ast.ClassDef) -> FoundClass:
    methods = {}
    for each in _functions(node.body, (node,)):
        found = _found_function(module, each)
        if len(each.owners) == 1 and isinstance(found, FoundFunction):
            methods[each.node.name] = found
    return FoundClass(module=module, name=node.name, form=_form_of(node), methods=methods)


def _form_of(node: ast.ClassDef) -> str:
    bases = {_last_name(base) for base in node.bases}
    if bases & _ENUMS:
        return "enum"
    decorators = {_last_name(each) for each in node.decorator_list}
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    # A field that is no argument, or a private one: its argument has another name.
    has_own_fields = all(
        isinstance(each.target, ast.Name)
        and not each.target.id.startswith("_")
        and not isinstance(each.value, ast.Call)
        for each in fields
    )
    is_record = decorators & _RECORDS or bases & {"NamedTuple", "BaseModel"}
    return "record" if is_record and has_own_fields else "other"


def _last_name(node: ast.expr) -> str:
    """Return the last name of a decorator or a base: ``records`` of ``@replaykit.records("find")``."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def project_folders() -> list[str]:
    """Return where a project keeps its code, as seen from the folder that one is in, and then Python's own path."""
    here = os.getcwd()
    return [here, os.path.join(here, "src"), *sys.path]
