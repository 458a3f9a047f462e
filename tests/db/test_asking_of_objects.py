"""Buckets asked about: which objects have no event and why, and the event that one of them would be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from stages import Pipeline
from tests.contract.s3_server import Bucket, serving
from tests.db.api import Api, add, api, problem
from tests.db.writing import rows
from triggers import ObjectNotices, Objects, ObjectTopic
from triggers.errors import InvalidEvent
from triggers.event import event_key, utc_now
from triggers.firing import Firing, fire

KEYS = {"access_key_id": "k", "secret_access_key": "s"}
OBJECTS, FOLDERS = "kept/single", "kept/whole"


@pytest.fixture
def bucket() -> Any:
    with serving(Bucket()) as one:
        yield one


@pytest.fixture
async def mill(bucket: Bucket, database: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A daemon that lists nothing."""
    reach: dict[str, Any] = {"endpoint": bucket.url, "region": "eu-west-1", "options": KEYS}
    single = Objects("s3://bucket/in/*.csv", name="single", complete="marker", **reach)
    whole = Objects("s3://bucket/dt=*/", name="whole", complete="marker", **reach)
    hook = ObjectNotices("hook", url="s3://bucket/in/*.csv", name="hook")
    pipelines = (Pipeline("kept", [add], on=[single, whole, hook]),)
    async with api(database, tmp_path, Role.API, pipelines=pipelines) as one:
        async with asyncio.timeout(20):
            while not await rows(database, "select from pipelines"):
                await asyncio.sleep(0.01)
        yield one


async def compared(one: Api, trigger: str, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/reconcile", {"trigger": trigger, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["triggers"][0]
    return found


def old(bucket: Bucket, key: str, content: bytes = b"x") -> None:
    """Put an object that lies there for hours."""
    bucket.put(key, content).at -= timedelta(hours=3)


async def test_objects_without_an_event_are_told_and_made_up_for_once(bucket: Bucket, mill: Api) -> None:
    old(bucket, "in/a.csv")
    old(bucket, "in/b.csv", b"b")
    bucket.put("in/new.csv", b"new")
    old(bucket, "elsewhere.csv")
    waiting = await compared(mill, OBJECTS)
    assert (waiting["checked"], waiting["differences"]) == (3, 0)
    assert {lack["why"][:12] for lack in waiting["lacks"]} == {"not complete"}
    old(bucket, "in/_SUCCESS")
    etag = bucket.objects["in/b.csv"].etag
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "bucket"}, "object": {"key": "in/b.csv"}}}
    record["s3"]["object"]["eTag"] = etag  # type: ignore[index]
    assert (await mill.post("/hooks/hook", {"Records": [record]})).status_code == 202
    found = await compared(mill, OBJECTS, repair=True)
    lacks = {lack["what"]: lack for lack in found["lacks"]}
    assert set(lacks) == {"object s3://bucket/in/a.csv", "object s3://bucket/in/new.csv"}
    assert "not seen: does a daemon with the role triggers list it?" in lacks["object s3://bucket/in/a.csv"]["why"]
    assert lacks["object s3://bucket/in/new.csv"]["expected"]
    key = event_key("s3://bucket", f"in/a.csv@{bucket.objects['in/a.csv'].etag}")
    assert lacks["object s3://bucket/in/a.csv"]["event"] == str(key)
    assert (await compared(mill, OBJECTS))["differences"] == 0
    assert len(await rows(mill.daemon.dsn, "select from runs")) == 2


async def test_folders_without_an_event_are_told_too(bucket: Bucket, mill: Api) -> None:
    for key in ("dt=1/a.csv", "dt=1/_SUCCESS", "dt=2/a.csv"):
        old(bucket, key)
    found = await compared(mill, FOLDERS)
    lacks = {lack["what"]: lack["expected"] for lack in found["lacks"]}
    assert lacks == {"object s3://bucket/dt=1/": False, "folder s3://bucket/dt=2/": True}


async def test_a_bucket_that_cannot_be_listed_is_told(bucket: Bucket, mill: Api) -> None:
    bucket.failing = (403, "AccessDenied")
    assert "may not list" in (await compared(mill, OBJECTS))["error"]


async def test_an_object_is_fired_by_its_address_or_key(bucket: Bucket, mill: Api) -> None:
    made = bucket.put("in/a.csv")
    for number, path in enumerate(("in/a.csv", "s3://bucket/in/a.csv")):
        answer = await mill.post("/api/v1/fire", {"name": OBJECTS, "path": path, "by": "kim"})
        assert answer.status_code == 202, answer.text
        assert len(await rows(mill.daemon.dsn, "select from runs")) == number + 1
    [row, _] = await rows(mill.daemon.dsn, "select subject, convert_from(envelope, 'utf8')::json as e from events")
    assert row["subject"] == "in/a.csv"
    assert made.etag in row["e"]
    bucket.put("dt=1/a.csv")
    assert (await mill.post("/api/v1/fire", {"name": FOLDERS, "path": "dt=1/", "by": "kim"})).status_code == 202
    for path, told in (
        ("in/gone.csv", "there is no object"),
        ("a.csv", "is not like"),
        (None, "say which, with --path"),
    ):
        refused = await mill.post("/api/v1/fire", {"name": OBJECTS, "path": path, "by": "kim"})
        assert told in problem(refused, 422)


async def test_a_notification_of_a_topic_is_fired_as_what_it_tells_of(tmp_path: Path) -> None:
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "k", "eTag": "e"}}}
    firing = Firing("kept", utc_now(), tmp_path, payload=json.dumps({"Records": [record]}))
    fired = await fire(ObjectTopic("topic"), firing, "1", "kim")
    assert (fired.event.source, fired.event.id, fired.event.data["key"]) == ("s3://b", "fired/1", "k")
    several = replace(firing, payload=json.dumps({"Records": [record, record]}))
    with pytest.raises(InvalidEvent, match="2 objects"):
        await fire(ObjectTopic("topic"), several, "1", "kim")
