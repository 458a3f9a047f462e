"""A call made by hand, for trying a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli.arguments import parse_json, read_text
from service.errors import Invalid

if TYPE_CHECKING:
    from stages.call import Call
    from stages.pipeline import Pipeline


def call_by_hand(pipeline: Pipeline, stage: str, event: str, params: Mapping[str, Any], inputs: Sequence[str]) -> Call:
    """A call made by hand: the first attempt of a run that no daemon knows of."""
    import orjson

    from stages.call import Call

    happened = parse_json(event, "the event")
    given = {
        "pipeline": pipeline.name,
        "stage": stage,
        "run_id": 0,
        "attempt": 1,
        "idempotency_key": "",
        "event": happened,
        "params": params,
        "inputs": dict(_input(pair) for pair in inputs),
        "timeout_s": pipeline.plan.stages[stage].stage.timeout_s,
    }
    call = Call.from_json(orjson.dumps(given))
    return replace(call, idempotency_key=f"{call.event.key}-{pipeline.name}-{stage}")


def _input(pair: str) -> tuple[str, Any]:
    name, equals, file = pair.partition("=")
    if not name or not equals:
        raise Invalid(f"--input {pair!r}: write it as name=result.json")
    told = parse_json(read_text(Path(file)), file)
    output = told.get("output") if isinstance(told, dict) else None
    if output is None:
        raise Invalid(f"{file} is not the result of a stage that succeeded")
    return name, output
