"""From an artifact to everything before and after it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.api import PIPELINES, api
from tests.db.console import look, text_of
from tests.db.writing import rows
from triggers.event import Event


@stage
async def bulky(event: Event) -> str:
    return "x" * 100_000


@stage
async def counts(bulky: str) -> int:
    return len(bulky)


@stage
async def beside(event: Event) -> int:
    return 1


heavy = Pipeline("heavy", [bulky, counts, beside])


async def test_an_artifact_leads_to_its_event_and_to_the_model_made_of_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("line")
        await one.call(one.client.move_alias, "line", "production", 1, None)
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
        digest = shown["stages"][0]["output"]["digest"]
        page = await look(one, f"/runs/{run}/artifacts/{digest}/lineage")
        assert f'href="/events/{shown["event"]["key"]}"' in page
        assert 'href="/models/line/versions/1"' in page
        assert "model line 1: line 1, production" in page
        lying, upright = re.findall(r'<svg class="graph.*?</svg>', page, re.DOTALL)
        assert lying.count('class="arrow"') == upright.count('class="arrow"') == 3
        assert "stage publish" in text_of(page)
        assert f'href="/runs/{run}/artifacts/{digest}/lineage"' in await look(one, f"/runs/{run}/artifacts/{digest}")
        assert f'href="/runs/{run}/artifacts/{digest}/lineage"' in await look(one, "/models/line/versions/1")
        await look(one, f"/runs/{run}/artifacts/{'0' * 64}/lineage", 404)


async def test_only_what_it_came_from_and_what_came_of_it_is_drawn(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(heavy,)) as one:
        run = await one.start("heavy")
        again = await one.start("heavy")
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
        digest = next(made["output"]["digest"] for made in shown["stages"] if made["name"] == "bulky")
        page = await look(one, f"/runs/{run}/artifacts/{digest}/lineage")
        assert "stage counts" in page
        assert "stage beside" not in page
        assert f'<tr id="other-{again}">' in page


async def test_the_same_artifact_in_many_runs_is_paged(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=(heavy, *PIPELINES)) as one:
        run = await one.start("heavy")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(52):
                tasks.create_task(one.start("heavy"))
        await one.daemon.writer.drained()
        [row] = await rows(database, "select output_digest from attempts where run_id = $1 and stage = 'bulky'", run)
        path = f"/runs/{run}/artifacts/{row['output_digest']}/lineage"
        first = await look(one, path)
        older = re.search(r'href="(\?before=\d+)"', first)
        assert older is not None
        second = await look(one, path + older[1])
    seen = [set(re.findall(r'<tr id="other-(\d+)"', page)) for page in (first, second)]
    assert (len(seen[0]), len(seen[1]), seen[0] & seen[1]) == (50, 2, set())
