"""A pipeline as plain data: what people see of it, also where its code is not loaded."""

from __future__ import annotations

from typing import Any

import orjson

from stages.pipeline import Pipeline


def definition(pipeline: Pipeline) -> bytes:
    """`describe` as JSON."""
    return orjson.dumps(describe(pipeline), default=str)


def describe(pipeline: Pipeline) -> dict[str, Any]:
    """Name, version, stages with what they take, arrows, gates, triggers, and the schema of the parameters."""
    plan = pipeline.plan
    return {
        "name": pipeline.name,
        "version": pipeline.version,
        "stages": [
            {
                "name": stage.name,
                "inputs": sorted(stage.inputs.values()),
                "after": sorted(stage.upstream - set(stage.inputs.values())),
                "runner": stage.runner,
                "reuse": stage.stage.reuse,
                "timeout_s": stage.stage.timeout_s,
                "max_attempts": stage.stage.retry.max_attempts,
                "environment": stage.stage.environment,
                "code_digest": stage.code_digest,
            }
            for stage in plan.order
        ],
        "arrows": [list(arrow) for arrow in pipeline.arrows],
        "gates": [
            {"name": gate.name, "source": gate.src, "target": gate.dst, "check": gate.gate.name}
            for gates in plan.gates.values()
            for gate in gates
        ],
        "triggers": [
            {"name": trigger.name, "kind": trigger.kind, "where": dict(trigger.where), "enabled": trigger.enabled}
            for trigger in pipeline.on
        ],
        "params": None if pipeline.params is None else pipeline.params.model_json_schema(),
        "serves": pipeline.serve is not None,
    }
