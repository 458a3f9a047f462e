"""What `stage run` answers: the outcome of one attempt as plain data."""

from __future__ import annotations

from dataclasses import asdict

import orjson

from stages.call import ref_to_plain
from stages.outcome import Outcome, Succeeded


def to_json(outcome: Outcome) -> bytes:
    """`{"state": "succeeded", "output", "metrics"}` or `{"state": "failed", "error"}`."""
    if isinstance(outcome, Succeeded):
        done = {"state": "succeeded", "output": ref_to_plain(outcome.output), "metrics": dict(outcome.metrics)}
        return orjson.dumps(done)
    return orjson.dumps({"state": "failed", "error": asdict(outcome.error)})
