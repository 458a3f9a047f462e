"""What becomes of events by the settings of their triggers: paused, late, too many; and how that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.app import Daemon
from service.client import ApiError
from service.db.pausing import LiftPause, PutPause
from service.db.steering import Resume
from service.model import RunState
from service.settings import Role
from stages import Concurrency, InvalidPipeline, Permanent, Pipeline, stage
from stages.subrun import SubRun
from tests.db.api import api, cloudevent
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows
from triggers import Batch, CloudEvents, Manual, RateLimit
from triggers.base import Arrival, Binding, Fate, Outcome, Trigger
from triggers.event import Event
from triggers.manual import manual_event, manual_offer
from triggers.match import offer


@stage(reuse="run")
async def count(events: list[Event]) -> int:
    return len(events)


def happened(event_id: str, **more: Any) -> Event:
    return Event(**{"source": "tests", "id": event_id, "type": "t", "time": datetime.now(UTC), **more})


async def tell(one: Daemon, trigger: Trigger, *events: Event, pipeline: str = "counts") -> list[Outcome]:
    told = [Arrival(event, [offer(Binding(pipeline, trigger), event)]) for event in events]
    return [receipt.outcomes[0] for receipt in await one.inbox.accept(told)]


async def each(trigger: Trigger, name: str, *daemons: Daemon) -> list[Fate]:
    """An event of its own for each daemon."""
    return [(await tell(via, trigger, happened(f"{name}{n}")))[0].fate for n, via in enumerate(daemons)]


async def test_a_pause_holds_in_every_daemon_from_the_next_event_on(database: str, tmp_path: Path) -> None:
    first, second = CloudEvents(name="first"), CloudEvents(name="second")
    counts = Pipeline("counts", [count], on=[first, second])
    given = settings(database, tmp_path, Role.EXECUTOR)
    async with daemon(given, counts) as one, daemon(given, counts) as two:
        assert await each(first, "a", one, two) == [Fate.RAN, Fate.RAN]
        assert await one.writer.submit(PutPause("counts", "first", "the zone moves", "kim")) == [True]
        assert await two.writer.submit(PutPause("counts", "first", "again", "lee")) == [False]
        held = [(await tell(via, first, happened(f"b{n}")))[0] for n, via in enumerate((two, one))]
        assert {(one.fate, one.reason) for one in held} == {
            (Fate.PAUSED, "this trigger was paused by kim: the zone moves")
        }
        assert (await tell(two, second, happened("c")))[0].fate is Fate.RAN
        await two.writer.submit(PutPause("counts", "", "", "kim"))
        [by_pipeline] = await tell(one, second, happened("d"))
        assert (by_pipeline.fate, by_pipeline.reason) == (Fate.PAUSED, "the pipeline was paused by kim")
        lifting = (LiftPause("counts", "first", "kim"), LiftPause("counts", "", "kim"))
        pauses = [row["id"] for row in await rows(database, "select id from pauses order by id")]
        assert await one.writer.submit(*lifting) == pauses
        by = await rows(database, "select distinct pause from fates where fate = 'paused' order by 1")
        assert [row["pause"] for row in by] == pauses
        assert await one.writer.submit(LiftPause("counts", "", "kim")) == [None]
        assert await each(first, "e", one, two) == [Fate.RAN, Fate.RAN]
        assert await tell(two, first, happened("b0")) == [held[0]]


async def test_nothing_runs_that_is_told_after_a_pause_however_many_tell(database: str, tmp_path: Path) -> None:
    trigger = CloudEvents()
    counts = Pipeline("counts", [count], on=[trigger])
    given = settings(database, tmp_path, Role.TRIGGERS)
    async with daemon(given, counts) as one, daemon(given, counts) as two:
        pausing = one.writer.submit(PutPause("counts", "", "", "kim"))

        async def hammer(via: Daemon, name: str, after: asyncio.Event) -> list[tuple[bool, Fate]]:
            told = []
            for number in range(150):
                paused = after.is_set()
                [outcome] = await tell(via, trigger, happened(f"{name}{number}"))
                told.append((paused, outcome.fate))
                begun.release()
            return told

        committed, begun = asyncio.Event(), asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as tasks:
            hammering = [tasks.create_task(hammer(via, name, committed)) for via, name in ((one, "x"), (two, "y"))]
            for _ in range(20):
                await begun.acquire()
            await pausing
            committed.set()
        told = [outcome for task in hammering for outcome in task.result()]
    assert {fate for paused, fate in told if paused} == {Fate.PAUSED}
    assert Fate.RAN in {fate for paused, fate in told if not paused}


async def test_a_start_by_hand_and_a_sub_run_are_not_held_back(database: str, tmp_path: Path) -> None:
    @stage(reuse="run")
    async def asks(event: Event) -> SubRun:
        return SubRun("counts", output="count")

    counts, outer = Pipeline("counts", [count]), Pipeline("outer", [asks])
    async with daemon(settings(database, tmp_path), counts, outer) as one:
        await one.writer.submit(PutPause("counts", "", "", "kim"))
        by_hand = manual_event("counts", {}, None, None, "kim", datetime.now(UTC))
        [receipt] = await one.inbox.accept([Arrival(by_hand, [manual_offer(Binding("counts", Manual()), by_hand)])])
        assert receipt.outcomes[0].fate is Fate.RAN
        assert await reached(one, await start(one, "outer", "1")) is RunState.SUCCEEDED


@pytest.mark.rows_by_hand
async def test_old_events_are_late_by_the_policy_of_their_trigger(database: str, tmp_path: Path) -> None:
    def aged(*ages_s: float) -> list[Event]:
        now = datetime.now(UTC)
        return [happened(f"{number}:{age}", time=now - timedelta(seconds=age)) for number, age in enumerate(ages_s)]

    async def fates(one: Daemon, trigger: Trigger, *ages_s: float) -> Sequence[Fate]:
        await rows(database, "delete from runs")
        await rows(database, "delete from fates")
        return [outcome.fate for outcome in await tell(one, trigger, *aged(*ages_s))]

    ran, late = Fate.RAN, Fate.LATE
    counts = Pipeline("counts", [count])
    async with daemon(settings(database, tmp_path, Role.TRIGGERS), counts) as one:
        assert await fates(one, CloudEvents(), 900_000, 5) == [ran, ran]
        assert await fates(one, CloudEvents(missed="none"), 3600, 5) == [late, ran]
        assert await fates(one, CloudEvents(missed="latest"), 7200, 3600, 5400) == [late, ran, late]
        assert await fates(one, CloudEvents(missed="latest"), 7200, 5) == [late, ran]
        assert await fates(one, CloudEvents(max_age_s=30), 31, 29, 7200) == [late, ran, late]
        assert await fates(one, CloudEvents(max_burst=2), 7200, 3600, 5400, 10) == [late, ran, late, ran]
        [outcome] = await tell(one, CloudEvents(max_age_s=30), *aged(100))
        assert outcome.reason == "missed: 100 s old before anyone could run it, max_age_s is 30"


async def test_the_key_and_the_priority_of_a_trigger_stand_for_those_of_the_pipeline(
    database: str, tmp_path: Path
) -> None:
    declared, own = CloudEvents(name="a"), CloudEvents(name="b", concurrency_key="data.who", priority=7)
    counts = Pipeline("counts", [count], on=[declared, own], concurrency=Concurrency("subject"), priority=-3)
    async with daemon(settings(database, tmp_path, Role.TRIGGERS), counts) as one:
        for trigger in (declared, own):
            await tell(one, trigger, happened(trigger.name, subject="s", data={"who": "w"}))
        found = [tuple(row) for row in await rows(database, "select trigger, key, priority from runs order by id")]
    assert found == [("a", "s", -3), ("b", "w", 7)]


async def test_pauses_are_made_shown_and_lifted_over_http(database: str, tmp_path: Path) -> None:
    trigger = CloudEvents(name="told")
    counts, other = Pipeline("counts", [count], on=[trigger]), Pipeline("other", [count], on=[CloudEvents()])
    async with api(database, tmp_path, pipelines=(counts, other)) as asked:
        call, client = asked.call, asked.client
        made = await call(client.pause, "counts/told", "moving", "kim")
        assert {name: made[name] for name in ("name", "pipeline", "trigger", "reason", "by")} == {
            "name": "counts/told",
            "pipeline": "counts",
            "trigger": "told",
            "reason": "moving",
            "by": "kim",
        }
        assert await call(client.pause, "told", "again", "lee") == made
        assert (await call(client.pauses))["pauses"] == [made]
        shown = {one["name"]: one for one in (await call(client.triggers))["triggers"]}
        assert (shown["counts/told"]["state"], shown["counts/told"]["paused"]) == ("paused", made)
        assert shown["counts/told"]["note"] == "this trigger was paused by kim: moving"
        assert shown["other/cloudevents"]["paused"] is None
        answer = await call(client.send_event, cloudevent("1"))
        assert {(one["pipeline"], one["fate"]) for one in answer["events"][0]["outcomes"]} == {
            ("counts", "paused"),
            ("other", "ran"),
        }
        told = (await call(client.event, "1"))["told"]
        assert "It started nothing in counts: paused, this trigger was paused by kim: moving (told)" in told
        assert "It started run 1 of other" in told
        lifted = await call(client.unpause, "counts/told", "lee")
        assert (lifted["name"], lifted["by"]) == ("counts/told", "lee")
        for wrong, status, why in (
            (("unpause", "counts/told"), 409, "counts/told is not paused: nothing is"),
            (("pause", "count/told"), 404, "did you mean 'counts/told'"),
            (("pause", ""), 422, ""),
        ):
            with pytest.raises(ApiError) as refused:
                await call(getattr(client, wrong[0]), wrong[1])
            assert refused.value.status == status
            assert why in refused.value.detail
    [row] = await rows(database, "select paused_by, lifted_by, reason from pauses")
    assert tuple(row) == ("kim", "lee", "moving")


async def test_events_are_listed_by_fate_page_by_page(database: str, tmp_path: Path) -> None:
    counts = Pipeline("counts", [count], on=[CloudEvents(where={"type": "sum"}, rate_limit=RateLimit(1, 600.0))])
    nobody = Pipeline("nobody", [count])
    async with api(database, tmp_path, pipelines=(counts, nobody)) as asked:
        for number in range(7):
            await asked.call(asked.client.send_event, cloudevent(str(number)))
        await asked.call(asked.client.send_event, cloudevent("other", "another"))

        async def listed(fate: str) -> list[str]:
            found, before = [], None
            while True:
                page = await asked.call(asked.client.events, fate=fate, limit=2, before=before)
                found += [one["id"] for one in page["events"]]
                before = page["next"]
                if before is None:
                    return found

        assert await listed("rate-limited") == ["6", "5", "4", "3", "2", "1"]
        assert await listed("ran") == ["0"]
        assert await listed("ignored") == ["other"]
        assert await listed("paused") == []
        with pytest.raises(ApiError, match="fate='lost': expected one of ran, coalesced, ignored, late"):
            await asked.call(asked.client.events, fate="lost")


async def test_every_event_of_a_shared_run_is_on_record(database: str, tmp_path: Path) -> None:
    trigger = CloudEvents(where={"type": "sum"}, coalesce=Batch(3, 600.0))
    counts = Pipeline("counts", [count], on=[trigger])
    async with api(database, tmp_path, pipelines=(counts,)) as asked:
        call, client = asked.call, asked.client
        await call(client.send_event, cloudevent("a", data=1))
        waiting = await call(client.show, 1)
        assert (waiting["state"], waiting["events"]) == ("queued", 1)
        assert waiting["waits_for"].startswith("more events to share it: it has 1")
        for event_id in "bcdef":
            await call(client.send_event, cloudevent(event_id, data=event_id))
        for run in (1, 2):
            await reached(asked.daemon, run)
        assert (await call(client.event, "b"))["told"] == ("It was coalesced into run 1 of counts by cloudevents")
        first = await call(client.run_events, 1, 2)
        rest = await call(client.run_events, 1, 2, first["next"])
        assert [(one["id"], one["place"]) for one in first["events"] + rest["events"]] == [("a", 0), ("b", 1), ("c", 2)]
        assert [one["cloudevent"]["data"] for one in first["events"] + rest["events"]] == [1, "b", "c"]
        assert rest["next"] is None
        told = await call(client.report, 1)
        assert [told["event"]["id"], *(one["id"] for one in told["shared"])] == ["a", "b", "c"]
        assert "Events that share the run" in await call(client.report_page, 1)
        [stage_told] = (await call(client.explain, 2, since=1))["stages"]
        assert "it takes the event, and that is another" in stage_told["told"]
        differences = {one["name"] for one in (await call(client.diff, 1, 2))["event"]}
        assert {"id", "shared_key"} <= differences
        assert "shared" not in differences
        with pytest.raises(ApiError, match="there is no run 99"):
            await call(client.run_events, 99)


async def test_a_shared_run_that_is_resumed_has_all_its_events_again(database: str, tmp_path: Path) -> None:
    tries: list[list[str]] = []

    @stage(reuse="run")
    async def fails_once(events: list[Event]) -> int:
        tries.append([one.id for one in events])
        if len(tries) == 1:
            raise Permanent("the first time")
        return 1

    trigger = CloudEvents(coalesce=Batch(2, 600.0))
    async with daemon(settings(database, tmp_path), Pipeline("counts", [fails_once], on=[trigger])) as one:
        [first, _] = await tell(one, trigger, happened("a"), happened("b"))
        assert await reached(one, first.run_id or 0) is RunState.FAILED
        await one.writer.submit(Resume(first.run_id or 0, "kim"))
        assert await reached(one, first.run_id or 0, RunState.SUCCEEDED) is RunState.SUCCEEDED
    assert tries == [["a", "b"], ["a", "b"]]


def pipeline_with(*stages: Any, **trigger: Any) -> Pipeline:
    return Pipeline("counts", list(stages), on=[CloudEvents(**trigger)])


def test_settings_that_do_not_fit_the_pipeline_are_refused_when_it_loads() -> None:
    @stage
    async def one_of_them(event: Event) -> int:
        return 1

    with pytest.raises(InvalidPipeline, match="gathers batches, but no stage takes them"):
        pipeline_with(one_of_them, coalesce=Batch(3, 5))
    with pytest.raises(InvalidPipeline, match=r"give it concurrency=Concurrency\('data.who'\)"):
        pipeline_with(one_of_them, concurrency_key="data.who")
    assert pipeline_with(one_of_them, count, coalesce=Batch(3, 5)).version
