"""Pipelines whose results are too large for a row; hooks start one, records the other."""

from __future__ import annotations

import os

from stages import Event, Pipeline, stage
from triggers import KafkaArrivals, Webhook

TOPIC = os.environ.get("TEST_TOPIC", "topic")


@stage
def fetch(event: Event) -> list[str]:
    return [f"{event.data['n']:020}"] * 1000


@stage
def count(fetch: list[str]) -> list[int]:
    return [int(one) for one in fetch * 2]


hooked = Pipeline("hooked", [fetch, count], on=[Webhook("hooked")])
recorded = Pipeline("recorded", [fetch, count], on=[KafkaArrivals(TOPIC, start="earliest")])
