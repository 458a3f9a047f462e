"""Backtests of what was not changed come to what is on record; those of schedules count the runs of their ticks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from stages.base import stage
from stages.limits import Concurrency
from stages.pipeline import Pipeline
from tests.db.api import Api, api
from tests.db.asking import NO_BROKER, tidemill
from tests.db.writing import rows
from triggers.base import Arrival, Binding, Fate, Offer
from triggers.cloudevents import CloudEvents
from triggers.coalesce import Batch
from triggers.event import Event
from triggers.kafka import KafkaArrivals
from triggers.rate import RateLimit
from triggers.schedule import Every, tick_event

BATCH = {"content-type": "application/cloudevents-batch+json"}
MINUTE = timedelta(minutes=1)
START = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
SPAN = {"from": START.isoformat(), "to": (START + 6 * MINUTE).isoformat()}


@stage
async def read(event: Event) -> str:
    return event.id


@stage
async def totals(events: list[Event]) -> int:
    return len(events)


PIPELINES = (
    Pipeline(
        "newest", [read], on=[CloudEvents(where={"type": "newest"}, missed="latest", max_age_s=3600, name="data")]
    ),
    Pipeline("burst", [read], on=[CloudEvents(where={"type": "burst"}, missed="all", max_burst=2, name="data")]),
    Pipeline(
        "one",
        [read],
        on=[CloudEvents(where={"type": "one"}, name="data")],
        concurrency=Concurrency("type", policy="drop_new"),
    ),
    Pipeline("shared", [totals], on=[CloudEvents(where={"type": "shared"}, coalesce=Batch(9, 3600), name="data")]),
    Pipeline("rated", [read], on=[CloudEvents(where={"type": "rated"}, rate_limit=RateLimit(2, 3600), name="data")]),
    Pipeline("often", [read], on=[Every("1m")]),
)
UNCHANGED = """
from stages.base import stage
from stages.pipeline import Pipeline
from triggers.event import Event
from triggers.schedule import Every


@stage
async def read(event: Event) -> str:
    return event.id


often = Pipeline("often", [read], on=[Every("1m")])
strict = Pipeline("often", [read], on=[Every("1m", missed="none", max_age_s=30)])
"""


@pytest.fixture
async def mill(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES) as one:
        yield one


async def sent(one: Api, kind: str, *ages_s: float, again: str = "") -> None:
    """Events of these ages, in one request."""
    now = datetime.now(UTC)
    events = [
        {
            "specversion": "1.0",
            "id": f"{kind}{again}{number}",
            "source": "/lake",
            "type": kind,
            "time": (now - timedelta(seconds=age_s)).isoformat(),
            "data": {"number": number},
        }
        for number, age_s in enumerate(ages_s)
    ]
    answer = await one.http.post("/api/v1/events", content=json.dumps(events), headers=BATCH)
    assert answer.status_code == 202, answer.text


async def ticked(one: Api, *minutes: int, delay_s: float = 0.2) -> None:
    """Ticks of `often`, each accepted so long after it was due, by a daemon that has known it for a month."""
    binding = Binding("often", PIPELINES[-1].on[0])
    for minute in minutes:
        event = tick_event(binding, START + minute * MINUTE)
        await one.daemon.inbox.accept([Arrival(event, [Offer("often", "every:1m")])])
    await rows(
        one.daemon.dsn,
        "update events set accepted_at = occurred_at + make_interval(secs => $1) where source like '%often%'",
        delay_s,
    )
    await rows(one.daemon.dsn, "update pipelines set first_seen_at = now() - interval '400 days'")


async def backtested(one: Api, trigger: str, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/backtests", {"trigger": trigger, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("kind", "ages_s", "fates"),
    [
        ("newest", (600, 500, 400, 7200, 5), {"ran": 1, "late": 4}),
        ("burst", (500, 400, 300, 200, 100), {"ran": 2, "late": 3}),
        ("one", (1, 1, 1), {"ran": 1, "ignored": 2}),
    ],
)
async def test_what_stays_as_it_is_gives_what_is_on_record(
    mill: Api, kind: str, ages_s: Sequence[float], fates: dict[str, int]
) -> None:
    await sent(mill, kind, *ages_s)
    await sent(mill, "other", 1)
    found = await backtested(mill, f"{kind}/data")
    assert found["before"].get("ran") == fates["ran"]
    assert (found["after"], found["changed"]) == (found["before"], [])
    assert {name: found["after"][name] for name in fates if name != "ignored"} == {
        name: count for name, count in fates.items() if name != "ignored"
    }


async def test_what_one_request_held_counts_as_handed_over_together(mill: Api) -> None:
    await sent(mill, "burst", 500, 400, 300, 200, 100)
    found = await backtested(mill, "burst/data", where={"type": {"any": ["burst", "x"]}, "data.number": {"not": 4}})
    assert found["after"]["ran"] == 1
    for_all = await backtested(mill, "newest/data", where={"type": "burst"})
    assert (for_all["after"]["ran"], for_all["after"]["late"]) == (1, 4)


async def test_what_a_person_paused_stays_paused(mill: Api) -> None:
    await mill.call(mill.client.pause, "newest/data")
    await sent(mill, "newest", 1)
    found = await backtested(mill, "newest/data")
    assert (found["before"], found["after"]) == ({"paused": 1}, {"paused": 1})


async def test_what_joined_a_run_of_before_that_time_is_no_change(mill: Api) -> None:
    await sent(mill, "shared", 1)
    await sent(mill, "rated", 1, 1)
    between = datetime.now(UTC)
    await sent(mill, "shared", 1, 1, again="-")
    await sent(mill, "rated", 1, again="-")
    for kind, fates in (("shared", {"coalesced": 2}), ("rated", {"rate-limited": 1})):
        found = await backtested(mill, f"{kind}/data", **{"from": between.isoformat()})
        assert (found["changed"], {name: found["after"].get(name) for name in fates}) == ([], fates)


async def test_events_that_a_trigger_never_heard_are_no_change(mill: Api) -> None:
    await sent(mill, "newest", 1)
    await rows(mill.daemon.dsn, "delete from fates")
    await rows(mill.daemon.dsn, "update runs set pipeline = 'gone', trigger = 'x'")
    assert (await backtested(mill, "newest/data"))["events"] == 0
    changed = await backtested(mill, "newest/data", where={"type": {"any": ["newest", "x"]}})
    assert (changed["before"], changed["after"]) == ({"unheard": 1}, {"ran": 1})
    assert (await backtested(mill, "newest/data", where={"type": "x"}))["changed"] == []


async def test_a_changed_schedule_counts_the_runs_of_its_ticks(mill: Api) -> None:
    await ticked(mill, 0, 1, 2, 3, 4, 5)
    found = await backtested(mill, "often/every:1m", cron="*/5 * * * *", **SPAN)
    assert (found["ticks"]["before"], found["ticks"]["after"]) == (6, 2)
    assert (found["runs_before"], found["runs_after"], len(found["runs"])) == (6, 2, 2)
    assert (found["after"], found["changes"]) == ({"ran": 2, "gone": 4}, 4)
    found = await backtested(mill, "often", every="30s", **SPAN)
    assert (found["ticks"]["before"], found["ticks"]["after"]) == (6, 12)
    assert (found["runs_before"], found["runs_after"], found["changed"]) == (6, 12, [])
    same = await backtested(mill, "often", **SPAN)
    assert (same["runs_after"], same["changed"], same["ticks"]["gone"]) == (6, [], [])


async def test_new_ticks_of_before_the_schedule_was_there_are_no_runs(mill: Api) -> None:
    await ticked(mill, 3, 4, 5)
    await rows(mill.daemon.dsn, "update pipelines set first_seen_at = $1", START + 3 * MINUTE)
    found = await backtested(mill, "often", every="30s", **SPAN)
    assert (found["runs_before"], found["runs_after"], found["ticks"]["after"]) == (3, 6, 12)


async def test_two_requests_that_one_transaction_accepted_stay_as_they_were_judged(mill: Api) -> None:
    await sent(mill, "newest", 600, 500)
    await sent(mill, "newest", 400, again="-")
    await rows(mill.daemon.dsn, "update events set accepted_at = (select max(accepted_at) from events)")
    found = await backtested(mill, "newest/data")
    assert (found["after"], found["changed"]) == ({"ran": 2, "late": 1}, [])


async def test_the_time_begins_with_from_and_ends_before_to(mill: Api) -> None:
    span = {"from": SPAN["from"], "to": (START + 5 * MINUTE).isoformat()}
    found = await backtested(mill, "often", cron="*/2 * * * *", **span)
    assert found["ticks"]["gone"] == [f"2026-11-20T04:0{minute}:00Z" for minute in (1, 3)]
    assert (found["ticks"]["before"], found["ticks"]["after"]) == (5, 3)


async def test_an_edited_file_is_compared_with_what_is_declared(mill: Api, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(UNCHANGED)
    await ticked(mill, 3, 4, 5, delay_s=40)
    options = ("--from", SPAN["from"], "--to", SPAN["to"], "--json")
    code, out, err = await tidemill(mill, "backtest", "often", "--file", "mine.py:often", *options, cwd=tmp_path)
    assert code == 0, err
    found = json.loads(out)
    assert found["ticks"] == {"before": 6, "after": 6, "gone": [], "new": []}
    assert (found["runs_before"], found["runs_after"], found["changed"]) == (3, 3, [])
    code, out, err = await tidemill(
        mill, "backtest", "often/every:1m", "--file", "mine.py:strict", *options, cwd=tmp_path
    )
    found = json.loads(out)
    assert (found["after"], found["runs_after"]) == ({"late": 3}, 0), err
    assert "max_age_s is 30" in found["changed"][0]["after_reason"]
    await rows(
        mill.daemon.dsn,
        """update events set envelope = convert_to(jsonb_set(convert_from(envelope, 'utf8')::jsonb, '{data,backfill}',
           '7')::text, 'utf8') where occurred_at = $1""",
        START + 3 * MINUTE,
    )
    _, out, err = await tidemill(mill, "backtest", "often/every:1m", "--file", "mine.py:strict", *options, cwd=tmp_path)
    assert json.loads(out)["after"] == {"ran": 1, "late": 2}, err


async def test_why_it_is_told_in_words_of_the_change(mill: Api) -> None:
    await sent(mill, "other", 1)
    await sent(mill, "shared", 1, 1)
    code, out, _ = await tidemill(mill, "backtest", "newest", "--where", '{"type": "other"}')
    assert (code, "no longer: filter: type is" in " ".join(out.split())) == (0, True), out
    found = await backtested(mill, "newest", where={"type": "shared"}, coalesce="batch(2, 60)")
    [told] = [one["after_reason"] for one in found["changed"] if one["after"] == Fate.COALESCED]
    assert told in ("with shared0", "with shared1")


MOVED = """
from stages.base import stage
from stages.pipeline import Pipeline
from triggers.event import Event
from triggers.kafka import KafkaArrivals


@stage
async def read(event: Event) -> str:
    return event.id


topic = Pipeline("topic", [read], on=[KafkaArrivals("data.new", name="data")])
"""


async def test_another_topic_under_the_same_name_hears_what_was_not_heard(database: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MOVED)
    declared = Pipeline("topic", [read], on=[KafkaArrivals("data.old", name="data")])
    async with api(database, tmp_path, Role.API, pipelines=[declared], kafka=NO_BROKER) as one:
        event = Event(source="kafka:c/data.new", id="0/1", type="dev.tidemill.kafka.record", time=datetime.now(UTC))
        await one.daemon.inbox.accept([Arrival(event, [])])
        code, out, err = await tidemill(one, "backtest", "topic", "--file", "mine.py:topic", "--json", cwd=tmp_path)
        assert code == 0, err
        assert json.loads(out)["after"] == {"ran": 1}
