"""Puts together what drives runs: the executor, its driver, the runners and all that attends to attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from service.attended import AttendedRunner
from service.catalogue import Catalogue
from service.clock import DatabaseClock
from service.db.costs import PutCost
from service.db.reads import Reads
from service.db.registry import PostgresRegistry
from service.db.stage_logs import place_of
from service.db.writer import Writer
from service.known_secrets import known_secrets
from service.lending import Lending
from service.logs.spool import SpoolFolder
from service.logs.stages import StageLogs
from service.loops.beginnings import Beginnings
from service.loops.checks import Checks
from service.loops.driver import Driver
from service.loops.executor import Executor
from service.loops.fanout import FanOut
from service.loops.heartbeats import Heartbeats
from service.loops.resources import Rationed, Resources
from service.loops.subruns import SubRuns
from service.outbox import Outbox
from service.progress import ProgressReports
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.runners.base import Runner, RunnerTools
from stages.strays import Strays
from triggers.base import RecordReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the engine stands on: everything of the daemon that is there whether it drives runs or not."""

    lending: Lending
    catalogue: Catalogue
    writer: Writer
    reads: Reads
    store: ArtifactStore
    registry: PostgresRegistry
    reader: RecordReader | None
    clock: DatabaseClock
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class Engine:
    """What drives runs, and what must be closed with it."""

    executor: Executor
    stage_logs: StageLogs
    strays: Strays
    closers: list[Callable[[], Awaitable[None]]]


def open_engine(ground: Ground, give_up: Callable[[BaseException | None], None]) -> Engine:
    """Put it together; nothing runs yet. `give_up` ends the process though stages do not end."""
    settings, loop = ground.lending.settings, asyncio.get_running_loop()
    secrets = known_secrets(settings, [binding.trigger for binding in ground.catalogue.bindings()])
    folder = SpoolFolder(settings.home, settings.executor.log_bytes)
    logs = StageLogs(ground.writer, loop, ground.store, folder, secrets)
    beginnings = Beginnings(loop, ground.writer)
    strays = Strays(give_up)
    runners = _runners(ground, logs, beginnings, strays)
    executor = Executor(
        writer=ground.writer,
        reads=ground.reads,
        catalogue=ground.catalogue,
        driver=_driver(ground, runners, beginnings, strays),
        places=settings.executor.max_runs,
    )
    return Engine(executor, logs, strays, [runner.close for runner in runners.values()])


def _driver(ground: Ground, runners: Mapping[str, Runner], beginnings: Beginnings, strays: Strays) -> Driver:
    return Driver(
        writer=ground.writer,
        reads=ground.reads,
        clock=ground.clock,
        store=ground.store,
        runners=runners,
        checks=Checks(ground.store, ground.clock, ground.writer, ground.registry, strays),
        fan_out=FanOut(ground.store),
        sub_runs=SubRuns(ground.reads, ground.store),
        outbox=ground.outbox,
        beginnings=beginnings,
        suspects=asyncio.Semaphore(ground.lending.settings.executor.threads),
    )


def _runners(ground: Ground, logs: StageLogs, beginnings: Beginnings, strays: Strays) -> dict[str, Runner]:
    """Every runner, with what goes around each attempt: its resources, its log, its signs of life."""
    loop = asyncio.get_running_loop()
    heartbeats = Heartbeats(loop)
    reports = ProgressReports(ground.writer, loop, logs, heartbeats.heard)

    def began(call: Call) -> None:
        heartbeats.began(call)
        beginnings.began(call)

    tools = RunnerTools(
        store=ground.store,
        registry=ground.registry,
        reader=ground.reader,
        report=reports,
        began=began,
        spent=lambda call, cost: ground.writer.later(PutCost(place_of(call), cost)),
        logs=logs,
        strays=strays,
    )
    resources = Resources(ground.lending.settings.executor.resources)
    opened = ground.lending.open_runners(tools).items()
    return {name: Rationed(AttendedRunner(one, logs, reports, heartbeats), resources) for name, one in opened}
