"""Predictions: counted without waiting for it, and told with the version, on its page and in the lineage."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from service.api.predicted import Predicted
from service.callers import LOCAL, Caller, Right, Via
from service.db.predictions import Counted, PutPredictions
from service.db.retention import removing
from service.db.writer import Operation
from tests.db.api import Api, api, problem
from tests.db.console import look, text_of
from tests.db.test_access_roles import ADMIN, TOKEN
from tests.db.test_tokens import bearer, made
from tests.db.writing import rows, until, writing

VERSION = "/api/v1/models/line/versions/1"
PREDICT = "/models/line/predict"
WRITTEN = "select coalesce(sum(answered), 0) = $1 from predictions"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN = Caller("ann", Via.NAMED, frozenset({Right.VIEWER}))


async def in_production(one: Api) -> int:
    run = await one.start("line")
    await one.call(one.client.move_alias, "line", "production", 1, None)
    return run


async def test_a_version_leads_down_to_its_predictions(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await in_production(one)
        assert (await one.call(one.client.version, "line", 1))["predictions"]["answered"] == 0
        assert "It has answered none that is kept" in text_of(await look(one, "/models/line/versions/1"))
        for _ in range(3):
            assert (await one.post(PREDICT, {"x": [1]})).status_code == 200
        problem(await one.post(PREDICT, {}), 422)
        await until(database, 10, WRITTEN, 3)
        told = await one.call(one.client.version, "line", 1)
        page = text_of(await look(one, "/models/line/versions/1"))
        digest = told["artifacts"]["model"]
        lineage = (await one.http.get(f"/api/v1/runs/{run}/artifacts/{digest}/lineage")).json()
        drawn = await look(one, f"/runs/{run}/artifacts/{digest}/lineage")
        problem(await one.http.get(VERSION, params={"before": "yesterday"}), 422)
        for none in ("2", str(2**31), "x"):
            problem(await one.http.get(f"/api/v1/models/line/versions/{none}"), 404)
            await look(one, f"/models/line/versions/{none}", 404)
    assert told["run_id"] == run
    assert [day["answered"] for day in told["days"]] == [3]
    assert [one["caller"] for one in told["latest"]] == ["local"] * 3
    times = [one["at"] for one in told["latest"]]
    assert (times[0], times[-1]) == (told["predictions"]["last_at"], told["predictions"]["first_at"])
    assert times == sorted(times, reverse=True)
    assert told["next"] is None
    assert "It has answered 3, the first" in page
    assert lineage["models"][0]["predictions"] == told["predictions"]
    assert 'href="/models/line/versions/1#predictions"' in drawn
    assert "3 answers" in text_of(drawn)


async def test_who_asked_is_told_by_name(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        one.http.headers.update(ADMIN)
        await in_production(one)
        reader = bearer(await made(one, "shop"))
        assert (await one.post(PREDICT, {"x": [1]}, headers=reader)).status_code == 200
        assert (await one.post(PREDICT, {"x": [1]})).status_code == 200
        key = {"Idempotency-Key": "once"}
        for _ in range(2):
            assert (await one.post(PREDICT, {"x": [1]}, headers=key)).status_code == 200
        await until(database, 10, WRITTEN, 3)
        told = (await one.http.get(VERSION)).json()
    assert sorted(one["caller"] for one in told["latest"]) == ["api_token", "api_token", "shop"]


async def test_what_was_answered_last_is_written_as_the_daemon_ends(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await in_production(one)
        assert (await one.post(PREDICT, {"x": [1]})).status_code == 200
    [row] = await rows(database, "select sum(answered) as answered from predictions")
    assert row["answered"] == 1


async def test_days_are_paged(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await in_production(one)
        days = [NOON - timedelta(days=back) for back in range(40)]
        await one.daemon.writer.submit(PutPredictions([counted(7, day) for day in days]))
        first = (await one.http.get(VERSION)).json()
        second = (await one.http.get(VERSION, params={"before": first["next"]})).json()
        page = await look(one, "/models/line/versions/1")
        [older] = re.findall(r'href="(\?before=[\d-]+)#predictions"', page)
        assert text_of(await look(one, f"/models/line/versions/1{older}")).count("2026-01-2") == 9
    assert (first["predictions"]["answered"], len(first["days"]), len(second["days"])) == (280, 31, 9)
    assert [day["day"] for day in first["days"] + second["days"]] == [str(day.date()) for day in days]
    assert second["next"] is None


def counted(answered: int, at: datetime = NOON, teller: int = 1) -> Counted:
    return Counted("line", 1, at.date(), "ann", UUID(int=teller), answered, at, at, (at,))


async def test_counts_written_again_or_late_are_the_same_and_processes_count_for_themselves(database: str) -> None:
    async with writing(database) as writer:
        for answered, teller in ((2, 1), (2, 1), (5, 1), (3, 1), (4, 2)):
            await writer.submit(PutPredictions([counted(answered, teller=teller)]))
        await writer.submit(PutPredictions([counted(6)]), PutPredictions([counted(7)]))
    found = await rows(database, "select answered, latest from predictions order by teller")
    assert [row["answered"] for row in found] == [7, 4]
    assert found[0]["latest"] == [NOON]


async def test_counts_are_kept_as_long_as_events(database: str) -> None:
    now = datetime.now(UTC)
    async with writing(database) as writer:
        ages = (0, 1, 30, 400)
        await writer.submit(PutPredictions([counted(1, now - timedelta(days=age)) for age in ages]))
        async with removing(database) as removal:
            await removal.remove_predictions(10 * 86_400)
    assert len(await rows(database, "select from predictions")) == 2


class Noted:
    """What would be written."""

    def __init__(self) -> None:
        self.written: list[Counted] = []

    def later(self, *operations: Operation) -> None:
        for one in operations:
            assert isinstance(one, PutPredictions)
            self.written += one.counted


class Still:
    """A clock that is set by hand."""

    at = NOON

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


async def test_many_predictions_are_one_write_and_a_day_begins_anew() -> None:
    writer, clock = Noted(), Still()
    predicted = Predicted(writer, clock)  # type: ignore[arg-type]
    for _ in range(1000):
        predicted.note("line", 1, ANN)
    predicted.note("line", 1, LOCAL)
    assert writer.written == []
    predicted.write()
    predicted.write()
    assert sorted((one.caller, one.answered) for one in writer.written) == [("ann", 1000), ("local", 1)]
    predicted.note("line", 1, ANN)
    clock.at = NOON + timedelta(days=1)
    predicted.note("line", 1, ANN)
    predicted.write()
    later = sorted((one.day, one.answered, len(one.latest)) for one in writer.written[2:])
    assert later == [(date(2026, 3, 1), 1001, 10), (date(2026, 3, 2), 1, 1)]
    predicted.note("line", 1, ANN)
    predicted.write()
    assert (writer.written[-1].answered, {one.teller for one in writer.written}) == (2, {writer.written[0].teller})
