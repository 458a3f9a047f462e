"""Pipelines for trying the command line against a daemon, and a daemon in a thread of its own to try it on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from service.app import Daemon
from service.settings import Role
from stages import Permanent, Pipeline, Retry, StageContext, stage
from stages.canonical.deploy import Deployment, deploy_version
from stages.canonical.register import RegisteredVersion, register_version
from stages.gates import approved
from tests.db.daemons import daemon, settings
from triggers import Every, Files

STEADY_S = 30.0
LINES = 1_100
# A run that is to be seen running waits here.
opened = threading.Event()


class MillParams(BaseModel):
    """How many rows, and how the first stage ends."""

    rows: int = 3
    fail: str = ""


@stage(reuse="run", retry=Retry(max_attempts=2, initial_s=0.01))
def ingest(params: MillParams, ctx: StageContext) -> list[int]:
    """Rows, or no end."""
    ctx.logger.info("read %s rows\nof grain", params.rows)
    ctx.record_metrics(rows=params.rows)
    if params.fail:
        raise Permanent(params.fail)
    return list(range(params.rows))


@stage
def train(ingest: list[int]) -> int:
    """The model is their sum."""
    return sum(ingest)


@stage(reuse="run")
async def register(train: int, ctx: StageContext) -> RegisteredVersion:
    """One version for one run."""
    return await register_version(ctx, "mill", model_input="train", metrics={"sum": train})


@stage(reuse="run")
async def deploy(register: RegisteredVersion, ctx: StageContext) -> Deployment:
    """Into production."""
    return await deploy_version(ctx, register, alias="production")


@stage(reuse="never")
async def hold(ctx: StageContext) -> str:
    """Logs, and goes on once it may."""
    for number in range(LINES):
        ctx.logger.info("line %s", number)
    await asyncio.to_thread(opened.wait, STEADY_S)
    return "held"


mill = Pipeline(
    "mill",
    [ingest, train, register, deploy],
    gates={("register", "deploy"): approved(by="kim")},
    on=[Every(3600.0), Files("landing/*.csv")],
    serve=lambda model, payload: {"sum": model + payload},
)
slow = Pipeline("slow", [hold])


@contextmanager
def running_daemon(dsn: str, folder: Path, pipelines: Sequence[Pipeline] = (mill, slow)) -> Iterator[Daemon]:
    """A daemon that plays every role, until the end of the block."""
    found: Future[tuple[Daemon, asyncio.AbstractEventLoop]] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with daemon(settings(dsn, folder, *Role), *pipelines) as one:
            found.set_result((one, asyncio.get_running_loop()))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if not found.done():
                found.set_exception(error)
            raise

    thread = threading.Thread(target=run, name="daemon")
    thread.start()
    one, loop = found.result(STEADY_S)
    try:
        yield one
    finally:
        opened.set()
        loop.call_soon_threadsafe(stop.set)
        thread.join(STEADY_S)
