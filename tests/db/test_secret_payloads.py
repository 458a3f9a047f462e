"""Secrets in the data of events: stages get them, the row of the event has them, and nothing else does."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.catalogue import Catalogue
from service.model import RunState
from service.settings import Role
from stages.limits import Concurrency
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api, cloudevent
from tests.db.console import look
from tests.db.daemons import reached
from tests.db.payload_stages import MARKED, PIPELINES, ships_alone
from tests.db.test_secret_params import Canaries, _dump
from tests.db.writing import rows
from tests.fault.test_canaries import files, shown, tidemill
from triggers.cloudevents import CloudEvents
from triggers.errors import InvalidTrigger
from triggers.webhook import Webhook

HOOK = "/hooks/orders"
RUN_OF = """
    select id from runs r where pipeline = $2 and (event_key = $1::text::uuid
        or exists (select from fates f where f.run_id = r.id and f.event_key = $1::text::uuid))
"""


class Orders(Canaries):
    """Orders with new secrets in each. Those that are only asked about are `asked`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def secret(self) -> str:
        self.all.append(f"canary{secrets.token_hex(8)}")
        return self.all[-1]

    def data(self, **more: Any) -> dict[str, Any]:
        token, number, first, second = (self.secret() for _ in range(4))
        items = [{"name": "a", "pin": first}, {"name": "b", "pin": second}]
        return {"token": token, "card": {"number": number, "kind": "blue"}, "items": items, "customer": "kim", **more}


async def test_only_the_event_has_them(database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    orders, places = Orders(), dict[str, bytes]()
    async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=PIPELINES) as one:
        await _everything_done(one, orders, places)
        await one.daemon.writer.drained()
        places |= {f"GET {path}": text for path, text in await shown(one.http)}
        places |= await _said(one)
    dumped = _dump(database)
    places["database"] = re.sub(rb"(?ms)^COPY public\.events .*?^\\\.$", b"", dumped)
    places |= dict(files(tmp_path))
    output = capfd.readouterr()
    places["own log"] = re.sub(r"(?m)^printed .*$", "", output.out + output.err).encode()
    assert {place: found for place, text in places.items() if (found := orders.found_in(text))} == {}
    # They were there: the events have them, stages got them, and what stages told of them was kept.
    assert sorted(orders.found_in(dumped)) == sorted(set(orders.all) - set(orders.asked))
    everything = dumped + b"".join(places.values())
    for told in (b"paying with *** *** *** ***", b"refused *** ***", b"agreed to *** ***", b"counting *** ***"):
        assert told in everything or told.hex().encode() in everything, told
    assert sum(b"paying with ***" in text for place, text in places.items() if place.startswith("GET")) > 2
    assert b'"number":"***","kind":"blue"' in b"".join(places.values())


async def _everything_done(one: Api, orders: Orders, places: dict[str, bytes]) -> None:
    """Runs that fail, are resumed, replayed with and without effects, compared, fired; and what is only asked."""

    def told(name: str, answer: httpx.Response, *statuses: int) -> Any:
        assert answer.status_code in (statuses or (200, 202)), answer.text
        places[name] = answer.content
        return answer.json()

    async def run_of(answer: Any, pipeline: str, state: RunState) -> int:
        key = answer["events"][0]["key"]
        [run] = await rows(one.daemon.dsn, RUN_OF, key, pipeline)
        await reached(one.daemon, run["id"], state)
        return int(run["id"])

    hooked = told("hook", await one.post(HOOK, orders.data(), headers={"Idempotency-Key": "a"}))
    failed = await run_of(hooked, "inline_orders", RunState.FAILED)
    told("resume", await one.post(f"/api/v1/runs/{failed}/resume", {"by": "kim", "params": {"works": True}}))
    await reached(one.daemon, failed, RunState.SUCCEEDED)
    runs = [failed]
    for number in range(2):
        event = cloudevent(f"order {number}", "order", data=orders.data(works=True))
        sent = told(f"event {number}", await one.post("/api/v1/events", event, headers=STRUCTURED))
        runs.append(await run_of(sent, "inline_orders", RunState.SUCCEEDED))
        runs.append(await run_of(sent, "process_orders", RunState.SUCCEEDED))
    runs.append(await run_of(sent, "gathers_orders", RunState.SUCCEEDED))
    key = sent["events"][0]["key"]
    text = "\n".join(orders.secret() for _ in range(3))
    named = {"ce-id": "t", "ce-source": "/tests", "ce-type": "letter", "ce-specversion": "1.0"}
    posted = await one.http.post("/api/v1/events", content=text, headers=named | {"Content-Type": "text/plain"})
    runs.append(await run_of(told("text", posted), "letters", RunState.FAILED))
    for pipeline, effects in (("inline_orders", False), ("inline_orders", True), ("gathers_orders", True)):
        asked = {"event": key, "pipeline": pipeline, "by": "kim", "effects": effects}
        for what in ("replay", "replay of it"):
            again = told(f"{what} {pipeline} {effects}", await one.post("/api/v1/replays", asked))
            runs.append(again["run"])
            await reached(one.daemon, again["run"], RunState.SUCCEEDED)
            asked["event"] = again["event"]
    told("explain event", await one.post("/api/v1/explain", {"event": key}))
    told("event", await one.http.get(f"/api/v1/events/{key}"))
    await _asked_and_fired(one, orders, told)
    for run in runs:
        for part in ("", "/explain", "/report", "/report.html", f"/diff/{runs[1]}", "/logs", "/events"):
            answer = await one.http.get(f"/api/v1/runs/{run}{part}")
            assert answer.status_code == 200, answer.text
            places[f"{run} {part}"] = answer.content


async def _asked_and_fired(one: Api, orders: Orders, told: Any) -> None:
    asked = orders.data(works=True)
    orders.asked = orders.all[-4:]
    event = json.dumps(cloudevent("asked", "order", data=asked))
    told("explain payload", await one.post("/api/v1/explain", {"payload": event}))
    told("explain hook", await one.post("/api/v1/explain", {"payload": json.dumps(asked), "as": "webhook:orders"}))
    fire = {"name": "inline_orders/webhook:orders", "payload": json.dumps(orders.data(works=True)), "by": "kim"}
    told("fire", await one.post("/api/v1/fire", fire | {"id": "f"}, headers={"Idempotency-Key": "f"}))
    told("fire dry", await one.post("/api/v1/fire", fire | {"dry_run": True}))
    backtest = {"trigger": "inline_orders/webhook:orders", "from": "2020-01-01T00:00:00Z", "where": {"customer": "x"}}
    told("backtest", await one.post("/api/v1/backtests", backtest))


async def _said(one: Api) -> dict[str, bytes]:
    """What commands tell of it."""
    variables = {"TIDEMILL_URL": one.daemon.address, "NO_COLOR": "1"}
    [row] = await rows(one.daemon.dsn, "select key::text from events where id = 'order 1'")
    asked = [
        *(("show", "1"), ("show", "1", "--json"), ("explain", "1"), ("report", "1"), ("diff", "1", "2"), ("logs", "1")),
        *(("events",), ("events", "--json"), ("events", "show", row["key"]), ("events", "show", row["key"], "--json")),
        *(("runs",), ("runs", "--json"), ("audit",), ("reviews",), ("triggers", "--json"), ("pipelines", "--json")),
    ]
    return {" ".join(command): await one.call(tidemill, variables, *command) for command in asked}


async def test_pages_show_the_mask_where_the_secret_is(database: str, tmp_path: Path) -> None:
    orders = Orders()
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        answer = (await one.post(HOOK, orders.data())).json()["events"][0]
        await reached(one.daemon, answer["runs"][0], RunState.FAILED)
        for path in (f"/events/{answer['key']}", f"/events/{answer['key']}/explain", f"/runs/{answer['runs'][0]}"):
            page = await look(one, path)
            assert orders.found_in(page.encode()) == []
        told = (await one.http.get(f"/api/v1/events/{answer['key']}")).json()["cloudevent"]
    assert told["tidemillsecrets"] == "data.card.number data.items.pin data.token"
    assert told["data"] == {
        "token": "***",
        "card": {"number": "***", "kind": "blue"},
        "items": [{"name": "a", "pin": "***"}, {"name": "b", "pin": "***"}],
        "customer": "kim",
    }


async def test_that_a_secret_changed_is_told_and_not_to_what(database: str, tmp_path: Path) -> None:
    orders = Orders()
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        first = orders.data()
        runs = []
        for number, data in enumerate((first, orders.data(), first)):
            answer = await one.post(HOOK, data, headers={"Idempotency-Key": str(number)})
            runs.append(answer.json()["events"][0]["runs"][0])
            await reached(one.daemon, runs[-1], RunState.FAILED)
        other = (await one.http.get(f"/api/v1/runs/{runs[0]}/diff/{runs[1]}")).json()["event"]
        alike = (await one.http.get(f"/api/v1/runs/{runs[0]}/diff/{runs[2]}")).json()["event"]
    changed = {one["name"]: (one["a"], one["b"]) for one in other}
    assert changed["data.token"] == changed["data.card.number"] == ("***", "***")
    assert "data.token" not in {one["name"] for one in alike}


async def test_what_a_sender_marks_does_not_count(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=()) as one:
        event = cloudevent("1", "order", data={"a": 1, "b": 2}, tidemillsecrets="data.a")
        await one.post("/api/v1/events", event, headers=STRUCTURED)
        told = (await one.http.get("/api/v1/events/1")).json()["cloudevent"]
    assert (told["data"], "tidemillsecrets" in told) == ({"a": 1, "b": 2}, False)


async def test_a_pipeline_that_goes_by_the_secret_of_another_is_refused(database: str, tmp_path: Path) -> None:
    marks = Pipeline("marks", [ships_alone], on=[CloudEvents(secrets=MARKED), Webhook("one", secrets=["data.token"])])
    goes_by = Pipeline("goes_by", [ships_alone], on=[CloudEvents(where={"card.number": {"exists": True}})])
    elsewhere = Pipeline("elsewhere", [ships_alone], on=[Webhook("other", where={"data.token": "x"})])
    keyed = Pipeline(
        "keyed", [ships_alone], on=[CloudEvents(name="all")], concurrency=Concurrency("data.items.0.pin", at_most=1)
    )
    async with api(database, tmp_path, Role.API, pipelines=(marks, elsewhere)):
        pass
    for wrong, path in ((goes_by, "card.number"), (keyed, "data.items.0.pin")):
        with pytest.raises(InvalidTrigger, match=f"{wrong.name}/.* goes by {path}, and .* is a secret of marks/"):
            Catalogue({one.name: one for one in (marks, wrong)}, {}).check_secrets()
