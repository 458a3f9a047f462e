"""Apache Kafka itself as the embedded broker: what is in it is there again after the next start."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.embedded.apache_jars import Jars, provide, told
from service.embedded.broker import OwnedBroker, free_port
from service.embedded.child import Child, Order
from service.errors import BrokerUnavailable

FOLDER = "apache-kafka"
FORMAT_TIMEOUT_S = 120.0
PARTITIONS = 4
READY = "Kafka Server started"

# Enough for a try on a laptop; the cleaner alone would take 128 MB.
_SETTINGS = f"""process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
num.partitions={PARTITIONS}
offsets.topic.num.partitions={PARTITIONS}
transaction.state.log.num.partitions={PARTITIONS}
group.initial.rebalance.delay.ms=200
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=8388608
"""

# Warnings, and the one line that says that it serves.
_LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %p %m (%c)%n%rEx{1}
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = info
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One broker of a cluster, which is its controller too: its number and its ports on the loopback interface."""

    node: int
    port: int
    controller: int


def settings(one: Peer, cluster: Sequence[Peer], data: str = "data") -> str:
    """`server.properties` of one of `cluster`. Its records are in `data`, of the folder in which it runs.

    A path in full would have to be without commas and in Latin-1.
    """
    copies = min(3, len(cluster))
    voters = ",".join(f"{peer.node}@127.0.0.1:{peer.controller}" for peer in cluster)
    return _SETTINGS + (
        f"node.id={one.node}\n"
        f"controller.quorum.voters={voters}\n"
        f"listeners=PLAINTEXT://127.0.0.1:{one.port},CONTROLLER://127.0.0.1:{one.controller}\n"
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{one.port}\n"
        f"log.dirs={data}\n"
        f"default.replication.factor={copies}\n"
        f"offsets.topic.replication.factor={copies}\n"
        f"transaction.state.log.replication.factor={copies}\n"
        f"min.insync.replicas={max(1, copies - 1)}\n"
        f"transaction.state.log.min.isr={max(1, copies - 1)}\n"
    )


def order(jars: Jars, folder: Path, main: Sequence[str], *, ready: str = "") -> Order:
    """How to run one of Kafka's programs in `folder`."""
    (folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    java = (
        *("-Xmx512m", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", f"-Djava.io.tmpdir={temporary}"),
        *("-Dlog4j2.configurationFile=log4j2.properties", "-cp", f"{jars.libs}/*"),
    )
    return Order(
        command=[str(jars.java), *java, *main],
        folder=str(folder),
        lock=str(folder / "server.lock"),
        log=str(folder / "broker.log"),
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        ready=ready,
        grace_s=20.0,
    )


async def format_storage(jars: Jars, folder: Path, one: Peer, cluster: Sequence[Peer], cluster_id: str) -> None:
    """Make `folder`/data, under another name first, so that a kill leaves none that is half made.

    Raises `ChildFailed`.
    """
    fresh, config = folder / "data.new", folder / "format.properties"
    shutil.rmtree(fresh, ignore_errors=True)
    config.write_text(settings(one, cluster, fresh.name), encoding="utf-8")
    tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config", config.name)
    await Child(order(jars, folder, tool)).run(FORMAT_TIMEOUT_S)
    (fresh / "formatted-by").write_text(f"{told(jars.version)}\n", encoding="utf-8")
    fresh.rename(folder / "data")


def new_cluster_id() -> str:
    """As Kafka makes them: 16 bytes in base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class ApacheKafka(OwnedBroker):
    """The broker under `home`/apache-kafka, with the records that it had. Where no `jars` are given they are found."""

    start_timeout_s = 120.0

    def __init__(self, home: Path, jars: Jars | None = None) -> None:
        super().__init__(home.absolute() / FOLDER)
        self._given = jars

    async def _prepare(self) -> None:
        self._jars = self._given or await provide(self._folder, os.environ)
        # What is unpacked there stays when the broker is killed.
        await asyncio.to_thread(shutil.rmtree, self._folder / "tmp", ignore_errors=True)
        if (self._folder / "data").exists():
            check_version(self._folder / "data", self._jars)
            return
        peer = _peer(free_port())
        await format_storage(self._jars, self._folder, peer, [peer], new_cluster_id())

    def _order(self, address: str) -> Order:
        peer = _peer(int(address.rpartition(":")[2]))
        config = self._folder / "server.properties"
        config.write_text(settings(peer, [peer]), encoding="utf-8")
        return order(self._jars, self._folder, ["kafka.Kafka", config.name], ready=READY)


def check_version(data: Path, jars: Jars) -> None:
    """Raise `BrokerUnavailable` where a newer Kafka made the data: what it wrote there an older one cannot read."""
    try:
        by = (data / "formatted-by").read_text(encoding="utf-8").strip()
        newer = tuple(map(int, by.split("."))) > jars.version
    except (OSError, ValueError):
        by, newer = "something else", True
    if newer:
        raise BrokerUnavailable(
            f"the data in {data} was made by {by} and the Apache Kafka of {jars.libs} is {told(jars.version)}: "
            "set KAFKA_HOME to one that is as new, or move the data away and begin anew"
        )


def _peer(port: int) -> Peer:
    controller = port
    while controller == port:
        controller = free_port()
    return Peer(1, port, controller)
