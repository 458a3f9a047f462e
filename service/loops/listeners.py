"""Runs the listeners of all triggers, and tells what they say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

import orjson

from service.db.notes import PutTriggerStatus
from service.db.writer import Writer
from service.inbox import PostgresInbox
from service.loops.supervised import Supervised
from triggers.base import Binding, Listener, ListenerState, Surroundings, TriggerStatus

REPORT_S = 2.0


def make_listeners(bindings: Iterable[Binding], surroundings: Surroundings) -> list[Supervised]:
    """One supervised listener for each class that the bindings' triggers name, serving all of its bindings."""
    served: dict[type[Listener], list[Binding]] = {}
    for binding in bindings:
        kind = binding.trigger.listener()
        if kind is not None and binding.trigger.enabled:
            served.setdefault(kind, []).append(binding)
    return [Supervised(partial(kind, group, surroundings), surroundings.clock) for kind, group in served.items()]


class CalledTriggers:
    """The triggers that only wait to be called (webhooks, posted events, people), as a listener that does nothing."""

    def __init__(self, bindings: Iterable[Binding], inbox: PostgresInbox) -> None:
        self._bindings = [one for one in bindings if one.trigger.enabled and one.trigger.listener() is None]
        self._inbox = inbox

    async def run(self) -> None:
        """The HTTP server listens for them."""

    def statuses(self) -> Sequence[TriggerStatus]:
        """When each was last called, by way of this process."""
        return [
            TriggerStatus(
                one.name,
                one.trigger.kind,
                ListenerState.LISTENING,
                last_seen_at=self._inbox.heard_at.get((one.pipeline, one.trigger.name)),
            )
            for one in self._bindings
        ]


class StatusReports:
    """Writes each trigger's status where every process can read it, when it has changed."""

    def __init__(self, writer: Writer, listeners: Sequence[Listener]) -> None:
        self._writer = writer
        self._listeners = listeners
        self._reported: dict[str, bytes] = {}

    async def run(self) -> None:
        """Report now and then, until cancelled."""
        while True:
            for listener in self._listeners:
                for status in listener.statuses():
                    self._report(status)
            await asyncio.sleep(REPORT_S)

    def _report(self, status: TriggerStatus) -> None:
        document = orjson.dumps(status)
        if self._reported.get(status.binding) != document:
            self._reported[status.binding] = document
            self._writer.later(PutTriggerStatus(status.binding, document, status.last_seen_at))
