"""One-time links over HTTP: looking decides nothing, the button decides once, and nothing else can be made of one."""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from service.db.steering import Cancel, Resume
from service.model import RunState
from service.settings import Role
from stages import Event, Pipeline, stage
from stages.gates import approved
from tests.db.api import PIPELINES, Api, api, problem
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers import Approval

made = {"value": 0}


@stage(reuse="never")
async def count(event: Event) -> int:
    made["value"] += 1
    return made["value"]


@stage
async def ship(count: int) -> int:
    return count


@stage
async def told(event: Event) -> dict[str, Any]:
    return dict(event.data)


two = Pipeline("two", [count, ship], gates={("count", "ship"): approved(n=2)})
expiring = Pipeline("expiring", [count, ship], gates={("count", "ship"): approved(by="leads")})
hearing = Pipeline("hearing", [told], on=[Approval("expiring", decision=None)])
ALL = (*PIPELINES, two, expiring, hearing)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def link(one: Api, run: int, gate: str = "count-ship", **more: Any) -> httpx.Response:
    body = {"for": "kim", "decision": "approve", "by": "ann", **more}
    return await one.post(f"/api/v1/runs/{run}/gates/{gate}/links", body)


async def path_of(one: Api, run: int, **more: Any) -> str:
    answer = await link(one, run, **more)
    assert answer.status_code == 201, answer.text
    return urlsplit(answer.json()["url"]).path


async def press(one: Api, path: str, decision: str = "approved", reason: str = "") -> httpx.Response:
    content = f"confirm={decision}&reason={reason}"
    return await one.http.post(path, content=content, headers=FORM)


async def state_of_gate(database: str, run: int) -> str:
    [row] = await rows(database, "select state from gates where run_id = $1", run)
    return str(row["state"])


async def test_a_link_decides_by_its_button_once_and_is_an_event_with_who_and_when(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL, api_token="a-long-random-text") as one:
        one.http.headers["Authorization"] = "Bearer a-long-random-text"
        run = await one.start("expiring", RunState.WAITING)
        answer = (await link(one, run, expires_s=3600)).json()
        assert (answer["person"], answer["decision"], answer["gate"]) == ("kim", "approved", "count-ship")
        path = urlsplit(answer["url"]).path
        del one.http.headers["Authorization"]  # who has the link needs nothing else
        page = await one.http.get(path)
        assert page.status_code == 200
        assert "Approve gate count-ship?" in page.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        done = await press(one, path, reason="better+on+every+carrier")
        assert done.status_code == 200
        assert "Approved by kim" in done.text
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        again = await press(one, path)
        assert again.status_code == 410
        assert "it works once" in again.text
        assert (await one.http.get(path)).status_code == 410
        assert (await one.http.get("/api/v1/runs")).status_code == 401
    [event] = await rows(database, "select envelope from events where source = 'tidemill:approvals'")
    told = orjson.loads(event["envelope"])
    assert told["type"] == "dev.tidemill.gate.approved"
    data = {name: told["data"][name] for name in ("by", "via", "decision", "reason", "decided", "run_id")}
    assert data == {
        "by": "kim", "via": "link", "decision": "approved", "reason": "better on every carrier", "decided": True,
        "run_id": run,
    }  # fmt: skip
    assert len(await rows(database, "select from runs where pipeline = 'hearing'")) == 1
    assert len(await rows(database, "select from gate_votes")) == 1
    [action] = await rows(database, "select action, by, detail from run_actions")
    assert (action["action"], action["by"], orjson.loads(action["detail"])["for"]) == ("linked", "ann", "kim")


async def test_looking_at_a_link_decides_nothing_however_often_and_by_whom(database: str, tmp_path: Path) -> None:
    """Chats fetch every link they see, by GET and HEAD, some with a form's fields in the address."""
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        run = await one.start("expiring", RunState.WAITING)
        path = await path_of(one, run)
        for agent in ("Slackbot-LinkExpanding 1.0", "facebookexternalhit/1.1", "TelegramBot", "Twitterbot/1.0"):
            for _ in range(3):
                headers = {"User-Agent": agent}
                assert (await one.http.get(path, headers=headers)).status_code == 200
                assert (await one.http.head(path, headers=headers)).status_code in (200, 405)
                assert (await one.http.get(f"{path}?confirm=approved", headers=headers)).status_code == 200
        for content in ("", "confirm=", "confirm=yes", "confirm=rejected", "confirm=approved&confirm=approved"):
            refused = await one.http.post(path, content=content, headers=FORM)
            assert refused.status_code == 422
        assert await state_of_gate(database, run) == "waiting"
        assert await rows(database, "select from gate_votes") == []
        assert await rows(database, "select from gate_links where used_at is not null") == []
        assert (await press(one, path)).status_code == 200


async def test_a_link_cannot_be_made_into_another(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        mine, other = [await one.start("expiring", RunState.WAITING) for _ in range(2)]
        path = await path_of(one, mine)
        payload, _, signature = path.removeprefix("/decide/").partition(".")
        fields = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert fields[1:3] == [mine, "count-ship"]
        changes = {1: other, 2: "other-gate", 3: "f" * 64, 4: "eve", 5: "rejected", 6: fields[6] + 10**6}
        for place, value in changes.items():
            forged = [value if index == place else field for index, field in enumerate(fields)]
            text = urlsafe_b64encode(orjson.dumps(forged)).rstrip(b"=").decode()
            for address in (f"/decide/{text}.{signature}", f"/decide/{text}.", f"/decide/{text}"):
                assert (await one.http.get(address)).status_code == 404
                assert (await press(one, address, "rejected" if place == 5 else "approved")).status_code == 404
        for garbage in ("x", "x.y", ".", "%00", "%FF.%FF", "a" * 5000, f"{payload}.{signature}=", "..%2f..%2fetc"):
            answer = await press(one, f"/decide/{garbage}")
            assert 400 <= answer.status_code < 500, (garbage, answer.status_code)
        assert [await state_of_gate(database, run) for run in (mine, other)] == ["waiting", "waiting"]


async def test_a_link_is_over_when_its_time_is(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        run = await one.start("expiring", RunState.WAITING)
        path = await path_of(one, run)
        past = "update gate_links set made_at = now() - interval '2 days', expires_at = now() - interval '1 s'"
        await rows(database, past)
        assert (await one.http.get(path)).status_code == 410
        late = await press(one, path)
        assert late.status_code == 410
        assert "ask for another" in late.text
        assert await state_of_gate(database, run) == "waiting"
        for wrong in (0, -1, 31 * 86_400, "soon"):
            problem(await link(one, run, expires_s=wrong), 422)


async def test_a_link_is_only_for_the_artifact_it_was_made_for(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        run = await one.start("expiring", RunState.WAITING)
        path = await path_of(one, run)
        await one.daemon.writer.submit(Cancel(run, "kim"))
        assert await reached(one.daemon, run) is RunState.CANCELLED
        assert (await press(one, path)).status_code == 409
        await one.daemon.writer.submit(Resume(run, "kim", forced=("count",)))
        await reached(one.daemon, run, RunState.WAITING)
        moved = await press(one, path)
        assert moved.status_code == 409
        assert "asks about something else by now" in moved.text
        assert (await one.http.get(path)).status_code == 409
        assert await rows(database, "select from gate_votes") == []


async def test_of_two_presses_at_once_one_counts(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        run = await one.start("two", RunState.WAITING)
        path = await path_of(one, run)
        answers = await asyncio.gather(*(press(one, path) for _ in range(8)))
        assert {answer.status_code for answer in answers} <= {200, 410}
        assert len(await rows(database, "select from gate_votes")) == 1
        assert await state_of_gate(database, run) == "waiting"
        second = await path_of(one, run)
        opposite = await path_of(one, run, decision="reject")
        for number, address in enumerate((second, opposite)):
            refused = await press(one, address, "rejected" if number else "approved")
            assert refused.status_code == (409 if number else 200)
        assert len(await rows(database, "select from gate_votes")) == 1
        assert (await press(one, await path_of(one, run, **{"for": "lee"}))).status_code == 200
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        assert (await press(one, second)).status_code == 409


async def test_only_who_may_decide_gets_a_link_or_can_use_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL, groups="leads=kim") as one:
        run = await one.start("expiring", RunState.WAITING)
        assert "eve may not decide" in problem(await link(one, run, **{"for": "eve"}), 403)
        problem(await link(one, run, decision="maybe"), 422)
        problem(await link(one, run, gate="nothing"), 404)
        problem(await link(one, 999), 404)
        path = await path_of(one, run, decision="reject")
        assert (await press(one, path, "rejected")).status_code == 200
        assert await reached(one.daemon, run) is RunState.FAILED
        assert "is not waiting" in problem(await link(one, run), 409)


async def test_daemons_of_one_database_share_the_key_and_a_setting_replaces_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        run = await one.start("expiring", RunState.WAITING)
        path = await path_of(one, run)
        async with api(database, tmp_path / "b", Role.API, pipelines=ALL) as other:
            assert (await other.http.get(path)).status_code == 200
        keyed: dict[str, Any] = {"link_key": "another-long-secret", "public_url": "https://mill.example/"}
        async with api(database, tmp_path / "c", Role.API, pipelines=ALL, **keyed) as third:
            assert (await third.http.get(path)).status_code == 404
            url = (await link(third, run)).json()["url"]
            assert re.match(r"https://mill\.example/decide/[A-Za-z0-9_.-]+\Z", url)
            assert (await third.http.get(urlsplit(url).path)).status_code == 200
        keys = await rows(database, "select length(link_key) as n from installation")
        assert [row["n"] for row in keys] == [32]


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=y>'])
async def test_names_in_it_are_only_text(database: str, tmp_path: Path, evil: str) -> None:
    async with api(database, tmp_path, *Role, pipelines=ALL) as one:
        run = await one.start("expiring", RunState.WAITING)
        page = await one.http.get(await path_of(one, run, **{"for": evil}))
        assert page.status_code == 200
        assert evil not in page.text
