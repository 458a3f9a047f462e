"""A daemon in which something of everything has happened, and the addresses of all its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from playwright.async_api import Browser

from service.console.pages import PAGES
from tests.browser.pipelines import FLOUR, measured
from tests.browser.walking import browsing, posted, served, walking

BREAD = "tests.browser.pipelines:bread"
DAILY = "tests.browser.pipelines:daily"


@asynccontextmanager
async def world(database: str, folder: Path) -> AsyncIterator[tuple[str, Browser, dict[str, str]]]:
    """A daemon in which something of everything has happened, and what the pages are called that tell of it."""
    flour = folder / "flour"
    async with served(database, folder, BREAD, DAILY, **{FLOUR: str(flour)}) as base, browsing() as browser:
        await posted(base, "/hooks/flour", {"kind": "oats"})
        failed = await _started(base, 1)
        async with walking(browser, base) as walk:
            await walk.run_is(failed, "failed")
            flour.write_text("1 2 3")
            run = await _started(base, 2)
            await walk.run_is(run, "waiting")
            await posted(base, f"/api/v1/runs/{run}/gates/register-deploy/approve", {"by": "kim"})
            await walk.run_is(run, "succeeded")
        await predicted(base)
        span = {"from": "2026-01-05", "to": "2026-01-06", "by": "kim"}
        await posted(base, "/api/v1/backfills", {"trigger": "daily/cron:0 3 * * *", **span})
        await _better(base)
        yield base, browser, await _names(base, failed, run)


async def _started(base: str, sack: int) -> int:
    answer = await posted(base, "/hooks/flour", {"kind": "wheat", "sack": sack})
    run: int = answer["events"][0]["runs"][0]
    return run


async def predicted(base: str) -> int:
    """Ask the first version of the model, and wait until that is on record; what it answered."""
    answer = await posted(base, "/models/bread/predict", {"hours": 3})
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=base) as http:
        while not (await http.get("/api/v1/models/bread/versions/1")).json()["predictions"]["answered"]:
            await asyncio.sleep(0.1)
    loaves: int = answer["loaves"]
    return loaves


async def _better(base: str) -> None:
    """A second version in production, so that what is measured is drawn beside it."""
    model = "/api/v1/models/bread"
    async with httpx.AsyncClient(base_url=base) as http:
        first = (await http.get(f"{model}/aliases/production")).json()
        made = {"artifacts": first["artifacts"], "metrics": measured(8), "pipeline": "bread"}
        (await http.post(f"{model}/versions", json=made, headers={"Idempotency-Key": "better"})).raise_for_status()
        moved = await http.put(f"{model}/aliases/production", json={"version": 2, "expect": 1})
        moved.raise_for_status()


async def _names(base: str, failed: int, ran: int) -> dict[str, str]:
    """What stands for what in the addresses of pages."""
    async with httpx.AsyncClient(base_url=base) as http:
        run = (await http.get(f"/api/v1/runs/{ran}")).json()
    [digest] = {stage["output"]["digest"] for stage in run["stages"] if stage["name"] == "ingest"}
    return {
        "failed": str(failed),
        "wide": await _wide(base),
        "{run}": str(ran),
        "{pipeline:path}": "bread",
        "{trigger:path}": "daily/cron%3A0%203%20%2A%20%2A%20%2A",
        "{backfill}": "1",
        "{model:path}": "bread",
        "{version}": "1",
        "{event}": run["event"]["key"],
        "{event:path}": run["event"]["key"],
        "{digest}": digest,
    }


async def _wide(base: str) -> str:
    """Where the table is that the backfill made, once that has."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=base) as http:
        done = {"pipeline": "daily", "state": "succeeded"}
        while not (runs := (await http.get("/api/v1/runs", params=done)).json()["runs"]):
            await asyncio.sleep(0.1)
        [stage] = (await http.get(f"/api/v1/runs/{runs[0]['id']}")).json()["stages"]
    return f"/runs/{runs[0]['id']}/artifacts/{stage['output']['digest']}"


def addresses(named: dict[str, str]) -> list[str]:
    """Every page of the console once; of runs, also one that failed."""
    found = ["/sign-in"]
    for path, _ in PAGES:
        for name, given in named.items():
            path = path.replace(name, given)
        found.append(path)
    failed, plan = (
        f"/runs/{named['failed']}",
        "/backfills/new?trigger=daily%2Fcron%3A0+3+*+*+*&from=2026-01-05&to=2026-01-11",
    )
    return [*(path for path in found if not path.endswith("/resume")), named["wide"], failed, f"{failed}/resume", plan]
