"""When to look again: as the daemon says that something happened, or else after a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Event, Thread

from service.errors import ServiceError

LEAST_S = 0.1
# What no log tells, such as how far a stage says it is, is seen by a look for nothing.
QUIET_S = 2.0


class Hearing:
    """Hears of news in a thread of its own, from the first pause until the process ends."""

    def __init__(self, news: Callable[[], Iterable[object]]) -> None:
        self._news = news
        self._hears = False
        self._heard = Event()
        self._thread = Thread(target=self._listen, name="hearing", daemon=True)

    def pause(self, deaf_s: float, least_s: float = LEAST_S) -> None:
        """Until something has happened since the last pause, `least_s` at the least, and not much more than `QUIET_S`.

        While nothing can be heard it lasts `deaf_s`.
        """
        if self._thread.ident is None:
            self._thread.start()
        time.sleep(least_s)
        self._heard.wait(QUIET_S if self._hears else max(0.0, deaf_s - least_s))
        self._heard.clear()

    def _listen(self) -> None:
        while True:
            try:
                for _ in self._news():
                    self._hears = True
                    self._heard.set()
            except (ServiceError, ValueError):
                # There is no stream, or what comes is none: whoever looks over and over needs none.
                pass
            self._hears = False
            self._heard.set()
            time.sleep(QUIET_S)
