"""Stages that need not run: by their own `when`, because what they take was skipped, or because a person says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from service.client import ApiError, Client
from service.model import RunState
from service.settings import Role
from stages import Event, Permanent, Pipeline, stage
from stages.gates import row_count
from tests.db.daemons import attempts, daemon, reached, settings, start, state
from tests.db.writing import rows


@stage
async def measure(event: Event) -> int:
    return int(event.data)


@stage(when=lambda measure: measure > 10)
async def alarm(measure: int) -> str:
    return f"{measure} is much"


@stage(when=lambda measure: measure > 10)
def alarm_in_thread(measure: int) -> str:
    return f"{measure} is much"


@stage
async def must_have(alarm: str) -> str:
    return alarm


@stage
async def report(measure: int, alarm: str | None, must_have: str | None) -> str:
    return f"{measure}: {alarm}, {must_have}"


quiet = Pipeline(
    "quiet", [measure, alarm, alarm_in_thread, must_have, report], gates={("alarm", "report"): row_count(1)}
)


async def test_a_stage_whose_when_says_no_is_skipped_and_what_can_do_without_it_goes_on(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path), quiet) as one:
        low, high = [await start(one, "quiet", str(value), value) for value in (1, 11)]
        assert await reached(one, low) is RunState.SUCCEEDED
        assert await reached(one, high) is RunState.SUCCEEDED
        done = {run: {(name, state) for name, _, state in await attempts(one, run)} for run in (low, high)}
    skipped = {(name, "skipped") for name in ("alarm", "alarm_in_thread", "must_have")}
    assert done[low] == {("measure", "succeeded"), *skipped, ("report", "succeeded")}
    assert {state for _, state in done[high]} == {"succeeded"}
    told = await rows(database, "select run_id, output_inline from attempts where stage = 'report' order by run_id")
    assert [row["output_inline"] for row in told] == [b'"1: None, None"', b'"11: 11 is much, 11 is much"']
    reasons = await rows(database, "select stage, reason from attempts where state = 'skipped' order by stage")
    assert dict(map(tuple, reasons)) == {
        "alarm": "its `when` said no",
        "alarm_in_thread": "its `when` said no",
        "must_have": "its input alarm was skipped",
    }


@stage
async def mail(measure: int) -> str:
    raise Permanent("the mail server is gone")


@stage
async def close(measure: int, mail: str | None) -> str:
    return f"closed, {mail}"


@stage
async def archive(close: str) -> str:
    raise Permanent("the archive is full")


posting = Pipeline("posting", [measure, mail, close, archive])


async def test_a_person_may_skip_a_stage_only_where_the_graph_can_do_without_it(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path, *Role)
    async with daemon(given, posting) as one:
        client = Client(one.address)
        run = await start(one, "posting", "1", 5)
        assert await reached(one, run) is RunState.FAILED
        with pytest.raises(ApiError, match="measure cannot be skipped: close and mail cannot do without") as caught:
            await asyncio.to_thread(client.skip, run, "measure", "why not")
        assert caught.value.status == 409
        with pytest.raises(ApiError, match="has no stage 'mial'"):
            await asyncio.to_thread(client.skip, run, "mial", "why not")
        answer = await asyncio.to_thread(client.skip, run, "mail", "the server is gone", "kim")
        assert (answer["run"], answer["state"]) == (run, "queued")
        assert {one["stage"]: one["action"] for one in answer["plan"]}["mail"] == "skip"
        assert await reached(one, run) is RunState.FAILED
        done = [(name, state) for name, _, state in await attempts(one, run)]
        await asyncio.to_thread(client.skip, run, "archive", "tomorrow", "kim")
        assert await reached(one, run) is RunState.SUCCEEDED
    assert ("mail", "skipped") in done
    assert ("close", "succeeded") in done
    [row] = await rows(database, "select output_inline from attempts where stage = 'close'")
    assert row["output_inline"] == b'"closed, None"'
    told = await rows(database, "select action, by from run_actions order by seq")
    assert [tuple(row) for row in told] == [("skipped", "kim"), ("skipped", "kim")]


async def test_a_stage_is_skipped_on_the_version_that_is_loaded_where_somebody_says_so(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path, *Role), posting) as one:
        run = await start(one, "posting", "1", 5)
        assert await reached(one, run) is RunState.FAILED
    changed = replace(measure, function=measured_otherwise)
    newer = Pipeline("posting", [changed, mail, close, replace(archive, when=never)])
    assert newer.version != posting.version
    async with daemon(settings(database, tmp_path, *Role), newer) as one:
        client = Client(one.address)
        reviewed = (await asyncio.to_thread(client.reviews))["reviews"]
        commands = [each["command"] for each in reviewed[0]["commands"]]
        assert f"tidemill skip {run} mail --on latest --reason WHY" in commands
        with pytest.raises(ApiError, match=f"tidemill resume {run} --on latest"):
            await asyncio.to_thread(client.skip, run, "mail", "gone")
        told = await asyncio.to_thread(client.skip, run, "mail", "gone", "kim", on="latest", dry_run=True)
        assert told["state"] == "failed"
        assert [(each["stage"], each["action"]) for each in told["plan"]] == [
            ("measure", "again"), ("mail", "skip"), ("close", "run"), ("archive", "run"),
        ]  # fmt: skip
        assert told["plan"][0]["why"] == f"its code changed since version {posting.version}"
        assert await state(one, run) is RunState.FAILED
        answer = await asyncio.to_thread(client.skip, run, "mail", "gone", "kim", on="latest")
        assert (answer["state"], answer["plan"]) == ("queued", told["plan"])
        assert await reached(one, run) is RunState.SUCCEEDED
    [row] = await rows(database, "select version from runs")
    assert row["version"] == newer.version
    [action] = await rows(database, "select action, detail from run_actions")
    assert action["action"] == "skipped"
    assert orjson.loads(action["detail"]) == {
        "stage": "mail", "reason": "gone", "version": {"from": posting.version, "to": newer.version},
        "again": ["measure"],
    }  # fmt: skip


async def measured_otherwise(event: Event) -> int:
    return int(event.data) + 1


def never() -> bool:
    return False
