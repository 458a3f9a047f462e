"""What `stage run` and workers answer: the outcome of one attempt as plain data."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import asdict
from typing import Any

import orjson

from stages.artifacts import ArtifactRef
from stages.call import ref_to_plain
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Succeeded


def to_json(outcome: Outcome) -> bytes:
    """`{"state": "succeeded", "output", "metrics"}`, or `failed` with its `error`, or `lost` with its `reason`."""
    if isinstance(outcome, Succeeded):
        done = {"state": "succeeded", "output": ref_to_plain(outcome.output), "metrics": dict(outcome.metrics)}
        return orjson.dumps(done)
    if isinstance(outcome, Failed):
        return orjson.dumps({"state": "failed", "error": asdict(outcome.error)})
    return orjson.dumps({"state": "lost", "reason": outcome.reason})


def from_json(data: bytes) -> Outcome:
    """The outcome that `to_json` wrote. JSON has no NaN: a metric that is null was one."""
    plain = orjson.loads(data)
    if plain["state"] == "failed":
        return Failed(ErrorRecord(**plain["error"]))
    if plain["state"] == "lost":
        return Lost(plain["reason"])
    metrics = {name: float("nan") if value is None else value for name, value in plain["metrics"].items()}
    return Succeeded(_ref(plain["output"]), metrics)


def _ref(plain: dict[str, Any]) -> ArtifactRef:
    inline = plain["inline"]
    return ArtifactRef(**plain | {"inline": None if inline is None else b64decode(inline)})
