"""A run that a stage starts and waits for, without holding a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SubRun:
    """Return this from a stage to run `pipeline` and wait for its end. Started again, the stage finds the same run.

    The stage's output is that of the sub-run's stage `output`; without one it is a summary: `{"run_id", "pipeline",
    "metrics"}`. A sub-run that fails or is cancelled fails the stage.
    """

    pipeline: str
    params: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    output: str | None = None
