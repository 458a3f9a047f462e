"""What looks like a secret in the data of events and nobody marked: stages get it, what decides goes by it, and nobody
is shown it."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service.model import RunState
from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api, cloudevent
from tests.db.console import look
from tests.db.daemons import reached
from tests.db.writing import rows
from tests.fault.test_canaries import shown, tidemill
from triggers.cloudevents import CloudEvents
from triggers.event import Event
from triggers.webhook import Webhook

HOOK = "/hooks/logins"
BEGIN = "canary"


class Page(BaseModel):
    """What a trigger fills with something that only looks like a secret."""

    page: str = ""


@stage(reuse="run")
async def reads(event: Event) -> list[int]:
    data = event.data
    return [len(data["api_key"]), len(data["login"]["password"]), len(data["url"])] if isinstance(data, dict) else []


@stage(reuse="run")
async def turns(params: Page) -> str:
    return params.page


class Logins:
    """Data with new secrets in each."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def secret(self) -> str:
        self.all.append(BEGIN + secrets.token_hex(8))
        return self.all[-1]

    def data(self, **more: Any) -> dict[str, Any]:
        login = {"user": "kim", "password": self.secret()}
        urls = [f"postgres://kim:{self.secret()}@db/mill"]
        note = f"sent with Authorization: Bearer {self.secret()}, thanks"
        return {"api_key": self.secret(), "login": login, "urls": urls, "url": urls[0], "note": note, **more}

    def found_in(self, places: dict[str, bytes]) -> dict[str, list[str]]:
        return {
            place: found for place, text in places.items() if (found := [x for x in self.all if x.encode() in text])
        }


# It goes by a part of the key: what decides has to see it.
LOGINS = Pipeline(
    "logins",
    [reads],
    on=[
        Webhook("logins", where={"api_key": {"prefix": BEGIN}}),
        CloudEvents(where={"type": "login", "data.api_key": {"prefix": BEGIN}}),
    ],
)
SEEN = {
    "api_key": "***",
    "login": {"user": "kim", "password": "***"},
    "urls": ["postgres://kim:***@db/mill"],
    "url": "postgres://kim:***@db/mill",
    "note": "sent with Authorization: Bearer ***, thanks",
}


async def test_all_views_agree(database: str, tmp_path: Path) -> None:
    logins, places = Logins(), dict[str, bytes]()
    async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=(LOGINS,)) as one:
        key, run = await _sent(one, logins)
        places |= await _asked(one, logins, key, run)
        places |= {f"GET {path}": text for path, text in await shown(one.http)}
        variables = {"TIDEMILL_URL": one.daemon.address, "NO_COLOR": "1"}
        for command in (("event", key), ("event", key, "--raw"), ("report", str(run)), ("show", str(run), "--json")):
            places[" ".join(command)] = await one.call(tidemill, variables, *command)
        told = json.loads(places["event"])["cloudevent"]
        of_run = (await one.http.get(f"/api/v1/runs/{run}")).json()["event"]["cloudevent"]
    assert logins.found_in(places) == {}
    assert told["data"] == of_run["data"] == json.loads(places[f"event {key} --raw"]) == SEEN
    assert sum(b"postgres://kim:***@db" in text for text in places.values()) > 8


async def _sent(one: Api, logins: Logins) -> tuple[str, int]:
    """The key and the run of one by the hook; others come as an event, and as text."""
    first = (await one.post(HOOK, logins.data())).json()["events"][0]
    await reached(one.daemon, first["runs"][0])
    sent = cloudevent("1", "login", data=logins.data(), apikeys=f"token={logins.secret()}", subject="kim")
    other = (await one.post("/api/v1/events", sent, headers=STRUCTURED)).json()["events"][0]
    await reached(one.daemon, other["runs"][0])
    named = {"ce-id": "t", "ce-source": "/tests", "ce-type": "letter", "ce-specversion": "1.0"}
    text = f"my password={logins.secret()} is"
    answer = await one.http.post("/api/v1/events", content=text, headers=named | {"Content-Type": "text/plain"})
    assert answer.status_code == 202
    return first["key"], first["runs"][0]


async def _asked(one: Api, logins: Logins, key: str, run: int) -> dict[str, bytes]:
    """Everything that is asked of events, replays of replays among it."""
    found = {}
    again = {"event": key, "pipeline": "logins", "by": "kim"}
    for _ in range(2):
        answer = (await one.post("/api/v1/replays", again)).json()
        await reached(one.daemon, answer["run"])
        again["event"] = answer["event"]
    fire = {"name": "logins/webhook:logins", "payload": json.dumps(logins.data()), "by": "kim"}
    event = json.dumps(cloudevent("asked", "login", data=logins.data()))
    backtest = {"trigger": "logins/webhook:logins", "from": "2020-01-01T00:00:00Z"}
    for name, path, body in (
        ("explain", "explain", {"event": key}),
        ("explain payload", "explain", {"payload": event}),
        ("fire dry", "fire", fire | {"dry_run": True}),
        ("fire", "fire", fire | {"id": "f"}),
        ("backtest", "backtests", backtest | {"where": {"api_key": {"prefix": BEGIN[:2]}}}),
    ):
        answer = await one.post(f"/api/v1/{path}", body)
        assert answer.status_code in (200, 202), answer.text
        found[name] = answer.content
    # What decides went by what nobody is shown.
    assert len(json.loads(found["explain payload"])["runs"]) == 1
    rehearsed = json.loads(found["backtest"])
    assert rehearsed["before"] == rehearsed["after"] == {"ran": 2}
    for path in (
        f"events/{key}",
        "inbox",
        *(f"runs/{run}{part}" for part in ("", "/report", "/report.html", "/events")),
    ):
        found[path.partition("/")[0] if path.startswith("events/") else path] = (
            await one.http.get(f"/api/v1/{path}")
        ).content
    found["event"] = found.pop("events")
    return found


async def test_pages_show_no_more_than_answers(database: str, tmp_path: Path) -> None:
    logins = Logins()
    async with api(database, tmp_path, pipelines=(LOGINS,)) as one:
        key, run = await _sent(one, logins)
        for path in (f"/events/{key}", f"/events/{key}/explain", f"/runs/{run}"):
            assert logins.found_in({path: (await look(one, path)).encode()}) == {}


async def test_that_it_changed_is_told_and_not_to_what(database: str, tmp_path: Path) -> None:
    logins, runs = Logins(), []
    first = logins.data()
    async with api(database, tmp_path, pipelines=(LOGINS,)) as one:
        for number, data in enumerate((first, logins.data(), first)):
            answer = await one.post(HOOK, data, headers={"Idempotency-Key": str(number)})
            runs.append(answer.json()["events"][0]["runs"][0])
            await reached(one.daemon, runs[-1], RunState.SUCCEEDED)
        other = (await one.http.get(f"/api/v1/runs/{runs[0]}/diff/{runs[1]}")).json()["event"]
        alike = (await one.http.get(f"/api/v1/runs/{runs[0]}/diff/{runs[2]}")).json()["event"]
    changed = {one["name"]: (one["a"], one["b"]) for one in other}
    assert changed["data.api_key"] == changed["data.login.password"] == ("***", "***")
    assert changed["data.url"] == ("postgres://kim:***@db/mill", "postgres://kim:***@db/mill")
    assert {one["name"] for one in alike} & {"data.api_key", "data.url", "data.login.password"} == set()


async def test_a_replay_gets_what_was_sent_and_never_the_mask(database: str, tmp_path: Path) -> None:
    """Also where there was no run, and a trigger of today makes its parameters."""
    params = {"page": "data.page_token"}
    nothing = Pipeline("pages", [turns], on=[CloudEvents(where={"type": "page", "never": 1}, params=params)])
    something = Pipeline("pages", [turns], on=[CloudEvents(where={"type": "page"}, params=params)])
    sent = cloudevent("1", "page", data={"page_token": "abcdefgh"})
    async with api(database, tmp_path / "a", Role.API, pipelines=(nothing,)) as one:
        await one.post("/api/v1/events", sent, headers=STRUCTURED)
    async with api(database, tmp_path / "b", pipelines=(something,)) as one:
        shown_event = (await one.http.get("/api/v1/events/1")).json()["cloudevent"]
        answer = (await one.post("/api/v1/replays", {"event": "1", "pipeline": "pages", "by": "kim"})).json()
        await reached(one.daemon, answer["run"])
        [row] = await rows(database, "select params from runs where id = $1", answer["run"])
    assert shown_event["data"] == {"page_token": "***"}
    assert json.loads(row["params"]) == {"page": "abcdefgh"}


async def test_a_start_that_is_sent_again_is_known_by_what_it_was(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=(LOGINS,)) as one:
        body = {"data": {"api_key": "abcdefgh"}, "id": "a"}
        first = await one.post("/api/v1/pipelines/logins/runs", body)
        again = await one.post("/api/v1/pipelines/logins/runs", body)
        other = await one.post("/api/v1/pipelines/logins/runs", body | {"data": {"api_key": "something else"}})
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 422)
