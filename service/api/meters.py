"""Counts requests and their time, by route and status."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

from starlette.types import Message, Scope, Send

# One series for what matches no route: an address is the caller's to choose, a label is not.
NO_ROUTE = "other"


class Meters:
    """The counters of this process since it started."""

    def __init__(self) -> None:
        self.started = time.time()
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.counts: Counter[str] = Counter()

    def watch(self, scope: Scope, send: Send) -> Send:
        """`send`, counting the answer when the first of its body is there: a stream's latency ends where it begins."""
        begun, status = time.perf_counter(), 0

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status:
                self._count(scope, status, time.perf_counter() - begun)
                status = 0
            await send(message)

        return counting

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = str(scope.get("tidemill.route") or getattr(scope.get("route"), "path", NO_ROUTE))
        self.requests[scope["method"], route, status] += 1
        self.seconds[route] += seconds
        self.counts[route] += 1
