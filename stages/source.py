"""Source code as a digest reads it: without comments, whitespace and docstrings, with the names it refers to."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, ClassVar

from stages.base import stage

_IMPORTERS = {"import_module", "__import__"}
_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module


@dataclass(frozen=True)
class Source:
    """One piece of code. `names` are dotted as written, sorted; `imports` are the modules it imports inside."""

    ABSENT: ClassVar[object] = object()

    text: str
    names: tuple[str, ...]
    imports: tuple[str, ...]
    scope: Mapping[str, Any]

    def find(self, name: str, inside: Callable[[str], bool] = lambda module: True) -> Any:
        """What a dotted name stands for in the code's own module, or `ABSENT`.

        Only modules are looked into, and of those the ones `inside` says: of `thing.attribute` all of `thing` counts.
        """
        first, *rest = name.split(".")
        found = self.scope.get(first, self.ABSENT)
        for step in rest:
            if not isinstance(found, types.ModuleType):
                break
            found = getattr(found, step, self.ABSENT) if inside(found.__name__) else self.ABSENT
        return found


def read_object(value: Any) -> Source:
    """The source of a function or class; where there is none to read (a lambda, a REPL) its byte code."""
    if getattr(value, "__name__", "") != "<lambda>":
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
        except (OSError, TypeError, SyntaxError):
            pass
        else:
            return _read_tree(tree, _scope(value), value.__module__)
    code = getattr(value, "__code__", None)
    if code is None:
        return Source(f"{value.__module__}.{value.__qualname__}", (), (), {})
    return Source(_code_text(code), tuple(sorted(set(_code_names(code)))), (), _scope(value))


def read_module(name: str) -> Source | None:
    """The source of a module that need not be imported, or None where there is no file of Python to read."""
    file = module_file(name)
    if file is None or file.suffix != ".py":
        return None
    try:
        return _read_tree(ast.parse(file.read_bytes()), {}, name)
    except (OSError, SyntaxError, ValueError):
        return None


def module_file(name: str) -> Path | None:
    """Where a module is defined, found without importing anything."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        return Path(file) if file else None
    spec = _spec(name)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _spec(name: str) -> ModuleSpec | None:
    parent, _, _ = name.rpartition(".")
    if not parent:
        return PathFinder.find_spec(name)
    if parent in sys.modules:
        return PathFinder.find_spec(name, list(getattr(sys.modules[parent], "__path__", [])))
    above = _spec(parent)
    return PathFinder.find_spec(name, above.submodule_search_locations) if above is not None else None


def _scope(value: Any) -> dict[str, Any]:
    scope = dict(vars(sys.modules[value.__module__])) if value.__module__ in sys.modules else {}
    inner = inspect.unwrap(value) if inspect.isfunction(value) else None
    if inner is not None:
        scope = dict(inner.__globals__)
        for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=False):
            try:
                scope[name] = cell.cell_contents
            except ValueError:
                continue
    return scope


def _read_tree(tree: ast.Module, scope: Mapping[str, Any], module: str) -> Source:
    for node in ast.walk(tree):
        if isinstance(node, _Documented):
            _strip_docstring(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list = [one for one in node.decorator_list if not _declares_stage(one, scope)]
    names = _Names()
    names.visit(tree)
    return Source(ast.dump(tree), tuple(sorted(names.found)), tuple(sorted(imports_of(tree, module))), scope)


def _strip_docstring(node: _Documented) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]


def _declares_stage(decorator: ast.expr, scope: Mapping[str, Any]) -> bool:
    """`@stage` says how a stage is run, which the plan digests as settings: it is no part of the code."""
    name = _dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return name is not None and Source("", (), (), scope).find(name) is stage


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return f"{above}.{node.attr}" if above is not None else None
    return None


class _Names(ast.NodeVisitor):
    """Every name that may stand for something outside: a parameter hides what is called like it, such as the stage
    whose output it takes.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._parameters: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        self._note(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = _dotted(node)
        if name is not None:
            self._note(name)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._within(node.args, [node.body])

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outside: list[ast.AST | None] = [*node.decorator_list, node.args, node.returns]
        for one in outside:
            if one is not None:
                self.visit(one)
        self._within(node.args, node.body)

    def _within(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        self._parameters.append({one.arg for one in named if one is not None})
        for statement in body:
            self.visit(statement)
        self._parameters.pop()

    def _note(self, name: str) -> None:
        first = name.partition(".")[0]
        if not any(first in hidden for hidden in self._parameters):
            self.found.add(name)


def imports_of(tree: ast.AST, module: str) -> set[str]:
    """The modules that the code of a module imports, and the names it takes from them, which may be modules too."""
    return set(_imports(tree, module))


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Every module a tree imports, and every name it takes from one, which may be a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_by_name(tree: ast.AST, module: str) -> tuple[set[str], list[int]]:
    """The modules whose names stand in calls of `import_module` and `__import__`, and the lines of those calls whose
    names are worked out as the code runs.
    """
    found: set[str] = set()
    worked_out: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (_dotted(node.func) or "").rpartition(".")[2] in _IMPORTERS:
            given = [*node.args, *(one.value for one in node.keywords if one.arg == "name")]
            name = given[0].value if given and isinstance(given[0], ast.Constant) else None
            if isinstance(name, str):
                found.add(_absolute(ast.ImportFrom(name.lstrip("."), [], len(name) - len(name.lstrip("."))), module))
            else:
                worked_out.append(node.lineno)
    return found, worked_out


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    loaded = sys.modules.get(module)
    package = getattr(loaded, "__package__", None) or _package_of(module)
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _package_of(module: str) -> str:
    file = module_file(module)
    return module if file is not None and file.name == "__init__.py" else module.rpartition(".")[0]


def _code_text(code: types.CodeType) -> str:
    consts = [_code_text(one) if isinstance(one, types.CodeType) else _constant(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {consts} {code.co_names} {code.co_varnames}"


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _code_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _code_names(one)
