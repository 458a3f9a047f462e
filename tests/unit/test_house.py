"""The rules of the house that linters do not know (the floors themselves are import-linter's)."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("triggers", "stages", "service")
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 40
FORBIDDEN_NAMES = frozenset({"utils", "util", "helpers", "helper", "manager", "misc", "common"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, node: ast.AST | None = None) -> str:
    line = f":{node.lineno}" if isinstance(node, (ast.stmt, ast.expr, ast.ExceptHandler)) else ""
    return f"{path.relative_to(ROOT)}{line}"


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    for path in sources():
        yield from ((path, node) for node in ast.walk(tree(path)) if isinstance(node, kinds))


def lines_of(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_three_floors_are_read() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in sources()} == set(FLOORS)


def test_no_file_is_long() -> None:
    lines = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_long() -> None:
    found = {
        f"{place(path, node)} {node.name}": lines_of(node)
        for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, Function)
    }
    assert {name: count for name, count in found.items() if count > MOST_LINES_OF_A_FUNCTION} == {}


def test_no_file_is_named_after_nothing() -> None:
    assert [place(path) for path in sources() if path.stem in FORBIDDEN_NAMES] == []


def test_only_service_db_speaks_to_postgres() -> None:
    assert [place(path) for path in importers("asyncpg") if path.parts[-3:-1] != ("service", "db")] == []


def importers(package: str) -> Iterator[Path]:
    for path, node in nodes(ast.Import, ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        if any(name.partition(".")[0] == package for name in names):
            yield path


def test_everything_is_caught_in_two_places_only() -> None:
    caught = [
        place(path, node)
        for path, node in nodes(ast.ExceptHandler)
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    ]
    assert len(caught) <= 2, caught


def catches_everything(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id == "Exception") for kind in kinds)


def test_every_task_belongs_to_a_group() -> None:
    bare = [place(path, node) for path, node in nodes(ast.Call) if isinstance(node, ast.Call) and is_bare_task(node)]
    assert bare == []


def is_bare_task(call: ast.Call) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in ("create_task", "ensure_future"):
        return False
    owner = function.value.func if isinstance(function.value, ast.Call) else function.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return "loop" in name or name == "asyncio"


def test_what_is_public_says_what_it_is() -> None:
    told = {node.name for path in sources() for node in methods(tree(path)) if ast.get_docstring(node)}
    silent = [
        f"{place(path, node)} {node.name}"
        for path in sources()
        for node in public(tree(path))
        if not ast.get_docstring(node) and not is_told_elsewhere(node, told)
    ]
    assert silent == []


def public(parent: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    for node in parent.body:
        if isinstance(node, (ast.ClassDef, Function)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def methods(module: ast.Module) -> Iterator[Function]:
    for kind in public(module):
        if isinstance(kind, ast.ClassDef):
            yield from (node for node in kind.body if isinstance(node, Function))


def is_told_elsewhere(node: ast.ClassDef | Function, told: set[str]) -> bool:
    """An overload or setter shares the docstring of what it belongs to, an override that of what it overrides.

    A protocol's property that is only a name and a type is told by the protocol.
    """
    marks = {part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in node.decorator_list}
    if marks & {"overload", "setter"} or (isinstance(node, Function) and node.name in told):
        return True
    return "property" in marks and ast.unparse(node.body) == "..."


@pytest.mark.parametrize(
    "code", ["asyncio.create_task(x)", "loop.create_task(x)", "asyncio.get_running_loop().create_task(x)"]
)
def test_a_bare_task_is_seen(code: str) -> None:
    assert is_bare_task(ast.parse(code, mode="eval").body)  # type: ignore[arg-type]


def test_a_task_of_a_group_is_let_through() -> None:
    assert not is_bare_task(ast.parse("group.create_task(x)", mode="eval").body)  # type: ignore[arg-type]


@pytest.mark.parametrize("clause", ["except:", "except Exception:", "except (OSError, Exception):"])
def test_catching_everything_is_seen(clause: str) -> None:
    statement = ast.parse(f"try:\n  pass\n{clause}\n  pass").body[0]
    assert isinstance(statement, ast.Try)
    assert catches_everything(statement.handlers[0])


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Also imports made late or for types only: a circle in the drawing is one in the reader's head."""
    sorter = graphlib.TopologicalSorter(import_graph())
    sorter.prepare()


def import_graph() -> dict[str, set[str]]:
    """Each of our modules and those of ours that it names in an import, wherever that stands."""
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    modules = {module_name(path): path for path in files}
    return {name: imports(name, path) & modules.keys() - {name} for name, path in modules.items()}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(name: str, path: Path) -> set[str]:
    """What a module imports, as far as names tell: `from a import b` may mean `a` or `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            is_module = {one for one in deeper if (ROOT / (one.replace(".", "/") + ".py")).exists()}
            found |= is_module or {node.module}
    return found
