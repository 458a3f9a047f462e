"""The environment runner: each stage with the packages of its own lock file, in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from stages.call import Call
from stages.commands.attempt import SCRATCH, Place, Preparing, attempt_folder, child_environment
from stages.commands.attempt import make as make_attempt
from stages.environments.lock import environment_digest, lock_file, lock_problem
from stages.environments.make import Environments
from stages.environments.minimum import ENTRY, import_path
from stages.errors import CodeChanged, NoEnvironment, NoWorker
from stages.outcome import Failed, Outcome, record_of
from stages.plan import PlanStage
from stages.runners.base import RunnerTools, out_of_reach


class EnvironmentRunner:
    """Up to `RunnerTools.threads` at once. Environments are kept below `RunnerTools.home`."""

    def __init__(self, tools: RunnerTools) -> None:
        self._tools = tools
        self._slots = asyncio.Semaphore(tools.threads)
        root = (tools.home or Path(".tidemill").resolve()) / "environments"
        self._environments = Environments(root, object_store=not (tools.store_url or "").startswith("file:"))

    async def prepare(self, stages: Sequence[PlanStage]) -> None:
        """See `OpenRunner`. Environments are made when they are first needed, in view of the run that needs them."""

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`. The time of an attempt counts from when its environment has loaded its pipeline."""
        refusal = out_of_reach(stage, self._tools) or _refusal(stage)
        if refusal is not None:
            return Failed(record_of(NoWorker(refusal)))
        async with self._slots:
            try:
                environment = await self._environments.ready(_lock(stage), Preparing(stage, call, self._tools).say)
            except (NoEnvironment, CodeChanged) as error:
                return Failed(record_of(error))
            with attempt_folder() as folder:
                return await make_attempt(stage, call, self._tools, folder, self._place(stage, environment, folder))

    async def close(self) -> None:
        """See `Runner`. The processes end with the attempts that wait for them."""

    def _place(self, stage: PlanStage, environment: Path, folder: Path) -> Place:
        variables = child_environment(self._tools, str(self._tools.store_url))
        own = {
            "PATH": f"{environment / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}",
            "PYTHONPATH": os.pathsep.join(import_path(self._environments.root, str(stage.spec))),
            "VIRTUAL_ENV": str(environment),
            "TMPDIR": str(folder / SCRATCH),
        }
        before = [str(environment / "bin/python"), "-c", ENTRY]
        return Place(before=before, environment=variables | own, sees=str(folder))


def _refusal(stage: PlanStage) -> str | None:
    if stage.stage.environment is None:
        return f"stage {stage.name!r} names no lock file: @stage(environment='requirements.lock', ...)"
    problem = lock_problem(stage.stage)
    return f"stage {stage.name!r}: {problem}" if problem is not None else None


def _lock(stage: PlanStage) -> Path:
    """The lock the daemon has read. Raises `NoEnvironment` and `CodeChanged`."""
    lock = lock_file(stage.stage)
    if lock is None:
        raise NoEnvironment(f"stage {stage.name!r}: its environment {stage.stage.environment!r} is no file")
    if environment_digest(stage.stage) != stage.environment_digest:
        raise CodeChanged(
            f"{lock.name} of stage {stage.name!r} has changed since the daemon read it: restart the daemon"
        )
    return lock


def make(tools: RunnerTools) -> EnvironmentRunner:
    """The runner under the name of this module."""
    return EnvironmentRunner(tools)
