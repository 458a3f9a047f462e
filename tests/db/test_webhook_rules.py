"""HTTP webhooks for CloudEvents (http-webhook.md): one test for each rule that binds who receives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.settings import Role
from tests.db.api import BATCH, STRUCTURED, Api, api, cloudevent
from tests.db.writing import rows

TOKEN = "the-api-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ORIGIN = {"WebHook-Request-Origin": "lake.example", "WebHook-Request-Rate": "100"}


@pytest.fixture
async def one(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API, api_token=TOKEN, event_origins=("lake.example",)) as made:
        yield made


async def test_what_is_accepted_and_not_processed_yet_is_202_and_a_payload_has_its_type(one: Api) -> None:
    """Section 2.2: no redirect; 202 for accepted; 200 with content for what is known; each with its Content-Type."""
    for status in (202, 200):
        answer = await one.post("/api/v1/events", cloudevent(), headers={**STRUCTURED, **BEARER})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"


async def test_a_format_that_is_not_understood_is_415(one: Api) -> None:
    """Section 2.2."""
    for content_type in ("application/cloudevents+avro", "application/cloudevents-batch+xml", "application/json"):
        answer = await one.post("/api/v1/events", cloudevent(), headers={"Content-Type": content_type, **BEARER})
        assert answer.status_code == 415


async def test_a_bearer_token_comes_in_a_header_or_in_the_address_and_nothing_else_does(one: Api) -> None:
    """Section 3: both MUST be supported; schemes that need a challenge first must not be used."""
    by_query = await one.post(f"/api/v1/events?access_token={TOKEN}", cloudevent("a"), headers=STRUCTURED)
    by_header = await one.post("/api/v1/events", cloudevent("b"), headers={**STRUCTURED, **BEARER})
    assert (by_query.status_code, by_header.status_code) == (202, 202)
    for headers, query in (({}, ""), ({"Authorization": "Digest x"}, ""), ({}, "?access_token=wrong")):
        refused = await one.post(f"/api/v1/events{query}", cloudevent("c"), headers={**STRUCTURED, **headers})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_consent_is_in_the_headers_if_and_only_if_it_is_given(one: Api) -> None:
    """Section 4.2: WebHook-Allowed-Origin and -Rate; the status is no consent; Allow names the methods."""

    async def ask(**headers: str) -> httpx.Response:
        return await one.http.options("/api/v1/events", headers={**BEARER, **headers})

    allowed = await ask(**ORIGIN)
    assert allowed.headers["webhook-allowed-origin"] == "lake.example"
    assert allowed.headers["webhook-allowed-rate"] == "*"
    assert "POST" in allowed.headers["allow"]
    for refused in (await ask(), await ask(**{**ORIGIN, "WebHook-Request-Origin": "elsewhere.example"})):
        assert not [name for name in refused.headers if name.startswith("webhook-")]
    called_back = await ask(**ORIGIN, **{"WebHook-Request-Callback": "http://127.0.0.1:1/"})
    assert called_back.headers["webhook-allowed-origin"] == "lake.example"


async def test_a_batch_is_taken_whole_or_not_and_tells_of_each(one: Api, database: str) -> None:
    bad = await one.post("/api/v1/events", [cloudevent("1"), cloudevent("2", source="")], headers={**BATCH, **BEARER})
    assert bad.status_code == 422
    assert await rows(database, "select from events") == []
    good = await one.post(
        "/api/v1/events", [cloudevent("1"), cloudevent("2"), cloudevent("1")], headers={**BATCH, **BEARER}
    )
    assert (good.status_code, [event["id"] for event in good.json()["events"]]) == (202, ["1", "2", "1"])
    empty = await one.post("/api/v1/events", [], headers={**BATCH, **BEARER})
    assert (empty.status_code < 300, empty.json()) == (True, {"events": []})


async def test_an_event_of_64_kib_is_taken(one: Api) -> None:
    """The size that every intermediary must forward (spec.md, section "Size Limits")."""
    answer = await one.post("/api/v1/events", cloudevent(data="x" * 65_536), headers={**STRUCTURED, **BEARER})
    assert answer.status_code == 202
