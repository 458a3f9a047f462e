"""Stages that put their worker to the test. They tell what they do in files of the event's folder."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from stages import Event, Pipeline, StageContext, stage


def folder_of(event: Event) -> Path:
    return Path(event.data["folder"])


def started(event: Event) -> int:
    """Tell the process that works on it; returns its id."""
    file = folder_of(event) / "started"
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").rename(file)
    return os.getpid()


@stage
def process_id() -> int:
    return os.getpid()


@stage
def exits() -> None:
    os._exit(3)


@stage
def crashes() -> None:
    ctypes.string_at(0)


@stage
def is_killed(event: Event, context: StageContext) -> None:
    (folder_of(event) / "scratch").write_text(str(context.folder()))
    os.kill(os.getpid(), signal.SIGKILL)


@stage
def interrupts() -> None:
    raise KeyboardInterrupt


@stage
def raises_what_nobody_catches() -> None:
    raise BaseException("odd")


@stage
def sleeps(event: Event) -> None:
    started(event)
    try:
        time.sleep(60)
    finally:
        (folder_of(event) / "cleaned").touch()


@stage
async def waits(event: Event) -> None:
    started(event)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(60))
    finally:
        await asyncio.sleep(0)
        (folder_of(event) / "cleaned").touch()


@stage
async def asks_at_the_end(event: Event, context: StageContext) -> None:
    started(event)
    try:
        await asyncio.sleep(60)
    finally:
        assert await context.registry.alias("m", "production") is None
        (folder_of(event) / "cleaned").touch()


@stage
def clings(event: Event) -> None:
    """Ignores being stopped."""
    while True:
        try:
            started(event)
            time.sleep(60)
        except KeyboardInterrupt:
            continue


@stage
def starts_another(event: Event) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        (folder_of(event) / "other").write_text(str(other.pid))
        started(event)


@stage
def prints() -> None:
    print("one\ntwo", end="")
    print("half\rwhole", file=sys.stderr)
    os.write(1, b"\nraw \xff\n")
    subprocess.run(["echo", "a program's"], check=True)


@stage
def hides(context: StageContext) -> None:
    print("before ", end="")
    context.mask("hunter22")
    print("out hunter22")
    print("err hunter22", file=sys.stderr)
    subprocess.run(["echo", "a program's hunter22"], check=True)


@stage
def floods() -> int:
    line = "x" * 199
    for _ in range(100_000):
        print(line)
    return 1


@stage
def floods_the_log(context: StageContext) -> None:
    for number in range(10_100):
        context.logger.info("line %s", number)


@stage
def tells_every_step(context: StageContext) -> None:
    for number in range(1_001):
        context.progress(number / 1_000, f"step {number}")


@stage(memory_bytes=50_000_000, runner="process")
def takes_memory(event: Event) -> int:
    return len(bytearray(event.data["bytes"]))


@stage(cpu_s=1, runner="process")
def burns() -> int:
    number = 0
    while True:
        number += 1


@stage(cpu_s=1, runner="process")
def burns_and_does_not_hear() -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


@stage
def leaves_a_mess() -> int:
    os.chdir("/")
    os.environ["LEFT"] = "behind"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    sys.stdout.close()
    os.close(1)
    return os.getpid()


@stage
def looks_around(context: StageContext) -> list[str | int | None]:
    print("printed")
    context.logger.info("logged")
    return [os.getpid(), str(Path.cwd()), os.environ.get("LEFT")]


@stage
def forks(context: StageContext) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(squared, range(5))


def squared(number: int) -> int:
    logging.getLogger("forked").warning("squaring %s", number)
    return number**2


pipeline = Pipeline(
    "workers",
    [
        process_id,
        exits,
        crashes,
        is_killed,
        interrupts,
        raises_what_nobody_catches,
        sleeps,
        waits,
        asks_at_the_end,
        clings,
        starts_another,
        prints,
        hides,
        floods,
        floods_the_log,
        tells_every_step,
        takes_memory,
        burns,
        burns_and_does_not_hear,
        leaves_a_mess,
        looks_around,
        forks,
    ],
)
second = Pipeline("second", [process_id])
