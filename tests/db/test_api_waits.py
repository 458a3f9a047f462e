"""Why a run that does not go on does not: in the list, and where it was cancelled meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.app import Daemon
from service.cli.views.runs import why
from service.client import Client
from service.db.waits import sub_runs
from service.model import RunState
from service.settings import Role
from stages import Event, Pipeline, Retry, SubRun, Transient, stage
from stages.gates import approved
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows


@stage
async def plain(event: Event) -> int:
    return 1


@stage
async def after(plain: int) -> int:
    return plain


@stage(retry=Retry(initial_s=3000, max_delay_s=3000, max_attempts=3))
async def tries(event: Event) -> int:
    raise Transient("not yet")


@stage
async def asks(event: Event) -> SubRun:
    return SubRun("gated", data=1, output="after")


@stage
async def listed(event: Event) -> list[int]:
    return list(range(20))


@stage(map="listed", at_once=1)
async def each(listed: int) -> int:
    if listed == 2:
        await asyncio.Event().wait()
    return listed


@stage(map="listed", at_once=1)
async def first_only(listed: int) -> int:
    if listed == 0:
        await asyncio.Event().wait()
    return listed


PIPELINES = (
    Pipeline("gated", [plain, after], gates={("plain", "after"): approved()}),
    Pipeline("tried", [tries]),
    Pipeline("asking", [asks]),
    Pipeline("mapped", [listed, each]),
    Pipeline("barely", [listed, first_only]),
)


@asynccontextmanager
async def here(database: str, folder: Path) -> AsyncIterator[tuple[Daemon, Client]]:
    async with daemon(settings(database, folder, *Role, drain_s=0), *PIPELINES) as one:
        yield one, Client(one.address)


async def told(client: Client, run: int) -> dict[str, Any]:
    page = await asyncio.to_thread(client.runs)
    [found] = [one for one in page["runs"] if one["id"] == run]
    return dict(found)


async def waiting(one: Daemon, pipeline: str) -> int:
    run = await start(one, pipeline, pipeline)
    assert await reached(one, run, RunState.WAITING) is RunState.WAITING
    return run


async def test_the_list_tells_what_each_run_waits_for(database: str, tmp_path: Path) -> None:
    async with here(database, tmp_path) as (one, client):
        tried, asking, gated = [await waiting(one, name) for name in ("tried", "asking", "gated")]
        [child] = await rows(database, "select id from runs where parent_run = $1", asking)
        assert re.fullmatch(r"waits for its next try at \d\d:\d\d:\d\d UTC", why(await told(client, tried)))
        assert why(await told(client, asking)) == f"waits for sub-run {child['id']}"
        assert why(await told(client, gated)) == "waits for plain-after"


SIBLINGS = """
insert into runs (pipeline, version, event_key, trigger, params, state, ready_at, parent_run, cause_run, cause_stage)
select 'nobodys ' || n, 'v', event_key, trigger, params, 'queued', now() + interval '1 day', parent_run, cause_run,
    cause_stage
from runs cross join generate_series(1, 20) n where parent_run = $1
"""


@pytest.mark.rows_by_hand
async def test_of_many_sub_runs_some_are_told(database: str, tmp_path: Path) -> None:
    async with here(database, tmp_path) as (one, client):
        asking = await waiting(one, "asking")
        await rows(database, SIBLINGS, asking)
        shown = why(await told(client, asking))
        assert re.fullmatch(r"waits for sub-run \d+( and \d+){4} and others", shown)
    assert [sub_runs([1]), sub_runs([*range(5)])] == ["sub-run 1", "sub-run 0 and 1 and 2 and 3 and 4"]
    assert sub_runs([*range(9)]) == "sub-run 0 and 1 and 2 and 3 and 4 and others"


@pytest.mark.parametrize("pipeline", ["tried", "asking", "gated"])
async def test_a_run_cancelled_while_it_waits_says_so(database: str, tmp_path: Path, pipeline: str) -> None:
    async with here(database, tmp_path) as (one, client):
        run = await waiting(one, pipeline)
        await asyncio.to_thread(client.cancel, run, "kim")
        assert await reached(one, run) is RunState.CANCELLED
        shown = await told(client, run)
        assert shown["failure"] == {"stage": "", "reason": "cancelled on request"}
        assert why(shown) == "cancelled on request"
        await asyncio.to_thread(client.resume, run, "kim")
        assert (await told(client, run))["failure"] is None


@pytest.mark.parametrize(("pipeline", "mapped", "done"), [("mapped", "each", 2), ("barely", "first_only", 0)])
async def test_a_list_cut_short_by_a_cancel_is_not_running(
    database: str, tmp_path: Path, pipeline: str, mapped: str, done: int
) -> None:
    async with here(database, tmp_path) as (one, client):
        run = await start(one, pipeline, "1")
        query = "select count(*) as done from attempts where stage = $1 and state = 'succeeded'"
        async with asyncio.timeout(20):
            while (await rows(database, query, mapped if done else "listed"))[0]["done"] < (done or 1):
                await asyncio.sleep(0.05)
        await asyncio.to_thread(client.cancel, run, "kim")
        assert await reached(one, run) is RunState.CANCELLED
        shown = await asyncio.to_thread(client.show, run)
    [state] = [found["state"] for found in shown["stages"] if found["name"] == mapped]
    assert state == "cancelled"
