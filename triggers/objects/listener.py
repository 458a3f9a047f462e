"""Serves all `Objects` triggers: looks through each bucket again and again, and says what keeps it from that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from triggers.base import Binding, ListenerState, Surroundings, TriggerStatus
from triggers.errors import SourceUnavailable
from triggers.objects.feed import BucketFeed

logger = logging.getLogger("tidemill.objects")

FIRST_LOOK = "looking through it for the first time since the start"
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class ObjectsListener:
    """One loop for each set of objects that is listed in one way. Raises `InvalidTrigger` where a secret is missing."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        by_listing: dict[Any, list[Binding]] = {}
        for binding in bindings:
            by_listing.setdefault(_listing_of(binding.trigger), []).append(binding)
        self._feeds = [BucketFeed(group, surroundings) for group in by_listing.values()]
        self._states = dict.fromkeys(self._feeds, (ListenerState.STARTING, ""))

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self._feeds:
                    group.create_task(self._serve(feed))
        finally:
            self._states = dict.fromkeys(self._states, (ListenerState.STOPPED, ""))

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding. Its lag is of objects and folders that are not complete yet."""
        return [self._status(feed, binding) for feed in self._feeds for binding in feed.bindings]

    def _status(self, feed: BucketFeed, binding: Binding) -> TriggerStatus:
        state, note = self._states[feed]
        key, why = next(iter(feed.troubles.items()), ("", ""))
        return TriggerStatus(
            binding=binding.name,
            kind=binding.trigger.kind,
            state=state,
            note=note or (f"{key}: {why}" if key else ""),
            last_seen_at=feed.last_seen_at,
            lag_records=feed.waiting,
        )

    async def _serve(self, feed: BucketFeed) -> None:
        await feed.remember()
        failures = 0
        # It may take long, and what it finds is told as it goes.
        self._states[feed] = (ListenerState.LISTENING, FIRST_LOOK)
        while True:
            try:
                await feed.look()
            except* SourceUnavailable as errors:
                pause_s = min(RETRY_S[min(failures, len(RETRY_S) - 1)], feed.trigger.poll_s)
                failures += 1
                self._tell(feed, ListenerState.RETRYING, str(_first(errors)))
            else:
                pause_s, failures = feed.trigger.poll_s, 0
                self._tell(feed, ListenerState.LISTENING, "")
            await self._clock.sleep(pause_s)

    def _tell(self, feed: BucketFeed, state: ListenerState, note: str) -> None:
        if note and self._states[feed] != (state, note):
            logger.warning("%s", note)
        self._states[feed] = (state, note)


def _listing_of(trigger: Any) -> Any:
    """What two triggers have in common that can be served by one listing."""
    options = tuple(sorted(trigger.options.items()))
    how = (trigger.poll_s, trigger.ordered, trigger.rescan_s, trigger.complete, trigger.policy)
    return (trigger.url, trigger.endpoint, trigger.region, options, how)


def _first(errors: BaseExceptionGroup[SourceUnavailable]) -> BaseException:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
