"""What lists a bucket dies of an error nobody expected, and starts again: each object is in one event."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.clock import SystemClock
from service.loops import supervised
from service.loops.supervised import Supervised
from tests.contract.file_world import RecordingInbox
from tests.contract.test_objects import Bucket, ObjectsListener, World, serving
from triggers.base import Binding, ListenerState, Surroundings


async def test_a_listing_that_dies_starts_again_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "FIRST_WAIT_S", 0.1)
    faults = iter([KeyError("nobody expects this"), RuntimeError("nor this")])
    with serving(Bucket()) as bucket:
        world = World(bucket)
        for number in range(5):
            bucket.put(f"landing/{number}.csv", b"%d" % number)
        accept = RecordingInbox.accept

        async def dies(self: RecordingInbox, *given: Any, **more: Any) -> Any:
            for error in faults:
                raise error
            return await accept(self, *given, **more)

        monkeypatch.setattr(RecordingInbox, "accept", dies)
        around = Surroundings(world.inbox, SystemClock(), Path("/"))
        one = Supervised(partial(ObjectsListener, [Binding("p", world.objects())], around), SystemClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(one.run())
            assert len(await world.keys(5)) == 5
            async with asyncio.timeout(20):
                while one.statuses()[0].state is not ListenerState.LISTENING:
                    await asyncio.sleep(0.01)
            running.cancel()
    assert one.restarts == 2
    assert len(world.inbox.told) == len(set(world.inbox.told)) == 5
