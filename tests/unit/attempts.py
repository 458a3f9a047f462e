"""One attempt of one stage, made as the daemon makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stages import Event, Pipeline, Stage
from stages.artifacts import ArtifactRef
from stages.call import Call
from stages.codecs.base import Scratch
from stages.outcome import Failed, Outcome, Succeeded
from stages.runners.base import RunnerTools, open_runner
from stages.stores import open_store
from stages.values import load, save

EVENT = Event(source="/tests", id="1", type="test", time=datetime(2013, 1, 2, tzinfo=UTC), data={"month": 1})


def a_call(stage: str = "work", **changes: Any) -> Call:
    """A call of a stage named `work`."""
    settled: dict[str, Any] = {"run_id": 7, "attempt": 2, "idempotency_key": "key", "event": EVENT}
    return Call(pipeline="tests", stage=stage, **settled | changes)


async def attempt(
    stage: Stage,
    *,
    others: Sequence[Stage] = (),
    inputs: Mapping[str, Any] | None = None,
    tools: Mapping[str, Any] | None = None,
    runner: str = "inline",
    **call: Any,
) -> Outcome:
    """Run `stage` among `others` once, with `inputs` stored before."""
    store = open_store("memory://")
    plan = Pipeline("tests", [*others, stage]).plan.stages[stage.name]
    with Scratch() as scratch:
        refs: dict[str, ArtifactRef] = {
            name: await save(value, store, scratch) for name, value in (inputs or {}).items()
        }
    running = open_runner(runner, RunnerTools(**({"store": store} | dict(tools or {}))))
    try:
        return await running.run(plan, a_call(stage.name, inputs=refs, **call))
    finally:
        await running.close()


def succeeded(outcome: Outcome) -> Succeeded:
    """The outcome, which must be a success."""
    assert isinstance(outcome, Succeeded), outcome
    return outcome


def failed(outcome: Outcome) -> Failed:
    """The outcome, which must be a failure."""
    assert isinstance(outcome, Failed), outcome
    return outcome


async def value(outcome: Outcome, wanted: Any = None) -> Any:
    """What a small output holds."""
    with Scratch() as scratch:
        return await load(succeeded(outcome).output, open_store("memory://"), wanted, scratch)
