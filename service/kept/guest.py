"""The process that drives runs with the kept code of one pipeline version: a small daemon without ears.

Everything of the pipeline is of that version in here: stages, gates, conditions, retries, parameters. It takes runs
that are for this version only, and ends when there have been none for a while, or when the daemon that started it is
gone.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

from service.app import Daemon
from service.build import open_guest
from service.catalogue import Catalogue
from service.kafka_access import kafka_access
from service.kept.link import Asking, Loaded, Order, Refused, receive, send
from service.kept.outbox import AskingOutbox
from service.logs.daemon import set_up_logs
from service.settings import Retention, Role, Settings
from stages.errors import InvalidPipeline
from stages.pipeline import load

IDLE_S = 3.0
LOOK_S = 0.5
PLACES = 4


def main(descriptor: int) -> None:
    """Serve on the socket that was inherited."""
    asyncio.run(_serve(descriptor))


async def _serve(descriptor: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    order: Order | None = await receive(reader)
    if order is None:
        return
    set_up_logs(order.settings.log)
    try:
        catalogue = _catalogue(order)
    except InvalidPipeline as error:
        await send(writer, Refused(str(error)))
        return
    await send(writer, Loaded())
    asking = Asking(reader, writer)
    kafka = kafka_access(order.settings)
    daemon = await open_guest(_settings(order.settings), catalogue, kafka, AskingOutbox(catalogue, asking))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(daemon.run())
        endings = [tasks.create_task(_until_idle(daemon)), tasks.create_task(_until_left(asking, daemon))]
        await daemon.stopped.wait()
        for ending in endings:
            ending.cancel()


def _catalogue(order: Order) -> Catalogue:
    """The pipeline under the version it had, whatever is digested into it of today's packages and of the folder."""
    pipeline = load(order.spec)
    vars(pipeline)["version_digest"] = order.version
    return Catalogue({order.pipeline: pipeline}, {order.pipeline: order.spec}, kept=True)


def _settings(settings: Settings) -> Settings:
    executor = replace(settings.executor, max_runs=PLACES, warm_workers=0)
    return replace(settings, roles=(Role.EXECUTOR,), executor=executor, retention=Retention())


async def _until_idle(daemon: Daemon) -> None:
    """Stop the daemon once it has driven nothing for a while."""
    idle_s = 0.0
    while idle_s < IDLE_S:
        await asyncio.sleep(LOOK_S)
        idle_s = 0.0 if daemon.executor is not None and daemon.executor.running else idle_s + LOOK_S
    daemon.stop()


async def _until_left(asking: Asking, daemon: Daemon) -> None:
    """Give everything back at once when nobody answers any more."""
    await asking.hear()
    daemon.stop()
    daemon.hurry()
