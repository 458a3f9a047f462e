"""Keeps a member of a consumer group going: whatever the broker does, it joins again and reads on."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiokafka.errors import UnknownTopicOrPartitionError

from triggers.base import ListenerState
from triggers.errors import SourceUnavailable
from triggers.kafka.client import (
    MISSING,
    TROUBLE,
    BrokerLink,
    Sight,
    close,
    create_topics,
    reading_consumer,
    stop_joining,
    trouble_note,
)
from triggers.kafka.embedded_group import keep_led
from triggers.kafka.group import GroupReader, Membership
from triggers.kafka.parsed import hand_out_parsed

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LONGEST_PAUSE_EMBEDDED_S = 0.5
_SETTLED_S = 10.0
_START_S = 30.0


async def keep_reading(member: Membership, serve: Callable[[GroupReader], Awaitable[None]]) -> None:
    """Serve one reader after the other, until cancelled."""

    async def read() -> None:
        async with open_reader(member) as reader:
            reader.join()
            await serve(reader)

    await keep_trying(member, read)


async def keep_trying(member: Membership, attempt: Callable[[], Awaitable[None]]) -> None:
    """Make one attempt after the other, until cancelled; between them wait, longer after each failure in a row."""
    loop = asyncio.get_running_loop()
    failures, told = 0, ""
    while True:
        began_s = loop.time()
        try:
            await attempt()
        # An attempt that fails while something is being accepted comes as a group.
        except* TROUBLE as errors:
            note = trouble_note(member.access, _first(errors))
            if loop.time() - began_s > _SETTLED_S or note != told:
                # Once, and not at each try: an outage may last for days.
                logger.warning("group %s: %s", member.group, note)
            told = note
            member.tell(ListenerState.RETRYING, note, member.starts.keys())
        failures = 0 if loop.time() - began_s > _SETTLED_S else failures + 1
        await member.clock.sleep(_pause_s(failures, embedded=member.access.embedded))


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _pause_s(failures: int, *, embedded: bool) -> float:
    longest_s = _LONGEST_PAUSE_EMBEDDED_S if embedded else _LONGEST_PAUSE_S
    return random.uniform(0.5, 1.0) * min(longest_s, _FIRST_PAUSE_S * 2.0 ** min(failures, 16))


@asynccontextmanager
async def open_reader(member: Membership) -> AsyncIterator[GroupReader]:
    """A reader that has yet to join its group, connected to a broker that has its topics. Raises one of `TROUBLE`."""
    link = BrokerLink(member.access)
    consumer = reading_consumer(member.access, member.group, member.isolation)
    try:
        await link.open()
        reader = GroupReader(member, consumer, link, await _topics_there(member, link))
        async with asyncio.timeout(_START_S):
            await consumer.start()
        if member.parsed:
            hand_out_parsed(consumer)
        if member.access.embedded:
            keep_led(consumer)
        try:
            yield reader
        except asyncio.CancelledError:
            await reader.leave()
            raise
    finally:
        if not member.access.embedded:
            await stop_joining(consumer)
        await close(consumer)
        await link.close()


async def _topics_there(member: Membership, link: BrokerLink) -> Sight:
    """What the broker has of our topics, after creating the others where we may. Raises when it has none."""
    servers = member.access.bootstrap_servers
    sight = await link.look(member.starts)
    missing = sorted(member.starts.keys() - sight.partitions.keys())
    if missing and member.access.create_topics:
        await create_topics(member.access, missing)
        sight = await link.look(member.starts)
        missing = sorted(member.starts.keys() - sight.partitions.keys())
    if member.places is not None:
        member.places.missing(missing)
    for topic in missing:
        member.tell(ListenerState.RETRYING, _absent(servers, topic, sight), [topic])
    if not sight.partitions:
        raise SourceUnavailable("; ".join(_absent(servers, topic, sight) for topic in missing))
    return sight


def _absent(servers: str, topic: str, sight: Sight) -> str:
    error = sight.absent.get(topic, UnknownTopicOrPartitionError)
    if error in MISSING:
        return f"broker {servers} has no topic {topic!r}: create it"
    return f"broker {servers} does not give topic {topic!r}: {error()}"
