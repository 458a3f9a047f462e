"""Every form that does something, sent as pages of other sites could have a browser send it: nothing is done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import httpx

from service.api.matrix import takes
from service.model import RunState
from tests.db.api import Api, api
from tests.db.console import HTML, form_of, look, send
from tests.db.test_access_roles import ADMIN, TOKEN, sign_in
from tests.db.writing import rows

FORMS = [path for method, path, _ in takes() if method == "POST" and path.startswith("/act/")]
SITES: Mapping[str, Mapping[str, str]] = {
    "another origin": {"Origin": "https://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "our name in another's": {"Origin": "http://127.0.0.1.evil.example"},
    "a sandboxed frame": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "no origin, another page": {"Referer": "https://evil.example/page"},
    "told to be cross-site": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour": {"Sec-Fetch-Site": "same-site"},
    "our origin, told to be cross-site": {"Origin": "OWN", "Sec-Fetch-Site": "cross-site"},
}
# Everything a form could change.
TABLES = (
    *("runs", "events", "pauses", "gate_votes", "gates", "backfills", "model_aliases", "model_versions"),
    *("run_actions", "run_log", "api_tokens", "gate_links", "attempts", "replays"),
)
FIELDS = {
    "by": "kim",
    "verb": "approve",
    "decision": "approve",
    "reason": "r",
    "what": "sums",
    "trigger": "sums",
    "pipeline": "sums",
    "params": "",
    "on": "same",
    "from": "",
    "model": "line",
    "alias": "production",
    "version": "1",
    "stage": "breaks",
    "expect": "",
    "start": "2026-01-01",
    "until": "2026-01-02",
}


async def test_a_page_of_another_site_does_nothing(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=kim") as one:
        paths = await _something_to_do(one)
        await sign_in(one, ADMIN, "kim")
        right = form_of(await look(one, "/"), "/act/sign-out")["token"]
        before, wrong, tried = await _state(database), [], 0
        for cookies in (dict(one.http.cookies), {}):
            one.http.cookies.clear()
            for token in (right, "0" * 64, None):
                for site, headers in SITES.items():
                    for path in paths:
                        one.http.cookies.update(cookies)
                        answer = await _sent(one, path, token, headers)
                        tried += 1
                        if answer.status_code not in (401, 403):
                            wrong.append((path, site, token == right, bool(cookies), answer.status_code))
        assert wrong == []
        assert await _state(database) == before
        assert tried == 2 * 3 * len(SITES) * len(FORMS)


async def test_from_our_own_page_the_token_of_the_form_decides(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN, groups="leads=kim") as one:
        paths = await _something_to_do(one)
        await sign_in(one, ADMIN, "kim")
        form = form_of(await look(one, "/"), "/act/sign-out")
        before = await _state(database)
        for path in paths:
            for token in ("0" * 64, "", "\u00e9"):
                assert (await send(one, path, FIELDS | {"token": token})).status_code == 403, path
            assert (await send(one, path, FIELDS)).status_code == 403, path
        assert await _state(database) == before
        # What was refused above is done with it: the addresses and the fields were right.
        done = await send(one, "/act/pipelines/start", FIELDS | form)
        assert done.status_code == 303
        assert await _state(database) != before
        cookies = dict(one.http.cookies)
        one.http.cookies.clear()
        assert (await send(one, "/act/pipelines/start", FIELDS | form)).status_code in (401, 403)
        await sign_in(one, ADMIN, "eve")
        other = form_of(await look(one, "/"), "/act/sign-out")
        one.http.cookies.clear()
        one.http.cookies.update(cookies)
        assert (await send(one, "/act/pipelines/start", FIELDS | other)).status_code == 403, "a form of another session"


async def test_nobody_is_signed_in_by_another_site(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        for site, headers in SITES.items():
            answer = await _sent(one, "/sign-in", None, headers, {"api_token": TOKEN, "name": "eve", "next": "/"})
            assert answer.status_code == 403, site
            assert "set-cookie" not in answer.headers, site
        own = str(one.http.base_url).rstrip("/")
        answer = await _sent(one, "/sign-in", None, {"Referer": f"{own}/sign-in"}, {"api_token": TOKEN, "name": "kim"})
        assert answer.status_code == 303


async def _something_to_do(one: Api) -> list[str]:
    """Runs that wait, failed and go on, and the addresses of all forms, filled with them."""
    one.http.headers.update(ADMIN)
    waiting, failed = await one.start("gated", RunState.WAITING), await one.start("broken", RunState.FAILED)
    await one.start("line")
    del one.http.headers["Authorization"]
    filled = {"{gate}": "add-double", "{event}": "1", "{backfill}": "1"}
    paths = []
    for path in FORMS:
        run = str(failed if path.endswith(("resume", "skip", "abandon")) else waiting)
        paths.append(re.sub(r"{\w+}", lambda found, run=run: filled.get(found[0], run), path))  # type: ignore[misc]
    return paths


async def _sent(
    one: Api, path: str, token: str | None, headers: Mapping[str, str], fields: Mapping[str, str] = FIELDS
) -> httpx.Response:
    own = str(one.http.base_url).rstrip("/")
    told = {name: own if value == "OWN" else value for name, value in headers.items()}
    given = fields if token is None else {**fields, "token": token}
    return await one.http.post(path, data=dict(given), headers={**HTML, **told})


async def _state(database: str) -> dict[str, str]:
    """What every table holds that a form could change."""
    found = {}
    for table in TABLES:
        held = await rows(
            database, f"select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t"
        )
        found[table] = str(held[0][0])
    return found
