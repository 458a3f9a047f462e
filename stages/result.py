"""What `stage run` and workers answer: the outcome of one attempt as plain data."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import asdict
from typing import Any, assert_never

import orjson

from stages.artifacts import ArtifactRef
from stages.call import ref_to_plain
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Skipped, Succeeded, Waits
from stages.subrun import SubRun


def to_json(outcome: Outcome) -> bytes:
    """`{"state": "succeeded", "output", "metrics"}`, with `events` where the stage emitted some.

    Or `failed` with its `error`, `lost` or `skipped` with a `reason`, `waiting` with the `sub_run` asked for.
    """
    return orjson.dumps(_plain(outcome), default=str)


def _plain(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Succeeded():
            done = {"state": "succeeded", "output": ref_to_plain(outcome.output), "metrics": dict(outcome.metrics)}
            return done | ({"events": list(outcome.events)} if outcome.events else {})
        case Failed():
            return {"state": "failed", "error": asdict(outcome.error)}
        case Lost():
            return {"state": "lost", "reason": outcome.reason}
        case Skipped():
            return {"state": "skipped", "reason": outcome.reason}
        case Waits():
            return {"state": "waiting", "sub_run": asdict(outcome.sub_run)}
        case _:
            assert_never(outcome)


def from_json(data: bytes) -> Outcome:
    """The outcome that `to_json` wrote. JSON has no NaN: a metric that is null was one."""
    plain = orjson.loads(data)
    match plain["state"]:
        case "failed":
            return Failed(ErrorRecord(**plain["error"]))
        case "lost":
            return Lost(plain["reason"])
        case "skipped":
            return Skipped(plain["reason"])
        case "waiting":
            return Waits(SubRun(**plain["sub_run"]))
    metrics = {name: float("nan") if value is None else value for name, value in plain["metrics"].items()}
    return Succeeded(_ref(plain["output"]), metrics, tuple(plain.get("events", ())))


def _ref(plain: dict[str, Any]) -> ArtifactRef:
    inline = plain["inline"]
    return ArtifactRef(**plain | {"inline": None if inline is None else b64decode(inline)})
