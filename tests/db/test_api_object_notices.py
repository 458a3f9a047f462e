"""Object stores that tell of their objects over HTTP: one run for each object, whoever told of it and however often."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.settings import Role
from stages import Pipeline
from tests.contract.s3_server import Bucket, serving
from tests.db.api import JSON, add, api, problem
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers import Bearer, ObjectNotices, Objects, Webhook
from triggers.base import Binding
from triggers.errors import InvalidTrigger
from triggers.webhook import hooks

MINIO = {**JSON, "Authorization": "Bearer t"}


def s3(*objects: tuple[str, str], name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """A notification of objects, by key and etag."""
    return {
        "Records": [
            {"eventName": name, "s3": {"bucket": {"name": "bucket"}, "object": {"key": key, "eTag": etag}}}
            for key, etag in objects
        ]
    }


async def test_a_message_of_several_objects_starts_a_run_for_each_that_is_listened_for(
    database: str, tmp_path: Path
) -> None:
    hook = ObjectNotices("minio", url="s3://bucket/landing/**/*.csv", verify=Bearer("t"))
    async with api(database, tmp_path, Role.API, pipelines=(Pipeline("one", [add], on=[hook]),)) as one:
        payload = s3(("landing/a.csv", "1"), ("landing/x/b%2Bc.csv", "2"), ("elsewhere/c.csv", "3"), ("%FF", "4"))
        answer = await one.post("/hooks/minio", payload, headers=MINIO)
        again = await one.post("/hooks/minio", payload, headers=MINIO)
        gone = await one.post("/hooks/minio", s3(("landing/a.csv", "1"), name="ObjectRemoved:Delete"), headers=MINIO)
        unsigned = await one.post("/hooks/minio", payload)
        strange = await one.post("/hooks/minio", {"hello": 1}, headers=MINIO)
        test = await one.post("/hooks/minio", {"Event": "s3:TestEvent", "Bucket": "bucket"}, headers=MINIO)
    assert (answer.status_code, again.status_code, test.status_code) == (202, 200, 204)
    assert answer.json() == {"events": [event | {"first": True} for event in again.json()["events"]]}
    told = answer.json()["events"]
    assert [event["fate"] for event in told] == ["ran", "ran", "ignored", "dead"]
    assert told[2]["reason"] == "filter: s3://bucket/elsewhere/c.csv is not like s3://bucket/landing/**/*.csv"
    assert "is not UTF-8" in told[3]["reason"]
    [removed] = gone.json()["events"]
    assert (removed["fate"], removed["reason"][:31]) == ("ignored", "filter: the object was removed:")
    problem(unsigned, 401)
    assert "no notification of an object store" in problem(strange, 422)
    assert len(await rows(database, "select from runs")) == 2


async def test_removals_start_runs_where_they_are_asked_for(database: str, tmp_path: Path) -> None:
    hook = ObjectNotices("minio", changes=["removed"])
    async with api(database, tmp_path, Role.API, pipelines=(Pipeline("one", [add], on=[hook]),)) as one:
        made = await one.post("/hooks/minio", s3(("a.csv", "1")))
        gone = await one.post("/hooks/minio", s3(("a.csv", "1"), name="s3:ObjectRemoved:Delete"))
    fates = [answer.json()["events"][0]["fate"] for answer in (made, gone)]
    assert fates == ["ignored", "ran"]


async def test_an_object_that_is_both_listed_and_told_of_is_one_run(database: str, tmp_path: Path) -> None:
    with serving(Bucket()) as bucket:
        made = bucket.put("landing/a b.csv")
        listed = Objects(
            "s3://bucket/landing/*.csv",
            endpoint=bucket.url,
            region="eu-west-1",
            options={"access_key_id": "k", "secret_access_key": "s"},
            poll_s=0.05,
        )
        hook = ObjectNotices("minio", url="s3://bucket/landing/*.csv")
        pipelines = (Pipeline("one", [add], on=[listed, hook]),)
        async with api(database, tmp_path, *Role, pipelines=pipelines) as one:
            async with asyncio.timeout(20):
                while not await rows(database, "select from runs"):
                    await asyncio.sleep(0.02)
            await reached(one.daemon, 1)
            answer = await one.post("/hooks/minio", s3(("landing/a+b.csv", made.etag)))
            [event] = answer.json()["events"]
            assert (answer.status_code, event["runs"]) == (200, [1])
            other = bucket.put("landing/c.csv", b"c")
            told = await one.post("/hooks/minio", s3(("landing/c.csv", other.etag)))
            run_id = told.json()["events"][0]["runs"][0]
            await reached(one.daemon, run_id)
            before = len(bucket.lists)
            while len(bucket.lists) < before + 3:
                await one.http.get("/livez")
    assert len(await rows(database, "select from runs")) == len(await rows(database, "select from events")) == 2


async def say_of_itself(database: str, daemon: int, binding: str, state: str) -> None:
    """As if the daemon had not got round yet to writing down anything newer."""
    status = {"binding": binding, "kind": "objects", "state": state, "note": ""}
    put = """
        insert into trigger_statuses (daemon, binding, status) values ($1, $2, $3)
        on conflict (daemon, binding) do update set status = excluded.status
    """
    await rows(database, put, daemon, binding, orjson.dumps(status))


async def test_a_bucket_that_cannot_be_listed_is_told_where_people_look(database: str, tmp_path: Path) -> None:
    with serving(Bucket()) as bucket:
        bucket.failing = (403, "AccessDenied")
        keys = {"access_key_id": "k", "secret_access_key": "s"}
        listed = Objects("s3://bucket/*.csv", endpoint=bucket.url, region="eu-west-1", options=keys, poll_s=0.05)
        name = f"one/{listed.name}"
        async with api(database, tmp_path, *Role, pipelines=(Pipeline("one", [add], on=[listed]),)) as one:

            async def told(state: str) -> str:
                async with asyncio.timeout(20):
                    while not (found := (await one.http.get("/readyz")).json()["triggers"][name]).startswith(state):
                        await asyncio.sleep(0.02)
                return str(found)

            assert "retrying: s3://bucket: the credentials may not list" in await told("retrying")
            await say_of_itself(database, one.daemon.writer.daemon, name, "starting")
            [shown] = [
                row for row in (await one.http.get("/api/v1/triggers")).json()["triggers"] if row["kind"] == "objects"
            ]
            assert (shown["state"], "may not list" in shown["note"]) == ("retrying", True)
            bucket.failing = None
            assert await told("listening") == "listening"


async def test_event_grid_validates_in_both_of_its_schemas(database: str, tmp_path: Path) -> None:
    hook = ObjectNotices("grid", verify=Bearer("t"), origins=["eventgrid.azure.net"])
    asked = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d38b6"}}]
    url = "https://acc.blob.core.windows.net/box/a.csv"
    blob = {"api": "PutBlob", "url": url, "eTag": "0x8D"}
    grid = [{"eventType": "Microsoft.Storage.BlobCreated", "data": blob}]
    cloud = {"specversion": "1.0", "type": "Microsoft.Storage.BlobCreated", "data": blob}
    async with api(database, tmp_path, Role.API, pipelines=(Pipeline("one", [add], on=[hook]),)) as one:
        code = await one.post("/hooks/grid?access_token=t", asked)
        origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}
        consent = await one.http.options("/hooks/grid?access_token=t", headers=origin)
        answers = [await one.post("/hooks/grid?access_token=t", payload) for payload in (grid, cloud)]
    assert (code.status_code, code.json()) == (200, {"validationResponse": "512d38b6"})
    assert consent.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert [answer.status_code for answer in answers] == [202, 200]
    assert len(await rows(database, "select from runs")) == 1


def test_who_shares_a_hook_must_agree_how_it_is_read() -> None:
    shared = [Binding("one", ObjectNotices("h", url="s3://a/*")), Binding("two", ObjectNotices("h", url="s3://b/*"))]
    assert hooks(shared) == {"h": shared}
    with pytest.raises(InvalidTrigger, match="hook h"):
        hooks([*shared, Binding("three", Webhook("h"))])
