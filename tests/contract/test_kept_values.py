"""What a worker keeps of one attempt for the next: handed over without being read again, and never changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stages import Event
from stages.artifacts import ArtifactRef
from stages.call import Call
from stages.outcome import Failed, Outcome, Succeeded
from stages.runners.base import RunnerTools
from stages.runners.process import ProcessRunner
from stages.stores import open_store
from tests.contract.attempts import WHEN
from tests.contract.kept_stages import ROWS, pipeline


class World:
    """A process runner, and the folder of its artifacts."""

    def __init__(self, folder: Path, **tools: Any) -> None:
        self.artifacts = folder / "artifacts"
        url = self.artifacts.as_uri()
        self.runner = ProcessRunner(RunnerTools(store=open_store(url), store_url=url, **tools))

    async def run(self, stage: str, inputs: Mapping[str, ArtifactRef] | None = None, **data: Any) -> Outcome:
        event = Event(source="/t", id="e", type="t", time=WHEN, data=data)
        names: Any = {"pipeline": pipeline.name, "stage": stage, "run_id": 7, "attempt": 1, "idempotency_key": "k"}
        return await self.runner.run(pipeline.plan.stages[stage], Call(**names, event=event, inputs=inputs or {}))

    async def output(self, stage: str, **given: Any) -> ArtifactRef:
        outcome = await self.run(stage, **given)
        assert isinstance(outcome, Succeeded), outcome
        return outcome.output

    async def value(self, stage: str, **inputs: ArtifactRef) -> Any:
        output = await self.output(stage, inputs=inputs)
        return orjson.loads(output.inline or b"")

    def lose_the_artifacts(self) -> None:
        for folder in self.artifacts.iterdir():
            shutil.rmtree(folder)


@asynccontextmanager
async def world(folder: Path, **tools: Any) -> AsyncIterator[World]:
    here = World(folder, **tools)
    try:
        yield here
    finally:
        await here.runner.close()


async def test_a_stage_is_handed_what_the_one_before_it_made_without_reading_it(tmp_path: Path) -> None:
    async with world(tmp_path, threads=1) as here:
        frame = await here.output("made")
        assert frame.inline is None
        before = await here.value("told", made=frame)
        here.lose_the_artifacts()
        assert await here.value("told", made=frame) == before


async def test_a_stage_is_handed_what_the_same_worker_has_read(tmp_path: Path) -> None:
    async with world(tmp_path, threads=1) as maker:
        frame = await maker.output("made")
    async with world(tmp_path, threads=1) as here:
        before = await here.value("told", made=frame)
        here.lose_the_artifacts()
        assert await here.value("told", made=frame) == before


async def test_nothing_is_kept_where_there_is_no_room(tmp_path: Path) -> None:
    async with world(tmp_path, threads=1, kept_bytes=ROWS) as here:
        frame = await here.output("made")
        await here.value("told", made=frame)
        here.lose_the_artifacts()
        outcome = await here.run("told", {"made": frame})
        assert isinstance(outcome, Failed)
        assert outcome.error.type == "stages.errors.ArtifactMissing"


async def test_what_a_stage_does_to_its_frame_no_other_stage_sees(tmp_path: Path) -> None:
    async with world(tmp_path, threads=1) as here:
        frame = await here.output("made")
        before = await here.value("told", made=frame)
        for _ in range(2):
            assert await here.value("spoils", made=frame) == before[0]
            assert await here.value("told", made=frame) == before


async def test_a_frame_over_memory_that_its_module_goes_on_using_stays_as_it_was(tmp_path: Path) -> None:
    async with world(tmp_path, threads=1) as here:
        first = await here.output("reused", seed=1)
        await here.output("reused", seed=2)
        here.lose_the_artifacts()
        assert await here.value("summed", reused=first) == float(np.random.default_rng(1).random(ROWS).sum())


async def test_a_stage_goes_to_the_free_worker_that_holds_its_input(tmp_path: Path) -> None:
    async with world(tmp_path, threads=2) as here:
        one, two = await asyncio.gather(here.output("made", n=1), here.output("made", n=2))
        makers = [(await here.value("told", made=frame))[1] for frame in (one, two)]
        assert len(set(makers)) == 2
        for frame, maker in [(one, makers[0]), (two, makers[1]), (two, makers[1]), (one, makers[0])]:
            assert (await here.value("told", made=frame))[:2] == [maker, maker]
        assert await here.value("process_id") == makers[0]
