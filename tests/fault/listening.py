"""A pipeline that listens to everything at once; what it listens to is told by the environment of the test."""

from __future__ import annotations

import os

from stages import Event, Pipeline, Records, stage
from triggers import CloudEvents, Every, Files, KafkaArrivals, KafkaBatches, Objects, Webhook

BUCKET = os.environ.get("TEST_BUCKET", "http://127.0.0.1:1")
TOPIC = os.environ.get("TEST_TOPIC", "topic")


@stage
async def take(event: Event) -> str:
    return event.id


@stage
async def count(records: Records) -> int:
    return len(records)


every_record = Pipeline("every_record", [take], on=[KafkaArrivals(TOPIC)])
dead_ones = Pipeline("dead_ones", [take], on=[KafkaArrivals(TOPIC, dead_letter=f"{TOPIC}-dead")])
every_batch = Pipeline("every_batch", [count], on=[KafkaBatches(TOPIC, max_records=20, max_wait_s=0.2)])
every_second = Pipeline("every_second", [take], on=[Every(1)])
every_file = Pipeline("every_file", [take], on=[Files("landing/*.csv", complete="rename")])
# Its scans by the clock are too far apart to help.
every_deep_file = Pipeline("every_deep_file", [take], on=[Files("landing/**/*.csv", complete="rename", rescan_s=3_600)])
every_post = Pipeline("every_post", [take], on=[CloudEvents(), Webhook("ci")])
every_object = Pipeline(
    "every_object",
    [take],
    on=[
        Objects(
            "s3://bucket/landing/**/*.csv",
            endpoint=BUCKET,
            region="eu-west-1",
            options={"access_key_id": "k", "secret_access_key": "s"},
            poll_s=0.1,
        )
    ],
)
