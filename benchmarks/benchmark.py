"""What every benchmark is, and how they are found: each file of this package with a `BENCHMARK` is one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

import benchmarks
from benchmarks.tables import Goal, Table

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark(Generic[S]):
    """One measurement, which starts its own servers.

    `full` and `quick` are sizes: a frozen dataclass of numbers, each an option of the command line. `quick` only shows
    that the benchmark works; its figures mean nothing. `order` is the letter under which the issue lists it.
    """

    order: str
    says: str
    full: S
    quick: S
    measure: Callable[[S], Coroutine[Any, Any, Sequence[Table]]]
    goals: Sequence[Goal] = ()


def found() -> Mapping[str, Benchmark[Any]]:
    """All benchmarks by name, in order."""
    modules = {one.name: import_module(f"benchmarks.{one.name}") for one in _files()}
    known = {name: module.BENCHMARK for name, module in modules.items() if hasattr(module, "BENCHMARK")}
    return dict(sorted(known.items(), key=lambda pair: (pair[1].order, pair[0])))


def _files() -> list[pkgutil.ModuleInfo]:
    return [one for one in pkgutil.iter_modules(benchmarks.__path__) if not one.ispkg and one.name != "__main__"]
