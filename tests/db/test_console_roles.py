"""What pages offer to each role: nothing that would be refused, and in its place which role it takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.model import RunState
from service.settings import Role
from tests.db.api import PIPELINES, Api, api
from tests.db.backfilling import Seen, daily
from tests.db.console import Forms, look, text_of
from tests.db.daemons import reached
from tests.db.test_access_roles import ADMIN, TOKEN, sign_in, token
from tests.db.test_console_models import DIGEST
from tests.db.test_console_schedules import BACKFILL, NIGHTLY, nightly

OUT = "/act/sign-out"
LEADING = re.compile(r"/resume\"|\"/backfills/new|\"/audit\"")
# Page by page: which forms are there for an operator, for an approver, and what stands there for a viewer.
FORMS = {
    "/runs/{waits}": (("cancel",), ("gates/add-double",), "Cancelling it takes the role operator."),
    "/runs/{failed}": (("abandon", "skip"), (), "Resuming it takes the role operator."),
    "/runs/{failed}/resume": (("resume",), (), "Resuming it takes the role operator."),
    "/reviews": (("abandon", "skip"), ("gates/add-double",), "Deciding takes the role approver for gated."),
    "/pipelines/gated": (("start", "pause"), (), "Starting a run or pausing it takes the role operator."),
    "/events/{event}": (("replay",), (), "Running it again takes the role operator."),
    NIGHTLY: (("fire", "pause"), (), "Firing, pausing or backfilling it takes the role operator."),
    "/schedules": ((), (), "Backfilling takes the role operator."),
    "/backfills": ((), (), "Backfilling takes the role operator."),
    BACKFILL: (("backfills",), (), "Beginning it takes the role operator."),
    "/models/delays": (("alias",), (), "Pointing an alias takes the role operator."),
    "/models": ((), (), ""),
    "/system": ((), (), "Reading the audit log takes the role admin."),
}


async def _filled(one: Api, headers: dict[str, str]) -> dict[str, str]:
    """One of each that something may be done to."""
    made = {}
    for name, pipeline, state in (("waits", "gated", RunState.WAITING), ("failed", "broken", RunState.FAILED)):
        answer = await one.post(f"/api/v1/pipelines/{pipeline}/runs", {}, headers=headers)
        [run] = answer.json()["events"][0]["runs"]
        await reached(one.daemon, run, state)
        made[name] = str(run)
        made["event"] = (await one.http.get(f"/api/v1/runs/{run}", headers=headers)).json()["event"]["key"]
    body = {"artifacts": {"model": DIGEST}}
    answer = await one.post("/api/v1/models/delays/versions", body, headers={**headers, "Idempotency-Key": "a"})
    assert answer.status_code == 201, answer.text
    return made


async def _offered(one: Api, made: dict[str, str]) -> dict[str, tuple[list[str], str, bool]]:
    """Of each page where its forms go, its text, and whether it leads to what only some may do."""
    found = {}
    for path in FORMS:
        page = await look(one, path.format(**made))
        sent = sorted({to.removeprefix("/act/") for to, _ in Forms(page).found if to != OUT})
        found[path] = (sent, text_of(page), bool(LEADING.search(page)))
    return found


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "admin"])
async def test_a_page_offers_what_its_reader_may_do(database: str, tmp_path: Path, role: str) -> None:
    pipelines = (*PIPELINES, daily(Seen(), nightly(Seen())))
    roles = (Role.API, Role.TRIGGERS, Role.EXECUTOR)
    async with api(database, tmp_path, *roles, pipelines=pipelines, api_token=TOKEN) as one:
        made = await _filled(one, ADMIN)
        await sign_in(one, await token(one, "kim", role, pipelines=("gated",) if role == "approver" else ()))
        offered = await _offered(one, made)
    for path, (sent, told, leads) in offered.items():
        operated, decided, instead = FORMS[path]
        wanted = (
            *(operated if role in ("operator", "admin") else ()),
            *(decided if role in ("approver", "admin") else ()),
        )
        missing = [end for end in wanted if not any(to.endswith(end) for to in sent)]
        extra = [to for to in sent if not to.endswith(wanted)] if wanted else sent
        assert (missing, extra) == ([], []), path
        if role == "viewer":
            assert instead in told, path
            assert not leads, path
        if role == "admin":
            assert "takes the role" not in told, path


async def test_an_approver_is_offered_the_gates_of_its_own_pipelines(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        made = await _filled(one, ADMIN)
        await sign_in(one, await token(one, "kim", "approver", pipelines=("other*",)))
        page = await look(one, f"/runs/{made['waits']}")
    assert [to for to, _ in Forms(page).found] == [OUT]
    assert "Deciding takes the role approver for gated." in text_of(page)


async def test_without_a_token_everything_is_offered(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        made = await _filled(one, {})
        for path in ("/runs/{waits}", "/runs/{failed}", "/reviews", "/pipelines/gated", "/models/delays", "/system"):
            page = await look(one, path.format(**made))
            assert "takes the role" not in text_of(page), path
            ends = (*FORMS[path][0], *FORMS[path][1])
            assert all(any(to.endswith(end) for to, _ in Forms(page).found) for end in ends), path
