"""Runners: where an attempt executes. A new one is one new module here with a `make`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

import stages.runners
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.cost import Cost
from stages.kept import DEFAULT_BYTES
from stages.log_lines import Logs, NoLogs
from stages.outcome import ErrorRecord, Failed, Outcome
from stages.plan import PlanStage
from stages.problems import nearest
from stages.registry import Registry
from stages.strays import Strays
from triggers.base import RecordReader

Report = Callable[[Call, float, str], None]


def no_report(call: Call, fraction: float, note: str) -> None:
    """Nobody wants to know."""


def no_beginning(call: Call) -> None:
    """Nobody wants to know."""


def no_cost(call: Call, cost: Cost) -> None:
    """Nobody wants to know."""


def no_api() -> tuple[str, str | None] | None:
    """There is no daemon that answers requests."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerTools:
    """What the daemon lends its runners. `report` is called from any thread. `threads` bounds blocking stages.

    `began` is called, from any thread, when an attempt has the place it waited for and its function is about to be
    called: from then on `Stage.heartbeat_s` counts.
    `spent` is called on the loop with what an attempt cost, by runners that can measure it; not of one that was killed.
    `logs` has the log of every attempt under way. `store_url` is where another process opens the same store, None where
    none can.
    `warm` workers are started ahead. Each worker keeps `kept_bytes` of what its stages made and read.
    `home` is a folder of this installation's own. `api` says where stages in other processes find the daemon's models:
    its address, and the token it wants. `installation` tells the containers of one database from another's.
    """

    store: ArtifactStore
    store_url: str | None = None
    registry: Registry | None = None
    reader: RecordReader | None = None
    report: Report = no_report
    began: Callable[[Call], None] = no_beginning
    spent: Callable[[Call, Cost], None] = no_cost
    logs: Logs = field(default_factory=NoLogs)
    threads: int = 8
    strays: Strays = field(default_factory=Strays)
    warm: int = 0
    kept_bytes: int = DEFAULT_BYTES
    home: Path | None = None
    api: Callable[[], tuple[str, str | None] | None] = no_api
    container_cli: str | None = None
    installation: str = ""


class Runner(Protocol):
    """Runs attempts. Shared by everything in the process; as many at once as the caller asks for."""

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """Make one attempt. What goes wrong in it is a `Failed`; only cancellation is raised."""

    async def close(self) -> None:
        """Let go of threads and processes. Attempts still running are abandoned."""


class OpenRunner(Runner, Protocol):
    """A runner as its module makes it."""

    async def prepare(self, stages: Sequence[PlanStage]) -> None:
        """Get ready for these, which are those it is to run. Called once, beside the first attempts, or never."""


def timed_out(timeout_s: float | None) -> Failed:
    """What came of an attempt that overran its time."""
    return Failed(ErrorRecord("TimeoutError", f"timed out after {timeout_s or 0:g} s", transient=True))


def out_of_reach(stage: PlanStage, tools: RunnerTools) -> str | None:
    """Why no other process can run this stage, if none can."""
    here = f"stage {stage.name!r} of pipeline {stage.pipeline!r} cannot run in a process of its own: "
    if stage.spec is None:
        return (
            f"{here}no other process can import its pipeline; assign the Pipeline to a global variable of a "
            f"module that can be imported (not __main__), or use runner='inline'"
        )
    if tools.store_url is None or tools.store_url.startswith("memory:"):
        return (
            f"{here}it cannot reach the artifact store {tools.store_url or 'of this process'}; set "
            f"TIDEMILL_ARTIFACTS to a folder (file:///...) or an object store, or use runner='inline'"
        )
    return None


def runner_names() -> list[str]:
    """Every runner there is."""
    return sorted(one.name for one in pkgutil.iter_modules(stages.runners.__path__) if one.name != "base")


def open_runner(name: str, tools: RunnerTools) -> OpenRunner:
    """The runner called `name`. Raises ValueError naming the known ones."""
    if name not in runner_names():
        raise ValueError(f"no runner {name!r}; there are {', '.join(runner_names())}{nearest(name, runner_names())}")
    runner: OpenRunner = import_module(f"stages.runners.{name}").make(tools)
    return runner
