"""A broker that runs for one daemon, on a port that was free."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import re
import socket
from pathlib import Path

from service.embedded.child import Child, ChildFailed, Order
from service.embedded.owner import Occupied
from service.embedded.server import OwnedServer
from service.errors import BrokerUnavailable

# Between our look for a free port and the broker's own bind somebody else may take it.
PORT_TRIES = 3
_IN_USE = re.compile(r"address( already)? in use", re.IGNORECASE)


class OwnedBroker(OwnedServer):
    """A broker in `folder`, on a free port of the loopback interface. What is run, and how, a subclass says."""

    name = "the embedded broker"
    unavailable = BrokerUnavailable
    start_timeout_s = 20.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    async def start(self) -> str:
        """Start it and return its bootstrap servers. Raises `BrokerUnavailable`."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._ownership.take()
            return await self._start_owned()
        except Occupied as occupied:
            raise BrokerUnavailable(
                f"{occupied}, choose another TIDEMILL_HOME, or share its broker by setting "
                "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS"
            ) from occupied
        except ChildFailed as failure:
            raise BrokerUnavailable(f"the embedded broker did not start: {failure}") from failure
        except OSError as error:
            raise BrokerUnavailable(
                f"the embedded broker cannot use {self._folder}: {error}: choose another TIDEMILL_HOME, "
                "or set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS to a broker of your own"
            ) from error

    @abc.abstractmethod
    async def _prepare(self) -> None:
        """Have ready whatever each try to start needs."""

    @abc.abstractmethod
    def _order(self, address: str) -> Order:
        """What to run so that clients are served at `address`."""

    async def _start_owned(self) -> str:
        with contextlib.ExitStack() as undo:
            undo.callback(self._ownership.release)
            await self._prepare()
            address = await self._launch()
            undo.pop_all()
        return address

    async def _launch(self) -> str:
        for _ in range(PORT_TRIES - 1):
            try:
                return await self._launch_once()
            except ChildFailed as failure:
                if not _IN_USE.search(str(failure)):
                    raise
        return await self._launch_once()

    async def _launch_once(self) -> str:
        address = f"127.0.0.1:{free_port()}"
        order = await asyncio.to_thread(self._order, address)
        self._child = Child(order)
        await self._child.start(self.start_timeout_s)
        return address


def free_port() -> int:
    """A port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
