"""Pages of others, and text of others in pages of ours: neither does anything."""

from __future__ import annotations

import re
from pathlib import Path

from service.api.matrix import takes
from service.api.tries import MOST
from service.console.look import HEADERS, POLICY
from service.settings import Role
from tests.db.api import api
from tests.db.console import HTML, send
from tests.db.test_access_roles import ADMIN, TOKEN, sign_in

# What every page says; what else it says may be stricter on some.
STRICT = {name: HEADERS[name] for name in HEADERS if name not in ("Referrer-Policy", "Cache-Control")}


async def test_a_cookie_alone_does_nothing_by_the_api(database: str, tmp_path: Path) -> None:
    own = {"Origin": "", "Sec-Fetch-Site": "same-origin"}
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        await sign_in(one, ADMIN, "kim")
        for method, path, _ in takes():
            if method in ("GET", "OPTIONS") or not path.startswith("/api/"):
                continue
            own["Origin"] = str(one.http.base_url).rstrip("/")
            answer = await one.http.request(method, re.sub(r"{\w+}", "1", path), json={}, headers=own)
            assert answer.status_code == 401, (method, path)


async def test_signing_in_is_tried_so_often_and_no_more(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for _ in range(MOST["address"]):
            assert (await send(one, "/sign-in", {"api_token": "wrong", "name": "kim"})).status_code == 401
        refused = await send(one, "/sign-in", {"api_token": TOKEN, "name": "kim"})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        # Tokens sent with requests are not guessed at by a form: they go on.
        assert (await one.http.get("/api/v1/runs", headers=ADMIN)).status_code == 200


async def test_what_a_browser_may_do_with_a_page_is_little(database: str, tmp_path: Path) -> None:
    assert "unsafe" not in POLICY
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert part in POLICY
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        await sign_in(one, ADMIN, "kim")
        asked = [re.sub(r"{\w+}", "1", path) for method, path, _ in takes() if method == "GET" and path[:5] != "/api/"]
        asked += ["/sign-in", "/nothing", "/decide/nothing"]
        for path in asked:
            answer = await one.http.get(path, headers=HTML)
            if answer.headers.get("content-type", "").startswith("text/html"):
                found = {name: answer.headers.get(name) for name in STRICT}
                assert found == STRICT, path
                assert answer.headers["referrer-policy"] in ("same-origin", "no-referrer"), path
