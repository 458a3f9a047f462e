"""Flights: a month of New York's flights becomes a model of how late they arrive, approved by a person and served.

Started by a file, an arrival event on Kafka, a clock, a push to main, or by hand.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import polars as pl

from examples.flights.data import hourly_weather
from examples.flights.evaluation import evaluate_model, split, validation_metrics
from examples.flights.features import LABEL, PROFILED, flight_features
from examples.flights.landing import month_files, read_months
from examples.flights.model import FlightParams, Model, fit
from examples.flights.schema import FlightSchema
from examples.flights.serving import predict
from stages import ArtifactRef, Event, Pipeline, Retry, StageContext, stage
from stages.canonical.deploy import Deployment, deploy_version
from stages.canonical.evaluate import EvaluationReport
from stages.canonical.features import profile
from stages.canonical.ingest import data_digest
from stages.canonical.register import RegisteredVersion, register_version
from stages.gates import approved, fresh, metrics_above, schema_valid, tests_pass
from triggers import Cron, Files, GitHub, KafkaArrivals, Webhook

# For a try on one's own machine; set GITHUB_WEBHOOK_SECRET before anybody else can reach the port.
DEMO_SECRET = "tidemill-demo"  # noqa: S105
HOOK_SECRET = "env:GITHUB_WEBHOOK_SECRET" if "GITHUB_WEBHOOK_SECRET" in os.environ else DEMO_SECRET


@stage(retry=Retry(max_attempts=5), timeout_s=600)
def ingest(event: Event, params: FlightParams, ctx: StageContext) -> pl.DataFrame:
    """The flights of the months this event is about, as they left; some never did, some have no arrival yet."""
    files = month_files(event, Path(params.landing), params.months)
    flights = read_months(files)
    ctx.record_metrics(files=len(files), rows=flights.height, unlabelled=flights[LABEL].null_count())
    ctx.logger.info("read %s: data digest %s", ", ".join(file.name for file in files), data_digest(flights))
    return flights


@stage(timeout_s=600)
def features(ingest: pl.DataFrame) -> pl.DataFrame:
    """What is known of each flight when it leaves."""
    return flight_features(ingest, hourly_weather())


@stage(timeout_s=1200)
def train(features: pl.DataFrame, params: FlightParams, ctx: StageContext) -> Model:
    """A model of everything before the hold-out; `r2` is that of one trained a few days earlier."""
    seen, _ = split(features, params)
    ctx.record_metrics(**validation_metrics(seen, params))
    ctx.progress(0.5, "validated")
    return fit(seen, params)


@stage(timeout_s=1200)
def evaluate(train: Model, features: pl.DataFrame, params: FlightParams, ctx: StageContext) -> EvaluationReport:
    """How good it is on days it has not seen, by carrier and origin, and whether it can be made again."""
    report = evaluate_model(train, features, params)
    ctx.record_metrics(**report.metrics)
    return report


@stage(reuse="run", retry=Retry(max_attempts=5))
async def register(
    ingest: ArtifactRef, features: pl.DataFrame, train: ArtifactRef, evaluate: EvaluationReport, ctx: StageContext
) -> RegisteredVersion:
    """A version in state `staging`, with pointers to its data, features, model and evaluation."""
    seen = await asyncio.to_thread(profile, features, PROFILED)
    return await register_version(ctx, "flights", model_input="train", metrics=evaluate.metrics | seen)


@stage(reuse="run", retry=Retry(max_attempts=5))
async def deploy(register: RegisteredVersion, ctx: StageContext) -> Deployment:
    """The approved version answers `POST /models/flights/predict` from now on."""
    return await deploy_version(ctx, register, alias="production")


flights = Pipeline(
    "flights",
    stages=[ingest, features, train, evaluate, register, deploy],
    gates={
        ("ingest", "features"): schema_valid(FlightSchema),
        ("features", "train"): fresh(max_age_s=31 * 86_400),  # a month of flights is good until the next has landed
        ("train", "evaluate"): metrics_above(r2=0.5),
        ("evaluate", "register"): tests_pass(),
        ("register", "deploy"): approved(by="ml-leads"),
    },
    on=[
        Files("landing/flights/*.parquet", complete="rename"),
        KafkaArrivals("data.arrivals", where={"subject": "flights"}),
        # Every two minutes, so that a first try sees it; `0 2 * * *` would do for data that lands once a day.
        Cron("*/2 * * * *", timezone="UTC"),
        Webhook("ci", verify=GitHub(secret=HOOK_SECRET), where={"ref": "refs/heads/main"}),
    ],
    serve=predict,
)
