"""Where a stage runs when nobody says so, and which times could not be kept where it does."""

from __future__ import annotations

from stages.base import Stage
from stages.signature import is_async

DEFAULT_RUNNER = "inline"
STOPPING_RUNNER = "process"


def runner_of(stage: Stage, of_the_pipeline: str | None, run_timeout_s: float | None, importable: bool) -> str:
    """Its own, the one its packages need, or the pipeline's.

    Where nobody names one, a blocking stage that has to end in time runs where it can be stopped, if another process
    can import the pipeline.
    """
    packaged = "environment" if stage.environment is not None else None
    named = stage.runner or ("container" if stage.image is not None else packaged) or of_the_pipeline
    must_end = stage.must_end or run_timeout_s is not None
    if named is None and importable and must_end and not is_async(stage.function):
        return STOPPING_RUNNER
    return named or DEFAULT_RUNNER


def unkept_time(stage: Stage, run_timeout_s: float | None) -> str | None:
    """A time that is declared for a stage and could not be kept in a thread, which nobody can stop, if there is one.

    An `async` stage is cancelled, and left behind where it goes on.
    """
    declared = {
        f"timeout_s={stage.timeout_s!r}": stage.timeout_s,
        f"heartbeat_s={stage.heartbeat_s!r}": stage.heartbeat_s,
        f"Retry(total_s={stage.retry.total_s!r})": stage.retry.total_s,
        f"the pipeline's timeout_s={run_timeout_s!r}": run_timeout_s,
    }
    if is_async(stage.function):
        return None
    return next((told for told, time_s in declared.items() if time_s is not None), None)
