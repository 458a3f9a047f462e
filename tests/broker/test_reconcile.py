"""Kafka against the inbox: a record below the position without an event is found, told and accepted once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.app import Daemon
from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.broker.seam import access_to, produce
from tests.db.api import Api, api
from tests.db.writing import rows
from triggers.event import Event
from triggers.kafka import KafkaArrivals, KafkaBatches

ROLES = (Role.API, Role.TRIGGERS)


@stage
async def count(event: Event) -> int:
    return 1


async def accepted(daemon: Daemon, events: int) -> None:
    async with asyncio.timeout(60):
        while len(await rows(daemon.dsn, "select from events")) < events:
            await asyncio.sleep(0.05)


async def compared(one: Api, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/reconcile", more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def missing(found: dict[str, Any]) -> list[str]:
    return [lack["what"] for one in found["triggers"] for lack in one["lacks"] if not lack["expected"]]


async def lose(daemon: Daemon, where: str) -> None:
    await rows(daemon.dsn, f"delete from runs where event_key in (select key from events where {where})")
    await rows(daemon.dsn, f"delete from events where {where}")


@pytest.mark.rows_by_hand
async def test_records_without_an_event_are_found_and_made_up_for_once(
    kafka: str, topic: str, database: str, tmp_path: Path
) -> None:
    first, second = (Pipeline(name, [count], on=[KafkaArrivals(topic)]) for name in ("first", "second"))
    await produce(kafka, topic, [b'{"n": %d}' % number for number in range(8)])
    async with api(database, tmp_path, *ROLES, pipelines=(first, second), kafka=access_to(kafka)) as one:
        await accepted(one.daemon, 8)
        clean = await compared(one)
        assert (clean["differences"], [shape["error"] for shape in clean["triggers"]]) == (0, ["", ""])
        assert [shape["checked"] for shape in clean["triggers"]] == [8, 8]
        assert f"{topic}/0: at 8 of 8, lag 0" in clean["triggers"][0]["notes"]

        await lose(one.daemon, "id in ('0/2', '0/5')")
        name = f"first/kafka:{topic}"
        found = await compared(one, trigger=name)
        assert missing(found) == [f"record 2 of {topic}/0", f"record 5 of {topic}/0"]
        assert len(await rows(database, "select from events")) == 6

        repaired = await compared(one, trigger=name, repair=True)
        assert (repaired["differences"], repaired["repaired"]) == (2, 2)
        assert len(await rows(database, "select from events")) == 8
        assert len(await rows(database, "select from runs")) == 16, "every pipeline of the topic has its run"
        assert (await compared(one))["differences"] == 0


@pytest.mark.rows_by_hand
async def test_what_is_made_up_for_has_the_marks_of_all_who_hear_it(
    kafka: str, topic: str, database: str, tmp_path: Path
) -> None:
    first = Pipeline("first", [count], on=[KafkaArrivals(topic)])
    second = Pipeline("second", [count], on=[KafkaArrivals(topic, secrets=["data.token"])])
    await produce(kafka, topic, [b'{"token": "canary"}', b'{"token": %s}' % (b"7" * 30)])
    async with api(database, tmp_path, *ROLES, pipelines=(first, second), kafka=access_to(kafka)) as one:
        await accepted(one.daemon, 2)
        before = await everything_told(one, database)
        await lose(one.daemon, "true")
        assert (await compared(one, trigger=f"first/kafka:{topic}", repair=True))["repaired"] == 2
        assert await everything_told(one, database) == before
    assert [event["cloudevent"]["data"] for event in before] == [{"token": "***"}, "***"]
    assert {each["reason"] for each in before[1]["outcomes"]} == {
        "not JSON: what is wrong with it is not told, for it holds secrets"
    }


async def everything_told(one: Api, dsn: str) -> list[dict[str, Any]]:
    """What is shown of each event, but for the runs that it has."""
    keys = [row["key"] for row in await rows(dsn, "select key::text from events order by id")]
    found = [(await one.http.get(f"/api/v1/events/{key}")).json() for key in keys]
    for event in found:
        for outcome in event["outcomes"]:
            outcome["run"] = None
    return [{"cloudevent": event["cloudevent"], "outcomes": event["outcomes"]} for event in found]


async def test_positions_that_the_broker_knows_nothing_of_are_told(
    kafka: str, topic: str, database: str, tmp_path: Path
) -> None:
    reads = Pipeline("reads", [count], on=[KafkaArrivals(topic)])
    await produce(kafka, topic, [b"1"])
    async with api(database, tmp_path, *ROLES, pipelines=(reads,), kafka=access_to(kafka)) as one:
        await accepted(one.daemon, 1)
        found = "select scope from positions where key = $1 and scope not like '%:begun'"
        [row] = await rows(database, found, f"{topic}/0")
        await rows(
            database, "update positions set value = '99' where scope = $1 and key = $2", row["scope"], f"{topic}/0"
        )
        gone = "insert into positions (scope, key, value) values ($1, $2, '7')"
        await rows(database, gone, row["scope"], f"{topic}/77")
        found = await compared(one)
        whys = {lack["what"]: lack["why"] for lack in found["triggers"][0]["lacks"]}
        assert "the broker's partition ends at 1" in whys[f"partition {topic}/0"]
        assert "the broker has it no more" in whys[f"partition {topic}/77"]
        assert found["differences"] == 2


@pytest.mark.rows_by_hand
async def test_records_in_no_batch_are_found(kafka: str, topic: str, database: str, tmp_path: Path) -> None:
    batched = Pipeline("batched", [count], on=[KafkaBatches(topic, max_records=2, max_wait_s=0.2)])
    await produce(kafka, topic, [b'{"n": %d}' % number for number in range(6)])
    async with api(database, tmp_path, *ROLES, pipelines=(batched,), kafka=access_to(kafka)) as one:
        await accepted(one.daemon, 3)
        assert (await compared(one))["differences"] == 0
        await lose(one.daemon, "id like '%/2-3'")
        assert missing(await compared(one)) == [f"record 2 of {topic}/0", f"record 3 of {topic}/0"]


async def test_a_broker_that_is_away_is_an_error_of_its_trigger(database: str, tmp_path: Path) -> None:
    reads = Pipeline("reads", [count], on=[KafkaArrivals("nowhere")])
    async with api(database, tmp_path, Role.API, pipelines=(reads,), kafka=access_to("127.0.0.1:9")) as one:
        [shape] = (await compared(one))["triggers"]
        assert "127.0.0.1:9" in shape["error"]
        assert shape["checked"] == 0


async def test_what_retention_took_is_no_difference_and_a_younger_loss_is(
    kafka: str, topic: str, database: str, tmp_path: Path
) -> None:
    reads = Pipeline("reads", [count], on=[KafkaArrivals(topic, where={"data.n": 1})])
    await produce(kafka, topic, [b"not json", b'{"n": 0}'])
    async with api(database, tmp_path, *ROLES, pipelines=(reads,), kafka=access_to(kafka)) as one:
        await accepted(one.daemon, 2)
        before = await one.post("/api/v1/retention", {"dry_run": False, "events_days": 0})
        assert before.json()["events"] == 2, before.text
        found = await compared(one)
        assert (found["differences"], missing(found)) == (0, [])
        assert {lack["what"] for lack in found["triggers"][0]["lacks"]} == {f"record {n} of {topic}/0" for n in (0, 1)}
        assert (await compared(one, repair=True))["repaired"] == 0
        await rows(database, "update events_removed set until = until - interval '1 hour'")
        assert missing(await compared(one)) == [f"record {n} of {topic}/0" for n in (0, 1)]
