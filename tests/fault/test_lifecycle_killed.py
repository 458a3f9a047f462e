"""`kill -9` between telling how a run went and noting that it was told: told again, the same, and none left out."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.db.receiver import Receiver, receiver
from tests.db.writing import rows
from tests.fault.daemons import daemon_process
from tests.fault.test_daemon_killed import SIX, begin, until_finished
from triggers.cloudevents import from_http
from triggers.event import Event


def told(address: Receiver) -> list[Event]:
    found = []
    for request in address.requests:
        [event] = from_http([(name.encode(), value.encode()) for name, value in request.headers.items()], request.body)
        found.append(event)
    return found


async def test_no_move_of_a_run_is_left_out_by_a_crash(database: str, tmp_path: Path) -> None:
    (tmp_path / "hold").write_text("")
    async with receiver() as address:
        lifecycle = {"TIDEMILL_LIFECYCLE_URL": address.url}
        await register(database, tmp_path, lifecycle)
        for name in ("1", "2"):
            await begin(database, tmp_path, name)
            async with daemon_process(
                database, tmp_path, SIX, **lifecycle, TIDEMILL_FAULTS="sink.delivered=crash"
            ) as process:
                async with asyncio.timeout(60):
                    assert await process.wait() == 137
        async with daemon_process(database, tmp_path, SIX, **lifecycle):
            await until_finished(database, 2)
            async with asyncio.timeout(60):
                while sum(event.type.endswith(".succeeded") for event in told(address)) < 2:
                    await address.got(len(address.requests) + 1)
        await moves_are_told(database, address)


async def register(database: str, folder: Path, lifecycle: dict[str, str]) -> None:
    """The sink begins with what happens after a daemon first had it."""
    async with daemon_process(database, folder, SIX, **lifecycle):
        pass


async def moves_are_told(database: str, address: Receiver) -> None:
    import orjson

    logged = {
        f"{row['xid']}.{row['seq']}.{index}"
        for row in await rows(database, "select xid::text, seq, entries from run_log")
        for index, one in enumerate(orjson.loads(row["entries"]))
        if "run" in one and not {"stage", "gate", "model"} & one.keys() and one["move"] not in ("logged", "abandoned")
    }
    events = told(address)
    assert {event.id for event in events} == logged
    assert len(events) > len(logged), "the crash was to make some come twice"
    assert len({(event.id, event.type, event.subject) for event in events}) == len(logged)
