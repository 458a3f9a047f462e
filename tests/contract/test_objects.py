"""What `Objects` promises, against a server that speaks S3: each complete object is one event, whoever tells of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.contract.file_world import PATIENCE_S, ListenerWorld
from tests.contract.s3_server import Bucket, serving
from triggers.base import Binding, ListenerState
from triggers.event import Event
from triggers.objects import Objects
from triggers.objects.event import event_of
from triggers.objects.listener import ObjectsListener
from triggers.objects.notices import read
from triggers.objects.reading import ObjectChanged, fetch_object

KEYS = {"access_key_id": "k", "secret_access_key": "s"}


class World(ListenerWorld):
    """A bucket, and listeners for its objects."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(Path("/"), ObjectsListener)
        self.bucket = bucket

    def objects(self, keys: str = "landing/**/*.csv", **settings: Any) -> Objects:
        """A trigger for keys of the bucket."""
        settings = {"poll_s": 0.05, "endpoint": self.bucket.url, "region": "eu-west-1", "options": KEYS} | settings
        return Objects(f"s3://bucket/{keys}", **settings)

    async def keys(self, count: int, pipeline: str = "p") -> list[str]:
        """The keys of a pipeline's runs, once there are `count`."""

        def keys() -> list[str]:
            return sorted(event.data["key"] for (_, name), event in self.inbox.runs.items() if name == pipeline)

        await self.inbox.until(lambda: len(keys()) >= count)
        return keys()

    async def looked(self, times: int = 2) -> None:
        """Wait until the bucket was listed so many times more."""
        before = len(self.bucket.lists)
        async with asyncio.timeout(PATIENCE_S):
            while len(self.bucket.lists) < before + times:
                await asyncio.sleep(0.01)


@pytest.fixture
def world() -> Iterator[World]:
    with serving(Bucket()) as bucket:
        yield World(bucket)


def notified(key: str, etag: str) -> Event:
    """The event of S3's notification of an object."""
    about = {"bucket": {"name": "bucket"}, "object": {"key": key, "eTag": etag, "size": 1, "versionId": "v9"}}
    payload = {"Records": [{"eventName": "ObjectCreated:Put", "s3": about}]}
    [change] = read(payload, {}, datetime.now(UTC)).objects
    return event_of(change)


async def test_what_is_there_and_what_comes_is_one_event_each_also_over_restarts(world: World) -> None:
    for number in range(5):
        world.bucket.put(f"landing/{number}/a.csv", b"%d" % number)
    world.bucket.put("landing/a.txt")
    world.bucket.put("elsewhere/a.csv")
    for start in range(3):
        async with world.listening(world.objects()) as inbox:
            world.bucket.put(f"landing/new-{start}.csv", b"%d" % start)
            await world.keys(6 + start)
            await world.looked()
    assert len(inbox.told) == len(set(inbox.told)) == 8
    event = inbox.events[f"landing/3/a.csv@{hashlib.md5(b'3').hexdigest()}"]
    assert (event.source, event.subject) == ("s3://bucket", "landing/3/a.csv")
    assert event.data["url"] == "s3://bucket/landing/3/a.csv"
    assert event.data["size_bytes"] == 1


async def test_other_content_under_a_key_is_another_event_and_the_same_content_is_not(world: World) -> None:
    world.bucket.put("landing/a.csv", b"one")
    async with world.listening(world.objects()) as inbox:
        await world.keys(1)
        world.bucket.put("landing/a.csv", b"one")
        await world.looked()
        assert len(inbox.told) == 1
        world.bucket.put("landing/a.csv", b"two")
        await world.keys(2)


async def test_a_listing_and_a_notification_make_the_same_event(world: World) -> None:
    odd = "landing/a+b é%.csv"
    made = world.bucket.put(odd)
    async with world.listening(world.objects()) as inbox:
        await world.keys(1)
    [event] = inbox.events.values()
    assert event.key == notified("landing/a%2Bb+%C3%A9%25.csv", made.etag).key


async def test_gcs_is_known_by_its_generation_by_a_listing_as_by_a_notification(world: World) -> None:
    made = world.bucket.put("landing/a.csv", b"one")
    trigger = Objects(
        "gs://bucket/landing/*.csv", endpoint=world.bucket.url, options={"skip_signature": "true"}, poll_s=0.05
    )
    async with world.listening(trigger) as inbox:
        await world.keys(1)
        await world.looked()
        assert world.bucket.heads == ["landing/a.csv"], "only what is new is asked for"
        world.bucket.put("landing/a.csv", b"two")
        await world.keys(2)
    about = {"eventType": "OBJECT_FINALIZE", "bucketId": "bucket", "objectId": "landing/a.csv"}
    pushed = {"message": {"attributes": about | {"objectGeneration": str(made.version)}}}
    [change] = read(pushed, {}, datetime.now(UTC)).objects
    first = min(inbox.events.values(), key=lambda event: event.time)
    assert first.key == event_of(change).key
    assert await asyncio.to_thread(trigger.read, first) == b"one", "GCS keeps what was overwritten, by its generation"


async def test_azure_is_known_by_its_account_and_etag_by_a_listing_as_by_a_notification(world: World) -> None:
    made = world.bucket.put("landing/a b.csv")
    options = {"account_name": "acc", "skip_signature": "true"}
    trigger = Objects("az://bucket/landing/*.csv", endpoint=world.bucket.url, options=options, poll_s=0.05)
    async with world.listening(trigger) as inbox:
        await world.keys(1)
    url = "https://acc.blob.core.windows.net/bucket/landing/a%20b.csv"
    data = {"api": "PutBlob", "url": url, "eTag": made.etag, "contentLength": 1}
    [change] = read([{"eventType": "Microsoft.Storage.BlobCreated", "data": data}], {}, datetime.now(UTC)).objects
    [event] = inbox.events.values()
    assert (event.key, event.data["url"]) == (event_of(change).key, url)
    assert await asyncio.to_thread(trigger.read, event) == b"x"


async def test_files_and_memory_are_listed_too(world: World, tmp_path: Path) -> None:
    from obstore import put

    from triggers.objects.access import memory

    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_bytes(b"file")
    put(memory("here"), "in/a.csv", b"memory")
    local = Objects(f"file://{tmp_path}/in/*.csv", poll_s=0.05)
    kept = Objects("memory://here/in/*.csv", poll_s=0.05)
    async with world.listening(local, kept) as inbox:
        await inbox.until(lambda: len(inbox.runs) == 2)
    contents = {event.source: (local if event.source == "file://" else kept, event) for event in inbox.events.values()}
    read_of = {source: await asyncio.to_thread(trigger.read, event) for source, (trigger, event) in contents.items()}
    assert read_of == {"file://": b"file", "memory://here": b"memory"}


ODD = (
    "a b",
    "a+b",
    "a%20b",
    "ünïcode",
    "a#b?c&d=e",
    "a'b\"c",
    "[x]{y}^`|~",
    "a..b",
    "a..",
    "x" * 900,
    "日本語",
    "a\\b",
)


async def test_every_key_is_one_event_and_can_be_read(world: World, tmp_path: Path) -> None:
    for name in ODD:
        world.bucket.put(f"landing/{name}.csv", name.encode())
    trigger = world.objects()
    async with world.listening(trigger) as inbox:
        assert await world.keys(len(ODD)) == sorted(f"landing/{name}.csv" for name in ODD)
    for event in inbox.events.values():
        name = event.data["key"].removeprefix("landing/").removesuffix(".csv")
        assert await asyncio.to_thread(trigger.read, event) == name.encode()
    file = await asyncio.to_thread(fetch_object, event, tmp_path / "got", trigger.access)
    assert file.read_bytes() == name.encode()


async def test_placeholders_of_folders_are_no_objects(world: World) -> None:
    for key in ("landing/", "landing/sub.csv/", "landing/a.csv", "landing/empty.csv"):
        world.bucket.put(key, b"")
    async with world.listening(world.objects()) as inbox:
        await world.looked()
    assert {event.data["key"] for event in inbox.events.values()} == {"landing/a.csv", "landing/empty.csv"}


async def test_a_key_that_cannot_be_listed_is_told_and_what_it_hid_comes_once_it_is_renamed(world: World) -> None:
    world.bucket.put("landing//b.csv")
    world.bucket.put("landing/c.csv")
    async with world.listening(world.objects()):
        await world.told("it holds a key with an empty part", ListenerState.RETRYING)
        assert '"landing//b.csv"' in world.status().note
        world.bucket.objects["landing/b.csv"] = world.bucket.objects.pop("landing//b.csv")
        assert await world.keys(2) == ["landing/b.csv", "landing/c.csv"]


async def test_a_stage_reads_what_the_event_told_of_or_hears_that_it_changed(world: World) -> None:
    world.bucket.put("landing/a.csv", b"one")
    trigger = world.objects()
    async with world.listening(trigger) as inbox:
        await world.keys(1)
    [event] = inbox.events.values()
    assert await asyncio.to_thread(trigger.read, event) == b"one"
    world.bucket.put("landing/a.csv", b"two")
    with pytest.raises(ObjectChanged, match=r"s3://bucket/landing/a.csv was overwritten since"):
        await asyncio.to_thread(trigger.read, event)
    del world.bucket.objects["landing/a.csv"]
    with pytest.raises(ObjectChanged, match="was removed since"):
        await asyncio.to_thread(trigger.read, event)


async def test_objects_wait_for_their_marker(world: World) -> None:
    world.bucket.put("landing/one/a.csv")
    world.bucket.put("landing/two/b.csv")
    world.bucket.put("landing/two/_SUCCESS")
    async with world.listening(world.objects(complete="marker")):
        assert await world.keys(1) == ["landing/two/b.csv"]
        assert world.status().lag_records == 1
        world.bucket.put("landing/one/_SUCCESS")
        assert await world.keys(2) == ["landing/one/a.csv", "landing/two/b.csv"]
        world.bucket.put("landing/two/late.csv")
        await world.keys(3)


async def test_each_object_may_wait_for_a_marker_of_its_own(world: World) -> None:
    world.bucket.put("landing/a.csv")
    world.bucket.put("landing/b.csv")
    world.bucket.put("landing/b.csv.done")
    async with world.listening(world.objects("landing/*", complete="marker", marker="{name}.done")):
        assert await world.keys(1) == ["landing/b.csv"]
        world.bucket.put("landing/a.csv.done")
        assert await world.keys(2) == ["landing/a.csv", "landing/b.csv"]


async def test_objects_wait_until_they_are_what_their_manifest_says(world: World) -> None:
    def manifest(**promise: Any) -> bytes:
        return orjson.dumps({"files": [{"name": "a.csv"} | promise]})

    world.bucket.put("landing/manifest.json", b"{")
    world.bucket.put("landing/a.csv", b"right")
    world.bucket.put("landing/unlisted.csv")
    async with world.listening(world.objects(complete="manifest")) as inbox:
        await world.told("manifest.json: it is not a manifest", ListenerState.LISTENING)
        for wrong in ({"size_bytes": 4}, {"md5": "0" * 32}):
            world.bucket.put("landing/manifest.json", manifest(**wrong))
            await world.looked()
            assert inbox.told == []
        world.bucket.put("landing/manifest.json", manifest(size_bytes=5, md5=hashlib.md5(b"right").hexdigest()))
        assert await world.keys(1) == ["landing/a.csv"]
    assert len(inbox.told) == 1


async def test_a_partition_is_one_event_once_its_marker_lies_in_it(world: World) -> None:
    world.bucket.put("landing/dt=1/a.parquet", b"aa")
    world.bucket.put("landing/dt=1/deep/b.parquet", b"b")
    world.bucket.put("landing/dt=1/_temporary/c.parquet", b"c")
    world.bucket.put("landing/dt=2/a.parquet", b"aa")
    world.bucket.put("landing/other/_SUCCESS")
    trigger = world.objects("landing/dt=*/", complete="marker")
    async with world.listening(trigger) as inbox:
        world.bucket.put("landing/dt=1/_SUCCESS")
        assert await world.keys(1) == ["landing/dt=1/"]
        world.bucket.put("landing/dt=2/_SUCCESS")
        assert await world.keys(2) == ["landing/dt=1/", "landing/dt=2/"]
        world.bucket.put("landing/dt=1/late.parquet", b"late")
        await world.keys(3)
    first, *_, changed = [event for event in inbox.events.values() if event.subject == "landing/dt=1/"]
    assert (first.data["files"], first.data["size_bytes"]) == (2, 3)
    assert (changed.data["files"], changed.data["size_bytes"]) == (3, 7)
    assert first.data["url"] == "s3://bucket/landing/dt=1/"
    async with world.listening(trigger):
        world.bucket.put("landing/dt=3/_SUCCESS")
        await world.keys(4)
    assert len(inbox.told) == len(set(inbox.told)) == 4


async def test_a_partition_waits_for_all_that_its_manifest_lists(world: World) -> None:
    listed = [{"name": "a.csv", "size_bytes": 1}, {"name": "deep/b.csv", "size_bytes": 2}]
    world.bucket.put("landing/dt=1/manifest.json", orjson.dumps({"files": listed}))
    world.bucket.put("landing/dt=1/a.csv", b"a")
    async with world.listening(world.objects("landing/dt=*/", complete="manifest")) as inbox:
        await world.looked(4)
        assert inbox.told == []
        world.bucket.put("landing/dt=1/deep/b.csv", b"bb")
        await world.keys(1)
    [event] = inbox.events.values()
    assert event.data["files"] == 2


async def test_a_partition_is_whole_when_nothing_in_it_changed_for_a_while(world: World) -> None:
    async with world.listening(world.objects("landing/dt=*/", complete="stable", stable_s=0.6)) as inbox:
        for number in range(6):
            world.bucket.put(f"landing/dt=1/{number}.csv", b"%d" % number)
            await asyncio.sleep(0.2)
        await world.keys(1)
    assert [event.data["files"] for event in inbox.events.values()] == [6]


async def test_a_partition_that_is_finished_while_it_is_listed_is_told_with_all_that_is_in_it(world: World) -> None:
    """Its marker is met by a listing that has passed the place of what was written before the marker."""
    world.bucket.page = 1
    world.bucket.put("landing/dt=1/B.csv", b"b")

    def finish() -> None:
        world.bucket.listed = lambda: None
        world.bucket.put("landing/dt=1/A.csv", b"a")
        world.bucket.put("landing/dt=1/_SUCCESS")

    async with world.listening(world.objects("landing/dt=*/", complete="marker")) as inbox:
        await world.looked()
        world.bucket.put("landing/dt=1/C.csv", b"c")
        world.bucket.listed = finish
        await world.keys(1)
        await world.looked(12)
    assert [event.data["files"] for event in inbox.events.values()] == [3]


async def test_where_keys_grow_with_time_only_what_is_after_the_last_one_is_listed(world: World) -> None:
    world.bucket.page = 10
    for number in range(100):
        world.bucket.put(f"landing/{number:04}.csv", b"%d" % number)
    world.bucket.put("landing/readme.txt")
    trigger = world.objects(ordered=True)
    async with world.listening(trigger):
        await world.keys(100)
        await world.looked()
        asked = len(world.bucket.lists)
        world.bucket.put("landing/0100.csv", b"100")
        await world.keys(101)
        await world.looked(3)
        later = world.bucket.lists[asked:]
    assert all(query["start-after"] >= "landing/0099.csv" for query in later)
    assert not any("continuation-token" in query for query in later)
    asked = len(world.bucket.lists)
    async with world.listening(trigger):
        world.bucket.put("landing/0101.csv", b"101")
        await world.keys(102)
    assert all(query["start-after"] >= "landing/0100.csv" for query in world.bucket.lists[asked:])
    assert len(world.inbox.told) == 102


async def test_what_came_before_the_last_key_is_found_by_the_next_whole_listing(world: World) -> None:
    world.bucket.put("landing/0002.csv", b"2")
    async with world.listening(world.objects(ordered=True, rescan_s=0.3)) as inbox:
        await world.keys(1)
        await world.looked()
        world.bucket.put("landing/0001.csv", b"1")
        assert await world.keys(2) == ["landing/0001.csv", "landing/0002.csv"]
    assert len(inbox.told) == 2


async def test_in_order_nothing_is_passed_that_waits_for_its_marker(world: World) -> None:
    world.bucket.put("landing/1/a.csv", b"1")
    world.bucket.put("landing/2/a.csv", b"2")
    world.bucket.put("landing/2/_SUCCESS")
    trigger = world.objects(ordered=True, rescan_s=None, complete="marker")
    async with world.listening(trigger):
        assert await world.keys(1) == ["landing/2/a.csv"]
        world.bucket.put("landing/1/_SUCCESS")
        assert await world.keys(2) == ["landing/1/a.csv", "landing/2/a.csv"]


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        ((403, "AccessDenied"), "the credentials may not list or read it"),
        ((403, "InvalidAccessKeyId"), "its credentials are missing or wrong"),
        ((404, "NoSuchBucket"), "there is no such bucket"),
        ((301, "PermanentRedirect"), "it is in another region"),
        ((400, "AuthorizationHeaderMalformed"), "it is in another region"),
    ],
)
async def test_what_keeps_it_from_listing_is_told_and_got_over(
    world: World, failing: tuple[int, str], told: str
) -> None:
    world.bucket.failing = failing
    trigger = world.objects()
    [lacking] = await asyncio.to_thread(trigger.lacks, Path("/"))
    assert lacking.startswith(f"s3://bucket: {told}")
    async with world.listening(trigger):
        await world.told(told, ListenerState.RETRYING)
        world.bucket.failing = None
        world.bucket.put("landing/a.csv")
        await world.keys(1)
        await world.told("", ListenerState.LISTENING)
    assert await asyncio.to_thread(trigger.lacks, Path("/")) == []


async def test_a_server_that_is_away_is_told_and_waited_for(world: World) -> None:
    trigger = world.objects(endpoint="http://127.0.0.1:1")
    async with world.listening(trigger):
        await world.told("it does not answer", ListenerState.RETRYING)


async def test_what_is_told_of_trouble_holds_no_secret(world: World) -> None:
    world.bucket.failing = (403, "AuthenticationFailed")
    options = {"account_name": "acc", "sas_key": "sv=2026&sig=c2VjcmV0"}
    azure = Objects("az://bucket/*.csv", endpoint=world.bucket.url, options=options)
    for trigger in (azure, world.objects()):
        [lacking] = await asyncio.to_thread(trigger.lacks, Path("/"))
        assert "its credentials are missing or wrong" in lacking
        assert "list-type" not in lacking
        assert "c2VjcmV0" not in lacking + repr(trigger)


async def test_objects_wait_while_the_inbox_is_busy_and_count_as_told_only_after(world: World) -> None:
    world.inbox.busy = True
    world.bucket.put("landing/a.csv")
    async with world.listening(world.objects()) as inbox:
        await inbox.until(lambda: inbox.turned_away > 2)
        assert inbox.scopes == {}
    async with world.listening(world.objects()):
        await inbox.until(lambda: inbox.turned_away > 5)
        inbox.busy = False
        await world.keys(1)
    assert len(inbox.told) == 1


async def test_what_is_gone_is_forgotten_and_rows_are_written_anew(world: World) -> None:
    for number in range(2_600):
        world.bucket.put(f"landing/{number:04}.csv", b"%d" % number)
    trigger = world.objects()
    async with world.listening(trigger) as inbox:
        await world.keys(2_600)
        [kept] = inbox.scopes.values()
        before = set(kept)
        for number in range(10, 2_600):
            del world.bucket.objects[f"landing/{number:04}.csv"]
        await inbox.until(lambda: not before & kept.keys())
        assert len(kept) == 1
    async with world.listening(trigger):
        world.bucket.put("landing/new.csv")
        await world.keys(2_601)
    assert len(inbox.told) == 2_601


async def test_pipelines_share_a_listing_and_each_decides_for_itself(world: World) -> None:
    world.bucket.put("landing/a.csv")
    only_b = world.objects(where={"data.key": {"suffix": "b.csv"}}, name="b")
    async with world.listening(Binding("p", world.objects()), Binding("q", only_b)) as inbox:
        await world.keys(1)
        await world.looked()
    [told] = inbox.told
    assert {pipeline: fate.value for (_, pipeline), fate in inbox.fates.items()} == {"p": "ran", "q": "ignored"}
    assert told in inbox.events
