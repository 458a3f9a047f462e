"""No reader and no scheme of a hook breaks at a value of an unexpected type: it is refused, or the event is dead."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tests.odd_values import swapped
from triggers import CloudEvents, KafkaArrivals, ObjectTopic
from triggers.adapters import AsCloudEvent
from triggers.base import Binding, Fate
from triggers.cloudevents import from_http
from triggers.delivery import Delivery
from triggers.errors import InvalidEvent
from triggers.kafka.batch_values import split, times_of, why_bad
from triggers.kafka.records import event_of
from triggers.match import offer
from triggers.objects import ObjectNotices
from triggers.objects.senders import SNS, GooglePush
from triggers.objects.topics import arrivals_of
from triggers.providers import Bitbucket, Buildkite, CircleCI, Gitea, GitLab, Jenkins
from triggers.signatures import HMAC, BadSignature, Bearer, GitHub, StandardWebhooks, Verifier
from triggers.webhook import Webhook, admit, receive, trusted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:1:t"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
S3 = {
    "eventName": "ObjectCreated:Put",
    "eventTime": "2026-01-01T00:00:00.000Z",
    "s3": {"bucket": {"name": "b"}, "object": {"key": "a.csv", "size": 3, "eTag": "e", "sequencer": "0A"}},
}
GCS = {"kind": "storage#object", "bucket": "b", "name": "a.csv", "generation": "7", "size": "3", "updated": "2026"}
AZURE = {
    "eventType": "Microsoft.Storage.BlobCreated",
    "subject": "/blobServices/default/containers/c/blobs/a.csv",
    "eventTime": "2026-01-01T00:00:00Z",
    "data": {"api": "PutBlob", "url": "https://a.blob.core.windows.net/c/a.csv", "eTag": "0", "contentLength": 3},
}
NOTIFICATION = {
    "Type": "Notification",
    "MessageId": "1",
    "TopicArn": TOPIC,
    "Message": orjson.dumps({"Records": [S3]}).decode(),
    "Timestamp": "2026-01-01T00:00:00.000Z",
    "SignatureVersion": "1",
    "Signature": base64.b64encode(bytes(256)).decode(),
    "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
}
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": "2026-01-01T00:00:00Z", "data": {"n": 1}}
NOTICES: Sequence[Any] = (
    {"Records": [S3]},
    NOTIFICATION,
    NOTIFICATION | {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x", "Token": "t"},
    {"Records": [{"EventSource": "aws:sns", "Sns": NOTIFICATION}]},
    {"Messages": [{"Body": orjson.dumps(S3).decode()}]},
    {"Service": "Amazon S3", "Event": "s3:TestEvent"},
    {"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}},
    {"records": {"t-0": [{"value": base64.b64encode(orjson.dumps(S3)).decode()}]}},
    {"message": {"attributes": {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "k"}, "data": "e30="}},
    GCS,
    {"resourceState": "exists", "data": GCS},
    [AZURE],
    [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "1"}}],
    EVENT | {"type": "Microsoft.Storage.BlobCreated", "data": AZURE["data"]},
    EVENT | {"type": "google.cloud.storage.object.v1.finalized", "data": GCS},
)
PAYLOADS: Sequence[Any] = (
    {"ref": "refs/heads/main", "repository": {"full_name": "a/b", "url": "https://a"}, "action": "x", "updated_at": 1},
    {"object_kind": "note", "object_attributes": {"id": 1, "noteable_type": "Issue", "created_at": "2026", "url": "u"}},
    {"object_kind": "build", "job_id": 1, "job_status": "s", "project": {"web_url": "https://a"}, "event_name": "e"},
    {"type": "workflow-completed", "id": "1", "project": {"slug": "a/b"}, "build": {"phase": "FINALIZED"}},
    {"release": {"id": 1, "published_at": "2026-01-01T00:00:00Z"}, "action": "published", "number": 3},
)
SCHEMES: Sequence[Verifier | None] = (
    *(None, GitHub("s"), GitLab(token="s", signing=KEY), Bitbucket("s"), Gitea("s"), CircleCI("s"), Jenkins("s")),
    *(Buildkite(signing="s"), StandardWebhooks(KEY), HMAC("X-Sig", secret="s"), Bearer("s")),
)
WHERE = {
    "data.n": {"at_least": 1},
    "any": [{"data.ref": {"glob": "a*"}}, {"data.ref": [1, "x", None]}],
    "data": {"exact": {}},
}


@dataclass(frozen=True)
class Record:
    """As much of a consumed record as is looked at."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    key: bytes | None = b"k"
    partition: int = 0
    offset: int = 7
    timestamp: int = 5_000


@pytest.fixture(autouse=True)
def nobody_was_surprised(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The guard around all readers hides what they forgot about, but says so."""
    yield
    assert [one.getMessage() for one in caplog.get_records("call") if one.levelno >= logging.ERROR] == []


def headers_of(kind: str) -> Mapping[str, str]:
    return {"content-type": "application/json", "x-github-event": kind, "x-gitlab-event": kind, "x-gitea-event": kind}


async def refused_or_read(hook: Webhook, payload: Any, headers: Mapping[str, str]) -> None:
    delivery = Delivery(hook="h", headers=headers, body=orjson.dumps(payload), received_at=NOW, dry=True)
    try:
        found = await receive(hook, trusted(hook, delivery))
    except InvalidEvent:
        return
    for event in found if isinstance(found, list) else []:
        offer(Binding("p", hook), event)


@pytest.mark.parametrize("payload", NOTICES)
async def test_notifications_by_hook(payload: Any) -> None:
    hook = ObjectNotices("h", url="s3://b/*.csv")
    for one in swapped(payload):
        await refused_or_read(hook, one, {"content-type": "application/json"})
        await refused_or_read(hook, one, {"x-goog-resource-state": "exists"})


@pytest.mark.parametrize("payload", NOTICES)
def test_notifications_by_topic(payload: Any) -> None:
    bindings = [Binding("p", ObjectTopic("t", url="s3://b/*.csv"))]
    for one in swapped(payload):
        assert all(len(arrival.offers) == 1 for arrival in arrivals_of(Record(orjson.dumps(one)), "s", NOW, bindings))


def test_records_with_absent_values_and_headers_by_topic() -> None:
    bindings = [Binding("p", ObjectTopic("t"))]
    [dead] = arrivals_of(Record(None, [("content-type", None), ("ce_type", b"\xff")]), "s", NOW, bindings)
    assert dead.offers[0].fate is Fate.DEAD
    [good] = arrivals_of(Record(orjson.dumps({"Records": [S3]}), [("eventtype2", None)]), "s", NOW, bindings)
    assert good.offers[0].fate is Fate.RAN


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("payload", PAYLOADS)
async def test_payloads_of_every_scheme(scheme: Verifier | None, payload: Any) -> None:
    hook = Webhook("h", verify=scheme, where=WHERE, params={"factor": "data.ref"})
    for one in swapped(payload):
        await refused_or_read(hook, one, headers_of("push"))


@pytest.mark.parametrize("scheme", [None, GitHub("s"), GitLab(token="s")], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("payload", PAYLOADS)
async def test_payloads_worded_as_cloudevents(scheme: Verifier | None, payload: Any) -> None:
    hook = Webhook("h", verify=scheme, read=AsCloudEvent())
    for one in swapped(payload):
        for kind in ("release", "push", "Note Hook"):
            await refused_or_read(hook, one, headers_of(kind))


@pytest.mark.parametrize("kind", ["Notification", "SubscriptionConfirmation"])
def test_messages_of_sns(kind: str) -> None:
    hook = ObjectNotices("h", verify=SNS(TOPIC))
    for one in swapped(NOTIFICATION | {"Type": kind}):
        delivery = Delivery(hook="h", headers={}, body=orjson.dumps(one), received_at=NOW)
        with suppress(BadSignature):
            admit(hook, delivery)


def test_tokens_of_google() -> None:
    def packed(value: Any) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()

    hook = ObjectNotices("h", verify=GooglePush("https://here", "a@b"))
    claims = {"iss": "accounts.google.com", "aud": "https://here", "email": "a@b", "email_verified": True}
    times = {"iat": NOW.timestamp(), "exp": NOW.timestamp() + 60}
    for head in swapped({"alg": "RS256", "kid": "k"}):
        for one in (claims | times, *swapped(claims | times)):
            headers = {"authorization": f"Bearer {packed(head)}.{packed(one)}.AA"}
            with suppress(BadSignature):
                admit(hook, Delivery(hook="h", headers=headers, body=b"{}", received_at=NOW))


@pytest.mark.parametrize(
    ("body", "kind"), [(EVENT, "application/cloudevents+json"), ([EVENT, EVENT], "application/cloudevents-batch+json")]
)
def test_cloudevents(body: Any, kind: str) -> None:
    binding = Binding("p", CloudEvents(where=WHERE))
    for one in swapped(body):
        raw = orjson.dumps(one)
        try:
            for event in from_http([(b"content-type", kind.encode())], raw, received_at=NOW):
                offer(binding, event)
        except InvalidEvent:
            pass
        event, _ = event_of(Record(raw, [("content-type", kind.encode())]), "s", NOW)
        offer(Binding("p", KafkaArrivals("t", where=WHERE)), event)


@pytest.mark.parametrize("payload", [*PAYLOADS, {"n": {"at": "2026"}}])
def test_rows_of_batches(payload: Any) -> None:
    records = [Record(orjson.dumps(one)) for one in swapped({"n": payload})]
    for record in records:
        why_bad(record.value)
    for path in ("data.n", "data.n.at", "data.n.ref", "data.n.0"):
        times_of(records, path, 5.0, None)
        assert sum(map(len, split(records, path).values())) == len(records)


def test_a_key_that_is_nested_too_deep_to_be_written_is_nobodys() -> None:
    deep = Record(b'{"n":' + b"[" * 300 + b"]" * 300 + b"}")
    assert split([deep], "data.n") == {None: [deep]}
