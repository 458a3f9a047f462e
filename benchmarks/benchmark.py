"""What every benchmark is, and how they are found: each file of this package with a `BENCHMARK` is one."""

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
    files = Path(__file__).parent.glob("*.py")
    return sorted(one.stem for one in files if "\nBENCHMARK = " in one.read_text())


def load(name: str) -> Benchmark[Any]:
    """One of `names`."""
    benchmark: Benchmark[Any] = import_module(f"benchmarks.{name}").BENCHMARK
    return benchmark


def in_order() -> list[str]:
    """The names in the order of the issue."""
    return sorted(names(), key=lambda name: (load(name).order, name))
