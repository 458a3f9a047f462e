"""A hundred pipelines with ten triggers each, of every common kind, for a daemon that has nothing to do."""

from __future__ import annotations

from stages import Pipeline, stage
from triggers import Cron, Every, Files, KafkaArrivals, Webhook

MANY = 100
TOPICS = 10


@stage
async def nothing() -> None:
    """Nothing."""


def _pipeline(number: int) -> Pipeline:
    name = f"p{number}"
    return Pipeline(
        name,
        stages=[nothing],
        on=[
            Cron("0 2 1 1 *", timezone="UTC", name="new-year"),
            Cron("30 4 1 1 *", timezone="Europe/Berlin", name="new-year-in-berlin"),
            Every("30d", name="monthly"),
            Webhook(f"{name}-a"),
            Webhook(f"{name}-b"),
            Webhook(f"{name}-c"),
            KafkaArrivals(f"arrivals{number % TOPICS}", where={"subject": name}, name="arrivals"),
            KafkaArrivals(f"models{number % TOPICS}", where={"subject": name}, name="models"),
            Files(f"landing/{name}/*.parquet"),
            Files(f"landing/{name}/*.csv"),
        ],
    )


PIPELINES = {f"p{number}": _pipeline(number) for number in range(MANY)}
globals().update(PIPELINES)
