"""Every runner makes attempts in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stages import Event
from stages.artifacts import ArtifactRef, ArtifactStore, digest_of, open_store
from stages.call import Call
from stages.codecs.base import Scratch
from stages.outcome import ErrorRecord, Failed, Outcome, Succeeded
from stages.runners.base import Runner, RunnerTools, open_runner, runner_names
from stages.values import load, save
from tests.contract.runner_stages import SPEC, pipeline
from triggers.base import OffsetRange, Record
from triggers.errors import SourceUnavailable

WHEN = datetime(2013, 1, 2, tzinfo=UTC)
EVENT = Event(source="/tests", id="e1", type="test", time=WHEN)
RANGE = OffsetRange("cluster", "topic", 0, 5, 6, 2)
BATCH = Event(source="/kafka", id="0:5-6", type="batch", time=WHEN, data=RANGE.as_data())


class Reader:
    """Two records, unless the broker is away."""

    away = False

    async def read(self, offsets: OffsetRange) -> Sequence[Record]:
        if self.away:
            raise SourceUnavailable("broker away")
        assert offsets == RANGE
        return [Record("topic", 0, offset, 0, None, b'{"n": %d}' % offset) for offset in (5, 6)]


@dataclass
class World:
    """A runner and what it was lent."""

    runner: Runner
    store: ArtifactStore
    reader: Reader
    reports: list[tuple[str, float, str]]

    async def run(self, stage: str, **changes: Any) -> Outcome:
        settled: dict[str, Any] = {"run_id": 7, "attempt": 2, "idempotency_key": "key", "event": EVENT}
        call = Call(pipeline=SPEC, stage=stage, **settled | changes)
        return await self.runner.run(pipeline.plan.stages[stage], call)

    async def made(self, value: Any) -> ArtifactRef:
        with Scratch() as scratch:
            return await save(value, self.store, scratch)

    async def value(self, outcome: Outcome) -> Any:
        assert isinstance(outcome, Succeeded), outcome
        with Scratch() as scratch:
            return await load(outcome.output, self.store, None, scratch)

    async def error(self, stage: str, **changes: Any) -> ErrorRecord:
        outcome = await self.run(stage, **changes)
        assert isinstance(outcome, Failed), outcome
        return outcome.error


@pytest.fixture(params=runner_names())
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """One for each runner there is."""
    store, reader, reports = open_store(tmp_path.as_uri()), Reader(), []

    def report(call: Call, fraction: float, note: str) -> None:
        reports.append((call.stage, fraction, note))

    runner = open_runner(request.param, RunnerTools(store=store, reader=reader, report=report, threads=4))
    yield World(runner, store, reader, reports)
    await runner.close()


@pytest.mark.parametrize(("stage", "result"), [("on_the_loop", 6), ("in_a_thread", 4)])
async def test_a_stage_gets_its_inputs_and_its_output_is_stored(stage: str, result: int, world: World) -> None:
    inputs = {"source": await world.made([1, 2, 3])}
    assert await world.value(await world.run(stage, inputs=inputs)) == result


async def test_every_attempt_gets_inputs_of_its_own(world: World) -> None:
    inputs = {"source": await world.made([1, 2, 3])}
    outcomes = await asyncio.gather(*(world.run("in_a_thread", inputs=inputs) for _ in range(30)))
    assert [await world.value(one) for one in outcomes] == [4] * 30


async def test_a_stage_is_told_its_event_params_and_attempt(world: World) -> None:
    source = await world.made([1])
    outcome = await world.run("told", inputs={"source": source}, params={"n": "5"})
    assert await world.value(outcome) == {
        "event": "e1",
        "n": 5,
        "run_id": 7,
        "attempt": 2,
        "key": "key",
        "digests": {"source": source.digest},
    }
    assert isinstance(outcome, Succeeded)
    assert outcome.metrics == {"n": 5.0, "half": 0.5}
    assert world.reports == [("told", 0.5, "half")]


async def test_a_small_output_lives_in_the_row_and_a_large_one_in_the_store(world: World) -> None:
    small, large = await world.run("source"), await world.run("large")
    assert isinstance(small, Succeeded)
    assert isinstance(large, Succeeded)
    assert small.output == ArtifactRef(digest_of(b"[1,2,3]"), "json", 7, b"[1,2,3]")
    assert not await world.store.exists(small.output.digest)
    assert large.output.inline is None
    assert len(await world.store.get(large.output.digest)) == large.output.size_bytes > 8192


async def test_a_micro_batch_is_read_for_the_stage_that_takes_records(world: World) -> None:
    assert await world.value(await world.run("batch", event=BATCH)) == [{"n": 5}, {"n": 6}]
    assert "start the pipeline by KafkaBatches" in (await world.error("batch")).message
    world.reader.away = True
    assert (await world.error("batch", event=BATCH)).transient


async def test_files_travel_by_content_and_leave_nothing_behind(world: World) -> None:
    outcome = await world.run("written")
    assert isinstance(outcome, Succeeded)
    seen = await world.value(await world.run("read", inputs={"written": outcome.output}))
    assert (seen["name"], seen["lines"]) == ("result.txt", 2_000)
    assert not Path(seen["folder"]).exists()


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("broken", ErrorRecord("ValueError", "broken for good")),
        ("busy", ErrorRecord("stages.errors.Transient", "busy", transient=True, retry_after_s=3)),
        ("leaves", ErrorRecord("SystemExit", "3")),
        ("stops", ErrorRecord("RuntimeError", "stage 'stops' raised StopIteration")),
        ("measured_then_failed", ErrorRecord("KeyError", "'n'")),
    ],
)
async def test_what_a_stage_raises_is_its_failure_and_nobody_elses(
    stage: str, error: ErrorRecord, world: World
) -> None:
    found = await world.error(stage)
    assert (found.type, found.message) == (error.type, error.message)
    assert (found.transient, found.retry_after_s) == (error.transient, error.retry_after_s)
    assert "runner_stages.py" in found.traceback or stage == "stops"


async def test_an_output_without_a_codec_names_its_stage(world: World) -> None:
    assert (await world.error("unstorable")).message.startswith("stage 'unstorable' returned a value of type object")


async def test_an_input_that_is_missing_or_rotten_fails_the_attempt(world: World) -> None:
    assert "no input 'source'" in (await world.error("on_the_loop")).message
    gone = ArtifactRef(digest_of(b"gone"), "json", 10_000)
    assert (await world.error("on_the_loop", inputs={"source": gone})).type == "stages.errors.ArtifactMissing"
    rotten = ArtifactRef(digest_of(b"[1]"), "json", 3, b"[2]")
    assert (await world.error("on_the_loop", inputs={"source": rotten})).type == "stages.errors.ArtifactCorrupted"
    text = await world.made("text")
    assert (
        "input 'source' of stage 'on_the_loop'" in (await world.error("on_the_loop", inputs={"source": text})).message
    )


async def test_params_that_do_not_fit_fail_the_attempt(world: World) -> None:
    source = await world.made([1])
    assert "n: " in (await world.error("told", inputs={"source": source}, params={"n": "x"})).message


@pytest.mark.parametrize("stage", ["hangs", "overruns"])
async def test_an_attempt_that_overruns_its_time_failed_and_may_be_tried_again(stage: str, world: World) -> None:
    error = await world.error(stage, timeout_s=0.05)
    assert (error.message, error.transient) == ("timed out after 0.05 s", True)


async def test_an_attempt_can_be_cancelled(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.run("hangs"))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()


def test_an_unknown_runner_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no runner 'inlin'; there are .*inline.* \(did you mean 'inline'\?\)"):
        open_runner("inlin", RunnerTools(store=open_store(tmp_path.as_uri())))
