"""Every commit, acknowledgement, process start, artifact write and delivery has a fault point, and each is listed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from service.db.connect import sql
from service.db.writer import Operation
from service.fault_points import PLACES, STAGES, WRITES, points
from tests.chaos.plan import POINTS
from tests.points import wanted

ROOT = Path(__file__).parents[2]
DB = ROOT / "service/db"
FLOORS = ("triggers", "stages", "service")
ASKS = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "transaction", "copy_records_to_table"}
WRITING = re.compile(r"\b(insert\s+into|update\s+\w+|delete\s+from|merge\s+into|truncate|create|drop|alter)\b", re.I)
# What tells the world outside that something holds or is there, by the text of the call.
OUTSIDE = re.compile(r"\._consumer\.commit$|self\._accepted$|sink\.deliver$|^put_async$|^_send$")
# What starts a process, by its full name; of what a loop or a context of multiprocessing starts, by the end of it.
STARTS = re.compile(
    r"^subprocess\.(run|call|check_call|check_output|getoutput|getstatusoutput|Popen)$|"
    r"^os\.(fork|forkpty|system|popen|posix_spawnp?|spawn[lv]p?e?)$|^pty\.(fork|spawn)$|"
    r"^(multiprocessing|concurrent\.futures)\.(.+\.)?(Process|Pool|ProcessPoolExecutor|Manager|get_context)$|"
    r"(^|\.)(create_)?subprocess_(exec|shell)$"
)
# Who only reads, over a connection of its own: told by transactions that are read-only, or by the tests below.
READERS = {"ledger.py", "facts.py", "reads.py", "stories.py"}
# A flush's connection under a shorter name; and whoever is given it, and so commits with the flush.
FLUSHS = re.compile(r"\b(self\._)?connection = (.+, )?flush\.connection$", re.M)
WITHIN_A_FLUSH = {"order.py let_go", "usual.py write"}
# A script for a bare interpreter, which imports nothing of ours: it is what runs at `server.started`.
WITHOUT = {"service/embedded/supervisor.py"}
REACHES = ("faults.reach", "faults.reach_in_thread")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def own_calls(function: Function) -> Iterator[ast.Call]:
    """The calls of a function but not of those within it."""
    waiting: list[ast.AST] = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += ast.iter_child_nodes(node)


def has_point(function: Function) -> bool:
    return any(ast.unparse(call.func) in REACHES for call in own_calls(function))


def starts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module names what starts a process, be it to call it or to hand it on, without a point beside it."""
    names = full_names(tree)
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, pointed = waiting.pop()
        if isinstance(node, Function):
            pointed = has_point(node)
        if isinstance(node, ast.Name | ast.Attribute):
            first, dot, rest = ast.unparse(node).partition(".")
            named = f"{names.get(first, first)}{dot}{rest}"
            if STARTS.search(named) and not pointed:
                yield node.lineno, named
        waiting += ((below, pointed) for below in ast.iter_child_nodes(node))


def full_names(tree: ast.Module) -> dict[str, str]:
    """What the names that a module imports stand for."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            found |= {one.asname: one.name for one in node.names if one.asname}
    return found


def may_write(call: ast.Call) -> bool:
    """Whether a statement may change something; of what is not written there, one has to assume it."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "transaction":
        return not any(word.arg == "readonly" for word in call.keywords)
    [first, *_] = call.args or [ast.Constant("")]
    if isinstance(first, ast.Constant):
        text = str(first.value)
        return bool(WRITING.search(text if " " in text or not (DB / f"sql/{text}.sql").exists() else sql(text)))
    if isinstance(first, ast.Call) and ast.unparse(first.func) == "sql" and isinstance(first.args[0], ast.Constant):
        return bool(WRITING.search(sql(str(first.args[0].value))))
    return True


def opens_a_connection(path: Path) -> bool:
    """Whether a module has a connection that is not the writer's: only there something can commit by itself."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return any(ast.unparse(call.func).rpartition(".")[2] in ("connect", "open_pool") for call in calls)


def without_point(path: Path) -> Iterator[str]:
    """Statements that may write, over whatever connection but that of a flush, in functions that have no point."""
    renames = bool(FLUSHS.search(path.read_text(encoding="utf-8"))) and not opens_a_connection(path)
    for function in functions(path):
        for call in own_calls(function):
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in ASKS or not may_write(call):
                continue
            over = ast.unparse(call.func.value)
            flushs = "flush.connection" in over or (renames and over in ("connection", "self._connection"))
            # A class whose statements all go through its `_fetch` has the points there.
            if not flushs and not has_point(function) and not ast.unparse(call).startswith("self._fetch("):
                yield f"{path.name} {function.name}: {ast.unparse(call)}"


def test_every_commit_has_a_point() -> None:
    own = {path.name for path in DB.glob("*.py") if opens_a_connection(path)}
    assert own >= {"writer.py", "retention.py", "sinks.py", "run_log.py", "pools.py"}
    asking = [path for path in sorted((ROOT / "service").rglob("*.py")) if path.name not in READERS]
    found = [one for path in asking for one in without_point(path)]
    assert {one.partition(":")[0] for one in found} == WITHIN_A_FLUSH, found


@pytest.mark.parametrize(
    "line",
    [
        "await connection.execute(sql('put_token'), 1)",
        "await connection.execute('update runs set owner = null')",
        "await self.connection.fetchval('delete from runs returning 1')",
        "await pool.execute(statement)",
        "await (await connect(dsn)).executemany(statement, rows)",
        "async with connection.transaction(): pass",
    ],
)
def test_a_commit_is_seen_whoever_opened_the_connection(line: str, tmp_path: Path) -> None:
    module = tmp_path / "touched.py"
    module.write_text(f"async def touch(connection):\n    {line}\n", encoding="utf-8")
    assert [*without_point(module)]
    module.write_text(
        f"async def touch(connection):\n    await faults.reach('a.commit')\n    {line}\n", encoding="utf-8"
    )
    assert [*without_point(module)] == []


def test_every_kind_of_write_is_listed() -> None:
    for path in DB.glob("*.py"):
        import_module(f"service.db.{path.stem}")
    assert {kind.__name__.lower() for kind in kinds(Operation) if kind.__module__.startswith("service.")} <= set(WRITES)


def test_what_goes_through_a_fetch_with_points_is_listed() -> None:
    """There the points are named after the statement."""
    named = {
        str(call.args[0].value)
        for path in DB.glob("*.py")
        for function in functions(path)
        for call in own_calls(function)
        if ast.unparse(call.func) in ("self._fetch", "self._ids") and isinstance(call.args[0], ast.Constant)
    }
    writes = {name for name in named if WRITING.search(sql(name))}
    assert writes >= {"mark_removed", "sink_move", "trim_log"}
    assert writes <= set(WRITES)


def kinds(of: type[Operation]) -> Iterator[type[Operation]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_whoever_only_reads_names_no_statement_that_writes() -> None:
    """The pool for reads commits whatever it is asked."""
    named = {
        str(call.args[0].value)
        for path in (ROOT / "service").rglob("*.py")
        for function in functions(path)
        for call in own_calls(function)
        if re.search(r"reads\.fetch$", ast.unparse(call.func)) and call.args and isinstance(call.args[0], ast.Constant)
    }
    assert len(named) > 30
    assert [name for name in sorted(named) if WRITING.search(sql(name))] == []


def test_whatever_tells_the_world_has_a_point() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{call.lineno} {ast.unparse(call.func)}"
        for path in code()
        for function in functions(path)
        for call in own_calls(function)
        if OUTSIDE.search(ast.unparse(call.func)) and not has_point(function)
    ]
    assert [one for one in bare if one.partition(":")[0] not in WITHOUT] == []


def test_whatever_starts_a_process_has_a_point() -> None:
    bare = {
        f"{path.relative_to(ROOT)}:{line} {named}"
        for path in code()
        for line, named in starts(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {one for one in bare if one.partition(":")[0] not in WITHOUT} == set()
    assert {one.partition(":")[0] for one in bare} == WITHOUT


@pytest.mark.parametrize(
    "line",
    [
        "import subprocess; subprocess.run(['ls'])",
        "import subprocess as s; s.Popen(['ls'])",
        "from subprocess import check_output as ask; ask(['ls'])",
        "import asyncio, subprocess; asyncio.to_thread(subprocess.run, ['ls'])",
        "import os; os.posix_spawn('ls', [], {})",
        "from os import fork; fork()",
        "import multiprocessing as m; m.get_context('spawn').Process().start()",
        "from multiprocessing import Process; Process().start()",
        "from concurrent.futures import ProcessPoolExecutor; ProcessPoolExecutor()",
        "import asyncio; asyncio.create_subprocess_shell('ls')",
        "import asyncio; asyncio.get_running_loop().subprocess_exec(None, 'ls')",
        "loop.subprocess_shell(None, 'ls')",
    ],
)
def test_a_start_is_seen_whatever_it_is_called(line: str) -> None:
    function = f"def start():\n    {line}\n"
    assert [*starts(ast.parse(line))]
    assert [*starts(ast.parse(function))]
    assert [*starts(ast.parse(f"{function}    faults.reach_in_thread('a.start')"))] == []


def code() -> list[Path]:
    return sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))


def reached() -> set[str]:
    """The points that are written out in the code."""
    calls = (call for path in code() for function in functions(path) for call in own_calls(function))
    return {
        str(call.args[0].value)
        for call in calls
        if ast.unparse(call.func) in REACHES and isinstance(call.args[0], ast.Constant)
    }


def test_the_list_of_points_is_that_of_the_code() -> None:
    assert reached() <= set(points())
    assert set(PLACES) <= reached()


def test_every_point_that_a_test_names_is_one() -> None:
    named = {
        point
        for path in (ROOT / "tests").rglob("*.py")
        if path.name != "test_faults.py"
        for point in re.findall(r"[\"']([a-z_]+\.[a-z_.]+)=(?:crash|fail|stop|delay)", path.read_text(encoding="utf-8"))
    }
    assert named
    assert {point for point in named if not point.startswith(STAGES)} <= set(points())
    assert {point for point in POINTS if not point.startswith(STAGES)} <= set(points())


def test_every_point_is_reached_by_a_storm_or_by_a_test() -> None:
    """`python -m tests.points` and `tests/fault/test_chaos.py` see whether that is so."""
    by_tests = {point for found in wanted().values() for point in found}
    assert all((ROOT / file).exists() for file in wanted())
    assert by_tests <= set(points())
    assert set(points()) - by_tests - set(POINTS) == set()
