"""`Objects` against a server of S3 that others wrote: moto. What it lists and what it tells of are the same events."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.file_world import RecordingInbox, SystemClock
from tests.contract.streams import kinesis_server as moto_server
from triggers.base import Binding, Surroundings
from triggers.objects import Objects
from triggers.objects.event import event_of
from triggers.objects.listener import ObjectsListener
from triggers.objects.notices import read

KEYS = {"access_key_id": "k", "secret_access_key": "s"}
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=x"
}
NAMES = ("a.csv", "a b+é%.csv", "deep/er/c.csv", "empty.csv")
NOTIFY = """<NotificationConfiguration><QueueConfiguration><Id>1</Id><Queue>{}</Queue>
<Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>"""


async def queue(http: httpx.AsyncClient, action: str, **given: Any) -> dict[str, Any]:
    """Ask SQS, in its JSON protocol."""
    named = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
    signed = {name: value.format("sqs") for name, value in SIGNED.items()}
    answer = await http.post("/", content=json.dumps(given), headers={**signed, **named})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


@pytest.mark.timeout(180)
async def test_what_is_listed_and_what_is_told_through_a_queue_are_the_same_events() -> None:
    from obstore import put_async

    async with moto_server() as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        signed = {name: value.format("s3") for name, value in SIGNED.items()}
        made = await queue(http, "CreateQueue", QueueName="told")
        arn = await queue(http, "GetQueueAttributes", QueueUrl=made["QueueUrl"], AttributeNames=["QueueArn"])
        assert (await http.put("/lake", headers=signed)).status_code == 200
        wanted = NOTIFY.format(arn["Attributes"]["QueueArn"])
        assert (await http.put("/lake?notification", content=wanted, headers=signed)).status_code == 200
        trigger = Objects("s3://lake/landing/**/*.csv", endpoint=url, region="us-east-1", options=KEYS, poll_s=0.2)
        store = trigger.access.open()
        for name in NAMES:
            await put_async(store, f"landing/{name}", b"" if name == "empty.csv" else name.encode())
        inbox = RecordingInbox()
        listener = ObjectsListener([Binding("p", trigger)], Surroundings(inbox, SystemClock(), Path("/")))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(listener.run())
            await inbox.until(lambda: len(inbox.runs) == len(NAMES))
            running.cancel()
        told = {}
        while len(told) < len(NAMES):
            messages = await queue(http, "ReceiveMessage", QueueUrl=made["QueueUrl"], MaxNumberOfMessages=10)
            told |= {one.key: one for one in map(event_of, read(messages, {}, datetime.now(UTC)).objects)}
        assert told.keys() == {event.key for event in inbox.events.values()}
        for event in told.values():
            name = event.data["key"].removeprefix("landing/")
            assert await asyncio.to_thread(trigger.read, event) == (b"" if name == "empty.csv" else name.encode())
