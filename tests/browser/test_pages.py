"""Every page read out: axe-core finds no barrier by WCAG 2.2 AA, in light and in dark, wide and narrow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser

from service.console.pages import PAGES
from tests.browser.pipelines import FLOUR
from tests.browser.test_walks import BREAD, DAILY
from tests.browser.walking import Scheme, barriers, browsing, overflowing, posted, served, walking


@asynccontextmanager
async def world(database: str, folder: Path) -> AsyncIterator[tuple[str, Browser, dict[str, str]]]:
    """A daemon in which something of everything has happened, and what the pages are called that tell of it."""
    flour = folder / "flour"
    async with served(database, folder, BREAD, DAILY, **{FLOUR: str(flour)}) as base, browsing() as browser:
        await posted(base, "/hooks/flour", {"kind": "oats"})
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        async with walking(browser, base) as walk:
            await walk.run_is(1, "failed")
            flour.write_text("1 2 3")
            await posted(base, "/hooks/flour", {"kind": "wheat", "sack": 2})
            await walk.run_is(2, "waiting")
            await posted(base, "/api/v1/runs/2/gates/register-deploy/approve", {"by": "kim"})
            await walk.run_is(2, "succeeded")
        span = {"from": "2026-01-05", "to": "2026-01-06", "by": "kim"}
        await posted(base, "/api/v1/backfills", {"trigger": "daily/cron:0 3 * * *", **span})
        yield base, browser, await names(base)


async def names(base: str) -> dict[str, str]:
    """What stands for what in the addresses of pages."""
    async with httpx.AsyncClient(base_url=base) as http:
        run = (await http.get("/api/v1/runs/2")).json()
    [digest] = {stage["output"]["digest"] for stage in run["stages"] if stage["name"] == "ingest"}
    return {
        "{run}": "2",
        "{pipeline:path}": "bread",
        "{trigger:path}": "daily/cron%3A0%203%20%2A%20%2A%20%2A",
        "{backfill}": "1",
        "{model:path}": "bread",
        "{version}": "1",
        "{event}": run["event"]["key"],
        "{event:path}": run["event"]["key"],
        "{digest}": digest,
    }


def addresses(named: dict[str, str]) -> list[str]:
    """Every page of the console once; of runs, also one that failed."""
    found = ["/sign-in"]
    for path, _ in PAGES:
        for name, given in named.items():
            path = path.replace(name, given)
        found.append(path)
    plan = "/backfills/new?trigger=daily%2Fcron%3A0+3+*+*+*&from=2026-01-05&to=2026-01-11"
    return [*(path for path in found if not path.endswith("/resume")), "/runs/1", "/runs/1/resume", plan]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_no_page_has_a_barrier(database: str, tmp_path: Path, scheme: Scheme, width: int) -> None:
    found: list[str] = []
    async with world(database, tmp_path) as (base, browser, named), walking(browser, base, scheme, width) as walk:
        for path in addresses(named):
            await walk.to(path)
            found += [f"{path}: {one}" for one in await barriers(walk.page)]
            found += [f"{path}: wider than the window: {one}" for one in await overflowing(walk.page)]
    assert not found, "\n".join(found)
