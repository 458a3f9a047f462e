"""A pipeline as plain data: what people see of it, also where its code is not loaded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from stages.pipeline import Pipeline
from stages.plan import PlanStage
from stages.secret_params import secret_paths
from triggers.base import Trigger


def definition(pipeline: Pipeline) -> bytes:
    """`describe` as JSON."""
    return orjson.dumps(describe(pipeline), default=str)


def describe(pipeline: Pipeline) -> dict[str, Any]:
    """Name, version, stages with what they take, arrows, gates, triggers, and the schema of the parameters."""
    plan = pipeline.plan
    return {
        "name": pipeline.name,
        "version": pipeline.version,
        "stages": [describe_stage(stage) for stage in plan.order],
        "hooks": {when: describe_stage(stage) for when, stage in plan.hooks.items()},
        "arrows": [list(arrow) for arrow in pipeline.arrows],
        "gates": [
            {
                "name": gate.name,
                "source": gate.src,
                "target": gate.dst,
                "check": gate.gate.name,
                "digest": pipeline.gate_digests[gate.name],
            }
            for gates in plan.gates.values()
            for gate in gates
        ],
        "triggers": [describe_trigger(trigger) for trigger in pipeline.on],
        "limits": _limits(pipeline),
        "params": None if pipeline.params is None else _schema(pipeline),
        **({"secret_params": [list(path) for path in secret]} if (secret := secret_paths(pipeline.params)) else {}),
        "serves": pipeline.serve is not None,
    }


def _schema(pipeline: Pipeline) -> Any:
    """The schema of the parameters, without the values that those who wrote a secret's field gave beside it."""
    schema = pipeline.params.model_json_schema() if pipeline.params is not None else {}
    secret = {path[-1] for path in secret_paths(pipeline.params)}
    for model in (schema, *schema.get("$defs", {}).values()):
        for name, told in model.get("properties", {}).items():
            if name in secret:
                for value in ("default", "examples", "const", "enum"):
                    told.pop(value, None)
            elif secret and isinstance(told.get("default"), dict):
                told.pop("default")
    return schema


def describe_trigger(trigger: Trigger) -> dict[str, Any]:
    """What it wants, and what becomes of it; null: nothing is said."""
    coalesce, rate = trigger.coalesce, trigger.rate_limit
    return {
        "name": trigger.name,
        "kind": trigger.kind,
        "where": dict(trigger.where),
        "params": dict(trigger.params),
        "enabled": trigger.enabled,
        "coalesce": None if coalesce is None else coalesce.tells(),
        "missed": trigger.missed,
        "max_age_s": trigger.max_age_s,
        "max_burst": trigger.max_burst,
        "rate_limit": None if rate is None else asdict(rate),
        "concurrency_key": trigger.concurrency_key,
        "priority": trigger.priority,
    }


def describe_stage(stage: PlanStage) -> dict[str, Any]:
    """One stage: what it takes, how it is run, and what of its key is known before it runs."""
    declared = stage.stage
    return {
        "name": stage.name,
        "inputs": sorted(stage.inputs.values()),
        "optional": sorted(stage.inputs[parameter] for parameter in stage.optional),
        "after": sorted(stage.upstream - set(stage.inputs.values())),
        "runner": stage.runner,
        "reuse": declared.reuse,
        "expires_s": declared.expires_s,
        "map": declared.map,
        "conditional": declared.when is not None,
        "timeout_s": declared.timeout_s,
        "max_attempts": declared.retry.max_attempts,
        "environment": declared.environment,
        "image": declared.image,
        "takes_params": stage.takes_params,
        "takes_event": stage.takes_event or stage.takes_records,
        "code_digest": stage.code_digest,
        "environment_digest": stage.environment_digest,
    }


def _limits(pipeline: Pipeline) -> dict[str, Any]:
    """How many of its runs may be under way at once, and how fast they may start; null: without a bound."""
    policy = pipeline.policy
    return {
        "max_running": policy.max_running,
        "concurrency": None if policy.concurrency is None else asdict(policy.concurrency),
        "rate": None if policy.rate is None else asdict(policy.rate),
        "pool": policy.pool,
        "priority": policy.priority,
    }
