"""The brokers that the tests run on: the embedded one in memory, or Apache Kafka with `--kafka=apache`."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import uuid
from pathlib import Path

from service.embedded.apache import READY as APACHE_READY
from service.embedded.apache import ApacheKafka, Peer, format_storage, new_cluster_id, order, settings
from service.embedded.apache_jars import Jars, provide
from service.embedded.broker import OwnedBroker, free_port
from service.embedded.child import Child, Order
from service.embedded.kafka import EmbeddedKafka, executable, packaged_program
from service.settings import Broker

# Fetched once for all tests, and gone with `make clean`.
FETCHED = Path(__file__).parents[1] / ".venv" / "apache-kafka"

_chosen = Broker.TANSU
_jars: list[Jars] = []


def choose(broker: Broker) -> None:
    """Have everything here run on it from now on."""
    global _chosen
    _chosen = broker


def chosen() -> Broker:
    """What the tests run on."""
    return _chosen


async def apache_jars() -> Jars:
    """Apache Kafka, fetched where it is not there. Raises `BrokerUnavailable`: without it no test is green."""
    if not _jars:
        _jars.append(await provide(FETCHED, os.environ))
    return _jars[0]


async def session_broker(home: Path) -> OwnedBroker:
    """The one that the tests of a session share."""
    return EmbeddedKafka(home) if _chosen is Broker.TANSU else ApacheKafka(home, await apache_jars())


class RestartableBroker:
    """A broker that comes back at the same address, as a new and empty cluster. Clients are sent to `advertised`."""

    def __init__(self, home: Path, advertised: str | None = None) -> None:
        self._home = home
        self._port = free_port()
        self.servers = f"127.0.0.1:{self._port}"
        self._advertised = advertised or self.servers
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it, with nothing in it."""
        made = self._tansu() if _chosen is Broker.TANSU else await self._apache()
        self._child = Child(dataclasses.replace(made, stop_signal=signal.SIGKILL))
        await self._child.start(60.0)

    async def stop(self) -> None:
        """Kill it; everything in it is gone."""
        if self._child is not None:
            await self._child.stop()

    def _tansu(self) -> Order:
        url, cluster = f"tcp://{self.servers}", str(uuid.uuid4())
        return Order(
            command=[
                *(
                    str(executable(packaged_program(), self._home)),
                    "--cluster-id",
                    cluster,
                    "--storage-engine",
                    "memory://tansu/",
                ),
                *("--listener-url", url, "--advertised-listener-url", f"tcp://{self._advertised}"),
            ],
            folder=str(self._home),
            lock=str(self._home / "broker.lock"),
            log=str(self._home / "broker.log"),
            ready="ready in ",
        )

    async def _apache(self) -> Order:
        jars, peer = await apache_jars(), Peer(1, self._port, free_port())
        shutil.rmtree(self._home / "data", ignore_errors=True)
        await format_storage(jars, self._home, peer, [peer], new_cluster_id())
        written = settings(peer, [peer]).splitlines()
        written.append(f"advertised.listeners=PLAINTEXT://{self._advertised}")
        (self._home / "server.properties").write_text("\n".join(written), encoding="utf-8")
        return order(jars, self._home, ["kafka.Kafka", "server.properties"], ready=APACHE_READY)
