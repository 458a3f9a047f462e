"""Whole daemons inside the test's process, on a fresh database."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.app import Daemon
from service.build import open_daemon
from service.catalogue import Catalogue
from service.model import RunState
from service.settings import Artifacts, Database, Executor, Http, Role, Settings
from stages.pipeline import Pipeline
from tests.db.writing import asking, rows
from triggers.base import Arrival, KafkaAccess, Offer, RunId
from triggers.event import Event

FINISHED = {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}
STEADY_S = 30.0


def settings(dsn: str, folder: Path, *roles: Role, **executor: Any) -> Settings:
    """Settings for a test: a port of its own, a short lease, artifacts in `folder`."""
    return Settings(
        root=folder,
        home=folder / "home",
        roles=roles or (Role.EXECUTOR,),
        database=Database(url=dsn),
        http=Http(port=0),
        executor=Executor(**{"lease_s": 1.0, "drain_s": 5.0, **executor}),
        artifacts=Artifacts(url=(folder / "artifacts").as_uri()),
    )


def catalogue(pipelines: Iterable[Pipeline]) -> Catalogue:
    """Pipelines as if they had been loaded."""
    found = {one.name: one for one in pipelines}
    return Catalogue(found, {name: f"tests:{name}" for name in found})


@asynccontextmanager
async def daemon(
    given: Settings, *pipelines: Pipeline, kafka: KafkaAccess | None = None, on_start: Any = None
) -> AsyncIterator[Daemon]:
    """A daemon that runs from its start until the end of the block, drained."""
    one = await open_daemon(given, catalogue(pipelines), kafka)
    ready = asyncio.Event()

    async def started(daemon: Daemon) -> None:
        ready.set()

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(one.run(started))
        await asyncio.wait(
            [running, tasks.create_task(_wait(ready))], return_when=asyncio.FIRST_COMPLETED, timeout=STEADY_S
        )
        try:
            yield one
        finally:
            one.stop()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def event(event_id: str, data: Any = None) -> Event:
    """An event of the tests."""
    return Event(source="tests", id=event_id, type="test", time=datetime(2026, 1, 1, tzinfo=UTC), data=data)


async def start(one: Daemon, pipeline: str, event_id: str, data: Any = None, **params: Any) -> RunId:
    """Accept an event that starts a run, and return the run's id."""
    offer = Offer(pipeline, "test", params=params or None)
    [receipt] = await one.inbox.accept([Arrival(event(event_id, data), [offer])])
    run_id = receipt.outcomes[0].run_id
    assert run_id is not None, receipt
    return run_id


async def state(one: Daemon, run_id: int) -> RunState:
    """Where a run stands."""
    [row] = await rows(one.dsn, "select state from runs where id = $1", run_id)
    return RunState(row["state"])


async def reached(one: Daemon, run_id: int, *states: RunState) -> RunState:
    """Wait until a run is in one of `states` (finished ones if none are given)."""
    wanted = set(states) or FINISHED
    async with asyncio.timeout(STEADY_S), asking(one.dsn) as ask:
        while True:
            seen = one.news.count
            [row] = await ask("select state from runs where id = $1", run_id)
            if (now := RunState(row["state"])) in wanted:
                return now
            await one.news.changed(seen)


async def attempts(one: Daemon, run_id: int) -> list[tuple[str, int, str]]:
    """Stage, attempt and state of every attempt of a run, in order."""
    query = "select stage, attempt, state from attempts where run_id = $1 order by started_at, stage, attempt"
    return [(row["stage"], row["attempt"], row["state"]) for row in await rows(one.dsn, query, run_id)]


def with_roles(given: Settings, *roles: Role) -> Settings:
    """The same settings for other roles."""
    return dataclasses.replace(given, roles=roles)
