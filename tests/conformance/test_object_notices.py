"""Notifications of object stores, as their providers publish them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.vectors import vectors
from tests.odd_values import swapped
from triggers.errors import InvalidEvent
from triggers.objects.event import event_of
from triggers.objects.notices import read

SAMPLES = vectors("payloads/object_storage.json")["samples"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AZURE = "https://oc2d2817345i60006.blob.core.windows.net/oc2d2817345i200097container"

# source, id, what became of it, size, when
TOLD: dict[str, tuple[str, str, str, int | None, str]] = {
    "aws_s3_notification": (
        "s3://lambda-artifacts-deafc19498e3f2df",
        "b21b84d653bb07b05b1e6b33684dc11b@b21b84d653bb07b05b1e6b33684dc11b",
        "created",
        1_305_107,
        "2019-09-03T19:37:27.192Z",
    ),
    "aws_s3_notification_urlencoded_key": (
        "s3://sourcebucket",
        "Happy Face.jpg@d41d8cd98f00b204e9800998ecf8427e",
        "created",
        1_024,
        "1970-01-01T00:00:00.123Z",
    ),
    "aws_s3_delete": (
        "s3://lambda-artifacts-deafc19498e3f2df",
        "b21b84d653bb07b05b1e6b33684dc11b@removed-0C0F6F405D6ED209E1",
        "removed",
        None,
        "2019-09-03T19:37:27.192Z",
    ),
    "aws_s3_eventbridge_created": (
        "s3://example-bucket",
        "IMG_m7fzo3.jpg@4e68adba0abe2dc8653dc3354e14c01d",
        "created",
        184_662,
        "2023-03-08T17:50:14Z",
    ),
    "aws_s3_via_sqs": (
        "s3://xxx",
        "test.pdf@2e3ad1e983318bbd8e73b080e2997980",
        "created",
        104_681,
        "2023-04-12T20:43:38.021Z",
    ),
    "minio_object_created": (
        "s3://test-bucket",
        "image.jpg@eb52f8e46f60a27a8a1a704e25757f30",
        "created",
        84_452,
        "2025-02-06T01:04:31.998Z",
    ),
    "gcs_object_data_only": (
        "gs://some-bucket",
        "folder/Test.cs@1587627537231057",
        "created",
        352,
        "2020-04-23T07:38:57.230Z",
    ),
    "gcs_cloudevent_structured": (
        "gs://sample-bucket",
        "MyFile@96883251",
        "created",
        0,
        "2021-11-25T21:04:32.279744Z",
    ),
    "azure_eventgrid_schema_blobcreated": (
        AZURE,
        "oc2d2817345i20002296blob@0x8D4BCC2E4835CD0",
        "created",
        524_288,
        "2020-08-07T02:28:23.867525Z",
    ),
    "azure_cloudevents_schema_blobcreated": (
        AZURE,
        "oc2d2817345i20002296blob@0x8D4BCC2E4835CD0",
        "created",
        524_288,
        "2020-08-07T01:11:49.765846Z",
    ),
}
# Around something else than a notification of objects, and so refused.
OTHERS = {"aws_sns_lambda_envelope", "aws_sns_via_sqs", "aws_kafka_msk", "gcs_pubsub_message"}


def test_each_sample_is_judged() -> None:
    assert TOLD.keys() | OTHERS == SAMPLES.keys()


@pytest.mark.parametrize("name", TOLD)
def test_a_published_notification_is_one_object(name: str) -> None:
    source, event_id, change, size_bytes, at = TOLD[name]
    notice = read(SAMPLES[name], {}, NOW)
    assert (notice.unread, notice.handshake) == ([], None)
    [event] = map(event_of, notice.objects)
    assert (event.source, event.id, event.type) == (source, event_id, f"dev.tidemill.object.{change}")
    assert (event.data["size_bytes"], event.time) == (size_bytes, datetime.fromisoformat(at))


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_what_tells_of_no_object_is_refused_and_says_why(name: str) -> None:
    with pytest.raises(InvalidEvent, match="this is not understood"):
        read(SAMPLES[name], {}, NOW)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_with_a_value_of_another_type_is_read_or_refused(name: str) -> None:
    for one in swapped(SAMPLES[name]):
        with suppress(InvalidEvent):
            list(map(event_of, read(one, {}, NOW).objects))


def test_the_samples_are_understood_in_every_wrapping() -> None:
    import base64

    import orjson

    def text(value: Any) -> str:
        return orjson.dumps(value).decode()

    s3 = SAMPLES["aws_s3_notification"]
    sns = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": text(s3)}
    packed = base64.b64encode(orjson.dumps(s3)).decode()
    wrapped: list[Any] = [
        sns,
        {"Records": [{"eventSource": "aws:sqs", "body": text(sns)}]},
        {"Records": [{"EventSource": "aws:sns", "Sns": sns}]},
        {"Messages": [{"Body": text(s3)}]},
        {"records": {"t-0": [{"value": packed}]}},
        [s3],
        {"specversion": "1.0", "type": "anything", "data": s3},
        {"message": {"data": packed}},
    ]
    [expected] = map(event_of, read(s3, {}, NOW).objects)
    for payload in wrapped:
        assert [event_of(change) for change in read(payload, {}, NOW).objects] == [expected]
