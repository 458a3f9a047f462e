"""Every runner makes attempts in the same way."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stages import Event
from stages.artifacts import ArtifactRef, ArtifactStore, digest_of
from stages.call import Call
from stages.codecs.base import Scratch
from stages.cost import Cost
from stages.environments.lock import environment_digest
from stages.invoke import current_attempt
from stages.log_lines import Passing
from stages.outcome import ErrorRecord, Failed, Outcome, Succeeded
from stages.plan import PlanStage
from stages.registry import AliasMoved, ModelVersion, NewVersion
from stages.runners.base import Runner, RunnerTools, open_runner, runner_names
from stages.runners.inline import InlineRunner
from stages.stores import open_store
from stages.values import load, save
from tests.contract.engines import IMAGE, fake_engine
from tests.contract.models_server import TOKEN, models_server
from tests.contract.runner_stages import HELD_BYTES, SPEC, WORKED_S, pipeline
from triggers.base import OffsetRange, Record
from triggers.errors import SourceUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")
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


class Models:
    """A registry in memory. A model it does not know is an error of the daemon's own."""

    def __init__(self) -> None:
        self.versions: dict[str, ModelVersion] = {}
        self.production: int | None = None

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        known = {
            field: getattr(new, field) for field in ("model", "artifacts", "metrics", "lineage", "run_id", "pipeline")
        }
        made = ModelVersion(**known, version=len(self.versions) + 1, state="staging", created_at=WHEN)
        return self.versions.setdefault(idempotency_key, made)

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        if model != "m":
            raise OutOfReach("the registry is away")
        return next((one for one in self.versions.values() if one.version == self.production), None)

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        if self.production != expect:
            raise AliasMoved(f"{alias} points at {self.production}")
        self.production = version
        return next(one for one in self.versions.values() if one.version == version)


class Masks(Passing):
    """The log of an attempt, and what was to be hidden in it."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: list[str] = []

    def mask(self, value: str) -> None:
        self.hidden.append(value)


class Opened:
    """Logs by the stage of their attempt."""

    def __init__(self) -> None:
        self.by_stage: defaultdict[str, Masks] = defaultdict(Masks)

    def of(self, call: Call) -> Masks:
        return self.by_stage[call.stage]


class OutOfReach(RuntimeError):
    """An error no stage knows the type of."""

    transient = True


@dataclass
class World:
    """A runner and what it was lent."""

    runner: Runner
    store: ArtifactStore
    reader: Reader
    models: Models
    reports: list[tuple[str, float, str]]
    logs: Opened
    begun: list[str]
    spent: list[tuple[str, Cost]]
    packages: dict[str, str]

    @property
    def is_warm(self) -> bool:
        """Whether an attempt costs milliseconds."""
        return not self.packages

    async def run(self, stage: str, **changes: Any) -> Outcome:
        settled: dict[str, Any] = {"run_id": 7, "attempt": 2, "idempotency_key": "key", "event": EVENT}
        call = Call(pipeline=SPEC, stage=stage, **settled | changes)
        return await self.runner.run(self.planned(stage), call)

    def planned(self, stage: str) -> PlanStage:
        """The stage, with the packages this runner has to be told of."""
        planned = pipeline.plan.stages[stage]
        packaged = replace(planned.stage, **self.packages)
        return replace(planned, stage=packaged, environment_digest=environment_digest(packaged))

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


@pytest_asyncio.fixture(params=runner_names(), scope="module", loop_scope="module")
async def lent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One for each runner there is, kept over the tests: its workers are warm, its environment is made."""
    url, reader, models, reports = tmp_path_factory.mktemp("store").as_uri(), Reader(), Models(), []
    home = tmp_path_factory.mktemp("home")

    def report(call: Call, fraction: float, note: str) -> None:
        reports.append((call.stage, fraction, note))

    with models_server(models) as address, fake_engine(home) as engine:
        store = open_store(url)
        logs, begun, spent = Opened(), list[str](), list[tuple[str, Cost]]()
        tools = RunnerTools(
            store=store,
            store_url=url,
            registry=models,
            reader=reader,
            report=report,
            began=lambda call: begun.append(call.stage),
            spent=lambda call, cost: spent.append((call.stage, cost)),
            logs=logs,
            threads=2,
            home=home,
            api=lambda: (address, TOKEN),
            container_cli=engine,
        )
        runner = open_runner(request.param, tools)
        yield World(runner, store, reader, models, reports, logs, begun, spent, packages_for(request.param, home))
        await runner.close()


def packages_for(runner: str, home: Path) -> dict[str, str]:
    """What stages declare for a runner that asks for it: here, what the stages of this contract import."""
    if runner == "container":
        return {"image": IMAGE}
    if runner != "environment":
        return {}
    names = ("numpy", "polars", "polars-runtime-32", "pyarrow", "scikit-learn", "skops")
    lock = home / "requirements-contract.lock"
    lock.write_text("".join(f"{name}=={version(name)}\n" for name in names))
    return {"environment": str(lock)}


@pytest.fixture
def world(lent: World) -> Iterator[World]:
    """A runner with nothing on record."""
    yield lent
    lent.reports.clear()
    lent.spent.clear()
    lent.reader.away = False


@pytest.mark.parametrize(("stage", "result"), [("on_the_loop", 6), ("in_a_thread", 4)])
async def test_a_stage_gets_its_inputs_and_its_output_is_stored(stage: str, result: int, world: World) -> None:
    inputs = {"source": await world.made([1, 2, 3])}
    assert await world.value(await world.run(stage, inputs=inputs)) == result


async def test_values_of_every_kind_travel_between_stages(world: World) -> None:
    makers = ("frame", "estimator", "raw", "array", "written")
    made = {name: await world.run(name) for name in makers}
    inputs = {name: one.output for name, one in made.items() if isinstance(one, Succeeded)}
    assert await world.value(await world.run("all_kinds", inputs=inputs)) == [[1, 2], [1.0], "00ff", [0, 1, 2], 16_000]


async def test_an_input_that_is_only_referred_to_is_not_read(world: World) -> None:
    """Nobody has these."""
    gone = [ArtifactRef(digest_of(name), codec, 10**6) for name, codec in ((b"a", "json"), (b"b", "parquet:polars"))]
    made = await world.run("refers", inputs=dict(zip(("source", "frame"), gone, strict=True)))
    assert await world.value(made) == [gone[0].digest, 10**6, "parquet:polars"]


async def test_a_blocking_stage_may_run_a_loop_of_its_own(world: World) -> None:
    assert await world.value(await world.run("loops_of_its_own", inputs={"source": await world.made([2])})) == 2


async def test_a_runner_with_processes_tells_what_each_attempt_cost(world: World) -> None:
    await world.value(await world.run("works"))
    await world.value(await world.run("source"))
    if isinstance(world.runner, InlineRunner):
        assert world.spent == []
        return
    (first, worked), (second, idle) = world.spent
    assert (first, second) == ("works", "source")
    assert worked.cpu_s >= WORKED_S > idle.cpu_s
    assert worked.memory_bytes is not None
    assert idle.memory_bytes is not None
    # What the worker did before is not counted again.
    assert worked.memory_bytes - idle.memory_bytes > HELD_BYTES / 2


async def test_a_stage_uses_the_registry_of_the_daemon(world: World) -> None:
    world.models.versions, world.models.production = {}, None
    made = await world.value(await world.run("registers"))
    assert made == [1, {"r2": 0.5}, None, "m", "production points at 1"]
    assert [one.run_id for one in world.models.versions.values()] == [7]


async def test_a_stage_in_shadow_changes_no_model_and_says_what_it_would_have_done(world: World) -> None:
    world.models.versions, world.models.production = {}, None
    outcome = await world.run("registers_in_shadow", shadow=True)
    assert isinstance(outcome, Succeeded), outcome
    assert (world.models.versions, world.models.production) == ({}, None)
    assert [one["effect"] for one in outcome.events] == ["register", "move_alias", "emit"]
    assert await world.value(outcome) == [True, 2**31 - 1]


async def test_an_error_of_the_registry_reaches_the_stage_as_it_is(world: World) -> None:
    error = await world.error("asks_too_much")
    kind = f"{__name__}.OutOfReach" if world.is_warm else "service.calls.base.ApiError"
    assert (error.type, error.message, error.transient) == (kind, "the registry is away", True)
    assert "runner_stages.py" in error.traceback


async def test_what_a_stage_logs_belongs_to_its_attempt(world: World) -> None:
    heard: list[tuple[str, int, str]] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            attempt = current_attempt.get()
            assert attempt is not None
            if record.name.endswith(".runner"):  # how its environment or image is prepared, if it is the first
                return
            heard.append((f"{attempt.run_id} {record.name}", record.levelno, self.format(record)))

    handler = Hearing()
    logging.getLogger().addHandler(handler)
    try:
        await world.run("logs")
    finally:
        logging.getLogger().removeHandler(handler)
    assert [one[:2] for one in heard] == [("7 tidemill.stage.contract.logs", 30), ("7 a.library", 40)]
    assert heard[0][2].startswith("mine: é")
    assert heard[1][2].startswith("a library's\nTraceback")


@pytest.mark.parametrize("stage", ["logs", "registers", "overruns"])
async def test_a_runner_says_when_a_stage_begins(stage: str, world: World) -> None:
    world.begun.clear()
    await world.run(stage, timeout_s=0.5)
    assert world.begun == [stage]


async def test_what_a_stage_hides_is_known_before_it_goes_on(world: World) -> None:
    assert isinstance(await world.run("hides"), Succeeded)
    assert world.logs.by_stage["hides"].hidden[0] == "hunter22"
    assert len(world.logs.by_stage["hides"].hidden) == 2


async def test_every_attempt_gets_inputs_of_its_own(world: World) -> None:
    inputs = {"source": await world.made([1, 2, 3])}
    count = 30 if world.is_warm else 4
    outcomes = await asyncio.gather(*(world.run("in_a_thread", inputs=inputs) for _ in range(count)))
    assert [await world.value(one) for one in outcomes] == [4] * count


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
    if stage != "stops":
        assert "runner_stages.py" in found.traceback.splitlines()[1]


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


async def test_an_unknown_runner_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no runner 'inlin'; there are .*inline.* \(did you mean 'inline'\?\)"):
        open_runner("inlin", RunnerTools(store=open_store(tmp_path.as_uri())))
