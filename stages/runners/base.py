"""Runners: where an attempt executes. A new one is one new module here with a `make`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

import stages.runners
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.log_lines import Logs, NoLogs
from stages.outcome import Outcome
from stages.plan import PlanStage
from stages.problems import nearest
from stages.registry import Registry
from triggers.base import RecordReader

Report = Callable[[Call, float, str], None]


def no_report(call: Call, fraction: float, note: str) -> None:
    """Nobody wants to know."""


def no_beginning(call: Call) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerTools:
    """What the daemon lends its runners. `report` is called from any thread. `threads` bounds blocking stages.

    `began` is called, from any thread, when an attempt has the place it waited for and its function is about to be
    called: from then on `Stage.heartbeat_s` counts.
    `logs` has the log of every attempt under way. `store_url` is where another process opens the same store, None where
    none can.
    """

    store: ArtifactStore
    store_url: str | None = None
    registry: Registry | None = None
    reader: RecordReader | None = None
    report: Report = no_report
    began: Callable[[Call], None] = no_beginning
    logs: Logs = field(default_factory=NoLogs)
    threads: int = 8


class Runner(Protocol):
    """Runs attempts. Shared by everything in the process; as many at once as the caller asks for."""

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """Make one attempt. What goes wrong in it is a `Failed`; only cancellation is raised."""

    async def close(self) -> None:
        """Let go of threads and processes. Attempts still running are abandoned."""


def runner_names() -> list[str]:
    """Every runner there is."""
    return sorted(one.name for one in pkgutil.iter_modules(stages.runners.__path__) if one.name != "base")


def open_runner(name: str, tools: RunnerTools) -> Runner:
    """The runner called `name`. Raises ValueError naming the known ones."""
    if name not in runner_names():
        raise ValueError(f"no runner {name!r}; there are {', '.join(runner_names())}{nearest(name, runner_names())}")
    runner: Runner = import_module(f"stages.runners.{name}").make(tools)
    return runner
