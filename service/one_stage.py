"""Runs one stage without a database, for `tidemill stage run`."""

from __future__ import annotations

from contextlib import AsyncExitStack

from service.catalogue import load_catalogue
from service.kafka_access import kafka_access
from service.settings import Settings
from stages.call import Call
from stages.errors import InvalidCall
from stages.log_lines import NoLogs
from stages.outcome import Outcome
from stages.pipeline import Pipeline, load
from stages.plan import PlanStage
from stages.problems import nearest
from stages.registry import Registry
from stages.runners.base import Report, RunnerTools
from stages.runners.inline import InlineRunner
from stages.secret_params import secret_params
from stages.secrets import Secrets, masked_outcome
from stages.stores import open_store


def find_pipeline(settings: Settings, given: str) -> Pipeline:
    """The pipeline `package.module:name`, or the one of that name among the configured ones.

    Raises `InvalidPipeline` or `NotFound`.
    """
    return load(given) if ":" in given else load_catalogue(settings.pipelines).pipeline(given)


def find_stage(pipeline: Pipeline, name: str) -> PlanStage:
    """A stage by its name. Raises `InvalidCall` naming those there are."""
    stages = pipeline.plan.stages
    if name not in stages:
        known = ", ".join(stages)
        raise InvalidCall(
            f"pipeline {pipeline.name} has no stage {name!r}; it has {known}{nearest(name, list(stages))}"
        )
    return stages[name]


def check_call(call: Call, pipeline: Pipeline, stage: PlanStage) -> None:
    """Raises `InvalidCall` where the call is for something else."""
    if call.pipeline not in (pipeline.name, pipeline.spec) or call.stage != stage.name:
        raise InvalidCall(f"the call is for {call.pipeline} {call.stage}, not for {pipeline.name} {stage.name}")


async def run_stage(
    settings: Settings, stage: PlanStage, call: Call, *, registry: Registry | None, report: Report, secrets: Secrets
) -> Outcome:
    """Make the attempt in this process. Raises `StoreUnavailable` and `ConfigError`.

    `secrets` learns what the stage hides, and what is secret among the parameters; no error holds any of it.
    """
    secrets.add(*secret_params(stage.pipeline, stage.params_type, call.params))
    async with AsyncExitStack() as stack:
        reader = None
        if stage.takes_records and (kafka := kafka_access(settings)):
            from triggers.records import RangeReader

            reader = RangeReader(kafka)
            stack.push_async_callback(reader.close)
        store = open_store(settings.artifacts.url)
        tools = RunnerTools(
            store=store, registry=registry, reader=reader, report=report, logs=NoLogs(secrets.add), threads=1
        )
        runner = InlineRunner(tools)
        stack.push_async_callback(runner.close)
        return masked_outcome(await runner.run(stage, call), secrets)
