"""Backtests: what a changed trigger would have done with the recorded events; nothing is run and nothing is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api, problem
from tests.db.asking import everything, tidemill
from tests.db.writing import rows
from triggers.cloudevents import CloudEvents
from triggers.coalesce import Batch
from triggers.event import Event
from triggers.rate import RateLimit
from triggers.schedule import Cron, Every

DATA = "months/data"


class Months(BaseModel):
    month: int = 1


@stage
async def read(event: Event, params: Months) -> int:
    return params.month


@stage
async def totals(events: list[Event]) -> int:
    return len(events)


months = Pipeline(
    "months",
    [read],
    on=[
        CloudEvents(where={"type": "data.arrived"}, params={"month": "data.month"}, name="data"),
        Cron("0 2 * * *"),
        Every("1h", name="hourly"),
    ],
)
shared = Pipeline("shared", [totals], on=[CloudEvents(where={"type": "shared"}, coalesce=Batch(3, 3600), name="data")])
limited = Pipeline(
    "limited", [read], on=[CloudEvents(where={"type": "rated"}, rate_limit=RateLimit(2, 60), name="data")]
)
PIPELINES = (months, shared, limited)

EDITED = """
from pydantic import BaseModel
from stages.base import stage
from stages.pipeline import Pipeline
from triggers.cloudevents import CloudEvents
from triggers.coalesce import Batch
from triggers.event import Event
from triggers.schedule import Cron


class Months(BaseModel):
    month: int


@stage
async def read(event: Event, params: Months) -> int:
    return params.month


edited = Pipeline(
    "months",
    [read],
    on=[
        CloudEvents(
            where={"type": "data.arrived", "data.month": {"not": 3}}, params={"month": "data.month"}, name="data"
        ),
        Cron("0 3 * * *", name="cron:0 2 * * *"),
    ],
)
"""


@pytest.fixture
async def mill(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES) as one:
        yield one


async def sent(one: Api, *months: Any, kind: str = "data.arrived") -> None:
    for number, month in enumerate(months):
        event = {
            "specversion": "1.0",
            "id": f"{kind}{number}",
            "source": "/lake",
            "type": kind,
            "data": {"month": month},
        }
        answer = await one.http.post("/api/v1/events", json=event, headers=STRUCTURED)
        assert answer.status_code == 202, answer.text


async def backtested(one: Api, trigger: str, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/backtests", {"trigger": trigger, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def changes(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["id"], one["before"], one["after"]) for one in found["changed"]]


async def test_a_changed_filter_tells_whose_fate_changes(mill: Api) -> None:
    await sent(mill, 1, 2, 3, "many")
    before = await everything(mill.daemon)
    found = await backtested(mill, DATA, where={"type": "data.arrived", "data.month": {"any": [2, 3]}})
    assert (found["before"], found["after"]) == ({"ran": 3, "dead": 1}, {"ran": 2, "ignored": 2})
    assert changes(found) == [("data.arrived0", "ran", "ignored"), ("data.arrived3", "dead", "ignored")]
    assert found["changed"][0]["after_reason"] == "filter: data.month is 1, wanted any of 2, 3"
    assert (found["runs_before"], found["runs_after"], len(found["runs"])) == (3, 2, 2)
    assert await everything(mill.daemon) == before


async def test_without_a_change_nothing_changes(mill: Api) -> None:
    await sent(mill, 1, "many", 3)
    await sent(mill, 1, 2, kind="other")
    await sent(mill, *range(7), kind="shared")
    await sent(mill, *range(4), kind="rated")
    for name in (DATA, "shared/data", "limited/data"):
        found = await backtested(mill, name)
        assert found["changed"] == [], name
        assert found["before"] == found["after"], name
    assert found["before"] == {"ignored": 12, "ran": 2, "rate-limited": 2}


async def test_wider_filters_find_events_that_were_ignored(mill: Api) -> None:
    await sent(mill, 1)
    await sent(mill, 2, kind="other")
    found = await backtested(mill, DATA, where={})
    assert changes(found) == [("other0", "ignored", "ran")]


@pytest.mark.parametrize(
    ("coalesce", "runs", "sizes"),
    [("batch(3, 3600)", 3, [3, 3, 1]), ("latest(600, 3600)", 1, [7]), ("each", 7, [1] * 7)],
)
async def test_coalescing_is_rehearsed(mill: Api, coalesce: str, runs: int, sizes: list[int]) -> None:
    await sent(mill, *[1] * 7)
    found = await backtested(mill, DATA, coalesce=coalesce)
    assert (found["runs_after"], [one["events"] for one in found["runs"]]) == (runs, sizes)
    assert found["after"].get("coalesced", 0) == 7 - runs


async def test_coalescing_follows_the_times_at_which_events_were_accepted(mill: Api) -> None:
    await sent(mill, *[1] * 4)
    await rows(mill.daemon.dsn, "update events set accepted_at = now() - interval '1 hour' * (5 - seq)")
    found = await backtested(mill, DATA, coalesce="latest(5400, 360000)")
    assert [one["events"] for one in found["runs"]] == [4]
    found = await backtested(mill, DATA, coalesce="latest(1800, 360000)")
    assert [one["events"] for one in found["runs"]] == [1, 1, 1, 1]


async def test_what_was_fired_at_another_trigger_counts_for_that_one_alone(mill: Api) -> None:
    fired = await mill.post("/api/v1/fire", {"name": "limited/data", "payload": "{}"})
    assert fired.json()["events"][0]["fate"] == "ran"
    assert (await backtested(mill, DATA, where={}))["events"] == 0
    assert changes(await backtested(mill, "limited/data", where={"type": "x"}))[0][1:] == ("ran", "ignored")


async def test_only_that_time_is_read(mill: Api) -> None:
    await sent(mill, 1, 2, 3)
    await rows(mill.daemon.dsn, "update events set accepted_at = now() - interval '1 day' * (4 - seq)")
    now = datetime.now(UTC)
    window = {"from": (now - timedelta(days=2.5)).isoformat(), "to": (now - timedelta(days=1.5)).isoformat()}
    assert changes(await backtested(mill, DATA, where={"type": "x"}, **window)) == [("data.arrived1", "ran", "ignored")]


async def test_a_changed_schedule_tells_its_ticks(mill: Api) -> None:
    window = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"}
    found = await backtested(mill, "months/cron:0 2 * * *", cron="0 3 * * *", **window)
    assert found["ticks"] == {
        "before": 2,
        "after": 2,
        "gone": ["2026-01-01T02:00:00Z", "2026-01-02T02:00:00Z"],
        "new": ["2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"],
    }
    zoned = await backtested(mill, "months/cron:0 2 * * *", timezone="Europe/Berlin", **window)
    assert zoned["ticks"]["new"] == ["2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"]
    hourly = await backtested(mill, "months/hourly", cron="0 */2 * * *", **window)
    assert (hourly["ticks"]["before"], hourly["ticks"]["after"], hourly["ticks"]["new"]) == (48, 24, [])


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"trigger": "months/dat"}, 404, "did you mean 'months/data'"),
        ({"trigger": DATA, "where": {"data.x": {"lik": "a"}}}, 422, "unknown operator 'lik'"),
        ({"trigger": DATA, "cron": "0 3 * * *"}, 422, "has no cron expression to change"),
        ({"trigger": "months/hourly", "cron": "0 25 * * *"}, 422, "25"),
        ({"trigger": DATA, "coalesce": "sometimes"}, 422, "each, batch(MAX_EVENTS, MAX_WAIT_S)"),
        ({"trigger": DATA, "coalesce": "batch(1, 60)"}, 422, "max_events=1"),
        ({"trigger": DATA, "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, 422, "is not before"),
    ],
)
async def test_what_makes_no_sense_is_refused(mill: Api, body: dict[str, Any], status: int, told: str) -> None:
    assert told in problem(await mill.post("/api/v1/backtests", body), status)


async def test_an_edited_file_is_tried_in_the_command_alone(mill: Api, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EDITED)
    await sent(mill, 1, 2, 3)
    before = await everything(mill.daemon)
    code, out, err = await tidemill(mill, "backtest", DATA, "--file", "mine.py:edited", "--json", cwd=tmp_path)
    assert code == 0, err
    found = json.loads(out)
    assert changes(found) == [("data.arrived2", "ran", "ignored")]
    assert await everything(mill.daemon) == before
    code, out, _ = await tidemill(
        mill, "backtest", DATA, "--file", "mine.py:edited", "--coalesce", "latest(60, 60)", "--json", cwd=tmp_path
    )
    assert [one["events"] for one in json.loads(out)["runs"]] == [2]
    code, out, err = await tidemill(
        mill,
        *("backtest", "months/cron:0 2 * * *", "--file", "mine.py:edited", "--json"),
        *("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z"),
        cwd=tmp_path,
    )
    assert json.loads(out)["ticks"]["new"] == ["2026-01-01T03:00:00Z"], err
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere")
    for spec, told in (
        ("broken.py:x", "cannot be loaded: ModuleNotFoundError"),
        ("mine.py:none", "has no pipeline 'none'"),
        ("mine.py", "write it as FILE.py:NAME"),
    ):
        code, _, err = await tidemill(mill, "backtest", DATA, "--file", spec, cwd=tmp_path)
        assert (code, told in err) == (2, True), err


async def test_the_command_line_tells_counts_and_changes(mill: Api) -> None:
    await sent(mill, 1, 2)
    code, out, _ = await tidemill(mill, "backtest", DATA, "--where", '{"type": "data.arrived", "data.month": 2}')
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["ran", "2", "1"] in lines
    assert ["runs", "2", "1"] in lines
    assert "filter: data.month is 1, wanted 2" in out
