"""What the API says of itself is true: health, metrics, triggers, and the OpenAPI document."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from service.api.endpoint import Endpoint
from service.api.front import DECIDE, OPEN
from service.api.openapi import shown_path
from service.api.routes import ENDPOINTS
from service.settings import Role
from stages.pipeline import Pipeline
from tests.db.api import PIPELINES, STRUCTURED, Api, add, api, cloudevent, problem
from triggers.schedule import Every
from triggers.webhook import Webhook

HOURS = {"trigger": "ticking/every:1h", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T05:00:00Z"}
SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? [-+0-9.e]+')


async def test_a_daemon_tells_whether_it_is_ready(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert (await one.http.get("/livez")).json() == {"alive": True}
        ready = await one.http.get("/readyz")
        assert await one.call(one.client.ready) == ready.json()
        one.daemon.draining = True
        leaving = await one.http.get("/readyz")
        assert await one.call(one.client.ready) == leaving.json()
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert leaving.status_code == 503
    assert leaving.json()["checks"]["draining"] == {"ok": False, "note": "it is stopping"}


async def test_metrics_are_prometheus_text(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await one.start("sums")
        await one.http.get("/api/v1/runs/77")
        await one.http.get("/no/such/" + "x" * 50)
        answer = await one.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    assert 'tidemill_events_total{trigger="manual",fate="ran"} 1' in samples
    assert 'tidemill_http_requests_total{method="GET",route="/api/v1/runs/{run}",status="404"} 1' in samples
    assert 'tidemill_http_requests_total{method="GET",route="other",status="404"} 1' in samples
    assert "tidemill_database_up 1" in samples
    assert "tidemill_reviews_open 0" in samples
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


async def test_every_address_is_in_the_document_and_every_operation_of_it_is_served(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, Role.API) as one:
        document = (await one.http.get("/api/v1/openapi.json")).json()
        told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
        assert told == {(each.method, each.path.replace(":path", "")) for each in ENDPOINTS}
        for method, path in told:
            # A place that is none: the stream of what happens has no end.
            query = {"after": "1"} if path.endswith("/stream") else None
            answer = await one.http.request(method, re.sub(r"{\w+}", "1", path), params=query)
            assert answer.status_code != 405, (method, path)
            assert "there is nothing at this address" not in answer.text, (method, path)
            assert str(answer.status_code) in document["paths"][path][method.lower()]["responses"], (method, path)
    assert document["openapi"] == "3.1.0"
    assert {each.path for each in ENDPOINTS if each.open} == OPEN | {f"{DECIDE}{{token}}"}
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


async def test_what_an_odd_address_is_answered_is_in_the_document(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        document = (await one.http.get("/api/v1/openapi.json")).json()
        for each in ENDPOINTS:
            told = document["paths"][shown_path(each)][each.method.lower()]["responses"]
            for odd in ("nonsense=1", "nonsense=%00"):
                answer = await one.http.request(each.method, f"{re.sub(r'{[^}]+}', '1', each.path)}?{odd}")
                assert str(answer.status_code) in told, (each.method, each.path, odd, answer.text)


async def test_a_number_or_a_field_that_is_none_is_told_with_what_to_do(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        below = problem(await one.http.get("/api/v1/runs?limit=-1"), 422)
        strange = problem(await one.http.post("/api/v1/pauses", json={"what": "sums", "why": "x"}), 422)
    assert below == "limit='-1': expected a whole number, 0 or more"
    assert strange == "why: no field of this body has this name: GET /api/v1/openapi.json has those there are"


@pytest.mark.parametrize(
    "far",
    ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "0001-01-01", "9999-12-31"],
)
async def test_a_time_that_no_calendar_reaches_is_refused(database: str, tmp_path: Path, far: str) -> None:
    async with api(database, tmp_path, Role.API, pipelines=(ticking,)) as one:
        for path in ("runs", "events", "audit"):
            for name in ("since", "until"):
                told = problem(await one.http.get(f"/api/v1/{path}", params={name: far}), 422)
                assert told == f"{name}={far!r}: expected a time from 1900 to 9000"
        for name in ("from", "to"):
            problem(await one.http.get("/api/v1/inbox", params={name: far}), 422)
            for path in ("backfills", "backfills/plan", "backtests", "backtests/due", "reconcile"):
                body = HOURS | {name: far}
                problem(await one.http.post(f"/api/v1/{path}", json=body), 422)


async def test_a_place_behind_everything_is_no_error_of_the_daemon(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums")
        for path in (f"runs/{run}/events", "inbox"):
            for after in (2**31 - 1, 2**63 - 2, 2**63 - 1):
                answer = await one.http.get(f"/api/v1/{path}", params={"after": after})
                assert answer.status_code in (200, 422), (path, after)
                assert answer.is_error or answer.json()["events"] == []


ENDLESS_OR_PLAIN = ("/metrics", "/api/v1/openapi.json", "/api/v1/stream")


def is_page(each: Endpoint) -> bool:
    """Whether it answers with something to look at."""
    return each.path.endswith(".html") or each.path.startswith(DECIDE)


async def everything(one: Api) -> list[tuple[str, str, Any]]:
    """One answer of every kind that is JSON: the template of its path, its method, and the document."""
    await one.start("sums", factor=3)
    broken = await one.start("broken")
    await one.start("line")
    await one.call(one.client.move_alias, "line", "production", 1, None)
    await one.daemon.writer.drained()
    asked = [
        ("/api/v1/events", "post", await one.post("/api/v1/events", cloudevent(), headers=STRUCTURED)),
        ("/hooks/{hook}", "post", await one.post("/hooks/plain", {})),
        ("/api/v1/runs/{run}/resume", "post", await one.post(f"/api/v1/runs/{broken}/resume")),
        ("/models/{model}/predict", "post", await one.post("/models/line/predict", {"x": [1]})),
        ("/api/v1/retention", "post", await one.post("/api/v1/retention", {"days": 1})),
        ("/api/v1/backfills/plan", "post", await one.post("/api/v1/backfills/plan", HOURS)),
        ("/api/v1/backfills", "post", await one.post("/api/v1/backfills", HOURS)),
    ]
    pages = {"run": "1", "event": "1", "pipeline": "sums", "model": "line", "alias": "production", "other": "2"}
    made = (await one.http.get("/api/v1/runs/1")).json()["stages"][0]["output"]["digest"]
    pages |= {"trigger": HOURS["trigger"], "backfill": "1", "digest": made, "version": "1"}
    for each in ENDPOINTS:
        if (
            each.method == "GET"
            and each.path not in ENDLESS_OR_PLAIN
            and not is_page(each)
            and not each.path.endswith("/content")
        ):
            template = each.path.replace(":path", "")
            asked.append((template, "get", await one.http.get(template.format(**pages))))
    assert [answer.text for *_, answer in asked if answer.status_code >= 300] == []
    return asked


async def test_answers_are_as_the_document_says(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(*PIPELINES, ticking)) as one:
        document = (await one.http.get("/api/v1/openapi.json")).json()
        for template, method, answer in await everything(one):
            told = document["paths"][template][method]["responses"][str(answer.status_code)]
            schema = told["content"]["application/json"]["schema"]
            jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())


async def test_what_is_not_there_or_not_taken_is_a_problem(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert "openapi.json" in problem(await one.http.get("/api/v1/nothing"), 404)
        problem(await one.http.get("/api/v1/runs/"), 404)
        refused = await one.http.delete("/api/v1/models/m/aliases/a")
        assert "GET, HEAD, PUT" in problem(refused, 405)
        assert refused.headers["allow"] == "GET, HEAD, PUT"
        problem(await one.http.get("/api/v1/runs?pipeline=%00"), 400)
        problem(await one.http.get("/api/v1/events/%00"), 400)
        assert (await one.http.head("/api/v1/runs")).status_code == 200


ticking = Pipeline("ticking", [add], on=[Every("1h"), Every("2h", enabled=False), Webhook("tick")])


async def test_triggers_tell_what_their_listeners_say_wherever_they_are(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=(ticking,)) as deaf:
        before = (await deaf.call(deaf.client.triggers))["triggers"]
        async with api(database, tmp_path, Role.API, Role.TRIGGERS, pipelines=(ticking,)) as one:
            await ready(one)
            own = (await one.call(one.client.triggers))["triggers"]
            # What listeners say of themselves is not announced: all one can do is look.
            async with asyncio.timeout(10):
                while (heard := (await deaf.call(deaf.client.triggers))["triggers"])[0]["state"] == "unheard":
                    await asyncio.sleep(0.05)
            gauges = (await one.http.get("/metrics")).text
    assert [(each["trigger"], each["state"]) for each in before] == [
        ("every:1h", "unheard"),
        ("every:2h", "disabled"),
        ("webhook:tick", "listening"),
    ]
    assert before[2]["address"] == "/hooks/tick"
    assert (own[0]["name"], own[0]["state"]) == ("ticking/every:1h", "listening")
    assert own[0]["next_due_at"] is not None
    assert heard[0]["state"] in ("starting", "listening")
    assert 'tidemill_trigger_listening{pipeline="ticking",trigger="every:1h",kind="every"} 1' in gauges


async def ready(one: Api) -> None:
    """Wait until its triggers listen."""
    async with asyncio.timeout(10):
        while not (await one.call(one.client.ready))["ready"]:
            await asyncio.sleep(0.01)
