"""Backfills: every tick once, as many at once as was asked, whatever crashes, and on record."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.db.backfills import StopBackfill
from service.loops import backfills
from tests.db.backfilling import DAY, Seen, all_roles, ask, daily, most_under_way, over, ran, watch_under_way
from tests.db.daemons import daemon
from tests.db.writing import rows
from triggers import Cron
from triggers.base import Arrival, Binding, Fate, Offer
from triggers.match import offer
from triggers.schedule import tick_event

DAYS = timedelta(days=1)
NIGHTLY = Cron("0 2 * * *", name="nightly")
EARLY = [f"2026-01-0{day}T02:00:00Z" for day in range(1, 10)]


def tick(number: int, made: Fate = Fate.RAN) -> Arrival:
    """The clock's own tick of a day of January."""
    binding = Binding("daily", NIGHTLY)
    event = tick_event(binding, DAY + timedelta(days=number - 1, hours=2))
    offered = offer(binding, event)
    return Arrival(
        event, [offered if made is Fate.RAN else Offer("daily", "nightly", made, "missed: as the test says")]
    )


async def test_every_tick_of_the_stretch_runs_once_in_order_and_says_that_it_was_backfilled(
    database: str, tmp_path: Path
) -> None:
    seen = Seen()
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        first, last = DAY + timedelta(hours=2), DAY + timedelta(days=4, hours=2)
        backfill = await ask(one, "daily", first, last)  # both ends are due times
        row = await over(database, backfill)
    assert row["state"] == "succeeded"
    assert (row["total"], row["started"], row["succeeded"], row["known"]) == (5, 5, 5, 0)
    assert seen.due() == EARLY[:5]
    assert seen.events[0].time == first
    assert seen.events[0].data == {
        "due_at": EARLY[0],
        "scheduled_at": EARLY[0],
        "schedule": "cron:0 2 * * *",
        "backfill": backfill,
    }
    assert seen.most == 1
    tagged = await rows(database, "select priority, tags, trigger from runs")
    assert {(one["priority"], one["tags"], one["trigger"]) for one in tagged} == {
        (-100, f'["backfill-{backfill}"]', "nightly")
    }


async def test_newest_first_and_so_many_at_once(database: str, tmp_path: Path) -> None:
    seen = Seen(slow=True)
    await watch_under_way(database)
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        backfill = await ask(one, "daily", DAY, DAY + 9 * DAYS, max_parallel=3, newest_first=True)
        await over(database, backfill)
    assert seen.most == 3
    assert sorted(seen.due(), reverse=True)[:3] == sorted(seen.due()[:3], reverse=True)
    assert sorted(seen.due()) == EARLY
    assert await most_under_way(database) == 3


async def test_a_tick_that_ran_does_not_run_again_unless_asked_and_one_that_was_late_does(
    database: str, tmp_path: Path
) -> None:
    seen = Seen()
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        await one.inbox.accept([tick(2), tick(3, Fate.LATE), tick(4, Fate.DEAD)])
        row = await over(database, await ask(one, "daily", DAY, DAY + 4 * DAYS))
        assert (row["started"], row["known"], row["state"]) == (3, 1, "succeeded")
        assert await ran(database) == [(due, "succeeded") for due in EARLY[:4]]
        assert await rows(database, "select * from fates") == []
        [late] = await rows(database, "select envelope from events where id = $1", EARLY[2])
        assert orjson.loads(late["envelope"])["data"]["backfill"] == row["id"]
        [was] = await rows(
            database, "select reason from backfill_ticks where due_at = $1", DAY + 2 * DAYS + timedelta(hours=2)
        )
        assert was["reason"] == "was late: missed: as the test says"
        repeat = await over(database, await ask(one, "daily", DAY, DAY + 4 * DAYS, request="repeat"))
        assert (repeat["started"], repeat["known"], repeat["state"]) == (0, 4, "succeeded")
        again = await over(database, await ask(one, "daily", DAY, DAY + 4 * DAYS, again=True, request="again"))
        assert (again["started"], again["known"]) == (4, 0)
        [receipt] = await one.inbox.accept([tick(1)])  # the clock catches up with it afterwards
        assert not receipt.first
    assert len(await ran(database)) == 8
    assert [event_id for event_id, _ in await ran(database)][1] == f"{EARLY[0]}/backfill-{again['id']}"


async def test_the_clock_and_a_backfill_racing_for_the_same_ticks_run_each_once(database: str, tmp_path: Path) -> None:
    seen = Seen()
    async with (
        daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one,
        daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as other,
    ):
        backfill = await ask(one, "daily", DAY, DAY + 9 * DAYS, max_parallel=9)
        for number in range(1, 10):
            await other.inbox.accept([tick(number)])
        await over(database, backfill)
        async with asyncio.timeout(20):
            while any(state in ("queued", "running") for _, state in await ran(database)):
                await asyncio.sleep(0.05)
    assert sorted(seen.due()) == EARLY
    assert [event_id for event_id, _ in await ran(database)] == EARLY


async def test_after_a_failure_it_goes_on_or_stops_as_asked(database: str, tmp_path: Path) -> None:
    seen = Seen(fails={EARLY[1]})
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        row = await over(database, await ask(one, "daily", DAY, DAY + 3 * DAYS))
        assert (row["state"], row["succeeded"], row["failed"], row["halted"]) == ("failed", 2, 1, None)
        row = await over(
            database, await ask(one, "daily", DAY, DAY + 5 * DAYS, again=True, stop_on_failure=True, request="strict")
        )
    assert (row["state"], row["started"], row["succeeded"], row["failed"]) == ("failed", 2, 1, 1)
    [failed] = await rows(
        database, "select r.id from runs r join events e on e.key = r.event_key where e.id like $1", f"{EARLY[1]}/%"
    )
    assert row["halted"] == f"run {failed['id']} failed"


async def test_a_live_run_goes_before_the_waiting_ones_of_a_backfill(database: str, tmp_path: Path) -> None:
    seen = Seen(slow=True)
    live = EARLY[8]
    async with daemon(all_roles(database, tmp_path, max_runs=1), daily(seen, NIGHTLY)) as one:
        backfill = await ask(one, "daily", DAY, DAY + 8 * DAYS, max_parallel=8)
        async with asyncio.timeout(20):
            while not seen.events:
                await asyncio.sleep(0.01)
        await one.inbox.accept([tick(9)])
        await over(database, backfill)
    assert len(seen.due()) == 9
    assert seen.due().index(live) <= 3
    assert seen.most == 1


async def test_stopped_it_starts_no_more_and_ends_when_its_runs_have(database: str, tmp_path: Path) -> None:
    seen = Seen(slow=True)
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        backfill = await ask(one, "daily", DAY, DAY + 90 * DAYS)
        async with asyncio.timeout(20):
            while len(seen.events) < 2:
                await asyncio.sleep(0.01)
        assert await one.writer.submit(StopBackfill(backfill, "kim")) == [True]
        row = await over(database, backfill)
        assert (row["state"], row["stopped_by"], row["halted"]) == ("stopped", "kim", "stopped by kim")
        assert row["started"] == row["succeeded"] < 90
        assert await one.writer.submit(StopBackfill(backfill, "lee")) == [False]
    assert len(await ran(database)) == row["started"]


async def test_what_the_filter_or_the_parameters_refuse_is_on_record(database: str, tmp_path: Path) -> None:
    seen = Seen()
    trigger = Cron("0 2 * * *", name="nightly", where={"data.due_at": {"not": {"prefix": "2026-01-02"}}})
    async with daemon(all_roles(database, tmp_path), daily(seen, trigger)) as one:
        row = await over(database, await ask(one, "daily", DAY, DAY + 3 * DAYS))
    assert (row["state"], row["succeeded"], row["refused"]) == ("failed", 2, 1)
    [told] = await rows(database, "select * from backfill_ticks where state = 'refused'")
    assert told["reason"].startswith("ignored: filter: data.due_at")


async def test_a_schedule_that_is_switched_off_can_be_backfilled(database: str, tmp_path: Path) -> None:
    seen = Seen()
    off = Cron("0 2 * * *", name="nightly", enabled=False)
    async with daemon(all_roles(database, tmp_path), daily(seen, off)) as one:
        row = await over(database, await ask(one, "daily", DAY, DAY + 2 * DAYS))
    assert (row["state"], row["succeeded"]) == ("succeeded", 2)


async def test_a_schedule_that_changed_meanwhile_ends_its_backfill(database: str, tmp_path: Path) -> None:
    seen = Seen(slow=True)
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        backfill = await ask(one, "daily", DAY, DAY + 90 * DAYS)
        async with asyncio.timeout(20):
            while not seen.events:
                await asyncio.sleep(0.01)
    changed = Cron("0 3 * * *", name="nightly")
    async with daemon(all_roles(database, tmp_path), daily(Seen(), changed)):
        row = await over(database, backfill)
    assert row["state"] == "failed"
    assert row["halted"] == "the schedule was 'cron:0 2 * * *' and is 'cron:0 3 * * *' now: ask anew"


async def test_a_daemon_without_the_pipeline_leaves_a_backfill_to_those_that_have_it(
    database: str, tmp_path: Path
) -> None:
    seen = Seen()
    async with daemon(all_roles(database, tmp_path), daily(Seen(), NIGHTLY, name="other")) as other:
        async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
            await over(database, await ask(one, "daily", DAY, DAY + 3 * DAYS))
        assert other.backfills is not None
    assert seen.due() == EARLY[:3]


async def test_many_ticks_that_ran_are_passed_over_in_few_steps(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfills, "LOOK", 4)
    seen = Seen()
    async with daemon(all_roles(database, tmp_path), daily(seen, NIGHTLY)) as one:
        await one.inbox.accept([tick(number) for number in range(1, 10)])
        row: dict[str, Any] = await over(database, await ask(one, "daily", DAY, DAY + 10 * DAYS))
    assert (row["known"], row["started"], row["state"]) == (9, 1, "succeeded")
