"""Which runner a stage gets where nobody names one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from stages import Pipeline, Retry, stage
from stages.errors import InvalidPipeline


@stage
def free() -> None:
    return None


@stage(timeout_s=5)
def timed() -> None:
    return None


@stage(heartbeat_s=5)
def beating() -> None:
    return None


@stage(retry=Retry(total_s=5))
def bounded() -> None:
    return None


@stage(timeout_s=5)
async def on_the_loop() -> None:
    return None


@stage(timeout_s=5, runner="inline")
def stays() -> None:
    return None


whole = Pipeline("whole", [free, timed, beating, bounded, on_the_loop, stays])
named = Pipeline("named", [timed], runner="inline")


def test_a_blocking_stage_that_has_to_end_runs_where_it_can_be_stopped() -> None:
    assert {one.name: one.runner for one in whole.plan.order} == {
        "free": "inline",
        "timed": "process",
        "beating": "process",
        "bounded": "process",
        "on_the_loop": "inline",
        "stays": "inline",
    }
    assert named.plan.stages["timed"].runner == "inline"


def test_a_pipeline_that_no_other_process_can_import_stays_here() -> None:
    assert Pipeline("local", [timed]).plan.stages["timed"].runner == "inline"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cpu_s": 1}, "cpu_s needs a process of its own: runner='process'"),
        ({"memory_bytes": 1}, "memory_bytes needs a process of its own: runner='process'"),
        ({"runner": "environment"}, "runner='environment' needs to be told its lock file"),
        ({"runner": "container"}, "runner='container' needs to be told its image"),
        ({"environment": "test_where_stages_run.py"}, "is no lock file by its name: use one of requirements"),
        ({"environment": "absent.lock"}, "'absent.lock' is no file"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPipeline, match=told.replace("(", r"\(")):
        Pipeline("odd", [dataclasses.replace(free, **settings)])
