"""What the API answers of resuming a run: the plan, stage by stage and gate by gate."""

from __future__ import annotations

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict

from service.shapes.answers import RunState


class StagePlanShape(TypedDict):
    """What resuming does with a stage, and why: `keep` its result, make it `again`, `run` it for the first time, or
    `skip` it.
    """

    stage: str
    action: str
    why: str


class GatePlanShape(TypedDict):
    """A gate that is checked anew, and why."""

    gate: str
    why: str


class ResumeAnswer(RunState):
    """What became of a request to go on. `plan` and `gates` are told where something changes, or by `dry_run`.

    `note` says so where the run had been abandoned: it leaves that state.
    """

    plan: list[StagePlanShape]
    gates: list[GatePlanShape]
    note: str | None
