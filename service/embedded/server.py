"""A server that runs for one daemon: owned by it, watched by it, gone with it."""

from __future__ import annotations

import abc
from pathlib import Path
from types import TracebackType

from service.embedded.child import Child, ChildFailed
from service.embedded.owner import Ownership
from service.errors import ServiceError


class OwnedServer(abc.ABC):
    """A server in `folder`, of which one daemon is the owner at a time. A subclass starts it as its `_child`."""

    name: str
    unavailable: type[ServiceError]

    def __init__(self, folder: Path) -> None:
        self._ownership = Ownership(folder)
        self._child: Child | None = None

    @abc.abstractmethod
    async def start(self) -> str:
        """Start it and return where it is reached. Raises `unavailable`."""

    async def watch(self) -> None:
        """Return after `stop`; raise `unavailable` when the server ends on its own.

        To start it again, `stop` first.
        """
        if self._child is None:
            return
        try:
            await self._child.watch()
        except ChildFailed as failure:
            raise self.unavailable(f"{self.name} ended: {failure}") from failure

    async def stop(self) -> None:
        """Stop it; what it holds is safe. Safe to call twice."""
        if self._child is not None:
            await self._child.stop()
        self._ownership.release()

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
