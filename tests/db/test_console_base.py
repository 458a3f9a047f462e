"""What all pages have in common: who gets in, which forms count, what they are dressed in."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from service.api.sessions import Sessions
from service.console.assets import assets
from service.console.pages import FORMS, PAGES
from service.settings import Role
from tests.db.api import Api, api
from tests.db.console import HTML, assert_page, form_of, look, send, text_of
from tests.db.writing import rows

TOKEN = "a-long-random-text"
SIGN_IN = {"api_token": TOKEN, "name": "ann", "next": "/reviews"}


async def test_every_page_is_there_where_nothing_has_happened_yet(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=()) as one:
        for path, _ in PAGES:
            await look(one, re.sub(r"{\w+(:path)?}", "1", path), 404 if "{" in path else 200)
        assert "Your name" in await look(one, "/sign-in")


async def test_what_is_not_there_is_a_page_for_browsers_and_a_problem_for_programs(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert "there is nothing at this address" in await look(one, "/nothing/<b>", 404)
        for path, headers in (("/nothing", {}), ("/api/v1/runs/9", {"Accept": "text/html"})):
            answer = await one.http.get(path, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_browser_signs_in_with_the_token_and_out_again(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        away = await one.http.get("/runs?state=failed", headers={"Accept": "text/html"})
        assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=%2Fruns%3Fstate%3Dfailed")
        page = text_of(await look(one, "/sign-in"))
        assert "recorded under it, unless the token is somebody's own" in page
        # The session of the sign-in page itself opens nothing.
        assert (await one.http.get("/reviews", headers={"Accept": "text/html"})).status_code == 303
        assert (await one.http.get("/api/v1/runs")).status_code == 401
        wrong = await send(one, "/sign-in", {**SIGN_IN, "api_token": TOKEN + "x"})
        assert wrong.status_code == 401
        assert_page(wrong)
        assert "who you are" in (await send(one, "/sign-in", {**SIGN_IN, "name": " "})).text
        signed = await send(one, "/sign-in", SIGN_IN)
        assert (signed.status_code, signed.headers["location"]) == (303, "/reviews")
        for part in ("HttpOnly", "SameSite=Lax", "Path=/"):
            assert part in signed.headers["set-cookie"]
        page = await look(one, "/reviews")
        assert "ann" in text_of(page)
        assert (await one.http.get("/api/v1/runs")).status_code == 200
        # A cookie alone changes nothing, whoever sends it.
        assert (await one.post("/api/v1/pipelines/sums/runs")).status_code == 401
        assert (await one.post("/hooks/plain", {})).status_code == 401
        assert (await one.post("/models/line/predict", {})).status_code == 401
        await send(one, "/act/sign-out", form_of(page, "/act/sign-out"))
        assert (await one.http.get("/reviews", headers={"Accept": "text/html"})).status_code == 303


@pytest.mark.parametrize("asked", ["/models/a%3Fb%23c%25d", "/models/a%20b%5Cc?x=1%26y%2B", "/%2F%2Fevil.example"])
async def test_signing_in_leads_back_to_the_very_address(database: str, tmp_path: Path, asked: str) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        away = (await one.http.get(asked, headers={"Accept": "text/html"})).headers["location"]
        [(_, following)] = parse_qsl(urlsplit(away).query)
        assert f'value="{escape(following)}"' in await look(one, away)
        signed = await send(one, "/sign-in", {**SIGN_IN, "next": following})
        assert signed.headers["location"] == asked


ELSEWHERE = ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "/\n\\evil.example"]


@pytest.mark.parametrize("following", [*ELSEWHERE, "evil", ""])
async def test_signing_in_leads_nowhere_else(database: str, tmp_path: Path, following: str) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        signed = await send(one, "/sign-in", {**SIGN_IN, "next": following})
        assert signed.headers["location"] == "/"
        assert 'value="/"' in await look(one, f"/sign-in?next={quote(following)}")


async def test_a_session_that_was_tampered_with_or_signed_elsewhere_is_none(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        await send(one, "/sign-in", SIGN_IN)
        [(name, value)] = one.http.cookies.items()
        one.http.cookies.clear()
        body, _, signature = value.partition(".")
        for forged in (body, f"{body}.", f"x{body}.{signature}", f"{body}.{signature[::-1]}", "x.y", ".", '"', "é"):
            answer = await one.http.get("/api/v1/runs", headers=[(b"cookie", f"{name}={forged}".encode("latin-1"))])
            assert answer.status_code == 401, forged
        assert (await one.http.get("/api/v1/runs", headers={"Cookie": f"{name}={value}"})).status_code == 200
    async with api(database, tmp_path, Role.API, api_token=TOKEN + "2") as other:
        assert (await other.http.get("/api/v1/runs", headers={"Cookie": f"{name}={value}"})).status_code == 401


async def test_a_session_that_names_nothing_it_was_begun_by_opens_nothing(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        sessions = Sessions(TOKEN, one.daemon.ground.lending.installation, secure=False)
        for holder, answered in ((True, 200), (False, 401)):
            cookie = sessions.cookie(sessions.begin("kim", signed_in=True, holder=holder)).partition(";")[0]
            assert (await one.http.get("/api/v1/runs", headers={"Cookie": cookie})).status_code == answered


STRANGE: tuple[dict[str, str], ...] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
)


async def test_a_form_counts_only_from_a_page_of_this_session(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("broken")
        action = f"/act/runs/{run}/abandon"
        form = form_of(await look(one, "/reviews"), action)
        filled = {**form, "by": "ann", "reason": "no use"}
        for headers in STRANGE:
            assert (await send(one, action, filled, **headers)).status_code == 403, headers
        for token in ("", "x", form["token"][::-1], "é"):
            refused = await send(one, action, {**filled, "token": token})
            assert refused.status_code == 403
            assert "open its page again" in text_of(refused.text)
        held = dict(one.http.cookies)
        one.http.cookies.clear()
        assert (await send(one, action, filled)).status_code == 403
        await look(one, "/reviews")
        assert (await send(one, action, filled)).status_code == 403, "the token of another session"
        assert await rows(database, "select from runs where abandoned_at is not null") == []
        one.http.cookies.clear()
        one.http.cookies.update(held)
        assert (await send(one, action, filled)).status_code == 303
        [abandoned] = await rows(database, "select abandoned_by, abandon_reason from runs where id = $1", run)
        assert tuple(abandoned) == ("ann", "no use")


async def test_forms_are_sent_not_fetched(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for path, _ in FORMS:
            address = "/act/" + re.sub(r"{\w+}", "1", path)
            assert (await one.http.get(address)).status_code == 405
            assert (await send(one, address, {})).status_code == 403


async def test_what_was_done_is_told_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("broken")
        action = f"/act/runs/{run}/abandon"
        form = form_of(await look(one, "/reviews"), action)
        await send(one, action, {**form, "by": "<b>ann</b>", "reason": "no use"})
        told = await look(one, "/reviews")
        again = await look(one, "/reviews")
    assert f"&lt;b&gt;ann&lt;/b&gt; has given up run {run}" in told
    assert "<b>ann" not in told
    assert "has given up" not in again


async def asset(one: Api, name: str) -> str:
    page = await look(one, "/")
    found = re.search(rf'"(/assets/[0-9a-f]+/{re.escape(name)})"', page)
    assert found is not None
    return found[1]


async def test_files_are_kept_for_good_under_their_digest(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        other = await one.http.get("/assets/0/begin.js")
        assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")
        await send(one, "/sign-in", SIGN_IN)
        for name in ("begin.js", "mark.svg"):
            path = await asset(one, name)
            first = await one.http.get(path)
            assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
            again = await one.http.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        for wrong in ("console.css", "none.js", "..%2Flook.py", "look.py"):
            assert (await one.http.get(f"/assets/0/{wrong}")).status_code == 404


async def test_a_page_that_looks_again_is_sent_no_style(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        again = await one.http.get("/", headers={**HTML, "Sec-Fetch-Dest": "empty"})
        assert "<style>" in await look(one, "/")
        assert "<style>" not in again.text
        assert 'id="now"' in again.text


def test_scripts_are_few_and_fetch_nothing_from_elsewhere() -> None:
    scripts = {name: content.decode() for name, content in assets().items() if name.endswith(".js")}
    assert sum(len(script.splitlines()) for script in scripts.values()) < 1500
    for name, script in scripts.items():
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", script) == [], (
            name
        )
        for imported in re.findall(r'(?:from |import\()"\./([^"]+)"', script):
            assert imported in assets()
