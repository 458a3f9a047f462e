"""GitHub's and GitLab's deliveries against the tables of the CloudEvents adapters, every row of them.

What a row expects is read from its own words, by rules that know nothing of `triggers.adapter_tables`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.vectors import vectors
from tests.odd_values import swapped
from triggers import GitHub, GitLab
from triggers.adapters import AsCloudEvent
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.webhook import Webhook, receive, trusted

TABLES = vectors("cloudevents/adapters.json")["adapters"]
SAMPLES = vectors("payloads/github_selected.json")["payloads"]
NOW = datetime(2026, 11, 27, 4, 5, 6, tzinfo=UTC)
TOLD_AT, EARLIER = "2026-11-20T01:02:03Z", "2026-11-19T01:02:03Z"
QUOTED = re.compile(r'"([a-z_0-9.]+)["`] ?(?:value)?')
TYPE = re.compile(r"`(com\.[a-z_0-9.]+)`(.*)")
GITLAB_KINDS = {
    "Push Event": {"object_kind": "push"},
    "Tag Event": {"object_kind": "tag_push"},
    "Issue Event": {"object_kind": "issue"},
    "Comment on Commit Event": {"object_kind": "note", "object_attributes": {"noteable_type": "Commit"}},
    "Comment on Merge Request Event": {"object_kind": "note", "object_attributes": {"noteable_type": "MergeRequest"}},
    "Comment on Issue Event": {"object_kind": "note", "object_attributes": {"noteable_type": "Issue"}},
    "Comment on Code Snippet Event": {"object_kind": "note", "object_attributes": {"noteable_type": "Snippet"}},
    "Merge Request Event": {"object_kind": "merge_request"},
    "Wiki Page Event": {"object_kind": "wiki_page"},
    "Pipeline Event": {"object_kind": "pipeline"},
    "Job Event": {"object_kind": "build"},
}


def put(payload: dict[str, Any], path: str, value: Any) -> None:
    *folders, name = path.split(".")
    for folder in folders:
        payload = payload.setdefault(folder, {})
    payload.setdefault(name, value)


def paths(words: str) -> list[str]:
    """The values of the payload that a cell names: not what comes after a `#`, which is a question of its author."""
    return [one for one in QUOTED.findall(re.sub(r" #+ .*", "", words)) if one != "null"]


def kind_of(row: Mapping[str, str]) -> tuple[str, str]:
    """The constant part of the type, and the words for what follows; that of `status` is in its author's question."""
    found = TYPE.match(row["type"].replace("#", ""))
    assert found
    return found[1], found[2]


def payload_for(row: Mapping[str, str], given: dict[str, Any]) -> dict[str, Any]:
    """A payload that has every value that the row names."""
    payload: dict[str, Any] = json.loads(json.dumps(given))
    for number, path in enumerate(paths(row["time"])):
        put(payload, path, EARLIER if number else TOLD_AT)
    for path in paths(row["source"]):
        put(payload, path, f"an_{path}" if path.endswith("_id") else f"https://example.com/{path}/of")
    for path in [*paths(kind_of(row)[1]), *paths(row["subject"])]:
        put(payload, path, f"a {path}")
    if "based on action" in row["time"]:
        payload["action"] = "published"
        put(payload, "release.published_at", TOLD_AT)
    if "#note" in row["source"]:
        payload["object_attributes"]["url"] += "#note_1244"
    return payload


def at(payload: Any, path: str) -> str:
    for step in path.split("/" if "/" in path else "."):
        payload = payload[step]
    return str(payload)


def expected_type(row: Mapping[str, str], payload: dict[str, Any]) -> str:
    start, words = kind_of(row)
    return start + "".join(dot or at(payload, path) for path, dot in re.findall(r'"([a-z_.]+)"|`(\.)`', words))


def expected_source(row: Mapping[str, str], payload: dict[str, Any]) -> str:
    if not paths(row["source"]):
        return row["source"].strip("`")
    source = "/".join(at(payload, path) for path in paths(row["source"]))
    if "without the `/username`" in row["source"]:
        return source.rpartition("/")[0]
    return source.removesuffix("#note_1244")


def expected_subject(row: Mapping[str, str], payload: dict[str, Any]) -> str | None:
    told = paths(row["subject"])
    return None if row["subject"] == "Omit" else at(payload, told[0])


def expected_time(row: Mapping[str, str]) -> datetime:
    named = paths(row["time"]) or "based on action" in row["time"]
    return datetime.fromisoformat(TOLD_AT) if named else NOW


async def heard(webhook: Webhook, headers: dict[str, str], payload: Any) -> Sequence[Event]:
    body = json.dumps(payload).encode()
    delivery = Delivery.of(webhook.hook, {"content-type": "application/json", **headers}, body, NOW)
    events = await receive(webhook, trusted(webhook, delivery))
    assert not isinstance(events, Answer)
    return events


GITHUB_HOOK = Webhook("ci", verify=GitHub("s"), read=AsCloudEvent())
GITLAB_HOOK = Webhook("ci", verify=GitLab(token="s"), read=AsCloudEvent())


def agrees(event: Event, row: Mapping[str, str], payload: dict[str, Any]) -> None:
    assert event.type == expected_type(row, payload)
    assert event.source == expected_source(row, payload)
    assert event.subject == expected_subject(row, payload)
    assert event.time == expected_time(row)
    assert (event.datacontenttype, event.dataschema, event.data) == ("application/json", None, payload)


@pytest.mark.parametrize("name", TABLES["github"])
async def test_row_of_github(name: str) -> None:
    row = TABLES["github"][name]
    payload = payload_for(row, {})
    headers = {"x-github-event": kind_of(row)[0].split(".")[2], "x-github-delivery": "72d3162e"}
    [event] = await heard(GITHUB_HOOK, headers, payload)
    agrees(event, row, payload)
    assert event.id == "72d3162e"


RECORD: dict[str, Any] = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "awsRegion": "eu-west-1",
    "eventTime": TOLD_AT,
    "eventName": "ObjectCreated:Put",
    "responseElements": {"x-amz-request-id": "C3D1", "x-amz-id-2": "FMyU"},
    "s3": {
        "bucket": {"name": "lake"},
        "object": {"key": "landing/a+b.csv", "size": 3, "eTag": "d41d", "sequencer": "0A"},
    },
}
TOPIC = "arn:aws:sns:eu-west-1:123456789012:lake"
ANYBODY = Webhook("amazon", read=AsCloudEvent())


def names_of(words: str) -> list[str]:
    """The values that a cell of Amazon's tables names; its `s3.buckets` is called `bucket` in every notification."""
    return [one.replace("buckets", "bucket") for one in re.findall(r'"([A-Za-z0-9_.-]+)"', words)]


def joined(words: str, values: Mapping[str, Any]) -> str:
    """A cell with its values: constants in backticks, names in quotes, joined as they stand."""
    parts = re.findall(r'`([^`]*)`|"([A-Za-z0-9_.-]+)"', words)
    return "".join(constant or str(dug(values, name.replace("buckets", "bucket"))) for constant, name in parts)


def dug(values: Any, path: str) -> Any:
    if isinstance(values, Mapping) and path in values:
        return values[path]
    first, _, rest = path.partition(".")
    return dug(values[first], rest)


async def test_row_of_s3() -> None:
    """But for the id: that of the table is known to the writing request alone, and tells nobody that it is a repeat."""
    row = TABLES["aws-s3"]["all"]
    other = RECORD | {"eventName": "ObjectRemoved:Delete"}
    events = await heard(ANYBODY, {}, {"Records": [RECORD, other]})
    for event, record in zip(events, [RECORD, other], strict=True):
        assert event.type == joined(row["type"], record)
        assert event.source == joined(row["source"], record)
        assert event.subject == joined(row["subject"], record)
        assert event.time == datetime.fromisoformat(record[names_of(row["time"])[0]])
        assert (event.dataschema, event.data) == (None, record)
        assert f"`{event.datacontenttype}`" in row["datacontenttype"]
    assert [event.id for event in events] == ["landing/a b.csv@d41d", "landing/a b.csv@removed-0A"]
    assert [one.id for one in await heard(ANYBODY, {}, {"Records": [RECORD | {"responseElements": {}}]})] == [
        events[0].id
    ]


@pytest.mark.parametrize("name", TABLES["aws-sns"])
async def test_row_of_sns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row, fetched = TABLES["aws-sns"][name], list[str]()

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return b""

    monkeypatch.setattr("triggers.web.fetch", fetch)
    payload = {
        "Type": name.replace(" ", ""),
        "MessageId": "165545c9-2a5c",
        "TopicArn": TOPIC,
        "Subject": "landed",
        "Message": "hello",
        "Timestamp": TOLD_AT,
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
    }
    headers = {
        "content-type": "text/plain; charset=UTF-8",
        "x-amz-sns-message-type": payload["Type"],
        "x-amz-sns-message-id": payload["MessageId"],
        "x-amz-sns-topic-arn": TOPIC,
        "x-amz-sns-subscription-arn": f"{TOPIC}:c9135db0-26c4",
    }
    [event] = await heard(ANYBODY, headers, payload)
    assert event.id == joined(row["id"], headers)
    assert event.source == joined(row["source"], headers)
    assert event.type == joined(row["type"], headers)
    assert event.subject == (None if row["subject"] == "Omit" else payload[names_of(row["subject"])[0]])
    assert event.time == datetime.fromisoformat(TOLD_AT)
    assert (f"`{event.datacontenttype}`", event.dataschema) == (row["datacontenttype"], None)
    assert event.data == payload
    assert fetched == ([payload["SubscribeURL"]] if name == "Subscription Confirmation" else [])


@pytest.mark.parametrize("given", ["", "tidemill:emitted/x", f"{TOPIC}s:1", "arn:aws:sns:eu-west-1:1:other:2"])
async def test_a_subscription_is_believed_where_it_is_one_to_the_topic_that_is_signed(given: str) -> None:
    payload = {"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC, "Message": "m", "Timestamp": TOLD_AT}
    [event] = await heard(ANYBODY, {"x-amz-sns-subscription-arn": given}, payload)
    assert event.source == "tidemill:hooks/amazon"


async def test_what_is_neither_of_s3_nor_of_sns_is_read_as_any_payload() -> None:
    for payload in ({"Records": [{"eventSource": "aws:kinesis"}]}, {"Records": []}, {"TopicArn": TOPIC}, ["Records"]):
        [event] = await heard(ANYBODY, {}, payload)
        assert (event.source, event.data) == ("tidemill:hooks/amazon", payload)
    with pytest.raises(InvalidEvent, match="this is not understood"):
        await heard(ANYBODY, {}, {"Records": [{"eventSource": "aws:s3"}]})


@pytest.mark.parametrize("name", TABLES["gitlab"])
async def test_row_of_gitlab(name: str) -> None:
    """But for the id: the table wants one made up, with which what is sent twice would be two events."""
    row = TABLES["gitlab"][name]
    payload = payload_for(row, GITLAB_KINDS[name])
    [event] = await heard(GITLAB_HOOK, {"idempotency-key": "f5e5f430"}, payload)
    agrees(event, row, payload)
    assert event.id == "f5e5f430"


def test_the_rows_of_amazon_are_known_not_to_be_followed() -> None:
    """Decision 28: an object is one event, whether a listing or a notification tells of it."""
    assert {name: len(rows) for name, rows in TABLES.items()} == {
        "github": 71,
        "gitlab": 11,
        "aws-s3": 1,
        "aws-sns": 3,
    }


# Type, subject and time; the source is the repository's address, or its owner's.
WORDED: dict[str, tuple[str, str | None, datetime]] = {
    "push": ("push", "refs/tags/simple-tag", NOW),
    "workflow_run.completed": ("workflow_run.completed", at(SAMPLES, "workflow_run.completed/workflow/name"), NOW),
    "release.published": (
        "release.published",
        at(SAMPLES, "release.published/release/id"),
        datetime(2019, 5, 15, 15, 20, 53, tzinfo=UTC),
    ),
    "repository_dispatch": ("repository_dispatchon-demand-test", None, NOW),
    "check_run.completed": (
        "check_run.completed",
        at(SAMPLES, "check_run.completed/check_run/id"),
        datetime.fromisoformat(at(SAMPLES, "check_run.completed/check_run/completed_at")),
    ),
    "deployment": ("deployment", "145988746", datetime(2019, 5, 15, 15, 20, 53, tzinfo=UTC)),
}


@pytest.mark.parametrize("name", SAMPLES)
async def test_real_payload_is_taken_and_worded(name: str) -> None:
    payload, kind = SAMPLES[name], name.partition(".")[0]
    events = await heard(GITHUB_HOOK, {"x-github-event": kind, "x-github-delivery": "d-1"}, payload)
    if kind == "ping":
        assert events == []
        return
    [event] = events
    repository = payload["repository"]
    source = repository["owner"]["url"] if kind == "repository_dispatch" else repository["url"]
    told = event.type.removeprefix("com.github."), event.subject, event.time
    assert (told, event.source, event.id, event.data) == (WORDED[name], source, "d-1", payload)


@pytest.mark.parametrize("name", sorted(SAMPLES))
async def test_a_delivery_with_a_value_of_another_type_is_read_or_refused(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    hook = Webhook("h", verify=GitHub("s"), read=AsCloudEvent())
    headers = {"content-type": "application/json", "x-github-event": name.partition(".")[0]}
    for one in swapped(SAMPLES[name], (None, 7, "x", ["x"], {"x": 1})):
        delivery = Delivery(hook="h", headers=headers, body=json.dumps(one).encode(), received_at=NOW)
        with suppress(InvalidEvent):
            await receive(hook, trusted(hook, delivery))
    assert caplog.get_records("call") == []
