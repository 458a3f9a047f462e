"""Lists by name, a page at a time: in the API, the clients, the command line and the console."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import chain
from pathlib import Path

import pytest

from service.calls import lists as listed_calls
from service.client import AsyncClient
from service.console import models, pipelines, schedules
from service.console import now as start_page
from service.settings import Role
from stages.pipeline import Pipeline
from tests.db.api import Api, add, api, fit, problem, sums
from tests.db.asking import tidemill
from tests.db.console import look, text_of
from tests.db.writing import rows
from triggers.schedule import Every
from triggers.webhook import Webhook

NAMES = [f"p{number}" for number in range(5)]
SEVERAL = tuple(
    Pipeline(name, [add], on=[Webhook(f"hook-{name}"), Every("1h", enabled=name != "p3")]) for name in NAMES
)


async def registered(one: Api, *names: str) -> None:
    for name in names:
        version = {"artifacts": {"model": "1" * 64}}
        await one.call(one.client.register_version, name, version, name)


async def walked(one: Api, what: str, limit: int) -> list[list[str]]:
    """The names on each page."""
    pages, after = [], None
    while True:
        given = {"limit": str(limit)} | ({"after": after} if after else {})
        page = (await one.http.get(f"/api/v1/{what}", params=given)).json()
        pages.append([each.get("name") or each["model"] for each in page[what]])
        if (after := page["next"]) is None:
            return pages


async def test_each_page_goes_on_where_the_last_one_ended(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=SEVERAL[::-1]) as one:
        await registered(one, "m2", "m0", "m1", "a b", "m1x")
        assert await walked(one, "pipelines", 2) == [["p0", "p1"], ["p2", "p3"], ["p4"]]
        assert await walked(one, "models", 2) == [["a b", "m0"], ["m1", "m1x"], ["m2"]]
        triggers = await walked(one, "triggers", 3)
        assert [len(page) for page in triggers] == [3, 3, 3, 1]
        assert list(chain(*triggers)) == sorted(chain(*triggers))
        for what in ("pipelines", "models", "triggers"):
            # Whoever knows of no pages gets it all, as before.
            whole = (await one.http.get(f"/api/v1/{what}")).json()
            assert [whole["next"], len(whole[what])] == [None, 10 if what == "triggers" else 5]
            for wrong in ("limit=0", "limit=1001", "limit=x", "before=1"):
                problem(await one.http.get(f"/api/v1/{what}?{wrong}"), 422)
            assert (await one.http.get(f"/api/v1/{what}?after=zzz")).json()[what] == []


async def test_clients_walk_all_pages(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_calls, "PAGE", 2)
    async with api(database, tmp_path, Role.API, pipelines=SEVERAL) as one:
        await registered(one, "m0", "m1", "m2")
        client = one.client
        assert [each["name"] for each in await one.call(lambda: list(client.each_pipeline()))] == NAMES
        assert [each["model"] for each in await one.call(lambda: list(client.each_model()))] == ["m0", "m1", "m2"]
        async with AsyncClient(one.daemon.address) as other:
            assert len([each async for each in other.each_trigger()]) == 10
            page = await other.models(limit=1, after="m0")
        assert ([each["model"] for each in page["models"]], page["next"]) == (["m1"], "m1")


async def test_the_command_line_tells_how_to_go_on(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=SEVERAL) as one:
        await registered(one, "m0", "m1", "m 2")
        for what, name in (("models", "'m 2'"), ("pipelines", "p0"), ("triggers", "p0/every:1h")):
            told = await tidemill(one, what, "--limit", "1")
            assert f"more: --after {name}" in told[2]
            page = json.loads((await tidemill(one, what, "--limit", "1", "--json"))[1])
            rest = await tidemill(one, what, "--after", page["next"])
            assert "more:" not in rest[2]
        await one.call(one.client.register_version, "m0", {"artifacts": {"model": "2" * 64}}, "again")
        told = await tidemill(one, "models", "m0", "--limit", "1")
        assert "older ones: --before 2" in told[2]


async def test_pages_of_the_console_lead_to_the_next_and_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LIMIT", 2)
    monkeypatch.setattr(pipelines, "MOST_PIPELINES", 2)
    monkeypatch.setattr(schedules, "MOST_SCHEDULES", 2)
    async with api(database, tmp_path, Role.API, pipelines=SEVERAL) as one:
        await registered(one, "m0", "m 1", "m2")
        for path, first, last in (
            ("/models", ("/models/m%201", "/models/m0"), "/models/m2"),
            ("/pipelines", ("/pipelines/p0", "/pipelines/p1"), "/pipelines/p2"),
            ("/schedules", ("/schedules/p0/", "/schedules/p1/"), "/schedules/p2/"),
        ):
            page = await look(one, path)
            assert all(f'href="{name}' in page for name in first)
            assert f'href="{last}' not in page
            assert "Back to the first" not in page
            [further] = [part.split('"')[0] for part in page.split('href="') if part.startswith(f"{path}?after=")]
            following = await look(one, further)
            assert f'href="{last}' in following
            assert not any(f'href="{name}' in following for name in first)
            assert f'<a href="{path}">Back to the first</a>' in following
        monkeypatch.setattr(start_page, "MOST_TRIGGERS", 2)
        told = text_of(await look(one, "/"))
        assert told.count("3 more") == 2
        assert "Back to the first" in await look(one, "/models?after=zzz")


async def test_versions_of_a_pipeline_are_paged(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "MOST_VERSIONS", 1)
    for stages in ([add], [add, fit], [fit]):
        async with api(database, tmp_path, Role.API, pipelines=(Pipeline("sums", stages),)):
            pass
    async with api(database, tmp_path, Role.API, pipelines=(sums,)) as one:
        whole = await one.call(one.client.versions, "sums")
        assert whole["next"] is None
        names = [each["version"] for each in whole["versions"]]
        page = await one.call(one.client.versions, "sums", limit=2, before=names[0])
        assert ([each["version"] for each in page["versions"]], page["next"]) == (names[1:3], names[2])
        assert "Older" in await look(one, "/pipelines/sums")
        older = await look(one, f"/pipelines/sums?before={names[0]}")
        assert f'href="/pipelines/sums?before={names[1]}#versions-title"' in older
        assert "Back to the newest" in older


FALLEN = """
insert into daemons (host, pid, roles, version, lease_s, state, started_at, renewed_at)
select host, pid, roles, version, lease_s, 'lapsed', now(), now() - interval '1 second' * n
from daemons cross join generate_series(1, 300) n limit 300
"""


@pytest.mark.rows_by_hand
async def test_of_many_daemons_that_died_within_the_hour_the_latest_are_told(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        await rows(database, FALLEN)
        told = (await one.http.get("/api/v1/system")).json()["daemons"]
        oldest = min(each["renewed_at"] for each in told if each["state"] == "lapsed")
        [last] = await rows(database, "select now() - interval '3 minutes' as at")
    assert [sum(each["state"] == state for each in told) for state in ("alive", "lapsed")] == [1, 100]
    assert datetime.fromisoformat(oldest) > last["at"]
    assert [each["id"] for each in told] == sorted(each["id"] for each in told)


ALIASES = """
insert into model_aliases (model, alias, version)
select 'm0', 'a' || lpad(n::text, 4, '0'), 1 from generate_series(1, 120) n union all select 'm0', 'production', 1
"""


@pytest.mark.rows_by_hand
async def test_of_many_aliases_some_are_told_with_their_model_and_all_by_themselves(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_calls, "PAGE", 50)
    async with api(database, tmp_path, Role.API) as one:
        await registered(one, "m0", "m1")
        await rows(database, ALIASES)
        listed = (await one.http.get("/api/v1/models")).json()["models"][0]["aliases"]
        shown = (await one.http.get("/api/v1/models/m0")).json()["aliases"]
        assert listed == shown
        assert (len(listed), "production" in listed, "a0099" in listed, "a0100" in listed) == (100, True, True, False)
        page = await one.call(one.client.aliases, "m0", limit=2, after="a0119")
        assert page["aliases"] == [{"alias": "a0120", "version": 1}, {"alias": "production", "version": 1}]
        assert page["next"] == "production"
        names = [each["alias"] for each in await one.call(lambda: list(one.client.each_alias("m0")))]
        assert (len(names), names) == (121, sorted(names))
        assert (await one.call(one.client.aliases, "m1"))["aliases"] == []
        problem(await one.http.get("/api/v1/models/none/aliases"), 404)
        assert "The first by name; all, as JSON" in text_of(await look(one, "/models/m0"))
