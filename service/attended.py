"""What goes around every attempt, whichever runner makes it: a log, signs of life, and no secrets in errors."""

from __future__ import annotations

from service.logs.stages import StageLogs
from service.loops.heartbeats import Heartbeats, NoSign
from service.progress import ProgressReports
from stages.call import Call
from stages.outcome import ErrorRecord, Failed, Outcome
from stages.plan import PlanStage
from stages.runners.base import Runner
from stages.secret_params import values_in, values_of
from stages.secrets import masked_outcome


class AttendedRunner:
    """A runner, attended to."""

    def __init__(self, runner: Runner, logs: StageLogs, reports: ProgressReports, heartbeats: Heartbeats) -> None:
        self._runner = runner
        self._logs = logs
        self._reports = reports
        self._heartbeats = heartbeats

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`. An attempt that gave no sign for `Stage.heartbeat_s` is stopped, and fails for now."""
        place = self._logs.begin(call)
        for value in (*values_of(call.params, stage.params_type), *values_in(call.all_events)):
            self._logs.of(call).mask(value)
        try:
            if stage.stage.heartbeat_s is None:
                outcome = await self._runner.run(stage, call)
            else:
                async with self._heartbeats.watch(call, stage.stage.heartbeat_s):
                    outcome = await self._runner.run(stage, call)
        except NoSign as error:
            outcome = Failed(ErrorRecord("TimeoutError", str(error), transient=True))
        finally:
            self._reports.end(call)
            log = self._logs.end(place)
            if log is not None:
                await self._logs.store(log)
        return masked_outcome(outcome, self._logs.secrets if log is None else log.secrets)

    async def close(self) -> None:
        """See `Runner`."""
        await self._runner.close()
