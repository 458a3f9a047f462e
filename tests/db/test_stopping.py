"""What a process accepts while it stops is not lost, and no reason to crash."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.app import Daemon
from service.db.accept import Accept
from stages import Event, Pipeline, stage
from tests.db.daemons import STEADY_S, daemon, reached, settings, start
from tests.db.writing import rows
from triggers.base import Arrival, Offer
from triggers.event import utc_now


@stage
async def only(event: Event) -> int:
    return 1


single = Pipeline("single", [only])


async def test_an_event_that_is_committed_after_the_last_run_was_driven_leaves_its_run_to_others(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Daemon._leave

    async def late(one: Daemon) -> None:
        await one.writer.submit(accepting)
        await leave(one)

    monkeypatch.setattr(Daemon, "_leave", late)
    async with daemon(settings(database, tmp_path), single) as one:
        await reached(one, await start(one, "single", "before"))
        late_event = Event(source="tests", id="late", type="t", time=utc_now())
        accepting = await _in_its_place(one, Arrival(late_event, [Offer("single", "t")]))
    states = "select r.state, r.owner from runs r join events e on e.key = r.event_key where e.id = 'late'"
    assert [tuple(run) for run in await rows(database, states)] == [("queued", None)]


async def _in_its_place(one: Daemon, arrival: Arrival) -> Accept:
    """What accepts it, as if a flush with it had been made while no claim had the places."""
    async with asyncio.timeout(STEADY_S):
        while True:
            accepting = one.inbox.operation_for([arrival])
            accepting.take_places()
            if accepting.runs[0].take:
                return accepting
            await asyncio.sleep(0.01)
