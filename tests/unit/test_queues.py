"""Every queue has a bound: its own, or that of whoever fills it, which is named here and in docs/operating.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUEUES = {"Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "deque"}
# Bounded by what puts into them.
BOUNDED_ELSEWHERE = {
    "service/asking/due.py": "ticks that a rehearsal has worked out already",
    "service/db/waiting.py": "each waits for its answer, or is refused where it is full; logs by LogQueue",
    "service/logs/queue.py": "MOST_LINES and MOST_BYTES",
    "stages/threads.py": "runs that this daemon drives, executor.max_runs",
    "stages/workers/main_thread.py": "attempts of one worker process, one at a time",
    "stages/workers/worker.py": "attempts of one worker process, and answers to what they asked",
}


def unbounded() -> Iterator[str]:
    for floor in ("triggers", "stages", "service"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and name_of(node) in QUEUES and not has_bound(node):
                    yield path.relative_to(ROOT).as_posix()


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def has_bound(call: ast.Call) -> bool:
    words = {word.arg for word in call.keywords}
    if name_of(call) == "deque":
        return "maxlen" in words or len(call.args) > 1
    return name_of(call) != "SimpleQueue" and bool(call.args or "maxsize" in words)


def test_each_queue_has_a_bound_that_is_named() -> None:
    assert set(unbounded()) == set(BOUNDED_ELSEWHERE)


def test_a_queue_without_a_bound_would_be_found() -> None:
    given = {
        "asyncio.Queue()": False, "Queue(10)": True, "asyncio.Queue(maxsize=3)": True, "deque()": False,
        "deque(x)": False, "deque(x, 5)": True, "deque(maxlen=1)": True, "SimpleQueue()": False,
    }  # fmt: skip
    for text, bound in given.items():
        [expression] = ast.parse(text).body
        assert isinstance(expression, ast.Expr)
        assert isinstance(expression.value, ast.Call)
        assert has_bound(expression.value) is bound, text
