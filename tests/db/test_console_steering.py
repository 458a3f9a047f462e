"""Starting and pausing pipelines, resuming with other params, pictures, and metrics beside those in production."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from service.model import RunState
from service.settings import Role
from stages.base import StageContext, stage
from stages.errors import Permanent
from stages.pipeline import Pipeline
from stages.registry import NewVersion
from tests.db.api import Api, api, off, sums
from tests.db.console import form_of, look, send, text_of
from tests.db.daemons import reached
from triggers.event import Event

START = "/act/pipelines/start"
PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(40), b"\xff\xd8\xff" + bytes(40)
PAGE = b"<script>alert(1)</script>"


class Wanted(BaseModel):
    """What `picky` takes."""

    good: bool = False


@stage(reuse="never")
async def choose(event: Event, params: Wanted) -> str:
    if not params.good:
        raise Permanent("not good")
    return "good"


@stage(reuse="never")
async def png(event: Event) -> bytes:
    return PNG


@stage(reuse="never")
async def jpeg(event: Event) -> bytes:
    return JPEG


@stage(reuse="never")
async def html(event: Event) -> bytes:
    return PAGE


@stage(reuse="never")
async def fit(event: Event, context: StageContext) -> int:
    context.record_metrics(r2=0.9)
    return 1


@stage(reuse="never")
async def measure(fit: int, context: StageContext) -> int:
    context.record_metrics(r2=0.5, rows=7)
    assert context.registry is not None
    new = NewVersion(model="delays", artifacts={}, metrics={"r2": 0.4}, run_id=context.run_id, pipeline="measured")
    return (await context.registry.register(new, idempotency_key="one")).version


picky = Pipeline("picky", [choose])
pictures = Pipeline("pictures", [png, jpeg, html])
measured = Pipeline("measured", [fit, measure])


async def started(one: Api, name: str, **fields: Any) -> Any:
    form = form_of(await look(one, f"/pipelines/{name}"), START)
    return await send(one, START, {**form, "by": "kim", **fields})


async def test_a_run_is_started_by_a_form_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(sums, off)) as one:
        page = await look(one, "/pipelines/sums")
        assert "as they are by default: factor" in text_of(page)
        form = {**form_of(page, START), "by": "kim", "params": '{"factor": 5}'}
        first, second = await send(one, START, form), await send(one, START, form)
        assert first.headers["location"] == second.headers["location"]
        run = int(first.headers["location"].rpartition("/")[2])
        await reached(one.daemon, run)
        assert (await one.http.get(f"/api/v1/runs/{run}")).json()["params"] == {"factor": 5}
        assert (await started(one, "sums", params="[1]")).status_code == 422
        assert (await started(one, "sums", params="{")).status_code == 400
        assert (await started(one, "sums", params='{"factor": "many"}')).status_code == 422
        assert (await started(one, "off")).status_code == 409


async def test_a_pipeline_is_paused_and_let_go_on_and_tells_its_versions(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=(sums,)) as one:
        await one.daemon.writer.drained()
        page = await look(one, "/pipelines/sums")
        assert "webhook:plain" in page[page.index("<svg class") :].partition("</svg>")[0]
        assert "loaded now" in text_of(page)
        pause = form_of(page, "/act/triggers/pause")
        done = await send(one, "/act/triggers/pause", {**pause, "by": "kim", "reason": "rest"})
        assert done.headers["location"] == "/pipelines/sums"
        page = await look(one, "/pipelines/sums")
        assert "Paused by kim: rest." in text_of(page)
        form = form_of(page, "/act/triggers/unpause")
        await send(one, "/act/triggers/unpause", {**form, "by": "kim"})
        assert "Paused by" not in text_of(await look(one, "/pipelines/sums"))


async def test_a_run_is_resumed_with_other_params(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(picky,)) as one:
        run = await one.start("picky")
        page = await look(one, f"/runs/{run}/resume?params=%7B%22good%22%3A+true%7D")
        action = f"/act/runs/{run}/resume"
        form = form_of(page, action)
        assert form["params"] == '{"good": true}'
        await look(one, f"/runs/{run}/resume?params=%7B%22good%22%3A+7%7D", 422)
        await look(one, f"/runs/{run}/resume?params=7", 422)
        await send(one, action, {**form, "by": "kim"})
        assert await reached(one.daemon, run) is RunState.SUCCEEDED


async def outputs(one: Api, run: int) -> dict[str, str]:
    shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
    return {made["name"]: f"/runs/{run}/artifacts/{made['output']['digest']}" for made in shown["stages"]}


@pytest.mark.parametrize(("name", "kind", "content"), [("png", "image/png", PNG), ("jpeg", "image/jpeg", JPEG)])
async def test_pictures_are_shown_as_what_they_are(
    database: str, tmp_path: Path, name: str, kind: str, content: bytes
) -> None:
    async with api(database, tmp_path, pipelines=(pictures,)) as one:
        paths = await outputs(one, await one.start("pictures"))
        assert f'src="{paths[name]}/image"' in await look(one, paths[name])
        answer = await one.http.get(f"{paths[name]}/image")
        assert (answer.headers["content-type"], answer.content) == (kind, content)
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_picture_is_not_served_as_one(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(pictures,)) as one:
        paths = await outputs(one, await one.start("pictures"))
        assert "<img class" not in await look(one, paths["html"])
        assert (await one.http.get(f"{paths['html']}/image")).status_code == 404
        assert (await one.http.get(f"/runs/1/artifacts/{'0' * 64}/image")).status_code == 404


async def test_metrics_stand_beside_those_in_production(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(measured,)) as one:
        run = await one.start("measured")
        assert "in production" not in text_of(await look(one, f"/runs/{run}"))
        await one.call(one.client.move_alias, "delays", "production", 1, None)
        page = await look(one, f"/runs/{run}")
        assert "r2 0.5 delays 1 , in production: 0.4" in text_of(page)
        # What a stage before it measured under the same name says something else.
        assert text_of(page).count("in production") == 1
        assert "0.5, threshold 0.4" in page
