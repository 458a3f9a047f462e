"""Sub-runs: what a stage gets once the run it waited for has ended."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from service.db.reads import Reads
from service.db.results import metrics_of, output_of
from service.db.rows import Row
from service.loops.live import LiveRun
from service.machine import Collect
from service.model import DONE, RunState, unit_of
from service.words.endings import failed_why
from stages.artifacts import ArtifactStore
from stages.codecs.base import Scratch
from stages.outcome import ErrorRecord, Failed, Succeeded
from stages.values import save


@dataclass(frozen=True, slots=True)
class SubRuns:
    """Reads how sub-runs ended."""

    reads: Reads
    store: ArtifactStore

    async def collect(self, run: LiveRun, move: Collect) -> Succeeded | Failed:
        """The result of the stage whose sub-run has ended. Raises `DatabaseUnavailable`."""
        waiting = run.view.tried[unit_of(move.stage, move.item)]
        child = await self.reads.row("ended_child", waiting.child_run)
        attempts = await self.reads.fetch("attempts_of", [waiting.child_run])
        if child is None or child["state"] != RunState.SUCCEEDED:
            return Failed(_failure(waiting.child_run, child))
        wanted = await self.reads.row("wanted_output", run.id, move.stage, move.item, move.attempt)
        if wanted is not None and wanted["output"]:
            return _output(attempts, child, wanted["output"])
        return await self._summary(attempts, child)

    async def _summary(self, attempts: list[Row], child: Row) -> Succeeded:
        metrics = {name: value for row in attempts if row["void"] is None for name, value in metrics_of(row).items()}
        told = {"run_id": child["id"], "pipeline": child["pipeline"], "metrics": metrics}
        with Scratch() as scratch:
            return Succeeded(await save(told, self.store, scratch), metrics)


def _output(attempts: list[Row], child: Row, stage: str) -> Succeeded | Failed:
    done = [row for row in attempts if row["stage"] == stage and row["item"] < 0 and row["void"] is None]
    if done and done[-1]["state"] in DONE and done[-1]["output_digest"] is not None:
        return Succeeded(output_of(done[-1]), metrics_of(done[-1]))
    return Failed(ErrorRecord("SubRunFailed", f"stage {stage} of sub-run {child['id']} has made nothing"))


def _failure(run_id: int | None, child: Row | None) -> ErrorRecord:
    if child is None:
        return ErrorRecord("SubRunFailed", f"sub-run {run_id} is gone")
    why = failed_why(orjson.loads(child["failure"])) if child["failure"] else ""
    told = f"sub-run {child['id']} of pipeline {child['pipeline']} is {child['state']}" + (f" ({why})" if why else "")
    return ErrorRecord("SubRunFailed", f"{told}: tidemill show {child['id']}; resuming this run resumes it too")
