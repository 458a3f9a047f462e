"""Deliveries read as the CloudEvents of their adapters, over HTTP: one run each, found again as those of their hook."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from stages import Pipeline
from tests.db.api import SECRET, Api, add, api
from tests.db.writing import rows
from triggers import AsCloudEvent, CloudEvents, GitHub, Webhook

REPO = "https://api.github.com/repos/acme/ml"
PUSH = {"ref": "refs/heads/main", "repository": {"url": REPO, "full_name": "acme/ml"}}
ISSUE = {"action": "opened", "issue": {"number": 7}, "repository": {"url": REPO}}
pushed = Pipeline(
    "pushed",
    [add],
    on=[Webhook("ci", verify=GitHub(SECRET), read=AsCloudEvent(), where={"type": {"prefix": "com.github.push"}})],
)
elsewhere = Pipeline("elsewhere", [add], on=[Webhook("org", verify=GitHub(SECRET), read=AsCloudEvent())])
posted = Pipeline("posted", [add], on=[CloudEvents(where={"type": {"prefix": "com.github."}})])


@pytest.fixture
async def mill(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API, pipelines=(pushed, elsewhere, posted)) as one:
        yield one


async def deliver(one: Api, guid: str, payload: Any = PUSH, event: str = "push", hook: str = "ci") -> tuple[int, Any]:
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": guid}
    answer = await one.http.post(f"/hooks/{hook}", content=body, headers={**headers, "X-Hub-Signature-256": signature})
    return answer.status_code, answer.json()


async def test_a_delivery_is_one_run_under_the_name_of_its_repository(mill: Api) -> None:
    status, told = await deliver(mill, "a")
    assert (status, told["events"][0]["source"], told["events"][0]["fate"]) == (202, REPO, "ran")
    assert (await deliver(mill, "a"))[0] == 200
    assert (await deliver(mill, "b", ISSUE, "issues"))[1]["events"][0]["fate"] == "ignored"
    [run] = await rows(mill.daemon.dsn, "select pipeline, trigger from runs")
    assert tuple(run) == ("pushed", "webhook:ci")


async def test_what_two_hooks_tell_is_one_event_for_the_pipelines_of_both(mill: Api) -> None:
    """GitHub gives an event one id for every hook that hears of it."""
    for hook in ("ci", "org", "org", "ci"):
        await deliver(mill, "a", hook=hook)
    found = await rows(mill.daemon.dsn, "select pipeline, event_key from runs order by pipeline")
    assert [row["pipeline"] for row in found] == ["elsewhere", "pushed"]
    assert len({row["event_key"] for row in found}) == 1


async def test_what_came_by_the_hook_is_known_as_its_delivery(mill: Api) -> None:
    """`tidemill reconcile HOOK --deliveries` asks by the source of the hook."""
    await deliver(mill, "a")
    for source, ids in (("tidemill:hooks/ci", ["a"]), ("tidemill:hooks/other", []), (REPO, ["a"]), ("/x", [])):
        assert (await mill.call(mill.client.known, source, ["b", "a"]))["known"] == ids


async def test_deliveries_whose_ids_begin_alike_are_told_apart(mill: Api) -> None:
    """The index keeps but the start of an id."""
    heard, other = ("guid" * 60 + end for end in "ab")
    await deliver(mill, heard)
    assert (await mill.call(mill.client.known, "tidemill:hooks/ci", [other, heard]))["known"] == [heard]


async def test_explaining_it_asks_who_listens_to_the_hook(mill: Api) -> None:
    _, told = await deliver(mill, "a")
    found = (await mill.post("/api/v1/explain", {"event": told["events"][0]["key"]})).json()
    assert "webhook:ci" in json.dumps(found["route"])
