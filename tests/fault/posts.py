"""Posts at a given rate, whatever the answers: cheap enough not to be what is measured."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

NO_ANSWER = 0
TICK_S, TIMEOUT_S = 0.005, 60.0
Numbers = asyncio.Queue[int | None]


@dataclass
class Posts:
    """Posts the n-th request, as it goes over the wire. `answers` are counted by status; `took_s` is of each.

    What would be more than there are connections at once is left out, and counted.
    """

    port: int
    request: Callable[[int], bytes]
    sent: int = 0
    left_out: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    _idle: int = 0

    async def post(
        self, per_s: float, until: float, connections: int, hold: Callable[[], bool] = lambda: False
    ) -> None:
        """Post until then (by `time.monotonic`), but not while told to `hold`; wait for the last answers."""
        due, numbers = time.monotonic(), Numbers()
        self._idle = connections
        async with asyncio.TaskGroup() as tasks:
            for _ in range(connections):
                tasks.create_task(self._send(numbers))
            while (now := time.monotonic()) < until:
                while due <= now:
                    due += 1 / per_s
                    if not hold():
                        self._give(numbers)
                await asyncio.sleep(TICK_S)
            for _ in range(connections):
                numbers.put_nowait(None)

    def _give(self, numbers: Numbers) -> None:
        if not self._idle:
            self.left_out += 1
            return
        self._idle -= 1
        self.sent += 1
        numbers.put_nowait(self.sent)

    async def _send(self, numbers: Numbers) -> None:
        """One connection, made anew when it was closed."""
        way: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while (number := await numbers.get()) is not None:
            began, status = time.monotonic(), NO_ANSWER
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    reader, writer = way = way or await asyncio.open_connection("127.0.0.1", self.port)
                    writer.write(self.request(number))
                    status, stays = await _answer(reader)
            if way is not None and (status == NO_ANSWER or not stays):
                way[1].close()
                way = None
            self.answers[status] += 1
            self.took_s.append(time.monotonic() - began)
            self._idle += 1
        if way is not None:
            way[1].close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return int(head[9:12]), b"connection: close" not in head
