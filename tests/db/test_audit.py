"""The audit log: every action and every refusal, in the transaction of what it did, never changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.api.access import NEEDED
from service.api.auditing import REFUSALS_PER_MINUTE
from service.api.matrix import takes
from service.db.audit import TrimAudit
from service.loops.audit import trim_audit
from service.model import RunState
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.console import form_of, look, send, text_of
from tests.db.daemons import reached
from tests.db.test_access_roles import ADMIN, LINK, TOKEN, ask, sign_in, token
from tests.db.writing import rows
from triggers import faults
from triggers.errors import InboxBusy


async def log(one: Api, **chosen: str) -> list[dict[str, Any]]:
    """The audit log, oldest first."""
    await one.daemon.writer.drained()
    answer = await one.http.get("/api/v1/audit", params={"limit": "1000", **chosen}, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries[::-1]


async def test_an_action_tells_who_how_where_what_and_the_answer(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        sam = await token(one, "sam", "operator")
        run = (await one.post("/api/v1/pipelines/endless/runs", {"by": "other"}, headers=sam)).json()["events"][0][
            "runs"
        ][0]
        await reached(one.daemon, run, RunState.RUNNING)
        await one.post(f"/api/v1/runs/{run}/cancel", {}, headers=sam)
        made, asked, cancelled = await log(one)
        of_run = await log(one, run=str(run))
    assert (made["action"], made["via"], made["answer"]) == ("POST /api/v1/tokens", "api_token", 201)
    assert made["detail"] == {"name": "sam", "roles": ["operator"]}
    assert (asked["who"], asked["said"], asked["via"], asked["answer"]) == ("sam", "sam", "token", 202)
    assert asked["known_as"].startswith("tm_")
    assert asked["address"] == "127.0.0.1"
    assert asked["object"] == "/api/v1/pipelines/endless/runs"
    assert (cancelled["action"], cancelled["run"]) == ("POST /api/v1/runs/{run}/cancel", run)
    assert of_run == [cancelled]


async def test_the_page_says_once_what_was_asked_and_writes_values_as_people_do(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        await token(one, "sam", "viewer", "operator")
        await one.post("/api/v1/retention", {"dry_run": False}, headers=ADMIN)
        _, cleaned = await log(one)
        page = text_of((await one.http.get("/audit", headers=ADMIN | {"Accept": "text/html"})).text)
    assert cleaned["detail"] == {"dry_run": False}
    assert "POST /api/v1/tokens 201 name sam roles viewer, operator" in page
    assert "POST /api/v1/retention 200 dry_run no" in page


async def test_the_row_is_written_in_the_transaction_of_the_action(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        await one.post("/api/v1/pauses", {"what": "sums", "reason": "r"}, headers=ADMIN)
        [both] = await rows(database, "select a.xmin = p.xmin as same from audit a, pauses p")
        assert both["same"]
        # What cannot be noted is not done.
        await rows(database, "alter table audit add constraint none check (action not like '%lift%')")
        refused = await one.post("/api/v1/pauses/lift", {"what": "sums"}, headers=ADMIN)
        assert refused.status_code >= 500
        [pause] = await rows(database, "select lifted_at from pauses")
        assert pause["lifted_at"] is None


async def test_a_flush_that_is_repeated_notes_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        faults.arm("putaudit.committed=fail@1")
        try:
            answer = await one.post("/api/v1/pauses", {"what": "sums"}, headers=ADMIN)
        finally:
            faults.arm("")
        assert answer.status_code == 200
        assert len(await log(one)) == 1


async def test_every_address_that_does_something_leaves_a_row(database: str, tmp_path: Path) -> None:
    silent = []
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for method, path, needed in takes():
            # Events are on record as events; who may only look does nothing.
            if path.startswith(("/hooks", "/act", "/api/v1/events")) or method == "GET" or needed == "viewer":
                continue
            before = len(await log(one))
            answer = await ask(one, method, path, ADMIN)
            found = (await log(one))[before:]
            if [(row["action"], row["answer"]) for row in found][-1:] != [(f"{method} {path}", answer.status_code)]:
                silent.append((method, path, answer.status_code, found))
    assert silent == []


async def test_forms_links_and_signing_in_are_noted(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=kim") as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        link = (await one.post(f"/api/v1/runs/{run}/gates/add-double/links", LINK)).json()["url"]
        del one.http.headers["Authorization"]
        path = link.removeprefix(one.daemon.address)
        assert (await send(one, path, {"confirm": "approved"})).status_code == 200
        refused = await send(one, "/sign-in", {"api_token": "wrong", "name": "eve", "next": "/"})
        assert refused.status_code == 401
        await sign_in(one, ADMIN, "kim")
        hidden = form_of(await look(one, "/"), "/act/sign-out")
        await send(one, "/act/triggers/pause", hidden | {"what": "sums", "reason": "why", "name": "sums"})
        entries = await log(one)
    used, wrong, entered, paused = entries[-4:]
    assert (used["via"], used["said"], used["answer"], used["object"]) == ("link", "kim", 200, "/decide/***")
    assert path not in str(entries)
    assert (wrong["action"], wrong["said"], wrong["answer"]) == ("POST /sign-in", "eve", 401)
    assert (entered["said"], entered["answer"]) == ("kim", 303)
    assert paused["action"] == "POST /act/triggers/pause"
    assert hidden["token"] not in str(entries)


async def test_refusals_are_noted_and_a_flood_of_them_is_counted(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        viewer = await token(one, "v", "viewer")
        problem(await one.post("/api/v1/pauses", {"what": "sums"}, headers=viewer), 403)
        problem(await one.http.get("/api/v1/runs", headers={"Authorization": "Bearer wrong"}), 401)
        problem(await one.post("/api/v1/pauses", {"what": "sums"}), 401)
        # Whoever only looks, and shows nothing, is not worth a row: browsers do so before they sign in.
        problem(await one.http.get("/api/v1/runs"), 401)
        entries = await log(one)
        assert [(row["who"], row["via"], row["answer"]) for row in entries[1:]] == [
            ("v", "token", 403),
            ("", "nobody", 401),
            ("", "nobody", 401),
        ]
        assert "takes the role operator" in entries[1]["detail"]["told"]
        assert entries[3]["detail"]["told"] == NEEDED.replace("TOKEN;", "***;")
        assert await log(one, refused="true") == entries[1:]
        for _ in range(REFUSALS_PER_MINUTE + 50):
            await one.http.get("/api/v1/runs", headers={"Authorization": "Bearer wrong"})
        noted = len(await log(one)) - len(entries)
        assert noted < REFUSALS_PER_MINUTE + 30


async def test_an_action_that_came_to_nothing_leaves_the_row_of_its_refusal_alone(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        one.http.headers.update(ADMIN)
        problem(await one.http.delete("/api/v1/tokens/none"), 404)
        problem(await one.post("/api/v1/pauses/lift", {"what": "sums"}), 409)
        await token(one, "ci", "viewer")
        problem(await one.post("/api/v1/tokens", {"name": "ci", "roles": ["viewer"]}), 409)
        entries = await log(one)
    assert [row["answer"] for row in entries] == [404, 409, 201, 409]
    assert ["told" in row["detail"] for row in entries] == [True, True, False, True]


async def test_of_those_who_ask_at_once_one_is_on_record_as_having_done_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        one.http.headers.update(ADMIN)
        failed, gated = await one.start("broken"), await one.start("gated", RunState.WAITING)
        gate = f"/api/v1/runs/{gated}/gates/add-double"
        asked = [
            *(one.post(f"/api/v1/runs/{failed}/resume", {"by": f"p{number}"}) for number in range(8)),
            *(one.post(f"{gate}/{verb}", {"by": verb}) for verb in ("approve", "reject")),
            *(one.post(f"/api/v1/runs/{gated}/cancel", {"by": f"p{number}"}) for number in range(4)),
        ]
        answers = [answer.status_code for answer in await asyncio.gather(*asked)]
        entries = await log(one)
        done = (await one.http.get(f"/api/v1/runs/{failed}")).json()["actions"]
    acted = entries[-len(answers) :]
    assert len({row["request"] for row in acted}) == len(answers)
    assert sorted(row["answer"] for row in acted) == sorted(answers)
    resumed = [row for row in acted if row["action"].endswith("/resume") and row["answer"] == 202]
    assert [row["said"] for row in resumed] == [one["by"] for one in done]
    decided = [row for row in acted if "/gates/" in row["action"] and row["answer"] == 200]
    assert len(decided) <= 1


@pytest.mark.rows_by_hand
async def test_a_cancelled_run_that_others_wait_behind_is_given_up(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        one.http.headers.update(ADMIN)
        run = (await one.post("/api/v1/pipelines/sums/runs", {})).json()["events"][0]["runs"][0]
        await one.post(f"/api/v1/runs/{run}/cancel", {"by": "kim"})
        problem(await one.post(f"/api/v1/runs/{run}/abandon", {"by": "kim", "reason": "old"}), 409)
        await rows(database, "update runs set sequence = 's'")
        answer = await one.post(f"/api/v1/runs/{run}/abandon", {"by": "kim", "reason": "old"})
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


async def test_what_is_refused_although_something_was_written_has_a_second_row(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:

        async def late(*operations: object) -> object:
            await submit(*operations)
            raise InboxBusy("nobody waited so long")

        submit = one.daemon.inbox.submit
        one.daemon.inbox.submit = late  # type: ignore[method-assign, assignment]
        problem(await one.post("/api/v1/pauses", {"what": "sums"}, headers=ADMIN), 503)
        written, told = await log(one)
    assert (written["answer"], told["answer"]) == (200, 503)
    assert written["request"] == told["request"]


async def test_secrets_stay_out_of_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        body = {"params": {"password": "hunter22"}, "data": {"card": "4111"}, "id": f"key-{TOKEN}"}
        await one.post("/api/v1/pipelines/sums/runs", body, headers=ADMIN)
        await one.post("/api/v1/pauses", {"what": "sums", "reason": f"token={TOKEN} password=hunter22"}, headers=ADMIN)
        entries = await log(one)
    assert len(entries) >= 2
    for secret in ("hunter22", "4111", TOKEN):
        assert secret not in str(entries)


async def test_the_log_is_only_added_to(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        await one.post("/api/v1/pauses", {"what": "sums"}, headers=ADMIN)
        for statement in ("update audit set who = 'eve'", "delete from audit", "truncate audit"):
            with pytest.raises(asyncpg.PostgresError, match="only added to"):
                await rows(database, statement)
        assert await one.daemon.writer.submit(TrimAudit(1.0, 100)) == [0]
        await rows(database, "alter table audit disable trigger audit_stays")
        await rows(database, "update audit set at = now() - interval '3 days'")
        await rows(database, "alter table audit enable trigger audit_stays")
        await one.post("/api/v1/pauses/lift", {"what": "sums"}, headers=ADMIN)

        class Once:
            async def sleep(self, seconds: float) -> None:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await trim_audit(one.daemon.writer, 2.0, Once())  # type: ignore[arg-type]
        [left] = await log(one)
        assert left["action"] == "POST /api/v1/pauses/lift"
        with pytest.raises(asyncpg.PostgresError, match="only added to"):
            await rows(database, "delete from audit")


async def test_the_log_is_read_by_page_and_by_what_is_asked_for(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for number in range(5):
            await one.post("/api/v1/pauses", {"what": "sums", "by": f"p{number % 2}"}, headers=ADMIN)
            await one.post("/api/v1/pauses/lift", {"what": "sums", "by": f"p{number % 2}"}, headers=ADMIN)
        seen, before = [], None
        while True:
            page = await one.call(one.client.audit, limit=3, before=before)
            seen += [row["seq"] for row in page["entries"]]
            if (before := page["next"]) is None:
                break
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 10
        assert len(await log(one, who="p1")) == 4
        assert len(await log(one, action="LIFT")) == 5
        assert len(await log(one, who="p1", action="lift")) == 2
        first = (await log(one))[5]["at"]
        assert len(await log(one, since=first)) + len(await log(one, until=first)) == 10
        for wrong in ({"since": "yesterday"}, {"run": "x"}, {"strange": "1"}):
            problem(await one.http.get("/api/v1/audit", params=wrong, headers=ADMIN), 422)
        one.http.headers.update(ADMIN)
        page = await look(one, "/audit?who=p1")
        assert "/api/v1/pauses/lift" in page
        assert page.count('<td data-title="Who" class="any">p1') == 4


async def test_what_could_not_be_done_is_not_on_record_as_done_and_signing_out_is(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        problem(await one.post(f"/api/v1/runs/{run}/abandon", {"by": "kim", "reason": "old"}), 409)
        abandoned = await log(one, run=str(run))
        del one.http.headers["Authorization"]
        await sign_in(one, ADMIN, "kim")
        hidden = form_of(await look(one, "/"), "/act/sign-out")
        assert (await send(one, "/act/sign-out", hidden)).status_code == 303
        out = (await log(one))[-1]
    assert [row["answer"] for row in abandoned] == [409]
    assert (out["action"], out["answer"]) == ("POST /act/sign-out", 303)


async def test_who_looks_is_told_when_there_is_more(database: str, tmp_path: Path) -> None:
    async with (
        api(database, tmp_path, Role.API, api_token=TOKEN) as one,
        api(database, tmp_path, Role.API, api_token=TOKEN) as other,
    ):
        address = "/api/v1/audit?follow=true"
        viewer = await token(one, "vic", "viewer")
        problem(await one.http.get(address, headers=viewer), 403)
        async with other.http.stream("GET", address, headers=ADMIN) as stream, asyncio.timeout(20):
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            assert await changed(lines)
            # A refusal is in no other log; nor who signs in.
            problem(await one.http.get("/api/v1/runs", headers={"Authorization": "Bearer tm_wrong"}), 401)
            assert await changed(lines)
            await sign_in(one, ADMIN, "kim")
            assert await changed(lines)
        page = await look(one, "/audit")
        assert 'data-stream="/api/v1/audit?follow=true"' in page
        assert "data-stream" not in await look(one, "/audit?before=2")


async def changed(lines: AsyncIterator[str]) -> bool:
    """Read until it is told."""
    async for line in lines:
        if line == "event: changed":
            return True
    return False
