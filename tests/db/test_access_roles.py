"""Every address for every role: the written table, and what the daemon does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from service.api.matrix import ANYBODY, BY_SIGNATURE, SIGNED_IN, table, takes
from service.callers import Right
from service.model import RunState
from service.settings import Role
from stages.base import stage
from stages.gates import approved
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api, breaks, cloudevent, problem
from tests.db.asking import tidemill
from tests.db.console import HTML, form_of, look, send
from tests.db.daemons import reached

TOKEN = "a-long-random-text"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
ROOT = Path(__file__).parents[2]
# Who may, besides an admin.
ALLOWED: Mapping[str, set[str]] = {
    "viewer": {"viewer", "operator", "approver"},
    "operator": {"operator"},
    "approver": {"approver"},
    "admin": set(),
    BY_SIGNATURE: {"operator"},
    SIGNED_IN: {"viewer", "operator", "approver"},
    ANYBODY: {"viewer", "operator", "approver"},
}


async def token(one: Api, name: str, *roles: str, pipelines: tuple[str, ...] = ()) -> dict[str, str]:
    """Make a token; the header that shows it."""
    body = {"name": name, "roles": roles, "pipelines": pipelines}
    made = await one.post("/api/v1/tokens", body, headers=ADMIN)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def of_each_role(one: Api) -> dict[str, dict[str, str]]:
    return {
        right.value: await token(one, right.value, right.value, pipelines=("*",) if right is Right.APPROVER else ())
        for right in Right
    }


def test_the_document_has_the_table() -> None:
    assert table() in (ROOT / "docs/access.md").read_text(encoding="utf-8"), "run: python -m service.api.matrix"


async def test_every_address_takes_the_role_that_is_written(database: str, tmp_path: Path) -> None:
    wrong, seen = [], 0
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        shown = await of_each_role(one)
        for method, path, needed in takes():
            if path.startswith("/act/"):
                continue
            for role, headers in shown.items():
                refused = is_refused(await ask(one, method, path, headers))
                seen += 1
                if refused != (role not in ALLOWED[needed] | {"admin"}):
                    wrong.append((method, path, needed, role))
    assert wrong == []
    assert seen > 4 * 60


async def ask(one: Api, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
    query = {"after": "1"} if path.endswith("/stream") else None
    # A name that is neither a token's nor anything else's.
    filled = re.sub(r"{\w+}", "plain" if path.startswith("/hooks") else "1", path)
    return await one.http.request(method, filled, params=query, headers={**HTML, **headers})


def is_refused(answer: httpx.Response) -> bool:
    assert answer.status_code not in (401, 500), answer.text
    return answer.status_code == 403 and "this takes the role" in answer.text


async def test_every_form_takes_the_role_that_is_written(database: str, tmp_path: Path) -> None:
    wrong = []
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for role, headers in (await of_each_role(one)).items():
            await sign_in(one, headers)
            hidden = form_of(await look(one, "/"), "/act/sign-out")
            for _, path, needed in takes():
                if not path.startswith("/act/") or path == "/act/sign-out":
                    continue
                answer = await send(one, re.sub(r"{\w+}", "1", path), hidden)
                if is_refused(answer) != (role not in ALLOWED[needed] | {"admin"}):
                    wrong.append((path, needed, role))
            assert (await send(one, "/act/sign-out", hidden)).status_code == 303
            one.http.cookies.clear()
    assert wrong == []


async def sign_in(one: Api, headers: Mapping[str, str], name: str = "") -> None:
    shown = headers["Authorization"].removeprefix("Bearer ")
    answer = await send(one, "/sign-in", {"api_token": shown, "name": name, "next": "/"})
    assert answer.status_code == 303, answer.text


async def test_events_and_hooks_take_an_operator(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        viewer, operator = await token(one, "v", "viewer"), await token(one, "o", "operator")
        for headers, status in ((viewer, 403), (operator, 202)):
            posted = await one.post("/api/v1/events", cloudevent(str(status)), headers={**STRUCTURED, **headers})
            assert posted.status_code == status
            assert (await one.post("/hooks/plain", {"n": status}, headers=headers)).status_code == status
        in_query = f"/api/v1/events?access_token={viewer['Authorization'].removeprefix('Bearer ')}"
        problem(await one.post(in_query, cloudevent("3"), headers=STRUCTURED), 403)


async def test_an_approver_decides_gates_of_its_pipelines_in_its_own_name(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=kim+lee") as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        gate = f"/api/v1/runs/{run}/gates/add-double"
        other = await token(one, "lee", "approver", pipelines=("flights*", "sums"))
        kim = await token(one, "kim", "approver", pipelines=("gat*",))
        operator = await token(one, "sam", "operator")
        assert "approver for gated" in problem(await one.post(f"{gate}/approve", {}, headers=other), 403)
        assert "approver for gated" in problem(await one.post(f"{gate}/links", LINK, headers=other), 403)
        problem(await one.post(f"{gate}/approve", {"by": "kim"}, headers=operator), 403)
        assert "own name" in problem(await one.post(f"{gate}/approve", {"by": "lee"}, headers=kim), 403)
        done = await one.post(f"{gate}/approve", {"reason": "good"}, headers=kim)
        assert done.json()["decided_by"] == "kim"


LINK = {"for": "kim", "decision": "approve"}


async def test_whom_a_gate_asks_for_counts_besides(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=kim") as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        everything = await token(one, "eve", "approver", "operator", pipelines=("*",))
        told = problem(await one.post(f"/api/v1/runs/{run}/gates/add-double/approve", {}, headers=everything), 403)
        assert "eve may not decide" in told
        # A program of an admin says who asks it.
        bot = await token(one, "bot", "admin")
        done = await one.post(f"/api/v1/runs/{run}/gates/add-double/approve", {"by": "kim"}, headers=bot)
        assert done.json()["decided_by"] == "kim"


@stage(reuse="run")
async def ship(breaks: int | None) -> str:
    return f"shipped {breaks}"


shipping = Pipeline("shipping", [breaks, ship], gates={("breaks", "ship"): approved()})


async def test_to_skip_a_stage_past_a_gate_that_asks_people_takes_an_approver_too(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, api_token=TOKEN, pipelines=(shipping,)) as one:
        one.http.headers.update(ADMIN)
        run = await one.start("shipping")
        skip = f"/api/v1/runs/{run}/stages/breaks/skip"
        operator = await token(one, "sam", "operator")
        other = await token(one, "lee", "operator", "approver", pipelines=("sums",))
        both = await token(one, "kim", "operator", "approver", pipelines=("ship*",))
        for headers in (operator, other):
            for body in ({"by": "kim", "reason": "go"}, {"by": "kim", "reason": "go", "dry_run": True}):
                told = problem(await one.post(skip, body, headers=headers), 403)
                assert "nobody decides gate breaks-ship, takes the role approver for shipping" in told
        del one.http.headers["Authorization"]
        await sign_in(one, operator)
        page = await look(one, "/reviews")
        assert "Going on without breaks takes the role approver for shipping." in page
        assert f"/act/runs/{run}/skip" not in page
        form = form_of(page, f"/act/runs/{run}/abandon")
        refused = await send(one, f"/act/runs/{run}/skip", {**form, "stage": "breaks", "reason": "go"})
        assert (refused.status_code, "takes the role approver" in refused.text) == (403, True)
        assert (await one.post(skip, {"by": "kim", "reason": "go"}, headers=both)).status_code == 202
        assert await reached(one.daemon, run) is RunState.SUCCEEDED


async def test_the_command_line_gives_no_name_where_the_token_is_somebodys(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=adi") as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        adi = (await token(one, "adi", "admin"))["Authorization"].removeprefix("Bearer ")

        async def said(*command: str, shown: str = adi) -> str:
            code, out, err = await tidemill(one, *command, token=shown)
            assert code == 0, err
            return out

        for name, shown, by in (("sums", adi, ()), ("off", adi, ("--by", "lou")), ("broken", TOKEN, ())):
            await said("pause", name, *by, shown=shown)
        paused = {pause["name"]: pause["by"] for pause in (await one.http.get("/api/v1/pauses")).json()["pauses"]}
        assert paused == {"sums": "adi", "off": "lou", "broken": "kim"}
        told = await said("audit", "--action", "pauses")
        assert ["adi for lou" in told, "adi for adi" in told, "adi for kim" in told] == [True, False, False]
        code, _, err = await tidemill(one, "approve", str(run), "add-double", token=TOKEN)
        assert (code, "say who decides" in err) == (2, True)
        assert "is approved by adi" in await said("approve", str(run), "add-double")


async def test_nobody_but_an_admin_is_handed_a_link_by_which_somebody_else_decides(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=kim") as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        links = f"/api/v1/runs/{run}/gates/add-double/links"
        eve = await token(one, "eve", "approver", "operator", pipelines=("*",))
        kim = await token(one, "kim", "approver", pipelines=("*",))
        assert "votes as them" in problem(await one.post(links, LINK, headers=eve), 403)
        assert "votes as them" in problem(await one.post(links, {**LINK, "by": "kim"}, headers=eve), 403)
        assert "eve may not decide" in problem(await one.post(links, {**LINK, "for": "eve"}, headers=eve), 403)
        assert (await one.post(links, LINK, headers=kim)).status_code == 201
        assert (await one.post(links, LINK, headers=await token(one, "bot", "admin"))).status_code == 201
        assert (await one.post(links, LINK)).status_code == 201


@pytest.mark.parametrize(("said", "recorded"), [({"by": "somebody"}, "sam"), ({}, "sam")])
async def test_what_is_done_is_recorded_under_the_name_of_the_token(
    database: str, tmp_path: Path, said: dict[str, str], recorded: str
) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        sam = await token(one, "sam", "operator")
        paused = await one.post("/api/v1/pauses", {"what": "sums", **said}, headers=sam)
        assert paused.json()["by"] == recorded
        one.http.headers.update(ADMIN)
        await sign_in(one, sam, "somebody else")
        del one.http.headers["Authorization"]
        page = await look(one, "/pipelines/gated")
        started = await send(one, "/act/pipelines/start", form_of(page, "/act/pipelines/start") | {"by": "nobody"})
        assert started.status_code == 303
        assert "sam" in await look(one, started.headers["location"])
