"""What only the inline runner promises: blocking stages stay off the loop, and each log line finds its attempt."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from stages import StageContext, stage
from stages.call import Call
from stages.invoke import current_attempt
from stages.values import is_light
from tests.unit.attempts import attempt, failed, value

opened = threading.Event()


@stage
def waits_for_the_loop() -> bool:
    return opened.wait(10)


@stage
def who() -> str:
    return threading.current_thread().name


@stage
async def lets_out() -> None:
    raise asyncio.CancelledError


@stage
def quiet(context: StageContext) -> int:
    logging.getLogger("a.library").warning("heard")
    return context.run_id


@stage
async def quiet_async(context: StageContext) -> int:
    logging.getLogger("a.library").warning("heard")
    return context.run_id


async def test_a_blocking_stage_does_not_block_the_loop() -> None:
    opened.clear()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(attempt(waits_for_the_loop))
        await asyncio.sleep(0)
        opened.set()
    assert await value(running.result()) is True


async def test_a_blocking_stage_runs_in_a_thread_of_the_runners() -> None:
    assert (await value(await attempt(who))).startswith("tidemill-stage")


async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    assert failed(await attempt(lets_out)).error.type == "asyncio.exceptions.CancelledError"


@pytest.mark.parametrize("declared", [quiet, quiet_async])
async def test_whatever_logs_during_an_attempt_can_be_told_whose_it_is(declared: Any) -> None:
    heard: list[Call | None] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(current_attempt.get())

    handler = Listening()
    logging.getLogger("a.library").addHandler(handler)
    try:
        await asyncio.gather(*(attempt(declared, run_id=run) for run in range(5)))
    finally:
        logging.getLogger("a.library").removeHandler(handler)
    assert sorted((one.run_id, one.stage) for one in heard if one is not None) == [
        (run, declared.name) for run in range(5)
    ]
    assert current_attempt.get() is None


@pytest.mark.parametrize(
    ("made", "light"),
    [
        (None, True),
        ({"a": [1, 2, {"b": "c"}]}, True),
        ([0] * 100_000, False),
        ({"deep": {"er": [[0] * 50] * 50}}, False),
        ("x" * 1_000_000, False),
        (object(), False),
    ],
)
def test_only_what_is_quick_to_encode_is_encoded_on_the_loop(made: Any, light: bool) -> None:
    assert is_light(made) is light
