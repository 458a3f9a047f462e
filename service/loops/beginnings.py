"""Tells when an attempt has the place it waited for and its function is called: not before is it under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from service.db.stage_logs import Place, place_of
from stages.call import Call


class Beginnings:
    """Knows who wants to hear of which attempt. Made on the loop's thread; all but `began` is called there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._listening: dict[Place, Callable[[], None]] = {}

    @contextmanager
    def told(self, call: Call, hear: Callable[[], None]) -> Iterator[None]:
        """Call `hear` on the loop when the attempt begins while the block lasts."""
        place = place_of(call)
        self._listening[place] = hear
        try:
            yield
        finally:
            self._listening.pop(place, None)

    def began(self, call: Call) -> None:
        """The attempt's function is called now. From any thread."""
        if threading.get_ident() == self._thread:
            self._tell(place_of(call))
            return
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._tell, place_of(call))

    def _tell(self, place: Place) -> None:
        hear = self._listening.get(place)
        if hear is not None:
            hear()
