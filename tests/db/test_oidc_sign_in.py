"""Signing in by a provider, with a browser's cookies, and its tokens as bearers."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.lent_token import lent_token
from service.oidc_settings import Oidc, grant
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.console import HTML, form_of, look, send
from tests.db.daemons import daemon
from tests.db.daemons import settings as of_a_daemon
from tests.db.provider import AUDIENCE, Signer, signer
from tests.db.test_audit import log

ROLES = tuple(map(grant, ("ml=operator", "boss=admin")))


@pytest.fixture
def there() -> Iterator[Signer]:
    with signer() as one:
        yield one


def settings(there: Signer, **more: Any) -> Oidc:
    return Oidc(**{"issuer": there.issuer, "client_id": AUDIENCE, "roles": ROLES, **more})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def depart(one: Api, following: str = "/") -> dict[str, str]:
    """Go to the provider: what it is asked."""
    answer = await one.http.get("/sign-in/provider", params={"next": following})
    assert answer.status_code == 303
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def arrive(one: Api, **brought: str) -> httpx.Response:
    return await one.http.get("/sign-in/callback", params=brought, headers=HTML)


async def test_tokens_of_the_provider_are_bearers(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there)) as one:
        problem(await one.http.get("/api/v1/runs"), 401)
        kim = bearer(there.token())
        assert (await one.http.get("/api/v1/runs", headers=kim)).status_code == 200
        paused = await one.post("/api/v1/pauses", {"what": "sums", "by": "eve"}, headers=kim)
        assert paused.json()["by"] == "kim"
        assert "takes the role admin" in problem(await one.http.get("/api/v1/audit", headers=kim), 403)
        for wrong, told in (
            (there.token(exp=1), "expired"),
            (there.token(aud="other"), "Audience"),
            ("a.b.c", "not hold"),
        ):
            refused = await one.http.get("/api/v1/runs", headers=bearer(wrong))
            assert told in problem(refused, 401)
            assert "invalid_token" in refused.headers["www-authenticate"]
        problem(await one.http.get("/api/v1/runs", headers=bearer(there.token(groups=["other"]))), 401)
        boss = bearer(there.token(groups=["boss"], preferred_username="lee", sub="s-2"))
        entries = (await one.http.get("/api/v1/audit", headers=boss)).json()["entries"]
        assert ("kim", "oidc", "s-1") in [(row["who"], row["via"], row["known_as"]) for row in entries]
        assert there.token()[:20] not in str(entries)
        there.away = True
        there.private.clear()
        there.add("new")
        problem(await one.http.get("/api/v1/runs", headers=bearer(there.token("new"))), 401)


async def test_stages_are_lent_a_token_for_the_models_also_where_only_a_provider_says_who(
    database: str, tmp_path: Path, there: Signer
) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there)) as one:
        address, lent = one.daemon.ground.lending.api() or ("", None)
        assert address == one.daemon.address
        given = bearer(str(lent))
        assert (await one.http.get("/api/v1/models/m/aliases/a", headers=given)).status_code == 404
        problem(await one.http.get("/api/v1/runs", headers=given), 403)
    executor = replace(of_a_daemon(database, tmp_path, Role.EXECUTOR), oidc=settings(there))
    async with daemon(executor) as other:
        assert other.ground.lending.key is not None
        assert lent_token(other.ground.lending.key) == lent


async def test_a_browser_signs_in_there_and_acts_in_its_own_name(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there, client_secret="s")) as one:
        assert "/sign-in/provider?next=" in await look(one, "/sign-in?next=%2Fruns")
        asked = await depart(one, "/runs")
        assert asked["redirect_uri"] == one.daemon.address + "/sign-in/callback"
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        back = await arrive(one, code=there.let_in(asked), state=asked["state"], iss=there.issuer)
        assert (back.status_code, back.headers["location"]) == (303, "/runs")
        cookies = back.headers.get_list("set-cookie")
        assert all("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)
        page = await look(one, "/pipelines/sums")
        assert "kim" in page
        started = await send(one, "/act/pipelines/start", form_of(page, "/act/pipelines/start") | {"by": "eve"})
        assert started.status_code == 303
        assert "kim" in await look(one, started.headers["location"])
        # A cookie alone does nothing by the API.
        problem(await one.post("/api/v1/pauses", {"what": "sums"}), 401)


async def test_a_session_ends_when_it_was_to_end(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there, session_s=0)) as one:
        asked = await depart(one)
        assert (await arrive(one, code=there.let_in(asked), state=asked["state"])).status_code == 303
        assert (await one.http.get("/runs", headers=HTML)).headers["location"].startswith("/sign-in")


NAVIGATES = {**HTML, "Sec-Fetch-Mode": "navigate"}


async def test_whose_session_is_over_comes_back_with_what_they_may_do_by_now(
    database: str, tmp_path: Path, there: Signer
) -> None:
    async with api(database, tmp_path, Role.API, api_token="holder", oidc=settings(there, session_s=0)) as one:

        async def sign_in(**claims: Any) -> None:
            asked = await depart(one)
            there.also = claims
            assert (await arrive(one, code=there.let_in(asked), state=asked["state"])).status_code == 303

        await sign_in()
        # A script that fetches a page, and a program, are led nowhere.
        for mode in ("cors", "same-origin", None):
            headers = {**HTML, **({"Sec-Fetch-Mode": mode} if mode else {})}
            assert (await one.http.get("/sign-in", headers=headers)).status_code == 200
        away = await one.http.get("/sign-in?next=%2Fruns", headers=NAVIGATES)
        assert away.status_code == 303
        asked = {name: one_of[0] for name, one_of in parse_qs(urlsplit(away.headers["location"]).query).items()}
        assert asked["prompt"] == "none"
        # The provider does not know them any more: they are asked, once.
        back = await arrive(one, error="login_required", state=asked["state"])
        assert (back.status_code, back.headers["location"]) == (303, "/sign-in?next=%2Fruns")
        assert (await one.http.get(back.headers["location"], headers=NAVIGATES)).status_code == 200
        # It still does, and has put them into another group.
        await sign_in()
        away = await one.http.get("/sign-in?next=%2Faudit", headers=NAVIGATES)
        asked = {name: one_of[0] for name, one_of in parse_qs(urlsplit(away.headers["location"]).query).items()}
        there.also = {"groups": ["other"]}
        refused = await arrive(one, code=there.let_in(asked), state=asked["state"])
        assert (refused.status_code, "none of the groups" in refused.text) == (403, True)
        # Whose sessions were ended has to ask for another.
        await sign_in()
        await one.call(one.client.end_sessions, "kim")
        assert (await one.http.get("/sign-in", headers=NAVIGATES)).status_code == 200


async def test_an_answer_that_was_not_asked_for_is_refused(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there)) as one:

        async def refused(told: str, also: dict[str, Any] | None = None, **changed: str) -> None:
            asked = await depart(one)
            there.also = also or {}
            brought = {"code": there.let_in(asked), "state": asked["state"], **changed}
            answer = await arrive(one, **brought)
            assert answer.status_code == 403, answer.text
            assert told in answer.text
            assert (await one.http.get("/runs", headers=HTML)).status_code == 303

        await refused("no sign-in that this browser began", state="another")
        await refused("no sign-in that this browser began", state="")
        await refused("another provider", iss="https://evil.example")
        await refused("does not take the code", code="made-up")
        await refused("another sign-in", {"nonce": "another"})
        await refused("another sign-in", {"nonce": None})
        await refused("does not hold", {"aud": "other-program"})
        await refused("another program", {"azp": "other-program"})
        await refused("none of the groups", {"groups": ["other"]})
        there.also = {}
        asked = await depart(one)
        no = await arrive(one, error="access_denied", error_description="<b>no</b>", state=asked["state"])
        assert "<b>" not in no.text
        assert no.status_code == 403
        # What came back once does not come back again, even with the cookie of that time.
        asked = await depart(one)
        kept = dict(one.http.cookies)
        code = there.let_in(asked)
        assert (await arrive(one, code=code, state=asked["state"])).status_code == 303
        one.http.cookies.clear()
        one.http.cookies.update(kept)
        again = await arrive(one, code=there.let_in(asked), state=asked["state"])
        assert "used before" in again.text
        # A browser that began nothing has no part in it: its victim is not signed in as somebody else.
        asked = await depart(one)
        one.http.cookies.clear()
        assert (await arrive(one, code=there.let_in(asked), state=asked["state"])).status_code == 403


async def test_where_one_goes_afterwards_is_here(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there)) as one:
        for elsewhere in ("https://evil.example", "//evil.example", "/\\evil.example"):
            asked = await depart(one, elsewhere)
            back = await arrive(one, code=there.let_in(asked), state=asked["state"])
            assert back.headers["location"] == "/"


async def test_a_token_of_the_provider_opens_no_session_by_the_form(
    database: str, tmp_path: Path, there: Signer
) -> None:
    """A session that names neither a token nor roles is one of whoever holds the daemon's own."""
    async with api(database, tmp_path, Role.API, api_token="holder", oidc=settings(there)) as one:
        refused = await send(one, "/sign-in", {"api_token": there.token(), "name": "kim", "next": "/"})
        assert refused.status_code == 401
        assert "sign in with the provider" in refused.text
        assert (await one.http.get("/audit", headers=HTML)).headers["location"].startswith("/sign-in")
        held = await send(one, "/sign-in", {"api_token": "holder", "name": "kim", "next": "/"})
        assert held.status_code == 303
        assert (await one.http.get("/audit", headers=HTML)).status_code == 200


async def test_signing_in_is_on_record(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there), api_token="a-long-random-text") as one:
        asked = await depart(one)
        await arrive(one, code="made-up", state=asked["state"])
        asked = await depart(one)
        await arrive(one, code=there.let_in(asked), state=asked["state"])
        refused, let_in = await log(one)
    assert (refused["answer"], refused["via"]) == (403, "nobody")
    assert (let_in["answer"], let_in["who"], let_in["via"]) == (303, "kim", "oidc")


async def test_a_provider_of_others_making(database: str, tmp_path: Path) -> None:
    """oidc-provider-mock, in a process of its own: its discovery, keys, codes and tokens are not of our making."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    claims = '{"sub": "kim", "groups": ["ml"], "preferred_username": "kim"}'
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--host", "127.0.0.1", "--port", str(port)]
    running = await asyncio.create_subprocess_exec(
        *command, "--require-nonce", "--user-claims", claims, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert running.stderr is not None
        async with asyncio.timeout(60):
            while b"127.0.0.1" not in await running.stderr.readline():
                assert running.returncode is None
        given = Oidc(issuer=f"http://127.0.0.1:{port}", client_id="mill", client_secret="s", roles=ROLES)
        async with api(database, tmp_path, Role.API, oidc=given) as one, httpx.AsyncClient() as browser:
            answer = await one.http.get("/sign-in/provider")
            let_in = await browser.post(answer.headers["location"], data={"sub": "kim"})
            assert let_in.status_code == 302, let_in.text
            back = await one.http.get(let_in.headers["location"], headers=HTML)
            assert (back.status_code, back.headers["location"]) == (303, "/"), back.text
            assert re.search(r"\bkim\b", await look(one, "/runs"))
    finally:
        running.terminate()
        await running.wait()
