"""Models in the console: versions and how they measured, aliases and moving them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.settings import Role
from tests.db.api import Api, api
from tests.db.console import form_of, look, send, text_of

DIGEST, OTHER = "1" * 64, "2" * 64
EVIL = "<img src=x onerror=alert(1)>"
MOVE = "/act/models/alias"


async def registered(one: Api, model: str, key: str, **more: Any) -> int:
    body = {"artifacts": {"model": DIGEST}, **more}
    answer = await one.post(f"/api/v1/models/{model}/versions", body, headers={"Idempotency-Key": key})
    assert answer.status_code == 201, answer.text
    version: int = answer.json()["version"]
    return version


async def test_versions_are_told_with_their_metrics_over_time(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number, r2 in enumerate((0.2, 0.5, 0.4)):
            await registered(one, "delays", f"k{number}", metrics={"r2": r2}, lineage={EVIL: OTHER})
        await one.call(one.client.move_alias, "delays", "production", 2, None)
        assert "production → version 2" in text_of(await look(one, "/models"))
        page = await look(one, "/models/delays")
        told = text_of(page)
        assert "r2 the latest 0.4 0.5 0.2" in told
        points = page.index("version 1: 0.2"), page.index("version 2: 0.5"), page.index("version 3: 0.4")
        assert list(points) == sorted(points)
        assert 'class="dot good"' in page
        shown = await look(one, "/models/delays/versions/3")
        assert "Version 2, in production" in text_of(shown)
        assert "0.4, threshold 0.5" in shown
        assert EVIL not in shown
        assert EVIL in text_of(shown)
        await look(one, "/models/none", 404)
        await look(one, "/models/delays/versions/9", 404)
        await look(one, "/models/delays/versions/x", 404)


async def test_an_alias_is_moved_from_where_it_was_seen(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number in range(3):
            await registered(one, "delays", f"k{number}")
        page = await look(one, "/models/delays")
        assert "Nothing is in production" in text_of(page)
        form = form_of(page, MOVE)
        first = {**form, "alias": "production", "version": "1", "by": "kim"}
        moved = await send(one, MOVE, first)
        assert (moved.status_code, moved.headers["location"]) == (303, "/models/delays")
        page = await look(one, "/models/delays")
        assert "kim let production point at version 1 of delays" in text_of(page)
        held = form_of(page, MOVE)
        assert (held["alias"], held["expect"]) == ("production", "1")
        await send(one, MOVE, {**held, "version": "2", "by": "kim"})
        late = await send(one, MOVE, {**held, "version": "3", "by": "ann"})
        assert late.status_code == 409
        assert "somebody moved it meanwhile" in text_of(late.text)
        assert (await send(one, MOVE, {**held, "version": "", "by": "ann"})).status_code == 422
        assert (await send(one, MOVE, {**held, "version": "9", "by": "ann"})).status_code == 404
        assert "production → version 2" in text_of(await look(one, "/models"))


async def test_versions_are_paged(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number in range(52):
            await registered(one, "delays", f"k{number}", metrics={"r2": 0.1})
        first = await look(one, "/models/delays")
        assert 'href="/models/delays?before=3"' in first
        second = await look(one, "/models/delays?before=3")
    assert first.count('<tr id="version-') == 50
    assert second.count('<tr id="version-') == 2
    assert "Back to the newest" in second


async def test_a_version_leads_to_the_run_and_the_event_that_made_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("line")
        page = await look(one, "/models/line/versions/1")
        event = (await one.http.get(f"/api/v1/runs/{run}")).json()["event"]["key"]
    assert f'href="/runs/{run}"' in page
    assert f'href="/events/{event}"' in page
    assert f'href="/runs/{run}/artifacts/' in page
