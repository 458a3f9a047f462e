"""What is asked about is said exactly: keys and headers of records, and which of several events of one id."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api, problem
from tests.db.asking import NO_BROKER, tidemill
from triggers.cloudevents import CloudEvents
from triggers.event import HEADERS, Event
from triggers.kafka import KafkaArrivals


@stage
async def read(event: Event) -> str:
    return event.id


PIPELINES = (
    Pipeline("keyed", [read], on=[KafkaArrivals("data.keyed", where={"kafkakey": "k1"})]),
    Pipeline("heard", [read], on=[CloudEvents(where={"type": "twice"})]),
)
KEYED = "kafka:data.keyed"


@pytest.fixture
async def asked(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES, kafka=NO_BROKER) as one:
        yield one


async def twice(one: Api) -> dict[str, str]:
    """The same id from two sources: their keys."""
    found = {}
    for source in ("/a", "/b"):
        event = {"specversion": "1.0", "id": "same", "source": source, "type": "twice"}
        answer = await one.http.post("/api/v1/events", json=event, headers=STRUCTURED)
        found[source] = answer.json()["events"][0]["key"]
    return found


async def test_a_record_is_explained_and_fired_with_its_key_and_headers(asked: Api) -> None:
    body: dict[str, Any] = {"payload": "{}", "as": KEYED, "record_key": "k1", "headers": {"tenant": "north"}}
    found = (await asked.post("/api/v1/explain", body)).json()
    assert [one["pipeline"] for one in found["runs"]] == ["keyed"]
    assert json.loads(found["cloudevent"][HEADERS]) == {"tenant": "north"}
    assert (await asked.post("/api/v1/explain", {**body, "record_key": "k2"})).json()["runs"] == []
    fired = await asked.post("/api/v1/fire", {"name": f"keyed/{KEYED}", "payload": "{}", "record_key": "k1"})
    assert fired.json()["events"][0]["fate"] == "ran", fired.text
    assert fired.json()["cloudevent"]["subject"] == "k1"


async def test_another_key_is_another_event(asked: Api) -> None:
    body = {"name": f"keyed/{KEYED}", "payload": "{}", "record_key": "k1", "id": "once"}
    assert (await asked.post("/api/v1/fire", body)).status_code == 202
    assert (await asked.post("/api/v1/fire", body)).status_code == 200
    assert "was used before" in problem(await asked.post("/api/v1/fire", {**body, "record_key": "k2"}), 422)


async def test_what_has_no_key_or_headers_is_given_none(asked: Api) -> None:
    event = json.dumps({"specversion": "1.0", "id": "1", "source": "/a", "type": "twice"})
    for more in ({"headers": {"a": "b"}}, {"record_key": "k1"}):
        told = problem(await asked.post("/api/v1/explain", {"payload": event, **more}), 422)
        assert "belong to a Kafka record" in told
        told = problem(await asked.post("/api/v1/fire", {"name": "heard/cloudevents", "payload": "{}", **more}), 422)
        assert "only Kafka records" in told


async def test_the_command_line_takes_a_key(asked: Api) -> None:
    code, out, err = await tidemill(asked, "fire", f"keyed/{KEYED}", "--data", "{}", "--key", "k1", "--header", "a:b")
    assert (code, "fired: run" in out) == (0, True), err
    code, out, err = await tidemill(asked, "explain", "-", "--as", KEYED, "--key", "k1", "--json", given="{}")
    assert len(json.loads(out)["runs"]) == 1, err


async def test_an_id_of_several_events_is_not_guessed(asked: Api) -> None:
    keys = await twice(asked)
    for path in ("explain", "replays"):
        told = problem(await asked.post(f"/api/v1/{path}", {"event": "same"}), 409)
        assert all(f"{key} of {source}" in told for source, key in keys.items())
    found = (await asked.post("/api/v1/explain", {"event": keys["/a"]})).json()
    assert (found["cloudevent"]["source"], found["known"]) == ("/a", True)
    replay = await asked.post("/api/v1/replays", {"event": keys["/a"]})
    assert replay.json()["of_event"] == keys["/a"]
    assert (await asked.call(asked.client.event, "same"))["others"]
