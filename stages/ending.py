"""How a run ended, for the stages that clean up after it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What a stage in `on_failure`, `on_cancel` or `finally_` is told, in a parameter annotated `RunEnd`.

    `state` is `succeeded`, `failed` or `cancelled`; `stage` (a stage or gate) and `reason` say what ended the run where
    it did not succeed.
    """

    state: str
    stage: str = ""
    reason: str = ""
