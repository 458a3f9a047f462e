"""Notifications of object stores, from the sentences of their documentation."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.objects.event import ObjectChange, event_of, landed
from triggers.objects.notices import Handshake, read
from triggers.objects.place import Place

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def s3(key: str = "a.csv", name: str = "ObjectCreated:Put", **thing: Any) -> dict[str, Any]:
    about = {"key": key, "size": 3, "eTag": "e1", "sequencer": "0A"} | thing
    return {
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": "bucket"}, "object": about},
    }


def events(payload: Any, **headers: str) -> list[Event]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [event_of(change) for change in read(payload, named, NOW).objects]


def test_keys_of_s3_are_encoded_as_in_a_form() -> None:
    keys = ["a+b.csv", "a%2Bb.csv", "caf%C3%A9/%20.csv", "100%25.csv", "new%0Aline.csv"]
    told = events({"Records": [s3(key) for key in keys]})
    assert [event.data["key"] for event in told] == ["a b.csv", "a+b.csv", "café/ .csv", "100%.csv", "new\nline.csv"]
    assert [event.subject for event in told][3:] == ["100%25.csv", "new%0Aline.csv"]
    assert len({event.id for event in told}) == 5


def test_a_key_that_is_not_utf8_is_told_beside_the_others() -> None:
    notice = read({"Records": [s3("%FF.csv"), s3("fine.csv")]}, {}, NOW)
    assert [change.key for change in notice.objects] == ["fine.csv"]
    [(record, reason)] = notice.unread
    assert record["s3"]["object"]["key"] == "%FF.csv"
    assert "is not UTF-8" in reason


def test_the_same_content_under_the_same_key_is_one_event_whatever_version_it_has() -> None:
    one, two = events({"Records": [s3(versionId="v1"), s3(versionId="v2", sequencer="0B")]})
    assert one.key == two.key
    assert (one.data["version"], two.data["version"]) == ("v1", "v2")
    [changed] = events({"Records": [s3(eTag="e2")]})
    assert changed.key != one.key


def test_without_an_etag_the_version_is_the_identity_and_then_the_sequencer() -> None:
    told = events({"Records": [s3(eTag=None, versionId="v1"), s3(eTag=None)]})
    assert [event.id for event in told] == ["a.csv@v1", "a.csv@0A"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ObjectCreated:CompleteMultipartUpload", "created"),
        ("s3:ObjectCreated:Copy", "created"),
        ("ObjectRemoved:DeleteMarkerCreated", "removed"),
        ("LifecycleExpiration:Delete", "removed"),
        ("ObjectTagging:Put", "changed"),
        ("s3:ObjectAccessed:Get", "changed"),
    ],
)
def test_what_s3_says_became_of_an_object(name: str, kind: str) -> None:
    [event] = events({"Records": [s3(name=name)]})
    assert event.type == f"dev.tidemill.object.{kind}"
    assert event.data["said"] == name.removeprefix("s3:")


def test_a_removal_and_what_was_made_before_are_two_events() -> None:
    made, gone, again = events(
        {"Records": [s3(), s3(name="ObjectRemoved:Delete", sequencer="0B"), s3(sequencer="0C", eTag="e3")]}
    )
    assert len({made.key, gone.key, again.key}) == 3


def test_the_test_that_s3_sends_at_set_up_is_no_event() -> None:
    notice = read({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"}, {}, NOW)
    assert (notice.objects, notice.unread, notice.handshake) == ([], [], None)


def test_keys_of_eventbridge_are_not_encoded() -> None:
    thing = {"key": "a+b%20.csv", "etag": "e1", "version-id": "v1", "size": 3}
    payload = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-01-01T00:00:00Z",
        "detail": {"bucket": {"name": "bucket"}, "object": thing},
    }
    [event] = events(payload)
    assert (event.id, event.data["version"]) == ("a+b%2520.csv@e1", "v1")
    assert event.key == events({"Records": [s3("a%2Bb%2520.csv")]})[0].key
    with pytest.raises(InvalidEvent, match="is not aws"):
        read(payload | {"source": "aws.ec2"}, {}, NOW)


def test_sns_asks_to_be_confirmed_and_says_good_bye() -> None:
    asked = {"Type": "SubscriptionConfirmation", "TopicArn": "arn", "SubscribeURL": "https://sns.x", "Token": "t"}
    assert read(asked, {}, NOW).handshake == Handshake(url="https://sns.x")
    left = read({"Type": "UnsubscribeConfirmation", "TopicArn": "arn"}, {}, NOW)
    assert (left.objects, left.handshake) == ([], None)


GCS = {"bucket": "bucket", "name": "a b.csv", "generation": "7", "size": "3", "md5Hash": "x", "etag": "CA=="}


def pushed(said: str, resource: Any = GCS, **more: str) -> dict[str, Any]:
    attributes = {"eventType": said, "bucketId": "bucket", "objectId": "a b.csv", "objectGeneration": "7"} | more
    message: dict[str, Any] = {"attributes": attributes, "messageId": "1"}
    if resource is not None:
        message["data"] = base64.b64encode(orjson.dumps(resource)).decode()
    return {"message": message, "subscription": "projects/p/subscriptions/s"}


def test_gcs_is_known_by_its_generation_however_it_is_told() -> None:
    resource = GCS | {"kind": "storage#object", "updated": "2026-01-01T00:00:00Z"}
    told = [
        *events(pushed("OBJECT_FINALIZE")),
        *events(pushed("OBJECT_FINALIZE", None)),
        *events(resource),
        *events(resource, x_goog_resource_state="exists"),
        *events(resource, eventtype="OBJECT_FINALIZE", bucketid="bucket", objectid="a b.csv", objectgeneration="7"),
        *events(resource, ce_type="google.cloud.storage.object.v1.finalized", ce_specversion="1.0"),
    ]
    assert len(told) == 6
    assert {(event.source, event.id) for event in told} == {("gs://bucket", "a b.csv@7")}


def test_what_gcs_says_became_of_an_object() -> None:
    kinds = [
        events(pushed(said, **more))[0].type.rpartition(".")[2]
        for said, more in [
            ("OBJECT_DELETE", {}),
            ("OBJECT_ARCHIVE", {}),
            ("OBJECT_METADATA_UPDATE", {}),
            ("OBJECT_DELETE", {"overwrittenByGeneration": "8"}),
        ]
    ]
    assert kinds == ["removed", "removed", "changed", "changed"]
    [gone] = events(GCS | {"kind": "storage#object"}, x_goog_resource_state="not_exists")
    assert gone.type == "dev.tidemill.object.removed"
    assert events(GCS, x_goog_resource_state="sync") == []


def azure(kind: str = "BlobCreated", **data: Any) -> dict[str, Any]:
    about = {"api": "PutBlob", "eTag": "0x8D", "contentLength": 3, "sequencer": "01"} | data
    about.setdefault("url", "https://acc.blob.core.windows.net/box/a%20b/c.csv")
    return {"eventType": f"Microsoft.Storage.{kind}", "eventTime": "2026-01-01T00:00:00Z", "data": about}


def test_azure_tells_the_same_blob_in_both_schemas_and_under_both_hosts() -> None:
    data = {"api": "PutBlob", "e_tag": "0x8D", "url": "https://acc.dfs.core.windows.net/box/a%20b/c.csv"}
    other = {"specversion": "1.0", "type": "Microsoft.Storage.BlobCreated", "data": data}
    subject = {"subject": "/blobServices/default/containers/box/blobs/a b/c.csv"}
    told = [*events([azure()]), *events(other), *events([azure() | subject])]
    assert {(event.source, event.id) for event in told} == {("https://acc.blob.core.windows.net/box", "a b/c.csv@0x8D")}
    assert told[0].data["url"] == "https://acc.blob.core.windows.net/box/a%20b/c.csv"


def test_a_blob_that_is_only_begun_is_not_created_yet() -> None:
    kinds = [
        event.type.rpartition(".")[2]
        for event in events([azure(api="CreateFile"), azure(api="SftpCreate"), azure(api="FlushWithClose")])
    ]
    assert kinds == ["changed", "changed", "created"]


def test_a_renamed_blob_is_told_under_its_new_name() -> None:
    moved = azure("BlobRenamed", destinationUrl="https://acc.dfs.core.windows.net/box/new.csv")
    [event] = events([moved | {"subject": "/blobServices/default/containers/box/blobs/old.csv"}])
    assert event.data["key"] == "new.csv"


def test_event_grid_wants_its_code_back() -> None:
    data = {"validationCode": "512d38b6", "validationUrl": "https://rp-eastus2.eventgrid.azure.net/validate?id=1"}
    asked = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": data}]
    assert read(asked, {}, NOW).handshake == Handshake(data["validationUrl"], "512d38b6")


@pytest.mark.parametrize("bucket", ["", "a\0b", "a b", "../b", "b/c", "ü"])
def test_a_bucket_that_none_can_be_called_is_refused(bucket: str) -> None:
    record = s3()
    record["s3"]["bucket"]["name"] = bucket
    with pytest.raises(InvalidEvent, match="name"):
        read({"Records": [record]}, {}, NOW)


def test_wrappings_in_wrappings_come_to_an_end() -> None:
    payload: Any = {"Records": [s3()]}
    for _ in range(50):
        payload = [payload]
    with pytest.raises(InvalidEvent, match="wrapped too often"):
        read(payload, {}, NOW)


def test_more_objects_than_a_message_may_tell_of_are_refused() -> None:
    with pytest.raises(InvalidEvent, match="more than 10000 objects"):
        read({"Records": [s3()] * 10_001}, {}, NOW)


NAMES = """
Records s3 object bucket name key eventName Sns Type TopicArn Message body Body Messages records value message data
attributes eventType bucketId objectId kind generation detail detail-type source specversion type url eventTime Event
resourceState subject api time updated eTag size
"""
FIELDS = st.sampled_from(NAMES.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(
    JSON,
    st.dictionaries(st.sampled_from(["x-goog-resource-state", "eventtype", "ce-type", "ce-specversion"]), st.text()),
)
def test_whatever_is_sent_is_read_or_refused(payload: Any, headers: dict[str, str]) -> None:
    try:
        notice = read(payload, headers, NOW)
    except InvalidEvent:
        return
    for change in notice.objects:
        event = event_of(change)
        assert "\0" not in event.source + event.id + (event.subject or "")


def test_an_id_that_would_be_too_long_for_its_index_is_a_digest() -> None:
    keys = ["%" * 1_000, "%" * 999 + "x"]
    told = [event_of(ObjectChange(place=Place("s3", "b"), key=key, at=NOW, etag="e")) for key in keys]
    assert [len(event.id) for event in told] == [72, 72]
    assert told[0].id != told[1].id
    folder = landed(Place("s3", "b"), "dt=1", "d1", at=NOW, files=2, size_bytes=3)
    assert (folder.id, folder.data["url"]) == ("dt=1/@d1", "s3://b/dt=1/")
