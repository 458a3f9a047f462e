"""A run while this process drives it, and how it is rebuilt from its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from service.db.results import metrics_of, output_of
from service.db.rows import Row
from service.model import AttemptState, Checked, GateState, RunView, Tried
from stages.pipeline import Pipeline
from stages.plan import Plan
from triggers.cloudevents import restore
from triggers.event import Event


@dataclass(eq=False, slots=True)
class LiveRun:
    """One run in the hands of this process. `scopes` are the attempts under way, so that they can be cut short.

    `branches` counts the tasks that drive it.
    """

    id: int
    epoch: int
    pipeline: Pipeline
    event: Event
    params: Mapping[str, Any]
    view: RunView
    scopes: set[asyncio.Timeout] = field(default_factory=set)
    branches: int = 0
    digest: str | None = None

    @property
    def plan(self) -> Plan:
        """The pipeline's plan."""
        return self.pipeline.plan

    @property
    def params_digest(self) -> str:
        """What stage keys hold of the parameters. Raises `InvalidParams` when the code no longer takes them."""
        if self.digest is None:
            self.digest = self.pipeline.digest_params(self.pipeline.parse_params(self.params))
        return self.digest

    def cancel(self) -> None:
        """Cut short what is under way; the machine closes the run."""
        self.view.cancel = True
        for scope in self.scopes:
            scope.reschedule(asyncio.get_running_loop().time())


def live_run(row: Row, pipeline: Pipeline) -> LiveRun:
    """A claimed run, as far as its own row tells."""
    view = RunView(adoptions=row["adoptions"], cancel=row["cancel"])
    event = restore(orjson.loads(row["envelope"]))
    return LiveRun(row["id"], row["epoch"], pipeline, event, orjson.loads(row["params"]), view)


def recall(view: RunView, attempts: Iterable[Row], gates: Iterable[Any], resume_epoch: int, now: datetime) -> None:
    """Bring back what earlier owners did. What was tried before a person resumed the run does not count against it.

    Raises nothing for attempts another process of this daemon's name left running: the claim called them lost.
    """
    adoptions = view.adoptions
    for row in attempts:
        tried = _tried(row, now)
        if row["epoch"] > resume_epoch:
            view.record(row["stage"], tried)
        else:
            view.tried[row["stage"]] = tried
    view.adoptions = adoptions
    for row in gates:
        view.gates[row["gate"]] = Checked(GateState(row["state"]), row["subject"], row["reason"])


def _tried(row: Row, now: datetime) -> Tried:
    retry_in_s = row["retry_in_s"]
    return Tried(
        attempt=row["attempt"],
        state=AttemptState(row["state"]),
        transient=bool(row["transient"]),
        output=output_of(row) if row["output_digest"] else None,
        metrics=metrics_of(row),
        finished_at=row["finished_at"],
        retry_at=None if retry_in_s is None else now + timedelta(seconds=retry_in_s),
    )
