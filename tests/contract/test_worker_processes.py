"""What only the process runner can do: stages that crash, hang, flood or take too much harm nobody but themselves."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from stages import Event, Pipeline
from stages.call import Call
from stages.errors import InvalidPipeline, Permanent
from stages.invoke import current_attempt
from stages.log_lines import MOST_ROWS, Passing
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Succeeded
from stages.registry import ModelVersion, NewVersion
from stages.runners import process
from stages.runners.base import RunnerTools
from stages.runners.process import ProcessRunner
from stages.stores import open_store
from stages.workers import attempt_log
from tests.contract.worker_stages import pipeline, second, takes_memory
from tests.fault.processes import all_gone, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
WHEN = datetime(2013, 1, 2, tzinfo=UTC)


class NoModels:
    """A registry nobody has registered anything in."""

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        raise Permanent("read only")

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        return None

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        raise Permanent("read only")


class Opened:
    """Logs that keep nothing; the latest may be looked at."""

    latest = Passing()

    def of(self, call: Call) -> Passing:
        self.latest = Passing()
        return self.latest


@dataclass
class World:
    """A process runner with one worker."""

    runner: ProcessRunner
    folder: Path
    reports: list[tuple[float, str]] = field(default_factory=list)
    logs: Opened = field(default_factory=lambda: Opened())

    async def run(self, stage: str, of: Pipeline = pipeline, timeout_s: float | None = None, **data: Any) -> Outcome:
        given = Event(source="/t", id="e", type="t", time=WHEN, data={"folder": str(self.folder), **data})
        call = Call(
            pipeline=of.name,
            stage=stage,
            run_id=7,
            attempt=1,
            idempotency_key="key",
            event=given,
            timeout_s=timeout_s,
        )
        return await self.runner.run(of.plan.stages[stage], call)

    async def made(self, stage: str, **changes: Any) -> Any:
        outcome = await self.run(stage, **changes)
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.output.inline is not None
        return orjson.loads(outcome.output.inline)

    async def error(self, stage: str, **changes: Any) -> ErrorRecord:
        outcome = await self.run(stage, **changes)
        assert isinstance(outcome, Failed), outcome
        return outcome.error

    async def lost(self, stage: str) -> str:
        outcome = await self.run(stage)
        assert isinstance(outcome, Lost), outcome
        return outcome.reason

    async def worker_of(self, file: str = "started") -> int:
        """The process that a stage told of in a file. It is another's: all we can do is look."""
        async with asyncio.timeout(20):
            while not (self.folder / file).exists():
                await asyncio.sleep(0.005)
        return int((self.folder / file).read_text())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One runner for all tests: its worker is warm."""
    folder = tmp_path_factory.mktemp("store")
    world = World(ProcessRunner(RunnerTools(store=open_store("memory://"))), folder)

    def report(call: Call, fraction: float, note: str) -> None:
        world.reports.append((fraction, note))

    tools = RunnerTools(
        store=open_store(folder.as_uri()),
        store_url=folder.as_uri(),
        registry=NoModels(),
        report=report,
        logs=world.logs,
        threads=1,
    )
    world.runner = ProcessRunner(tools)
    yield world
    await world.runner.close()


@pytest.fixture
def world(lent: World, tmp_path: Path) -> World:
    """The runner, with a folder of the test's own."""
    lent.folder = tmp_path
    lent.reports.clear()
    return lent


@contextmanager
def heard() -> Iterator[list[tuple[str, str]]]:
    """Logger and message of all that is logged inside an attempt."""
    lines: list[tuple[str, str]] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if current_attempt.get() is not None:
                lines.append((record.name.removeprefix("tidemill.stage.workers."), record.getMessage()))

    handler, stages = Hearing(), logging.getLogger("tidemill.stage")
    logging.getLogger().addHandler(handler)
    stages.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(handler)
        stages.setLevel(logging.NOTSET)


async def test_a_worker_is_kept_and_serves_every_pipeline(world: World) -> None:
    first = await world.made("process_id")
    assert first != os.getpid()
    assert await world.made("process_id") == first
    assert await world.made("process_id", of=second) == first


async def test_what_is_no_exception_is_a_failure_all_the_same(world: World) -> None:
    error = await world.error("raises_what_nobody_catches")
    assert (error.type, error.message, error.transient) == ("BaseException", "odd", False)


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("exits", "the worker process ended by itself, with exit code 3"),
        ("crashes", "the worker process was ended by SIGSEGV"),
        ("is_killed", "the worker process was ended by SIGKILL: out of memory, or killed by hand"),
        ("interrupts", "the worker process was ended by SIGINT"),
    ],
)
async def test_a_worker_that_dies_is_lost_and_replaced(stage: str, reason: str, world: World) -> None:
    with heard() as lines:
        assert await world.lost(stage) == reason
    assert await world.made("process_id") > 0
    if stage == "crashes":
        assert any("worker_stages.py" in line and "in crashes" in line for _, line in lines), lines
    if stage == "is_killed":
        assert not Path((world.folder / "scratch").read_text()).exists()


async def test_a_worker_that_died_idle_is_replaced(world: World) -> None:
    first = await world.made("process_id")
    os.kill(first, signal.SIGKILL)
    await all_gone([first])
    # The attempt that finds it out is lost, and would be made again.
    if isinstance(outcome := await world.run("process_id"), Lost):
        outcome = await world.run("process_id")
    assert isinstance(outcome, Succeeded)


@pytest.mark.parametrize("stage", ["sleeps", "waits"])
async def test_a_stage_out_of_time_is_stopped_for_real_and_may_clean_up(stage: str, world: World) -> None:
    error = await world.error(stage, timeout_s=0.3)
    assert (error.type, error.message, error.transient) == ("TimeoutError", "timed out after 0.3 s", True)
    assert (world.folder / "cleaned").exists()
    assert not running([await world.worker_of()])


async def test_a_cancelled_stage_may_use_the_registry_while_it_cleans_up(world: World) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(world.run("asks_at_the_end"))
        worker = await world.worker_of()
        task.cancel()
    assert task.cancelled()
    assert (world.folder / "cleaned").exists()
    assert not running([worker])


async def test_a_stage_that_clings_is_killed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.2)
    assert (await world.error("clings", timeout_s=0.2)).transient
    assert not running([await world.worker_of()])


async def test_cancelling_ends_the_process_and_all_that_it_started(world: World) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(world.run("starts_another"))
        worker, other = await world.worker_of(), await world.worker_of("other")
        task.cancel()
    assert task.cancelled()
    assert not running([worker])
    await all_gone([other])


async def test_what_a_stage_and_its_programs_print_are_lines_of_its_attempt(world: World) -> None:
    with heard() as lines:
        await world.run("prints")
    printed = [line for stream, line in lines if stream == "prints.stdout"]
    assert printed == ["one", "two", "raw \ufffd", "a program's"]
    assert [line for stream, line in lines if stream == "prints.stderr"] == ["whole"]


@pytest.mark.parametrize(("stage", "count"), [("floods", 100_000), ("floods_the_log", 10_100)])
async def test_of_a_flood_little_is_shown_and_all_is_counted(stage: str, count: int, world: World) -> None:
    with heard() as lines:
        await world.run(stage)
        flood, lines[:] = list(lines), []
        assert world.logs.latest.dropped_lines == count - len(flood)
        await world.run("prints")
    assert 5_000 < len(flood) <= MOST_ROWS
    assert len(lines) == 5


async def test_beyond_a_bound_nobody_even_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_log, "COUNTED_BYTES", 100_000)
    await world.run("floods")
    assert 0 < world.logs.latest.dropped_lines < 90_000
    with heard() as lines:
        await world.run("prints")
    assert len(lines) == 5


async def test_of_many_reports_the_last_is_never_lost(world: World) -> None:
    await world.run("tells_every_step")
    assert world.reports[0] == (0.0, "step 0")
    assert world.reports[-1] == (1.0, "step 1000")
    assert len(world.reports) < 500


async def test_an_attempt_leaves_its_worker_as_it_was(world: World) -> None:
    worker = await world.made("leaves_a_mess")
    with heard() as lines:
        assert await world.made("looks_around") == [worker, str(Path.cwd()), None]
    assert sorted(lines) == [("looks_around", "logged"), ("looks_around.stdout", "printed")]
    assert (await world.error("sleeps", timeout_s=0.3)).transient
    assert (world.folder / "cleaned").exists()


async def test_processes_that_a_stage_forks_do_not_speak_in_between(world: World) -> None:
    with heard() as lines:
        assert await world.made("forks") == [0, 1, 4, 9, 16]
    assert {line for _, line in lines if "squaring" in line} == {f"squaring {number}" for number in range(5)}


if sys.platform == "linux":

    async def test_memory_is_limited_for_the_attempt_alone(world: World) -> None:
        worker = await world.made("process_id")
        assert await world.made("takes_memory", bytes=20_000_000) == 20_000_000
        error = await world.error("takes_memory", bytes=200_000_000)
        assert (error.type, error.transient) == ("MemoryError", False)
        assert error.message == "the stage may allocate 50000000 bytes (memory_bytes), and asked for more"
        assert "in takes_memory" in error.traceback.splitlines()[1]
        assert await world.made("process_id") == worker


async def test_cpu_time_is_limited_and_the_worker_replaced(world: World) -> None:
    worker = await world.made("process_id")
    error = await world.error("burns")
    assert (error.type, error.transient) == ("stages.errors.CpuSpent", False)
    assert error.message.startswith("it used more than 1 s of CPU time")
    assert "in burns" in error.traceback
    assert await world.made("process_id") != worker


async def test_what_does_not_hear_of_its_limit_is_killed_by_the_kernel(world: World) -> None:
    assert "SIGKILL" in await world.lost("burns_and_does_not_hear")


async def test_workers_are_started_ahead_with_their_pipelines(world: World, tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    tools = RunnerTools(store=open_store(url), store_url=url, threads=2, warm=1)
    ready = World(ProcessRunner(tools), tmp_path)
    await ready.runner.prepare([pipeline.plan.stages["process_id"], second.plan.stages["process_id"]])
    [worker] = ready.runner._idle
    assert worker.loaded == {pipeline.plan.stages["process_id"].spec, second.plan.stages["process_id"].spec}
    assert await ready.made("process_id") == await ready.made("process_id", of=second)
    assert ready.runner._idle == [worker]
    await ready.runner.close()


async def test_no_worker_is_started_ahead_for_nobody(world: World, tmp_path: Path) -> None:
    runner = ProcessRunner(RunnerTools(store=open_store(tmp_path.as_uri()), store_url=tmp_path.as_uri(), warm=1))
    await runner.prepare([])
    await runner.prepare([Pipeline("local", [second.stages[0]]).plan.stages["process_id"]])
    assert runner._idle == []


async def test_a_memory_limit_needs_a_process_of_its_own() -> None:
    unlimited = dataclasses.replace(takes_memory, runner="inline")
    with pytest.raises(InvalidPipeline, match="memory_bytes needs a process of its own: runner='process'"):
        Pipeline("inline", [unlimited])


async def test_a_pipeline_that_no_other_process_can_import_is_told_what_to_do(world: World) -> None:
    error = await world.error("process_id", of=Pipeline("local", [second.stages[0]]))
    assert "assign the Pipeline to a global variable of a module" in error.message


async def test_a_store_that_no_other_process_can_reach_is_told_what_to_do(world: World) -> None:
    for url in (None, "memory://"):
        runner = ProcessRunner(RunnerTools(store=open_store("memory://"), store_url=url))
        error = await World(runner, world.folder).error("process_id")
        assert "set TIDEMILL_ARTIFACTS to a folder" in error.message


async def test_code_that_changed_since_the_daemon_loaded_it_is_not_run(world: World) -> None:
    planned = dataclasses.replace(pipeline.plan.stages["process_id"], code_digest="another")
    event = Event(source="/t", id="e", type="t", time=WHEN)
    call = Call(pipeline="workers", stage="process_id", run_id=7, attempt=1, idempotency_key="key", event=event)
    outcome = await world.runner.run(planned, call)
    assert isinstance(outcome, Failed)
    assert outcome.error.transient
    assert "restart the daemon" in outcome.error.message


async def test_closing_ends_every_worker(world: World, tmp_path: Path) -> None:
    runner = ProcessRunner(RunnerTools(store=open_store(tmp_path.as_uri()), store_url=tmp_path.as_uri(), threads=2))
    held = len(list(Path("/dev/fd").iterdir()))
    other = World(runner, tmp_path)
    workers = {*await asyncio.gather(other.made("process_id"), other.made("process_id"))}
    assert len(workers) == 2
    await runner.close()
    assert not running(workers)
    assert len(list(Path("/dev/fd").iterdir())) == held
