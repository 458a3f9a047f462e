"""A process that accepts the same events as others beside it and drives the runs they share, until it dies or is done.

    python -m tests.fault.sharing DSN FOLDER POLICY EVENTS SEED

It prints `done` once every event is accepted, and goes on driving runs.
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from service.app import Daemon
from service.settings import Role
from stages import Event, Pipeline, stage
from tests.db.daemons import daemon, settings
from triggers import Batch, CloudEvents, Latest, RateLimit
from triggers.base import Arrival, Binding
from triggers.errors import InboxBusy
from triggers.match import offer

MOST = 5
LIMIT = 12
POLICIES = {
    "batch": CloudEvents(coalesce=Batch(MOST, 0.15, key="subject")),
    "latest": CloudEvents(coalesce=Latest(0.05, 0.3)),
    "limited": CloudEvents(rate_limit=RateLimit(LIMIT, 600.0)),
}


@stage(reuse="run")
async def count(event: Event, events: list[Event]) -> list[str]:
    return [one.id for one in events]


async def tell_all(one: Daemon, binding: Binding, ids: list[str]) -> None:
    """Accept every event, in an order of its own and a few at a time, however often the inbox is busy."""
    random.shuffle(ids)
    while ids:
        some = ids[: random.randint(1, 9)]
        events = [
            Event(source="tests", id=event_id, type="t", time=datetime.now(UTC), subject=event_id[-1])
            for event_id in some
        ]
        try:
            await one.inbox.accept([Arrival(event, [offer(binding, event)]) for event in events])
        except InboxBusy:
            continue
        del ids[: len(some)]


async def main(dsn: str, folder: Path, policy: str, events: int, seed: int) -> None:
    """Accept, then drive until killed."""
    random.seed(seed)
    trigger = POLICIES[policy]
    pipeline = Pipeline("shares", [count], on=[trigger])
    async with daemon(settings(dsn, folder, Role.EXECUTOR), pipeline) as one:
        await tell_all(one, Binding("shares", trigger), [str(number) for number in range(events)])
        print("done", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    _, given, place, chosen, number, chance = sys.argv
    asyncio.run(main(given, Path(place), chosen, int(number), int(chance)))
