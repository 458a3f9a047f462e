"""Which runner a stage gets where nobody names one."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from stages import Pipeline, Retry, stage
from stages.base import Stage
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


@stage(runner="inline")
def stays() -> None:
    return None


@stage(runner="inline")
async def stays_on_the_loop() -> None:
    return None


whole = Pipeline(
    "whole", [free, timed, beating, bounded, on_the_loop, stays], finally_=dataclasses.replace(free, name="end")
)
in_time = Pipeline("in_time", [free, on_the_loop, stays_on_the_loop], timeout_s=60)


def test_a_blocking_stage_that_has_to_end_runs_where_it_can_be_stopped() -> None:
    assert {one.name: one.runner for one in whole.plan.stages.values()} == {
        "free": "inline",
        "timed": "process",
        "beating": "process",
        "bounded": "process",
        "on_the_loop": "inline",
        "stays": "inline",
        "end": "process",
    }


def test_so_does_one_whose_run_has_to_end() -> None:
    assert {one.name: one.runner for one in in_time.plan.order} == {
        "free": "process",
        "on_the_loop": "inline",
        "stays_on_the_loop": "inline",
    }


KEPT = [
    (timed, {}, "timeout_s=5"),
    (beating, {}, "heartbeat_s=5"),
    (bounded, {}, "Retry(total_s=5)"),
    (free, {"timeout_s": 60}, "the pipeline's timeout_s=60"),
]


@pytest.mark.parametrize(("stage", "settings", "told"), KEPT)
def test_a_time_that_no_thread_can_keep_is_refused(stage: Stage, settings: Any, told: str) -> None:
    said = (
        rf"test_where_stages_run.py:\d+: stage '{stage.name}': {re.escape(told)} cannot be kept in a thread, which "
        r"nobody can stop: leave out runner='inline', and it runs in a process; or make it async"
    )
    with pytest.raises(InvalidPipeline, match=said):
        Pipeline("kept", [dataclasses.replace(stage, runner="inline")], **settings)
    with pytest.raises(InvalidPipeline, match=said):
        Pipeline("kept", [stage], runner="inline", **settings)


@pytest.mark.parametrize(("stage", "settings", "told"), KEPT)
def test_so_is_one_in_a_pipeline_that_no_other_process_can_import(stage: Stage, settings: Any, told: str) -> None:
    local = Pipeline("local", [stage], **settings)
    with pytest.raises(InvalidPipeline, match=re.escape(f"{told} can be kept in a process of its own only, and no")):
        local.plan  # noqa: B018


def test_what_needs_no_process_is_at_home_in_any_pipeline() -> None:
    local = Pipeline("local", [on_the_loop, free], finally_=dataclasses.replace(free, name="end"))
    assert {one.runner for one in local.plan.stages.values()} == {"inline"}
    timed_run = Pipeline("local", [on_the_loop], finally_=dataclasses.replace(free, name="end"), timeout_s=60)
    assert {one.runner for one in timed_run.plan.stages.values()} == {"inline"}


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
