"""Stages that log much, oddly, or what nobody may see."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from contextvars import copy_context

from stages import Event, Pipeline, Retry, StageContext, stage

FLOOD_BYTES = 100_000_000
LINE = "x" * 999
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"


@stage
def prints(event: Event) -> None:
    for _ in range(FLOOD_BYTES // (len(LINE) + 1)):
        print(LINE)


@stage
def logs(context: StageContext) -> None:
    for _ in range(FLOOD_BYTES // (len(LINE) + 1)):
        context.logger.info("%s", LINE)


@stage
def counts(event: Event, context: StageContext) -> None:
    for number in range(event.data["lines"]):
        context.logger.info("line %s", number, extra={"number": number})


@stage
def tells(event: Event, context: StageContext) -> None:
    context.logger.warning("read\0 %s", "é\udcff", extra={"rows": 3, "password": "hunter22"})
    print("printed")
    sys.stdout.flush()
    subprocess.run(["sh", "-c", "printf 'raw \\377\\n' >&2"], check=True)


@stage
def hides(event: Event, context: StageContext) -> None:
    context.mask("of the stage")
    print("printed of the stage", flush=True)
    context.progress(0.5, "note of the stage")
    context.logger.info("logged of the stage and AKIAIOSFODNN7EXAMPLE")
    raise ValueError("failed of the stage")


@stage
def shows_a_key(context: StageContext) -> None:
    for line in KEY.splitlines():
        context.logger.info(line)
        print(line, flush=True)
    context.logger.info("logged after it")
    print("printed after it")


@stage
def talks_in_threads(event: Event) -> None:
    def talk(name: int) -> None:
        for number in range(200):
            logging.getLogger("a.library").warning("%s %s", name, number)

    threads = [threading.Thread(target=copy_context().run, args=(talk, name)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@stage(heartbeat_s=3, retry=Retry(max_attempts=2, initial_s=0.01))
def beats(event: Event, context: StageContext) -> int:
    """Falls silent in its first attempt; in its second it takes longer than it may be silent."""
    if context.attempt == 1:
        time.sleep(60)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        context.progress(0.5, "at work")
        time.sleep(0.02)
    return context.attempt


@stage(heartbeat_s=0.2, retry=Retry(max_attempts=1))
async def silent() -> None:
    await asyncio.sleep(60)


_here = (prints, logs, counts, tells, hides, shows_a_key, talks_in_threads, silent)
here = {one.name: Pipeline(one.name, [one]) for one in _here}
printing = Pipeline("printing", [prints], runner="process")
logging_apart = Pipeline("logging_apart", [logs], runner="process")
counting = Pipeline("counting", [counts], runner="process")
telling = Pipeline("telling", [tells], runner="process")
hiding = Pipeline("hiding", [hides], runner="process")
showing = Pipeline("showing", [shows_a_key], runner="process")
beating = Pipeline("beating", [beats], runner="process")
