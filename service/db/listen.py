"""Hears what other processes write: Postgres notifications, over one connection that is made anew when it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from service.db.connect import OUTAGES, connect
from service.errors import DatabaseUnavailable

logger = logging.getLogger("tidemill.listen")

# What is heard after each connect: there may have been anything.
MISSED = "missed"

RETRY_S = 0.25
PROBE_S = 30.0


class Listening:
    """Calls a function for each notification on its channel, and every one, with `MISSED`, after each connect."""

    def __init__(self, dsn: str, hear: Mapping[str, Callable[[str], None]]) -> None:
        self._dsn = dsn
        self._hear = hear

    async def run(self) -> None:
        """Listen until cancelled. A notification lost while disconnected is made up for by the call with `MISSED`."""
        while True:
            try:
                await self._listen()
            except (*OUTAGES, DatabaseUnavailable) as error:
                logger.debug("not listening: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        connection = await connect(self._dsn)
        broken = asyncio.Event()
        connection.add_termination_listener(lambda _: broken.set())
        try:
            for channel, hear in self._hear.items():
                await connection.add_listener(channel, _relay(hear))
                hear(MISSED)
            while not await _set_within(broken, PROBE_S):
                await connection.fetchval("select 1")
        finally:
            connection.terminate()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _relay(hear: Callable[[str], None]) -> Callable[[Any, int, str, str], None]:
    def relay(connection: Any, pid: int, channel: str, payload: str) -> None:
        hear(payload)

    return relay
