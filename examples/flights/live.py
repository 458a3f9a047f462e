"""Flights, live: every few seconds, the flights that have just left are compared with those the model was trained on.

The continuous mode. Each micro-batch is one durable run of these three stages.
"""

from __future__ import annotations

import polars as pl
from pydantic import BaseModel

from examples.flights.data import hourly_weather
from examples.flights.features import LABEL, flight_features
from examples.flights.landing import live_flights
from examples.flights.schema import FlightSchema
from stages import Pipeline, Records, StageContext, stage
from stages.canonical.features import drift
from stages.gates import schema_valid
from triggers import KafkaBatches

DRIFTED = 1.0


class LiveReport(BaseModel):
    """One micro-batch against the model in production (`version`, None while there is none).

    `drift`: by how many standard deviations of the training data the mean of a column has moved.
    """

    flights: int
    unlabelled: int
    version: int | None
    drift: dict[str, float]
    drifted: list[str]


@stage
def ingest(records: Records) -> pl.DataFrame:
    """The flights in this micro-batch, in the order they were recorded."""
    return live_flights(records.frame())


@stage
def features(ingest: pl.DataFrame) -> pl.DataFrame:
    """As for training, by the same function."""
    return flight_features(ingest, hourly_weather())


@stage(reuse="run")
async def monitor(features: pl.DataFrame, ctx: StageContext) -> LiveReport:
    """How far these flights are from those the model in production has seen."""
    production = await ctx.registry.alias("flights", "production")
    moved = drift(features, production.metrics) if production else {}
    ctx.record_metrics(flights=features.height, drift=max(map(abs, moved.values()), default=0.0))
    return LiveReport(
        flights=features.height,
        unlabelled=features[LABEL].null_count(),
        version=production.version if production else None,
        drift=moved,
        drifted=sorted(column for column, by in moved.items() if abs(by) > DRIFTED),
    )


flights_live = Pipeline(
    "flights_live",
    stages=[ingest, features, monitor],
    gates={("ingest", "features"): schema_valid(FlightSchema)},
    on=[KafkaBatches("flights.live", max_records=1_000, max_wait_s=10)],
)
