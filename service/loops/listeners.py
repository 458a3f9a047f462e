"""Runs the listeners of all triggers, and tells what they say of themselves."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Sequence

import orjson

from service.db.notes import PutTriggerStatus
from service.db.writer import Writer
from triggers.base import Binding, Listener, Surroundings, TriggerStatus

REPORT_S = 2.0


def make_listeners(bindings: Iterable[Binding], surroundings: Surroundings) -> list[Listener]:
    """One listener for each class that the bindings' triggers name, serving all of its bindings."""
    served: dict[type[Listener], list[Binding]] = {}
    for binding in bindings:
        kind = binding.trigger.listener()
        if kind is not None and binding.trigger.enabled:
            served.setdefault(kind, []).append(binding)
    return [kind(group, surroundings) for kind, group in served.items()]


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
        document = orjson.dumps(dataclasses.asdict(status))
        if self._reported.get(status.binding) != document:
            self._reported[status.binding] = document
            self._writer.later(PutTriggerStatus(status.binding, document))
