"""Attempts made one by one, for the tests of single runners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from stages import Event, Pipeline
from stages.call import Call
from stages.environments.lock import environment_digest
from stages.invoke import current_attempt
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Succeeded
from stages.plan import PlanStage
from stages.runners.base import Runner

WHEN = datetime(2013, 1, 2, tzinfo=UTC)


@dataclass
class Attempts:
    """Makes attempts at the stages of one pipeline. `packages` is what its runner has to be told of them."""

    runner: Runner
    pipeline: Pipeline
    folder: Path
    packages: dict[str, Any] = field(default_factory=dict)
    reports: list[tuple[float, str]] = field(default_factory=list)

    def planned(self, stage: str) -> PlanStage:
        """The stage with its packages."""
        planned = self.pipeline.plan.stages[stage]
        packaged = replace(planned.stage, **self.packages)
        return replace(planned, stage=packaged, environment_digest=environment_digest(packaged))

    async def run(self, stage: str, timeout_s: float | None = None, **data: Any) -> Outcome:
        """One attempt."""
        given = Event(source="/t", id="e", type="t", time=WHEN, data={"folder": str(self.folder), **data})
        call = Call(
            pipeline=self.pipeline.name,
            stage=stage,
            run_id=7,
            attempt=1,
            idempotency_key="key",
            event=given,
            timeout_s=timeout_s,
        )
        return await self.runner.run(self.planned(stage), call)

    async def made(self, stage: str, **changes: Any) -> Any:
        """What the stage returns."""
        outcome = await self.run(stage, **changes)
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.output.inline is not None
        return orjson.loads(outcome.output.inline)

    async def error(self, stage: str, **changes: Any) -> ErrorRecord:
        """How it fails."""
        outcome = await self.run(stage, **changes)
        assert isinstance(outcome, Failed), outcome
        return outcome.error

    async def lost(self, stage: str, **changes: Any) -> str:
        """How its process ends."""
        outcome = await self.run(stage, **changes)
        assert isinstance(outcome, Lost), outcome
        return outcome.reason

    async def process_of(self, file: str = "started") -> int:
        """The process that a stage told of in a file. It is another's: all we can do is look."""
        async with asyncio.timeout(30):
            while not (self.folder / file).exists():
                await asyncio.sleep(0.005)
        return int((self.folder / file).read_text())


@contextmanager
def heard(prefix: str = "tidemill.stage.workers.") -> Iterator[list[tuple[str, str]]]:
    """Logger and message of all that is logged inside an attempt."""
    lines: list[tuple[str, str]] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if current_attempt.get() is not None:
                lines.append((record.name.removeprefix(prefix), record.getMessage()))

    handler, stages = Hearing(), logging.getLogger("tidemill.stage")
    logging.getLogger().addHandler(handler)
    stages.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(handler)
        stages.setLevel(logging.NOTSET)
