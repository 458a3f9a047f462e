"""What every benchmark is, and how they are found: each file of this package with a `BENCHMARK` is one.

A folder is one by its file `benchmark`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

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


def names() -> list[str]:
    """The names of all benchmarks: none is imported, so that none weighs on another."""
    here = Path(__file__).parent
    files = {one.stem: one for one in here.glob("*.py")} | {one.parent.name: one for one in here.glob("*/benchmark.py")}
    return sorted(name for name, file in files.items() if "\nBENCHMARK = " in file.read_text())


def load(name: str) -> Benchmark[Any]:
    """One of `names`."""
    inside = ".benchmark" if Path(__file__).with_name(name).is_dir() else ""
    benchmark: Benchmark[Any] = import_module(f"benchmarks.{name}{inside}").BENCHMARK
    return benchmark


def in_order() -> list[str]:
    """The names in the order of the issue."""
    return sorted(names(), key=lambda name: (load(name).order, name))
