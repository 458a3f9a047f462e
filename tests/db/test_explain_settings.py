"""Explaining an event where pauses, shared runs, limited rates and ages have their say: as it would be this moment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api
from tests.db.asking import everything
from triggers.cloudevents import CloudEvents
from triggers.coalesce import Latest
from triggers.event import Event
from triggers.rate import RateLimit


@stage
async def count(event: Event) -> int:
    return 1


shared = Pipeline("shared", [count], on=[CloudEvents(where={"type": "s"}, coalesce=Latest(600, 3600), name="s")])
rated = Pipeline("rated", [count], on=[CloudEvents(where={"type": "r"}, rate_limit=RateLimit(1, 600), name="r")])
plain = Pipeline("plain", [count], on=[CloudEvents(where={"type": "p"}, name="p")])
aged = Pipeline("aged", [count], on=[CloudEvents(where={"type": "a"}, missed="none", max_age_s=60, name="a")])
PIPELINES = (shared, rated, plain, aged)


@pytest.fixture
async def asked(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES) as one:
        yield one


def event(event_id: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": event_id, "source": "/s", "type": kind, **more}


async def foretold(one: Api, given: dict[str, Any]) -> tuple[str, str]:
    """The fate and its reason that are foretold of an event, which are then what really becomes of it."""
    before = await everything(one.daemon)
    answer = await one.post("/api/v1/explain", {"payload": json.dumps(given)})
    assert answer.status_code == 200, answer.text
    assert await everything(one.daemon) == before
    [verdict] = [it for it in answer.json()["triggers"] if it["reached"] and it["trigger"] == given["type"]]
    sent = await one.http.post("/api/v1/events", json=given, headers=STRUCTURED)
    [outcome] = [it for it in sent.json()["events"][0]["outcomes"] if it["trigger"] == given["type"]]
    assert outcome["fate"] == verdict["fate"]
    return verdict["fate"], verdict["reason"] or next((it["told"] for it in answer.json()["runs"]), "")


async def test_an_event_that_would_share_a_run_says_which(asked: Api) -> None:
    assert await foretold(asked, event("1", "s")) == (
        "ran",
        "it would gather until nothing came for 600 s, for 3600 s at the most",
    )
    fate, reason = await foretold(asked, event("2", "s"))
    assert (fate, reason.split(" and is due")[0]) == ("coalesced", "it would join run 1, which holds 1 event")
    assert "which holds 2 events" in (await foretold(asked, event("3", "s")))[1]


async def test_an_event_too_many_is_foretold(asked: Api) -> None:
    assert (await foretold(asked, event("1", "r")))[0] == "ran"
    fate, reason = await foretold(asked, event("2", "r"))
    assert (fate, reason) == ("rate-limited", "this trigger starts at most 1 run in 600 s (rate_limit)")


async def test_a_paused_trigger_is_foretold(asked: Api) -> None:
    paused = await asked.post("/api/v1/pauses", {"what": "plain/p", "by": "kim", "reason": "backfill"})
    assert paused.status_code in (200, 201, 202), paused.text
    assert await foretold(asked, event("1", "p")) == ("paused", "this trigger was paused by kim: backfill")


async def test_an_event_that_is_too_old_is_foretold(asked: Api) -> None:
    old = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    fate, reason = await foretold(asked, event("1", "a", time=old))
    assert (fate, "max_age_s is 60" in reason) == ("late", True)
    assert (await foretold(asked, event("2", "a")))[0] == "ran"
