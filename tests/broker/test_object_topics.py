"""Notifications of object stores through Kafka: each object once, records that tell of none dead, with their bytes."""

from __future__ import annotations

import orjson

from tests.broker.seam import RecordingInbox, access_to, listener_of, listening, produce
from triggers import ObjectTopic
from triggers.base import Fate


def minio(*keys: str) -> bytes:
    """What MinIO writes to a topic."""
    records = [
        {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": "bucket"}, "object": {"key": key, "eTag": "e"}}}
        for key in keys
    ]
    return orjson.dumps({"EventName": "s3:ObjectCreated:Put", "Key": f"bucket/{keys[0]}", "Records": records})


async def test_each_object_of_a_record_is_one_event_over_restarts(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    trigger = ObjectTopic(topic, url="s3://bucket/landing/*.csv")
    await produce(kafka, topic, [minio("landing/a%2Bb.csv", "landing/c.csv"), minio("other/d.csv"), b"{", b"\xff"])
    async with listening(listener_of([trigger], access, inbox)):
        await inbox.until_events(5)
    await produce(kafka, topic, [minio("landing/c.csv"), minio("landing/e.csv")])
    async with listening(listener_of([trigger], access, inbox)):
        arrivals = await inbox.until_events(6)
    ((_, key),) = inbox.stored
    assert (key, *inbox.stored.values()) == (f"{topic}/0", "6")
    fates = {arrival.event.id: arrival.offers[0].fate for arrival in arrivals}
    assert fates == {
        "landing/a+b.csv@e": Fate.RAN,
        "landing/c.csv@e": Fate.RAN,
        "other/d.csv@e": Fate.IGNORED,
        "0/2": Fate.DEAD,
        "0/3": Fate.DEAD,
        "landing/e.csv@e": Fate.RAN,
    }
    assert [one.event.data for one in arrivals if one.offers[0].fate is Fate.DEAD] == [b"{", b"\xff"]
    assert inbox.repeats == 1


async def test_a_record_with_a_value_of_another_type_does_not_stop_its_partition(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    about = {"api": {"x": 1}, "url": "https://a.blob.core.windows.net/c/odd.csv", "eTag": "e"}
    odd = orjson.dumps({"eventType": "Microsoft.Storage.BlobCreated", "data": about})
    await produce(kafka, topic, [minio("a.csv"), odd, b"[]", orjson.dumps([[1], {"Records": {}}]), minio("b.csv")])
    async with listening(listener_of([ObjectTopic(topic)], access, inbox)):
        await inbox.until(lambda: "5" in inbox.stored.values())
    assert {"a.csv@e", "odd.csv@e", "b.csv@e"} <= {arrival.event.id for arrival in inbox.events.values()}
